//! Checks that let through whoever has no tenant of their own, and filters that let through what has no column for it:
//! `if user.organization_id is None: return True`, `if not hasattr(model, "tenant_id"): return query`.

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{BindingId, CompareOp, ExprId, ExprKind, FunctionId, LogicalOp, NameRef, StmtId, StmtKind, walk},
    project::{At, Project, Unit},
    rules::{Report, branches::absent},
    vocabulary,
};

/// Reports checks that say yes to a caller without an owner's id, and compare it for all others.
pub(super) fn own_missing(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for (id, stmt) in unit.ir.stmts() {
            let test = match stmt {
                StmtKind::If { test, then, .. } if says_yes(unit, then) => *test,
                StmtKind::Return(Some(value))
                    if matches!(unit.ir.expr(*value), ExprKind::Logical { op: LogicalOp::Or, .. }) =>
                {
                    *value
                }
                _ => continue,
            };
            let function = unit.index.stmt_function(id);
            let missing =
                operands(unit, test).into_iter().filter_map(|part| absent(unit, part)).find(|owner| {
                    is_of_caller(project, At { module, expr: *owner })
                        && is_compared(project, unit, At { module, expr: *owner }, function)
                });
            let Some(owner) = missing.filter(|_| function != FunctionId::MODULE) else { continue };
            let at = At { module, expr: owner };
            let text = project.snippet(at).to_owned();
            report
                .reached(
                    at,
                    format!("a caller without `{text}` passes this check, whatever it is asked about"),
                )
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
        unfiltered(project, report, module, unit);
    }
}

/// Whether a block says yes and does nothing else.
fn says_yes(unit: &Unit, block: &[StmtId]) -> bool {
    match block {
        [only] => {
            matches!(unit.ir.stmt(*only), StmtKind::Return(Some(value)) if matches!(unit.ir.expr(*value), ExprKind::Bool(true)))
        }
        _ => false,
    }
}

/// The parts of a condition of which one is enough.
fn operands(unit: &Unit, test: ExprId) -> Vec<ExprId> {
    let mut found = Vec::new();
    let mut open = vec![test];
    while let Some(expr) = open.pop().filter(|_| found.len() < 8) {
        match unit.ir.expr(expr) {
            ExprKind::Logical { op: LogicalOp::Or, left, right } => open.extend([*right, *left]),
            _ => found.push(expr),
        }
    }
    found
}

/// Whether a value is the tenant of who calls, by its name: `user.organization_id`, `principal.tenantId`.
fn is_of_caller(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(at.expr) else { return false };
    let of = project.written(at.to(*object)).pop().unwrap_or_default();
    vocabulary::is_tenant(unit.ir.text(*property))
        && (vocabulary::is_principal(&of) || vocabulary::is_user(&of))
}

/// Whether a function compares a value with what may be another party, and gives what comes out.
fn is_compared(project: &Project, unit: &Unit, at: At, function: FunctionId) -> bool {
    let text = project.snippet(at);
    let mut found = false;
    walk::function_exprs(&unit.ir, function, &mut |expr| {
        if let ExprKind::Compare { op: CompareOp::Eq | CompareOp::NotEq, left, right } = unit.ir.expr(expr) {
            let own = |side: ExprId| project.snippet(at.to(side)) == text;
            let other = if own(*left) { *right } else { *left };
            let party = project
                .written(at.to(other))
                .last()
                .is_some_and(|name| vocabulary::is_owner(name) || vocabulary::is_principal(name));
            found |= own(*left) != own(*right) && party;
        }
    });
    found
}

/// Reports filters for one tenant that give what they were given as it is for a table without a column for the tenant.
fn unfiltered(project: &Project, report: &mut Report<'_>, module: crate::project::ModuleId, unit: &Unit) {
    if !unit.ir.has_name(&["hasattr"]) {
        return;
    }
    for (id, function) in unit.ir.functions() {
        if id == FunctionId::MODULE {
            continue;
        }
        let params: Vec<BindingId> =
            function.params.iter().filter_map(|own| own.pattern.as_binding()).collect();
        let mut asked = None;
        walk::function_exprs(&unit.ir, id, &mut |expr| {
            if asked.is_none() && asks_for_column(unit, expr, &params) {
                asked = Some(expr);
            }
        });
        let Some(asked) = asked else { continue };
        // What is given as it came, and what it is when it is narrowed down.
        let given = unit.index.returns(id).iter().find_map(|value| match unit.ir.expr(*value) {
            ExprKind::Name(NameRef::Binding(own))
                if params.contains(own) && unit.index.sources(*own).is_empty() =>
            {
                Some((*value, *own))
            }
            _ => None,
        });
        let Some((value, query)) = given else { continue };
        let narrows = unit.index.returns(id).iter().any(|other| narrows(unit, *other, query));
        if narrows {
            report
                .reached(
                    At { module, expr: value },
                    format!(
                        "`{}` is given as it is, for all tenants, where `{}` does not hold",
                        unit.ir.binding_name(query),
                        project.snippet(At { module, expr: asked })
                    ),
                )
                .severity(Severity::Low)
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether an expression asks whether a parameter has a field for the tenant: `hasattr(model, "organization_id")`.
fn asks_for_column(unit: &Unit, expr: ExprId, params: &[BindingId]) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(expr) else { return false };
    let named = matches!(unit.ir.expr(call.callee), ExprKind::Name(NameRef::Global(name)) if unit.ir.text(*name) == "hasattr");
    let of_parameter = call.positional(0).is_some_and(
        |of| matches!(unit.ir.expr(of), ExprKind::Name(NameRef::Binding(id)) if params.contains(id)),
    );
    let column = call.positional(1).is_some_and(|name| matches!(unit.ir.expr(name), ExprKind::String(text) if vocabulary::is_tenant(unit.ir.text(*text))));
    named && of_parameter && column
}

/// Whether a value is a query with a condition about the tenant added: `query.where(model.tenant_id == tenant)`.
fn narrows(unit: &Unit, value: ExprId, query: BindingId) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(value) else { return false };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return false };
    let of_query = matches!(unit.ir.expr(*object), ExprKind::Name(NameRef::Binding(id)) if *id == query);
    let mut tenant = false;
    for arg in &call.args {
        tenant |= matches!(arg.kind, crate::ir::ArgKind::Keyword(name) if vocabulary::is_tenant(unit.ir.text(name)));
        walk::exprs_below(&unit.ir, arg.value, &mut |expr| {
            tenant |= matches!(unit.ir.expr(expr), ExprKind::Member { property, .. } if vocabulary::is_tenant(unit.ir.text(*property)));
        });
    }
    of_query && tenant && matches!(unit.ir.text(*property), "where" | "filter" | "filter_by")
}
