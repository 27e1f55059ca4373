//! Workers that the first request starts and that work for all: a task keeps the context in which it was made.
//! `if self.task is None: self.task = asyncio.create_task(self.loop())`.

use partywall_model::Confidence;

use super::lost_context::{DEPTH, read_of};
use crate::{
    flow::Lifetimes,
    ir::{ExprKind, FunctionId, Language, StmtKind, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
};

/// Calls that start a task with a copy of the context.
const STARTS: &[&str] = &["create_task", "ensure_future"];

/// Reports such workers, when they ask for the caller in a loop.
pub(super) fn kept_worker(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for write in &unit.index.writes {
            let at = At { module, expr: write.value };
            let fun = Fun { module, id: write.function };
            let ExprKind::Call(call) = unit.ir.expr(write.value) else { continue };
            let starts = project.last_written(at).is_some_and(|name| STARTS.contains(&name));
            if !starts
                || fun.id == FunctionId::MODULE
                || !lives.is_per_request(fun)
                || lives.cell(at.to(write.place)).is_none()
            {
                continue;
            }
            let Some(work) =
                call.positional(0).and_then(|work| project.callee(at.to(work))).filter(|work| work.certain)
            else {
                continue;
            };
            let read = work
                .targets
                .iter()
                .take(2)
                .filter(|target| loops(project, **target))
                .find_map(|target| read_of(project, *target, DEPTH));
            if let Some(read) = read {
                report
                    .reached(
                        at,
                        "this task works for all requests, with the context of the one that started it",
                    )
                    .confidence(Confidence::Medium)
                    .related(read.module, project.span(read), "the context is asked for here");
            }
        }
    }
}

/// Whether a function goes on for as long as the process runs.
fn loops(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let Some(function) = unit.ir.function(fun.id) else { return false };
    let mut found = false;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        found |= matches!(unit.ir.stmt(stmt), StmtKind::While { test, .. } if is_always(unit, *test));
    });
    found
}

fn is_always(unit: &Unit, test: crate::ir::ExprId) -> bool {
    match unit.ir.expr(test) {
        ExprKind::Bool(yes) => *yes,
        ExprKind::Number(text) => unit.ir.text(*text) == "1",
        // `while not self.closed`
        ExprKind::Unary { .. } | ExprKind::Member { .. } => true,
        _ => false,
    }
}
