//! What makes it doubtful that an id which was sent reaches another's: ranks that are told apart, a credential beside it, a service of the
//! operator's that names whom it works for.

use crate::{
    flow::Origins,
    ir::{ExprId, ExprKind, NameRef, StmtKind, walk},
    project::{At, Fun, Parent, Project, Unit},
    vocabulary,
};

/// Whether whoever names another's may be one who may.
pub(super) fn may_name_others(project: &Project, fun: Fun, at: At) -> bool {
    project.tells_ranks_apart(fun) || is_beside_credential(project, at) || is_of_service(project, at)
}

/// Whether a function, or one around it, finds out who calls.
pub(super) fn asks_who_calls(project: &Project, fun: Fun) -> bool {
    project.around(fun).into_iter().any(|around| {
        let Some(unit) = project.unit(around.module) else { return false };
        let mut asks = false;
        walk::function_exprs(&unit.ir, around.id, &mut |expr| {
            asks = asks
                || (matches!(unit.ir.expr(expr), ExprKind::Call(_) | ExprKind::Member { .. })
                    && project.origins(At { module: around.module, expr }).has(Origins::PRINCIPAL));
        });
        asks
    })
}

/// Whether a call that is told an id is told a credential that was sent beside it, `connect(socket, userId, token)`: it may be the one
/// that verifies it.
fn is_beside_credential(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let id = match unit.ir.expr(at.expr) {
        ExprKind::Name(NameRef::Binding(id)) => *id,
        // `user_id = socket.query.get("user_id")`
        _ => match unit.index.stmt_of(at.expr).map(|stmt| unit.ir.stmt(stmt)) {
            Some(StmtKind::Assign { target, .. }) => match target.as_binding() {
                Some(id) => id,
                None => return false,
            },
            _ => return false,
        },
    };
    let own = unit.index.function(at.expr);
    let told = |used: ExprId| {
        let Parent::Expr(up) = unit.index.parent(used) else { return false };
        let ExprKind::Call(call) = unit.ir.expr(up) else { return false };
        call.callee != used
            && call.args.iter().any(|arg| {
                arg.value != used
                    && !project.is_fixed(at.to(arg.value))
                    && project.last_written(at.to(arg.value)).is_some_and(vocabulary::is_credential)
            })
    };
    unit.index
        .uses(id)
        .iter()
        .take(24)
        .filter(|used| unit.index.function(**used) == own)
        .any(|used| told(*used))
}

/// Whether a place stands where a request was found to be one of the operator's own services: `if (isServiceRole(request)) { … }`.
pub(super) fn is_of_service(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let mut stmt = unit.index.stmt_of(at.expr);
    for _ in 0..8 {
        let Some(here) = stmt else { return false };
        let up = unit.index.stmt_parent(here);
        if let Some(StmtKind::If { test, then, .. }) = up.map(|up| unit.ir.stmt(up))
            && then.contains(&here)
            && asks_for_service(project, unit, at.to(*test))
        {
            return true;
        }
        stmt = up;
    }
    false
}

fn asks_for_service(project: &Project, unit: &Unit, test: At) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, test.expr, &mut |expr| {
        let name = match unit.ir.expr(expr) {
            ExprKind::Call(call) => project.last_written(test.to(call.callee)),
            ExprKind::Name(_) | ExprKind::Member { .. } => project.last_written(test.to(expr)),
            _ => None,
        };
        let words = name.map(vocabulary::words);
        let has = |list: &[&str]| {
            words.iter().flat_map(|words| words.iter()).any(|word| list.contains(&word.as_str()))
        };
        found |= has(&["internal"])
            || (has(&["service"]) && has(&["role", "key", "account", "token", "request", "call"]));
    });
    found
}
