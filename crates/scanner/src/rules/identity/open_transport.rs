//! An endpoint that speaks MCP to whoever connects, beside one that asks who calls: `app.post("/mcp", requireAuth, …)` and
//! `app.get("/sse", …)`. The tools behind both are the same.

use std::collections::BTreeSet;

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Entry,
    ir::{BindingId, Call, ExprId, ExprKind, Language, NameRef, walk},
    library::Role,
    project::{At, Fun, ModuleId, Project, Unit},
    rules::Report,
    vocabulary,
};

/// How many calls are followed from a handler to where it makes its transport.
const DEPTH: u32 = 3;

/// How many functions are looked into for one handler.
const FUNCTIONS: usize = 32;

/// Words of middleware that asks who calls.
const GUARDS: &[&str] = &[
    "auth",
    "authenticate",
    "authenticated",
    "authorize",
    "authorization",
    "bearer",
    "jwt",
    "guard",
    "protect",
    "protected",
    "oauth",
];

/// What a handler's text has in it that asks on its own.
const ASKS: &[&str] =
    &["auth", "token", "verify", "bearer", "401", "403", "apikey", "api_key", "secret", "password"];

/// A route that makes a transport.
struct Route<'p> {
    entry: &'p Entry,
    /// What it is registered with.
    on: Option<(ModuleId, BindingId)>,
    path: String,
    guarded: bool,
}

/// Reports such endpoints.
pub(super) fn open_transport(project: &Project, report: &mut Report<'_>) {
    let mut routes: Vec<Route<'_>> = Vec::new();
    for entry in project
        .entries()
        .iter()
        .filter(|entry| entry.kind == "http" && entry.registration.expr != ExprId::MISSING)
    {
        let Some(unit) =
            project.unit(entry.registration.module).filter(|unit| unit.ir.language == Language::JavaScript)
        else {
            continue;
        };
        let ExprKind::Call(call) = unit.ir.expr(entry.registration.expr) else { continue };
        let Some(path) = path_of(unit, call) else { continue };
        // What stands before a handler is no handler of its own.
        let last = call.args.last().is_some_and(|last| {
            project.functions_of(entry.registration.to(last.value)).contains(&entry.handler)
        });
        if !last || !makes_transport(project, entry.handler) {
            continue;
        }
        let on = registered_on(unit, entry.registration.module, call);
        let before = call.args.iter().skip(1).take(call.args.len().saturating_sub(2));
        let mut guarded = before.clone().any(|arg| says_guard(unit.ir.snippet(unit.ir.span(arg.value))));
        guarded |= on.is_some_and(|on| is_guarded_by_use(project, on, &path));
        routes.push(Route { entry, on, path, guarded });
    }
    for route in routes.iter().filter(|route| !route.guarded) {
        let beside = routes.iter().find(|other| {
            other.guarded
                && project.folder(other.entry.registration.module)
                    == project.folder(route.entry.registration.module)
        });
        let Some(beside) = beside else { continue };
        // The same address without the guard is for another way to run the server.
        let again = routes.iter().any(|other| other.guarded && other.path == route.path);
        if again || asks_itself(project, route.entry.handler) || asks_around(project, route) {
            continue;
        }
        let at = route.entry.registration;
        let Some(unit) = project.unit(at.module) else { continue };
        let ExprKind::Call(call) = unit.ir.expr(at.expr) else { continue };
        let span = call.positional(0).map_or(unit.ir.span(at.expr), |first| unit.ir.span(first));
        report
            .add(at.module, span, format!("whoever connects to `{}` is served, while `{}` asks who calls", route.path, beside.path))
            .severity(Severity::Medium)
            .confidence(Confidence::Medium)
            .related(beside.entry.registration.module, project.span(beside.entry.registration), "this endpoint has a guard before it")
            .why("The tools behind both endpoints are the same. Whoever is refused at the one is served at the other.")
            .fix("Put the same guard before every endpoint that begins a session, or take the old transport out.");
    }
}

/// The path of a route, where it is written out.
fn path_of(unit: &Unit, call: &Call) -> Option<String> {
    match unit.ir.expr(call.positional(0)?) {
        ExprKind::String(text) if unit.ir.text(*text).starts_with('/') => {
            Some(unit.ir.text(*text).to_owned())
        }
        _ => None,
    }
}

