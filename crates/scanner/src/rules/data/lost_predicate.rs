//! Conditions of a query that are joined with an operator of the language.

use partywall_model::{Axis, Check, Layer, Severity};

use crate::{
    ir::{CompareOp, ExprId, ExprKind, Language, LogicalOp, NameRef},
    project::{At, ModuleId, Project, Unit},
    rules::{Report, Rule},
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "lost-predicate",
        layer: Layer::Data,
        summary: "Conditions of a query are joined with an operator of the language, which keeps one of them only.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "The operator looks at whether the first condition is an object, which it always is, and gives the other one: the query \
          does not ask for the owner.",
    fix: "Join conditions with the library's own function.",
    cwe: &["CWE-480", "CWE-863"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("lost_predicate.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    let likely = project.calls_named(|name| matches!(name, "where" | "filter" | "having" | "filter_by" | "andWhere"));
    for (module, unit) in project.units() {
        for call in likely.among(module) {
            let ExprKind::Call(expr) = unit.ir.expr(*call) else { continue };
            let ExprKind::Member { property, .. } = unit.ir.expr(expr.callee) else { continue };
            if !matches!(unit.ir.text(*property), "where" | "filter" | "having" | "filter_by" | "andWhere") {
                continue;
            }
            for arg in &expr.args {
                let ExprKind::Logical { op: LogicalOp::And | LogicalOp::Or, left, right } = unit.ir.expr(arg.value) else { continue };
                if is_condition(project, module, *left) && is_condition(project, module, *right) {
                    report
                        .reached(At { module, expr: arg.value }, "only one of these conditions becomes a part of the query")
                        .severity(Severity::High);
                }
            }
        }
    }
}

/// Whether an expression is a condition of a query builder: `Model.column == value`, `eq(table.column, value)`,
/// `Model.column.is_(None)`.
fn is_condition(project: &Project, module: ModuleId, expr: ExprId) -> bool {
    let Some(unit) = project.unit(module) else { return false };
    match unit.ir.expr(expr) {
        ExprKind::Compare { op: CompareOp::Eq | CompareOp::NotEq | CompareOp::Order, left, .. } => {
            unit.ir.language == Language::Python && is_column(unit, *left)
        }
        ExprKind::Call(call) => match unit.ir.expr(call.callee) {
            ExprKind::Name(NameRef::Binding(_)) => {
                let name = project.callee(At { module, expr }).map_or("", |callee| callee.name());
                unit.ir.language == Language::JavaScript
                    && matches!(name, "eq" | "ne" | "inArray" | "isNull" | "isNotNull" | "like" | "gt" | "lt" | "gte" | "lte" | "and" | "or")
            }
            ExprKind::Member { object, property, .. } => {
                matches!(unit.ir.text(*property), "is_" | "in_" | "like" | "ilike" | "isnot" | "is_not" | "contains") && is_column(unit, *object)
            }
            _ => false,
        },
        ExprKind::Logical { left, right, .. } => is_condition(project, module, *left) && is_condition(project, module, *right),
        _ => false,
    }
}

/// Whether an expression is a column of a model: `Model.column`.
fn is_column(unit: &Unit, expr: ExprId) -> bool {
    let ExprKind::Member { object, .. } = unit.ir.expr(expr) else { return false };
    match unit.ir.expr(*object) {
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id).chars().next().is_some_and(char::is_uppercase),
        ExprKind::Member { property, .. } => {
            let name = unit.ir.text(*property);
            name == "c" || name.chars().next().is_some_and(char::is_uppercase)
        }
        _ => false,
    }
}
