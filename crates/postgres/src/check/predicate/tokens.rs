//! Words and signs of SQL; comments are left out.

/// A piece of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A word that is not quoted, in lower case.
    Word(String),
    /// A name in quotes.
    Quoted(String),
    /// A text literal.
    Text(String),
    Open,
    Close,
    /// Anything else.
    Sign(String),
}

impl Token {
    pub(super) fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Word(word) if word == wanted)
    }

    pub(super) fn is_sign(&self, wanted: &str) -> bool {
        matches!(self, Self::Sign(sign) if sign == wanted)
    }

    /// A name, quoted or not.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Word(name) | Self::Quoted(name) => Some(name),
            _ => None,
        }
    }
}

pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '(' => tokens.push(Token::Open),
            ')' => tokens.push(Token::Close),
            '-' if rest.peek() == Some(&'-') => while rest.next_if(|next| *next != '\n').is_some() {},
            '/' if rest.peek() == Some(&'*') => {
                let mut before = ' ';
                for next in rest.by_ref() {
                    if before == '*' && next == '/' {
                        break;
                    }
                    before = next;
                }
            }
            '\'' | '"' => {
                let mut value = String::new();
                while let Some(next) = rest.next() {
                    if next == c {
                        if rest.peek() == Some(&c) {
                            rest.next();
                        } else {
                            break;
                        }
                    }
                    value.push(next);
                }
                tokens.push(if c == '"' { Token::Quoted(value) } else { Token::Text(value) });
            }
            c if c.is_alphanumeric() || c == '_' => {
                let mut word = c.to_lowercase().to_string();
                while let Some(next) =
                    rest.next_if(|next| next.is_alphanumeric() || *next == '_' || *next == '$')
                {
                    word.extend(next.to_lowercase());
                }
                tokens.push(Token::Word(word));
            }
            c if c.is_whitespace() => {}
            '.' | ',' | ':' | '[' | ']' | ';' | '$' => tokens.push(Token::Sign(c.to_string())),
            c => {
                let mut sign = c.to_string();
                while let Some(next) = rest.next_if(|next| "=<>!~+-*/%^&|@#?".contains(*next)) {
                    sign.push(next);
                }
                tokens.push(Token::Sign(sign));
            }
        }
    }
    tokens
}
