//! One's own credential, and anybody's where there is none: `Token.objects.get(owner=user)`, and then
//! `Token.objects.filter(provider="x").first()`.

use std::collections::BTreeMap;

use partywall_model::{Confidence, Severity};

use super::credential_of_anybody::picks_one;
use crate::{
    flow::{Query, Scope},
    lang::sql::Verb,
    project::{Fun, Project},
    rules::Report,
    vocabulary,
};

/// Reports such queries, where one before it in the same function asks for the same rows by their owner.
pub(super) fn any_after_own(project: &Project, report: &mut Report<'_>) {
    let mut functions: BTreeMap<(Fun, &str), Vec<&Query>> = BTreeMap::new();
    for query in project.queries().iter().filter(|query| query.verb == Verb::Select) {
        functions.entry((query.function, &query.entity)).or_default().push(query);
    }
    for queries in functions.into_values().filter(|queries| queries.len() > 1) {
        let Some(own) = queries.iter().find(|query| query.scope != Scope::None) else { continue };
        for query in &queries {
            let later = project.order(query.at) > project.order(own.at);
            if later && picks_one(project, query) && by_kind(project, query) {
                report
                    .reached(
                        query.at,
                        format!("where the caller has none of `{}`, anybody's is taken here", query.shown),
                    )
                    .confidence(Confidence::Medium)
                    .severity(Severity::High)
                    .related(own.at.module, project.span(own.at), "the caller's own is asked for here");
            }
        }
    }
}

/// Whether a query names nothing but the kind of what it reads: a provider, a service, what is written out.
fn by_kind(project: &Project, query: &Query) -> bool {
    const KINDS: &[&str] =
        &["provider", "idp", "type", "kind", "service", "platform", "integration", "source", "name", "scope"];
    let says_kind = |name: &str| vocabulary::words(name).iter().any(|word| KINDS.contains(&word.as_str()));
    query.tests.iter().all(|column| says_kind(column) || column.starts_with("is_") || column.ends_with("_at"))
        && query.filters.iter().all(|at| {
            let model = project.snippet(*at).starts_with(char::is_uppercase);
            model || project.is_fixed(*at) || project.last_written(*at).is_some_and(says_kind)
        })
}
