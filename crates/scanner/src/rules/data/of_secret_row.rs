//! Queries by the id of a row that a secret found: `row = find(where token_hash = …)`, and then `mark used where id = row.id`.

use super::passed_over::is_by_what_one_has;
use crate::{
    flow::Query,
    ir::{BindingId, ExprKind, NameRef},
    project::{At, Project, Unit},
};

/// How many variables lie between the row and its id.
const STEPS: u32 = 4;

/// Whether all that a query finds rows by was taken out of a row of the same table that only whoever has a secret finds.
pub(super) fn is_of_secret_row(project: &Project, query: &Query) -> bool {
    let Some(unit) = project.unit(query.at.module) else { return false };
    // `query(sql, [id])` is given a list.
    let values = query.filters.iter().flat_map(|at| match unit.ir.expr(at.expr) {
        ExprKind::Array { items, .. } => items.iter().map(|item| at.to(*item)).collect(),
        _ => vec![*at],
    });
    let own: Vec<At> = values
        .filter(|at| !matches!(unit.ir.expr(at.expr), ExprKind::String(_) | ExprKind::Number(_)))
        .collect();
    !own.is_empty()
        && own
            .iter()
            .all(|at| root(unit, at.expr).is_some_and(|id| comes_of_secret(project, unit, query, id, STEPS)))
}

/// The variable that a value is, or is a part of.
fn root(unit: &Unit, expr: crate::ir::ExprId) -> Option<BindingId> {
    let mut at = expr;
    for _ in 0..6 {
        match unit.ir.expr(at) {
            ExprKind::Member { object, .. } | ExprKind::Index { object, .. } => at = *object,
            ExprKind::Await(inner) => at = *inner,
            ExprKind::Name(NameRef::Binding(id)) => return Some(*id),
            _ => return None,
        }
    }
    None
}

/// Whether a variable is set once, to a part of what such a query gave.
fn comes_of_secret(project: &Project, unit: &Unit, query: &Query, id: BindingId, depth: u32) -> bool {
    let (Some(depth), [source]) = (depth.checked_sub(1), unit.index.sources(id)) else { return false };
    let span = unit.ir.span(source.value);
    let found = project.queries().iter().any(|other| {
        other.at.module == query.at.module
            && other.entity == query.entity
            && other.at != query.at
            && span.contains(unit.ir.span(other.at.expr))
            && is_by_what_one_has(project, other)
    });
    found
        || root(unit, source.value)
            .is_some_and(|from| from != id && comes_of_secret(project, unit, query, from, depth))
}
