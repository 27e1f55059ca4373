//! A limit that is counted by what a caller can make up.

use partywall_model::{Axis, Check, Layer, Severity};

use crate::{
    flow::Origins,
    library::Role,
    project::{At, Project},
    rules::{Report, Rule},
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "limit-by-chosen-key",
        layer: Layer::Capacity,
        summary: "A limit is counted by a key that callers choose, or by one key for all.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "With a key that it makes up a caller has no limit and may use up another's; with one for all, one caller uses up everybody's.",
    fix: "Count by the verified tenant.",
    cwe: &["CWE-770", "CWE-807"],
    soc2: &["A1.1", "CC6.1"],
    owasp: &["A04:2021"],
    markdown: include_str!("spoofable_limit.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    let asked = project.calls_with(Role::Limit);
    for (module, _) in project.units() {
        for call in asked.among(module) {
            let at = At { module, expr: *call };
            let Some(callee) = project.callee(at) else { continue };
            for def in callee.defs.iter().filter(|def| def.role == Role::Limit) {
                let Some(place) = &def.key else { continue };
                for key in project.at_place(at, place) {
                    let origins = project.origins(key);
                    if origins.has_owner() {
                        continue;
                    }
                    if project.is_fixed(key) {
                        report.reached(at, "one limit counts all callers together");
                    } else if origins.has(Origins::UNVERIFIED | Origins::INPUT | Origins::SESSION) {
                        report.reached(at, "this limit is counted by a key that the caller chooses");
                    }
                }
            }
        }
    }
}
