//! Conditions of a query that are left out when no owner is given.

use super::chains::outermost;
use crate::{
    ir::{
        ArgKind, BindingId, BindingKind, ExprId, ExprKind, LogicalOp, NameRef, PropertyKey, StmtKind, walk,
    },
    project::{At, Parent, Project, Unit},
    tables::level_of_column,
    vocabulary,
};

impl Project {
    /// Whether a query names the owner only where a value for it is given: `if tenant_id: query = query.filter(…)`,
    /// `...(tenantId && { tenantId })`, `tenantId: tenantId ?? undefined`.
    pub(super) fn asks_only_when_given(&self, chain: At) -> bool {
        let Some(unit) = self.unit(chain.module) else { return false };
        let mut seen = Mentions::default();
        mentions(unit, chain.expr, false, &mut seen);
        // `query = select(X)` goes on in other statements.
        if let Parent::Stmt(stmt) = unit.index.parent(chain.expr)
            && let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt)
            && let Some(id) = target.as_binding()
        {
            let fun = unit.index.function(chain.expr);
            for used in unit.index.uses(id).iter().filter(|used| unit.index.function(**used) == fun).take(16)
            {
                mentions(unit, outermost(unit, *used), in_presence(unit, *used, id), &mut seen);
            }
        }
        seen.given && !seen.always
    }
}

/// How an owner's column is mentioned.
#[derive(Default)]
struct Mentions {
    always: bool,
    given: bool,
}

/// Sees the mentions of an owner's column in an expression.
fn mentions(unit: &Unit, root: ExprId, conditional: bool, seen: &mut Mentions) {
    let mut see = |expr: ExprId, name: &str, value: Option<ExprId>| {
        if level_of_column(name).is_none() && !vocabulary::is_owner(name) {
            return;
        }
        if conditional
            || value.is_some_and(|value| may_be_left_out(unit, value))
            || in_condition(unit, expr, root)
        {
            seen.given = true;
        } else {
            seen.always = true;
        }
    };
    walk::exprs_below(&unit.ir, root, &mut |expr| match unit.ir.expr(expr) {
        // `Model.tenant_id`; what a value is read from says nothing of the query.
        ExprKind::Member { object, property, .. } if is_model(unit, *object) => {
            see(expr, unit.ir.text(*property), None)
        }
        ExprKind::Object(properties) => {
            for property in properties {
                if let PropertyKey::Name(name) = property.key {
                    see(expr, unit.ir.text(name), Some(property.value));
                }
            }
        }
        ExprKind::Call(call) => {
            for arg in &call.args {
                if let ArgKind::Keyword(name) = arg.kind {
                    see(expr, unit.ir.text(name), Some(arg.value));
                }
            }
        }
        _ => {}
    });
}

/// Whether an expression is a model or a table: a name, or a path of them, that is not a parameter's.
fn is_model(unit: &Unit, expr: ExprId) -> bool {
    match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) => {
            let name = unit.ir.binding_name(*id);
            name.starts_with(char::is_uppercase) || unit.ir.is_module_level(*id)
        }
        ExprKind::Member { property, .. } => unit.ir.text(*property) == "c",
        _ => false,
    }
}

/// Whether a value is nothing when none is given: `tenantId ?? undefined`, `tenantId || undefined`.
fn may_be_left_out(unit: &Unit, value: ExprId) -> bool {
    match unit.ir.expr(value) {
        ExprKind::Logical { op: LogicalOp::Or | LogicalOp::Nullish, right, .. } => {
            matches!(unit.ir.expr(*right), ExprKind::Null)
        }
        ExprKind::Conditional { then, otherwise, .. } => {
            matches!(unit.ir.expr(*then), ExprKind::Null)
                || matches!(unit.ir.expr(*otherwise), ExprKind::Null)
        }
        _ => false,
    }
}

