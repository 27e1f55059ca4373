//! What a policy's expression tests, from its text as the server writes it (`pg_get_expr`).
//!
//! The catalogue knows which columns a policy depends on, but not in which of its two expressions and how; so the text is
//! read. The server always writes it in one way: every AND and OR in parentheses, names qualified inside subqueries.

#[cfg(test)]
mod tests;

/// A piece of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A word that is not quoted, in lower case, or a quoted name.
    Word(String),
    /// A text literal.
    Text(String),
    Open,
    Close,
    /// Anything else.
    Sign(String),
}

/// Words of the language: a quoted name that is spelled like one is none.
const KEYWORDS: [&str; 16] = [
    "or",
    "and",
    "not",
    "in",
    "any",
    "all",
    "is",
    "null",
    "case",
    "select",
    "distinct",
    "user",
    "current_user",
    "session_user",
    "current_role",
    "current_setting",
];

/// The deepest nesting that is followed; what is deeper counts as unknown.
const DEEPEST: usize = 64;

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '(' => tokens.push(Token::Open),
            ')' => tokens.push(Token::Close),
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
                tokens.push(match c {
                    '"' if KEYWORDS.contains(&value.as_str()) => Token::Sign(format!("\"{value}\"")),
                    '"' => Token::Word(value),
                    _ => Token::Text(value),
                });
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
            '.' | ',' | ':' | '[' | ']' => tokens.push(Token::Sign(c.to_string())),
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

/// What an expression does with the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tests {
    /// No row passes that is not the tenant's.
    Tenant,
    /// Rows pass without a test of the tenant.
    Nothing,
    /// A branch (OR, COALESCE, IS NULL) lets rows pass without a test of the tenant.
    FailsOpen,
    /// It may or may not: a function decides, or something else that a text does not tell.
    Unknown,
}

/// Whether an expression, or a part of it, compares a column with the setting: then the column says whose a row is,
/// whatever it is called.
pub(crate) fn compares_with_the_setting(text: &str, column: &str, setting: &str) -> bool {
    Reading { column, setting }.names(&tokens(text), 0)
}

/// An expression, and what it is read with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading<'r> {
    /// The tenant's column.
    pub(crate) column: &'r str,
    /// The setting that names the tenant.
    pub(crate) setting: &'r str,
}

