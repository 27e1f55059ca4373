//! A check that is made only for callers who say who they are.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{CompareOp, ExprId, ExprKind, LogicalOp, StmtId, StmtKind, walk},
    project::{At, Fun, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "skipped-check",
        layer: Layer::Context,
        summary: "Ownership is checked only when the caller has an identity; without one the request goes on.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "A caller without the claim skips the comparison and gets what the check was to protect.",
    fix: "Refuse when the claim is missing, then compare.",
    cwe: &["CWE-636", "CWE-863"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021"],
    markdown: include_str!("skipped_check.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        for (id, stmt) in unit.ir.stmts() {
            let StmtKind::If { test, then, otherwise } = stmt else { continue };
            if !otherwise.is_empty() {
                continue;
            }
            let fun = Fun { module, id: unit.index.stmt_function(id) };
            let (asked, compared) = match unit.ir.expr(*test) {
                // `if (caller && record.owner !== caller) refuse`
                ExprKind::Logical { op: LogicalOp::And, left, right } if refuses(unit, then) => (*left, *right),
                // `if (caller) { if (record.owner !== caller) refuse }`
                ExprKind::Name(_) | ExprKind::Member { .. } => match then.as_ref() {
                    [inner] => match unit.ir.stmt(*inner) {
                        StmtKind::If { test: compared, then, .. } if refuses(unit, then) => (*test, *compared),
                        _ => continue,
                    },
                    _ => continue,
                },
                _ => continue,
            };
            let asked = presence(unit, asked);
            let Some(asked) = asked else { continue };
            let ExprKind::Compare { op: CompareOp::NotEq, left, right } = unit.ir.expr(compared) else { continue };
            let at = |expr: ExprId| At { module, expr };
            let text = project.snippet(at(asked)).replace("?.", ".");
            let same = |side: ExprId| {
                let side = project.snippet(at(side)).replace("?.", ".");
                side == text || side.strip_prefix(text.as_str()).is_some_and(|rest| rest.starts_with('.'))
            };
            let other = if same(*left) {
                *right
            } else if same(*right) {
                *left
            } else {
                continue;
            };
            if !is_caller(project, at(asked)) || !is_party(project, at(other)) || refused_before(project, unit, fun, id, &text) {
                continue;
            }
            let found = report.reached(at(compared), format!("this is compared only when there is `{text}`; a caller without it goes on"));
            found.confidence(Confidence::Medium);
            if lives.is_per_request(fun) && project.origins(at(asked)).has(Origins::PRINCIPAL) {
                found.severity(Severity::Medium);
            } else {
                found.severity(Severity::Low);
            }
        }
    }
}

fn presence(unit: &Unit, test: ExprId) -> Option<ExprId> {
    match unit.ir.expr(test) {
        ExprKind::Name(_) | ExprKind::Member { .. } => Some(test),
        ExprKind::Compare { op: CompareOp::NotEq, left, right } if matches!(unit.ir.expr(*right), ExprKind::Null) => Some(*left),
        _ => None,
    }
}

fn is_caller(project: &Project, at: At) -> bool {
    let name = project.written(at).pop().unwrap_or_default();
    let origins = project.origins(at);
    origins.has(Origins::PRINCIPAL)
        || (origins.has(Origins::OWNER | Origins::UNKNOWN)
            && (vocabulary::is_owner(&name) || vocabulary::is_principal(&name))
            && !origins.has(Origins::INPUT))
}

fn is_party(project: &Project, at: At) -> bool {
    let name = project.written(at).pop().unwrap_or_default();
    vocabulary::is_owner(&name) || vocabulary::is_principal(&name) || project.origins(at).has_owner()
}

/// Whether a block throws, or answers that it will not.
fn refuses(unit: &Unit, block: &[StmtId]) -> bool {
    let mut found = false;
    walk::stmts_below(&unit.ir, block, &mut |stmt| {
        found |= matches!(unit.ir.stmt(stmt), StmtKind::Throw(_) | StmtKind::Return(_));
    });
    found
}

/// Whether the function has refused callers without it before.
fn refused_before(project: &Project, unit: &Unit, fun: Fun, before: StmtId, text: &str) -> bool {
    let Some(function) = unit.ir.function(fun.id) else { return false };
    let order = unit.index.stmt_order(before);
    let mut found = false;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        if let StmtKind::If { test, then, .. } = unit.ir.stmt(stmt)
            && unit.index.stmt_order(stmt) != order
            && refuses(unit, then)
        {
            walk::exprs_below(&unit.ir, *test, &mut |expr| {
                if let ExprKind::Unary { operand, .. } = unit.ir.expr(expr) {
                    let asked = project.snippet(At { module: fun.module, expr: *operand }).replace("?.", ".");
                    found |= asked == text || text.starts_with(&format!("{asked}."));
                }
            });
        }
    });
    found
}
