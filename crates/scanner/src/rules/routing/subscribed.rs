//! Functions of one request that hear what all requests tell: `bus.subscribe("chunk", on_chunk)` with a queue of the request,
//! `bus.on("update", (event) => res.write(event))`.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Lifetimes,
    ir::{Arg, BindingKind, Call, ExprId, ExprKind, FunctionId, Language, NameRef, StmtKind, walk},
    project::{At, Fun, Parent, Project, Symbol, Unit},
    rules::Report,
    vocabulary,
};

/// Methods that make a function hear events from then on.
const LISTENS: &[&str] = &[
    "subscribe",
    "add_listener",
    "add_handler",
    "register_handler",
    "register_listener",
    "add_callback",
    "on",
    "connect",
    "add_subscriber",
    "addListener",
    "addEventListener",
];

/// Reports such functions, when they hand what they hear to something of the request and ask nothing about whose it is.
pub(super) fn subscribed(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    let listens = project.calls_named(|name| LISTENS.contains(&name));
    for (module, unit) in project.units() {
        for expr in listens.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { continue };
            let own = project.function_of(at);
            if !LISTENS.contains(&unit.ir.text(*property))
                || own.id == FunctionId::MODULE
                || !hears_all(project, unit, at, call)
                || !is_bus(project, &lives, at.to(*object))
            {
                continue;
            }
            for fun in heard_by(project, unit, at, call) {
                let Some(home) = project.unit(fun.module) else { continue };
                if decides(home, fun.id) {
                    continue;
                }
                let Some(hands) = hands_on(home, fun.id) else { continue };
                let severity = if lives.is_per_request(own) { Severity::Medium } else { Severity::Low };
                report
                    .at(
                        At { module: fun.module, expr: hands },
                        "this hears what every request tells, and hands it to one of them",
                    )
                    .severity(severity)
                    .confidence(Confidence::Medium)
                    .related(module, project.span(at), "it is subscribed here");
            }
        }
    }
}

/// Whether a call names what is heard by nothing of the request: `bus.on("update", …)`, and not `bus.on(`update:${user}`, …)`.
fn hears_all(project: &Project, unit: &Unit, at: At, call: &Call) -> bool {
    call.args.iter().all(|arg| match unit.ir.expr(arg.value) {
        ExprKind::Template(_) | ExprKind::Binary { .. } | ExprKind::String(_) => {
            project.is_fixed(at.to(arg.value))
        }
        // `bus.on(channel, …)`, where the name was made for the caller.
        ExprKind::Name(_) | ExprKind::Member { .. } => !says_whose(project, at.to(arg.value)),
        _ => true,
    })
}

/// Whether a name of what is heard says whose it is, or was made of something that does.
fn says_whose(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    project.origins(at).is_of_request()
        || project.last_written(at).is_some_and(vocabulary::says_whose)
        || project.roots(at).into_iter().filter(|root| !unit.ir.is_module_level(*root)).any(|root| {
            unit.index.sources(root).iter().take(4).any(|source| {
                matches!(unit.ir.expr(source.value), ExprKind::Template(_) | ExprKind::Binary { .. })
                    && !project.is_fixed(at.to(source.value))
            })
        })
}

/// How many functions a bus is handed through.
const HANDED: u32 = 3;

/// Whether a value is a bus of the process: a variable of a module, or what outlives requests, that is named so; or a parameter that is
/// given one: `(c) => handle(c, bus)`.
pub(super) fn is_bus(project: &Project, lives: &Lifetimes<'_>, at: At) -> bool {
    is_bus_within(project, lives, at, HANDED)
}

fn is_bus_within(project: &Project, lives: &Lifetimes<'_>, at: At, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    let said = project.last_written(at).is_some_and(|name| {
        vocabulary::words(name).iter().any(|word| {
            matches!(
                word.as_str(),
                "bus"
                    | "events"
                    | "emitter"
                    | "dispatcher"
                    | "broker"
                    | "hub"
                    | "pubsub"
                    | "signals"
                    | "eventbus"
                    | "channel"
                    | "notifier"
                    | "broadcaster"
            )
        })
    });
    let handed = || {
        let unit = project.unit(at.module)?;
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return None };
        let (fun, number, path) = project.parameter_of(at.module, *id)?;
        let mut given =
            project.callers(fun).iter().take(8).filter_map(|call| project.argument(*call, fun, number));
        (path.is_empty() && given.any(|own| is_bus_within(project, lives, own, steps))).then_some(())
    };
    said && (is_of_module(project, at) || lives.cell(at).is_some() || handed().is_some())
}

/// Whether a value is a variable or import of a module.
fn is_of_module(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    unit.ir.is_module_level(*id)
        && matches!(
            unit.ir.binding(*id).map(|binding| binding.kind),
            Some(BindingKind::Variable | BindingKind::Import(_))
        )
}

