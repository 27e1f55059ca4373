//! Where an expression stands among others: in a chain of calls, in a longer text, in a branch.

use crate::{
    ir::{BinaryOp, CompareOp, ExprId, ExprKind, NameRef, StmtId, StmtKind},
    project::{Parent, Unit},
};

/// The outermost call of a chain that an expression begins: `select(X)` of `select(X).where(…).limit(1)`.
pub(super) fn outermost(unit: &Unit, expr: ExprId) -> ExprId {
    let (mut at, mut last) = (expr, expr);
    for _ in 0..64 {
        let Parent::Expr(parent) = unit.index.parent(at) else { break };
        let is_call = match unit.ir.expr(parent) {
            ExprKind::Member { object, .. } if *object == at => false,
            ExprKind::Call(call) if call.callee == at => true,
            _ => break,
        };
        at = parent;
        // A chain ends in a call: of `select(X).execute().data` the rows are taken out.
        if is_call {
            last = at;
        }
    }
    last
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

/// How many statements around an expression are looked at.
const AROUND: usize = 24;

/// The statements around an expression, the nearest first, each with the one in it that leads there.
fn around(unit: &Unit, expr: ExprId) -> Vec<(StmtId, StmtId)> {
    let mut found = Vec::new();
    let Some(mut child) = unit.index.stmt_of(expr) else { return found };
    while let Some(parent) = unit.index.stmt_parent(child).filter(|_| found.len() < AROUND) {
        found.push((parent, child));
        child = parent;
    }
    found
}

/// The branch of a statement that another one stands in, as a number and its statements.
fn arm(unit: &Unit, stmt: StmtId, child: StmtId) -> Option<(usize, &[StmtId])> {
    match unit.ir.stmt(stmt) {
        StmtKind::If { then, .. } if then.contains(&child) => Some((0, then)),
        StmtKind::If { otherwise, .. } if otherwise.contains(&child) => Some((1, otherwise)),
        StmtKind::Switch { cases, .. } => {
            let case = cases.iter().enumerate().find(|(_, case)| case.body.contains(&child));
            case.map(|(number, case)| (number, &*case.body))
        }
        _ => None,
    }
}

/// Whether what runs a block to its end leaves the function there.
fn ends(unit: &Unit, block: &[StmtId], depth: u32) -> bool {
    let (Some(depth), Some(last)) = (depth.checked_sub(1), block.last()) else { return false };
    match unit.ir.stmt(*last) {
        StmtKind::Return(_) | StmtKind::Throw(_) => true,
        StmtKind::Block(body) | StmtKind::With { body, .. } => ends(unit, body, depth),
        StmtKind::Try { body, handlers, after } => {
            ends(unit, &after.finally, depth)
                || (ends(unit, body, depth)
                    && handlers.iter().all(|handler| ends(unit, &handler.body, depth)))
        }
        StmtKind::If { then, otherwise, .. } => ends(unit, then, depth) && ends(unit, otherwise, depth),
        _ => false,
    }
}

/// Whether a value says which of several things a call is to do: `name`, `request.params.name`, and is no role.
fn says_what(unit: &Unit, expr: ExprId) -> bool {
    let (name, alone) = match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) => (unit.ir.binding_name(*id), true),
        ExprKind::Member { property, .. } => (unit.ir.text(*property), false),
        ExprKind::Index { index, .. } => match unit.ir.expr(*index) {
            ExprKind::String(name) => (unit.ir.text(*name), false),
            _ => return false,
        },
        _ => return false,
    };
    let words = crate::vocabulary::words(name);
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    let role = has(&["role", "roles", "scope", "permission", "plan", "level", "visibility"]);
    !role && (alone || has(&["name", "tool", "action", "method", "command", "operation", "type"]))
}

/// Whether a branch is taken for one of several things that a call is to do: `if name == "list"`, a case.
fn dispatches(unit: &Unit, stmt: StmtId) -> bool {
    match unit.ir.stmt(stmt) {
        StmtKind::If { test, .. } => match unit.ir.expr(*test) {
            ExprKind::Compare { op: CompareOp::Eq, left, right } => {
                matches!(unit.ir.expr(*right), ExprKind::String(_)) && says_what(unit, *left)
            }
            _ => false,
        },
        StmtKind::Switch { subject, .. } => says_what(unit, *subject),
        _ => false,
    }
}

/// Whether of two expressions of a function, the first of which is written before the other, only one ever runs for one call, which
/// says what it is to do: `if name == "list": …; return …` and what follows, two such branches, two cases.
pub(crate) fn excludes(unit: &Unit, first: ExprId, other: ExprId) -> bool {
    let others = around(unit, other);
    for (stmt, child) in around(unit, first) {
        let Some((number, block)) = arm(unit, stmt, child).filter(|_| dispatches(unit, stmt)) else {
            continue;
        };
        match others.iter().find(|(own, _)| *own == stmt) {
            Some((_, child)) => return arm(unit, stmt, *child).is_some_and(|(own, _)| own != number),
            // What leaves at the end of its branch never comes to what is written after it.
            None if ends(unit, block, 4) => return true,
            None => {}
        }
    }
    false
}
