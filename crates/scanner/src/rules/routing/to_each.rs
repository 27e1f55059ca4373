//! What a loop over all connections asks before it sends: whether one is open, wants to be told, or is the sender's own. None of that
//! says whose it is.

use crate::{
    ir::{
        BindingId, CompareOp, ExprId, ExprKind, FunctionId, LogicalOp, NameRef, Pattern, StmtId, StmtKind,
        UnaryOp, walk,
    },
    project::{At, Parent, Project, Unit},
    vocabulary,
};

/// Words of what a connection is, whoever has it.
const STATES: &[&str] = &[
    "alive",
    "open",
    "opened",
    "ready",
    "closed",
    "connected",
    "initialized",
    "writable",
    "listening",
    "subscribed",
];

/// Words of who sent something, which a loop passes over.
const SENDERS: &[&str] =
    &["sender", "origin", "originator", "exclude", "excluded", "except", "skip", "from", "self", "own"];

/// Words of one connection.
const SOCKETS: &[&str] = &["ws", "websocket", "socket", "connection", "conn", "client", "session"];

/// The variables that a loop binds.
pub(super) fn bound(target: &Pattern) -> Vec<BindingId> {
    let mut each = Vec::new();
    target.for_each_binding(&mut |id| each.push(id));
    each
}

/// The parameters of a function that is called with each.
pub(super) fn parameters(unit: &Unit, id: FunctionId) -> Vec<BindingId> {
    let mut each = Vec::new();
    if let Some(function) = unit.ir.function(id) {
        function.params.iter().for_each(|own| own.pattern.for_each_binding(&mut |id| each.push(id)));
    }
    each
}

/// Whether a test asks nothing but what a connection is: `!client.subscribed`, `client === sender`. `sends` says whether it holds for those
/// that are sent to.
pub(super) fn asks_nobody(project: &Project, unit: &Unit, test: At, each: &[BindingId], sends: bool) -> bool {
    match unit.ir.expr(test.expr) {
        ExprKind::Unary { op: UnaryOp::Not, operand } => {
            asks_nobody(project, unit, test.to(*operand), each, !sends)
        }
        ExprKind::Logical { op: LogicalOp::And | LogicalOp::Or, left, right } => {
            asks_nobody(project, unit, test.to(*left), each, sends)
                && asks_nobody(project, unit, test.to(*right), each, sends)
        }
        ExprKind::Compare { op: CompareOp::Eq | CompareOp::NotEq, left, right } => {
            let differs =
                matches!(unit.ir.expr(test.expr), ExprKind::Compare { op: CompareOp::NotEq, .. }) == sends;
            let pair = |one: ExprId, other: ExprId| {
                is_of(unit, one, each) && is_sender(project, unit, one, test.to(other))
            };
            let state =
                |one: ExprId, other: ExprId| is_state(unit, one, each) && project.is_fixed(test.to(other));
            let (left, right) = (*left, *right);
            (differs && (pair(left, right) || pair(right, left))) || state(left, right) || state(right, left)
        }
        _ => is_state(unit, test.expr, each),
    }
}

/// Whether an expression is a state of a connection that a loop goes through, by the last word of its name.
fn is_state(unit: &Unit, expr: ExprId, each: &[BindingId]) -> bool {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(expr) else { return false };
    let words = vocabulary::words(unit.ir.text(*property));
    let first = words.first().map(String::as_str);
    is_of(unit, *object, each)
        && (words.last().is_some_and(|last| STATES.contains(&last.as_str())) || first == Some("subscribed"))
}

/// Whether an expression is the variable of the loop, or something that it has.
fn is_of(unit: &Unit, expr: ExprId, each: &[BindingId]) -> bool {
    let mut here = expr;
    while let ExprKind::Member { object, .. } = unit.ir.expr(here) {
        here = *object;
    }
    matches!(unit.ir.expr(here), ExprKind::Name(NameRef::Binding(id)) if each.contains(id))
}

/// Whether a value is named for who sent something, `senderId`, `exclude`, or is another connection that one is compared with as a whole.
fn is_sender(project: &Project, unit: &Unit, one: ExprId, other: At) -> bool {
    let whole = matches!(unit.ir.expr(one), ExprKind::Name(_));
    project.last_written(other).is_some_and(|name| {
        let words = vocabulary::words(name);
        let named = words.iter().any(|word| SENDERS.contains(&word.as_str()));
        let socket = whole && words.last().is_some_and(|last| SOCKETS.contains(&last.as_str()));
        (named || socket) && !vocabulary::is_owner(name)
    })
}

/// Whether a `continue` only passes over connections by what they are: it stands alone in a branch whose test asks for nothing else.
pub(super) fn passes_over(unit: &Unit, stmt: StmtId, only_asks: &dyn Fn(ExprId) -> bool) -> bool {
    let Some(up) = unit.index.stmt_parent(stmt) else { return false };
    match unit.ir.stmt(up) {
        StmtKind::If { test, .. } => only_asks(*test),
        _ => false,
    }
}

/// Whether a branch leaves the turn of a loop: what it holds for is not sent to.
pub(super) fn leaves(unit: &Unit, then: &[StmtId]) -> bool {
    then.last().is_some_and(|last| matches!(unit.ir.stmt(*last), StmtKind::Continue | StmtKind::Return(_)))
}

/// The functions that stand in an expression as what a call is given, `guard(() => client.send(text))`: they run where they stand.
pub(super) fn handed(unit: &Unit, root: ExprId) -> Vec<FunctionId> {
    let mut found = Vec::new();
    walk::exprs_below(&unit.ir, root, &mut |expr| {
        if let ExprKind::Function(id) = unit.ir.expr(expr)
            && let Parent::Expr(up) = unit.index.parent(expr)
            && let ExprKind::Call(call) = unit.ir.expr(up)
            && call.args.len() == 1
        {
            found.push(*id);
        }
    });
    found
}
