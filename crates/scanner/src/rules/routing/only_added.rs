//! Entries that are found by an id only to add to them, or to count: nothing of them is given to anybody.

use crate::{
    ir::{ExprId, ExprKind, StmtKind},
    project::{At, Parent, Unit},
};

/// Methods that add to something.
const ADDS: &[&str] = &["set", "add", "push", "append", "unshift"];

/// Whether all that is done with the variable that an entry goes into is to add to it: `room = rooms.get(id)`, `room.users.set(me, seat)`,
/// `room.count++`.
pub(super) fn is_only_added_to(unit: &Unit, at: At) -> bool {
    let Some(StmtKind::Assign { target, .. }) = unit.index.stmt_of(at.expr).map(|stmt| unit.ir.stmt(stmt))
    else {
        return false;
    };
    let Some(id) = target.as_binding() else { return false };
    let uses = unit.index.uses(id);
    let mut adds = false;
    let all = uses.iter().all(|used| match of_use(unit, *used) {
        Use::Adds => {
            adds = true;
            true
        }
        Use::Nothing => true,
        Use::Other => false,
    });
    all && adds
}

/// What a use does.
enum Use {
    /// It adds.
    Adds,
    /// It writes a field, or asks whether there is one.
    Nothing,
    /// It reads.
    Other,
}

fn of_use(unit: &Unit, used: ExprId) -> Use {
    let mut here = used;
    for _ in 0..6 {
        match unit.index.parent(here) {
            Parent::Expr(up) => match unit.ir.expr(up) {
                ExprKind::Member { object, .. } if *object == here => here = up,
                ExprKind::Call(call) if call.callee == here => {
                    let adds = matches!(unit.ir.expr(here), ExprKind::Member { property, .. } if ADDS.contains(&unit.ir.text(*property)));
                    let alone = matches!(unit.index.parent(up), Parent::Stmt(stmt) if matches!(unit.ir.stmt(stmt), StmtKind::Expr(_)));
                    return if adds && alone { Use::Adds } else { Use::Other };
                }
                _ if unit.index.writes.iter().any(|write| write.place == here) => return Use::Nothing,
                ExprKind::Unary { .. } => here = up,
                _ => return Use::Other,
            },
            Parent::Stmt(stmt) => {
                let written = unit.index.writes.iter().any(|write| write.place == here);
                return match unit.ir.stmt(stmt) {
                    _ if written => Use::Nothing,
                    StmtKind::If { test, .. } if *test == here => Use::Nothing,
                    _ => Use::Other,
                };
            }
            _ => {
                return match unit.index.writes.iter().any(|write| write.place == here) {
                    true => Use::Nothing,
                    false => Use::Other,
                };
            }
        }
    }
    Use::Other
}
