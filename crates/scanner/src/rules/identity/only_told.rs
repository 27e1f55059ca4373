//! What is read of a token for those who watch the server: traces, logs, figures of use. Nobody is let in by it.

use crate::{
    ir::{ExprId, ExprKind, FunctionId, StmtKind},
    library::Role,
    project::{At, Fun, Parent, Project, Unit},
    vocabulary,
};

/// First words of functions that only tell what happened: `span.set_attribute("user.id", id)`, `tracker.recordToolCall({ user })`.
const TELLS: &[&str] = &[
    "track", "capture", "identify", "record", "log", "trace", "emit", "report", "observe", "tag", "annotate",
];

/// Whole names of the same.
const ATTRIBUTES: &[&str] = &[
    "set_attribute",
    "setAttribute",
    "set_attributes",
    "setAttributes",
    "set_tag",
    "setTag",
    "set_user",
    "setUser",
    "bind_contextvars",
];

/// How many expressions a value may stand in below the call that is told of it.
const BELOW: usize = 8;

/// How many functions give a value on to who asked for it.
const STEPS: u32 = 3;

/// How many uses and callers are looked at.
const USES: usize = 12;

/// Whether all that is made of what a function gives is told to those who watch.
pub(super) fn only_told(project: &Project, fun: Fun) -> bool {
    gives_to_watchers(project, fun, STEPS)
}

fn gives_to_watchers(project: &Project, fun: Fun, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    let calls = project.callers(fun);
    fun.id != FunctionId::MODULE
        && project.entry(fun).is_none()
        && !calls.is_empty()
        && calls.len() <= USES
        && calls
            .iter()
            .all(|call| project.unit(call.module).is_some_and(|unit| is_told(project, unit, *call, steps)))
}

/// Whether a value goes nowhere but to those who watch, by itself, by its variable, or by what its function gives.
fn is_told(project: &Project, unit: &Unit, at: At, steps: u32) -> bool {
    let mut here = at.expr;
    for _ in 0..BELOW {
        match unit.index.parent(here) {
            Parent::Expr(up) => match unit.ir.expr(up) {
                ExprKind::Call(call) if call.callee != here => return tells(project, at.to(up)),
                // Whether there is one is no use of it.
                ExprKind::Compare { .. } | ExprKind::Unary { .. } => return true,
                ExprKind::Conditional { test, .. } if *test == here => return true,
                ExprKind::Function(_) => return false,
                _ => here = up,
            },
            Parent::Stmt(stmt) => {
                return match unit.ir.stmt(stmt) {
                    StmtKind::If { .. } | StmtKind::Expr(_) => true,
                    StmtKind::Return(_) => gives_to_watchers(project, project.function_of(at), steps),
                    StmtKind::Assign { target, .. } => target.as_binding().is_some_and(|id| {
                        let uses: Vec<ExprId> = unit.index.uses(id).to_vec();
                        let Some(steps) = steps.checked_sub(1) else { return false };
                        !uses.is_empty()
                            && uses.len() <= USES
                            && uses.into_iter().all(|used| is_told(project, unit, at.to(used), steps))
                    }),
                    _ => false,
                };
            }
            _ => return false,
        }
    }
    false
}

/// Whether a call only tells what happened.
fn tells(project: &Project, call: At) -> bool {
    let name = project.last_written(call).unwrap_or_default();
    let words = vocabulary::words(name);
    ATTRIBUTES.contains(&name)
        || words.first().is_some_and(|first| TELLS.contains(&first.as_str()))
        || project.callee(call).is_some_and(|callee| callee.defs.iter().any(|def| def.role == Role::Log))
}