impl Reading<'_> {
    /// What `text` tests.
    pub(crate) fn tests(self, text: &str) -> Tests {
        self.of(&tokens(text), 0)
    }

    fn of(self, tokens: &[Token], depth: usize) -> Tests {
        if depth > DEEPEST {
            return Tests::Unknown;
        }
        let tokens = unwrapped(tokens);
        let parts = split(tokens, "or");
        if parts.len() > 1 {
            return self.either(&parts, depth);
        }
        let parts = split(tokens, "and");
        if parts.len() > 1 {
            return self.both(&parts, depth);
        }
        if let [Token::Word(not), negated @ ..] = tokens
            && not == "not"
            && !says_distinct(negated)
        {
            return match self.of(negated, depth + 1) {
                // Every row but the tenant's, or a test of something else.
                Tests::Tenant | Tests::Nothing => Tests::Nothing,
                Tests::FailsOpen | Tests::Unknown => Tests::Unknown,
            };
        }
        self.leaf(tokens)
    }

    /// Whether some part compares the column with the setting itself.
    fn names(self, tokens: &[Token], depth: usize) -> bool {
        if depth > DEEPEST {
            return false;
        }
        let tokens = unwrapped(tokens);
        for word in ["or", "and"] {
            let parts = split(tokens, word);
            if parts.len() > 1 {
                return parts.iter().any(|part| self.names(part, depth + 1));
            }
        }
        // With rows of another table in between it is one of their columns that the setting is compared with.
        tokens.contains(&Token::Text(self.setting.to_owned()))
            && !tokens.contains(&Token::Word("from".to_owned()))
            && self.leaf(tokens) == Tests::Tenant
    }

    /// Every branch of an OR lets rows pass.
    fn either(self, parts: &[&[Token]], depth: usize) -> Tests {
        let all: Vec<Tests> = parts.iter().map(|part| self.of(part, depth + 1)).collect();
        if all.iter().all(|tests| *tests == Tests::Tenant) {
            Tests::Tenant
        } else if all.iter().all(|tests| *tests == Tests::Nothing) {
            Tests::Nothing
        } else if all.iter().any(|tests| matches!(tests, Tests::Nothing | Tests::FailsOpen)) {
            Tests::FailsOpen
        } else {
            Tests::Unknown
        }
    }

    /// One part of an AND is enough.
    fn both(self, parts: &[&[Token]], depth: usize) -> Tests {
        let all: Vec<Tests> = parts.iter().map(|part| self.of(part, depth + 1)).collect();
        [Tests::Tenant, Tests::Unknown, Tests::FailsOpen]
            .into_iter()
            .find(|wanted| all.contains(wanted))
            .unwrap_or(Tests::Nothing)
    }

    fn leaf(self, tokens: &[Token]) -> Tests {
        let has = |word: &str| tokens.iter().any(|token| *token == Token::Word(word.to_owned()));
        let column = tokens.iter().any(|token| *token == Token::Word(self.column.to_owned()));
        let source = comes_from_somewhere(tokens);
        let compares = tokens.iter().any(|token| matches!(token, Token::Sign(sign) if sign == "="))
            || has("in")
            || has("any")
            || (has("distinct") && has("not"));
        let nothing = has("null") && has("is") || tokens.contains(&Token::Text(String::new()));
        if !column && nothing && tokens.contains(&Token::Text(self.setting.to_owned())) && !has("nullif") {
            // `current_setting('app.tenant', true) IS NULL`: passes just when there is no tenant.
            return Tests::Nothing;
        }
        if !column {
            // `true`, `status = 'open'`: whoever asks. With a function or a subquery it is not known.
            return if source { Tests::Unknown } else { Tests::Nothing };
        }
        // `(…) IS NOT TRUE`: which way round is not followed.
        let word = |token: &Token, words: &[&str]| {
            words.iter().any(|word| *token == Token::Word((*word).to_owned()))
        };
        let inverted = tokens.windows(2).any(|two| {
            let [before, truth] = two else { return false };
            word(before, &["is", "not"]) && word(truth, &["true", "false", "unknown"])
        });
        if has("case") || inverted {
            return Tests::Unknown;
        }
        if !source {
            // `tenant_id IS NOT NULL`, `tenant_id = 'a'`, `tenant_id = tenant_id`.
            return Tests::Nothing;
        }
        if has("coalesce") && !only_the_empty_text(tokens, self.setting) {
            return Tests::FailsOpen;
        }
        // A subquery that asks nothing of the session is the same for every tenant, if its tables are.
        // Which way an OR inside of one leads is not followed.
        if has("select") && (has("or") || !asks_the_session(tokens)) {
            return Tests::Unknown;
        }
        if compares { Tests::Tenant } else { Tests::Unknown }
    }
}

/// Built-in functions of a row's own values: what they give is not the session's.
const PURE: [&str; 16] = [
    "lower",
    "upper",
    "btrim",
    "ltrim",
    "rtrim",
    "md5",
    "length",
    "left",
    "right",
    "substr",
    "substring",
    "replace",
    "concat",
    "abs",
    "split_part",
    "initcap",
];

/// Whether a part takes a value from the session, a function or another table.
fn comes_from_somewhere(tokens: &[Token]) -> bool {
    asks_the_session(tokens) || tokens.contains(&Token::Word("select".to_owned()))
}

/// Whether a part takes a value from the session or from a function that may.
fn asks_the_session(tokens: &[Token]) -> bool {
    let named = ["current_setting", "current_user", "session_user", "current_role", "user"];
    let syntax = [
        "in",
        "any",
        "all",
        "and",
        "or",
        "not",
        "coalesce",
        "nullif",
        "exists",
        "array",
        "where",
        "on",
        "from",
        "select",
        "case",
        "when",
        "then",
        "else",
        "as",
        "values",
        "like",
        "similar",
        "between",
        "text",
        "varchar",
        "character",
        "numeric",
        "join",
        "by",
        "union",
        "intersect",
        "except",
        "lateral",
    ];
    tokens.iter().enumerate().any(|(at, token)| {
        let Token::Word(word) = token else { return false };
        if named.contains(&word.as_str()) {
            return true;
        }
        let called = tokens.get(at + 1) == Some(&Token::Open);
        called && !syntax.contains(&word.as_str()) && !PURE.contains(&word.as_str())
    })
}

