//! What conditions ask, and under which of them code stands.

use crate::{
    ir::{BindingId, CompareOp, ExprId, ExprKind, NameRef, StmtKind, UnaryOp},
    project::Unit,
    vocabulary,
};

/// How many statements around a place are looked at.
const AROUND: usize = 16;

/// What a condition finds missing: of `not row.owner`, `row.owner is None`, `!row`.
pub(super) fn absent(unit: &Unit, test: ExprId) -> Option<ExprId> {
    match unit.ir.expr(test) {
        ExprKind::Unary { op: UnaryOp::Not, operand } => Some(*operand),
        ExprKind::Compare { op: CompareOp::Eq, left, right }
            if matches!(unit.ir.expr(*right), ExprKind::Null) =>
        {
            Some(*left)
        }
        _ => None,
    }
}

/// The variable that a condition finds missing: `not tenant`, `tenant is None`, `!tenantId`.
pub(super) fn absent_variable(unit: &Unit, test: ExprId) -> Option<BindingId> {
    match unit.ir.expr(absent(unit, test)?) {
        ExprKind::Name(NameRef::Binding(id)) => Some(*id),
        _ => None,
    }
}

/// Whether an expression stands under a condition that has one of some words in it: `if settings.DEBUG`.
pub(super) fn stands_under(unit: &Unit, expr: ExprId, words: &[&str]) -> bool {
    let mut here = unit.index.stmt_of(expr);
    for _ in 0..AROUND {
        let Some(stmt) = here else { return false };
        if let StmtKind::If { test, .. } = unit.ir.stmt(stmt) {
            let text = unit.ir.snippet(unit.ir.span(*test));
            if vocabulary::words(text).iter().any(|word| words.contains(&word.as_str())) {
                return true;
            }
        }
        here = unit.index.stmt_parent(stmt);
    }
    false
}
