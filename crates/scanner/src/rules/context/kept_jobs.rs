//! Work that requests leave in one list, and that whoever is first goes through: `enqueue(async () => { … currentCaller() … })`. What is
//! asked of the context there is who started the round, and not who left the work.

use partywall_model::{Confidence, Severity};

use super::lost_context::{DEPTH, read_of};
use crate::{
    flow::{Cell, Lifetimes},
    ir::{ExprKind, FunctionId, Language, NameRef, StmtKind},
    library::Role,
    project::{At, Fun, Project, Unit},
    rules::Report,
};

/// How many callers of a function are looked at.
const CALLERS: usize = 24;

/// Reports where such work asks for the context.
pub(super) fn kept_jobs(project: &Project, report: &mut Report<'_>) {
    let gets = project.calls_with(Role::ContextGet);
    if !project.units().any(|(module, _)| gets.among(module).next().is_some()) {
        return;
    }
    let lives = Lifetimes::new(project);
    let pushes = project.calls_named(|name| matches!(name, "push" | "unshift" | "enqueue" | "add"));
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::JavaScript) {
        // A context that is taken along is there when the work is done.
        if unit.ir.source.mentions("AsyncResource") || unit.ir.source.mentions("snapshot") {
            continue;
        }
        for expr in pushes.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { continue };
            let fun = project.function_of(at);
            let Some(given) = call.positional(0).filter(|_| fun.id != FunctionId::MODULE) else { continue };
            if !lives.cell(at.to(*object)).is_some_and(|cell| is_run(&lives, unit, at, &cell)) {
                continue;
            }
            for work in left(project, unit, at.to(given), fun) {
                if let Some(read) = read_of(project, work, DEPTH).filter(|_| lives.is_per_request(work)) {
                    report
                        .reached(read_in(project, work, read), "whoever goes through this list is asked for here, and not who left the work in it")
                        .severity(Severity::Medium)
                        .confidence(Confidence::Medium)
                        .related(module, project.span(at), "the work is left here");
                }
            }
        }
    }
}

/// The place in the work itself where the context is asked, or what asks for it is called.
fn read_in(project: &Project, work: Fun, read: At) -> At {
    if project.function_of(read) == work {
        return read;
    }
    let Some(unit) = project.unit(work.module) else { return read };
    let mut found = None;
    crate::ir::walk::function_exprs(&unit.ir, work.id, &mut |expr| {
        let at = At { module: work.module, expr };
        if found.is_none()
            && matches!(unit.ir.expr(expr), ExprKind::Call(_))
            && project.callee(at).is_some_and(|callee| {
                callee.targets.iter().take(2).any(|target| read_of(project, *target, DEPTH).is_some())
            })
        {
            found = Some(at);
        }
    });
    found.unwrap_or(read)
}

/// The functions that are left in a list: the one that is written there, or those that callers hand over.
fn left(project: &Project, unit: &Unit, given: At, fun: Fun) -> Vec<Fun> {
    match unit.ir.expr(given.expr) {
        ExprKind::Function(id) => vec![Fun { module: given.module, id: *id }],
        ExprKind::Name(NameRef::Binding(id)) => {
            let Some((own, number, path)) = project.parameter_of(given.module, *id) else {
                return Vec::new();
            };
            if own != fun || !path.is_empty() {
                return Vec::new();
            }
            let calls = project.callers(fun).iter().take(CALLERS);
            calls
                .filter_map(|call| project.argument(*call, fun, number))
                .flat_map(|value| project.functions_of(value))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Whether what is taken out of a list is called: `const job = pending.shift(); await job()`, `for (const job of pending) job()`.
fn is_run(lives: &Lifetimes<'_>, unit: &Unit, at: At, cell: &Cell) -> bool {
    let is_it = |expr| lives.cell(at.to(expr)).as_ref() == Some(cell);
    let taken = |id| {
        unit.index.sources(id).iter().any(|source| match unit.ir.expr(source.value) {
            ExprKind::Call(call) => match unit.ir.expr(call.callee) {
                ExprKind::Member { object, property, .. } => {
                    matches!(unit.ir.text(*property), "shift" | "pop" | "splice" | "dequeue")
                        && is_it(*object)
                }
                _ => false,
            },
            _ => is_it(source.value),
        })
    };
    let run_through = unit.ir.stmts().any(|(_, stmt)| match stmt {
        StmtKind::ForEach { target, iter, .. } => {
            target.as_binding().is_some_and(|id| is_it(*iter) && is_called(unit, id))
        }
        _ => false,
    });
    run_through || unit.ir.bindings().any(|(id, _)| is_called(unit, id) && taken(id))
}

/// Whether what a variable holds is called.
fn is_called(unit: &Unit, id: crate::ir::BindingId) -> bool {
    unit.index.uses(id).iter().any(|used| match unit.index.parent(*used) {
        crate::project::Parent::Expr(up) => {
            matches!(unit.ir.expr(up), ExprKind::Call(call) if call.callee == *used)
        }
        _ => false,
    })
}
