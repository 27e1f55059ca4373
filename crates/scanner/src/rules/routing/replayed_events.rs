//! Events that are replayed whoever's stream they were on.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::Lifetimes,
    ir::{ExprId, ExprKind, FunctionId, NameRef, TemplatePart, walk},
    project::{At, Cls, Fun, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "replayed-events",
        layer: Layer::Routing,
        summary: "A store of events replays what came after an id, whoever's stream it was on.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "A client that names an old event gets the messages of other sessions that came later.",
    fix: "Keep the stream and its owner with each event, and replay only those of the same stream to the same owner.",
    cwe: &["CWE-488", "CWE-639"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("replayed_events.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    super::one_event_store::one_event_store(project, &lives, report);
    for (module, unit) in project.units() {
        for (id, function) in unit.ir.functions() {
            let named = function.name.map(|name| unit.ir.text(name));
            if !matches!(named, Some("replayEventsAfter" | "replay_events_after" | "replayEvents" | "replay_events")) {
                continue;
            }
            // A store that is made anew for each session has nobody else's events.
            let class = project.this_of(Fun { module, id });
            if let Some(query) = all_later(unit, id) {
                report
                    .at(At { module, expr: query }, "this reads all events behind one, whoever's stream they were on")
                    .confidence(Confidence::Medium);
                continue;
            }
            // A declaration without a body, or one that asks another store.
            if function.body.len() < 2 || names_any(unit, id, OWNERS) {
                continue;
            }
            let passing = class.is_some_and(|class| lives.outlives(class) == Some(false));
            if !passing && !names_any(unit, id, STREAMS) {
                report
                    .add(module, function.head, "events are replayed here whoever's stream they were on")
                    .confidence(Confidence::Medium);
            } else if class.is_some_and(|class| !lives.is_made_for_a_request(class)) && names_any(unit, id, STREAMS) {
                report
                    .add(
                        module,
                        function.head,
                        "streams are told apart by the id that the SDK gives them alone, which is `_GET_stream` in every session",
                    )
                    .severity(Severity::Low)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether the events that a store replays are asked whose they are.
pub(super) fn tells_owner(project: &Project, store: Cls) -> bool {
    project
        .method(store, "replay_events_after")
        .is_some_and(|fun| project.unit(fun.module).is_some_and(|unit| names_any(unit, fun.id, OWNERS)))
}

/// Words of what tells one stream from another.
const STREAMS: &[&str] = &["stream", "streams", "streamid", "channel"];

/// Words of what tells one session or party from another.
const OWNERS: &[&str] = &["session", "sessions", "sessionid", "owner", "tenant", "prefix", "user", "principal", "namespace"];

/// A query in a function that reads all that came behind a place of a table, and asks for neither stream nor owner, whatever was asked
/// before: `select id, message from events where id > ? order by id`.
fn all_later(unit: &Unit, fun: FunctionId) -> Option<ExprId> {
    let mut found = None;
    walk::function_exprs(&unit.ir, fun, &mut |expr| {
        let said = match unit.ir.expr(expr) {
            ExprKind::String(text) => Some(unit.ir.text(*text).to_owned()),
            ExprKind::Template(parts) | ExprKind::Tagged { parts, .. } => Some(
                parts
                    .iter()
                    .map(|part| match part {
                        TemplatePart::Text(text) => unit.ir.text(*text),
                        TemplatePart::Value(_) => "?",
                    })
                    .collect(),
            ),
            _ => None,
        };
        if found.is_none() && said.is_some_and(|text| reads_all_behind(&text.to_ascii_lowercase())) {
            found = Some(expr);
        }
    });
    found
}

fn reads_all_behind(text: &str) -> bool {
    let Some((head, rest)) = text.split_once("where") else { return false };
    // A table that is named by a value may be one of a stream.
    let table = head.rsplit_once("from").map_or("?", |(_, table)| table);
    // Whatever else is asked for may be the stream: `where topic_id = ? and id > ?`.
    let asked = rest.split_once("order by").map_or(rest, |(asked, _)| asked);
    head.trim_start().starts_with("select")
        && asked.contains('>')
        && !asked.replace(">=", ">").contains('=')
        && !asked.contains(" and ")
        && !table.contains(['?', '$', '{', '%'])
        && !speaks_of(asked, STREAMS)
        && !speaks_of(asked, OWNERS)
        && !speaks_of(table, &["join"])
}

/// Whether a function, or one inside of it, compares or looks up anything whose name has one of some words.
fn names_any(unit: &Unit, fun: FunctionId, words: &[&str]) -> bool {
    let mut found = false;
    let mut open = vec![fun];
    let mut done: Vec<FunctionId> = Vec::new();
    while let Some(id) = open.pop() {
        if done.len() > 32 || done.contains(&id) {
            continue;
        }
        done.push(id);
        open.extend(unit.index.inner(id));
        walk::function_exprs(&unit.ir, id, &mut |expr| found |= names(unit, expr, words));
    }
    found
}

fn names(unit: &Unit, expr: ExprId, words: &[&str]) -> bool {
    let text = match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
        ExprKind::Member { property, .. } => unit.ir.text(*property),
        ExprKind::String(text) => unit.ir.text(*text),
        ExprKind::Template(parts) => {
            return parts.iter().any(|part| matches!(part, TemplatePart::Text(text) if speaks_of(unit.ir.text(*text), words)));
        }
        _ => return false,
    };
    speaks_of(text, words)
}

fn speaks_of(text: &str, words: &[&str]) -> bool {
    vocabulary::words(text).iter().any(|word| words.contains(&word.as_str()))
}
