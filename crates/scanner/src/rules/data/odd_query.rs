//! A query of rows that other queries ask for by what keeps them apart, `WHERE project_id = :project_id`, and that does not.

use std::collections::{BTreeMap, BTreeSet};

use partywall_model::{Confidence, Severity};

use super::{passed_over::skipped, past_scope::is_whose};
use crate::{
    flow::{Query, Scope},
    lang::sql::Verb,
    project::{At, Fun, Project},
    rules::Report,
    vocabulary,
};

/// How many functions have to ask for the column.
const ASKED: usize = 2;

/// Reports such queries, when most of those of the same rows ask.
pub(super) fn odd_query(project: &Project, report: &mut Report<'_>) {
    let mut entities: BTreeMap<&str, Vec<&Query>> = BTreeMap::new();
    for query in project.queries().iter().filter(|query| query.is_sql && query.verb != Verb::Insert) {
        entities.entry(query.entity.as_str()).or_default().push(query);
    }
    let mut told = BTreeSet::new();
    for queries in entities.values() {
        let Some(column) = column_of_most(queries) else { continue };
        for query in queries {
            // What goes over all rows keeps house.
            let open = query.scope == Scope::None
                && !query.tied
                && !query.filters.is_empty()
                && !asks(query, &column);
            if open
                && project.has_owners(query.at.module)
                && !skipped(project, query)
                && !says(project, query, &column)
                && told.insert(query.at)
            {
                report
                    .reached_in(
                        query.at,
                        query.function,
                        format!(
                            "other queries of `{}` ask for `{column}`, and this one does not",
                            query.shown
                        ),
                    )
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

fn asks(query: &Query, column: &str) -> bool {
    query.tests.iter().any(|test| test == column)
}

/// The column that most queries of some rows ask for, by which the project keeps them apart.
fn column_of_most(queries: &[&Query]) -> Option<String> {
    let mut functions: BTreeMap<&str, (BTreeSet<Fun>, BTreeSet<At>)> = BTreeMap::new();
    for query in queries {
        for test in query.tests.iter().filter(|test| is_whose(test) && !vocabulary::is_owner(test)) {
            let (by, times) = functions.entry(test).or_default();
            by.insert(query.function);
            times.insert(query.at);
        }
    }
    let most = functions.into_iter().max_by_key(|(_, (by, times))| (by.len(), times.len()))?;
    let (column, (by, times)) = most;
    let all: BTreeSet<At> = queries.iter().map(|query| query.at).collect();
    (by.len() >= ASKED && times.len() * 2 >= all.len()).then(|| column.to_owned())
}

/// Whether the function of a query, or what it is called with, speaks of the column.
fn says(project: &Project, query: &Query, column: &str) -> bool {
    project.unit(query.function.module).is_none_or(|unit| {
        let function = unit.ir.function(query.function.id);
        function.is_none_or(|function| unit.ir.snippet(function.span).contains(column))
    })
}