/// Whether an expression stands, below a root, in a part that is there only when an owner is given.
fn in_condition(unit: &Unit, expr: ExprId, root: ExprId) -> bool {
    let mut here = expr;
    for _ in 0..24 {
        if here == root {
            return false;
        }
        let Parent::Expr(up) = unit.index.parent(here) else { return false };
        let test = match unit.ir.expr(up) {
            ExprKind::Logical { op: LogicalOp::And, left, right } if *right == here => Some(*left),
            ExprKind::Conditional { test, then, otherwise } if *then == here || *otherwise == here => {
                // Both sides may name one.
                let other = if *then == here { *otherwise } else { *then };
                let mut seen = Mentions::default();
                mentions(unit, other, false, &mut seen);
                (!seen.always).then_some(*test)
            }
            _ => None,
        };
        if test.is_some_and(|test| asks_for_presence(unit, test)) {
            return true;
        }
        here = up;
    }
    false
}

/// Whether a use of a query's variable stands in a branch for when an owner is given.
fn in_presence(unit: &Unit, used: ExprId, query: BindingId) -> bool {
    let mut at = unit.index.stmt_of(used);
    for _ in 0..16 {
        let Some(stmt) = at else { return false };
        if let StmtKind::If { test, otherwise, .. } = unit.ir.stmt(stmt)
            && asks_for_presence(unit, *test)
            && !continues(unit, otherwise, query)
        {
            return true;
        }
        at = unit.index.stmt_parent(stmt);
    }
    false
}

/// Whether the other branch goes on with the query too, with conditions of its own.
fn continues(unit: &Unit, block: &[crate::ir::StmtId], query: BindingId) -> bool {
    let mut found = false;
    walk::stmts_below(&unit.ir, block, &mut |stmt| {
        found |= match unit.ir.stmt(stmt) {
            StmtKind::Assign { target, .. } => target.as_binding() == Some(query),
            StmtKind::Throw(_) | StmtKind::Return(_) => true,
            _ => false,
        };
    });
    found
}

/// Whether a condition asks only whether an owner is given: `tenant_id`, `tenant_id is not None`, `filter.orgId`.
fn asks_for_presence(unit: &Unit, test: ExprId) -> bool {
    let named = |expr: ExprId| match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) => vocabulary::is_owner(unit.ir.binding_name(*id)),
        ExprKind::Member { object, property, .. } => {
            let name = unit.ir.text(*property);
            vocabulary::is_owner(name) || (matches!(name, "id" | "sub" | "uid") && is_party(unit, *object))
        }
        // `claims["sub"]`
        ExprKind::Index { object, index, .. } => match unit.ir.expr(*index) {
            ExprKind::String(name) => {
                let name = unit.ir.text(*name);
                vocabulary::is_owner(name) || (matches!(name, "id" | "uid") && is_party(unit, *object))
            }
            _ => false,
        },
        _ => false,
    };
    match unit.ir.expr(test) {
        ExprKind::Compare { left, right, .. } => {
            matches!(unit.ir.expr(*right), ExprKind::Null) && named(*left)
        }
        _ => named(test) || is_flag(unit, test),
    }
}

/// Whether a condition is a switch that callers have to set for the owner to be asked for: `options?.checkOwnership`.
fn is_flag(unit: &Unit, test: ExprId) -> bool {
    let mut root = test;
    for _ in 0..4 {
        root = match unit.ir.expr(root) {
            ExprKind::Member { object, .. } => *object,
            _ => break,
        };
    }
    let name = match unit.ir.expr(test) {
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
        ExprKind::Member { property, .. } => unit.ir.text(*property),
        _ => return false,
    };
    let given = matches!(unit.ir.expr(root), ExprKind::Name(NameRef::Binding(id))
        if unit.ir.binding(*id).is_some_and(|own| matches!(own.kind, BindingKind::Parameter(_))));
    let words = vocabulary::words(name);
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    given
        && has(&["check", "enforce", "verify", "validate", "require", "ensure"])
        && has(&["own", "owner", "ownership", "access", "tenant", "scope", "permission", "permissions"])
}

/// Whether an expression is named for a caller: `user`, `request.state.principal`.
fn is_party(unit: &Unit, expr: ExprId) -> bool {
    let meaning = match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) => {
            unit.ir.binding(*id).map(|binding| unit.meaning(binding.name))
        }
        ExprKind::Member { property, .. } => Some(unit.meaning(*property)),
        ExprKind::Index { index, .. } => match unit.ir.expr(*index) {
            ExprKind::String(name) => Some(unit.meaning(*name)),
            _ => None,
        },
        _ => None,
    };
    meaning.is_some_and(|meaning| meaning.is_owner() || meaning.is_principal())
}
