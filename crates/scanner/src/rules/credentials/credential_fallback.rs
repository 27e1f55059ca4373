//! The server's own credential for callers who bring none.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{ExprId, ExprKind, LogicalOp, walk},
    project::{At, Project},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "credential-fallback",
        layer: Layer::Credentials,
        summary: "A caller who brings no credential gets the server's own out of the environment.",
    },
    severity: Severity::High,
    axis: Axis::Credentials,
    why: "Whoever leaves the credential out acts with the operator's rights, which reach further than any tenant's.",
    fix: "Refuse a request without a credential of its caller. Take the environment's only where the transport is stdio.",
    cwe: &["CWE-636", "CWE-269"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021", "A07:2021"],
    markdown: include_str!("credential_fallback.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        for (expr, kind) in unit.ir.exprs() {
            let (own, other) = match kind {
                ExprKind::Logical { op: LogicalOp::Or | LogicalOp::Nullish, left, right } => (*left, *right),
                ExprKind::Conditional { then, otherwise, .. } => (*then, *otherwise),
                _ => continue,
            };
            let at = At { module, expr };
            if !lives.is_per_request(project.function_of(at)) || !names_credential(project, at.to(other)) {
                continue;
            }
            let mine = project.origins(at.to(own));
            let fixed = project.origins(at.to(other));
            let callers = Origins::SECRET | Origins::PRINCIPAL | Origins::UNVERIFIED | Origins::INPUT;
            if !mine.has(callers)
                || mine.has(Origins::ENV)
                || !fixed.has(Origins::ENV)
                || fixed.is_of_request()
            {
                continue;
            }
            let found =
                report.reached(at, "a caller without a credential gets the one of the process's environment");
            if !project.has_owners(module) {
                found.severity(Severity::Medium).confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether a value is named like a credential, or made of what is.
fn names_credential(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let mut named = false;
    let mut see = |expr: ExprId| {
        let name = match unit.ir.expr(expr) {
            ExprKind::Member { property, .. } => unit.ir.text(*property),
            ExprKind::String(text) => unit.ir.text(*text),
            ExprKind::Name(crate::ir::NameRef::Binding(id)) => unit.ir.binding_name(*id),
            _ => return,
        };
        named |= vocabulary::is_credential(name);
    };
    walk::exprs_below(&unit.ir, at.expr, &mut see);
    named
}
