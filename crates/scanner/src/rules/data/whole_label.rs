//! All nodes of a label of a graph database are deleted, and other queries of the label ask for those of one group.

use std::collections::BTreeMap;

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Query,
    ir::ExprKind,
    lang::{
        cypher::{self, Cypher},
        sql::Verb,
    },
    project::Project,
    rules::Report,
    vocabulary,
};

/// Words of properties that say to which part of the graph a node belongs.
const PARTS: &[&str] = &[
    "group",
    "namespace",
    "partition",
    "graph",
    "dataset",
    "collection",
    "space",
    "database",
    "project",
    "workspace",
];

/// Words of functions that are there to empty everything.
const EMPTIES: &[&str] =
    &["clear", "reset", "wipe", "drop", "truncate", "purge", "flush", "all", "teardown", "cleanup", "prune"];

/// Reports such queries.
pub(super) fn whole_label(project: &Project, report: &mut Report<'_>) {
    let read: Vec<(&Query, Cypher)> =
        project.queries().iter().filter_map(|query| Some((query, text_of(project, query)?))).collect();
    let mut parts: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for (_, found) in &read {
        let Some(label) = found.labels.first() else { continue };
        if let Some(part) = found.properties.iter().find(|name| is_part(name)) {
            parts.entry(label).or_insert((0, part)).0 += 1;
        }
    }
    for (query, found) in &read {
        let [label] = found.labels.as_slice() else { continue };
        let Some((times, part)) = parts.get(label.as_str()) else { continue };
        if *times < 2
            || found.verb != Verb::Delete
            || found.open
            || !found.properties.is_empty()
            || !query.filters.is_empty()
            || empties(project, query)
        {
            continue;
        }
        report
            .reached(
                query.at,
                format!("this deletes every `{label}`; other queries ask for those of one `{part}`"),
            )
            .severity(Severity::Medium)
            .confidence(Confidence::Medium);
    }
}

/// What a query of a graph database says, when it is written out.
fn text_of(project: &Project, query: &Query) -> Option<Cypher> {
    let unit = project.unit(query.at.module).filter(|_| !query.is_sql)?;
    let ExprKind::String(text) = unit.ir.expr(query.at.expr) else { return None };
    cypher::read(unit.ir.text(*text))
}

fn is_part(name: &str) -> bool {
    let words = vocabulary::words(name);
    vocabulary::is_owner(name)
        || (words.last().is_some_and(|last| matches!(last.as_str(), "id" | "ids" | "name" | "namespace"))
            && words.first().is_some_and(|first| PARTS.contains(&first.as_str())))
}

/// Whether a query stands in a function that is there to empty everything.
fn empties(project: &Project, query: &Query) -> bool {
    let Some(unit) = project.unit(query.function.module) else { return true };
    let name = unit.ir.function(query.function.id).and_then(|function| function.name);
    name.is_none_or(|name| {
        vocabulary::words(unit.ir.text(name)).iter().any(|word| EMPTIES.contains(&word.as_str()))
    })
}
