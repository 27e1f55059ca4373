//! A socket that joins whatever room its client names: `socket.on("join", (id) => socket.join(`board_${id}`))`, in a server that knows who
//! is at the other end and does not ask whether that one may hear the room.

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{ArgKind, BindingId, Call, ExprId, ExprKind, Language, NameRef, walk},
    project::{At, Fun, Parent, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Last words of what a socket is called.
const SOCKETS: &[&str] = &["socket", "sock", "client", "conn", "connection", "ws", "spark"];

/// Functions that say nothing of who may have what they are given.
const NOTHING: &[&str] = &[
    "String",
    "Number",
    "Boolean",
    "parseInt",
    "toString",
    "trim",
    "toLowerCase",
    "parse",
    "safeParse",
    "isValid",
    "isValidObjectId",
    "ObjectId",
    "stringify",
    "log",
    "info",
    "debug",
    "warn",
    "error",
    "trace",
    "emit",
    "join",
    "leave",
    "cb",
    "callback",
    "ack",
    "isArray",
    "isString",
    "test",
    "int",
    "str",
    "len",
    "print",
    "escape",
];

/// Reports such joins.
pub(super) fn joined_rooms(project: &Project, report: &mut Report<'_>) {
    let joins = project.calls_named(|name| matches!(name, "join" | "join_room" | "enter_room"));
    for (module, unit) in project.units() {
        let served = match unit.ir.language {
            Language::JavaScript => {
                unit.ir.has_name(&["on", "SubscribeMessage"]) && unit.ir.has_name(&["join"])
            }
            Language::Python => unit.ir.has_name(&["join_room", "enter_room"]),
        };
        if !served {
            continue;
        }
        for expr in joins.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let Some(room) = room_of(unit, call) else { continue };
            let open = knows_who(project, unit) && is_open(project, unit, at, room);
            if !(open || handed_on(project, unit, at, room)) {
                continue;
            }
            let severity = if project.has_owners(module) { Severity::Medium } else { Severity::Low };
            report
                .at(at, "this client hears what is sent to any room that it names, and nobody asks whether it may")
                .severity(severity)
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether the listener around a call lets the client say a value, and asks nothing about it.
fn is_open(project: &Project, unit: &Unit, at: At, room: ExprId) -> bool {
    said_by_client(project, unit, at, room).is_some_and(|(handler, said)| {
        // What a decorated handler is told of a tenant is looked at as every handler's.
        let tenants = is_decorated(project, unit, handler) && names_owner(unit, room);
        !tenants && !asks(project, unit, handler, &said, at)
    })
}

/// Whether a listener hands what the client said on to the function around a call, and neither asks anything about it.
fn handed_on(project: &Project, unit: &Unit, at: At, room: ExprId) -> bool {
    const CALLERS: usize = 6;
    let fun = project.function_of(at);
    let mut given: Vec<(BindingId, usize)> = Vec::new();
    for root in project.roots(at.to(room)) {
        given.extend(
            project
                .parameter_of(at.module, root)
                .filter(|(of, ..)| *of == fun)
                .map(|(_, number, _)| (root, number)),
        );
    }
    let names: Vec<BindingId> = given.iter().map(|(id, _)| *id).collect();
    !given.is_empty()
        && !names_owner(unit, room)
        && !asks(project, unit, fun, &names, at)
        && project.callers(fun).iter().take(CALLERS).any(|call| {
            let Some(home) = project.unit(call.module) else { return false };
            (knows_who(project, unit) || knows_who(project, home))
                && given.iter().any(|(_, number)| {
                    project.argument(*call, fun, *number).is_some_and(|said| {
                        said.module == call.module && is_open(project, home, *call, said.expr)
                    })
                })
        })
}

/// The room that a socket is made to join.
fn room_of(unit: &Unit, call: &Call) -> Option<ExprId> {
    if unit.ir.language == Language::Python {
        let name = match unit.ir.expr(call.callee) {
            ExprKind::Member { property, .. } => unit.ir.text(*property),
            ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
            _ => return None,
        };
        // `join_room(room)` of Flask, `sio.enter_room(sid, room)` of python-socketio.
        let named = call
            .args
            .iter()
            .find(|arg| matches!(arg.kind, ArgKind::Keyword(key) if unit.ir.text(key) == "room"))
            .map(|arg| arg.value);
        return match name {
            "join_room" => named.or_else(|| call.positional(0)),
            "enter_room" => named.or_else(|| call.positional(1)),
            _ => None,
        };
    }
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
    let joins = unit.ir.text(*property) == "join" && is_socket(unit, *object);
    call.positional(0).filter(|_| joins && call.args.len() <= 2)
}

/// Whether an expression is a variable that is called like a socket.
fn is_socket(unit: &Unit, expr: ExprId) -> bool {
    let name = match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
        ExprKind::Member { object, property, .. } if matches!(unit.ir.expr(*object), ExprKind::This) => {
            unit.ir.text(*property)
        }
        _ => return false,
    };
    vocabulary::words(name).last().is_some_and(|last| SOCKETS.contains(&last.as_str()))
}

/// The listener around a call, and what of the message that it hears stands in a value.
fn said_by_client(project: &Project, unit: &Unit, at: At, value: ExprId) -> Option<(Fun, Vec<BindingId>)> {
    let around = project.around(project.function_of(at));
    let handler = around.into_iter().find(|fun| fun.module == at.module && hears(project, unit, *fun))?;
    let function = unit.ir.function(handler.id)?;
    let mut given = Vec::new();
    for parameter in &function.params {
        parameter.pattern.for_each_binding(&mut |id| given.push(id));
    }
    // The socket itself is a parameter of a decorated method.
    given.retain(|id| unit.ir.binding_name(*id) != "sid");
    given.retain(|id| {
        !vocabulary::words(unit.ir.binding_name(*id))
            .last()
            .is_some_and(|last| SOCKETS.contains(&last.as_str()))
    });
    let mut open = vec![value];
    let mut said = Vec::new();
    let mut seen: Vec<BindingId> = Vec::new();
    while let Some(expr) = open.pop() {
        walk::exprs_below(&unit.ir, expr, &mut |below| {
            if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(below)
                && !seen.contains(id)
                && seen.len() < 12
            {
                seen.push(*id);
            }
        });
        for id in seen.clone() {
            if given.contains(&id) && !said.contains(&id) {
                said.push(id);
            }
            if let [source] = unit.index.sources(id)
                && source.function == handler.id
                && !said.contains(&id)
            {
                said.push(id);
                open.push(source.value);
            }
        }
    }
    said.iter().any(|id| given.contains(id)).then_some((handler, said))
}

/// Whether a function is a listener of what a client says: it is handed to `socket.on("name", …)`, or decorated as one.
fn hears(project: &Project, unit: &Unit, fun: Fun) -> bool {
    let decorated = is_decorated(project, unit, fun);
    let Some(site) = unit.index.site(fun.id) else { return decorated };
    decorated
        || is_handed_to_on(unit, site)
        || named_uses(unit, site).into_iter().any(|used| is_handed_to_on(unit, used))
}

/// Whether a function is decorated as a listener: `@SubscribeMessage("join")`.
fn is_decorated(project: &Project, unit: &Unit, fun: Fun) -> bool {
    let Some(function) = unit.ir.function(fun.id) else { return false };
    function.decorators.iter().any(|expr| {
        let callee = match unit.ir.expr(*expr) {
            ExprKind::Call(call) => call.callee,
            _ => *expr,
        };
        match unit.ir.expr(callee) {
            ExprKind::Name(_) => project
                .written_as_exported(At { module: fun.module, expr: callee })
                .last()
                .is_some_and(|name| name.as_str() == "SubscribeMessage"),
            ExprKind::Member { property, .. } => {
                unit.ir.language == Language::Python && matches!(unit.ir.text(*property), "on" | "event")
            }
            _ => false,
        }
    })
}

/// Whether a value has something in it that is named for a tenant or user.
fn names_owner(unit: &Unit, root: ExprId) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, root, &mut |expr| {
        found |= match unit.ir.expr(expr) {
            ExprKind::Name(NameRef::Binding(id)) => vocabulary::is_owner(unit.ir.binding_name(*id)),
            ExprKind::Member { property, .. } => vocabulary::is_owner(unit.ir.text(*property)),
            ExprKind::String(text) => vocabulary::is_owner(unit.ir.text(*text)),
            _ => false,
        };
    });
    found
}

