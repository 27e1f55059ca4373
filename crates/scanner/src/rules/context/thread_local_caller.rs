//! The caller of a request in a thread's storage, in a server whose one thread answers many requests in turns.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::Lifetimes,
    ir::{BindingId, ExprId, ExprKind, Language, NameRef},
    project::{At, Fun, ModuleId, Project, Symbol, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "thread-local-caller",
        layer: Layer::Context,
        summary: "The caller of a request is kept in the storage of a thread that answers other requests at the same time.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "Coroutines of one event loop run in one thread and take turns at every `await`. What one request has left in \
          `threading.local()` is what another request finds there.",
    fix: "Keep it in a `contextvars.ContextVar`, which each task has for itself, and reset it when the request ends.",
    cwe: &["CWE-488", "CWE-362"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021"],
    markdown: include_str!("thread_local_caller.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    if !answers_in_coroutines(project) {
        return;
    }
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        if unit.ir.language != Language::Python {
            continue;
        }
        let mut made: Vec<At> = Vec::new();
        for write in &unit.index.writes {
            let ExprKind::Member { object, property, .. } = unit.ir.expr(write.place) else { continue };
            let name = unit.ir.text(*property);
            if !says_who(name) {
                continue;
            }
            let Some(storage) = storage(project, unit, At { module, expr: *object }) else { continue };
            let fun = Fun { module, id: write.function };
            let severity = if lives.is_per_request(fun) && !is_in_thread(unit, fun) { Severity::High } else { Severity::Medium };
            let text = format!("`{name}` of a request is kept in a thread's storage, and the thread answers other requests meanwhile");
            report.reached(At { module, expr: write.place }, text).severity(severity);
            if storage.module == module && !made.contains(&storage) {
                made.push(storage);
            }
        }
        for storage in made {
            let text = "a thread's storage holds the caller of a request, and coroutines share the thread";
            report.at(storage, text).severity(Severity::Medium).confidence(Confidence::Medium);
        }
    }
}

/// Whether a function is a middleware that Django runs in a thread of its own for each request, in front of views that are no coroutines.
fn is_in_thread(unit: &Unit, fun: Fun) -> bool {
    unit.ir.function(fun.id).is_some_and(|function| {
        let name = function.name.map_or("", |name| unit.ir.text(name));
        !function.is_async && function.class.is_some() && matches!(name, "__call__" | "process_request" | "process_view")
    })
}

/// Whether handlers of the project are coroutines. A library has none, and says with coroutines of its own whom it is for.
fn answers_in_coroutines(project: &Project) -> bool {
    let is_async = |fun: Fun| {
        project.unit(fun.module).and_then(|unit| unit.ir.function(fun.id)).is_some_and(|function| function.is_async)
    };
    let mut handlers = project.entries().iter().map(|entry| entry.handler).peekable();
    if handlers.peek().is_some() {
        return handlers.any(is_async);
    }
    project.units().any(|(module, unit)| unit.ir.functions().any(|(id, _)| is_async(Fun { module, id })))
}

/// Whether a name is one of whom a request is for: a tenant, a user, the caller, a credential, a session, the request itself.
fn says_who(name: &str) -> bool {
    vocabulary::says_whose(name)
        || matches!(name, "request" | "session" | "context" | "headers")
}

/// Where the storage of a thread is made that a value is: `_local`, `self._local`, `Class._local`.
pub(super) fn storage(project: &Project, unit: &Unit, at: At) -> Option<At> {
    match unit.ir.expr(at.expr) {
        ExprKind::Name(NameRef::Binding(id)) => {
            let (module, id) = project.declared(at.module, *id).unwrap_or((at.module, *id));
            let sources = project.unit(module)?.index.sources(id);
            sources.iter().map(|source| At { module, expr: source.value }).find(|value| is_storage(project, *value))
        }
        ExprKind::Member { object, property, .. } => {
            let class = match unit.ir.expr(*object) {
                ExprKind::This => project.this_of(project.function_of(at))?,
                _ => match project.symbol(at.to(*object)) {
                    Symbol::Class(class) | Symbol::Instance(class) => class,
                    _ => return None,
                },
            };
            project.field_values(class, unit.ir.text(*property)).into_iter().find(|value| is_storage(project, *value))
        }
        _ => None,
    }
}

/// Whether a variable of a module is the storage of a thread.
pub(in crate::rules) fn is_thread_storage(project: &Project, module: ModuleId, id: BindingId) -> bool {
    project.unit(module).is_some_and(|unit| {
        unit.index.sources(id).iter().any(|source| is_storage(project, At { module, expr: source.value }))
    })
}

/// Whether a value is `threading.local()`, or an object of a class that extends it.
fn is_storage(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    match project.symbol(at.to(call.callee)) {
        Symbol::External { .. } => is_thread_local(project, at.to(call.callee)),
        Symbol::Class(class) => project.unit(class.module).is_some_and(|unit| {
            let bases = unit.ir.class(class.id).map(|decl| &decl.bases);
            let base = |expr: &ExprId| is_thread_local(project, At { module: class.module, expr: *expr });
            bases.is_some_and(|bases| bases.iter().any(base))
        }),
        _ => false,
    }
}

fn is_thread_local(project: &Project, at: At) -> bool {
    match project.symbol(at) {
        Symbol::External { package, path } => {
            matches!(package.as_str(), "threading" | "_threading_local") && path.last().is_some_and(|name| name.as_str() == "local")
        }
        _ => false,
    }
}
