//! Events that are replayed whoever's stream they were on.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::Lifetimes,
    ir::{ExprId, ExprKind, FunctionId, NameRef, TemplatePart, walk},
    project::{Fun, Project, Unit},
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
    for (module, unit) in project.units() {
        for (id, function) in unit.ir.functions() {
            let named = function.name.map(|name| unit.ir.text(name));
            if !matches!(named, Some("replayEventsAfter" | "replay_events_after" | "replayEvents" | "replay_events")) {
                continue;
            }
            // A store that is made anew for each session has nobody else's events.
            let class = project.this_of(Fun { module, id });
            if class.is_some_and(|class| lives.outlives(class) == Some(false)) {
                continue;
            }
            // A declaration without a body, or one that asks another store.
            if function.body.len() < 2 || tells_streams_apart(unit, id) {
                continue;
            }
            report
                .add(module, function.head, "events are replayed here whoever's stream they were on")
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether a function, or one inside of it, compares or looks up anything that is named for a stream, a session or an owner.
fn tells_streams_apart(unit: &Unit, fun: FunctionId) -> bool {
    let mut found = false;
    let mut open = vec![fun];
    let mut done: Vec<FunctionId> = Vec::new();
    while let Some(id) = open.pop() {
        if done.len() > 32 || done.contains(&id) {
            continue;
        }
        done.push(id);
        open.extend(unit.index.inner(id));
        walk::function_exprs(&unit.ir, id, &mut |expr| found |= names_stream(unit, expr));
    }
    found
}

fn names_stream(unit: &Unit, expr: ExprId) -> bool {
    let text = match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
        ExprKind::Member { property, .. } => unit.ir.text(*property),
        ExprKind::String(text) => unit.ir.text(*text),
        ExprKind::Template(parts) => {
            return parts.iter().any(|part| matches!(part, TemplatePart::Text(text) if speaks_of(unit.ir.text(*text))));
        }
        _ => return false,
    };
    speaks_of(text)
}

fn speaks_of(text: &str) -> bool {
    vocabulary::words(text).iter().any(|word| {
        matches!(word.as_str(), "stream" | "streams" | "streamid" | "session" | "sessions" | "sessionid" | "owner" | "tenant" | "prefix" | "channel")
    })
}
