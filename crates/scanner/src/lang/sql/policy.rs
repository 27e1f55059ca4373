//! What a condition of a policy, a view or a function tests.
//!
//! It is read from its tokens. The question is never whether a word appears, but what a row has to have in common with the
//! caller.

use sqlparser::tokenizer::Token;

use super::{Cursor, statements};

/// What a condition tests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// Its text.
    pub text: String,
    /// It is `true`, or one like it.
    pub always: bool,
    /// It is `false`.
    pub never: bool,
    /// Something in it depends on the caller: a setting, the session's role, a function, a subquery.
    pub asks_caller: bool,
    /// The columns and other names in it, in lower case.
    pub names: Vec<String>,
    /// It lets everything through when there is no caller: `current_setting(…) IS NULL OR …` and its like.
    pub fails_open: bool,
}

/// Reads a condition from its text.
#[must_use]
pub fn condition(text: &str) -> Condition {
    statements::tokens(text).map_or_else(Condition::default, |tokens| {
        let tokens: Vec<_> = tokens
            .into_iter()
            .filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF | Token::SemiColon))
            .collect();
        condition_of(Cursor::new(&tokens))
    })
}

/// Words that name the caller by themselves.
const CALLER: [&str; 5] = ["current_user", "session_user", "current_role", "user", "system_user"];
/// Functions that tell nothing about the caller.
const PLAIN: [&str; 17] = [
    "now",
    "lower",
    "upper",
    "coalesce",
    "nullif",
    "length",
    "date_trunc",
    "timezone",
    "any",
    "all",
    "in",
    "exists",
    "array",
    "trim",
    "cast",
    "count",
    "and",
];

/// Reads a condition from its tokens.
pub(super) fn condition_of(at: Cursor<'_>) -> Condition {
    let mut condition = Condition { text: at.text(), ..Condition::default() };
    let bare = condition.text.replace(['(', ')', ' '], "").to_lowercase();
    condition.always =
        matches!(bare.as_str(), "true" | "1=1" | "'t'" | "true::boolean" | "true::bool" | "selecttrue");
    condition.never = matches!(bare.as_str(), "false" | "1=0");
    let mut rest = at;
    while let Some(token) = rest.next() {
        let Token::Word(word) = token else { continue };
        let name = word.value.to_lowercase();
        let called = rest.peek() == Some(&Token::LParen);
        let keyword = word.quote_style.is_none();
        let named =
            keyword && CALLER.contains(&name.as_str()) && !called && rest.peek() != Some(&Token::Period);
        if named || (called && !PLAIN.contains(&name.as_str()) && !is_operator(&name)) {
            condition.asks_caller = true;
        } else if keyword && name == "select" {
            // A subquery decides with something else than the row alone.
            condition.asks_caller |= !bare.eq("selecttrue");
        }
        if !called && !condition.names.contains(&name) {
            condition.names.push(name);
        }
    }
    condition.fails_open = fails_open(at);
    condition
}

fn is_operator(name: &str) -> bool {
    matches!(
        name,
        "or" | "not"
            | "where"
            | "from"
            | "on"
            | "join"
            | "values"
            | "when"
            | "then"
            | "else"
            | "case"
            | "between"
            | "like"
            | "select"
    )
}

/// Whether a branch of an OR, or a fall-back of COALESCE, holds when the caller's setting is missing.
fn fails_open(at: Cursor<'_>) -> bool {
    let mut ahead = at;
    // `coalesce(current_setting(…), tenant_id)` compares the row with itself when the setting is missing.
    while !ahead.is_empty() {
        if ahead.words("coalesce") {
            if let Some(inside) = { ahead }.parenthesis() {
                let parts = inside.commas();
                let asks = parts.first().is_some_and(|part| is_setting(*part));
                let column = parts.iter().skip(1).any(|part| {
                    matches!(part.rest().first().map(|t| &t.token), Some(Token::Word(_)))
                        && !is_setting(*part)
                        && !part.text().to_lowercase().starts_with("null")
                        && !part.text().contains('(')
                });
                if asks && column {
                    return true;
                }
            }
        } else {
            ahead.next();
        }
    }
    branches(at).is_some_and(|branches| branches.iter().any(|branch| holds_without_caller(*branch)))
}

/// The branches of an OR at the top; nothing when there is none.
fn branches(at: Cursor<'_>) -> Option<Vec<Cursor<'_>>> {
    let mut at = at;
    while let Some(inside) = whole(at) {
        at = inside;
    }
    let mut depth = 0_usize;
    let parts: Vec<Cursor<'_>> = at
        .rest()
        .split(|token| {
            match &token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && matches!(&token.token, Token::Word(word) if word.value.eq_ignore_ascii_case("or"))
        })
        .map(Cursor::new)
        .collect();
    (parts.len() > 1).then_some(parts)
}

/// What is inside, when one pair of parentheses holds everything.
fn whole(at: Cursor<'_>) -> Option<Cursor<'_>> {
    let mut ahead = at;
    ahead.parenthesis().filter(|_| ahead.is_empty())
}

fn holds_without_caller(at: Cursor<'_>) -> bool {
    let mut at = at;
    while let Some(inside) = whole(at) {
        at = inside;
    }
    if !is_setting(at) && !is_caller_function(at) {
        return false;
    }
    let text = at.text().to_lowercase();
    let bare = text.replace(' ', "");
    // The branch has to be this test and nothing more.
    !text.contains(" and ") && (text.ends_with("is null") || bare.ends_with("=''") || bare.ends_with("=null"))
}

fn is_setting(at: Cursor<'_>) -> bool {
    let mut at = at;
    at.words("nullif");
    let mut inside = at.parenthesis().unwrap_or(at);
    while inside.token(&Token::LParen) {}
    inside.words("select");
    inside.words("current_setting") || { at }.words("current_setting")
}

/// `auth.uid()` and its like.
fn is_caller_function(at: Cursor<'_>) -> bool {
    let text = at.text().to_lowercase().replace(' ', "");
    text.starts_with("auth.uid()") || text.starts_with("(selectauth.uid()")
}
