//! What waits for an answer, found by the id of a message alone.

use std::collections::BTreeSet;

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Lifetimes, Store},
    ir::{ExprId, ExprKind, FunctionId, NameRef, PropertyKey, TemplatePart},
    project::{At, Fun, Project, Step, Unit},
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
    "resolver", "resolvers", "inflight", "flight", "handler", "handlers", "progress", "outstanding", "futures", "queues", "promises", "writers",
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
            Store::Variable(..) | Store::Kept(..) => true,
            Store::Field(class, _) => lives.outlives(*class) == Some(true),
        };
        let Some(unit) = project.unit(access.key.module) else { continue };
        // What a page shows has one user.
        let page = std::path::Path::new(&unit.ir.path).extension().is_some_and(|ending| ending == "tsx" || ending == "jsx");
        if page {
            continue;
        }
        // One connection may have several requests at once, where each of them comes by HTTP.
        if (!shared && !is_asked_by_http(project, access.function))
            || !is_message_id(project, unit, access.key, 10)
            || !seen.insert((access.store.clone(), access.function))
        {
            continue;
        }
        let how = if shared {
            "is shared by all clients, and each of them counts its ids by itself"
        } else {
            "is keyed by the id that the client chose, so that a second request with the same id takes the first one's answer"
        };
        let found = report.reached(told_by(project, access.key).unwrap_or(access.at), format!("`{}` {how}", access.name));
        found.confidence(Confidence::Medium);
        if !shared {
            found.severity(Severity::Low);
        }
    }
}

/// Who hands a key over that a function is only told.
fn told_by(project: &Project, key: At) -> Option<At> {
    let unit = project.unit(key.module)?;
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(key.expr) else { return None };
    let (fun, number, _) = project.parameter_of(key.module, *id)?;
    project.callers(fun).iter().take(8).find_map(|call| {
        let argument = project.argument(*call, fun, number)?;
        is_message_id(project, project.unit(argument.module)?, argument, 9).then_some(argument)
    })
}

/// Whether a function, one around it, or another method of its class is given a request over HTTP.
fn is_asked_by_http(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let asked = |id: FunctionId| {
        unit.ir.function(id).is_some_and(|function| {
            function.params.iter().any(|parameter| {
                let named = parameter.name.is_some_and(|name| matches!(unit.ir.text(name), "request" | "req" | "scope" | "environ"));
                let typed = parameter.type_text.is_some_and(|text| {
                    let text = unit.ir.text(text);
                    text.contains("Request") && !text.to_lowercase().contains("rpc")
                });
                named || typed
            })
        })
    };
    let class = project.this_of(fun).filter(|class| class.module == fun.module).and_then(|class| unit.ir.class(class.id));
    let methods = class.into_iter().flat_map(|class| class.methods.iter().copied());
    project.around(fun).into_iter().map(|fun| fun.id).chain(methods).any(asked)
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
        // `request:${id}`
        ExprKind::Template(parts) => {
            let mut values = parts.iter().filter_map(|part| match part {
                TemplatePart::Value(expr) => Some(*expr),
                TemplatePart::Text(_) => None,
            });
            let (Some(only), None) = (values.next(), values.next()) else { return false };
            is_message_id(project, unit, key.to(only), depth)
        }
        ExprKind::Conditional { then, otherwise, .. } => {
            [then, otherwise].into_iter().any(|branch| is_message_id(project, unit, key.to(*branch), depth))
        }
        ExprKind::Name(NameRef::Binding(id)) => {
            let name = unit.ir.binding_name(*id);
            let sources = unit.index.sources(*id);
            if matches!(name, "progressToken" | "progress_token") {
                return true;
            }
            if let Some((fun, number, steps)) = project.parameter_of(key.module, *id)
                && steps.is_empty()
            {
                return project.callers(fun).iter().take(8).any(|call| {
                    let argument = project.argument(*call, fun, number);
                    argument.is_some_and(|argument| {
                        project.unit(argument.module).is_some_and(|unit| is_message_id(project, unit, argument, depth))
                    })
                });
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
    let is_message = MESSAGES.contains(&name.as_str()) || is_parsed_request(project, object);
    property == "id" && is_message && !is_made_here(project, object)
}

/// Whether a variable that is named for a request holds the message that an HTTP request brought: `const request = req.body`.
fn is_parsed_request(project: &Project, object: At) -> bool {
    let Some(unit) = project.unit(object.module) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(object.expr) else { return false };
    if !vocabulary::words(unit.ir.binding_name(*id)).last().is_some_and(|word| matches!(word.as_str(), "request" | "req")) {
        return false;
    }
    let rpc = |text: &str| text.to_lowercase().replace('_', "").contains("jsonrpc");
    if unit.ir.binding(*id).and_then(|binding| binding.type_text).is_some_and(|text| rpc(unit.ir.text(text))) {
        return true;
    }
    unit.index.sources(*id).iter().filter(|source| source.path.is_empty()).any(|source| {
        let text = unit.ir.snippet(unit.ir.span(source.value));
        let body = project.last_written(object.to(source.value)).is_some_and(|name| MESSAGES.contains(&name));
        body || rpc(text)
    })
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
