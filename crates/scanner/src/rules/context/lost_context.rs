//! A request's context that is asked for where the request's is not.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use super::frozen_context::{names_caller, variable};
use crate::{
    flow::Lifetimes,
    ir::{ArgKind, ExprId, ExprKind, Language, NameRef, walk},
    library::Role,
    project::{At, Fun, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "lost-context",
        layer: Layer::Context,
        summary: "A function that runs in a thread, a worker or a shared timer asks for the request's context, which is not there.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "Such a function runs without the context of the request that wanted it, or with that of whoever started the timer first: \
          it sees no tenant, a default one, or another one's.",
    fix: "Read the caller before, and hand it over as an argument or with the job; in Python `contextvars.copy_context().run` or \
          `asyncio.to_thread` take the context along.",
    cwe: &["CWE-488", "CWE-362"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("lost_context.md"),
    run,
};

/// How many calls below the function the context is looked for.
pub(super) const DEPTH: u32 = 3;

fn run(project: &Project, report: &mut Report<'_>) {
    jobs(project, report);
    given_work(project, report);
    super::kept_worker::kept_worker(project, report);
    super::flushed::flushed(project, report);
    super::kept_jobs::kept_jobs(project, report);
    super::set_in_thread::set_in_thread(project, report);
    let lives = Lifetimes::new(project);
    let asked = project.calls_with(Role::Detach);
    for (module, unit) in project.units() {
        for expr in asked.among(module) {
            let at = At { module, expr: *expr };
            let Some(callee) = project.callee(at) else { continue };
            let places = callee.defs.iter().filter(|def| def.role == Role::Detach).filter_map(|def| def.function.as_ref());
            let values: Vec<At> = places.flat_map(|place| project.at_place(at, place)).collect();
            let Some(start) = start(project, unit, &lives, at).filter(|_| !values.is_empty()) else { continue };
            for fun in values.into_iter().flat_map(|value| project.functions_of(value)) {
                let Some(read) = read_of(project, fun, DEPTH) else { continue };
                let found = report.reached(at, start.message());
                found.related(read.module, project.span(read), "the context is asked for here");
                if matches!(start, Start::Outside | Start::Library) {
                    found.severity(Severity::Low);
                } else {
                    found.confidence(Confidence::Medium);
                }
                break;
            }
        }
    }
}

/// Functions that a worker of another process runs, as of Celery, and that ask for the context of the request that wanted them.
fn jobs(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        if unit.ir.language != Language::Python {
            continue;
        }
        for (id, function) in unit.ir.functions() {
            let job = function.decorators.iter().any(|expr| {
                let name = project.written(At { module, expr: *expr }).pop().unwrap_or_default();
                matches!(name.as_str(), "shared_task" | "task" | "actor" | "periodic_task")
            });
            let fun = Fun { module, id };
            if let Some(read) = job.then(|| read_of(project, fun, DEPTH)).flatten() {
                let found = report.at(read, "a worker runs this, without the request's context, and asks for it");
                found.related(module, function.head, "the worker begins here");
            }
        }
    }
}

/// Work that a function was given and runs in a thread, `loop.run_in_executor(None, tool, arguments)`, in a project that keeps
/// something in context variables: what was given may ask for it.
fn given_work(project: &Project, report: &mut Report<'_>) {
    let keeps = project.units().any(|(module, unit)| {
        unit.ir.language == Language::Python
            && unit.index.calls.iter().any(|expr| {
                let at = At { module, expr: *expr };
                project.callee(at).is_some_and(|callee| callee.defs.iter().any(|def| def.role == Role::ContextNew))
            })
    });
    if !keeps {
        return;
    }
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for expr in &unit.index.calls {
            let at = At { module, expr: *expr };
            let Some(callee) = project.callee(at) else { continue };
            let places = callee.defs.iter().filter(|def| def.role == Role::Detach).filter_map(|def| def.function.as_ref());
            let values: Vec<At> = places.flat_map(|place| project.at_place(at, place)).collect();
            let parameter = values.iter().any(|value| match unit.ir.expr(value.expr) {
                ExprKind::Name(NameRef::Binding(id)) => project.parameter_of(module, *id).is_some(),
                _ => false,
            });
            if parameter || hands_work(unit, *expr) {
                report
                    .reached(at, "this runs in a thread without its caller's context, which what it was given may ask for")
                    .severity(Severity::Low)
                    .confidence(Confidence::Low);
            }
        }
    }
}

/// Whether a thread is started with something that works for somebody among its arguments: `args=(agent, task)`.
fn hands_work(unit: &Unit, expr: ExprId) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(expr) else { return false };
    let named = |item: &ExprId| match unit.ir.expr(*item) {
        ExprKind::Name(NameRef::Binding(id)) => {
            matches!(unit.ir.binding_name(*id), "agent" | "task" | "tool" | "tools" | "func" | "fn" | "callback" | "handler" | "job" | "function")
        }
        _ => false,
    };
    // `target=context.run` takes the context along.
    let along = |expr: ExprId| matches!(unit.ir.expr(expr), ExprKind::Member { property, .. } if unit.ir.text(*property) == "run");
    if call.args.iter().any(|arg| along(arg.value)) {
        return false;
    }
    call.args.iter().any(|arg| {
        let args = matches!(arg.kind, ArgKind::Keyword(name) if unit.ir.text(name) == "args");
        args && matches!(unit.ir.expr(arg.value), ExprKind::Array { items, .. } if items.iter().any(named))
    })
}