/// The uses of the variable that a function is the value of.
fn named_uses(unit: &Unit, site: ExprId) -> Vec<ExprId> {
    let Parent::Stmt(stmt) = unit.index.parent(site) else { return Vec::new() };
    let mut uses = Vec::new();
    if let crate::ir::StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) {
        target.for_each_binding(&mut |id| uses.extend(unit.index.uses(id).iter().copied()));
    }
    uses
}

fn is_handed_to_on(unit: &Unit, expr: ExprId) -> bool {
    let Parent::Expr(up) = unit.index.parent(expr) else { return false };
    let ExprKind::Call(call) = unit.ir.expr(up) else { return false };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return false };
    let event = call.positional(0).is_some_and(|name| match unit.ir.expr(name) {
        ExprKind::String(text) => {
            !matches!(unit.ir.text(*text), "connection" | "connect" | "disconnect" | "disconnecting")
        }
        ExprKind::Member { .. } | ExprKind::Name(_) => name != expr,
        _ => false,
    });
    event
        && unit.ir.text(*property) == "on"
        && is_socket(unit, *object)
        && call.args.iter().skip(1).any(|arg| arg.value == expr)
}

/// Whether a file, or another that speaks of sockets, knows who is at the other end of one: `socket.userId`, `client.data.user`.
fn knows_who(project: &Project, unit: &Unit) -> bool {
    if unit.ir.language == Language::Python {
        return unit.ir.has_name(&[
            "current_user",
            "get_session",
            "save_session",
            "get_jwt_identity",
            "verify_jwt_in_request",
        ]);
    }
    let of_socket = |unit: &Unit| {
        unit.ir.exprs_of(crate::ir::Kinds::MEMBER).any(|(_, kind)| {
            let ExprKind::Member { object, property, .. } = kind else { return false };
            let holder = match unit.ir.expr(*object) {
                ExprKind::Member { object, property, .. }
                    if matches!(unit.ir.text(*property), "data" | "handshake" | "request") =>
                {
                    *object
                }
                _ => *object,
            };
            let name = unit.ir.text(*property);
            is_socket(unit, holder)
                && (vocabulary::says_whose(name)
                    || vocabulary::is_user(name)
                    || matches!(name, "auth" | "decoded_token" | "decodedToken"))
        })
    };
    of_socket(unit)
        || project
            .units()
            .filter(|(_, other)| {
                other.ir.language == Language::JavaScript && other.ir.has_name(&["handshake"])
            })
            .take(8)
            .any(|(_, other)| of_socket(other))
}

