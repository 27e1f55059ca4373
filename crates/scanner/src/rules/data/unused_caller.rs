//! Handlers that have the caller verified and never read who it is, and reach a thing by an id of the request:
//! `async def history(session_id, user=Depends(current_user)): return await chats.history(session_id)`.

use std::collections::BTreeSet;

use partywall_model::{Confidence, Severity};

use super::{
    by_id_alone::{is_common, is_kept},
    callers::{is_id, own_code, serves_callers},
    ignored_caller::{NOTES, is_compared, served, uses_of_caller, values},
    neighbours::reaches,
};
use crate::{
    flow::{Entry, Origins},
    ir::{ArgKind, Call, ExprId, ExprKind, Function, walk},
    project::{At, Fun, Parent, Project, Unit},
    rules::Report,
    vocabulary,
};

/// First words of functions to which it is no matter whose a thing is.
const SAYS: &[&str] = &[
    "log",
    "info",
    "debug",
    "warning",
    "warn",
    "error",
    "exception",
    "print",
    "track",
    "capture",
    "emit",
    "notify",
    "parse",
    "format",
    "to",
    "is",
    "has",
    "build",
    "encode",
    "decode",
    "str",
    "int",
    "len",
    "dumps",
    "loads",
    "validate",
    "check",
    "verify",
    "ensure",
    "require",
    "hash",
    "append",
    "isinstance",
    "uuid",
    "object",
    "raise",
    "eq",
    "where",
    "filter",
    "and",
    "or",
    "in",
    "select",
];

/// First words of functions that reach a thing, whatever they are called on.
const REACHES: &[&str] = &[
    "get", "find", "fetch", "retrieve", "load", "read", "download", "export", "list", "delete", "remove",
    "destroy", "revoke", "update", "cancel", "archive", "rename", "restore", "patch", "mark", "close",
    "clear", "renew", "complete", "stop", "resume", "approve", "reject", "publish", "share", "retry",
    "process",
];

/// Words of what keeps things of all callers.
const KEEPERS: &[&str] = &[
    "service",
    "services",
    "svc",
    "client",
    "controller",
    "sdk",
    "repo",
    "repository",
    "manager",
    "mgr",
    "store",
    "crud",
    "dao",
    "db",
    "storage",
    "engine",
    "agent",
];

/// Words of what has rules of its own, or keeps nothing for anybody.
const ASIDE: &[&str] = &[
    "params",
    "headers",
    "cookies",
    "url",
    "request",
    "req",
    "response",
    "res",
    "router",
    "app",
    "http",
    "httpx",
    "requests",
    "aiohttp",
    "logger",
    "log",
    "logging",
    "json",
    "math",
    "limiter",
    "analytics",
    "cache",
    "redis",
    "metrics",
    "os",
    "re",
    "datetime",
    "path",
];

/// Reports the first such call of each handler.
pub(super) fn unused_caller(project: &Project, report: &mut Report<'_>) {
    let used = knows(project);
    for entry in project.entries().iter().filter(|entry| serves_callers(project, entry)) {
        let fun = entry.handler;
        if !has_unused_caller(project, entry) {
            continue;
        }
        // A handler that only hands on what it is given is what it calls.
        let place = [served(project, fun), fun]
            .into_iter()
            .find_map(|fun| first(project, project.unit(fun.module)?, fun));
        let Some((at, name)) = place else { continue };
        let message = format!(
            "`{name}` of the request is enough here: who calls is verified for this handler, and never read"
        );
        let found = report.reached(at, message);
        found.confidence(Confidence::Medium);
        // Where no handler reads who calls, what there is may be everybody's.
        let talk = vocabulary::words(&name).iter().any(|word| TALK.contains(&word.as_str()));
        if !talk && !used.contains(project.folder(fun.module).unwrap_or_default()) {
            found.severity(Severity::Low).confidence(Confidence::Low);
        }
    }
}

/// The handlers that are given the verified caller and never read who it is.
pub(super) fn with_unused_caller(project: &Project) -> BTreeSet<Fun> {
    let entries = project
        .entries()
        .iter()
        .filter(|entry| serves_callers(project, entry) && has_unused_caller(project, entry));
    entries.map(|entry| entry.handler).collect()
}

