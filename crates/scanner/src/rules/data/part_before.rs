//! Rows that were found as a part of something else just before: what is asked for by its id alone is the same row.

use crate::{
    flow::Query,
    ir::{BindingId, ExprId, ExprKind, NameRef, PropertyKey, walk},
    project::{Project, Unit},
    vocabulary,
};

/// Whether an earlier query of the same rows in the same function is told the same id and that of what the row is a part of:
/// `updateMany({ where: { id, folderId } })`, and then `findUnique({ where: { id } })`.
pub(super) fn is_part_before(project: &Project, query: &Query) -> bool {
    let Some(unit) = project.unit(query.at.module).filter(|_| !query.is_sql) else { return false };
    let own = ids(unit, query.at.expr);
    let [(_, id)] = own.as_slice() else { return false };
    project.queries().iter().any(|other| {
        other.function == query.function
            && other.at != query.at
            && other.entity == query.entity
            && unit.index.order(other.at.expr) < unit.index.order(query.at.expr)
            && {
                let told = ids(unit, other.at.expr);
                told.len() > 1 && told.iter().any(|(_, other)| other == id)
            }
    })
}

/// The columns of ids that a query's conditions say, each with the variable that it is held against.
fn ids(unit: &Unit, query: ExprId) -> Vec<(String, BindingId)> {
    let mut found = Vec::new();
    each_condition(unit, query, &mut |key, value| {
        let (PropertyKey::Name(name), ExprKind::Name(NameRef::Binding(id))) = (key, unit.ir.expr(value))
        else {
            return;
        };
        let name = unit.ir.text(name);
        if vocabulary::words(name).last().is_some_and(|last| last == "id") {
            found.push((name.to_owned(), *id));
        }
    });
    found
}

/// Calls a function with each column of a query's `where` objects and what it is held against: `{ where: { id } }`.
pub(super) fn each_condition(unit: &Unit, query: ExprId, take: &mut impl FnMut(PropertyKey, ExprId)) {
    walk::exprs_below(&unit.ir, query, &mut |expr| {
        let ExprKind::Object(options) = unit.ir.expr(expr) else { return };
        let wheres = options
            .iter()
            .filter(|own| matches!(own.key, PropertyKey::Name(name) if unit.ir.text(name) == "where"));
        for condition in wheres {
            let ExprKind::Object(columns) = unit.ir.expr(condition.value) else { continue };
            columns.iter().for_each(|column| take(column.key, column.value));
        }
    });
}