/// Whether a listener asks anything about what the client said, before a moment, or compares it with something that is not fixed.
fn asks(project: &Project, unit: &Unit, handler: Fun, said: &[BindingId], join: At) -> bool {
    let mentions = |root: ExprId| {
        let mut found = false;
        walk::exprs_below(&unit.ir, root, &mut |expr| {
            found |= matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if said.contains(id));
        });
        found
    };
    let before = unit.index.order(join.expr);
    let mut found = false;
    walk::function_exprs(&unit.ir, handler.id, &mut |expr| {
        if found || unit.index.order(expr) >= before {
            return;
        }
        found = match unit.ir.expr(expr) {
            ExprKind::Call(call) => {
                let name = project.last_written(join.to(call.callee)).unwrap_or_default();
                let of_what_was_said =
                    matches!(unit.ir.expr(call.callee), ExprKind::Member { object, .. } if mentions(*object));
                let holds_join = project.span(join.to(expr)).start <= project.span(join).start
                    && project.span(join.to(expr)).end >= project.span(join).end;
                !holds_join
                    && !of_what_was_said
                    && !NOTHING.contains(&name)
                    && call.args.iter().any(|arg| mentions(arg.value))
            }
            ExprKind::Compare { left, right, .. } => {
                let other = |side: ExprId| !mentions(side) && !project.is_fixed(join.to(side));
                (mentions(*left) && other(*right)) || (mentions(*right) && other(*left))
            }
            ExprKind::Index { object, index, .. } => mentions(*index) && !mentions(*object),
            _ => false,
        };
    });
    found
}
