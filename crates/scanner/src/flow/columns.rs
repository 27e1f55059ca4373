//! What SQL lists of the rows that it reads.

use crate::{lang::sql::Piece, vocabulary};

/// Whether a text of SQL lists a column for an owner among those that it reads.
pub(super) fn shows_owner(text: &[Piece<'_>]) -> bool {
    first_shown(text).is_some_and(|list| names_owner_column(&list))
}

/// What a text of SQL lists before its first table.
fn first_shown(text: &[Piece<'_>]) -> Option<String> {
    let first = text.iter().find_map(|piece| match piece {
        Piece::Text(text) => Some(text.trim_start()),
        Piece::Hole => None,
    })?;
    let upper = first.to_ascii_uppercase();
    let rest = upper.strip_prefix("SELECT")?;
    let until = rest.find("FROM")?;
    rest.get(..until).map(str::to_ascii_lowercase)
}

/// Whether a list of columns has one for an owner among others.
fn names_owner_column(list: &str) -> bool {
    let columns = list.split(',').map(|column| {
        let last = column.split_whitespace().next().unwrap_or("");
        last.rsplit('.').next().unwrap_or("").trim_matches(['"', '`'])
    });
    columns.clone().count() > 1
        && columns.into_iter().any(|column| column.contains('_') && vocabulary::is_owner(column))
}
