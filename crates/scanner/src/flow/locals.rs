//! Objects that a request makes for itself, and variables that are set anew for each caller.

use super::Lifetimes;
use crate::{
    ir::{BindingId, ExprId, ExprKind, FunctionKind, LogicalOp, NameRef, StmtKind, walk},
    project::{At, Fun, Project, Symbol, Unit},
};

/// How many calls and assignments an object is followed back through.
const STEPS: u32 = 6;
/// How many calls of a method are looked at; of one that is called more often nothing is said.
const CALLS: usize = 64;

/// Whether a method is called on objects only that the request which calls it has made: what it leaves in its fields is that
/// request's, whatever other objects of the class live longer.
#[must_use]
pub fn is_on_own_objects(project: &Project, lives: &Lifetimes<'_>, method: Fun) -> bool {
    method_is_own(project, lives, method, STEPS)
}

/// Whether the object that a method is called on was made by the request that calls it.
#[must_use]
pub fn has_own_receiver(project: &Project, lives: &Lifetimes<'_>, call: At) -> bool {
    receiver_is_own(project, lives, call, STEPS)
}

fn method_is_own(project: &Project, lives: &Lifetimes<'_>, method: Fun, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    let calls = project.callers(method);
    !calls.is_empty()
        && calls.len() <= CALLS
        && calls.iter().all(|call| {
            // `this.where(…)` in a function of the class that is called on such an object itself.
            receiver_is_own(project, lives, *call, steps)
        })
}

fn receiver_is_own(project: &Project, lives: &Lifetimes<'_>, call: At, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    let Some(unit) = project.unit(call.module) else { return false };
    let ExprKind::Call(expr) = unit.ir.expr(call.expr) else { return false };
    let ExprKind::Member { object, .. } = unit.ir.expr(expr.callee) else { return false };
    is_own(project, lives, call.to(*object), steps)
}

/// Whether an object was made in the request: here, by a function that makes one, or by whoever handed it over.
fn is_own(project: &Project, lives: &Lifetimes<'_>, at: At, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    let Some(unit) = project.unit(at.module) else { return false };
    match unit.ir.expr(at.expr) {
        ExprKind::Await(value) => is_own(project, lives, at.to(*value), steps),
        ExprKind::This | ExprKind::Super => {
            let fun = project
                .around(project.function_of(at))
                .into_iter()
                .find(|fun| unit.ir.function(fun.id).is_some_and(|function| function.class.is_some()));
            let Some(fun) = fun else { return false };
            let constructor =
                unit.ir.function(fun.id).is_some_and(|function| function.kind == FunctionKind::Constructor);
            constructor || method_is_own(project, lives, fun, steps)
        }
        ExprKind::Name(NameRef::Binding(id)) => {
            if let Some((fun, number, path)) = project.parameter_of(at.module, *id) {
                let calls = project.callers(fun);
                return path.is_empty()
                    && !calls.is_empty()
                    && calls.len() <= CALLS
                    && calls.iter().all(|call| {
                        project
                            .argument(*call, fun, number)
                            .is_some_and(|own| is_own(project, lives, own, steps))
                    });
            }
            let sources = unit.index.sources(*id);
            !lives.binding_outlives(at.module, *id)
                && !sources.is_empty()
                && sources.iter().all(|source| {
                    source.path.is_empty() && is_own(project, lives, at.to(source.value), steps)
                })
        }
        ExprKind::Call(call) => {
            let made = call.is_new || matches!(project.symbol(at.to(call.callee)), Symbol::Class(_));
            // `new Builder().from("notes").where(…)`: what a chain of its methods gives is the object again.
            let chained = match unit.ir.expr(call.callee) {
                ExprKind::Member { object, .. } if !made => is_own(project, lives, at.to(*object), steps),
                _ => false,
            };
            if made || chained {
                return lives.is_per_request(project.function_of(at));
            }
            project.callee(at).is_some_and(|callee| {
                callee.certain
                    && !callee.targets.is_empty()
                    && callee.targets.iter().all(|target| {
                        let Some(unit) = project.unit(target.module) else { return false };
                        let returns = unit.index.returns(target.id);
                        !returns.is_empty()
                            && returns.iter().take(6).all(|expr| {
                                is_own(project, lives, At { module: target.module, expr: *expr }, steps)
                            })
                    })
            })
        }
        _ => false,
    }
}

/// Whether a test that asks for a variable holds for every caller who brings something of one's own: `if (!client || token)`. What
/// is kept there is set anew then, and nobody finds what another caller has left.
#[must_use]
fn is_renewed(unit: &Unit, test: ExprId, kept: &dyn Fn(ExprId) -> bool, brought: &[BindingId]) -> bool {
    let ExprKind::Logical { op: LogicalOp::Or, left, right } = unit.ir.expr(test) else { return false };
    let names = |expr: ExprId, of: &dyn Fn(ExprId) -> bool| {
        let mut found = false;
        walk::exprs_below(&unit.ir, expr, &mut |expr| found |= of(expr));
        found
    };
    let own = |expr: ExprId| matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if brought.contains(id));
    [(*left, *right), (*right, *left)].into_iter().any(|(one, other)| names(one, kept) && names(other, &own))
}

/// Whether a statement that sets a variable stands in a branch whose test renews it, see [`is_renewed`].
#[must_use]
pub fn stands_where_renewed(
    unit: &Unit,
    value: ExprId,
    kept: &dyn Fn(ExprId) -> bool,
    brought: &[BindingId],
) -> bool {
    let Some(mut stmt) = unit.index.stmt_of(value) else { return false };
    for _ in 0..4 {
        let Some(up) = unit.index.stmt_parent(stmt) else { return false };
        if let StmtKind::If { test, .. } = unit.ir.stmt(up)
            && is_renewed(unit, *test, kept, brought)
        {
            return true;
        }
        stmt = up;
    }
    false
}
