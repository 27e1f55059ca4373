//! What else is asked of a text: which settings it reads, and whether it compares a column in a way that folds.

use std::collections::BTreeSet;

use super::{
    folds,
    parse::{Expr, expression},
    tokens::tokens,
};

/// Whether a column is compared with itself under the same name, as `(m.tenant_id = m.tenant_id)`: a name inside a
/// subquery was taken for the subquery's own column.
pub(crate) fn compares_with_itself(text: &str) -> bool {
    expression(&tokens(text)).any(&|part| match part {
        Expr::Op(a, sign, b) if sign == "=" => {
            a.bare() == b.bare() && matches!(a.bare(), Expr::Name(path) if path.len() > 1)
        }
        _ => false,
    })
}

/// Whether a column is compared in a way for which different texts are the same: by `lower`, or by a collation.
pub(crate) fn compares_folded(text: &str, column: &str) -> bool {
    let is_column = |expr: &Expr<'_>| matches!(expr.bare(), Expr::Name(path) if path.last().is_some_and(|name| name == column));
    let folded = |expr: &Expr<'_>| match expr.bare() {
        Expr::Call(name, with) => {
            matches!(name.as_slice(), [name] if name == "lower" || name == "upper")
                && with.iter().any(is_column)
        }
        _ => false,
    };
    expression(&tokens(text)).any(&|part| match part {
        Expr::Op(a, sign, b) | Expr::Any(a, sign, b) if sign == "=" => {
            let names = part.any(&|part| is_column(part));
            // `tenant_id = lower(tenant_id)` says something of the row alone.
            let other = if folded(a) { b } else { a };
            names && (part.any(&folds) || ((folded(a) || folded(b)) && !other.any(&|part| is_column(part))))
        }
        _ => false,
    })
}

/// The settings that a text reads, by name.
pub(crate) fn settings_read(text: &str) -> BTreeSet<String> {
    let found = std::cell::RefCell::new(BTreeSet::new());
    let tokens = tokens(text);
    // Nothing ends the search.
    let _all = expression(&tokens).any(&|part| {
        if let Expr::Call(name, with) = part
            && name.last().is_some_and(|name| name == "current_setting")
            && let Some(Expr::Text(setting)) = with.first().map(Expr::bare)
        {
            found.borrow_mut().insert(setting.clone());
        }
        false
    });
    found.into_inner()
}

/// The setting that a text compares a column with, if that is all that the text does.
pub(crate) fn only_compares(text: &str, column: &str) -> Option<String> {
    let tokens = tokens(text);
    let whole = expression(&tokens);
    let (a, b) = match &whole {
        Expr::Op(a, sign, b) if sign == "=" => (a, b),
        Expr::Not(of) => match &**of {
            Expr::Distinct(a, b) => (a, b),
            _ => return None,
        },
        _ => return None,
    };
    let is_column = |expr: &Expr<'_>| matches!(expr.bare(), Expr::Name(path) if path.last().is_some_and(|name| name == column));
    match (is_column(a), is_column(b)) {
        (true, false) => setting_in(b),
        (false, true) => setting_in(a),
        _ => None,
    }
}

/// The setting, with no more around it than guards against its not being there.
fn setting_in(expr: &Expr<'_>) -> Option<String> {
    match expr.bare() {
        Expr::Call(name, with) => match (name.last()?.as_str(), with.as_slice()) {
            ("current_setting", [Expr::Text(setting), ..]) => Some(setting.clone()),
            ("current_setting", [first, ..]) => match first.bare() {
                Expr::Text(setting) => Some(setting.clone()),
                _ => None,
            },
            ("nullif" | "coalesce", [first, ..]) => setting_in(first),
            _ => None,
        },
        Expr::Select(select) => match select.understood()? {
            [branch] if branch.from.is_empty() => match branch.targets.as_slice() {
                [target] => setting_in(target),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// Whether a CHECK leaves one spelling of each name in a column: `name = lower(name)`, or a pattern without capitals.
pub(crate) fn leaves_one_case(check: &str, column: &str) -> bool {
    let tokens = tokens(check.trim_start().strip_prefix("CHECK").unwrap_or(check));
    let is_column = |expr: &Expr<'_>| matches!(expr.bare(), Expr::Name(path) if path.last().is_some_and(|name| name == column));
    let folded = |expr: &Expr<'_>| match expr.bare() {
        Expr::Call(name, with) => {
            matches!(name.as_slice(), [name] if name == "lower" || name == "upper")
                && with.iter().all(is_column)
        }
        _ => false,
    };
    let whole = expression(&tokens);
    let conditions = [whole];
    super::conjuncts(&conditions).into_iter().any(|condition| match condition {
        Expr::Op(a, sign, b) if sign == "=" => (is_column(a) && folded(b)) || (is_column(b) && folded(a)),
        Expr::Op(a, sign, b) if sign == "~" => {
            is_column(a) && matches!(b.bare(), Expr::Text(text) if in_one_case(text))
        }
        _ => false,
    })
}

/// Whether a pattern is of the whole text, and no capital letter fulfils it: small letters, digits and signs, and ranges of those.
fn in_one_case(pattern: &str) -> bool {
    let Some(inner) = pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix('$')) else { return false };
    let single =
        |sign: char| sign.is_ascii_lowercase() || sign.is_ascii_digit() || "_-+@,;~=#%/ ".contains(sign);
    let mut signs = inner.chars().peekable();
    let mut before = None;
    while let Some(sign) = signs.next() {
        let plain = match sign {
            '[' => in_a_set(&mut signs),
            '(' => signs.peek() != Some(&'?'),
            ')' | '+' | '{' | '}' | '*' => true,
            // What may be left out, and not what an option of the pattern is.
            '?' => before.is_some_and(|before| before != '('),
            sign => single(sign),
        };
        if !plain {
            return false;
        }
        before = Some(sign);
    }
    true
}

/// The same of what stands between brackets, of which the first one is read.
fn in_a_set(signs: &mut std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    let mut first = None;
    while let Some(sign) = signs.next() {
        match sign {
            ']' => return first.is_some(),
            '-' if first.is_none() || signs.peek() == Some(&']') => {}
            '-' => {
                let (Some(from), Some(to)) = (first, signs.next()) else { return false };
                let within = |kind: fn(&char) -> bool| kind(&from) && kind(&to);
                if !within(char::is_ascii_lowercase) && !within(char::is_ascii_digit) {
                    return false;
                }
            }
            sign if sign.is_ascii_lowercase() || sign.is_ascii_digit() || "_.+@,;~#%/ ".contains(sign) => {}
            _ => return false,
        }
        first = Some(sign);
    }
    false
}

/// Whether a text has a name in it.
pub(crate) fn names(text: &str, column: &str) -> bool {
    tokens(text).iter().any(|token| token.name() == Some(column))
}

/// Whether it asks for the name by which the server knows who asks.
pub(crate) fn asks_for_the_user(text: &str) -> bool {
    let tokens = tokens(text);
    let by_setting = |name: &String| name == "role" || name == "session_authorization";
    expression(&tokens).any(&|part| match part {
        Expr::User => true,
        Expr::Opaque(tokens) => ["current_user", "session_user", "current_role", "user"]
            .iter()
            .any(|word| tokens.iter().any(|t| t.is(word))),
        _ => false,
    }) || settings_read(text).iter().any(by_setting)
}
