//! What belongs to somebody else, refused in other words than what is not there.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::Lifetimes,
    ir::{BindingId, CompareOp, ExprId, ExprKind, FunctionId, NameRef, Span, StmtId, StmtKind, TemplatePart, walk},
    project::{At, Fun, Project, Unit},
    rules::{Report, Rule, branches::absent_variable},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "foreign-told-apart",
        layer: Layer::Disclosure,
        summary: "What belongs to somebody else is refused in other words than what is not there.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "By asking for one id after the other a caller learns which ones other tenants have.",
    fix: "Give the same status and the same words for both.",
    cwe: &["CWE-204", "CWE-203"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("foreign_told_apart.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        if !project.has_owners(module) {
            continue;
        }
        for (id, function) in unit.ir.functions() {
            let fun = Fun { module, id };
            if id == FunctionId::MODULE || !lives.is_per_request(fun) {
                continue;
            }
            walk::function_exprs(&unit.ir, id, &mut |expr| {
                if let ExprKind::Conditional { then, otherwise, .. } = unit.ir.expr(expr) {
                    let (one, other) = (said(unit, *then), said(unit, *otherwise));
                    let apart = |no: &str, missing: &str| is_denied(no) && is_missing(missing) && !is_missing(no);
                    if apart(&one, &other) || apart(&other, &one) {
                        report
                            .reached(At { module, expr }, "this tells what somebody else has from what is not there")
                            .confidence(Confidence::Medium);
                    }
                }
            });
            if let Some(span) = by_status(unit, &function.body) {
                report
                    .add(module, span, "this refuses a row of somebody else in other words than one that is not there")
                    .severity(Severity::Low)
                    .confidence(Confidence::Medium);
                report.show_way_of_last(fun);
            }
        }
    }
}

/// Where a function refuses a foreign row, when it refuses one that is not there in other words.
fn by_status(unit: &Unit, body: &[StmtId]) -> Option<Span> {
    let mut missing: Vec<BindingId> = Vec::new();
    let mut found = None;
    walk::stmts_below(&unit.ir, body, &mut |stmt| {
        let StmtKind::If { test, then, .. } = unit.ir.stmt(stmt) else { return };
        let Some(words) = refusal(unit, then) else { return };
        if let Some(row) = absent_variable(unit, *test) {
            if is_missing(&words.text) {
                missing.push(row);
            }
        } else if found.is_none()
            && let Some(row) = foreign(unit, *test)
            && missing.contains(&row)
            && is_denied(&words.text)
            && !is_missing(&words.text)
        {
            found = Some(words.span);
        }
    });
    found
}

/// What a block that refuses says, and where.
struct Words {
    text: String,
    span: Span,
}

fn refusal(unit: &Unit, block: &[StmtId]) -> Option<Words> {
    let mut text = String::new();
    let mut span = None;
    walk::stmts_below(&unit.ir, block, &mut |stmt| {
        walk::parts(&unit.ir, stmt, &mut |part| {
            if let walk::Part::Expr(expr) = part {
                text.push_str(&said(unit, expr));
            }
        });
        if matches!(unit.ir.stmt(stmt), StmtKind::Return(_) | StmtKind::Throw(_) | StmtKind::Expr(_)) && span.is_none() {
            span = Some(unit.ir.stmt_span(stmt));
        }
    });
    span.map(|span| Words { text, span })
}

/// The row whose owner a condition compares with another.
fn foreign(unit: &Unit, test: ExprId) -> Option<BindingId> {
    let mut found = None;
    walk::exprs_below(&unit.ir, test, &mut |expr| {
        let ExprKind::Compare { op: CompareOp::NotEq, left, right } = unit.ir.expr(expr) else { return };
        for side in [*left, *right] {
            if let ExprKind::Member { object, property, .. } = unit.ir.expr(side)
                && vocabulary::is_owner(unit.ir.text(*property))
                && let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object)
            {
                found = found.or(Some(*id));
            }
        }
    });
    found
}

/// The texts and numbers in an expression, in lower case.
fn said(unit: &Unit, expr: ExprId) -> String {
    let mut text = String::new();
    let mut add = |part: &str| {
        text.push_str(&part.to_lowercase());
        text.push(' ');
    };
    walk::exprs_below(&unit.ir, expr, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::String(text) | ExprKind::Number(text) => add(unit.ir.text(*text)),
        ExprKind::Template(parts) => parts.iter().for_each(|part| {
            if let TemplatePart::Text(text) = part {
                add(unit.ir.text(*text));
            }
        }),
        ExprKind::Name(NameRef::Binding(id)) => add(&vocabulary::words(unit.ir.binding_name(*id)).join(" ")),
        ExprKind::Member { property, .. } => add(&vocabulary::words(unit.ir.text(*property)).join(" ")),
        _ => {}
    });
    text
}

fn is_denied(text: &str) -> bool {
    ["403", "forbidden", "may not", "not allowed", "denied", "permission", "not your", "belongs to", "not authorized", "unauthorized", "not the owner", "no access"]
        .iter()
        .any(|word| text.contains(word))
}

fn is_missing(text: &str) -> bool {
    ["404", "not found", "no such", "does not exist", "doesn't exist", "unknown", "notfound"].iter().any(|word| text.contains(word))
        || text.trim_start().starts_with("no ")
        || text.contains(" no ")
}
