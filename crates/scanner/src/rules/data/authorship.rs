//! Columns that say who wrote a row, and not whose it is.

use crate::{
    flow::{Query, Scope},
    lang::sql::Name,
    project::Project,
    vocabulary,
};

/// Whether the only party in the rows of a query is whoever made them, `created_by`, and no query of the project finds rows by it: prompts
/// or categories of the whole installation, which somebody of it wrote.
pub(in crate::rules) fn is_only_made_by_somebody(project: &Project, query: &Query) -> bool {
    let table =
        project.tables.table(&Name::bare(&query.shown)).or_else(|| project.tables.model(&query.shown));
    let Some(owner) = table.and_then(|table| table.owner.as_ref()) else { return false };
    let words = vocabulary::words(&owner.column);
    let made = matches!(words.first().map(String::as_str), Some("created" | "creator" | "createdby"));
    made && !owner.itself
        && owner.through.is_none()
        && !project.queries().iter().any(|other| {
            other.entity == query.entity
                && other.scope != Scope::None
                && !adds(other)
                && finds_by(project, other, &owner.column)
        })
}

/// Whether a query is written with a column; a row that is found by its id is somebody's only because somebody made it.
fn finds_by(project: &Project, query: &Query, column: &str) -> bool {
    if query.is_sql {
        return true;
    }
    let Some(unit) = project.unit(query.at.module) else { return true };
    let Some(stmt) = unit.index.stmt_of(query.at.expr) else { return true };
    let plain = |text: &str| text.to_lowercase().replace('_', "");
    plain(unit.ir.snippet(unit.ir.stmt_span(stmt))).contains(&plain(column))
}

fn adds(query: &Query) -> bool {
    query.verb == crate::lang::sql::Verb::Insert
}
