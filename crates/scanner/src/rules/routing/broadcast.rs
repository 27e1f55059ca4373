//! Something that is sent to every session.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use super::to_each;
use crate::{
    flow::Lifetimes,
    ir::{ArgKind, BindingId, Call, ExprId, ExprKind, FunctionId, Kinds, Language, NameRef, Pattern, StmtId, StmtKind, UnaryOp, walk},
    library::Role,
    project::{At, Callee, Fun, ModuleId, Parent, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "broadcast-to-sessions",
        layer: Layer::Routing,
        summary: "What happened for one caller is sent to the sessions of all.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "A notification tells every client that something happened, and often what: a resource's URI, a log line, a result.",
    fix: "Send to the sessions of the tenant only, or to those that subscribed and may see it.",
    cwe: &["CWE-200", "CWE-668"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("broadcast.md"),
    run,
};

/// Words of collections that hold the connections of all clients.
pub(super) const HOLDERS: &[&str] = &["sessions", "transports", "servers", "connections", "clients", "sockets", "streams", "subscribers", "websockets", "queues", "listeners", "watchers", "active", "conns", "peers"];

/// Methods that send.
const SENDS: &[&str] = &[
    "send", "notification", "notify", "sendNotification", "sendResourceUpdated", "sendLoggingMessage", "send_log_message",
    "send_resource_updated", "send_notification", "sendEvent", "emit", "publish", "send_text", "send_json", "send_bytes", "send_str", "send_message", "write_message", "write", "put_nowait",
];

/// How many functions that stand in a loop are looked into.
const BLOCKS: usize = 16;

/// Methods that put something where it is sent from.
const PUTS: &[&str] = &["put", "put_nowait", "enqueue"];

fn run(project: &Project, report: &mut Report<'_>) {
    super::subscribed::subscribed(project, report);
    super::forwarded::forwarded(project, report);
    super::by_key::by_key(project, report);
    super::by_topic::by_topic(project, report);
    super::tagged_sockets::tagged_sockets(project, report);
    super::topics::topics(project, report);
    super::joined_rooms::joined_rooms(project, report);
    super::unused_owner::unused_owner(project, report);
    let lives = Lifetimes::new(project);
    let all = project.calls_of(sends_to_all);
    let each = project.calls_named(|name| matches!(name, "forEach" | "map"));
    let emits = project.calls_named(|name| name == "emit");
    for (module, unit) in project.units() {
        for (id, stmt) in unit.ir.stmts() {
            let StmtKind::ForEach { target, iter, body, .. } = stmt else { continue };
            let each = to_each::bound(target);
            let fun = Fun { module, id: unit.index.stmt_function(id) };
            if !holds(project, At { module, expr: *iter }) {
                continue;
            }
            if is_transports(project, unit, fun) {
                if let Some(send) = all_sends(unit, module, body) {
                    report
                        .add(module, project.span(send), "a transport that all clients share writes every answer to each of them")
                        .confidence(Confidence::Medium);
                }
                continue;
            }
            if !lives.is_per_request(fun) && !is_joined_by_requests(project, unit, &lives, fun, At { module, expr: *iter }) {
                if let Some(send) = sends(project, unit, module, body, &each).filter(|send| is_passed_on(project, unit, fun, *send)) {
                    report
                        .at(send, "what the other side answers to one client is passed on to all of them")
                        .confidence(Confidence::Medium);
                }
                continue;
            }
            if let Some(send) = sends(project, unit, module, body, &each) {
                report
                    .reached(send, "this is sent to the sessions of all callers, whoever it is about")
                    .confidence(Confidence::Medium);
            }
        }
        gathered(project, &lives, module, unit, report);
        for expr in &unit.index.calls {
            let at = At { module, expr: *expr };
            if !project.is_one_of(&all, at) && !each.has(at) && !emits.has(at) {
                continue;
            }
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { continue };
            to_all(project, &lives, at, call, report);
            if !matches!(unit.ir.text(*property), "forEach" | "map") || !holds(project, at.to(*object)) {
                continue;
            }
            let Some(ExprKind::Function(inner)) = call.positional(0).map(|arg| unit.ir.expr(arg)) else { continue };
            if !lives.is_per_request(Fun { module, id: *inner }) {
                continue;
            }
            let Some(function) = unit.ir.function(*inner) else { continue };
            if let Some(send) = sends(project, unit, module, &function.body, &to_each::parameters(unit, *inner)) {
                report
                    .reached(send, "this is sent to the sessions of all callers, whoever it is about")
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// Events of what the other side says: a child's output, an upstream's messages.
const SAID: &[&str] = &["data", "message", "line", "onmessage", "onMessage"];

/// Whether a function hears what another process or server says, and what is sent is made of it:
/// `child.stdout.on("data", (chunk) => { for (const client of clients) client.send(JSON.parse(chunk)) })`.
fn is_passed_on(project: &Project, unit: &Unit, fun: Fun, send: At) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(send.expr) else { return false };
    project.around(fun).into_iter().any(|around| {
        let Some(function) = unit.ir.function(around.id).filter(|_| around.module == send.module) else { return false };
        if !hears(unit, around.id) {
            return false;
        }
        let mut heard = Vec::new();
        function.params.iter().for_each(|own| own.pattern.for_each_binding(&mut |id| heard.push(id)));
        call.args.iter().any(|arg| comes_of(project, unit, send.to(arg.value), &heard))
    })
}

/// Whether a function is a listener of what another side says.
fn hears(unit: &Unit, id: FunctionId) -> bool {
    let Some(site) = unit.index.site(id) else { return false };
    match unit.index.parent(site) {
        Parent::Expr(up) => match unit.ir.expr(up) {
            ExprKind::Call(call) => {
                let named = call.args.iter().any(|arg| matches!(unit.ir.expr(arg.value), ExprKind::String(text) if SAID.contains(&unit.ir.text(*text))));
                let on = matches!(unit.ir.expr(call.callee), ExprKind::Member { property, .. } if matches!(unit.ir.text(*property), "on" | "addListener"));
                named && on
            }
            _ => false,
        },
        Parent::Stmt(stmt) => matches!(unit.ir.stmt(stmt), StmtKind::Assign { target: Pattern::Place(place), .. }
            if matches!(unit.ir.expr(*place), ExprKind::Member { property, .. } if SAID.contains(&unit.ir.text(*property)))),
        _ => false,
    }
}

/// Whether a value is made of some variables, through others of the code.
fn comes_of(project: &Project, unit: &Unit, at: At, known: &[BindingId]) -> bool {
    let mut open = vec![at.expr];
    let mut seen: Vec<BindingId> = Vec::new();
    while let Some(expr) = open.pop() {
        let mut names = Vec::new();
        walk::exprs_below(&unit.ir, expr, &mut |below| {
            if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(below) {
                names.push(*id);
            }
        });
        for id in names {
            if known.contains(&id) {
                return true;
            }
            if seen.len() < 24 && !seen.contains(&id) {
                seen.push(id);
                open.extend(unit.index.sources(id).iter().take(4).map(|source| source.value));
                // The variable of a loop, and the parameter of a function that runs through a list.
                open.extend(runs_through(project, unit, at, id));
            }
        }
    }
    false
}

/// What a loop runs through, or a function that a list is handed: `lines.forEach((line) => …)`.
fn runs_through(project: &Project, unit: &Unit, at: At, id: BindingId) -> Option<ExprId> {
    if let Some((fun, 0, _)) = project.parameter_of(at.module, id)
        && let Parent::Expr(up) = unit.index.parent(unit.index.site(fun.id)?)
        && let ExprKind::Call(call) = unit.ir.expr(up)
        && let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee)
    {
        return matches!(unit.ir.text(*property), "forEach" | "map" | "filter").then_some(*object);
    }
    None
}

/// Whether a method runs through a field that requests put their connections into: whoever calls it, what it sends goes to all of them.
/// `manager.broadcast(event)` of a listener beside `await manager.connect(socket)` of a handler.
fn is_joined_by_requests(project: &Project, unit: &Unit, lives: &Lifetimes<'_>, fun: Fun, iter: At) -> bool {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(iter.expr) else { return false };
    let called = || project.callers(fun).iter().any(|call| project.function_of(*call) != fun);
    if unit.ir.language != Language::Python || !matches!(unit.ir.expr(*object), ExprKind::This) || !project.has_owners(iter.module) || !called() {
        return false;
    }
    let Some(decl) = project.this_of(fun).and_then(|class| unit.ir.class(class.id)) else { return false };
    let field = unit.ir.text(*property);
    decl.methods.iter().filter(|id| **id != fun.id && lives.is_per_request(Fun { module: fun.module, id: **id })).any(|id| {
        let mut found = false;
        walk::function_exprs(&unit.ir, *id, &mut |expr| {
            if let ExprKind::Call(call) = unit.ir.expr(expr)
                && let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee)
                && matches!(unit.ir.text(*property), "append" | "add")
                && let ExprKind::Member { property: own, .. } = unit.ir.expr(*object)
            {
                found |= unit.ir.text(*own) == field;
            }
        });
        found
    })
}

/// Whether a function is the `send` of a transport of MCP that is the project's own.
fn is_transports(project: &Project, unit: &Unit, fun: Fun) -> bool {
    let Some(function) = unit.ir.function(fun.id).filter(|function| function.class.is_some()) else { return false };
    let named = project.this_of(fun).is_some_and(|class| project.class_name(class).ends_with("Transport"));
    named && function.params.len() <= 2 && project.function_name(fun) == "send" && unit.ir.source.mentions(crate::marks::MESSAGE)
}

/// What a loop writes to each connection.
fn all_sends(unit: &Unit, module: ModuleId, body: &[StmtId]) -> Option<At> {
    let mut found = None;
    walk::stmts_below(&unit.ir, body, &mut |stmt| {
        walk::parts(&unit.ir, stmt, &mut |part| {
            let walk::Part::Expr(root) = part else { return };
            walk::exprs_below(&unit.ir, root, &mut |expr| {
                if let ExprKind::Call(call) = unit.ir.expr(expr)
                    && let ExprKind::Member { property, .. } = unit.ir.expr(call.callee)
                    && SENDS.contains(&unit.ir.text(*property))
                    && found.is_none()
                {
                    found = Some(At { module, expr });
                }
            });
        });
    });
    found
}

/// Calls that a library says send to everybody who is connected: `io.emit("created", row)`, unless they name a room.
fn sends_to_all(callee: &Callee) -> bool {
    callee.defs.iter().any(|def| def.role == Role::Send && def.kind.as_deref() == Some("all"))
}

fn to_all(project: &Project, lives: &Lifetimes<'_>, at: At, call: &Call, report: &mut Report<'_>) {
    let Some(unit) = project.unit(at.module) else { return };
    let all = project.callee(at).is_some_and(sends_to_all) || is_of_socket_server(project, unit, at, call);
    let room = call.args.iter().any(|arg| match arg.kind {
        ArgKind::Keyword(name) => matches!(unit.ir.text(name), "room" | "to" | "namespace"),
        _ => false,
    });
    if !all || room || !lives.is_per_request(project.function_of(at)) {
        return;
    }
    let told = call.args.iter().skip(1).any(|arg| !project.is_fixed(at.to(arg.value)));
    if told {
        report.reached(at, "this is sent to everybody who is connected, whoever it is about").confidence(Confidence::Medium);
    }
}

/// Names under which the server of all sockets is kept.
const SOCKET_SERVERS: &[&str] = &["io", "socketio", "socketIo", "socketIO", "ioServer", "ioInstance"];

/// Functions that give the server of all sockets.
const GIVES_SOCKETS: &[&str] = &["getIO", "getIo", "getSocketIO", "getSocketServer", "getIoInstance", "useIO"];

/// Whether an event is emitted on the server of all sockets, wherever that is kept: `global.io.emit("note", note)`,
/// `req.app.get("io").emit("note", note)`, `getIO().emit("note", note)`.
fn is_of_socket_server(project: &Project, unit: &Unit, at: At, call: &Call) -> bool {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return false };
    if unit.ir.text(*property) != "emit" || call.args.len() < 2 || unit.ir.language == Language::Python {
        return false;
    }
    let kept = |expr: ExprId| project.last_written(at.to(expr)).is_some_and(|name| SOCKET_SERVERS.contains(&name));
    match unit.ir.expr(*object) {
        ExprKind::Call(_) => gives_sockets(project, unit, at.to(*object)),
        ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
            [source] if matches!(unit.ir.expr(source.value), ExprKind::Call(_)) => gives_sockets(project, unit, at.to(source.value)),
            sources => kept(*object) && (sources.is_empty() || unit.ir.is_module_level(*id)),
        },
        // `io.sockets.emit("note", note)` is the same to socket.io.
        ExprKind::Member { object: server, property, .. } if unit.ir.text(*property) == "sockets" => kept(*server),
        ExprKind::Name(_) | ExprKind::Member { .. } => kept(*object),
        _ => false,
    }
}

/// Whether a call gives the server of all sockets: `app.get("io")`, `getIO()`.
fn gives_sockets(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    let path = project.written_as_exported(at.to(call.callee));
    let Some(name) = path.last().map(crate::project::Word::as_str) else { return false };
    let named = || match call.positional(0).map(|first| unit.ir.expr(first)) {
        Some(ExprKind::String(text)) => SOCKET_SERVERS.contains(&unit.ir.text(*text)),
        _ => false,
    };
    GIVES_SOCKETS.contains(&name) || (name == "get" && named())
}

pub(super) fn holds(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let mut found = false;
    let mut keyed = false;
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        let name = match unit.ir.expr(expr) {
            ExprKind::Member { property, .. } => unit.ir.text(*property).to_owned(),
            ExprKind::Name(_) => project.written(at.to(expr)).pop().map(String::from).unwrap_or_default(),
            ExprKind::Index { .. } => {
                keyed = true;
                return;
            }
            ExprKind::Call(call) => {
                let last = project.written(at.to(call.callee)).pop().unwrap_or_default();
                keyed |= matches!(last.as_str(), "get" | "filter");
                return;
            }
            _ => return,
        };
        let words = vocabulary::words(&name);
        found |= words.last().is_some_and(|word| HOLDERS.contains(&word.as_str()));
    });
    found && !keyed
}

