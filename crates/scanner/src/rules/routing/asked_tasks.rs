//! Handlers of MCP's requests for tasks that ask a store by what the request says and nothing else: `tasks/get`, `tasks/cancel` by the
//! id, `tasks/list` for everything there is.

use std::collections::{BTreeMap, BTreeSet};

use partywall_model::{Confidence, Severity};

use super::session_without_owner::mentions;
use crate::{
    ir::{BindingId, Call, ExprId, ExprKind, FunctionId, NameRef, walk},
    project::{At, Fun, Project, Symbol, Unit},
    rules::Report,
    vocabulary,
};

/// Words of what tells one session or party from another.
const OWNERS: &[&str] = &[
    "session",
    "sessions",
    "owner",
    "tenant",
    "user",
    "principal",
    "scope",
    "subject",
    "requestor",
    "auth",
    "client",
];

/// Through how many functions a request is handed on.
const HANDED_ON: u32 = 2;

/// The requests that functions answer, as they are written.
type Answers = BTreeMap<Fun, String>;

/// Reports such handlers.
pub(super) fn asked_tasks(project: &Project, report: &mut Report<'_>) {
    let likely = project.calls_named(|name| {
        let words = vocabulary::words(name);
        let verb = words.first().is_some_and(|first| {
            matches!(first.as_str(), "get" | "list" | "cancel" | "load" | "read" | "find" | "delete")
        });
        verb && words.iter().any(|word| word == "task" || word == "tasks")
    });
    let answers = registered(project);
    for (module, unit) in project.units() {
        for expr in likely.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let fun = project.function_of(at);
            if fun.id == FunctionId::MODULE || !is_of_store(project, at, call) {
                continue;
            }
            let Some((request, all)) = handled(project, &answers, fun, HANDED_ON) else { continue };
            if all != is_list(project, at) || (!all && !is_told(project, at, call, request)) {
                continue;
            }
            if speaks_of_owner(unit, fun.id) || is_asked_before(project, unit, at, request) {
                continue;
            }
            let text = if all {
                "all tasks of the store are listed for whoever asks"
            } else {
                "a task is found by the id that the request says, whoever began it"
            };
            let severity =
                if all || project.knows_callers(module) { Severity::Medium } else { Severity::Low };
            report.reached(at, text).severity(severity).confidence(Confidence::Medium);
        }
    }
}

/// Whether a call asks a store of tasks: `store.get_task(id)`, `cancel_task(support.store, id)`.
fn is_of_store(project: &Project, at: At, call: &Call) -> bool {
    let stores = |name: &str| vocabulary::words(name).last().is_some_and(|last| last == "store");
    let path = project.written(at);
    let receiver = path.iter().rev().nth(1).is_some_and(|name| stores(name));
    let given = call.positional(0).is_some_and(|arg| project.last_written(at.to(arg)).is_some_and(stores));
    receiver || given
}

fn is_list(project: &Project, at: At) -> bool {
    project
        .last_written(at)
        .is_some_and(|name| vocabulary::words(name).first().is_some_and(|first| first == "list"))
}

/// The request that a function answers when it is one of MCP's for tasks, and whether that asks for all of them: by its type, by how the
/// function is registered, or handed on by one that answers it.
fn handled(project: &Project, answers: &Answers, fun: Fun, depth: u32) -> Option<(BindingId, bool)> {
    let unit = project.unit(fun.module)?;
    project.around(fun).into_iter().chain([fun]).find_map(|fun| {
        let first = unit.ir.function(fun.id)?.params.first()?;
        let request = first.pattern.as_binding()?;
        let typed = first.type_text.map(|text| unit.ir.text(text).to_owned());
        if let Some(named) = typed.filter(|text| is_request(text)).or_else(|| answers.get(&fun).cloned()) {
            return Some((request, named.contains("List")));
        }
        let depth = depth.checked_sub(1)?;
        project.callers(fun).iter().take(4).find_map(|call| {
            let (_, all) = handled(project, answers, project.function_of(*call), depth)?;
            project.argument(*call, fun, 0).map(|_| (request, all))
        })
    })
}

/// Whether a name is that of a request for tasks: `GetTaskRequest`, `CancelTaskRequestSchema`.
fn is_request(name: &str) -> bool {
    let name = name.rsplit('.').next().unwrap_or(name).trim_end_matches("Schema").trim_end_matches("Params");
    let verb = ["Get", "List", "Cancel"].iter().any(|verb| name.starts_with(verb));
    verb && name.contains("Task") && name.ends_with("Request")
}

/// The requests that functions are registered for: `server.setRequestHandler(GetTaskRequestSchema, async (request) => …)`.
fn registered(project: &Project) -> Answers {
    let mut found = Answers::new();
    let likely = project.calls_named(|name| name == "setRequestHandler");
    for (module, unit) in project.units() {
        for expr in likely.among(module) {
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let (Some(request), Some(handler)) = (call.positional(0), call.positional(1)) else { continue };
            let name = unit.ir.snippet(unit.ir.span(request));
            let fun = match (unit.ir.expr(handler), project.symbol(At { module, expr: handler })) {
                (ExprKind::Function(id), _) => Fun { module, id: *id },
                (_, Symbol::Function(fun)) => fun,
                _ => continue,
            };
            if is_request(name) {
                found.insert(fun, name.to_owned());
            }
        }
    }
    found
}

/// Whether a call is told what the request says.
fn is_told(project: &Project, at: At, call: &Call, request: BindingId) -> bool {
    call.args.iter().any(|arg| project.roots(at.to(arg.value)).contains(&request))
}

/// Whether a function names anything that tells one session or party from another.
fn speaks_of_owner(unit: &Unit, fun: FunctionId) -> bool {
    let mut open = vec![fun];
    let mut done: BTreeSet<FunctionId> = BTreeSet::new();
    let mut found = false;
    while let Some(id) = open.pop() {
        if done.len() > 32 || !done.insert(id) {
            continue;
        }
        open.extend(unit.index.inner(id));
        walk::function_exprs(&unit.ir, id, &mut |expr| {
            let name = match unit.ir.expr(expr) {
                ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
                ExprKind::Member { property, .. } => unit.ir.text(*property),
                _ => return,
            };
            found |= vocabulary::words(name).iter().any(|word| OWNERS.contains(&word.as_str()));
        });
    }
    found
}

/// Whether another call before was told of what the request says, and may have refused it.
fn is_asked_before(project: &Project, unit: &Unit, at: At, request: BindingId) -> bool {
    let order = unit.index.order(at.expr);
    let mut found = false;
    walk::function_exprs(&unit.ir, project.function_of(at).id, &mut |expr: ExprId| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        found |= unit.index.order(expr) < order
            && !call.is_new
            && !unit.ir.span(expr).contains(unit.ir.span(at.expr))
            && call.args.iter().any(|arg| mentions(unit, arg.value, &[request]));
    });
    found
}
