//! A connection that forwards what it takes out of a channel or queue of all connections: `pubsub.subscribe("notifications")` and then
//! `await websocket.send_text(message)` for each, `pubsub.psubscribe("progress:*")` for what is streamed to one user, or
//! `await app.state.outbox.get()`, which gives each message to whoever asks first.

use partywall_model::Confidence;

use super::subscribed::is_bus;
use crate::{
    flow::Lifetimes,
    ir::{BindingId, BindingKind, Block, Call, ExprId, ExprKind, FunctionId, NameRef, StmtKind, walk},
    project::{At, Fun, ModuleId, Parent, Project, Unit},
    rules::{
        Report,
        data::named_objects::{DEPTH, has_owner},
    },
    vocabulary,
};

/// Methods that send to one connection.
const SENDS: &[&str] = &[
    "send",
    "send_text",
    "send_json",
    "send_bytes",
    "send_str",
    "write",
    "sendEvent",
    "writeSSE",
    "send_message",
    "send_personal_message",
];

/// Methods that take the next message.
const TAKES: &[&str] = &["get", "get_message", "getMessage", "receive", "next", "recv", "dequeue", "take"];

/// Methods that run through messages.
const LISTENS: &[&str] = &["listen", "messages", "iterator", "subscribe"];

/// Words of what a connection is called.
const CONNECTIONS: &[&str] = &[
    "websocket",
    "ws",
    "socket",
    "connection",
    "conn",
    "res",
    "response",
    "reply",
    "stream",
    "client",
    "sse",
];

/// Reports where such a message is sent.
pub(super) fn forwarded(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        for (_, stmt) in unit.ir.stmts() {
            let (body, taken, own) = match stmt {
                StmtKind::While { body, .. } => {
                    let Some((taken, own)) = taken_in(project, unit, module, body) else { continue };
                    (body, taken, own)
                }
                StmtKind::ForEach { target, iter, body, is_async: true, .. } => {
                    let mut own = Vec::new();
                    target.for_each_binding(&mut |id| own.push(id));
                    let at = At { module, expr: *iter };
                    let ExprKind::Call(call) = unit.ir.expr(*iter) else { continue };
                    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else {
                        continue;
                    };
                    if !LISTENS.contains(&unit.ir.text(*property)) {
                        continue;
                    }
                    (body, at.to(*object), own)
                }
                _ => continue,
            };
            let fun = project.function_of(taken);
            if fun.id == FunctionId::MODULE
                || !lives.is_per_request(fun)
                || asks_whose(project, unit, module, body)
            {
                continue;
            }
            let of_bus = || of_bus(project, &lives, unit, taken);
            let Some(channel) = of_all(project, unit, fun, taken).or_else(of_bus) else { continue };
            let streams = hears_pattern(project, channel);
            let streams_all = !streams
                && project.last_written(channel).is_some_and(|name| SUBSCRIBES.contains(&name))
                && project.handlers_know_callers(module);
            let Some(send) = sends(unit, fun, body, own, streams || streams_all) else { continue };
            if streams {
                report
                    .reached(
                        channel,
                        "this hears the channels of all, and what is heard is streamed to one of them",
                    )
                    .confidence(Confidence::Medium)
                    .related(module, unit.ir.span(send), "it is sent here");
                continue;
            }
            report
                .reached(
                    At { module, expr: send },
                    "what all connections are told is sent to this one, whoever it is about",
                )
                .confidence(Confidence::Medium)
                .related(module, project.span(channel), "it is taken from here");
        }
    }
}

/// What the next message is taken from in a loop, and the variables that hold it.
fn taken_in(project: &Project, unit: &Unit, module: ModuleId, body: &Block) -> Option<(At, Vec<BindingId>)> {
    let mut found = None;
    walk::stmts_below(&unit.ir, body, &mut |stmt| {
        let StmtKind::Assign { target, value, .. } = unit.ir.stmt(stmt) else { return };
        let ExprKind::Await(inner) = unit.ir.expr(*value) else { return };
        let Some(call) = taking(project, unit, module, *inner) else { return };
        let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return };
        let plain = call.positional(0).is_none_or(|arg| project.is_fixed(At { module, expr: arg }));
        if found.is_none() && plain && TAKES.contains(&unit.ir.text(*property)) {
            let mut own = Vec::new();
            target.for_each_binding(&mut |id| own.push(id));
            found = Some((At { module, expr: *object }, own));
        }
    });
    found
}

/// The call that takes a message, also where it is waited for with a limit: `asyncio.wait_for(queue.get(), timeout=15)`.
fn taking<'u>(project: &Project, unit: &'u Unit, module: ModuleId, expr: ExprId) -> Option<&'u Call> {
    let ExprKind::Call(call) = unit.ir.expr(expr) else { return None };
    if project.last_written(At { module, expr: call.callee }) != Some("wait_for") {
        return Some(call);
    }
    match unit.ir.expr(call.positional(0)?) {
        ExprKind::Call(inner) => Some(inner),
        _ => None,
    }
}