/// Whether a test asks nothing but whether something could be sent: `not await self._send(id, message)`.
fn asks_sending(unit: &Unit, test: ExprId) -> bool {
    match unit.ir.expr(test) {
        ExprKind::Unary { op: UnaryOp::Not, operand: value } | ExprKind::Await(value) => asks_sending(unit, *value),
        ExprKind::Call(call) => is_helper(unit, call),
        ExprKind::Compare { left, right, .. } => [*left, *right].into_iter().any(|side| is_state(unit, side)),
        ExprKind::Logical { left, right, .. } => asks_sending(unit, *left) && asks_sending(unit, *right),
        _ => is_state(unit, test),
    }
}

/// Whether an expression is the state of a connection, which is open or not for whoever has it: `socket.readyState`, `ws.client_state`.
fn is_state(unit: &Unit, expr: ExprId) -> bool {
    matches!(unit.ir.expr(expr), ExprKind::Member { property, .. } if matches!(
        unit.ir.text(*property),
        "readyState" | "client_state" | "application_state" | "closed" | "connected" | "writable" | "writableEnded" | "destroyed" | "isAlive" | "open"
    ))
}

/// Whether a call is one of a function that by its name sends something to somebody who is named: `_send(id, message)`, `sendTo(id, text)`.
fn is_helper(unit: &Unit, call: &Call) -> bool {
    let name = match unit.ir.expr(call.callee) {
        ExprKind::Member { object, property, .. } if matches!(unit.ir.expr(*object), ExprKind::This) => unit.ir.text(*property),
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
        _ => return false,
    };
    call.args.len() > 1 && vocabulary::words(name).first().is_some_and(|first| first == "send")
}