/// The functions inside of others that a call is given, or that what it is given makes.
fn heard_by(project: &Project, unit: &Unit, at: At, call: &Call) -> Vec<Fun> {
    let mut found = Vec::new();
    let beside = beside(unit, at.expr);
    for arg in call.args.iter().chain(beside) {
        let mut values = vec![arg.value];
        if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(arg.value) {
            values.extend(unit.index.sources(*id).iter().take(2).map(|source| source.value));
        }
        if let ExprKind::Member { property, .. } = unit.ir.expr(arg.value) {
            values.extend(kept_as(unit, unit.ir.text(*property)));
        }
        for value in values {
            match (unit.ir.expr(value), project.symbol(at.to(value))) {
                (ExprKind::Function(id), _) => found.push(Fun { module: at.module, id: *id }),
                (ExprKind::Call(_), _) => {
                    let callee = project.callee(at.to(value)).filter(|callee| callee.certain);
                    for target in
                        callee.map(|callee| callee.targets.clone()).unwrap_or_default().into_iter().take(2)
                    {
                        found.extend(given(project, target));
                    }
                }
                (_, Symbol::Function(fun)) => found.push(fun),
                _ => {}
            }
        }
    }
    found.retain(|fun| {
        let inner = project
            .unit(fun.module)
            .and_then(|unit| unit.ir.function(fun.id))
            .and_then(|function| function.parent);
        inner.is_some_and(|parent| parent != FunctionId::MODULE)
    });
    found.sort_unstable();
    found.dedup();
    found
}

/// What a subscription is handed on with, when it is an argument itself: `read(signal, bus.subscribe(Started), (event) => …)`.
fn beside(unit: &Unit, subscription: ExprId) -> &[Arg] {
    let Parent::Expr(up) = unit.index.parent(subscription) else { return &[] };
    match unit.ir.expr(up) {
        ExprKind::Call(call) if call.args.iter().any(|arg| arg.value == subscription) => &call.args,
        _ => &[],
    }
}

/// The values of a module that are handed on under a name: `State(handler=make_handler(queue))`, then `state.handler`.
fn kept_as(unit: &Unit, name: &str) -> Vec<ExprId> {
    let mut found = Vec::new();
    for expr in &unit.index.calls {
        let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
        for arg in &call.args {
            if matches!(arg.kind, crate::ir::ArgKind::Keyword(own) if unit.ir.text(own) == name) {
                found.push(arg.value);
                if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(arg.value) {
                    found.extend(unit.index.sources(*id).iter().take(2).map(|source| source.value));
                }
            }
        }
    }
    found.truncate(8);
    found
}

/// The functions inside of one that it gives.
fn given(project: &Project, fun: Fun) -> Vec<Fun> {
    let Some(unit) = project.unit(fun.module) else { return Vec::new() };
    let returns = unit.index.returns(fun.id).iter();
    let symbol = |expr: &ExprId| match project.symbol(At { module: fun.module, expr: *expr }) {
        Symbol::Function(given) => Some(given),
        _ => None,
    };
    returns.filter_map(symbol).collect()
}

/// Whether a function compares anything of an event but its kind, or asks another function about it: `if (!mine(event)) return`.
fn decides(unit: &Unit, id: FunctionId) -> bool {
    let mut found = false;
    walk::function_exprs(&unit.ir, id, &mut |expr| {
        found |= matches!(unit.ir.expr(expr), ExprKind::Compare { .. })
    });
    let Some(function) = unit.ir.function(id) else { return true };
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        if let StmtKind::If { test, .. } = unit.ir.stmt(stmt) {
            walk::exprs_below(&unit.ir, *test, &mut |expr| {
                if let ExprKind::Call(call) = unit.ir.expr(expr) {
                    found |= call.args.iter().any(|arg| is_given(unit, id, arg.value));
                }
            });
        }
    });
    found
}

/// Whether an expression has a parameter of a function in it.
pub(super) fn is_given(unit: &Unit, id: FunctionId, expr: ExprId) -> bool {
    let Some(function) = unit.ir.function(id) else { return false };
    let mut own = Vec::new();
    function.params.iter().for_each(|parameter| parameter.pattern.for_each_binding(&mut |id| own.push(id)));
    let mut found = false;
    walk::exprs_below(&unit.ir, expr, &mut |expr| {
        found |= matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if own.contains(id));
    });
    found
}

/// Where a function hands on what it hears: to a queue, a socket, a list. In JavaScript nothing but what it heard counts.
fn hands_on(unit: &Unit, id: FunctionId) -> Option<ExprId> {
    const HANDS: &[&str] = &[
        "put",
        "put_nowait",
        "send",
        "send_json",
        "send_text",
        "append",
        "write",
        "call_soon_threadsafe",
        "emit",
        "yield",
        "send_nowait",
        "enqueue",
        "push",
        "writeSSE",
        "sendEvent",
        "notification",
        "sendNotification",
    ];
    let python = unit.ir.language == Language::Python;
    let mut found = None;
    walk::function_exprs(&unit.ir, id, &mut |expr| {
        if let ExprKind::Call(call) = unit.ir.expr(expr)
            && let ExprKind::Member { property, .. } = unit.ir.expr(call.callee)
            && HANDS.contains(&unit.ir.text(*property))
            && (python || call.args.iter().any(|arg| is_given(unit, id, arg.value)))
            && found.is_none()
        {
            found = Some(expr);
        }
    });
    found
}
