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
    let Some(sure) = answers_in_coroutines(project) else { return };
    let lives = Lifetimes::new(project);
    let mut made: Vec<At> = Vec::new();
    for (module, unit) in project.units() {
        if unit.ir.language != Language::Python {
            continue;
        }
        for (place, fun, object, name) in written(project, module, unit) {
            let Some(storage) = storage(project, unit, At { module, expr: object }) else { continue };
            let of_caller = says_who(&name) || (says_for_whom(&name) && is_scope(unit, fun));
            if !of_caller {
                continue;
            }
            // Django runs middleware that is no coroutine in a thread, and what it sets there no coroutine sees.
            if !sure && is_in_thread(unit, fun) {
                continue;
            }
            let severity = if sure && lives.is_per_request(fun) && !is_in_thread(unit, fun) { Severity::High } else { Severity::Medium };
            let text = format!("`{name}` of a request is kept in a thread's storage, and the thread answers other requests meanwhile");
            let found = report.reached(At { module, expr: place }, text).severity(severity);
            if !sure {
                found.confidence(Confidence::Low).whatever_the_way();
            }
            if !made.contains(&storage) {
                made.push(storage);
            }
        }
    }
    for storage in made {
        let text = "a thread's storage holds the caller of a request, and coroutines share the thread";
        report.at(storage, text).severity(Severity::Medium).confidence(if sure { Confidence::Medium } else { Confidence::Low });
    }
}

/// What a module sets below an object: the place, the function, the object and the name, `_local.user = user`,
/// `setattr(_local, "user", user)`.
fn written(project: &Project, module: ModuleId, unit: &Unit) -> Vec<(ExprId, Fun, ExprId, String)> {
    let mut found = Vec::new();
    for write in &unit.index.writes {
        if let ExprKind::Member { object, property, .. } = unit.ir.expr(write.place) {
            found.push((write.place, Fun { module, id: write.function }, *object, unit.ir.text(*property).to_owned()));
        }
    }
    for expr in project.calls_named(|name| name == "setattr").among(module) {
        let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
        let (Some(object), Some(name)) = (call.positional(0), call.positional(1)) else { continue };
        let name = match unit.ir.expr(name) {
            ExprKind::String(text) => unit.ir.text(*text).to_owned(),
            // `setattr(_local, USER_ATTRIBUTE, user)`
            ExprKind::Name(_) => project.last_written(At { module, expr: name }).unwrap_or_default().to_lowercase(),
            _ => continue,
        };
        found.push((*expr, Fun { module, id: unit.index.function(*expr) }, object, name));
    }
    found
}

/// Whether a name is one of for whom or what a piece of code runs.
fn says_for_whom(name: &str) -> bool {
    let words = vocabulary::words(name);
    let says = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    says(&["scope", "scopes", "actor", "audit", "auditlog", "identity", "impersonate"])
        || (says(&["event", "job", "task", "run"]) && words.last().is_some_and(|last| last == "id"))
}

/// Whether a function sets something for the code that runs within it or after it: `with set_actor(user):`, `before_call(…)`.
fn is_scope(unit: &Unit, fun: Fun) -> bool {
    unit.ir.function(fun.id).is_some_and(|function| {
        let name = function.name.map_or("", |name| unit.ir.text(name));
        let managed = function.decorators.iter().any(|expr| unit.ir.snippet(unit.ir.span(*expr)).contains("contextmanager"));
        let first = vocabulary::words(name).first().cloned().unwrap_or_default();
        managed || matches!(first.as_str(), "enter" | "before" | "begin" | "push" | "bind" | "activate" | "set")
    })
}

/// Whether a function is a middleware that Django runs in a thread of its own for each request, in front of views that are no coroutines.
fn is_in_thread(unit: &Unit, fun: Fun) -> bool {
    unit.ir.function(fun.id).is_some_and(|function| {
        let name = function.name.map_or("", |name| unit.ir.text(name));
        !function.is_async && function.class.is_some() && matches!(name, "__call__" | "process_request" | "process_view")
    })
}

/// Whether handlers of the project are coroutines, and whether that is seen. A library has none, and says with coroutines of its own whom
/// it is for, or is for a framework that runs coroutines too: Django has them since 3.1.
fn answers_in_coroutines(project: &Project) -> Option<bool> {
    let is_async = |fun: Fun| {
        project.unit(fun.module).and_then(|unit| unit.ir.function(fun.id)).is_some_and(|function| function.is_async)
    };
    // What stands before all requests answers none.
    let mut handlers = project.entries().iter().filter(|entry| entry.kind != "middleware").map(|entry| entry.handler).peekable();
    if handlers.peek().is_some() {
        return handlers.any(is_async).then_some(true);
    }
    if project.entries().iter().any(|entry| is_async(entry.handler))
        || project.units().any(|(module, unit)| unit.ir.functions().any(|(id, _)| is_async(Fun { module, id })))
    {
        return Some(true);
    }
    let of_django = |unit: &Unit| {
        unit.ir.language == Language::Python
            && unit.ir.imports.iter().any(|import| unit.ir.text(import.specifier).split('.').next() == Some("django"))
    };
    project.units().any(|(_, unit)| of_django(unit)).then_some(false)
}

/// Whether a name is one of whom a request is for: a tenant, a user, the caller, a credential, a session, the request itself.
pub(super) fn says_who(name: &str) -> bool {
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
            matches!(package.as_str(), "threading" | "_threading_local" | "django.utils._threading_local") && path.last().is_some_and(|name| name.as_str() == "local")
        }
        _ => false,
    }
}
