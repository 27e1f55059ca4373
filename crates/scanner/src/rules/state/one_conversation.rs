//! Conversations that all callers go on with: a thread or user of a fixed name, `{ configurable: { thread_id: "1" } }`, and the id of the
//! last answer in a variable that outlives the request.

use partywall_model::Confidence;

use crate::{
    flow::Lifetimes,
    ir::{ArgKind, Call, ExprId, ExprKind, NameRef, PropertyKey},
    project::{At, Project, Unit},
    rules::Report,
};

/// Methods of agents and graphs that go on with a conversation. Sources: the API references of LangGraph and Mastra.
const GOES_ON: &[&str] = &[
    "invoke",
    "ainvoke",
    "stream",
    "astream",
    "astream_events",
    "streamEvents",
    "generate",
    "generateLegacy",
    "streamLegacy",
    "call",
    "run",
    "arun",
];

/// Methods of stores of memories. Source: docs.mem0.ai.
const REMEMBERS: &[&str] = &["add", "search", "getAll", "get_all", "history"];

/// What such a conversation is told apart by.
const APART: &[&str] = &["thread_id", "threadId", "resourceId", "resource_id"];

/// What the last answer is named by, where the next one goes on from it.
const LAST: &[&str] = &["previous_response_id", "previousResponseId", "parentMessageId", "parent_message_id"];

/// How many values are followed.
const DEPTH: u32 = 4;

/// Reports such conversations.
pub(super) fn one_conversation(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    let likely =
        project.calls_named(|name| GOES_ON.contains(&name) || REMEMBERS.contains(&name) || name == "create");
    for (module, unit) in project.units().filter(|(module, _)| project.has_owners(*module)) {
        for expr in likely.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { continue };
            if !lives.is_per_request(project.function_of(at)) {
                continue;
            }
            let method = unit.ir.text(*property);
            let fixed = if method == "create" {
                last_of_all(project, lives, unit, at, call)
            } else {
                let kept = || lives.cell(at.to(*object)).is_some();
                fixed(project, unit, at, call, method).filter(|_| kept())
            };
            if let Some(place) = fixed {
                report
                    .reached_in(
                        place,
                        project.function_of(at),
                        "all callers go on with one conversation here",
                    )
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// The fixed name of a thread or user that a call is given.
fn fixed(project: &Project, unit: &Unit, at: At, call: &Call, method: &str) -> Option<At> {
    let memory = REMEMBERS.contains(&method)
        && project
            .callee(at)
            .and_then(|callee| callee.package.as_deref())
            .is_some_and(|own| own.starts_with("mem0"));
    let names: &[&str] = if memory {
        &["userId", "user_id"]
    } else if GOES_ON.contains(&method) {
        APART
    } else {
        return None;
    };
    call.args.iter().find_map(|arg| match arg.kind {
        ArgKind::Keyword(name) if names.contains(&unit.ir.text(name)) => {
            is_text(unit, arg.value).then(|| at.to(arg.value))
        }
        _ => named(unit, at.to(arg.value), names, DEPTH),
    })
}

/// The fixed text that stands under one of these names in an object.
fn named(unit: &Unit, at: At, names: &[&str], depth: u32) -> Option<At> {
    let depth = depth.checked_sub(1)?;
    match unit.ir.expr(at.expr) {
        ExprKind::Object(properties) => {
            let told = |own: &&crate::ir::Property| matches!(own.key, PropertyKey::Name(name) if names.contains(&unit.ir.text(name)));
            let all: Vec<_> = properties.iter().filter(told).collect();
            if let [first, rest @ ..] = all.as_slice() {
                // A thread of the request's choice under one resource for all: the resource is whose it is.
                let whose = all.iter().find(|own| matches!(own.key, PropertyKey::Name(name) if unit.ir.text(name).starts_with("resource")));
                let fixed = if rest.is_empty() { Some(first) } else { whose };
                return fixed.filter(|own| is_text(unit, own.value)).map(|own| at.to(own.value));
            }
            properties.iter().find_map(|own| match own.key {
                PropertyKey::Name(_) => named(unit, at.to(own.value), names, depth),
                _ => None,
            })
        }
        ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
            [source] if source.path.is_empty() => named(unit, at.to(source.value), names, depth),
            _ => None,
        },
        _ => None,
    }
}

fn is_text(unit: &Unit, expr: ExprId) -> bool {
    match unit.ir.expr(expr) {
        ExprKind::String(_) => true,
        ExprKind::Name(NameRef::Binding(id)) => {
            unit.ir.is_module_level(*id)
                && matches!(unit.index.sources(*id), [source] if matches!(unit.ir.expr(source.value), ExprKind::String(_)))
        }
        _ => false,
    }
}

/// The id of the last answer, where it is what a request left in something that outlives it.
fn last_of_all(project: &Project, lives: &Lifetimes<'_>, unit: &Unit, at: At, call: &Call) -> Option<At> {
    let value = call.args.iter().find_map(|arg| match (arg.kind, unit.ir.expr(arg.value)) {
        (ArgKind::Keyword(name), _) if LAST.contains(&unit.ir.text(name)) => Some(arg.value),
        (_, ExprKind::Object(properties)) => properties.iter().find_map(|own| match own.key {
            PropertyKey::Name(name) if LAST.contains(&unit.ir.text(name)) => Some(own.value),
            _ => None,
        }),
        _ => None,
    })?;
    let cell = lives.cell(at.to(value))?;
    lives.shared_writes(project).iter().any(|write| write.cell == cell).then(|| at.to(value))
}