/// Whether what stands in place of a missing setting is the empty text, which is no tenant.
fn only_the_empty_text(tokens: &[Token], setting: &str) -> bool {
    !tokens.iter().enumerate().any(|(at, token)| {
        *token == Token::Word("coalesce".to_owned()) && {
            let end = closing(tokens, at + 1).unwrap_or(at);
            let inside = tokens.get(at + 1..end).unwrap_or_default();
            let harmless = |token: &Token| match token {
                Token::Text(text) => text.is_empty() || text == setting,
                Token::Word(word) => {
                    ["current_setting", "nullif", "text", "true", "null", "character", "varying"]
                        .contains(&word.as_str())
                }
                _ => true,
            };
            !inside.iter().all(harmless)
        }
    })
}

/// Whether it is a comparison by IS DISTINCT FROM.
fn says_distinct(tokens: &[Token]) -> bool {
    unwrapped(tokens).windows(2).any(|two| {
        two.first() == Some(&Token::Word("is".to_owned()))
            && two.get(1) == Some(&Token::Word("distinct".to_owned()))
    })
}

/// The expression in parentheses that a condition begins with; what comes after it (ORDER BY, GROUP BY) is left out.
pub(crate) fn first_group(condition: &str) -> Option<&str> {
    let text = condition.trim_start();
    let (mut open, mut quote) = (0_usize, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(end), _) if c == end => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => open += 1,
            (None, ')') => {
                open = open.checked_sub(1)?;
                if open == 0 {
                    return text.get(..=at);
                }
            }
            (None, _) if open == 0 => return None,
            (None, _) => {}
        }
    }
    None
}

/// Without parentheses that stand around the whole.
fn unwrapped(mut tokens: &[Token]) -> &[Token] {
    while let [Token::Open, inner @ .., Token::Close] = tokens {
        let mut open = 0_usize;
        let balanced = inner.iter().all(|token| match token {
            Token::Open => {
                open += 1;
                true
            }
            Token::Close => {
                let was = open;
                open = open.saturating_sub(1);
                was > 0
            }
            _ => true,
        });
        if !balanced || open != 0 {
            break;
        }
        tokens = inner;
    }
    tokens
}

/// The parts between a word that stands outside of parentheses.
fn split<'t>(tokens: &'t [Token], word: &str) -> Vec<&'t [Token]> {
    let mut parts = Vec::new();
    let (mut open, mut start) = (0_usize, 0);
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Open => open += 1,
            Token::Close => open = open.saturating_sub(1),
            Token::Word(found) if open == 0 && found == word => {
                parts.extend(tokens.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(tokens.get(start..));
    parts
}

/// Whether a column is compared with itself under the same name, as `(m.tenant_id = m.tenant_id)`: a name inside a
/// subquery was taken for the subquery's own column.
pub(crate) fn compares_with_itself(text: &str) -> bool {
    let tokens = tokens(text);
    let dot = Token::Sign(".".to_owned());
    let equal = Token::Sign("=".to_owned());
    tokens.windows(7).any(|window| {
        let [a, d1, b, sign, c, d2, d] = window else { return false };
        *d1 == dot
            && *d2 == dot
            && *sign == equal
            && a == c
            && b == d
            && matches!((a, b), (Token::Word(_), Token::Word(_)))
    })
}

/// Whether two nothings count as the same: `tenant_id IS NOT DISTINCT FROM …`, which the server writes with NOT before it.
pub(crate) fn takes_null_for_a_tenant(text: &str, column: &str) -> bool {
    let tokens = tokens(text);
    let word = |token: &Token, wanted: &str| *token == Token::Word(wanted.to_owned());
    tokens.iter().any(|token| word(token, column))
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

/// Where the parenthesis at a place is closed.
fn closing(tokens: &[Token], at: usize) -> Option<usize> {
    let mut open = 0_usize;
    for (place, token) in tokens.iter().enumerate().skip(at) {
        match token {
            Token::Open => open += 1,
            Token::Close => {
                open = open.checked_sub(1)?;
                if open == 0 {
                    return Some(place);
                }
            }
            _ if open == 0 => return None,
            _ => {}
        }
    }
    None
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
