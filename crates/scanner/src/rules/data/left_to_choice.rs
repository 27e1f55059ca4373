//! Calls that leave the tenant out of the one record of conditions that they give, where it is known and the function reads everybody's rows
//! without it: `findOrders({ since })` beside `if (orgId) query = query.where("org_id", "=", orgId)`.

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{
        ArgKind, BindingId, Call, ExprId, ExprKind, FunctionId, LogicalOp, NameRef, PropertyKey, StmtKind,
        walk,
    },
    project::{At, Fun, Project, Step, Unit},
    rules::Report,
    vocabulary,
};

/// Reports such calls.
pub(super) fn left_to_choice(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for (id, function) in unit.ir.functions() {
            let fun = Fun { module, id };
            if id == FunctionId::MODULE || project.entry(fun).is_some() {
                continue;
            }
            let mut own: Vec<BindingId> = Vec::new();
            function
                .params
                .iter()
                .for_each(|parameter| parameter.pattern.for_each_binding(&mut |binding| own.push(binding)));
            for binding in own {
                let Some((_, number, path)) = project.parameter_of(module, binding) else { continue };
                let [Step::Key(key)] = path.as_slice() else { continue };
                let key = unit.ir.text(*key);
                if !vocabulary::is_tenant(key) || !narrows_when_given(unit, fun, binding) {
                    continue;
                }
                for call in project.callers(fun).iter().take(32) {
                    judge(project, report, *call, fun, number, key);
                }
            }
        }
    }
}

fn judge(project: &Project, report: &mut Report<'_>, call: At, fun: Fun, number: usize, key: &str) {
    let Some(unit) = project.unit(call.module) else { return };
    let ExprKind::Call(written) = unit.ir.expr(call.expr) else { return };
    let Some(given) = project.argument(call, fun, number).filter(|given| given.module == call.module) else {
        return;
    };
    let ExprKind::Object(properties) = unit.ir.expr(given.expr) else { return };
    let says = properties.iter().any(|own| match own.key {
        PropertyKey::Name(name) => unit.ir.text(name) == key || vocabulary::is_owner(unit.ir.text(name)),
        // What is spread may have it.
        PropertyKey::Computed(_) | PropertyKey::Spread => true,
    });
    let path = unit.ir.path.as_str();
    if says || path.contains("admin") || is_spread(written) || !knows(project, unit, call, key) {
        return;
    }
    report
        .reached(
            call,
            format!("`{key}` is left out here, where it is known, and so the rows of all are read"),
        )
        .severity(Severity::Medium)
        .confidence(Confidence::Medium);
}

fn is_spread(call: &Call) -> bool {
    call.args.iter().any(|arg| matches!(arg.kind, ArgKind::Spread | ArgKind::KeywordSpread))
}

/// Whether a function does something to a query only where a value is given, and goes on without it: `if (orgId) query = query.where(…, orgId)`.
fn narrows_when_given(unit: &Unit, fun: Fun, id: BindingId) -> bool {
    let Some(function) = unit.ir.function(fun.id) else { return false };
    let mut found = false;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        let StmtKind::If { test, then, otherwise } = unit.ir.stmt(stmt) else { return };
        if !otherwise.is_empty() || !is_presence(unit, *test, id) {
            return;
        }
        walk::stmts_below(&unit.ir, then, &mut |inner| {
            walk::parts(&unit.ir, inner, &mut |part| {
                if let walk::Part::Expr(root) = part {
                    walk::exprs_below(&unit.ir, root, &mut |expr| found |= is_condition(unit, expr, id));
                }
            });
        });
    });
    found
}

fn is_presence(unit: &Unit, test: ExprId, id: BindingId) -> bool {
    let is_it =
        |expr: ExprId| matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(own)) if *own == id);
    match unit.ir.expr(test) {
        ExprKind::Compare { op: crate::ir::CompareOp::NotEq, left, right } => {
            is_it(*left) && matches!(unit.ir.expr(*right), ExprKind::Null)
        }
        ExprKind::Logical { op: LogicalOp::And, left, .. } => is_it(*left),
        _ => is_it(test),
    }
}

/// Whether a call puts a value among the conditions of a query: `query.where("org_id", "=", orgId)`, `conditions.push(eq(rows.orgId, orgId))`.
fn is_condition(unit: &Unit, expr: ExprId, id: BindingId) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(expr) else { return false };
    let ExprKind::Member { property, .. } = unit.ir.expr(call.callee) else { return false };
    if !matches!(
        unit.ir.text(*property),
        "where" | "andWhere" | "eq" | "filter" | "filter_by" | "push" | "append" | "equals"
    ) {
        return false;
    }
    let mut found = false;
    for arg in &call.args {
        walk::exprs_below(&unit.ir, arg.value, &mut |below| {
            found |= matches!(unit.ir.expr(below), ExprKind::Name(NameRef::Binding(own)) if *own == id);
        });
    }
    found
}

/// Whether a function, or one around it, has the tenant at hand under the same name: a variable or parameter, or a part of something.
fn knows(project: &Project, unit: &Unit, call: At, key: &str) -> bool {
    let words = vocabulary::words(key);
    let same = |name: &str| name == key || vocabulary::words(name) == words;
    project.around(project.function_of(call)).into_iter().filter(|fun| fun.id != FunctionId::MODULE).any(
        |fun| {
            let mut found = false;
            walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
                found |= match unit.ir.expr(expr) {
                    ExprKind::Member { property, .. } => same(unit.ir.text(*property)),
                    ExprKind::Name(NameRef::Binding(id)) => {
                        same(unit.ir.binding_name(*id)) && !unit.ir.is_module_level(*id)
                    }
                    _ => false,
                };
            });
            found
        },
    )
}
