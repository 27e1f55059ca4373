//! A task, job or run that is found by the id that the client sends.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use super::session_without_owner::{is_compared, mentions, sees_caller};
use crate::{
    flow::{Lifetimes, Store},
    ir::{BindingId, ExprKind, FunctionId, FunctionKind, NameRef, Pattern, StmtKind, walk},
    project::{At, Fun, Parent, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "task-without-owner",
        layer: Layer::Routing,
        summary: "A task, job or run is found by the id that the client sends, and nobody looks whose it is.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "Whoever learns or guesses the id reads the result of another caller's task, goes on with it, or stops it.",
    fix: "Keep with each task who started it, and compare that with the verified caller before anything is done with it.",
    cwe: &["CWE-639", "CWE-862"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("task_without_owner.md"),
    run,
};

/// Words of maps that hold what requests have begun.
const HOLDERS: &[&str] = &[
    "task", "tasks", "job", "jobs", "run", "runs", "execution", "executions", "process", "processes", "operation", "operations", "workflow", "workflows",
    "upload", "uploads", "download", "downloads", "export", "exports", "result", "results", "approval", "approvals", "future", "futures", "elicitations",
    "requests", "deployments", "sandboxes", "containers", "agents", "games", "documents", "reports",
];

/// Words of maps that hold what the server itself offers, by their names.
const OFFERS: &[&str] = &["registry", "handlers", "types", "config", "configs", "templates", "schemas", "classes", "definitions", "map", "names"];

fn run(project: &Project, report: &mut Report<'_>) {
    super::asked_tasks::asked_tasks(project, report);
    let lives = Lifetimes::new(project);
    let accesses = project.accesses();
    let made: Vec<&Store> = accesses
        .iter()
        .filter(|access| access.value.is_some() && is_made_later(project, &lives, access.function) && is_holder(&access.name))
        .filter(|access| access.value.is_some_and(|value| !project.is_tally(value)))
        .map(|access| &access.store)
        .collect();
    for access in accesses.iter().filter(|access| access.value.is_none() && is_holder(&access.name) && made.contains(&&access.store)) {
        let fun = access.function;
        let (Some(unit), true) = (project.unit(access.at.module), lives.is_per_request(fun)) else { continue };
        let origins = project.origins(access.key);
        if fun.id == FunctionId::MODULE || !origins.is_chosen() || origins.has_owner() || is_test(unit, access.at) {
            continue;
        }
        let names = names_of(unit, access.at, access.key);
        if is_compared(project, fun, &names) || !is_used(unit, fun, &names, access.at) {
            continue;
        }
        let severity = match (project.knows_callers(access.at.module), sees_caller(project, fun)) {
            // What is put there, or counted, is not given to anybody.
            (true, _) if only_adds(unit, access.at) || super::only_added::is_only_added_to(unit, access.at) => Severity::Medium,
            (true, true) => Severity::High,
            (true, false) => Severity::Medium,
            (false, _) => Severity::Low,
        };
        let found = report.reached(access.at, format!("what `{}` holds is found by the id that the client sends, and not compared with the caller", access.name));
        found.severity(severity).confidence(Confidence::Medium);
    }
}

/// Whether a function runs after the start: for a request, or as a method that is no constructor.
fn is_made_later(project: &Project, lives: &Lifetimes<'_>, fun: Fun) -> bool {
    let method = project.unit(fun.module).and_then(|unit| unit.ir.function(fun.id)).is_some_and(|function| {
        function.class.is_some() && function.kind != FunctionKind::Constructor
    });
    method || lives.is_per_request(fun)
}

/// Whether what is found is only added to, or counted: `tasks[id].append(task)`, `len(tasks[id])`.
fn only_adds(unit: &Unit, at: At) -> bool {
    let Parent::Expr(up) = unit.index.parent(at.expr) else { return false };
    match unit.ir.expr(up) {
        ExprKind::Member { property, .. } => matches!(unit.ir.text(*property), "append" | "add" | "push" | "length" | "size"),
        ExprKind::Call(call) => matches!(unit.ir.expr(call.callee), ExprKind::Name(_)) && unit.ir.snippet(unit.ir.span(call.callee)) == "len",
        _ => false,
    }
}

fn is_holder(name: &str) -> bool {
    let words = vocabulary::words(name);
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    has(HOLDERS) && !has(OFFERS)
}

/// Whether an access only asks whether there is one.
fn is_test(unit: &Unit, at: At) -> bool {
    match unit.ir.expr(at.expr) {
        ExprKind::Compare { .. } => true,
        ExprKind::Call(call) => matches!(unit.ir.expr(call.callee), ExprKind::Member { property, .. } if unit.ir.text(*property) == "has"),
        _ => false,
    }
}

/// The variables of the key and of what was found.
fn names_of(unit: &Unit, at: At, key: At) -> Vec<BindingId> {
    let mut names = Vec::new();
    walk::exprs_below(&unit.ir, key.expr, &mut |expr| {
        if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) {
            names.push(*id);
        }
    });
    if let Some(StmtKind::Assign { target, .. }) = unit.index.stmt_of(at.expr).map(|stmt| unit.ir.stmt(stmt))
        && !matches!(target, Pattern::Place(_))
    {
        target.for_each_binding(&mut |id| names.push(id));
    }
    names
}

/// Whether what was found is given back or acted on: returned, awaited, or asked for more than whether it is there.
fn is_used(unit: &Unit, fun: Fun, names: &[BindingId], at: At) -> bool {
    let mut used = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        used |= match unit.ir.expr(expr) {
            ExprKind::Member { object, .. } | ExprKind::Index { object, .. } => mentions(unit, *object, names) || *object == at.expr,
            ExprKind::Await(value) => mentions(unit, *value, names),
            _ => false,
        };
    });
    used || unit.index.returns(fun.id).iter().any(|value| mentions(unit, *value, names) || unit.ir.span(*value).contains(unit.ir.span(at.expr)))
}
