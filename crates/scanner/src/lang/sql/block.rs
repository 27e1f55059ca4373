//! Functions and blocks of PL/pgSQL: which tables they touch, what they set, and which security they change.

use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{Change, Cursor, Name, ddl, policy::condition_of, statements};

/// The deepest block in a block that is read.
const DEEPEST: usize = 3;

/// Reads a DO block after its keyword.
pub(super) fn read(at: Cursor<'_>, add: &mut dyn FnMut(Change)) {
    if let Some(body) = body(at) {
        inside(&body, 0, add);
    }
}

/// The tokens of the body of a function or block: between dollars, in quotes after `AS`, or as statements (`BEGIN ATOMIC … END`).
fn body(mut at: Cursor<'_>) -> Option<Vec<TokenWithSpan>> {
    while !at.is_empty() {
        if at.words("begin atomic") {
            return Some(at.rest().to_vec());
        }
        let quoted = at.words("as");
        match at.next()? {
            Token::DollarQuotedString(text) => return statements::tokens(&text.value).map(code),
            Token::SingleQuotedString(text) if quoted => {
                return statements::tokens(&text.replace("''", "'")).map(code);
            }
            _ => {}
        }
    }
    None
}

fn code(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF)).collect()
}

/// Changes of a block: those that stand in it, and those that it puts together.
fn inside(tokens: &[TokenWithSpan], depth: usize, add: &mut dyn FnMut(Change)) {
    if depth > DEEPEST {
        return;
    }
    for statement in tokens.split(|token| token.token == Token::SemiColon) {
        let mut at = Cursor::new(statement);
        // What comes before the statement's own first word: BEGIN, IF … THEN, LOOP.
        while !at.is_empty() {
            if ["alter", "create", "drop", "grant", "revoke"].iter().any(|word| { at }.words(word)) {
                ddl::read(at, add);
                break;
            }
            if { at }.words("execute") {
                dynamic(at, tokens, add);
                break;
            }
            at.next();
        }
    }
}

/// `EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name)`: the names are somewhere in the block, or come from
/// the catalogue.
fn dynamic(statement: Cursor<'_>, all: &[TokenWithSpan], add: &mut dyn FnMut(Change)) {
    let text = statement.text().to_lowercase();
    if !text.contains("row level security") && !text.contains("create policy") {
        return;
    }
    let tables = all
        .iter()
        .filter_map(|token| match &token.token {
            Token::SingleQuotedString(text) => Some(text.trim().to_lowercase()),
            _ => None,
        })
        .filter(|text| {
            !text.is_empty()
                && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '"'))
        })
        .map(|text| text.rsplit('.').next().unwrap_or(&text).replace('"', ""))
        .filter(|text| text != "public")
        .collect();
    add(Change::Dynamic { tables, policies: text.contains("create policy") });
}

/// A function after its keyword.
pub(super) fn function(mut at: Cursor<'_>, add: &mut dyn FnMut(Change)) {
    let Some(function) = at.name() else { return };
    at.parenthesis();
    let definer = { at }.skip_to("security definer");
    let search_path = { at }.skip_to("set search_path");
    let trigger = { at }.skip_to("returns trigger") || { at }.skip_to("returns event_trigger");
    let body = body(at).unwrap_or_default();
    let touches = tables(Cursor::new(&body));
    let condition = if body.is_empty() { ddl::none() } else { condition_of(Cursor::new(&body)) };
    let sets = body
        .split(|token| token.token == Token::SemiColon)
        .find_map(|statement| settings(Cursor::new(statement)));
    add(Change::CreateFunction { function, definer, search_path, trigger, touches, condition, sets });
    enables(&body, add);
}

/// What a procedure puts together to enable security: `CALL enable_rls()` is what it is made for.
fn enables(body: &[TokenWithSpan], add: &mut dyn FnMut(Change)) {
    for statement in body.split(|token| token.token == Token::SemiColon) {
        let mut at = Cursor::new(statement);
        while !at.is_empty() {
            if { at }.words("execute") {
                if at.text().to_lowercase().contains("enable row level security") {
                    dynamic(at, body, add);
                }
                break;
            }
            at.next();
        }
    }
}

/// A setting of the application that one statement of a body sets for the session.
fn settings(mut at: Cursor<'_>) -> Option<String> {
    while !at.is_empty() {
        if let Some(setting) = session_setting(at) {
            return Some(setting);
        }
        at.next();
    }
    None
}

/// The tables that are read or written from here on.
pub(super) fn tables(mut at: Cursor<'_>) -> Vec<Name> {
    let mut found = Vec::new();
    while !at.is_empty() {
        let reads = at.words("from") || at.words("join") || at.words("insert into") || at.words("update");
        if !reads {
            at.next();
            continue;
        }
        at.words("only");
        let mut ahead = at;
        while let Some(name) = ahead.name() {
            // A function in FROM is no table.
            if ahead.peek() == Some(&Token::LParen) {
                break;
            }
            if !found.contains(&name) {
                found.push(name);
            }
            at = ahead;
            // A second table may follow behind a comma, with an alias between.
            ahead.words("as");
            if !matches!(ahead.peek(), Some(Token::Comma)) {
                ahead.word();
            }
            if !ahead.token(&Token::Comma) {
                break;
            }
        }
    }
    found
}

/// A setting with a point in its name that a statement sets for the whole session: `SET app.tenant = …` or
/// `set_config('app.tenant', …, false)`.
pub(super) fn session_setting(mut at: Cursor<'_>) -> Option<String> {
    if at.words("set") {
        if at.words("local") || { at }.words("transaction") {
            return None;
        }
        at.words("session");
        let name = at.name()?;
        // `SET "app.tenant"` is the same setting.
        let setting = match name.schema {
            Some(schema) => format!("{schema}.{}", name.name),
            None => name.name.contains('.').then_some(name.name)?,
        };
        return (at.words("to") || at.token(&Token::Eq)).then_some(setting);
    }
    let call = at.words("select set_config") || at.words("perform set_config") || at.words("set_config");
    let parts = call.then(|| at.parenthesis()).flatten()?.commas();
    let [name, _, local] = parts.as_slice() else { return None };
    let Some(Token::SingleQuotedString(setting)) = name.peek() else { return None };
    let local = local.text().to_lowercase();
    (setting.contains('.') && matches!(local.as_str(), "false" | "'f'" | "0" | "'false'"))
        .then(|| setting.to_lowercase())
}
