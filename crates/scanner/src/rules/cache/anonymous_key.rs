//! A written-out word in a key, in the place of a caller of whom nothing is known.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::Origins,
    ir::{ExprKind, StmtKind},
    project::{At, Fun, Parent, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "anonymous-key",
        layer: Layer::Cache,
        summary: "Callers of whom nothing is known share one entry of a cache or pool.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "Whoever comes without what tells callers apart, by mistake or on purpose, gets what others of the kind have left there: an \
          answer, a connection with its state and its rights.",
    fix: "Do not cache or pool for callers of whom nothing is known, or refuse them.",
    cwe: &["CWE-524", "CWE-636"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("anonymous_key.md"),
    run,
};

/// Words that stand for a caller of whom nothing is known.
const NOBODY: &[&str] = &["anonymous", "anon", "default", "shared", "global", "public", "guest", "nobody"];

fn run(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for (id, function) in unit.ir.functions() {
            let fun = Fun { module, id };
            let Some(name) = function.name.map(|name| unit.ir.text(name)) else { continue };
            if !tells_owner(name) || !project.has_owners(module) {
                continue;
            }
            let returns = unit.index.returns(id);
            let differs = returns.iter().any(|expr| {
                let at = At { module, expr: *expr };
                !project.is_fixed(at) && project.origins(at) != Origins::NONE
            });
            if !differs || !goes_into_key(project, fun) {
                continue;
            }
            for expr in returns {
                if matches!(unit.ir.expr(*expr), ExprKind::String(text) if NOBODY.contains(&unit.ir.text(*text))) {
                    report
                        .at(At { module, expr: *expr }, "callers of whom nothing is known share the entry under this key")
                        .confidence(Confidence::Medium);
                }
            }
        }
    }
}

/// Whether a function's name says that it gives whose something is.
fn tells_owner(name: &str) -> bool {
    vocabulary::words(name).iter().any(|word| {
        matches!(word.as_str(), "identity" | "principal" | "owner" | "tenant" | "caller" | "user" | "scope" | "org" | "subject")
    })
}

/// Whether what a function gives becomes a part of a key: of a map, or of what a function named for keys returns.
fn goes_into_key(project: &Project, fun: Fun) -> bool {
    let named = |fun: Fun| vocabulary::words(project.function_name(fun)).iter().any(|word| word == "key");
    project.callers(fun).iter().take(16).any(|call| {
        let Some(unit) = project.unit(call.module) else { return false };
        named(project.function_of(*call)) || keyed(project, unit, *call)
    })
}

/// Whether a call is a part of a variable that is named for a key, or of the key of a store.
fn keyed(project: &Project, unit: &Unit, call: At) -> bool {
    let Some(stmt) = unit.index.stmt_of(call.expr) else { return false };
    let variable = match unit.ir.stmt(stmt) {
        StmtKind::Assign { target, .. } => {
            target.as_binding().is_some_and(|id| vocabulary::words(unit.ir.binding_name(id)).iter().any(|word| word == "key"))
        }
        _ => false,
    };
    let mut here = call.expr;
    let mut direct = false;
    for _ in 0..4 {
        let Parent::Expr(up) = unit.index.parent(here) else { break };
        direct |= match unit.ir.expr(up) {
            ExprKind::Index { object, index, .. } => *index == here && project.store(call.to(*object)).is_some(),
            _ => false,
        };
        here = up;
    }
    variable || direct
}
