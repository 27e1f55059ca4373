//! How a text reads settings: with what around `current_setting`.

use super::{
    parse::closing,
    tokens::{Token, tokens},
};

/// Whether two nothings count as the same: `tenant_id IS NOT DISTINCT FROM …`, which the server writes with NOT before it.
pub(crate) fn takes_null_for_a_tenant(text: &str, column: &str) -> bool {
    let tokens = tokens(text);
    let word = |token: &Token, wanted: &str| token.is(wanted);
    tokens.iter().any(|token| token.name() == Some(column))
        && tokens.windows(2).enumerate().any(|(at, window)| {
            let [is, distinct] = window else { return false };
            let Some(before) = tokens.get(..at) else { return false };
            word(is, "is")
                && word(distinct, "distinct")
                && before.iter().rev().take(8).any(|token| word(token, "not"))
        })
}

/// Calls of `current_setting` with one argument, which fail where the setting was never made.
pub(crate) fn asks_strictly(text: &str) -> bool {
    calls(text).iter().any(|call| call.arguments == 1)
}

/// Whether the setting is cast to a type that the empty text is none of, without `nullif` around it.
pub(crate) fn casts_the_empty_text(text: &str) -> bool {
    calls(text).iter().any(|call| {
        !call.in_nullif && call.cast.as_deref().is_some_and(|kind| kind != "text" && kind != "character")
    })
}

/// Whether some use of a setting lets the empty text through.
pub(crate) fn lets_the_empty_text_through(text: &str) -> bool {
    calls(text).iter().any(|call| !call.in_nullif)
}

/// Whether it reads a setting.
pub(crate) fn reads_a_setting(text: &str) -> bool {
    !calls(text).is_empty()
}

/// One call of `current_setting`.
struct Call {
    arguments: usize,
    in_nullif: bool,
    /// The type that its value is cast to.
    cast: Option<String>,
}

fn calls(text: &str) -> Vec<Call> {
    let tokens = tokens(text);
    let comma = Token::Sign(",".to_owned());
    let mut found = Vec::new();
    let mut nullifs: Vec<usize> = Vec::new();
    let mut open = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Open => {
                open += 1;
                let before = at.checked_sub(1).and_then(|before| tokens.get(before));
                if before == Some(&Token::Word("nullif".to_owned())) {
                    nullifs.push(open);
                }
            }
            Token::Close => {
                if nullifs.last() == Some(&open) {
                    nullifs.pop();
                }
                open = open.saturating_sub(1);
            }
            Token::Word(word) if word == "current_setting" => {
                let Some(end) = closing(&tokens, at + 1) else { continue };
                let inside = tokens.get(at + 2..end).unwrap_or_default();
                let arguments = 1 + inside.iter().filter(|token| **token == comma).count();
                found.push(Call {
                    arguments,
                    in_nullif: !nullifs.is_empty(),
                    cast: cast_after(&tokens, end),
                });
            }
            _ => {}
        }
    }
    found
}

/// The type in `)::type` after a place, through the parentheses that the server writes around it.
fn cast_after(tokens: &[Token], mut at: usize) -> Option<String> {
    let colon = Token::Sign(":".to_owned());
    loop {
        match tokens.get(at + 1..)? {
            [a, b, Token::Word(kind), ..] if *a == colon && *b == colon => return Some(kind.clone()),
            [Token::Close, ..] => at += 1,
            _ => return None,
        }
    }
}
