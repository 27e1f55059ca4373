//! Whom a call is for, left in a field of an object that serves many calls, where other methods find it: `set_context(user, chat)` of
//! a tool, `self._language = language` in front of what makes the key. It is not seen how long the object lives.

use std::collections::BTreeSet;

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Cell, Lifetimes},
    ir::{Class, ExprId, ExprKind, FunctionKind, NameRef, walk},
    project::{At, Cls, Fun, Project, Unit, Write},
    rules::Report,
    vocabulary,
};

/// Last words of classes whose objects serve one call after the other.
const SERVING: &[&str] = &[
    "tool",
    "handler",
    "agent",
    "adapter",
    "plugin",
    "skill",
    "provider",
    "service",
    "executor",
    "runner",
    "manager",
    "middleware",
    "toolkit",
    "dispatcher",
    "router",
    "gateway",
    "engine",
    "orchestrator",
];

/// Words of classes whose objects are one caller's.
const OWN: &[&str] = &["session", "request", "connection", "conversation", "test", "mock", "fake", "stub"];

/// Verbs of methods that leave something for others.
const TELLS: &[&str] = &["set", "update", "use", "switch", "bind", "enter", "assign", "with"];

/// What a method leaves that says for whom a call is.
const WHOM: &[&str] = &[
    "context",
    "chat",
    "channel",
    "conversation",
    "thread",
    "sender",
    "recipient",
    "caller",
    "session",
    "request",
    "identity",
];

/// Last words of what a server is put together of.
const PARTS: &[&str] = &[
    "manager", "service", "store", "client", "callback", "key", "factory", "provider", "handler", "registry",
    "maker", "pool", "logger", "fn", "func", "type", "class", "resolver",
];

/// Reports such fields, where they are written.
pub(super) fn told_first(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        let mut told: BTreeSet<(Fun, String)> = BTreeSet::new();
        for write in &unit.index.writes {
            let fun = Fun { module, id: write.function };
            let Some((class, field)) = own_field(project, unit, fun, write) else { continue };
            let Some(decl) = unit.ir.class(class.id) else { continue };
            if !told.insert((fun, field.clone()))
                || !is_serving(project, class, decl)
                || lives.cell(At { module, expr: write.place }).is_some()
                || lives.is_made_for_a_request(class)
            {
                continue;
            }
            let says_whom = tells_whom(project, unit, fun, write);
            if !says_whom && !is_passed_around(project, unit, fun, write) {
                continue;
            }
            let reads = lives.reads(project, &Cell::Field(class, field.clone()));
            let read = reads.iter().find(|(_, other, _)| {
                *other != fun && project.this_of(*other) == Some(class) && !is_constructor(project, *other)
            });
            let Some((read, ..)) = read else { continue };
            report
                .at(
                    At { module, expr: write.place },
                    format!("`{field}` says for whom this call is, and is left in an object that may serve other calls at the same time"),
                )
                .severity(Severity::Low)
                .confidence(Confidence::Low)
                .related(read.module, project.span(*read), "another method reads it here");
        }
    }
}

/// Reports what one session's record says, left on the one object that works for all of them: `agent.metadata = session.metadata`.
pub(super) fn taken_over(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for write in unit.index.writes.iter().filter(|write| !write.updates) {
            let fun = Fun { module, id: write.function };
            let (Some((object, field)), Some((from, taken))) = (
                member_of_parameter(project, unit, fun, write.place),
                member_of_parameter(project, unit, fun, write.value),
            ) else {
                continue;
            };
            let words = vocabulary::words(object);
            let serves = words.last().is_some_and(|word| SERVING.contains(&word.as_str()));
            let party = vocabulary::words(from);
            let of_one = party.last().is_some_and(|word| {
                matches!(word.as_str(), "session" | "request" | "user" | "caller" | "conversation")
            });
            if field != taken || !serves || !of_one || words.iter().any(|word| OWN.contains(&word.as_str())) {
                continue;
            }
            report
                .at(
                    At { module, expr: write.place },
                    format!("`{field}` of one {} is left on `{object}`, which may work for others at the same time", party.join(" ")),
                )
                .severity(Severity::Low)
                .confidence(Confidence::Low);
        }
    }
}

