//! Whether of two expressions of a function only one runs: they stand in the two arms of a branch, or the one in an arm that leaves the
//! function before the other.

use crate::{
    ir::{ExprId, ExprKind, StmtId, StmtKind, walk},
    project::{Parent, Unit},
    rules::branches::stands_under,
};

/// Whether two expressions of one function never run both, as far as its branches say.
pub(super) fn stand_apart(unit: &Unit, one: ExprId, other: ExprId) -> bool {
    if in_two_arms(unit, one, other) {
        return true;
    }
    let (Some(one), Some(other)) = (unit.index.stmt_of(one), unit.index.stmt_of(other)) else { return false };
    leaves_before(unit, one, other) || leaves_before(unit, other, one)
}

/// Whether two expressions stand in the two arms of one choice: `trusting ? decode(token) : verify(token)`.
fn in_two_arms(unit: &Unit, one: ExprId, other: ExprId) -> bool {
    let (first, second) = (unit.ir.span(one), unit.ir.span(other));
    let mut here = one;
    for _ in 0..8 {
        let Parent::Expr(up) = unit.index.parent(here) else { return false };
        if let ExprKind::Conditional { then, otherwise, .. } = unit.ir.expr(up) {
            let (then, otherwise) = (unit.ir.span(*then), unit.ir.span(*otherwise));
            if (then.contains(first) && otherwise.contains(second))
                || (otherwise.contains(first) && then.contains(second))
            {
                return true;
            }
        }
        here = up;
    }
    false
}

/// Whether a statement stands in an arm of a branch of which another one is in the other arm, or stands behind and is not reached.
fn leaves_before(unit: &Unit, inner: StmtId, other: StmtId) -> bool {
    let mut here = unit.index.stmt_parent(inner);
    for _ in 0..16 {
        let Some(stmt) = here else { return false };
        if let StmtKind::If { then, otherwise, .. } = unit.ir.stmt(stmt) {
            let (own, second) = if holds(unit, then, inner) { (then, otherwise) } else { (otherwise, then) };
            let behind = unit.index.stmt_order(other) > unit.index.stmt_order(inner);
            if holds(unit, second, other)
                || (!holds(unit, own, other) && behind && always_leaves(unit, own, 6))
            {
                return true;
            }
        }
        // `try: return verify(token)`, `except: return decode(token)`
        if let StmtKind::Try { body, handlers, .. } = unit.ir.stmt(stmt)
            && holds(unit, body, inner)
            && handlers.iter().any(|own| holds(unit, &own.body, other))
        {
            return true;
        }
        here = unit.index.stmt_parent(stmt);
    }
    false
}

fn holds(unit: &Unit, block: &[StmtId], stmt: StmtId) -> bool {
    let mut found = false;
    walk::stmts_below(&unit.ir, block, &mut |own| found |= own == stmt);
    found
}

/// Whether whoever enters a block leaves the function in it, however it goes.
fn always_leaves(unit: &Unit, block: &[StmtId], steps: u32) -> bool {
    let (Some(steps), Some(last)) = (steps.checked_sub(1), block.last()) else { return false };
    match unit.ir.stmt(*last) {
        StmtKind::Return(_) | StmtKind::Throw(_) => true,
        StmtKind::If { then, otherwise, .. } => {
            always_leaves(unit, then, steps) && always_leaves(unit, otherwise, steps)
        }
        StmtKind::With { body, .. } | StmtKind::Block(body) => always_leaves(unit, body, steps),
        StmtKind::Try { body, handlers, .. } => {
            always_leaves(unit, body, steps)
                && handlers.iter().all(|own| always_leaves(unit, &own.body, steps))
        }
        _ => false,
    }
}

/// Words of a mode in which one person works on the server.
const MODES: &[&str] =
    &["debug", "dev", "development", "test", "testing", "local", "mock", "demo", "insecure"];

/// Whether an expression stands in a branch for such a mode: `if settings.DEBUG`.
pub(super) fn in_a_mode(unit: &Unit, expr: ExprId) -> bool {
    stands_under(unit, expr, MODES)
}
