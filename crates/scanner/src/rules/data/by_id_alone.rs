//! Things that a handler reaches by an id of the request without asking who calls, in a server whose other handlers ask.

use std::collections::BTreeMap;

use partywall_model::{Confidence, Severity};

use super::{
    callers::{is_caller, own_code, serves_callers},
    ignored_caller::{served, uses_of_caller},
    neighbours::{id_of, is_open, reaches},
};
use crate::{
    flow::{Entry, Origins},
    ir::{Call, ExprKind, NameRef, walk},
    project::{At, Fun, Project, Unit},
    rules::{Report, asking::may_ask},
    vocabulary,
};

/// Words of ids of what all callers have in common.
const COMMON: &[&str] = &[
    "model", "models", "template", "plugin", "provider", "category", "plan", "product", "version", "schema",
    "type", "tool", "skill", "prompt", "region", "language", "country", "locale", "currency", "icon", "page",
    "doc", "docs", "article", "issue", "pr", "repo", "commit", "client", "trace", "span", "request", "event",
    "feature", "flag", "catalog", "package", "app", "library", "city", "station", "stop", "place", "video",
    "movie", "show", "post", "paper", "chain", "token", "symbol", "market", "game", "book", "recipe",
];

/// Verbs of calls that reach a thing.
const VERBS: &[&str] = &[
    "get",
    "find",
    "fetch",
    "retrieve",
    "load",
    "read",
    "download",
    "export",
    "list",
    "delete",
    "remove",
    "destroy",
    "revoke",
    "update",
    "cancel",
    "archive",
    "stop",
    "start",
    "resume",
    "pause",
    "restart",
    "approve",
    "reject",
    "send",
    "append",
    "publish",
    "share",
    "rename",
    "move",
    "close",
    "kill",
    "terminate",
    "run",
    "execute",
    "trigger",
    "retry",
    "lookup",
    "open",
];

/// Reports the first such call of each handler that does not ask.
pub(super) fn by_id_alone(project: &Project, report: &mut Report<'_>) {
    let mut asking: BTreeMap<String, usize> = BTreeMap::new();
    let mut silent: Vec<(&Entry, Fun)> = Vec::new();
    for entry in project.entries().iter().filter(|entry| serves_callers(project, entry)) {
        let module = entry.handler.module;
        let fun = served(project, entry.handler);
        if asks(project, fun) {
            *asking.entry(project.folder(module).unwrap_or_default().to_owned()).or_default() += 1;
        } else if !is_kept(project, entry) {
            silent.push((entry, fun));
        }
    }
    for (entry, fun) in silent {
        let folder = project.folder(entry.handler.module).unwrap_or_default();
        // One that asks may be the one for the caller's own profile.
        if asking.get(folder).is_none_or(|times| *times < 2) {
            continue;
        }
        if let Some((at, name)) = first(project, fun) {
            report
                .reached(at, format!("`{name}` of the request says which thing is meant, and nobody asks who calls, as other handlers of this server do"))
                .severity(Severity::Low)
                .confidence(Confidence::Low);
        }
    }
}

/// Whether a handler asks who calls, hands the request or the caller on, or calls what may ask.
fn asks(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return true };
    if !uses_of_caller(project, fun).is_empty() {
        return true;
    }
    let mut asks = false;
    for here in own_code(project, fun) {
        walk::function_exprs(&unit.ir, here.id, &mut |expr| {
            let at = At { module: fun.module, expr };
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            asks = asks
                || (hands_on(project, unit, at, call) && !reads_the_request(project, at))
                || finds_out(project, at);
        });
    }
    asks
}

/// Whether a call is given the caller, or the request as a whole.
fn hands_on(project: &Project, unit: &Unit, at: At, call: &Call) -> bool {
    call.args.iter().any(|arg| {
        let mut found = false;
        walk::exprs_below(&unit.ir, arg.value, &mut |expr| {
            let own = at.to(expr);
            found = found
                || match unit.ir.expr(expr) {
                    ExprKind::Name(NameRef::Binding(id)) => {
                        let whole =
                            project.parameter_of(at.module, *id).is_some_and(|(_, _, path)| path.is_empty());
                        is_caller(project, own)
                            || (whole && expr == arg.value && project.origins(own).has(Origins::REQUEST))
                    }
                    ExprKind::Name(_) | ExprKind::Member { .. } | ExprKind::Call(_) => {
                        is_caller(project, own)
                    }
                    _ => false,
                };
        });
        found
    })
}

