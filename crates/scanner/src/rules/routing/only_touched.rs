//! Sessions that are looked up only to note that they are in use.

use crate::{
    ir::{ExprId, ExprKind, StmtKind},
    project::{Parent, Unit},
    vocabulary,
};

/// Words of methods that note that something is in use.
const NOTES: &[&str] = &["touch", "activity", "heartbeat", "seen", "accessed", "alive", "keepalive"];

/// Whether a look-up is a statement that only notes the time: `sessions[id].update_activity()`.
pub(super) fn is_only_touched(unit: &Unit, found: ExprId) -> bool {
    let up = |expr| match unit.index.parent(expr) {
        Parent::Expr(up) => Some(up),
        _ => None,
    };
    let Some(member) = up(found) else { return false };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(member) else { return false };
    let notes = *object == found
        && vocabulary::words(unit.ir.text(*property)).iter().any(|word| NOTES.contains(&word.as_str()));
    let Some(call) = up(member).filter(|_| notes) else { return false };
    matches!(unit.ir.expr(call), ExprKind::Call(own) if own.callee == member)
        && matches!(unit.index.parent(call), Parent::Stmt(stmt) if matches!(unit.ir.stmt(stmt), StmtKind::Expr(_)))
}