/// Whether the function that is called sends, and decides nothing by what it has of the receiver.
fn helper_sends(project: &Project, at: At) -> bool {
    let Some(callee) = project.callee(at).filter(|callee| callee.certain) else { return false };
    let [target] = callee.targets.as_slice() else { return false };
    let Some(unit) = project.unit(target.module) else { return false };
    let (mut sends, mut compares) = (false, false);
    walk::function_exprs(&unit.ir, target.id, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Call(call) => {
            sends |= matches!(unit.ir.expr(call.callee), ExprKind::Member { property, .. } if SENDS.contains(&unit.ir.text(*property)));
        }
        ExprKind::Compare { left, right, .. } => {
            let fixed = |side: ExprId| project.is_fixed(At { module: target.module, expr: side });
            let state = |side: ExprId| project.last_written(At { module: target.module, expr: side }).is_some_and(|name| matches!(name, "OPEN" | "readyState"));
            compares |= !fixed(*left) && !fixed(*right) && !state(*left) && !state(*right);
        }
        _ => {}
    });
    sends && !compares
}

/// Reports what a comprehension sends to all: `gather(*[client.send(text) for client in clients])`.
fn gathered(project: &Project, lives: &Lifetimes<'_>, module: ModuleId, unit: &Unit, report: &mut Report<'_>) {
    for (expr, kind) in unit.ir.exprs_of(Kinds::COMPREHENSION) {
        let ExprKind::Comprehension(own) = kind else { continue };
        let [clause] = &own.clauses[..] else { continue };
        let at = At { module, expr };
        if !holds(project, at.to(clause.iter)) || !lives.is_per_request(project.function_of(at)) {
            continue;
        }
        let each = to_each::bound(&clause.target);
        let nobody = clause.conditions.iter().all(|test| asks_sending(unit, *test) || to_each::asks_nobody(project, unit, at.to(*test), &each, true));
        if let Some(send) = nobody.then(|| sent(project, unit, module, own.element)).flatten() {
            report.reached(send, "this is sent to the sessions of all callers, whoever it is about").confidence(Confidence::Medium);
        }
    }
}

