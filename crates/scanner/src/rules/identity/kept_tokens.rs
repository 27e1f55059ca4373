//! Tokens that the server has kept itself: another service's answer to somebody's sign-in, in that person's row.

use crate::{
    ir::{BindingId, ExprKind, NameRef},
    project::{At, Project, Unit},
};

/// How many variables lie between the rows and the one whose token is read.
const STEPS: u32 = 3;

/// Whether the token that is read is a part of a row that a query gave: `for account of await accountsOf(userId)`, `decode(account.idToken)`.
pub(super) fn is_kept(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    let Some(ExprKind::Member { object, .. }) = call.positional(0).map(|token| unit.ir.expr(token)) else {
        return false;
    };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object) else { return false };
    is_row(project, unit, at, *id, STEPS)
}

fn is_row(project: &Project, unit: &Unit, at: At, id: BindingId, depth: u32) -> bool {
    let (Some(depth), [source]) = (depth.checked_sub(1), unit.index.sources(id)) else { return false };
    let span = unit.ir.span(source.value);
    let queried = || {
        let mut queries = project.queries().iter().filter(|query| query.at.module == at.module);
        queries.any(|query| span.contains(unit.ir.span(query.at.expr)))
    };
    match unit.ir.expr(source.value) {
        ExprKind::Name(NameRef::Binding(from)) => *from != id && is_row(project, unit, at, *from, depth),
        _ => queried(),
    }
}
