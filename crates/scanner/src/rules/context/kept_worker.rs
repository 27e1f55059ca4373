//! Workers that the first request starts and that work for all: a task keeps the context in which it was made.
//! `if self.task is None: self.task = asyncio.create_task(self.loop())`.

use partywall_model::{Confidence, Severity};

use super::lost_context::{DEPTH, read_of};
use crate::{
    flow::Lifetimes,
    ir::{ArgKind, ExprId, ExprKind, FunctionId, Language, NameRef, StmtKind, walk},
    library::Role,
    project::{At, Fun, Parent, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Calls that start a task with a copy of the context.
const STARTS: &[&str] = &["create_task", "ensure_future"];

/// First words of functions that run when the process starts, or words that say so.
const AT_START: &[&str] = &[
    "start",
    "startup",
    "initialize",
    "init",
    "setup",
    "lifespan",
    "main",
    "run",
    "serve",
    "connect",
    "open",
    "aenter",
];

/// Reports such workers, when they ask for the caller in a loop.
pub(super) fn kept_worker(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for expr in &unit.index.calls {
            let at = At { module, expr: *expr };
            let fun = project.function_of(at);
            let Some(work) = started(project, at).filter(|_| fun.id != FunctionId::MODULE) else { continue };
            let in_variable = lives.is_per_request(fun) && is_in_variable(unit, *expr);
            let in_place = || {
                let Some(place) = kept_in(unit, *expr) else { return false };
                let shared = lives.is_per_request(fun) && lives.cell(at.to(place)).is_some();
                shared || is_begun_late(project, unit, fun, place)
            };
            if !in_variable && !in_place() {
                continue;
            }
            let Some(work) = project.callee(work).filter(|work| work.certain) else { continue };
            let read = work
                .targets
                .iter()
                .take(2)
                .filter(|target| loops(project, **target))
                .find_map(|target| Some((*target, read_of(project, *target, DEPTH + 1)?)));
            if let Some((target, read)) = read {
                report
                    .reached(
                        at,
                        "this task works for all requests, with the context of the one that started it",
                    )
                    .confidence(Confidence::Medium)
                    .related(read.module, project.span(read), "the context is asked for here");
                // Each piece of work has to say itself whom it is for: that is where it does not.
                if let Some(asked) = asks_itself(project, target) {
                    report
                        .at(asked, "this is the caller who started the task, whoever the work is for")
                        .severity(Severity::Low)
                        .confidence(Confidence::Medium)
                        .related(module, project.span(at), "the task is started here");
                }
            }
        }
    }
}

/// The call of a function, in its own code, by which it asks for the context, itself or through another function.
fn asks_itself(project: &Project, fun: Fun) -> Option<At> {
    let unit = project.unit(fun.module)?;
    let mut found = None;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: fun.module, expr };
        if found.is_some() || !matches!(unit.ir.expr(expr), ExprKind::Call(_)) {
            return;
        }
        let asks = project.callee(at).is_some_and(|callee| {
            callee.defs.iter().any(|def| def.role == Role::ContextGet)
                || (callee.certain
                    && callee.targets.iter().take(2).any(|target| read_of(project, *target, DEPTH).is_some()))
        });
        found = asks.then_some(at);
    });
    found
}

