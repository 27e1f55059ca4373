//! Handlers that give the list of all tenants to whoever calls.

use partywall_model::{Confidence, Severity};

use super::{by_id_alone::is_kept, ignored_caller::uses_of_caller};
use crate::{
    flow::{Entry, Query, Scope, singular},
    ir::FunctionId,
    lang::sql::Verb,
    project::Project,
    rules::Report,
};

/// Reports such queries.
pub(super) fn all_tenants(project: &Project, report: &mut Report<'_>) {
    for query in project.queries() {
        // What is joined with the tenants names them too.
        let all = query.is_sql || (query.scope == Scope::None && !query.tied);
        let asked = query.verb == Verb::Select && all && query.filters.is_empty();
        if !asked
            || !is_tenants(&query.entity)
            || query.function.id == FunctionId::MODULE
            || !gives_whole(project, query)
        {
            continue;
        }
        let around = project.around(query.function);
        let entry = around.into_iter().find_map(|fun| project.entries().get(project.reach(fun)?.entry));
        if entry.is_none_or(|entry| is_asked(project, entry)) || project.tells_ranks_apart(query.function) {
            continue;
        }
        report
            .reached_in(
                query.at,
                query.function,
                format!("this gives all `{}` to whoever calls", query.shown),
            )
            .severity(Severity::Medium)
            .confidence(Confidence::Medium);
    }
}

/// Whether rows of an entity are tenants themselves.
pub(super) fn is_tenants(entity: &str) -> bool {
    matches!(singular(entity).as_str(), "tenant" | "organization" | "organisation" | "workspace")
}

/// Whether a query gives more of a tenant than what a page for signing in lists.
fn gives_whole(project: &Project, query: &Query) -> bool {
    let text = project.snippet(query.at).to_lowercase();
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    !query.is_sql
        || ((text.contains("select *") || text.contains(".*"))
            && !text.contains(" where ")
            && !text.contains(" limit 1"))
}

/// Whether a handler asks who calls, or something before it decides who may call.
fn is_asked(project: &Project, entry: &Entry) -> bool {
    let fun = entry.handler;
    project.is_operators(entry)
        || project.is_public(entry)
        || project.is_checked_before(entry)
        || !matches!(entry.kind.as_str(), "http" | "tool")
        || is_kept(project, entry)
        || !uses_of_caller(project, fun).is_empty()
        || project.refuses_by_rank(fun)
        || project.tells_ranks_apart(fun)
}
