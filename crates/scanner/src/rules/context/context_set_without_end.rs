//! A context that is set from here on.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::Lifetimes,
    library::Role,
    project::{At, Project},
    rules::{Report, Rule},
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "context-set-without-end",
        layer: Layer::Context,
        summary: "The request's context is set from here on, and not for the run of a function.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "`enterWith` changes the context of everything that runs on from here, also of what the same connection or listener \
          does next, and nothing takes it back.",
    fix: "Use `run(value, function)`: the value is there inside of the function and nowhere else.",
    cwe: &["CWE-488", "CWE-664"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("context_set_without_end.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    let asked = project.calls_with(Role::ContextSet);
    for (module, unit) in project.units() {
        for expr in &unit.index.calls {
            let at = At { module, expr: *expr };
            if !project.is_one_of(&asked, at) {
                continue;
            }
            let Some(callee) = project.callee(at) else { continue };
            if !matches!(callee.name(), "enterWith" | "enter") {
                continue;
            }
            let found = report.reached(at, "the context is set from here on, for whatever runs next as well");
            if !lives.is_per_request(project.function_of(at)) {
                found.confidence(Confidence::Low).severity(Severity::Low);
            }
        }
    }
}