/// The work that a call starts in a task, itself or through a function that hands it on.
fn started(project: &Project, at: At) -> Option<At> {
    let unit = project.unit(at.module)?;
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
    if project.last_written(at).is_some_and(|name| STARTS.contains(&name)) {
        return call.positional(0).map(|work| at.to(work));
    }
    // Most calls are given no call.
    if !call.args.iter().any(|arg| matches!(unit.ir.expr(arg.value), ExprKind::Call(_))) {
        return None;
    }
    let callee = project.callee(at).filter(|callee| callee.certain)?;
    let [target] = callee.targets.as_slice() else { return None };
    let home = project.unit(target.module)?;
    let mut given = None;
    let mut own = false;
    walk::function_exprs(&home.ir, target.id, &mut |expr| {
        let inner = At { module: target.module, expr };
        let ExprKind::Call(call) = home.ir.expr(expr) else { return };
        // A context of its own, or one that is emptied first.
        own |= call
            .args
            .iter()
            .any(|arg| matches!(arg.kind, ArgKind::Keyword(name) if home.ir.text(name) == "context"))
            || project.callee(inner).is_some_and(|callee| {
                callee.defs.iter().any(|def| matches!(def.role, Role::ContextSet | Role::ContextRun))
            });
        if project.last_written(inner).is_some_and(|name| STARTS.contains(&name))
            && let Some(work) = call.positional(0)
            && let ExprKind::Name(NameRef::Binding(id)) = home.ir.expr(work)
        {
            given = project
                .parameter_of(target.module, *id)
                .filter(|(fun, ..)| fun == target)
                .map(|(_, number, _)| number);
        }
    });
    let number = given.filter(|_| !own)?;
    project.argument(at, *target, number)
}

/// Whether a task is kept in a variable of the module: `global _task; _task = asyncio.create_task(worker())`.
fn is_in_variable(unit: &Unit, task: ExprId) -> bool {
    let Some(stmt) = unit.index.stmt_of(task) else { return false };
    let StmtKind::Assign { target, value, .. } = unit.ir.stmt(stmt) else { return false };
    *value == task && target.as_binding().is_some_and(|id| unit.ir.is_module_level(id))
}

/// The place that a task is kept in: it is assigned, or put into a list, itself or by a variable.
fn kept_in(unit: &Unit, task: ExprId) -> Option<ExprId> {
    if let Some(write) = unit.index.writes.iter().find(|write| write.value == task) {
        return Some(write.place);
    }
    let added = |value: ExprId| match unit.index.parent(value) {
        Parent::Expr(up) => match unit.ir.expr(up) {
            ExprKind::Call(call) if call.args.iter().any(|arg| arg.value == value) => {
                match unit.ir.expr(call.callee) {
                    ExprKind::Member { object, property, .. }
                        if matches!(unit.ir.text(*property), "append" | "add") =>
                    {
                        Some(*object)
                    }
                    _ => None,
                }
            }
            _ => None,
        },
        _ => None,
    };
    if let Some(place) = added(task) {
        return Some(place);
    }
    let stmt = unit.index.stmt_of(task)?;
    let StmtKind::Assign { target, value, .. } = unit.ir.stmt(stmt) else { return None };
    let id = target.as_binding().filter(|_| *value == task)?;
    let used = unit.index.uses(id).iter();
    used.filter(|used| unit.index.function(**used) == unit.index.function(task)).find_map(|used| {
        added(*used)
            .or_else(|| unit.index.writes.iter().find(|write| write.value == *used).map(|write| write.place))
    })
}

/// Whether a task is begun by whoever comes first: its function looks whether there is one in the object, and is called from what
/// is no start of the process.
fn is_begun_late(project: &Project, unit: &Unit, fun: Fun, place: ExprId) -> bool {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(place) else { return false };
    if !matches!(unit.ir.expr(*object), ExprKind::This) {
        return false;
    }
    let Some(function) = unit.ir.function(fun.id) else { return false };
    let mut asks = false;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        if let StmtKind::If { test, .. } = unit.ir.stmt(stmt) {
            walk::exprs_below(&unit.ir, *test, &mut |expr| {
                asks |= matches!(unit.ir.expr(expr), ExprKind::Member { object, property: own, .. }
                    if own == property && matches!(unit.ir.expr(*object), ExprKind::This));
            });
        }
    });
    let at_start = |name: &str| {
        let words = vocabulary::words(name);
        words.iter().any(|word| AT_START.contains(&word.as_str()))
    };
    let callers = project.callers(fun);
    asks && !at_start(project.function_name(fun))
        && !callers.is_empty()
        && !callers.iter().take(16).any(|call| {
            let from = project.function_of(*call);
            from.id == FunctionId::MODULE || at_start(project.function_name(from))
        })
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
