//! The first session that is there, for a request that has none.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::Lifetimes,
    library::Role,
    project::Project,
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "any-session",
        layer: Layer::Routing,
        summary: "A request without a session of its own is given the first session that is there.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "A stranger's request works in the session of whoever happens to be the only one, with that one's rights.",
    fix: "Answer 404 when the session of a request is not there; a client then begins a new one.",
    cwe: &["CWE-639", "CWE-636"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("any_session.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (at, map) in project.firsts() {
        let (at, map) = (*at, *map);
        if !lives.is_per_request(project.function_of(at)) {
            continue;
        }
        let name = project.written(map).pop().unwrap_or_default();
        let holds = vocabulary::words(&name)
            .iter()
            .any(|word| matches!(word.as_str(), "session" | "sessions" | "transport" | "transports"));
        if !holds && !lives.holds(map, &[Role::Transport]) {
            continue;
        }
        let found = report.reached(at, format!("this is the first of `{name}`, whosever it is"));
        found.confidence(Confidence::Medium);
        if !project.has_owners(at.module) {
            found.severity(Severity::Medium);
        }
    }
}
