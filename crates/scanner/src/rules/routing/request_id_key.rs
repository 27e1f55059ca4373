//! What waits for an answer, found by the id of a message alone.

use std::collections::BTreeSet;

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Lifetimes, Store},
    ir::{ExprId, ExprKind, NameRef, PropertyKey},
    project::{At, Project, Step, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "request-id-key",
        layer: Layer::Routing,
        summary: "What waits for an answer is found by the id of a message, which each client counts by itself.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "Two clients that both send id 1 get one another's answers, or one of them none.",
    fix: "Give each message an id of your own on the way on, or put the connection's id before the message's.",
    cwe: &["CWE-488", "CWE-694"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("request_id_key.md"),
    run,
};

/// Words of maps of what waits.
const WAITING: &[&str] = &[
    "pending", "request", "requests", "stream", "streams", "waiter", "waiters", "waiting", "response", "responses", "callback", "callbacks",
    "resolver", "resolvers", "inflight", "flight", "handler", "handlers", "progress", "outstanding", "futures", "queues", "promises",
];

/// Names of messages.
const MESSAGES: &[&str] = &["message", "msg", "rpc", "jsonrpc", "body", "payload", "call", "envelope", "rpcRequest", "jsonRpcRequest", "packet"];

fn run(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    let mut seen = BTreeSet::new();
    for access in project.accesses() {
        let words = vocabulary::words(&access.name);
        if access.value.is_none() || !words.iter().any(|word| WAITING.contains(&word.as_str())) {
            continue;
        }
        let shared = match &access.store {
            Store::Variable(..) => true,
            Store::Field(class, _) => lives.outlives(*class) == Some(true),
        };
        let Some(unit) = project.unit(access.key.module) else { continue };
        if !shared || !is_message_id(project, unit, access.key, 4) || !seen.insert((access.store.clone(), access.function)) {
            continue;
        }
        report
            .reached(access.at, format!("`{}` is shared by all clients, and each of them counts its ids by itself", access.name))
            .confidence(Confidence::Medium);
    }
}

/// Whether a key is the id of a message or a progress token, and nothing else.
fn is_message_id(project: &Project, unit: &Unit, key: At, depth: u32) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    match unit.ir.expr(key.expr) {
        ExprKind::Member { object, property, .. } => is_id_of(project, key.to(*object), unit.ir.text(*property)),
        ExprKind::Index { object, index, .. } => match unit.ir.expr(*index) {
            ExprKind::String(name) => is_id_of(project, key.to(*object), unit.ir.text(*name)),
            _ => false,
        },
        // `str(message["id"])`, `message.get("id")`
        ExprKind::Call(call) => {
            let name = project.written(key.to(call.callee)).pop().unwrap_or_default();
            let first = call.positional(0);
            match (name.as_str(), first.map(|first| unit.ir.expr(first)), unit.ir.expr(call.callee)) {
                ("get", Some(ExprKind::String(text)), ExprKind::Member { object, .. }) => {
                    is_id_of(project, key.to(*object), unit.ir.text(*text))
                }
                ("str" | "String" | "int" | "Number", Some(_), _) => first.is_some_and(|first| is_message_id(project, unit, key.to(first), depth)),
                _ => false,
            }
        }
        ExprKind::Name(NameRef::Binding(id)) => {
            let name = unit.ir.binding_name(*id);
            let sources = unit.index.sources(*id);
            if matches!(name, "progressToken" | "progress_token") {
                return true;
            }
            let [source] = sources else { return false };
            match &*source.path {
                [] => is_message_id(project, unit, key.to(source.value), depth),
                [Step::Key(name)] => is_id_of(project, key.to(source.value), unit.ir.text(*name)),
                _ => false,
            }
        }
        _ => false,
    }
}

fn is_id_of(project: &Project, object: At, property: &str) -> bool {
    if matches!(property, "progressToken" | "progress_token") {
        return true;
    }
    let name = project.written(object).pop().unwrap_or_default();
    property == "id" && MESSAGES.contains(&name.as_str()) && !is_made_here(project, object)
}

/// Whether a message is an object that the code itself puts together, with an id of its own.
fn is_made_here(project: &Project, object: At) -> bool {
    let Some(unit) = project.unit(object.module) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(object.expr) else { return false };
    let literal = |expr: ExprId| match unit.ir.expr(expr) {
        ExprKind::Object(properties) => properties.iter().any(|property| {
            matches!(property.key, PropertyKey::Name(name) if unit.ir.text(name) == "id")
        }),
        _ => false,
    };
    unit.index.sources(*id).iter().any(|source| literal(source.value))
}