/// Words of what is somebody's by its nature.
const TALK: &[&str] = &["conversation", "chat", "thread", "session"];

/// The folders of packages of which a handler uses the caller.
fn knows(project: &Project) -> BTreeSet<&str> {
    let entries = project.entries().iter().filter(|entry| serves_callers(project, entry));
    let using = entries.filter(|entry| !uses_of_caller(project, served(project, entry.handler)).is_empty());
    using.map(|entry| project.folder(entry.handler.module).unwrap_or_default()).collect()
}

/// Whether a handler is given the verified caller by its framework and never reads who it is, but to note it; and nothing else before
/// it decides who may call.
pub(super) fn has_unused_caller(project: &Project, entry: &Entry) -> bool {
    let fun = entry.handler;
    let Some(unit) = project.unit(fun.module) else { return false };
    let Some(function) = unit.ir.function(fun.id) else { return false };
    let callers: Vec<_> = caller_params(project, unit, fun, function).collect();
    (!callers.is_empty() || is_behind_login(project, unit, fun, function))
        && callers.iter().all(|id| {
            id.is_none_or(|id| unit.index.uses(id).iter().all(|used| is_noted(project, unit, fun, *used)))
        })
        && uses_of_caller(project, served(project, fun)).is_empty()
        && uses_of_caller(project, fun).is_empty()
        && !is_kept(project, entry)
}

/// Whether a framework gives a handler the verified caller, whether it reads that or not.
pub(in crate::rules) fn is_given_caller(project: &Project, entry: &Entry) -> bool {
    let fun = entry.handler;
    let Some(unit) = project.unit(fun.module) else { return false };
    unit.ir.function(fun.id).is_some_and(|function| {
        caller_params(project, unit, fun, function).next().is_some()
            || is_behind_login(project, unit, fun, function)
    })
}

/// Whether a decorator lets only those through who have signed in: `@login_required`, `@jwt_required()`.
fn is_behind_login(project: &Project, unit: &Unit, fun: Fun, function: &Function) -> bool {
    function.decorators.iter().any(|expr| {
        let mut at = At { module: fun.module, expr: *expr };
        if let ExprKind::Call(call) = unit.ir.expr(at.expr) {
            at = at.to(call.callee);
        }
        let words = vocabulary::words(project.last_written(at).unwrap_or_default());
        let says = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
        says(&["login", "jwt", "token", "auth", "authentication", "authenticated", "user"])
            && says(&["required", "require", "requires", "needed"])
    })
}

/// The parameters that a framework fills with the verified caller.
fn caller_params<'p>(
    project: &'p Project,
    unit: &'p Unit,
    fun: Fun,
    function: &'p Function,
) -> impl Iterator<Item = Option<crate::ir::BindingId>> + 'p {
    function.params.iter().filter_map(move |own| {
        let id = own.pattern.as_binding();
        let name = id.map_or("", |id| unit.ir.binding_name(id));
        let told = project.injections(fun.module, own).into_iter().any(|at| {
            let text = project.snippet(at);
            let injects = text.contains("Depends(") || text.contains("Security(");
            injects && (tells_caller(text) || vocabulary::is_principal(name) || vocabulary::is_owner(name))
        });
        told.then_some(id)
    })
}

/// Whether what is injected says by its name who calls: `Depends(get_current_user)`, `Depends(verify_api_key)`.
fn tells_caller(text: &str) -> bool {
    let inside =
        text.split_once("Depends(").or_else(|| text.split_once("Security(")).map_or("", |(_, rest)| rest);
    let name: String =
        inside.chars().take_while(|char| char.is_alphanumeric() || matches!(char, '_' | '.')).collect();
    let words = vocabulary::words(&name);
    let says = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    let optional = says(&[
        "optional",
        "maybe",
        "service",
        "repo",
        "repository",
        "manager",
        "limit",
        "limiter",
        "db",
        "settings",
    ]);
    !optional
        && (says(&[
            "user",
            "principal",
            "tenant",
            "organization",
            "claims",
            "identity",
            "caller",
            "viewer",
            "account",
        ]) || (says(&["verify", "require", "get", "current", "authenticate", "validate", "check"])
            && says(&["auth", "token", "jwt", "key", "authenticated", "login"])))
}

