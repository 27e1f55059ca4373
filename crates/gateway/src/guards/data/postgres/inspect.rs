//! What a statement's text may say, seen by a real lexer and parser; and its parameters, as the server counts them.
//!
//! Whoever declares a statement is trusted, and can still be wrong: a statement that moves the tenant, leaves something
//! behind on a shared connection or looks into the catalogue is refused here, before the server sees it. That rows of
//! other tenants do not exist for it does not rest on this: the server's policies or the tenant's own role see to that,
//! in a transaction that is read-only unless the tool writes.

use std::ops::ControlFlow;

use sqlparser::{
    ast::{ObjectName, ObjectNamePart, Statement, visit_relations, visit_statements},
    dialect::PostgreSqlDialect,
    parser::Parser,
    tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word},
};

use crate::guards::data::DataError;

/// The longest statement, in bytes.
const LONGEST: usize = 64 << 10;
/// How deep expressions may be nested; the parser recurses.
const DEEPEST: usize = 50;

/// Functions that change the session or what a policy reads, that outlive the transaction, that speak to other sessions,
/// files or servers, or that run SQL in a text. A `*` stands for any characters.
const FORBIDDEN: &[(&str, &str)] = &[
    ("set_config", "it changes settings, and the gateway alone sets them"),
    ("setseed", "it changes the session"),
    ("setval", "a sequence counts for all tenants"),
    ("currval", "it reads what another call left on the connection"),
    ("lastval", "it reads what another call left on the connection"),
    ("lo_*", "large objects belong to no tenant"),
    ("loread", "large objects belong to no tenant"),
    ("lowrite", "large objects belong to no tenant"),
    ("dblink*", "it connects to another server"),
    ("http_*", "it connects to another server"),
    ("query_to_xml*", "it runs SQL in a text"),
    ("cursor_to_xml*", "it runs SQL in a text"),
    ("table_to_xml*", "it runs SQL in a text"),
    ("schema_to_xml*", "it runs SQL in a text"),
    ("database_to_xml*", "it runs SQL in a text"),
    ("ts_stat", "it runs SQL in a text"),
    ("ts_rewrite", "it can run SQL in a text"),
    ("crosstab*", "it runs SQL in a text"),
    ("connectby", "it runs SQL in a text"),
    ("xpath_table", "it runs SQL in a text"),
    ("has_*_privilege", "it tells which roles and tables there are"),
    ("row_security_active", "it tells which tables there are"),
    ("to_reg*", "it tells which roles and tables there are"),
    ("obj_description", "it reads the server's catalogue"),
    ("col_description", "it reads the server's catalogue"),
    ("shobj_description", "it reads the server's catalogue"),
    ("format_type", "it tells which tables there are"),
    ("oidvectortypes", "it tells which tables there are"),
    ("acl*", "it tells which roles there are"),
    ("makeaclitem", "it tells which roles there are"),
    ("reg*in", "it tells which roles and tables there are"),
    ("reg*out", "it tells which roles and tables there are"),
    ("array_in", "it reads a text as any type, also one that tells which roles and tables there are"),
    ("record_in", "it reads a text as any type, also one that tells which roles and tables there are"),
    ("txid_*", "it tells what others do"),
];

/// The functions whose names begin with `pg_` that may be called. All others look at the server, at its files or at other
/// sessions, or may do so in a version to come.
const HARMLESS: &[&str] = &[
    "pg_advisory_xact_lock",
    "pg_advisory_xact_lock_shared",
    "pg_column_size",
    "pg_input_is_valid",
    "pg_size_pretty",
    "pg_try_advisory_xact_lock",
    "pg_try_advisory_xact_lock_shared",
    "pg_typeof",
];

/// Types whose values are names in the catalogue: whether a text can be read as one tells whether there is such a role,
/// table or schema.
const NAMING: &[&str] =
    &["aclitem", "regclass", "regnamespace", "regoper", "regoperator", "regproc", "regprocedure", "regrole"];

/// The same, and counters of all transactions, which are of use to whoever declares a statement and not to a model.
const WRITTEN_NAMING: &[&str] =
    &["oidvector", "regcollation", "regconfig", "regdictionary", "regtype", "xmax", "xmin"];

/// A statement whose text was looked at.
#[derive(Debug)]
pub(super) struct Inspected {
    /// The statement with `$1`, `$2`, … for its parameters.
    pub(super) sql: String,
    /// The same without parameters where they are only asked whether they are null, which tells the server nothing about
    /// their types; `None` if there is no such place.
    pub(super) typed: Option<String>,
    /// The parameters' names, in the order of their numbers.
    pub(super) params: Vec<String>,
}

/// Looks at a declared statement.
pub(super) fn declared(sql: &str, writes: bool) -> Result<Inspected, DataError> {
    let tokens = tokens(sql)?;
    let inspected = rewrite(sql, &tokens)?;
    check_words(&tokens, writes)?;
    check_tree(&inspected.sql, writes)?;
    Ok(inspected)
}

