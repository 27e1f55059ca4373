//! A reader over the tokens of one statement.

use sqlparser::tokenizer::{Token, TokenWithSpan};

/// A place in a list of tokens.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    tokens: &'a [TokenWithSpan],
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(tokens: &'a [TokenWithSpan]) -> Self {
        Self { tokens }
    }

    /// The tokens that are left.
    pub(super) const fn rest(&self) -> &'a [TokenWithSpan] {
        self.tokens
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The next token, which stays.
    pub(super) fn peek(&self) -> Option<&'a Token> {
        self.tokens.first().map(|token| &token.token)
    }

    /// The line and column of the next token.
    pub(super) fn place(&self) -> (u32, u32) {
        self.tokens.first().map_or((1, 1), |token| {
            let at = token.span.start;
            (u32::try_from(at.line).unwrap_or(u32::MAX), u32::try_from(at.column).unwrap_or(u32::MAX))
        })
    }

    /// Takes the next token.
    pub(super) fn next(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(&first.token)
    }

    /// Takes these words, in any case, if they come next; all or none of them.
    pub(super) fn words(&mut self, words: &str) -> bool {
        let mut ahead = *self;
        for word in words.split(' ') {
            match ahead.next() {
                Some(Token::Word(next))
                    if next.quote_style.is_none() && next.value.eq_ignore_ascii_case(word) => {}
                _ => return false,
            }
        }
        *self = ahead;
        true
    }

    /// Takes a token if it comes next.
    pub(super) fn token(&mut self, token: &Token) -> bool {
        if self.peek() == Some(token) {
            self.next();
            return true;
        }
        false
    }

    /// Takes one word, quoted or not. Unquoted names are lower case, as in the catalogue.
    pub(super) fn word(&mut self) -> Option<String> {
        match self.peek()? {
            Token::Word(word) => {
                let text =
                    if word.quote_style.is_some() { word.value.clone() } else { word.value.to_lowercase() };
                self.next();
                Some(text)
            }
            Token::DoubleQuotedString(text) => {
                self.next();
                Some(text.clone())
            }
            _ => None,
        }
    }

    /// Takes a name with or without a schema.
    pub(super) fn name(&mut self) -> Option<super::Name> {
        let mut parts = vec![self.word()?];
        while parts.len() < 4 && self.token(&Token::Period) {
            parts.push(self.word()?);
        }
        let name = parts.pop()?;
        Some(super::Name { schema: parts.pop(), name })
    }

    /// Takes what stands between the next parenthesis and its partner, without them.
    pub(super) fn parenthesis(&mut self) -> Option<Cursor<'a>> {
        if self.peek() != Some(&Token::LParen) {
            return None;
        }
        let mut depth = 0_usize;
        for (at, token) in self.tokens.iter().enumerate() {
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                let inside = self.tokens.get(1..at)?;
                self.tokens = self.tokens.get(at + 1..)?;
                return Some(Cursor::new(inside));
            }
        }
        None
    }

    /// Splits the rest at the commas that stand outside of parentheses.
    pub(super) fn commas(&self) -> Vec<Cursor<'a>> {
        let mut depth = 0_usize;
        self.tokens
            .split(|token| {
                match token.token {
                    Token::LParen | Token::LBracket => depth += 1,
                    Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
                    _ => {}
                }
                depth == 0 && token.token == Token::Comma
            })
            .map(Cursor::new)
            .filter(|part| !part.is_empty())
            .collect()
    }

    /// Goes on behind the first place where these words stand, outside of parentheses; stays when they do not.
    pub(super) fn skip_to(&mut self, words: &str) -> bool {
        let mut ahead = *self;
        let mut depth = 0_usize;
        while !ahead.is_empty() {
            if depth == 0 && ahead.words(words) {
                *self = ahead;
                return true;
            }
            match ahead.next() {
                Some(Token::LParen) => depth += 1,
                Some(Token::RParen) => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        false
    }

    /// The rest as text, with one blank between tokens.
    pub(super) fn text(&self) -> String {
        self.tokens.iter().map(|token| token.token.to_string()).collect::<Vec<_>>().join(" ")
    }
}
