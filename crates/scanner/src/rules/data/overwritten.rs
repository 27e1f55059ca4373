//! Rows that are written over by an id which the caller sends, whosever they are: `INSERT … ON CONFLICT (id) DO UPDATE` without a
//! condition. Source: <https://www.postgresql.org/docs/current/sql-insert.html#SQL-ON-CONFLICT>.

use partywall_model::{Confidence, Severity};

use super::unscoped_query::is_checked;
use crate::{
    flow::Query,
    ir::{ExprKind, NameRef, PropertyKey, walk},
    project::{At, Project},
    rules::Report,
    vocabulary,
};

/// Reports such queries.
pub(super) fn overwritten(project: &Project, report: &mut Report<'_>) {
    for query in project.queries().iter().filter(|query| query.overwrites) {
        let reached = project.around(query.function).into_iter().any(|fun| project.reach(fun).is_some());
        if reached
            && project.has_owners(query.at.module)
            && takes_sent_id(project, query)
            && !is_checked(project, query)
        {
            report
                .reached_in(
                    query.at,
                    query.function,
                    format!("a row of `{}` that is there already is written over, whosever it is: its id is what was sent", query.shown),
                )
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether one of the values is an id that the caller sends.
fn takes_sent_id(project: &Project, query: &Query) -> bool {
    query.filters.iter().any(|at| {
        let Some(unit) = project.unit(at.module) else { return false };
        let sent = |at: At| project.origins(at).is_chosen();
        if project.last_written(*at).is_some_and(is_id) && sent(*at) {
            return true;
        }
        // `{"id": change["id"], "owner": owner}`, also by the variable that holds it
        let made =
            project.roots(*at).into_iter().flat_map(|id| unit.index.sources(id)).map(|source| source.value);
        let mut found = false;
        for expr in std::iter::once(at.expr).chain(made) {
            walk::exprs_below(&unit.ir, expr, &mut |below| {
                found |= match unit.ir.expr(below) {
                    ExprKind::Object(properties) => properties.iter().any(|property| {
                        matches!(property.key, PropertyKey::Name(name) if is_id(unit.ir.text(name)))
                            && sent(at.to(property.value))
                    }),
                    ExprKind::Name(NameRef::Binding(id)) => {
                        is_id(unit.ir.binding_name(*id)) && sent(at.to(below))
                    }
                    ExprKind::Member { property, .. } => is_id(unit.ir.text(*property)) && sent(at.to(below)),
                    ExprKind::Index { index, .. } => {
                        matches!(unit.ir.expr(*index), ExprKind::String(name) if is_id(unit.ir.text(*name)))
                            && sent(at.to(below))
                    }
                    _ => false,
                };
            });
        }
        found
    })
}

/// Whether a name is that of the id of a thing, and of no owner.
fn is_id(name: &str) -> bool {
    vocabulary::words(name).last().is_some_and(|last| matches!(last.as_str(), "id" | "uuid"))
        && !vocabulary::is_owner(name)
}
