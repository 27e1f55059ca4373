//! Connections that are kept by whose they are, and are all sent to: `for group in self._by_team.values(): for ws in group: await
//! ws.send_json(event)`. What is kept under a key was meant for those of that key.

use std::collections::BTreeMap;

use partywall_model::Confidence;

use crate::{
    flow::{Access, Lifetimes, Store},
    ir::{Call, CompareOp, ExprId, ExprKind, FunctionId, NameRef, StmtKind, walk},
    project::{At, Fun, Parent, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Words of what a connection is called.
const CONNECTIONS: &[&str] = &[
    "ws",
    "websocket",
    "socket",
    "sock",
    "conn",
    "connection",
    "session",
    "client",
    "queue",
    "writer",
    "subscriber",
    "listener",
    "peer",
    "stream",
    "res",
    "response",
    "reply",
    "transport",
    "controller",
    "server",
];

/// Methods that put something into a set or list.
const ADDS: &[&str] = &["add", "append", "push"];

/// Methods that send to one connection.
const SENDS: &[&str] = &[
    "send",
    "send_text",
    "send_json",
    "send_bytes",
    "send_str",
    "send_message",
    "write",
    "write_message",
    "writeSSE",
    "sendEvent",
    "emit",
    "put",
    "put_nowait",
    "enqueue",
    "notification",
    "notify",
    "sendNotification",
    "send_notification",
    "send_resource_updated",
    "sendResourceUpdated",
    "send_log_message",
    "sendLoggingMessage",
];

/// Words of functions that say whether somebody may have something.
const DECIDES: &[&str] = &[
    "allowed",
    "allows",
    "can",
    "may",
    "should",
    "visible",
    "owns",
    "belongs",
    "matches",
    "match",
    "member",
    "authorized",
    "authorize",
    "access",
    "wants",
    "has",
    "same",
];

/// Reports where all groups are sent to.
pub(super) fn by_key(project: &Project, report: &mut Report<'_>) {
    let groups = groups(project);
    if groups.is_empty() {
        return;
    }
    let lives = Lifetimes::new(project);
    let likely = project.calls_named(|name| matches!(name, "values" | "items" | "entries" | "forEach"));
    for (module, unit) in project.units() {
        for expr in likely.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let Some(map) = run_through(project, unit, at, call) else { continue };
            let Some((store, name)) = project.store(at.to(map)) else { continue };
            let Some(put) = groups.get(&store) else { continue };
            let fun = outermost(project, project.function_of(at));
            let known = super::broadcast::holds(project, at.to(map));
            if known
                || fun.id == FunctionId::MODULE
                || !lives.is_per_request(fun)
                || decides(project, unit, fun)
            {
                continue;
            }
            let Some(send) = sends(project, unit, fun) else { continue };
            report
                .reached(
                    send,
                    format!("`{name}` keeps connections by whose they are, and this is sent to those of all"),
                )
                .confidence(Confidence::Medium)
                .related(put.module, project.span(*put), "they are kept here");
        }
    }
}

/// The maps of which an entry is a set of connections, and where one is put into it.
fn groups(project: &Project) -> BTreeMap<Store, At> {
    let mut found = BTreeMap::new();
    for access in project.accesses() {
        if joined(project, access).is_some() && !project.is_fixed(access.key) {
            found.entry(access.store.clone()).or_insert(access.at);
        }
    }
    found
}

/// The connection that is put into the set under a key: `rooms.setdefault(key, set()).add(ws)`, `rooms.get(key).add(ws)`, or
/// `const room = rooms.get(key)` and then `room.add(ws)`.
pub(super) fn joined(project: &Project, access: &Access) -> Option<At> {
    let unit = project.unit(access.at.module)?;
    let mut here = access.at.expr;
    for _ in 0..3 {
        if let Some(added) = added(unit, here) {
            return Some(access.at.to(added)).filter(|own| is_connection(project, *own));
        }
        match unit.index.parent(here) {
            Parent::Expr(up) if matches!(unit.ir.expr(up), ExprKind::Logical { .. } | ExprKind::Await(_)) => {
                here = up
            }
            _ => break,
        }
    }
    let stmt = unit.index.stmt_of(access.at.expr)?;
    let StmtKind::Assign { target, value, .. } = unit.ir.stmt(stmt) else { return None };
    let id = target.as_binding().filter(|_| *value == here)?;
    let own = unit.index.function(access.at.expr);
    let used = unit.index.uses(id).iter().filter(|used| unit.index.function(**used) == own);
    used.filter_map(|used| added(unit, *used))
        .map(|added| access.at.to(added))
        .find(|added| is_connection(project, *added))
}

/// What is put into a set: `ws` of `set.add(ws)`.
fn added(unit: &Unit, set: ExprId) -> Option<ExprId> {
    let Parent::Expr(up) = unit.index.parent(set) else { return None };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(up) else { return None };
    let Parent::Expr(around) = unit.index.parent(up) else { return None };
    let ExprKind::Call(call) = unit.ir.expr(around) else { return None };
    (*object == set && call.callee == up && ADDS.contains(&unit.ir.text(*property)))
        .then(|| call.positional(0))
        .flatten()
}

/// Whether a value is a connection, by its name or its type.
fn is_connection(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let named = matches!(unit.ir.expr(at.expr), ExprKind::Name(_) | ExprKind::Member { .. })
        && project.last_written(at).is_some_and(|name| {
            vocabulary::words(name).last().is_some_and(|word| CONNECTIONS.contains(&word.as_str()))
        });
    let typed = || match unit.ir.expr(at.expr) {
        ExprKind::Name(NameRef::Binding(id)) => {
            unit.ir.binding(*id).and_then(|binding| binding.type_text).is_some_and(|text| {
                ["WebSocket", "ServerSession", "Queue", "StreamWriter"]
                    .iter()
                    .any(|own| unit.ir.text(text).contains(own))
            })
        }
        _ => false,
    };
    named || typed()
}

/// The map whose entries a call runs through: `m.values()`, `Object.values(m)`, `m.forEach(…)`.
fn run_through(project: &Project, unit: &Unit, at: At, call: &Call) -> Option<ExprId> {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
    let of_object = project.last_written(at.to(*object)) == Some("Object");
    match (unit.ir.text(*property), call.positional(0)) {
        ("values" | "entries", Some(map)) if of_object => Some(map),
        ("values" | "items" | "entries", None) => Some(*object),
        ("forEach", Some(_)) => Some(*object),
        _ => None,
    }
}

/// The function that a callback of a loop stands in.
fn outermost(project: &Project, fun: Fun) -> Fun {
    let Some(unit) = project.unit(fun.module) else { return fun };
    let mut here = fun;
    for around in project.around(fun) {
        let passed = unit.index.site(here.id).is_some_and(|site| match unit.index.parent(site) {
            Parent::Expr(up) => matches!(unit.ir.expr(up), ExprKind::Call(call) if matches!(unit.ir.expr(call.callee), ExprKind::Member { property, .. }
                if matches!(unit.ir.text(*property), "forEach" | "map" | "flatMap"))),
            _ => false,
        });
        if around == here {
            continue;
        }
        if !passed || around.id == FunctionId::MODULE {
            break;
        }
        here = around;
    }
    here
}

/// A function and those that stand in it.
fn with_inner(unit: &Unit, fun: Fun) -> Vec<FunctionId> {
    let mut all = vec![fun.id];
    let mut next = 0;
    while let Some(id) = all.get(next).copied().filter(|_| next < 16) {
        next += 1;
        all.extend(unit.index.inner(id));
    }
    all
}

/// Whether a function looks whose a connection or an entry is, before it sends.
pub(super) fn decides(project: &Project, unit: &Unit, fun: Fun) -> bool {
    let mut found = false;
    for id in with_inner(unit, fun) {
        walk::function_exprs(&unit.ir, id, &mut |expr| {
            let at = At { module: fun.module, expr };
            found |= match unit.ir.expr(expr) {
                ExprKind::Compare {
                    op: CompareOp::Eq | CompareOp::NotEq | CompareOp::In | CompareOp::NotIn,
                    left,
                    right,
                } => {
                    !project.is_fixed(at.to(*left))
                        && !project.is_fixed(at.to(*right))
                        && !is_state(project, unit, at.to(*left))
                }
                ExprKind::Call(_) => project.last_written(at).is_some_and(|name| {
                    name == "filter"
                        || vocabulary::words(name)
                            .first()
                            .is_some_and(|word| DECIDES.contains(&word.as_str()))
                }),
                _ => false,
            };
        });
    }
    found
}

/// Whether a value says how a connection is: `ws.readyState`.
fn is_state(project: &Project, unit: &Unit, at: At) -> bool {
    matches!(unit.ir.expr(at.expr), ExprKind::Member { .. })
        && project
            .last_written(at)
            .is_some_and(|name| vocabulary::words(name).last().is_some_and(|word| word == "state"))
}

/// Where a function sends what is not fixed to what a loop of it runs through.
pub(super) fn sends(project: &Project, unit: &Unit, fun: Fun) -> Option<At> {
    let mut found = None;
    for id in with_inner(unit, fun) {
        walk::function_exprs(&unit.ir, id, &mut |expr| {
            let at = At { module: fun.module, expr };
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return };
            if found.is_some() || !SENDS.contains(&unit.ir.text(*property)) {
                return;
            }
            let ExprKind::Name(NameRef::Binding(to)) = unit.ir.expr(*object) else { return };
            let own = project.parameter_of(fun.module, *to).is_some_and(|(of, ..)| of == fun);
            let tells = call.args.iter().any(|arg| !project.is_fixed(at.to(arg.value)));
            found = (!own && tells && !unit.ir.is_module_level(*to)).then_some(at);
        });
    }
    found
}