/// Whether what messages are taken from is one of all connections, and where that is seen: a subscription under a fixed name, or a queue
/// of the module or the application.
fn of_all(project: &Project, unit: &Unit, fun: Fun, taken: At) -> Option<At> {
    match unit.ir.expr(taken.expr) {
        ExprKind::Name(NameRef::Binding(id)) if unit.ir.is_module_level(*id) => {
            is_queue(project, taken).then_some(taken)
        }
        ExprKind::Name(NameRef::Binding(id)) => subscription(project, unit, fun, taken, *id),
        ExprKind::Member { object, .. } if is_queue(project, taken) => {
            is_of_application(project, unit, taken.to(*object)).then_some(taken)
        }
        _ => None,
    }
}

/// Methods of a bus that give a stream or queue of all that is told from then on.
const SUBSCRIBES: &[&str] = &["subscribe", "subscribe_all", "subscribeAll", "listen", "stream"];

/// The subscription to a bus of the process that messages are taken from, when it names nothing of the request:
/// `queue = bus.subscribe()`, `async for event in hub.listen()`.
fn of_bus(project: &Project, lives: &Lifetimes<'_>, unit: &Unit, taken: At) -> Option<At> {
    let whole = |at: At| {
        let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
        let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
        let all = SUBSCRIBES.contains(&unit.ir.text(*property))
            && call.args.iter().all(|arg| is_name(project, unit, at.to(arg.value)))
            && is_bus(project, lives, at.to(*object));
        all.then_some(at)
    };
    let call = |expr: ExprId| match unit.ir.expr(expr) {
        ExprKind::Await(inner) => taken.to(*inner),
        _ => taken.to(expr),
    };
    match unit.ir.expr(taken.expr) {
        ExprKind::Name(NameRef::Binding(id)) if !unit.ir.is_module_level(*id) => {
            match unit.index.sources(*id) {
                [source] => whole(call(source.value)),
                _ => None,
            }
        }
        _ => None,
    }
    .or_else(|| {
        // `for await (const event of bus.subscribe("told"))`
        let Parent::Expr(callee) = unit.index.parent(taken.expr) else { return None };
        let Parent::Expr(up) = unit.index.parent(callee) else { return None };
        whole(taken.to(up))
    })
}

/// Whether a value is named for a list of what is to be sent.
fn is_queue(project: &Project, at: At) -> bool {
    project.last_written(at).is_some_and(|name| {
        vocabulary::words(name).iter().any(|word| {
            matches!(
                word.as_str(),
                "queue" | "messages" | "notifications" | "events" | "outbox" | "updates" | "broadcast"
            )
        })
    })
}

/// Whether a value is the application's: its state, or a parameter that is given that or a variable of a module.
fn is_of_application(project: &Project, unit: &Unit, at: At) -> bool {
    let written = project.written(at);
    if written.windows(2).any(|pair| matches!(pair, [app, state] if app == "app" && state == "state")) {
        return true;
    }
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    if unit.ir.is_module_level(*id) {
        return matches!(
            unit.ir.binding(*id).map(|binding| binding.kind),
            Some(BindingKind::Variable | BindingKind::Import(_))
        );
    }
    let given = match project.parameter_of(at.module, *id) {
        Some((fun, number, path)) if path.is_empty() => project
            .callers(fun)
            .iter()
            .take(8)
            .filter_map(|call| project.argument(*call, fun, number))
            .collect::<Vec<_>>(),
        _ => unit.index.sources(*id).iter().map(|source| at.to(source.value)).collect(),
    };
    !given.is_empty()
        && given.iter().all(|value| {
            let value = match project.unit(value.module).map(|unit| unit.ir.expr(value.expr)) {
                Some(ExprKind::Name(NameRef::Binding(own))) => {
                    match project.unit(value.module).map(|unit| unit.index.sources(*own)) {
                        Some([source]) => value.to(source.value),
                        _ => *value,
                    }
                }
                _ => *value,
            };
            project
                .written(value)
                .windows(2)
                .any(|pair| matches!(pair, [app, state] if app == "app" && state == "state"))
        })
}

/// The subscription of a variable, when all channels that it hears have fixed names: `pubsub = await redis.subscribe("live")`, or
/// `pubsub = redis.pubsub()` and `await pubsub.subscribe("live")`.
fn subscription(project: &Project, unit: &Unit, fun: Fun, at: At, id: BindingId) -> Option<At> {
    let mut found = None;
    let mut own = false;
    let of_it = |expr: ExprId| {
        unit.index.sources(id).iter().any(|source| unit.ir.span(source.value).contains(unit.ir.span(expr)))
    };
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return };
        let on_it = matches!(unit.ir.expr(*object), ExprKind::Name(NameRef::Binding(of)) if *of == id);
        if !matches!(unit.ir.text(*property), "subscribe" | "psubscribe" | "pSubscribe")
            || !(on_it || of_it(expr))
        {
            return;
        }
        let fixed =
            !call.args.is_empty() && call.args.iter().all(|arg| is_name(project, unit, at.to(arg.value)));
        own |= !fixed;
        if fixed {
            found = Some(at.to(expr));
        }
    });
    found.filter(|_| !own)
}