/// A call that sends, when nothing in the block decides to whom; `each` is bound to one connection after the other.
fn sends(project: &Project, unit: &Unit, module: ModuleId, body: &[StmtId], each: &[BindingId]) -> Option<At> {
    let mut decides = false;
    let mut roots: Vec<ExprId> = Vec::new();
    let only_asks = |test: ExprId, sends: bool| {
        asks_sending(unit, test) || to_each::asks_nobody(project, unit, At { module, expr: test }, each, sends)
    };
    let mut open: Vec<&[StmtId]> = vec![body];
    let mut blocks = 0;
    while let Some(block) = open.pop().filter(|_| blocks < BLOCKS) {
        blocks += 1;
        let from = roots.len();
        walk::stmts_below(&unit.ir, block, &mut |stmt| {
            decides |= match unit.ir.stmt(stmt) {
                // `if not await self._send(id, message): dead.append(id)`
                StmtKind::If { test, then, .. } => !only_asks(*test, !to_each::leaves(unit, then)),
                StmtKind::Continue => !to_each::passes_over(unit, stmt, &|test| only_asks(test, false)),
                _ => false,
            };
            walk::parts(&unit.ir, stmt, &mut |part| {
                if let walk::Part::Expr(expr) = part {
                    roots.push(expr);
                }
            });
        });
        let handed = roots.iter().skip(from).flat_map(|root| to_each::handed(unit, *root));
        open.extend(handed.filter_map(|id| unit.ir.function(id)).map(|function| &function.body[..]));
    }
    if decides {
        return None;
    }
    roots.into_iter().find_map(|root| sent(project, unit, module, root))
}

/// The first call in an expression that sends.
fn sent(project: &Project, unit: &Unit, module: ModuleId, root: ExprId) -> Option<At> {
    let mut found = None;
    walk::exprs_below(&unit.ir, root, &mut |expr| {
        let at = At { module, expr };
        if let ExprKind::Call(call) = unit.ir.expr(expr)
            && (matches!(unit.ir.expr(call.callee), ExprKind::Member { .. }) || is_helper(unit, call))
            && !call.args.is_empty()
        {
            let helps = is_helper(unit, call) && helper_sends(project, at);
            let name = project.written(at.to(call.callee)).pop().unwrap_or_default();
            let known = project.callee(at).is_some_and(|callee| callee.defs.iter().any(|def| def.role == Role::Send));
            // What is put into queues may be the server's own news.
            let own = PUTS.contains(&name.as_str())
                && !call.args.iter().any(|arg| project.origins(at.to(arg.value)).is_of_request());
            if found.is_none() && !own && (known || helps || SENDS.contains(&name.as_str()) || PUTS.contains(&name.as_str())) {
                found = Some(at);
            }
        }
    });
    found
}