/// Whether a call only takes the body or a part out of the request: `await readJson(req)`, `schema.parse(req.body)`.
fn reads_the_request(project: &Project, at: At) -> bool {
    let name = project.last_written(at).unwrap_or_default();
    vocabulary::words(name).iter().any(|word| {
        matches!(
            word.as_str(),
            "json"
                | "body"
                | "parse"
                | "read"
                | "form"
                | "query"
                | "params"
                | "log"
                | "info"
                | "debug"
                | "status"
        )
    })
}

/// Whether what a call calls may find out by itself who calls.
fn finds_out(project: &Project, at: At) -> bool {
    const STEPS: u32 = 2;
    project.callee(at).is_some_and(|callee| {
        callee.certain && callee.targets.iter().take(2).any(|target| may_ask(project, *target, STEPS))
    })
}

/// Whether something before a handler decides who may call it: a permission, a role, an administrator.
fn is_kept(project: &Project, entry: &Entry) -> bool {
    let Some(unit) = project.unit(entry.handler.module) else { return true };
    let Some(function) = unit.ir.function(entry.handler.id) else { return true };
    if is_open(unit, entry.handler) {
        return true;
    }
    let keeps = |text: &str| {
        vocabulary::words(text).iter().any(|word| {
            matches!(
                word.as_str(),
                "admin"
                    | "superuser"
                    | "permission"
                    | "permissions"
                    | "role"
                    | "roles"
                    | "access"
                    | "owner"
                    | "member"
                    | "authorize"
                    | "policy"
                    | "internal"
                    | "public"
            )
        })
    };
    let written = function
        .decorators
        .iter()
        .copied()
        .chain(function.params.iter().flat_map(|own| own.default.into_iter().chain(own.annotation)));
    let registration = project.snippet(entry.registration);
    let head: String = registration.chars().take(160).collect();
    written.into_iter().any(|expr| keeps(unit.ir.snippet(unit.ir.span(expr)))) || keeps(&head)
}

/// The first call of a handler that reaches a thing by an id of the request.
fn first(project: &Project, fun: Fun) -> Option<(At, String)> {
    let unit = project.unit(fun.module)?;
    let mut found: Option<(At, String)> = None;
    for here in own_code(project, fun) {
        walk::function_exprs(&unit.ir, here.id, &mut |expr| {
            let at = At { module: fun.module, expr };
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            if found.is_some() || !does(project, unit, at, call) {
                return;
            }
            found = id_of(project, unit, at, call).filter(|name| !is_common(name)).map(|name| (at, name));
        });
    }
    found
}

/// Whether an id is that of something which all callers have in common.
fn is_common(name: &str) -> bool {
    let words = vocabulary::words(name);
    words.iter().any(|word| COMMON.contains(&word.as_str()))
}

/// Whether a call reaches a thing of the server's own: a function of the project that cannot find out who calls, or a method of a store.
fn does(project: &Project, unit: &Unit, at: At, call: &Call) -> bool {
    let path = project.written(at);
    let Some((name, before)) = path.split_last() else { return false };
    let words = vocabulary::words(name);
    let verb = words.iter().any(|word| VERBS.contains(&word.as_str()));
    if call.is_new || !verb {
        return false;
    }
    if reaches(project, unit, at, call) {
        return true;
    }
    let unknown = project.callee(at).is_none_or(|callee| callee.targets.is_empty());
    let keeps = before.iter().any(|part| {
        vocabulary::words(part).iter().any(|word| {
            matches!(
                word.as_str(),
                "service"
                    | "store"
                    | "manager"
                    | "repo"
                    | "repository"
                    | "db"
                    | "dao"
                    | "storage"
                    | "registry"
                    | "sessions"
                    | "crud"
            )
        })
    });
    unknown && keeps
}
