//! Sentences that begin like SQL: descriptions of tools say "Update an existing task" and "Delete a page".

use sqlparser::tokenizer::Token;

use super::{block, cursor::Cursor};

/// What stands before a noun in a sentence, and is no table's name.
const DETERMINERS: &[&str] = &[
    "a", "an", "the", "this", "that", "these", "those", "your", "our", "my", "its", "their", "any", "all",
    "multiple", "several", "existing", "one", "each", "every", "given", "specific", "some",
];

/// Whether a statement lacks what SQL has behind its verb.
pub(super) fn is_prose(statement: Cursor<'_>) -> bool {
    if statement.rest().last().is_some_and(|last| last.token == Token::Period) {
        return true;
    }
    let mut at = statement;
    while at.token(&Token::LParen) {}
    let has = |words: &str| { at }.skip_to(words);
    let opens = || at.rest().iter().any(|token| token.token == Token::LParen);
    let lacks = if { at }.words("update") {
        !has("set")
    } else if { at }.words("delete") {
        !{ at }.words("delete from") && !(has("from") && (has("where") || has("join") || has("using")))
    } else if { at }.words("insert") {
        !(has("into") && (opens() || ["values", "select", "set", "default"].into_iter().any(has)))
    } else if { at }.words("with") {
        let mut at = at;
        !(at.skip_to("as") && opens())
    } else {
        false
    };
    let first = block::tables(statement).into_iter().next();
    lacks || first.is_some_and(|name| name.schema.is_none() && DETERMINERS.contains(&name.name.as_str()))
}
