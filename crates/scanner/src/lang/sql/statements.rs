//! A file of SQL as statements, each a list of tokens with their lines.
//!
//! The tokens are sqlparser's. A file that its tokenizer refuses is cut at semicolons, and each piece is tried by itself, so
//! that one strange statement does not hide the others.

use std::borrow::Cow;

use sqlparser::{
    dialect::{Dialect, GenericDialect, MySqlDialect, PostgreSqlDialect},
    tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace},
};

/// The most tokens of one file that are looked at.
const MOST_TOKENS: usize = 2_000_000;

/// One statement: its tokens without blanks and comments.
#[derive(Debug)]
pub(super) struct Statement {
    /// The tokens; never empty.
    pub(super) tokens: Vec<TokenWithSpan>,
}

/// The statements of a text that take effect when it is applied: the way back of a migration is left out. The lines that
/// could not be read come second.
pub(super) fn of(text: &str) -> (Vec<Statement>, Vec<u32>) {
    let text = &*without_commands(text);
    if let Some(tokens) = tokens(text) {
        return (split(tokens, 0), Vec::new());
    }
    let (mut statements, mut unread) = (Vec::new(), Vec::new());
    let mut line = 0_u64;
    for piece in text.split_inclusive(';') {
        match tokens(piece) {
            Some(tokens) => statements.extend(split(tokens, line)),
            None => unread.push(u32::try_from(line + 1).unwrap_or(u32::MAX)),
        }
        line += piece.matches('\n').count() as u64;
    }
    (statements, unread)
}

/// The text without the lines that are psql's own commands, such as `\c app` and `\set ON_ERROR_STOP on`: they end with their line, and
/// would take the statement after them along.
fn without_commands(text: &str) -> Cow<'_, str> {
    if !text.lines().any(|line| line.trim_start().starts_with('\\')) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len());
    let mut within: Option<String> = None;
    for line in text.split_inclusive('\n') {
        if within.is_none() && line.trim_start().starts_with('\\') {
            kept.push('\n');
            continue;
        }
        within = ends_within(line, within);
        kept.push_str(line);
    }
    Cow::Owned(kept)
}

/// What of several lines a line ends within: a text in quotes, a body between dollars or a comment; given what it begins within.
fn ends_within(line: &str, mut within: Option<String>) -> Option<String> {
    let mut rest = line;
    loop {
        if let Some(end) = &within {
            let Some((_, after)) = rest.split_once(end.as_str()) else { return within };
            rest = after;
            within = None;
            continue;
        }
        let at = rest.find(['\'', '$', '-', '/'])?;
        let here = rest.get(at..)?;
        if here.starts_with("--") {
            return None;
        }
        let mut taken = 1;
        if here.starts_with('\'') {
            within = Some("'".to_owned());
        } else if here.starts_with("/*") {
            taken = 2;
            within = Some("*/".to_owned());
        } else if let Some(tag) = dollar_tag(here) {
            taken = tag.len();
            within = Some(tag.to_owned());
        }
        rest = here.get(taken..)?;
    }
}

/// The mark that a body between dollars begins with: `$$`, `$body$`.
fn dollar_tag(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('$')?;
    let end = inner.find('$')?;
    let name = inner.get(..end)?;
    name.chars().all(|char| char.is_alphanumeric() || char == '_').then(|| text.get(..end + 2)).flatten()
}

/// The tokens of a text, by the first dialect that can read it.
pub(super) fn tokens(text: &str) -> Option<Vec<TokenWithSpan>> {
    let dialects: [&dyn Dialect; 3] = [&PostgreSqlDialect {}, &MySqlDialect {}, &GenericDialect {}];
    dialects.into_iter().find_map(|dialect| {
        let tokens = Tokenizer::new(dialect, text).with_unescape(false).tokenize_with_location().ok()?;
        (tokens.len() <= MOST_TOKENS).then_some(tokens)
    })
}

