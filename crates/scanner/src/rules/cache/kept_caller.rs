//! The caller whom an object asks for when it is made, kept in a field, where the object itself is kept for all who follow:
//! `private tenantId = currentCaller().tenantId` of a service that is made once.

use partywall_model::{Confidence, Severity};

use super::first_caller_field::asks_around;
use crate::{
    flow::Lifetimes,
    ir::{ExprKind, FunctionId, FunctionKind, LogicalOp, NameRef, StmtKind, walk},
    project::{At, Cls, Fun, Parent, Project, Unit},
    rules::Report,
};

/// How many functions are followed to where the context is asked.
const STEPS: u32 = 4;

/// Reports such fields where they are set.
pub(super) fn kept_caller(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        for (id, class) in unit.ir.classes() {
            let own = Cls { module, id };
            let declared =
                class.fields.iter().filter_map(|field| Some((unit.ir.text(field.name), field.value?)));
            let mut fields: Vec<(&str, At)> =
                declared.map(|(name, value)| (name, At { module, expr: value })).collect();
            for write in &unit.index.writes {
                let ExprKind::Member { object, property, .. } = unit.ir.expr(write.place) else { continue };
                let fun = Fun { module, id: write.function };
                let constructor = unit
                    .ir
                    .function(write.function)
                    .is_some_and(|function| function.kind == FunctionKind::Constructor);
                if constructor
                    && matches!(unit.ir.expr(*object), ExprKind::This)
                    && project.this_of(fun) == Some(own)
                {
                    fields.push((unit.ir.text(*property), At { module, expr: write.value }));
                }
            }
            let asked = fields.into_iter().find(|(_, value)| asks(project, unit, *value));
            let Some((name, value)) = asked else { continue };
            let kept =
                project.made.get(&own).into_iter().flatten().find(|made| is_kept(project, &lives, **made));
            if let Some(made) = kept {
                let maker = project.function_of(*made);
                report
                    .reached_in(value, maker, format!("`{name}` is the caller for whom this object was made first, and the object is kept for all"))
                    .severity(Severity::High)
                    .confidence(Confidence::Medium)
                    .related(made.module, project.span(*made), "it is made and kept here");
            }
        }
    }
}

/// Whether a value, outside of any function in it, is what a call finds out about who calls.
fn asks(project: &Project, unit: &Unit, value: At) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, value.expr, &mut |expr| {
        found |= matches!(unit.ir.expr(expr), ExprKind::Call(call) if call.args.is_empty() && !call.is_new)
            && asks_around(project, value.to(expr), STEPS);
    });
    found
}

/// Whether an object that a request makes is kept: in a variable of the module that has none yet, by a function that is memoised.
fn is_kept(project: &Project, lives: &Lifetimes<'_>, made: At) -> bool {
    let Some(unit) = project.unit(made.module) else { return false };
    let fun = project.function_of(made);
    if fun.id == FunctionId::MODULE {
        return false;
    }
    // By a function of its own, which gives it to the one that is memoised.
    let given = unit.index.returns(fun.id).contains(&made.expr);
    let for_memo =
        || project.callers(fun).iter().take(4).any(|call| lives.is_memoised(project.function_of(*call)));
    if lives.is_memoised(fun) || (given && for_memo()) {
        return true;
    }
    let mut here = made.expr;
    for _ in 0..4 {
        match unit.index.parent(here) {
            Parent::Expr(up) => match unit.ir.expr(up) {
                ExprKind::Await(_) => here = up,
                ExprKind::Logical { op: LogicalOp::Or | LogicalOp::Nullish, right, .. } if *right == here => {
                    here = up
                }
                ExprKind::Assign { target, logical: Some(_), .. } => {
                    return target.as_binding().is_some_and(|id| unit.ir.is_module_level(id));
                }
                _ => return false,
            },
            Parent::Stmt(stmt) => {
                let StmtKind::Assign { target, logical, value, .. } = unit.ir.stmt(stmt) else {
                    return false;
                };
                let Some(id) = target.as_binding().filter(|id| unit.ir.is_module_level(*id)) else {
                    return false;
                };
                let or = matches!(unit.ir.expr(*value), ExprKind::Logical { .. });
                return logical.is_some() || or || stands_where_missing(unit, stmt, id);
            }
            _ => return false,
        }
    }
    false
}

/// Whether a statement runs only where a variable has nothing yet.
fn stands_where_missing(unit: &Unit, stmt: crate::ir::StmtId, id: crate::ir::BindingId) -> bool {
    let Some(up) = unit.index.stmt_parent(stmt) else { return false };
    let StmtKind::If { test, .. } = unit.ir.stmt(up) else { return false };
    let mut found = false;
    walk::exprs_below(&unit.ir, *test, &mut |expr| {
        found |= matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(own)) if *own == id);
    });
    found
}
