//! A queue or connection that is kept under an id which the client says, and nobody asks whose that is: `queues[client_id] = Queue()` in
//! what answers `/events/{client_id}`. Whoever says another one's id is sent what is meant for that one.

use std::collections::BTreeSet;

use partywall_model::{Confidence, Severity};

use super::session_without_owner::is_compared;
use crate::{
    flow::{Access, Lifetimes, Origins},
    ir::{ExprKind, NameRef, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Calls that make a queue from which one client is sent what comes.
const QUEUES: &[&str] = &[
    "Queue",
    "SimpleQueue",
    "LifoQueue",
    "PriorityQueue",
    "PassThrough",
    "Subject",
    "EventEmitter",
    "deque",
    "Channel",
];

/// Words of parameters that are one client's connection.
const CONNECTIONS: &[&str] =
    &["websocket", "ws", "socket", "res", "response", "conn", "connection", "stream", "reply", "controller"];

/// Words of ids by which one client is told from another.
const RECEIVERS: &[&str] = &[
    "client",
    "user",
    "session",
    "device",
    "subscriber",
    "agent",
    "player",
    "consumer",
    "connection",
    "customer",
    "tenant",
    "org",
    "account",
    "member",
];

/// Reports such places, once for each function.
pub(super) fn own_mailbox(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    let mut told: BTreeSet<Fun> = BTreeSet::new();
    for access in project.accesses() {
        let Some(value) = access.value else { continue };
        let Some(unit) = project.unit(access.at.module) else { continue };
        let served = project.around(access.function).into_iter().any(|fun| lives.is_per_request(fun));
        if !served || told.contains(&access.function) || !is_said(project, unit, access) {
            continue;
        }
        let names = project.roots(access.key);
        if !receives(project, unit, value)
            || is_compared(project, access.function, &names)
            || knows_caller(project, access.function)
        {
            continue;
        }
        told.insert(access.function);
        report
            .reached(access.at, format!("whoever says this id is sent what is meant for it: `{}` keeps one receiver under it, and nobody asks whose it is", access.name))
            .severity(Severity::Medium)
            .confidence(Confidence::Medium);
    }
}

/// Whether a key is a receiver's id that the request says, and nothing else.
fn is_said(project: &Project, unit: &Unit, access: &Access) -> bool {
    let origins = project.origins(access.key);
    let name = project.last_written(access.key).unwrap_or_default();
    let words = vocabulary::words(name);
    let said = words.len() > 1
        && words.last().is_some_and(|last| matches!(last.as_str(), "id" | "key" | "name"))
        && words.iter().any(|word| RECEIVERS.contains(&word.as_str()));
    let plain = matches!(unit.ir.expr(access.key.expr), ExprKind::Name(_) | ExprKind::Member { .. });
    said && plain
        && origins.has(Origins::INPUT)
        && !origins.has(Origins::PRINCIPAL | Origins::SECRET | Origins::SESSION)
}

/// Whether a value is a queue that was made for this, or the connection of the request.
fn receives(project: &Project, unit: &Unit, value: At) -> bool {
    let made = |at: At| match unit.ir.expr(at.expr) {
        ExprKind::Call(call) => {
            project.last_written(at.to(call.callee)).is_some_and(|name| QUEUES.contains(&name))
        }
        _ => false,
    };
    if made(value) {
        return true;
    }
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(value.expr) else { return false };
    let connection = project.parameter_of(value.module, *id).is_some()
        && vocabulary::words(unit.ir.binding_name(*id))
            .iter()
            .any(|word| CONNECTIONS.contains(&word.as_str()));
    connection
        || unit.index.sources(*id).iter().any(|source| source.path.is_empty() && made(value.to(source.value)))
}

/// Whether the caller was told from others in the function, or in one that calls it: a token was verified, a user found.
fn knows_caller(project: &Project, fun: Fun) -> bool {
    let asks = |fun: Fun| {
        let Some(unit) = project.unit(fun.module) else { return false };
        let mut found = false;
        walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
            if matches!(unit.ir.expr(expr), ExprKind::Call(_) | ExprKind::Member { .. } | ExprKind::Name(_)) {
                found |= project
                    .origins(At { module: fun.module, expr })
                    .has(Origins::PRINCIPAL | Origins::SECRET);
            }
        });
        found
    };
    project.around(fun).into_iter().any(asks)
        || project
            .callers(fun)
            .iter()
            .take(6)
            .any(|call| project.around(project.function_of(*call)).into_iter().any(asks))
}