/// How a function comes to run without the context of the request that it works for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// In a thread, which begins with an empty context: Python.
    Thread,
    /// In a thread that code starts of which no caller in the project is seen: of a library.
    Library,
    /// By one timer for all requests, in the context of whoever started it.
    Shared,
    /// By a timer or worker that no request started.
    Outside,
}

impl Start {
    const fn message(self) -> &'static str {
        match self {
            Self::Thread | Self::Library => "this runs in a thread that does not have the request's context, and asks for it",
            Self::Shared => "this timer works for all requests, with the context of the one that started it",
            Self::Outside => "this runs outside of any request, and asks for a request's context",
        }
    }
}

fn start(project: &Project, unit: &Unit, lives: &Lifetimes<'_>, at: At) -> Option<Start> {
    let requests = lives.is_per_request(project.function_of(at));
    if unit.ir.language == Language::Python {
        return Some(if requests { Start::Thread } else { Start::Library });
    }
    if !requests {
        return Some(Start::Outside);
    }
    // A timer that goes on with the request that set it has the request's context.
    let kept = unit.index.writes.iter().find(|write| write.value == at.expr).map(|write| write.place);
    let is_shared = |place| lives.cell(at.to(place)).is_some();
    let variable = || {
        let stmt = unit.index.stmt_of(at.expr)?;
        let crate::ir::StmtKind::Assign { target, value, declares: false, .. } = unit.ir.stmt(stmt) else { return None };
        let binding = (*value == at.expr).then(|| Project::pattern_binding(target))??;
        lives.binding_outlives(at.module, binding).then_some(())
    };
    (kept.is_some_and(is_shared) || variable().is_some()).then_some(Start::Shared)
}

/// Where a function, or one that it calls, asks for the context of a request.
pub(super) fn read_of(project: &Project, fun: Fun, depth: u32) -> Option<At> {
    let depth = depth.checked_sub(1)?;
    let unit = project.unit(fun.module)?;
    let mut calls = Vec::new();
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        if matches!(unit.ir.expr(expr), ExprKind::Call(_)) {
            calls.push(At { module: fun.module, expr });
        }
    });
    // What the function runs in a context of its own has one.
    let role = |at: &At, role: Role| project.callee(*at).is_some_and(|callee| callee.defs.iter().any(|def| def.role == role));
    let sets = |at: &At| role(at, Role::ContextRun) || role(at, Role::ContextSet) || sets_it(project, *at);
    if calls.iter().any(sets) {
        return None;
    }
    calls.iter().copied().find_map(|at| {
        if role(&at, Role::ContextGet) {
            // `def current_user(): return request_data.get()["user"]` says itself whom it asks for.
            let says = vocabulary::is_principal(project.function_name(fun));
            let tells = unit.ir.language != Language::Python || says || variable(project, at).is_some_and(|name| names_caller(&name) || is_set_to_caller(project, &name));
            return tells.then_some(at);
        }
        if unit.ir.language == Language::Python && project.callee(at).is_some_and(|callee| is_of_an_sdk(callee.package.as_deref(), callee.name())) {
            return Some(at);
        }
        let callee = project.callee(at).filter(|callee| callee.certain)?;
        callee.targets.iter().take(2).find_map(|target| read_of(project, *target, depth))
    })
}

/// Whether a context variable is set to the caller somewhere, whatever it is named.
fn is_set_to_caller(project: &Project, name: &str) -> bool {
    project.units().any(|(module, unit)| {
        unit.index.calls.iter().any(|expr| {
            let at = At { module, expr: *expr };
            let sets = project.callee(at).is_some_and(|callee| callee.defs.iter().any(|def| def.role == Role::ContextSet));
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { return false };
            sets && variable(project, at).is_some_and(|own| own == name)
                && call.positional(0).is_some_and(|value| project.origins(at.to(value)).has_owner())
        })
    })
}

/// Whether a call is of a function that does nothing but set a context: `def act_for(key): current_key.set(key)`.
fn sets_it(project: &Project, at: At) -> bool {
    let Some(callee) = project.callee(at).filter(|callee| callee.certain) else { return false };
    let [target] = callee.targets.as_slice() else { return false };
    let Some(unit) = project.unit(target.module) else { return false };
    let short = unit.ir.function(target.id).is_some_and(|function| function.body.len() <= 3);
    let mut sets = false;
    walk::function_exprs(&unit.ir, target.id, &mut |expr| {
        let inner = At { module: target.module, expr };
        sets |= project.callee(inner).is_some_and(|callee| callee.defs.iter().any(|def| def.role == Role::ContextSet));
    });
    short && sets
}

/// The Python SDKs' readers of what belongs to the message that is being answered: they keep it in context variables too.
fn is_of_an_sdk(package: Option<&str>, name: &str) -> bool {
    let sdk = package.is_some_and(|package| matches!(package.split('.').next(), Some("mcp" | "fastmcp")));
    sdk && matches!(name, "get_context" | "get_http_request" | "get_http_headers" | "get_access_token")
}
