//! What a request is worked out of: values that a function was asked for with what the caller sent, and that say nothing of it any more.

use crate::{
    flow::Origins,
    ir::{ExprId, ExprKind, NameRef},
    project::{At, Project, Unit},
};

/// How many variables and calls are followed.
const STEPS: u32 = 4;

/// What comes of the caller's request.
const SENT: Origins =
    Origins::INPUT.or(Origins::PRINCIPAL).or(Origins::UNVERIFIED).or(Origins::REQUEST).or(Origins::SECRET);

/// Whether a value is, or is a part of, what a call gave that was asked with what the caller sent: `project.id` of
/// `project = await find_project(user_id(), project_id)`.
pub(super) fn is_worked_out(project: &Project, at: At) -> bool {
    project.unit(at.module).is_some_and(|unit| worked_out(project, unit, at, STEPS))
}

fn worked_out(project: &Project, unit: &Unit, at: At, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    let sent = |expr: ExprId| {
        project.origins(at.to(expr)).has(SENT) || worked_out(project, unit, at.to(expr), steps)
    };
    match unit.ir.expr(at.expr) {
        ExprKind::Await(inner) => worked_out(project, unit, at.to(*inner), steps + 1),
        ExprKind::Member { object, .. } | ExprKind::Index { object, .. } => {
            worked_out(project, unit, at.to(*object), steps)
        }
        ExprKind::Logical { left, right, .. } => {
            [*left, *right].into_iter().any(|side| worked_out(project, unit, at.to(side), steps))
        }
        ExprKind::Call(call) => call.args.iter().take(6).any(|arg| sent(arg.value)),
        ExprKind::Name(NameRef::Binding(id)) if !unit.ir.is_module_level(*id) => {
            let fun = project.function_of(at);
            let own = unit
                .index
                .sources(*id)
                .iter()
                .filter(|source| source.function == fun.id && source.value != at.expr);
            own.take(3).any(|source| worked_out(project, unit, at.to(source.value), steps))
        }
        _ => false,
    }
}
