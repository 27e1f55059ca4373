//! A choice between the owner's rows and everybody's by whether an owner is given: `tenantId ? query("… AND tenant_id = $2") : query("…")`,
//! and texts of conditions that are there only then: `orgId ? " AND org_id = $2" : ""`.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Query, Scope},
    ir::{CompareOp, ExprId, ExprKind, FunctionId, Kinds, NameRef, StmtKind, TemplatePart, walk},
    lang::sql::Verb,
    project::{At, Fun, ModuleId, Project, Unit},
    rules::{Report, branches::absent},
    vocabulary,
};

/// Reports the arm that reads everybody's.
pub(super) fn optional_arms(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        if unit.ir.path.contains("admin") || unit.ir.path.contains("migration") {
            continue;
        }
        for (expr, kind) in unit.ir.exprs_of(Kinds::CHOICE) {
            let ExprKind::Conditional { test, then, otherwise } = kind else { continue };
            let Some(asked) = owner_asked(unit, *test) else { continue };
            let at = At { module, expr };
            let fun = project.function_of(at);
            if fun.id == FunctionId::MODULE || is_refused_without(project, unit, fun, asked, expr) {
                continue;
            }
            if is_condition(unit, *then) && is_nothing(unit, *otherwise) {
                report
                    .reached(at, "the owner is tested for only when one is given")
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            } else if let Some(open) = open_arm(project, unit, module, *then, *otherwise) {
                report
                    .reached(
                        open.at,
                        format!("this query of `{}` tests for the owner only when one is given", open.shown),
                    )
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// What a condition asks for, when that is the id of a tenant or user: `tenantId`, `this.orgId`, `org is not None`.
fn owner_asked(unit: &Unit, test: ExprId) -> Option<&str> {
    let asked = match unit.ir.expr(test) {
        ExprKind::Compare { op: CompareOp::NotEq, left, right }
            if matches!(unit.ir.expr(*right), ExprKind::Null) =>
        {
            *left
        }
        _ => test,
    };
    let name = name_of(unit, asked)?;
    vocabulary::is_owner(name).then_some(name)
}

fn name_of(unit: &Unit, expr: ExprId) -> Option<&str> {
    match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) => Some(unit.ir.binding_name(*id)),
        ExprKind::Member { property, .. } => Some(unit.ir.text(*property)),
        _ => None,
    }
}

/// Whether a function refuses whoever gives none before: `if (!orgId) throw …`.
fn is_refused_without(project: &Project, unit: &Unit, fun: Fun, asked: &str, before: ExprId) -> bool {
    let Some(function) = unit.ir.function(fun.id) else { return true };
    let mut found = false;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        if let StmtKind::If { test, then, .. } = unit.ir.stmt(stmt)
            && unit.index.order(*test) < unit.index.order(before)
            && absent(unit, *test).and_then(|own| name_of(unit, own)) == Some(asked)
        {
            found |= project.always_leaves(unit, fun, then);
        }
    });
    found
}

/// Whether a text is a part of a condition that compares an owner's column: ` AND org_id = $2`.
fn is_condition(unit: &Unit, expr: ExprId) -> bool {
    let mut text = String::new();
    match unit.ir.expr(expr) {
        ExprKind::String(own) => text.push_str(unit.ir.text(*own)),
        ExprKind::Template(parts) => {
            for part in parts {
                if let TemplatePart::Text(own) = part {
                    text.push_str(unit.ir.text(*own));
                }
            }
        }
        _ => return false,
    }
    let lower = text.to_lowercase();
    let begins = lower.trim_start().starts_with("and ") || lower.trim_start().starts_with("where ");
    let column = lower
        .split(['=', ' ', '.', '(', '"', '`'])
        .any(|word| word.ends_with("_id") && vocabulary::is_owner(word));
    begins && column && lower.contains('=')
}

fn is_nothing(unit: &Unit, expr: ExprId) -> bool {
    match unit.ir.expr(expr) {
        ExprKind::String(text) => unit.ir.text(*text).trim().is_empty(),
        ExprKind::Null => true,
        _ => false,
    }
}

/// The query of the arm without an owner, where the other arm asks for the same rows with one.
fn open_arm<'p>(
    project: &'p Project,
    unit: &Unit,
    module: ModuleId,
    then: ExprId,
    otherwise: ExprId,
) -> Option<&'p Query> {
    let within = |expr: ExprId| {
        let span = unit.ir.span(expr);
        project
            .queries()
            .iter()
            .filter(move |query| query.at.module == module && span.contains(unit.ir.span(query.at.expr)))
    };
    let own = within(then).find(|query| query.scope == Scope::Owner)?;
    within(otherwise)
        .find(|query| query.scope != Scope::Owner && query.entity == own.entity && query.verb != Verb::Insert)
}