/// Whether a subscription is to all channels of a pattern, of which each is somebody's: `psubscribe("progress:*")`.
fn hears_pattern(project: &Project, channel: At) -> bool {
    let Some(unit) = project.unit(channel.module) else { return false };
    let ExprKind::Call(call) = unit.ir.expr(channel.expr) else { return false };
    let of_patterns =
        project.last_written(channel).is_some_and(|name| matches!(name, "psubscribe" | "pSubscribe"));
    let told_apart = || {
        let tells = project.calls_named(|name| name == "publish");
        project.units().any(|(module, unit)| {
            tells.among(module).any(|expr| {
                let ExprKind::Call(call) = unit.ir.expr(*expr) else { return false };
                call.positional(0).is_some_and(|name| has_owner(project, At { module, expr: name }, DEPTH))
            })
        })
    };
    of_patterns
        && told_apart()
        && call.args.iter().any(|arg| project.snippet(channel.to(arg.value)).contains('*'))
}

/// Whether a value is a fixed text.
fn is_name(project: &Project, unit: &Unit, at: At) -> bool {
    match unit.ir.expr(at.expr) {
        ExprKind::String(_) => true,
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.is_module_level(*id) && project.is_fixed(at),
        // `f"{PREFIX}:*"`
        ExprKind::Template(_) => project.is_fixed(at),
        _ => false,
    }
}

/// Whether a loop asks whose a message is: by a comparison or a test with an owner, a session or an id in it.
fn asks_whose(project: &Project, unit: &Unit, module: ModuleId, body: &Block) -> bool {
    let mut found = false;
    let mut ask = |test: ExprId| {
        walk::exprs_below(&unit.ir, test, &mut |expr| {
            let name = match unit.ir.expr(expr) {
                ExprKind::Name(_) | ExprKind::Member { .. } => project.last_written(At { module, expr }),
                ExprKind::String(text) => Some(unit.ir.text(*text)),
                ExprKind::Call(call) => {
                    project.last_written(At { module, expr: call.callee }).filter(|name| *name != "get")
                }
                _ => None,
            };
            found |= name.is_some_and(|name| {
                vocabulary::is_owner(name)
                    || vocabulary::is_session_id(name)
                    || vocabulary::words(name).iter().any(|word| {
                        matches!(
                            word.as_str(),
                            "id" | "user"
                                | "target"
                                | "recipient"
                                | "room"
                                | "filter"
                                | "mine"
                                | "allowed"
                                | "visible"
                                | "can"
                                | "should"
                                | "matches"
                        )
                    })
            });
        });
    };
    walk::stmts_below(&unit.ir, body, &mut |stmt| {
        if let StmtKind::If { test, .. } = unit.ir.stmt(stmt) {
            ask(*test);
        }
    });
    found
}

/// Where a loop sends what it took to the connection of its function; what one gives out that `streams` goes there too.
fn sends(unit: &Unit, fun: Fun, body: &Block, mut own: Vec<BindingId>, streams: bool) -> Option<ExprId> {
    // `data = message["data"]`
    walk::stmts_below(&unit.ir, body, &mut |stmt| {
        if let StmtKind::Assign { target, value, .. } = unit.ir.stmt(stmt)
            && own.len() < 16
            && mentions(unit, *value, &own)
        {
            target.for_each_binding(&mut |id| own.push(id));
        }
    });
    let connection = |expr: ExprId| {
        let mut found = false;
        walk::exprs_below(&unit.ir, expr, &mut |expr| {
            if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) {
                let named = vocabulary::words(unit.ir.binding_name(*id))
                    .iter()
                    .any(|word| CONNECTIONS.contains(&word.as_str()));
                found |= named && !unit.ir.is_module_level(*id);
            }
        });
        found
    };
    let mut here = Vec::new();
    walk::stmts_below(&unit.ir, body, &mut |stmt| here.push(stmt));
    let mut found = None;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        // `yield f"data: {message}\n\n"` of what is streamed to whoever asked.
        if let ExprKind::Yield { value: Some(value), .. } = unit.ir.expr(expr) {
            let here = unit.index.stmt_of(expr).is_some_and(|stmt| here.contains(&stmt));
            if found.is_none() && streams && here && mentions(unit, *value, &own) {
                found = Some(expr);
            }
            return;
        }
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return };
        if found.is_some()
            || !SENDS.contains(&unit.ir.text(*property))
            || unit.index.stmt_of(expr).is_none_or(|stmt| !here.contains(&stmt))
        {
            return;
        }
        let to = connection(*object) || call.args.iter().any(|arg| connection(arg.value));
        let tells = call.args.iter().any(|arg| mentions(unit, arg.value, &own));
        found = (to && tells).then_some(expr);
    });
    found
}

fn mentions(unit: &Unit, expr: ExprId, own: &[BindingId]) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, expr, &mut |expr| {
        found |= matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if own.contains(id));
    });
    found
}
