//! Where an expression stands among others: in a chain of calls, in a longer text, in a branch.

use crate::{
    ir::{BinaryOp, ExprId, ExprKind, StmtId, StmtKind},
    project::{Parent, Unit},
};

/// The outermost call of a chain that an expression begins: `select(X)` of `select(X).where(…).limit(1)`.
pub(super) fn outermost(unit: &Unit, expr: ExprId) -> ExprId {
    let mut at = expr;
    for _ in 0..64 {
        let Parent::Expr(parent) = unit.index.parent(at) else { break };
        let goes_on = match unit.ir.expr(parent) {
            ExprKind::Member { object, .. } => *object == at,
            ExprKind::Call(call) => call.callee == at,
            _ => false,
        };
        if !goes_on {
            break;
        }
        at = parent;
    }
    // A chain ends in a call.
    if matches!(unit.ir.expr(at), ExprKind::Member { .. }) { expr } else { at }
}

/// What a chain of members and calls begins with: `db` of `db.from("notes").delete()`.
pub(super) fn innermost(unit: &Unit, expr: ExprId) -> ExprId {
    let mut at = expr;
    for _ in 0..64 {
        at = match unit.ir.expr(at) {
            ExprKind::Member { object, .. } => *object,
            ExprKind::Call(call) => call.callee,
            ExprKind::Await(value) => *value,
            _ => break,
        };
    }
    at
}

/// Whether a string is no part of a longer one.
pub(super) fn is_whole(unit: &Unit, id: ExprId) -> bool {
    match unit.index.parent(id) {
        Parent::Expr(parent) => !matches!(
            unit.ir.expr(parent),
            ExprKind::Template(_)
                | ExprKind::Binary { op: BinaryOp::Add, .. }
                | ExprKind::Tagged { .. }
                | ExprKind::Compare { .. }
        ),
        Parent::None => false,
        _ => true,
    }
}

/// Whether a statement runs only when a condition holds.
pub(super) fn in_branch(unit: &Unit, stmt: StmtId) -> bool {
    let mut at = unit.index.stmt_parent(stmt);
    for _ in 0..64 {
        match at {
            Some(parent) => {
                if matches!(unit.ir.stmt(parent), StmtKind::If { .. }) {
                    return true;
                }
                at = unit.index.stmt_parent(parent);
            }
            None => return false,
        }
    }
    false
}
