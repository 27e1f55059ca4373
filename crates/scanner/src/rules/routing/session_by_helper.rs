//! Sessions of MCP that functions of the project reach by the id in the request's header, without the caller:
//! `await resume(req.headers["mcp-session-id"])`, where what is kept stands in Redis, a table or another process.

use partywall_model::{Confidence, Severity};

use super::{
    listed_ids::Listed,
    session_without_owner::{is_compared, sees_caller},
};
use crate::{
    flow::{Lifetimes, Origins},
    ir::{BindingId, Call, ExprKind, FunctionId, NameRef, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Words of what functions reach.
const KEPT: &[&str] = &["session", "transport", "stream", "connection"];

/// First words of functions that end what they reach.
const ENDS: &[&str] =
    &["shutdown", "terminate", "close", "delete", "destroy", "end", "kill", "remove", "stop", "cancel"];

/// First words of functions that give what they reach.
const GIVES: &[&str] = &[
    "get", "load", "resume", "restore", "attach", "find", "fetch", "lookup", "join", "open", "reuse",
    "retrieve",
];

/// The header in which the protocol has it. Source: the specification, streamable HTTP, session management.
const HEADER: &str = "mcp-session-id";

/// Reports the first such call of a handler that gives a session, and the first that ends one.
pub(super) fn session_by_helper(
    project: &Project,
    lives: &Lifetimes<'_>,
    listed: &Listed,
    report: &mut Report<'_>,
) {
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.has_name(&[HEADER, "Mcp-Session-Id"])) {
        if !(project.has_owners(module) || project.knows_callers(module)) {
            continue;
        }
        for (id, _) in unit.ir.functions() {
            let fun = Fun { module, id };
            if id == FunctionId::MODULE || !lives.is_per_request(fun) {
                continue;
            }
            for verbs in [GIVES, ENDS] {
                let Some(at) = first(project, unit, fun, verbs) else { continue };
                let text = "a function reaches this session by the id that the client sends, and is not told who calls";
                let open = listed.is_looked_into(project, at).filter(|_| verbs == GIVES);
                let high = open.is_some() || sees_caller(project, fun);
                let severity = if high { Severity::High } else { Severity::Medium };
                let found = report.reached(at, text).severity(severity).confidence(Confidence::Medium);
                if let Some(open) = open {
                    found.related(
                        open.module,
                        project.span(open),
                        "the ids of all sessions are given to whoever asks here",
                    );
                }
            }
        }
    }
}

fn first(project: &Project, unit: &Unit, fun: Fun, verbs: &[&str]) -> Option<At> {
    let mut found = None;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: fun.module, expr };
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        if found.is_none()
            && reaches(project, at, call, verbs)
            && is_by_id_alone(project, unit, at, call, fun)
        {
            found = Some(at);
        }
    });
    found
}

/// Whether a call is one of a function of the project that is named for what it reaches.
fn reaches(project: &Project, at: At, call: &Call, verbs: &[&str]) -> bool {
    let Some(name) = project.last_written(at.to(call.callee)) else { return false };
    let words = vocabulary::words(name);
    let named = words.first().is_some_and(|verb| verbs.contains(&verb.as_str()))
        && words.iter().any(|word| KEPT.contains(&word.trim_end_matches('s')));
    named && project.callee(at).is_some_and(|callee| callee.certain && !callee.targets.is_empty())
}

/// Whether all that a function is told is an id out of the header, which nothing in the handler holds against the caller.
fn is_by_id_alone(project: &Project, unit: &Unit, at: At, call: &Call, fun: Fun) -> bool {
    let Some(ExprKind::Name(NameRef::Binding(id))) = call.positional(0).map(|first| unit.ir.expr(first))
    else {
        return false;
    };
    let told = call.args.iter().any(|arg| {
        let origins = project.origins(at.to(arg.value));
        origins.has(Origins::PRINCIPAL) || project.last_written(at.to(arg.value)).is_some_and(says_who)
    });
    is_of_header(unit, *id)
        && !told
        && !is_compared(project, fun, &[*id])
        && !is_asked_about(project, unit, fun, *id)
}

fn says_who(name: &str) -> bool {
    vocabulary::is_owner(name) || vocabulary::is_principal(name)
}

/// Whether a variable was read from the protocol's header.
fn is_of_header(unit: &Unit, id: BindingId) -> bool {
    unit.index.sources(id).iter().any(|source| {
        let mut named = false;
        walk::exprs_below(&unit.ir, source.value, &mut |expr| {
            if let ExprKind::String(text) | ExprKind::Member { property: text, .. } = unit.ir.expr(expr) {
                named |= unit.ir.text(*text).eq_ignore_ascii_case(HEADER);
            }
        });
        named
    })
}

/// Whether another call of the handler is told the id together with the caller: `if (!(await isOwnedBy(sessionId, userId)))`.
fn is_asked_about(project: &Project, unit: &Unit, fun: Fun, id: BindingId) -> bool {
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: fun.module, expr };
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let is_id =
            |value| matches!(unit.ir.expr(value), ExprKind::Name(NameRef::Binding(own)) if *own == id);
        let says = |value| {
            project.origins(at.to(value)).has(Origins::PRINCIPAL)
                || project.last_written(at.to(value)).is_some_and(says_who)
        };
        found |= call.args.iter().any(|arg| is_id(arg.value))
            && call.args.iter().any(|arg| !is_id(arg.value) && says(arg.value));
    });
    found
}
