//! Texts of queries in code.

use crate::project::At;

/// A part of a text: what is written out, and what is put into it.
pub(super) enum Part {
    /// What is written out.
    Text(String),
    /// A value that is put in.
    Hole(At),
}

/// The language of a query, by how its text begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    /// SQL.
    Sql,
    /// The language of graph databases.
    Cypher,
}

/// How a text begins, when it begins as a query does.
pub(super) fn begins(text: &str) -> Option<Begins> {
    let text = text.trim_start();
    let end = text.bytes().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(text.len());
    let word = text.get(..end).unwrap_or_default();
    let is = |words: &[&str]| words.iter().any(|own| word.eq_ignore_ascii_case(own));
    let begins = if is(&["SELECT", "UPDATE", "DELETE", "INSERT", "WITH"]) {
        Begins::Sql
    } else if is(&["MATCH", "OPTIONAL", "MERGE", "CREATE", "UNWIND"]) {
        Begins::Cypher
    } else {
        return None;
    };
    text.contains([' ', '\n']).then_some(begins)
}
