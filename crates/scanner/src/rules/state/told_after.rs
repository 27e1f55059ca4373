//! What a request makes anew, leaves in a shared object, and only then tells whom it is for: `self.service = AgentService()`, and
//! `self.service.select(session_id)` below it. The next request puts its own in the same place.

use crate::{
    flow::SharedWrite,
    ir::{ExprId, ExprKind, StmtKind, walk},
    project::{At, Parent, Project, Symbol, Unit},
};

/// What a thing that was made for nobody is told, by the same function, after it was left where others find it.
pub(super) fn told_after(project: &Project, write: &SharedWrite) -> Vec<At> {
    let mut told = Vec::new();
    let Some(unit) = project.unit(write.value.module).filter(|_| !write.keeps) else { return told };
    let Some(place) = place_of(unit, write).filter(|_| is_made(project, unit, write.value)) else {
        return told;
    };
    let text = unit.ir.snippet(unit.ir.span(place));
    let is_it = |expr: ExprId| unit.ir.snippet(unit.ir.span(expr)) == text;
    let mut asked_before = false;
    walk::function_exprs(&unit.ir, write.fun.id, &mut |expr| {
        // `if self.service is None: self.service = Service()` is one for all, who tell it what they want.
        asked_before |= expr != place && unit.index.order(expr) < write.order && is_it(expr);
        if let ExprKind::Call(call) = unit.ir.expr(expr)
            && let ExprKind::Member { object, .. } = unit.ir.expr(call.callee)
            && unit.index.order(expr) > write.order
            && is_it(*object)
            && stands_alone(unit, expr)
        {
            told.extend(call.args.iter().map(|arg| write.value.to(arg.value)));
        }
    });
    if asked_before {
        return Vec::new();
    }
    let set = unit.index.writes.iter().filter(|other| {
        other.function == write.fun.id
            && other.order > write.order
            && matches!(unit.ir.expr(other.place), ExprKind::Member { object, .. } if is_it(*object))
    });
    told.extend(set.map(|other| write.value.to(other.value)));
    told
}

/// Whether nothing is done with what a call gives: it is told something, and asked for nothing.
fn stands_alone(unit: &Unit, expr: ExprId) -> bool {
    match unit.index.parent(expr) {
        Parent::Stmt(stmt) => matches!(unit.ir.stmt(stmt), StmtKind::Expr(_)),
        Parent::Expr(up) => matches!(unit.ir.expr(up), ExprKind::Await(_)) && stands_alone(unit, up),
        _ => false,
    }
}

/// The place that a value is written to.
fn place_of(unit: &Unit, write: &SharedWrite) -> Option<ExprId> {
    let own = unit.index.writes.iter().find(|own| own.value == write.value.expr && own.order == write.order);
    own.map(|own| own.place)
}

/// Whether a value is an object that is made here.
fn is_made(project: &Project, unit: &Unit, value: At) -> bool {
    match unit.ir.expr(value.expr) {
        ExprKind::Await(inner) => is_made(project, unit, value.to(*inner)),
        ExprKind::Call(call) => {
            call.is_new || matches!(project.symbol(value.to(call.callee)), Symbol::Class(_))
        }
        _ => false,
    }
}
