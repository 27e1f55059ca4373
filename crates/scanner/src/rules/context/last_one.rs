//! The caller of whichever request came last, where the context has none: `storage.getStore() ?? latest`, with `latest` set wherever a
//! request's context begins.

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{BindingId, ExprId, ExprKind, FunctionId, Kinds, LogicalOp, NameRef, walk},
    library::Role,
    project::{At, ModuleId, Project, Unit},
    rules::Report,
};

/// Reports such choices.
pub(super) fn last_one(project: &Project, report: &mut Report<'_>, module: ModuleId, unit: &Unit) {
    for (expr, kind) in unit.ir.exprs_of(Kinds::CHOICE) {
        let (asked, other) = match kind {
            ExprKind::Logical { op: LogicalOp::Or | LogicalOp::Nullish, left, right } => (*left, *right),
            ExprKind::Conditional { then, otherwise, .. } => (*then, *otherwise),
            _ => continue,
        };
        let at = At { module, expr };
        let Some(last) = variable(unit, other).filter(|_| project.function_of(at).id != FunctionId::MODULE)
        else {
            continue;
        };
        if asks_context(project, unit, at.to(asked), 2) && is_set_beside(project, unit, module, last) {
            report
                .reached(
                    at.to(other),
                    format!(
                        "where the context is missing, `{}` of the last request is taken for it",
                        unit.ir.binding_name(last)
                    ),
                )
                .severity(Severity::High)
                .confidence(Confidence::Medium);
        }
    }
}

/// The variable of the module that a value is, or is read from.
fn variable(unit: &Unit, expr: ExprId) -> Option<BindingId> {
    match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.is_module_level(*id).then_some(*id),
        ExprKind::Member { object, .. } => variable(unit, *object),
        _ => None,
    }
}

/// Whether a value is what the context of the request has: `storage.getStore()`, `storage.getStore()?.tenant`, also through a variable.
fn asks_context(project: &Project, unit: &Unit, at: At, steps: u32) -> bool {
    match unit.ir.expr(at.expr) {
        ExprKind::Call(_) => project
            .callee(at)
            .is_some_and(|callee| callee.defs.iter().any(|def| def.role == Role::ContextGet)),
        ExprKind::Member { object, .. } => asks_context(project, unit, at.to(*object), steps),
        ExprKind::Name(NameRef::Binding(id)) if steps > 0 => {
            matches!(unit.index.sources(*id), [source] if asks_context(project, unit, at.to(source.value), steps - 1))
        }
        _ => false,
    }
}

/// Whether a variable is set in a function that begins a request's context.
fn is_set_beside(project: &Project, unit: &Unit, module: ModuleId, id: BindingId) -> bool {
    unit.index.sources(id).iter().filter(|source| source.function != FunctionId::MODULE).any(|source| {
        let mut begins = false;
        walk::function_exprs(&unit.ir, source.function, &mut |expr| {
            let at = At { module, expr };
            begins |= project.callee(at).is_some_and(|callee| {
                callee.defs.iter().any(|def| matches!(def.role, Role::ContextRun | Role::ContextSet))
            });
        });
        begins
    })
}
