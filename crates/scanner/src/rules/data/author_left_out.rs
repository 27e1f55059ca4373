//! A change of a user's own thing without the user, where the other changes name the user.

use std::collections::{BTreeMap, BTreeSet};

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use super::{
    callers::{is_caller, own_code},
    wheres::wheres,
};
use crate::{
    flow::Query,
    ir::{ExprKind, walk},
    lang::sql::Verb,
    project::{At, Fun, Project},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "author-left-out",
        layer: Layer::Data,
        summary: "Another change of the same rows names the user whose they are; this one only names the tenant.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "Every member of the tenant changes or deletes what another one wrote.",
    fix: "Name the caller in the condition as the other query does, or ask for a role that may change what others wrote.",
    cwe: &["CWE-639", "CWE-863"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021"],
    markdown: include_str!("author_left_out.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    let handlers: BTreeSet<Fun> = project.entries().iter().filter(|entry| !project.is_operators(entry)).map(|entry| entry.handler).collect();
    let mut of: BTreeMap<&str, (usize, Vec<&Query>)> = BTreeMap::new();
    for query in project.queries() {
        if query.is_sql || !matches!(query.verb, Verb::Delete | Verb::Update) {
            continue;
        }
        let around = project.around(query.function);
        if !around.iter().any(|fun| handlers.contains(fun)) {
            continue;
        }
        let tests = wheres(project, query.at);
        if !tests.iter().any(|(name, _)| name == "id") {
            continue;
        }
        let (named, open) = of.entry(query.entity.as_str()).or_default();
        if tests.iter().any(|(name, value)| vocabulary::is_user(name) && is_caller(project, *value)) {
            *named += 1;
        } else if is_open(project, query, &tests) {
            open.push(query);
        }
    }
    for (named, open) in of.values() {
        if open.len() > *named {
            continue;
        }
        for query in open {
            let text = format!("another change of `{}` names the user whose it is, this one does not", query.shown);
            report.reached(query.at, text).confidence(Confidence::Medium);
        }
    }
}

/// Whether a change names a row by an id of the request and something else, but no user, and nothing in its function looks who it
/// is.
fn is_open(project: &Project, query: &Query, tests: &[(String, At)]) -> bool {
    let user = |name: &str| vocabulary::is_user(name);
    let chosen = tests.iter().any(|(name, value)| name == "id" && project.origins(*value).is_chosen() && !project.is_checked(*value));
    let scoped = tests.iter().any(|(name, value)| name != "id" && !project.is_fixed(*value));
    if tests.iter().any(|(name, _)| user(name)) || !chosen || !scoped {
        return false;
    }
    let around = project.around(query.function);
    let fun = around.into_iter().take_while(|fun| fun.id != crate::ir::FunctionId::MODULE).last().unwrap_or(query.function);
    let compared = project.guards(fun).iter().any(|guard| {
        let said = |side: At| project.written(side).last().is_some_and(|name| user(name) || name == "role");
        said(guard.left) || said(guard.right)
    });
    let Some(unit) = project.unit(fun.module) else { return false };
    let mut checked = false;
    for here in own_code(project, fun) {
        walk::function_exprs(&unit.ir, here.id, &mut |expr| {
            let at = At { module: fun.module, expr };
            checked |= match unit.ir.expr(expr) {
                ExprKind::Call(_) => {
                    let name = project.written(at).pop().unwrap_or_default();
                    let words = vocabulary::words(&name);
                    words.iter().any(|word| matches!(word.as_str(), "role" | "permission" | "permissions" | "admin" | "authorize" | "access"))
                }
                ExprKind::Compare { left, right, .. } => [left, right].into_iter().any(|side| {
                    project.written(at.to(*side)).last().is_some_and(|name| user(name) || matches!(name.as_str(), "role" | "isAdmin"))
                }),
                _ => false,
            };
        });
    }
    !compared && !checked
}