/// The name of a parameter and of its field that an expression is.
fn member_of_parameter<'u>(
    project: &Project,
    unit: &'u Unit,
    fun: Fun,
    expr: ExprId,
) -> Option<(&'u str, &'u str)> {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(expr) else { return None };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object) else { return None };
    is_parameter(project, unit, fun, *object).then(|| (unit.ir.binding_name(*id), unit.ir.text(*property)))
}

/// The field of `this` that a method writes to, when what it writes is made of one of its own parameters.
fn own_field(project: &Project, unit: &Unit, fun: Fun, write: &Write) -> Option<(Cls, String)> {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(write.place) else { return None };
    let function = unit.ir.function(write.function)?;
    if !matches!(unit.ir.expr(*object), ExprKind::This)
        || function.class.is_none()
        || function.kind == FunctionKind::Constructor
        || write.updates
    {
        return None;
    }
    let class = project.this_of(fun)?;
    let told = match unit.ir.expr(write.value) {
        ExprKind::Name(_) => is_parameter(project, unit, fun, write.value),
        ExprKind::Call(call) => call.args.iter().any(|arg| {
            let value = match unit.ir.expr(arg.value) {
                ExprKind::Logical { left, .. } => *left,
                _ => arg.value,
            };
            is_parameter(project, unit, fun, value)
        }),
        _ => false,
    };
    told.then(|| (class, unit.ir.text(*property).to_owned()))
}

fn is_parameter(project: &Project, unit: &Unit, fun: Fun, expr: ExprId) -> bool {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) else { return false };
    project.parameter_of(fun.module, *id).is_some_and(|(of, _, steps)| of == fun && steps.is_empty())
}

fn is_constructor(project: &Project, fun: Fun) -> bool {
    let function = project.unit(fun.module).and_then(|unit| unit.ir.function(fun.id));
    function.is_some_and(|function| function.kind == FunctionKind::Constructor)
}

/// Whether objects of a class serve calls, as its name or what it extends says.
fn is_serving(project: &Project, class: Cls, decl: &Class) -> bool {
    let name = vocabulary::words(project.class_name(class));
    let own = name.iter().any(|word| OWN.contains(&word.as_str()));
    let serves =
        |name: &str| vocabulary::words(name).last().is_some_and(|word| SERVING.contains(&word.as_str()));
    let extends = || {
        decl.bases
            .iter()
            .any(|base| project.last_written(At { module: class.module, expr: *base }).is_some_and(serves))
    };
    !own && (serves(project.class_name(class)) || extends())
}

/// Whether a method is there to say for whom the next call is.
fn tells_whom(project: &Project, unit: &Unit, fun: Fun, write: &Write) -> bool {
    let name = vocabulary::words(project.function_name(fun));
    let sets = name.first().is_some_and(|verb| TELLS.contains(&verb.as_str()));
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(write.value) else { return false };
    let value = unit.ir.binding_name(*id);
    let whom = |name: &str| {
        vocabulary::is_owner(name)
            || vocabulary::is_principal(name)
            || vocabulary::is_session_id(name)
            || vocabulary::words(name).iter().any(|word| WHOM.contains(&word.as_str()))
    };
    // `set_chat_manager(manager)` puts the server together.
    let part = vocabulary::words(value).last().is_some_and(|word| PARTS.contains(&word.as_str()));
    sets && whom(value) && !part
}

/// Whether a method writes the field and then goes on as the class that it extends, which was not told: an argument by another way.
fn is_passed_around(project: &Project, unit: &Unit, fun: Fun, write: &Write) -> bool {
    let mut goes_on = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        if let ExprKind::Call(call) = unit.ir.expr(expr)
            && unit.index.order(expr) > write.order
            && let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee)
        {
            goes_on |= unit.ir.text(*property) == project.function_name(fun)
                && project.snippet(At { module: fun.module, expr: *object }).starts_with("super");
        }
    });
    goes_on
}