/// Looks at a statement that a model wrote: it has no parameters of its own.
pub(super) fn written(sql: &str, writes: bool) -> Result<Inspected, DataError> {
    let inspected = declared(sql, writes)?;
    if !inspected.params.is_empty() {
        return Err(refused("it has parameters; write the values into it".to_owned()));
    }
    if sql.to_ascii_lowercase().contains("advisory") {
        return Err(refused("advisory locks are one set for all tenants".to_owned()));
    }
    let words = tokens(sql)?.into_iter().filter_map(|token| match token.token {
        Token::Word(word) => Some(word.value),
        _ => None,
    });
    for word in words {
        let name = bare(&word);
        // Every table of the catalogue is a type too.
        let of_catalogue =
            name.starts_with("pg_") && name != "pg_catalog" && !HARMLESS.contains(&name.as_str());
        if of_catalogue || WRITTEN_NAMING.contains(&name.as_str()) {
            return Err(refused(format!("it names `{word}`, which is about all tenants")));
        }
    }
    Ok(inspected)
}

/// The name without regard to case, and that of an array's elements: the server puts `_` before it.
fn bare(word: &str) -> String {
    word.trim_start_matches('_').to_lowercase()
}

fn refused(text: String) -> DataError {
    DataError::Refused(text)
}

fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>, DataError> {
    if sql.len() > LONGEST {
        return Err(refused(format!("it is longer than {LONGEST} bytes")));
    }
    // For the server a carriage return ends a comment, and form feeds are spaces; for other readers they may not be.
    if let Some(control) = sql.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Err(refused(format!(
            "it contains the control character U+{:04X}; lines end with a line feed alone",
            u32::from(control)
        )));
    }
    let found = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location();
    found.map_err(|error| DataError::Configuration(error.to_string()))
}

/// Puts numbers where names are, and leaves every other character as it is.
fn rewrite(sql: &str, tokens: &[TokenWithSpan]) -> Result<Inspected, DataError> {
    let places = Places::of(sql);
    let lost = || DataError::Internal("a parameter's place in the statement was not found".to_owned());
    let mut inspected = Inspected { sql: String::with_capacity(sql.len()), typed: None, params: Vec::new() };
    let mut typed = String::with_capacity(sql.len());
    if tokens.iter().any(|token| matches!(token.token, Token::Placeholder(_))) {
        return Err(refused("parameters are written `:name`; `$1` and `?` are not allowed".to_owned()));
    }
    let mut copied = 0;
    for (index, pair) in tokens.windows(2).enumerate() {
        let [colon, name] = pair else { continue };
        let (Token::Colon, Token::Word(Word { value, quote_style: None, .. })) = (&colon.token, &name.token)
        else {
            continue;
        };
        if colon.span.end != name.span.start {
            continue;
        }
        let begin = places.offset(colon.span.start).ok_or_else(lost)?;
        let end = places.offset(name.span.end).ok_or_else(lost)?;
        if sql.get(begin..end) != Some(format!(":{value}").as_str()) {
            return Err(lost());
        }
        let number = match inspected.params.iter().position(|known| known == value) {
            Some(index) => index + 1,
            None => {
                inspected.params.push(value.clone());
                inspected.params.len()
            }
        };
        let before = sql.get(copied..begin).ok_or_else(lost)?;
        inspected.sql.push_str(before);
        inspected.sql.push_str(&format!("${number}"));
        typed.push_str(before);
        if is_asked_for_null(tokens.get(index + 2..).unwrap_or_default()) {
            typed.push_str("NULL");
            inspected.typed = Some(String::new());
        } else {
            typed.push_str(&format!("${number}"));
        }
        copied = end;
    }
    let rest = sql.get(copied..).ok_or_else(lost)?;
    inspected.sql.push_str(rest);
    typed.push_str(rest);
    inspected.typed = inspected.typed.map(|_| typed);
    Ok(inspected)
}

/// Whether `IS NULL` or `IS NOT NULL` follows.
fn is_asked_for_null(rest: &[TokenWithSpan]) -> bool {
    let mut words = rest.iter().filter(|token| !matches!(token.token, Token::Whitespace(_)));
    let mut next = |wanted: &str| match words.next().map(|token| &token.token) {
        Some(Token::Word(word)) => word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted),
        _ => false,
    };
    if !next("IS") {
        return false;
    }
    next("NULL") || next("NULL")
}

/// Where each line and column of a text is.
struct Places<'s> {
    sql: &'s str,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl<'s> Places<'s> {
    fn of(sql: &'s str) -> Self {
        let ends = sql.match_indices('\n').map(|(at, _)| at + 1);
        Self { sql, lines: std::iter::once(0).chain(ends).collect() }
    }

    /// The byte offset of a place; lines and columns begin at 1, and a column is a character.
    fn offset(&self, at: Location) -> Option<usize> {
        let begin = *self.lines.get(usize::try_from(at.line).ok()?.checked_sub(1)?)?;
        let line = self.sql.get(begin..)?;
        let column = usize::try_from(at.column).ok()?.checked_sub(1)?;
        let within = line.char_indices().map(|(at, _)| at).chain(std::iter::once(line.len())).nth(column)?;
        Some(begin + within)
    }
}

