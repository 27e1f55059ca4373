//! Rows that are shown to everybody by design: what people publish, what they say of it, and what a handler asks for that the project
//! lets everybody call.

use super::passed_over::is_for_everybody;
use crate::{
    flow::{Query, Scope},
    lang::sql::Verb,
    project::Project,
    vocabulary,
};

/// Words of what people write for others to read.
const SAID: &[&str] = &[
    "review",
    "reviews",
    "rating",
    "ratings",
    "vote",
    "votes",
    "like",
    "likes",
    "reaction",
    "reactions",
    "follower",
    "followers",
    "testimonial",
    "testimonials",
];

/// Whether a query reads what is there for everybody.
pub(super) fn is_shown_to_all(project: &Project, query: &Query) -> bool {
    query.verb == Verb::Select
        && (is_published(project, query) || is_said_to_all(project, query) || is_asked_openly(project, query))
}

/// Whether another query shows the published ones of the same rows to whoever asks: `.eq("status", "published")` without an owner. Where
/// each row is said to be public or not, those that are not are somebody's.
fn is_published(project: &Project, query: &Query) -> bool {
    project.queries().iter().any(|other| {
        other.at != query.at
            && other.entity == query.entity
            && other.scope == Scope::None
            && !other.tied
            && is_for_everybody(project, other)
            && !speaks_of_visibility(project, other)
    })
}

/// Whether the statement of a query asks which rows are public.
fn speaks_of_visibility(project: &Project, query: &Query) -> bool {
    let Some(unit) = project.unit(query.at.module) else { return true };
    let Some(stmt) = unit.index.stmt_of(query.at.expr) else { return true };
    let text = unit.ir.snippet(unit.ir.stmt_span(stmt)).to_lowercase();
    text.contains("visib")
        || text.contains("public\"")
        || text.contains("public'")
        || text.contains("_public")
        || text.contains("ispublic")
}

/// Whether rows are what people say of something, of which each changes its own only and nobody asks for its own.
fn is_said_to_all(project: &Project, query: &Query) -> bool {
    vocabulary::words(&query.shown).iter().any(|word| SAID.contains(&word.as_str()))
        && !project.queries().iter().any(|other| {
            other.entity == query.entity && other.verb == Verb::Select && other.scope == Scope::Owner
        })
}

/// Whether the handler that asks is there for everybody by what the project says of it.
fn is_asked_openly(project: &Project, query: &Query) -> bool {
    let reach = project.around(query.function).into_iter().find_map(|fun| project.reach(fun));
    reach
        .and_then(|reach| project.entries().get(reach.entry))
        .is_some_and(|entry| project.is_open_to_all(entry))
}
