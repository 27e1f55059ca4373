//! Who may ask for a query's rows: several callers, or nobody who could be told from another.

use crate::{
    flow::{Query, is_repository},
    lang::sql::Name,
    project::Project,
    vocabulary,
};

/// How many functions a call may be of that are looked at.
const TARGETS: usize = 4;

/// Whether several may ask for a query's rows. Where no handler knows who calls, the owner of a repository, a folder or the author of a
/// note is no caller.
pub(super) fn has_callers(project: &Project, query: &Query) -> bool {
    project.has_owners(query.at.module)
        && (!is_of_a_thing(project, query) || project.handlers_know_callers(query.at.module))
}

/// Whether the owner of a query's rows is a word that is as often said of things: `owner`, `workspace`, `author`, `created_by`.
fn is_of_a_thing(project: &Project, query: &Query) -> bool {
    const THINGS: &[&str] =
        &["owner", "workspace", "author", "by", "repo", "repository", "project", "namespace", "group"];
    const STEPS: usize = 4;
    let mut table =
        project.tables.table(&Name::bare(&query.shown)).or_else(|| project.tables.model(&query.shown));
    // Rows below another table's are whose those are.
    for _ in 0..STEPS {
        let through = table.and_then(|table| table.owner.as_ref()?.through.as_deref());
        let Some(parent) = through.and_then(|name| project.tables.table(&Name::bare(name))) else { break };
        table = Some(parent);
    }
    let columns = table
        .into_iter()
        .flat_map(|table| &table.columns)
        .filter(|column| vocabulary::is_owner(&column.name));
    let mut any = false;
    for column in columns {
        any = true;
        if !vocabulary::words(&column.name).iter().any(|word| THINGS.contains(&word.as_str())) {
            return false;
        }
    }
    any
}

/// Whether a query is a call of a repository that the project writes itself: what its method asks for is what counts.
pub(super) fn is_of_own_repository(project: &Project, query: &Query) -> bool {
    let Some(callee) = project.callee(query.at).filter(|_| !query.is_sql) else { return false };
    callee
        .targets
        .iter()
        .take(TARGETS)
        .any(|target| project.this_of(*target).is_some_and(|class| is_repository(project.class_name(class))))
}