/// What is refused wherever it stands.
fn check_words(tokens: &[TokenWithSpan], writes: bool) -> Result<(), DataError> {
    let telling: Vec<&Token> = tokens
        .iter()
        .map(|token| &token.token)
        .filter(|token| !matches!(token, Token::Whitespace(_)))
        .collect();
    let word = |token: Option<&&Token>| match token {
        Some(Token::Word(word)) if word.quote_style.is_none() => Some(word.value.to_ascii_uppercase()),
        _ => None,
    };
    for (index, token) in telling.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| word(telling.get(before)));
        let next = telling.get(index + 1);
        if let Token::Word(name) = token
            && matches!(next, Some(Token::LParen))
        {
            check_function(&name.value)?;
        }
        if let Token::UnicodeStringLiteral(_) = token {
            return Err(refused(
                "texts are not written with `U&`; write the characters themselves".to_owned(),
            ));
        }
        if let Token::Word(name) = token
            && NAMING.contains(&bare(&name.value).as_str())
        {
            return Err(refused(format!(
                "it names the type `{}`, which tells which roles and tables there are",
                name.value
            )));
        }
        // The lexer does not read the escapes in `U&"…"`, so a name written so could be any name.
        if let Token::Ampersand = token
            && before.as_deref() == Some("U")
            && matches!(
                next,
                Some(Token::Word(Word { quote_style: Some(_), .. }) | Token::DoubleQuotedString(_))
            )
        {
            return Err(refused("names are not written with `U&`".to_owned()));
        }
        match word(Some(token)).as_deref() {
            // The parser keeps this name apart from those of other tables, so that nobody would look at it.
            Some("TABLE") => {
                return Err(refused("`TABLE name` is written `SELECT * FROM name`".to_owned()));
            }
            // And reads `ONLY name` as a table called `ONLY`.
            Some("ONLY") if !matches!(before.as_deref(), Some("ROW" | "ROWS")) => {
                return Err(refused("a table is named without `ONLY`".to_owned()));
            }
            Some("INTO") if !matches!(before.as_deref(), Some("INSERT" | "MERGE")) => {
                return Err(refused("`SELECT … INTO` makes a table; leave `INTO` out".to_owned()));
            }
            Some("FOR")
                if !writes && matches!(word(next).as_deref(), Some("UPDATE" | "SHARE" | "NO" | "KEY")) =>
            {
                return Err(refused(
                    "it locks rows; say `writes = true` if that is meant, or leave the lock out".to_owned(),
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_function(name: &str) -> Result<(), DataError> {
    let name = name.to_lowercase();
    if name.starts_with("pg_") && !HARMLESS.contains(&name.as_str()) {
        return Err(refused(format!(
            "it calls `{name}`; of the server's `pg_` functions only {} are allowed",
            HARMLESS.join(", ")
        )));
    }
    let found = FORBIDDEN.iter().find(|(pattern, _)| match pattern.split_once('*') {
        Some((beginning, end)) => name.starts_with(beginning) && name.ends_with(end),
        None => name == *pattern,
    });
    match found {
        Some((_, why)) => Err(refused(format!("it calls `{name}`: {why}"))),
        None => Ok(()),
    }
}

/// What kind of statement it is, and which tables it names.
fn check_tree(sql: &str, writes: bool) -> Result<(), DataError> {
    let parsed = Parser::new(&PostgreSqlDialect {}).with_recursion_limit(DEEPEST).try_with_sql(sql);
    let statements = parsed
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| DataError::Configuration(error.to_string()))?;
    let [statement] = statements.as_slice() else {
        return Err(refused("exactly one statement is allowed".to_owned()));
    };
    let kinds = visit_statements(statement, |part| match part {
        Statement::Query(_) => ControlFlow::Continue(()),
        Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) | Statement::Merge(_)
            if writes =>
        {
            ControlFlow::Continue(())
        }
        Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) | Statement::Merge(_) => {
            ControlFlow::Break("it changes data; say `writes = true` if that is meant")
        }
        _ => ControlFlow::Break(
            "allowed are SELECT, VALUES, INSERT, UPDATE, DELETE and MERGE, with WITH before them or not",
        ),
    });
    if let ControlFlow::Break(why) = kinds {
        return Err(refused(why.to_owned()));
    }
    let tables = visit_relations(statement, |name| match in_catalogue(name) {
        true => ControlFlow::Break(name.to_string()),
        false => ControlFlow::Continue(()),
    });
    match tables {
        ControlFlow::Break(name) => Err(refused(format!(
            "it names `{name}`, a table of the server's catalogue, which is about all tenants"
        ))),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn in_catalogue(name: &ObjectName) -> bool {
    name.0.iter().any(|part| match part {
        ObjectNamePart::Identifier(word) => {
            let word = word.value.to_lowercase();
            word.starts_with("pg_") || word == "information_schema"
        }
        _ => true,
    })
}

#[cfg(test)]
mod tests;
