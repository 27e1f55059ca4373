//! Handlers that hand the id of a conversation out of the request to what keeps conversations, and ask nobody who calls:
//! `chats.history(session_id)` behind `GET /chats/{session_id}`.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Entry, Origins},
    ir::{BindingId, ExprKind, NameRef, walk},
    project::{At, Fun, Project, Unit},
    rules::{
        Report,
        data::{
            ignored_caller::{served, uses_of_caller},
            unused_caller::is_given_caller,
        },
    },
    vocabulary,
};

/// Words of what is said in sessions.
const TALK: &[&str] = &[
    "chat",
    "chats",
    "conversation",
    "conversations",
    "history",
    "thread",
    "threads",
    "message",
    "messages",
    "memory",
    "transcript",
];

/// Words of what keeps things.
const KEEPERS: &[&str] = &[
    "manager",
    "mgr",
    "store",
    "service",
    "svc",
    "repo",
    "repository",
    "memory",
    "db",
    "storage",
    "chats",
    "conversations",
    "histories",
    "agent",
];

/// First words of functions that give, change or end what is kept.
const REACHES: &[&str] = &[
    "get",
    "load",
    "find",
    "fetch",
    "read",
    "list",
    "history",
    "messages",
    "export",
    "clear",
    "delete",
    "remove",
    "reset",
    "end",
    "close",
    "flush",
    "append",
    "add",
    "update",
    "rename",
    "save",
    "summarize",
];

/// Reports such calls, one for each handler.
pub(super) fn handed_session(project: &Project, report: &mut Report<'_>) {
    for entry in project.entries().iter().filter(|entry| matches!(entry.kind.as_str(), "http" | "tool")) {
        let fun = entry.handler;
        let Some(unit) = project.unit(fun.module) else { continue };
        if project.is_operators(entry)
            || project.is_public(entry)
            || project.is_checked_before(entry)
            || is_given_caller(project, entry)
            || asks(project, unit, fun)
        {
            continue;
        }
        if !uses_of_caller(project, served(project, fun)).is_empty() {
            continue;
        }
        let Some((at, name)) = handed(project, entry) else { continue };
        let found = report.reached(
            at,
            format!(
                "whoever sends this `{name}` reaches what was said in that session, and nobody asks who calls"
            ),
        );
        if project.has_owners(fun.module) {
            found.severity(Severity::Medium).confidence(Confidence::Medium);
        } else {
            found.severity(Severity::Low).confidence(Confidence::Low);
        }
    }
}

/// Whether a handler uses the caller, or is given the request as a whole, in which the caller may be.
fn asks(project: &Project, unit: &Unit, fun: Fun) -> bool {
    let Some(function) = unit.ir.function(fun.id) else { return true };
    let whole = function.params.iter().filter_map(|own| own.pattern.as_binding()).any(|id| {
        let used = unit.index.uses(id).first();
        used.is_some_and(|used| {
            project.origins(At { module: fun.module, expr: *used }).has(Origins::REQUEST | Origins::PRINCIPAL)
        })
    });
    whole || !uses_of_caller(project, fun).is_empty()
}

/// The first call of a handler that hands a session's id to what keeps conversations.
fn handed(project: &Project, entry: &Entry) -> Option<(At, String)> {
    let fun = served(project, entry.handler);
    let unit = project.unit(fun.module)?;
    let talks = |text: &str| vocabulary::words(text).iter().any(|word| TALK.contains(&word.as_str()));
    let about = talks(project.function_name(entry.handler))
        || talks(project.snippet(entry.registration).lines().next().unwrap_or(""));
    let mut found = None;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: fun.module, expr };
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let Some(id) = call.positional(0).and_then(|first| session_of(project, unit, at.to(first), fun))
        else {
            return;
        };
        let path = project.written(at);
        let Some((method, before)) = path.split_last() else { return };
        let Some(of) = before.last() else { return };
        let words = vocabulary::words(method);
        let reaches = words.first().is_some_and(|verb| REACHES.contains(&verb.as_str()));
        let keeps = vocabulary::words(of).iter().any(|word| KEEPERS.contains(&word.as_str()));
        let ours = project.callee(at).is_some_and(|callee| callee.certain && !callee.targets.is_empty());
        let compared = super::session_without_owner::is_compared(project, fun, &[id]);
        if found.is_none() && reaches && keeps && !ours && !compared && (about || talks(method) || talks(of))
        {
            found = Some((at, unit.ir.binding_name(id).to_owned()));
        }
    });
    found
}

/// The parameter of a handler that a value is, when it is the id of a session.
fn session_of(project: &Project, unit: &Unit, at: At, fun: Fun) -> Option<BindingId> {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return None };
    let name = unit.ir.binding_name(*id);
    let words = vocabulary::words(name);
    let of_talk = words.len() > 1
        && words.last().is_some_and(|last| last == "id")
        && words.iter().any(|word| matches!(word.as_str(), "session" | "conversation" | "chat" | "thread"));
    let own =
        project.parameter_of(at.module, *id).is_some_and(|(own, _, path)| own == fun && path.is_empty());
    (of_talk && own && project.origins(at).has(Origins::INPUT)).then_some(*id)
}