fn split(tokens: Vec<TokenWithSpan>, lines_before: u64) -> Vec<Statement> {
    let mut statements = Vec::new();
    let mut current = Vec::new();
    let mut back = false;
    for mut token in tokens {
        token.span.start.line += lines_before;
        token.span.end.line += lines_before;
        match &token.token {
            Token::Whitespace(Whitespace::SingleLineComment { comment, .. }) => {
                back = direction(comment).unwrap_or(back);
            }
            Token::Whitespace(_) | Token::EOF => {}
            // `BEGIN ATOMIC` is the body of a function, with statements of its own.
            Token::SemiColon if !back && in_atomic(&current) => current.push(token),
            Token::SemiColon => finish(&mut current, &mut statements),
            _ if back => {}
            _ => current.push(token),
        }
    }
    finish(&mut current, &mut statements);
    statements
}

/// Whether a function's body of statements has begun and not ended.
fn in_atomic(current: &[TokenWithSpan]) -> bool {
    let is = |token: Option<&TokenWithSpan>, text: &str| matches!(token.map(|token| &token.token), Some(Token::Word(word)) if word.value.eq_ignore_ascii_case(text));
    is(current.first(), "create")
        && !is(current.last(), "end")
        && current.windows(2).any(|pair| is(pair.first(), "begin") && is(pair.last(), "atomic"))
}

fn finish(current: &mut Vec<TokenWithSpan>, statements: &mut Vec<Statement>) {
    if !current.is_empty() {
        statements.push(Statement { tokens: std::mem::take(current) });
    }
}

/// Whether a comment of a migration tool says that the way back begins (true) or ends (false).
fn direction(comment: &str) -> Option<bool> {
    let words: Vec<String> = comment.split_whitespace().take(3).map(str::to_ascii_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["+goose", "down", ..]
        | ["+migrate", "down", ..]
        | ["migrate:down", ..]
        | ["down", "migration", ..]
        | ["+micrate", "down"] => Some(true),
        ["+goose", "up", ..]
        | ["+migrate", "up", ..]
        | ["migrate:up", ..]
        | ["up", "migration", ..]
        | ["+micrate", "up"] => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        let (statements, _) = of(text);
        statements
            .iter()
            .map(|statement| {
                statement.tokens.iter().map(|t| t.token.to_string()).collect::<Vec<_>>().join(" ")
            })
            .collect()
    }

    #[test]
    fn semicolons_in_bodies_and_strings_end_nothing() {
        let found = texts("SELECT ';'; CREATE FUNCTION f() AS $$ a; b; $$; -- x;\nSELECT 2");
        assert_eq!(found, ["SELECT ';'", "CREATE FUNCTION f ( ) AS $$ a; b; $$", "SELECT 2"]);
    }

    #[test]
    fn the_way_back_of_a_migration_is_left_out() {
        let text = "-- +goose Up\nCREATE TABLE a (b int);\n-- +goose Down\nDROP TABLE a;\n";
        assert_eq!(texts(text), ["CREATE TABLE a ( b int )"]);
        assert_eq!(texts("-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 2;").len(), 1);
    }

    #[test]
    fn one_statement_that_cannot_be_read_hides_no_other() {
        let (statements, unread) = of("SELECT 1;\nSELECT 'it;\nSELECT 2;");
        assert!(!statements.is_empty());
        assert_eq!(unread.len(), 1);
    }

    #[test]
    fn commands_of_psql_take_no_statement_along() {
        let found =
            texts("\\c app\n\\set ON_ERROR_STOP on\nCREATE TABLE a (b int);\n  \\echo done\nSELECT 1;");
        assert_eq!(found, ["CREATE TABLE a ( b int )", "SELECT 1"]);
        for kept in ["SELECT 'a\n\\b';", "DO $x$ a\n\\b $x$;", "SELECT '''a\n\\b';", "/* '\n\\ */ SELECT 1;"]
        {
            assert!(without_commands(kept).contains('\\'), "{kept}");
        }
        let (statements, _) = of("-- it's\n\\c x\nSELECT 1;");
        assert_eq!(statements.first().map(|one| one.tokens[0].span.start.line), Some(3));
    }

    #[test]
    fn a_body_of_statements_is_one_statement() {
        let found =
            texts("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; BEGIN; SELECT 3;");
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn lines_are_those_of_the_file() {
        let (statements, _) = of("\n\nSELECT 1;\n\nSELECT 2;");
        let lines: Vec<u64> = statements.iter().map(|s| s.tokens[0].span.start.line).collect();
        assert_eq!(lines, [3, 5]);
    }
}