/// The variable of the application or router that a route is registered with.
fn registered_on(unit: &Unit, module: ModuleId, call: &Call) -> Option<(ModuleId, BindingId)> {
    let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return None };
    match unit.ir.expr(*object) {
        ExprKind::Name(NameRef::Binding(id)) => Some((module, *id)),
        _ => None,
    }
}

fn says_guard(text: &str) -> bool {
    text.split(|char: char| !(char.is_alphanumeric() || char == '_'))
        .any(|name| vocabulary::words(name).iter().any(|word| GUARDS.contains(&word.as_str())))
}

/// Whether an application puts a guard before all of its routes, or before those below a path: `app.use("/mcp", requireAuth)`.
fn is_guarded_by_use(project: &Project, on: (ModuleId, BindingId), path: &str) -> bool {
    let Some(unit) = project.unit(on.0) else { return true };
    unit.index.calls.iter().any(|expr| {
        let ExprKind::Call(call) = unit.ir.expr(*expr) else { return false };
        let ExprKind::Member { property, .. } = unit.ir.expr(call.callee) else { return false };
        if !matches!(unit.ir.text(*property), "use" | "all" | "addHook")
            || registered_on(unit, on.0, call) != Some(on)
        {
            return false;
        }
        let below = match path_of(unit, call) {
            Some(own) => path.starts_with(own.trim_end_matches('*').trim_end_matches('/')),
            None => true,
        };
        // A router of OAuth's own endpoints guards nothing.
        let guards = call.args.iter().any(|arg| {
            let text = unit.ir.snippet(unit.ir.span(arg.value));
            let lower = text.to_lowercase();
            says_guard(text) && !lower.contains("router") && !lower.contains("metadata")
        });
        below && guards
    })
}

/// Whether a handler makes a transport of MCP, or a function that it calls does.
fn makes_transport(project: &Project, handler: Fun) -> bool {
    let mut all = BTreeSet::new();
    below(project, handler, DEPTH, &mut all);
    all.into_iter().any(|fun| {
        let Some(unit) = project.unit(fun.module) else { return false };
        let mut found = false;
        walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
            if let ExprKind::Call(call) = unit.ir.expr(expr)
                && call.is_new
                && let Some(callee) = project.callee(At { module: fun.module, expr })
            {
                found |= callee
                    .defs
                    .iter()
                    .any(|def| def.role == Role::Transport && def.kind.as_deref() != Some("stdio"));
            }
        });
        found
    })
}

/// The functions that a function calls, itself first.
fn below(project: &Project, fun: Fun, depth: u32, all: &mut BTreeSet<Fun>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    if all.len() > FUNCTIONS || !all.insert(fun) {
        return;
    }
    let Some(unit) = project.unit(fun.module) else { return };
    let mut targets: Vec<Fun> =
        unit.index.inner(fun.id).iter().map(|id| Fun { module: fun.module, id: *id }).collect();
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        if let Some(callee) = project.callee(At { module: fun.module, expr }) {
            targets.extend(callee.targets.iter().filter(|_| callee.certain).copied());
        }
    });
    for target in targets {
        below(project, target, depth, all);
    }
}

/// Whether a handler, or what it calls, speaks of what says who calls.
fn asks_itself(project: &Project, handler: Fun) -> bool {
    let mut all = BTreeSet::new();
    below(project, handler, DEPTH, &mut all);
    all.into_iter().any(|fun| {
        let Some(unit) = project.unit(fun.module) else { return true };
        let Some(function) = unit.ir.function(fun.id) else { return false };
        let text = unit.ir.snippet(function.span).to_lowercase();
        // What makes the server speaks of its upstream's tokens.
        let near = fun == handler || text.contains("req.headers") || text.contains("request.headers");
        near && ASKS.iter().any(|word| text.contains(word))
    })
}

/// Whether the function that registers a route refuses to serve without a credential: `if (!authToken) throw`.
fn asks_around(project: &Project, route: &Route<'_>) -> bool {
    let Some((module, id)) = route.on else { return true };
    let Some(unit) = project.unit(module) else { return true };
    // An application that is given from elsewhere may have been guarded there.
    project.parameter_of(module, id).is_some() || unit.index.sources(id).is_empty()
}
