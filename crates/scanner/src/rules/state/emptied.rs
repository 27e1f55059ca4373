//! Shared collections that a request empties and fills again with what is its own.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Origins,
    ir::{BindingId, ExprId, ExprKind, FunctionId, Language, NameRef, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Reports `registry.clear()` in a function of a request that puts things for its caller into the same object afterwards.
pub(super) fn emptied(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for expr in &unit.index.calls {
            let at = At { module, expr: *expr };
            let fun = project.function_of(at);
            let Some((root, name)) = cleared(unit, *expr) else { continue };
            if fun.id == FunctionId::MODULE || vocabulary::is_cache(&name) || !unit.ir.is_module_level(root) {
                continue;
            }
            // `if len(seen) > MOST: seen.clear()` makes room.
            let now_and_then = unit
                .index
                .stmt_of(*expr)
                .and_then(|stmt| unit.index.stmt_parent(stmt))
                .is_some_and(|up| matches!(unit.ir.stmt(up), crate::ir::StmtKind::If { .. }));
            if now_and_then {
                continue;
            }
            let asks = asks_who_calls(project, unit, fun);
            if asks && fills_again(unit, fun, *expr, root) {
                report
                    .reached(at, format!("`{name}` is emptied and filled again for this caller, while other requests use it"))
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// The variable at the root of a collection that a call empties, and the collection's name.
fn cleared(unit: &Unit, expr: ExprId) -> Option<(BindingId, String)> {
    let ExprKind::Call(call) = unit.ir.expr(expr) else { return None };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
    if unit.ir.text(*property) != "clear" || !call.args.is_empty() {
        return None;
    }
    let name = match unit.ir.expr(*object) {
        ExprKind::Member { property, .. } => unit.ir.text(*property).to_owned(),
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id).to_owned(),
        _ => return None,
    };
    Some((root_of(unit, *object)?, name))
}

fn root_of(unit: &Unit, expr: ExprId) -> Option<BindingId> {
    let mut here = expr;
    for _ in 0..8 {
        match unit.ir.expr(here) {
            ExprKind::Member { object, .. } | ExprKind::Index { object, .. } => here = *object,
            ExprKind::Name(NameRef::Binding(id)) => return Some(*id),
            _ => return None,
        }
    }
    None
}

/// Whether a function asks for the caller, or is told: what it fills in is the caller's.
fn asks_who_calls(project: &Project, unit: &Unit, fun: Fun) -> bool {
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        if !found
            && matches!(unit.ir.expr(expr), ExprKind::Member { .. } | ExprKind::Call(_) | ExprKind::Name(_))
        {
            let origins = project.origins(At { module: fun.module, expr });
            found = origins.has(Origins::PRINCIPAL | Origins::SECRET)
                || (origins.has(Origins::OWNER) && origins.is_of_request());
        }
    });
    found
}

/// Whether a function puts something into the same object later: by a method, by a key, or by a function that it hands it to.
fn fills_again(unit: &Unit, fun: Fun, cleared: ExprId, root: BindingId) -> bool {
    let after = |expr: ExprId| unit.index.order(expr) > unit.index.order(cleared);
    let is_root = |expr: ExprId| root_of(unit, expr) == Some(root);
    let mut found = unit.index.writes.iter().any(|write| {
        write.function == fun.id
            && after(write.place)
            && matches!(unit.ir.expr(write.place), ExprKind::Index { .. })
            && is_root(write.place)
    });
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        if expr == cleared || !after(expr) {
            return;
        }
        let adds = match unit.ir.expr(call.callee) {
            ExprKind::Member { object, property, .. } => {
                let verb = vocabulary::words(unit.ir.text(*property)).first().cloned().unwrap_or_default();
                is_root(*object)
                    && matches!(
                        verb.as_str(),
                        "add"
                            | "register"
                            | "append"
                            | "update"
                            | "extend"
                            | "set"
                            | "insert"
                            | "load"
                            | "setdefault"
                    )
            }
            _ => false,
        };
        found |= adds
            || call.args.iter().any(
                |arg| matches!(unit.ir.expr(arg.value), ExprKind::Name(NameRef::Binding(id)) if *id == root),
            );
    });
    found
}