/// Whether a use of the caller only goes into a log.
fn is_noted(project: &Project, unit: &Unit, fun: Fun, used: ExprId) -> bool {
    let mut here = used;
    for _ in 0..8 {
        let Parent::Expr(up) = unit.index.parent(here) else { return false };
        if let ExprKind::Call(call) = unit.ir.expr(up)
            && call.callee != here
        {
            let path = project.written(At { module: fun.module, expr: up });
            return path
                .iter()
                .any(|part| vocabulary::words(part).iter().any(|word| NOTES.contains(&word.as_str())));
        }
        here = up;
    }
    false
}

/// The first call of a handler that reaches a thing by an id of the request, and the id's name.
fn first(project: &Project, unit: &Unit, fun: Fun) -> Option<(At, String)> {
    let mut found: Option<(At, String)> = None;
    for here in own_code(project, fun) {
        walk::function_exprs(&unit.ir, here.id, &mut |expr| {
            let at = At { module: fun.module, expr };
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            if found.is_some() || call.is_new || !does(project, unit, at, call) || project.is_superusers(at) {
                return;
            }
            found = thing_of(project, unit, at, call).filter(|name| !is_common(name)).map(|name| (at, name));
        });
    }
    found
}

/// Whether a call reaches a thing of the server's own: a function of the project that cannot find out who calls, or what keeps things.
fn does(project: &Project, unit: &Unit, at: At, call: &Call) -> bool {
    let path = project.written(at);
    let Some((name, before)) = path.split_last() else { return false };
    let words = vocabulary::words(name);
    let Some(verb) = words.first() else { return false };
    let aside = before
        .last()
        .is_some_and(|last| vocabulary::words(last).iter().any(|word| ASIDE.contains(&word.as_str())));
    if SAYS.contains(&verb.as_str())
        || aside
        || name.starts_with(char::is_uppercase)
        || Project::is_check(name)
        || is_of_query(project, at)
    {
        return false;
    }
    let known = project.callee(at).is_some_and(|callee| callee.certain && !callee.targets.is_empty());
    if known {
        return reaches(project, unit, at, call);
    }
    let keeper =
        before.iter().any(|part| vocabulary::words(part).iter().any(|word| KEEPERS.contains(&word.as_str())));
    let waited = matches!(unit.index.parent(at.expr), Parent::Expr(up) if matches!(unit.ir.expr(up), ExprKind::Await(_)));
    let made = match unit.ir.expr(call.callee) {
        ExprKind::Member { object, .. } => {
            let origins = project.origins(at.to(*object));
            origins.has_owner() || origins.has(Origins::REQUEST | Origins::INPUT)
        }
        _ => false,
    };
    !made && (keeper || (waited && (before.is_empty() || REACHES.contains(&verb.as_str()))))
}

/// Whether a call is a part of a query, which has a rule of its own.
fn is_of_query(project: &Project, at: At) -> bool {
    let own = project.span(at);
    project.queries().iter().any(|query| {
        query.at.module == at.module
            && !is_id(&query.shown)
            && (project.span(query.at).contains(own) || own.contains(project.span(query.at)))
    })
}

/// The id of a thing or a session out of the request that a call is given, when it was not compared.
fn thing_of(project: &Project, unit: &Unit, at: At, call: &Call) -> Option<String> {
    let mut found = None;
    for arg in &call.args {
        let named = match arg.kind {
            ArgKind::Keyword(name) => Some(unit.ir.text(name).to_owned()),
            _ => None,
        };
        values(project, unit, at.to(arg.value), named, 3, &mut |value, name| {
            let of_session =
                vocabulary::is_session_id(name) && !name.contains("token") && !name.contains("key");
            if found.is_none()
                && (is_id(name) || of_session)
                && project.origins(value).has(Origins::INPUT)
                && !is_compared(project, value)
            {
                found = Some(name.to_owned());
            }
        });
    }
    found
}
