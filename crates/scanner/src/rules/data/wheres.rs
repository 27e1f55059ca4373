//! What a query of an ORM tests for, as far as it is written out.

use crate::{
    flow::Query,
    ir::{ExprId, ExprKind, PropertyKey, walk},
    project::{At, Project},
};

/// Whether the function of a query compares what its rows are kept apart by, in the application's own word, of a row that it found by
/// the same id: `row.project === project`.
pub(super) fn is_compared_apart(project: &Project, query: &Query) -> bool {
    if project.header_words().is_empty() {
        return false;
    }
    let Some(unit) = project.unit(query.function.module) else { return false };
    let ids: Vec<_> = query.filters.iter().flat_map(|at| project.roots(*at)).collect();
    let mut found = false;
    walk::function_exprs(&unit.ir, query.function.id, &mut |expr| {
        let ExprKind::Compare { left, right, .. } = unit.ir.expr(expr) else { return };
        let side = |own: ExprId| {
            let at = query.at.to(own);
            project.last_written(at).is_some_and(|name| project.is_own_tenant(name))
                && project.roots(at).iter().any(|root| ids.contains(root))
        };
        found |= side(*left) || side(*right);
    });
    found
}

/// The tests of a query that all have to hold, by the column's name: of `{ where: { id, teamId } }` and of
/// `.where(and(eq(notes.id, id), eq(notes.teamId, team)))`.
pub(super) fn wheres(project: &Project, query: At) -> Vec<(String, At)> {
    let mut found = Vec::new();
    let Some(unit) = project.unit(query.module) else { return found };
    let mut parts = Vec::new();
    walk::exprs_below(&unit.ir, query.expr, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Object(properties) if parts.is_empty() => {
            parts.extend(properties.iter().find_map(|property| {
                matches!(property.key, PropertyKey::Name(name) if unit.ir.text(name) == "where")
                    .then_some(property.value)
            }));
        }
        ExprKind::Call(call)
            if project.written(query.to(expr)).last().is_some_and(|name| name == "where") =>
        {
            parts.extend(call.args.iter().map(|arg| arg.value));
        }
        _ => {}
    });
    while let Some(part) = parts.pop() {
        if found.len() > 32 {
            break;
        }
        match unit.ir.expr(part) {
            ExprKind::Object(properties) => {
                for property in properties {
                    if let PropertyKey::Name(name) = property.key {
                        found.push((unit.ir.text(name).to_owned(), query.to(property.value)));
                    }
                }
            }
            ExprKind::Call(call) => {
                let name = project.written_as_exported(query.to(part)).pop().unwrap_or_default();
                match (name.as_str(), call.positional(0), call.positional(1)) {
                    ("and", ..) => parts.extend(call.args.iter().map(|arg| arg.value)),
                    ("eq" | "inArray", Some(column), Some(value)) => {
                        let column = project.written(query.to(column)).pop().unwrap_or_default();
                        found.push((column.into(), query.to(value)));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    found
}
