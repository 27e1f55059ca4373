//! A query that names the owner only when one is given.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::Scope,
    lang::sql::Verb,
    project::Project,
    rules::{Report, Rule},
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "optional-owner-filter",
        layer: Layer::Data,
        summary: "A query tests for the owner of rows only when one is given; without one it reads everybody's.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "A caller that leaves the value out, or a place that forgets it, gets the rows of all tenants.",
    fix: "Make the owner required, and refuse when there is none.",
    cwe: &["CWE-639", "CWE-862"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("optional_owner_filter.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    super::no_owner::no_owner(project, report);
    super::left_to_choice::left_to_choice(project, report);
    super::optional_arms::optional_arms(project, report);
    for query in project.queries() {
        if query.scope != Scope::Optional || query.verb == Verb::Insert {
            continue;
        }
        let path = project.unit(query.at.module).map_or("", |unit| unit.ir.path.as_str());
        if path.contains("admin") || path.contains("migration") {
            continue;
        }
        let message = format!("this query of `{}` tests for the owner only when one is given", query.shown);
        report.reached(query.at, message).severity(Severity::Medium).confidence(Confidence::Medium);
    }
}
