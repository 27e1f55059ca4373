//! Functions that say for whom a call works, and believe a tenant that the call names where it is another than the verified caller's:
//! `if (wanted && wanted !== home) return { userId, tenantId: wanted }`, and behind it `return { userId, tenantId: home }`.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Lifetimes,
    ir::{BindingId, ExprId, ExprKind, FunctionId, NameRef, PropertyKey, StmtId, StmtKind, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Reports the branch in which the other tenant is taken.
pub(super) fn other_scope(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        for (id, function) in unit.ir.functions() {
            let fun = Fun { module, id };
            if id == FunctionId::MODULE || function.params.len() < 2 || function.body.len() > 12 {
                continue;
            }
            for (number, stmt) in function.body.iter().enumerate() {
                let StmtKind::If { test, then, .. } = unit.ir.stmt(*stmt) else { continue };
                let Some((key, value)) = taken(unit, then) else { continue };
                let Some(named) = parameter_in(project, unit, fun, value) else { continue };
                let earlier = function.body.get(..number).unwrap_or_default();
                if !names(unit, *test, named)
                    || asks_about(unit, *test, named)
                    || earlier.iter().any(|before| asks_in(unit, *before, named))
                    || !own_behind(project, unit, fun, key, value)
                    || !is_told_by_caller(project, fun, named)
                {
                    continue;
                }
                let severity = if lives.is_per_request(fun) { Severity::High } else { Severity::Medium };
                report
                    .reached(At { module, expr: value }, "the tenant that a call names takes the place of the one that the caller is verified for")
                    .severity(severity)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// What a branch gives as the tenant, when it does nothing else: the key, and the value.
fn taken<'u>(unit: &'u Unit, then: &[StmtId]) -> Option<(&'u str, ExprId)> {
    let [only] = then else { return None };
    let StmtKind::Return(Some(value)) = unit.ir.stmt(*only) else { return None };
    tenant_of(unit, *value)
}

/// The tenant in a record: `{ userId, tenantId: wanted }`, `Scope(user_id=user, tenant_id=wanted)`.
fn tenant_of(unit: &Unit, value: ExprId) -> Option<(&str, ExprId)> {
    match unit.ir.expr(value) {
        ExprKind::Object(properties) => properties.iter().find_map(|own| match own.key {
            PropertyKey::Name(name) if vocabulary::is_tenant(unit.ir.text(name)) => {
                Some((unit.ir.text(name), own.value))
            }
            _ => None,
        }),
        ExprKind::Call(call) => call.args.iter().find_map(|arg| match arg.kind {
            crate::ir::ArgKind::Keyword(name) if vocabulary::is_tenant(unit.ir.text(name)) => {
                Some((unit.ir.text(name), arg.value))
            }
            _ => None,
        }),
        _ => None,
    }
}

/// The parameter of a function that a value is, or is a form of: `wanted`, `wanted.trim()`, `str(wanted)`.
fn parameter_in(project: &Project, unit: &Unit, fun: Fun, value: ExprId) -> Option<BindingId> {
    let inner = match unit.ir.expr(value) {
        ExprKind::Call(call) => match unit.ir.expr(call.callee) {
            ExprKind::Member { object, .. } if call.args.is_empty() => *object,
            ExprKind::Name(_) if call.args.len() == 1 => call.positional(0)?,
            _ => return None,
        },
        _ => value,
    };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(inner) else { return None };
    let (of, ..) = project.parameter_of(fun.module, *id)?;
    (of == fun && !vocabulary::is_principal(unit.ir.binding_name(*id))).then_some(*id)
}

fn names(unit: &Unit, root: ExprId, id: BindingId) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, root, &mut |expr| {
        found |= matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(own)) if *own == id);
    });
    found
}

/// Whether an expression asks something about a value: a call that is given it, `memberships.includes(wanted)`, or `wanted in memberships`.
fn asks_about(unit: &Unit, root: ExprId, id: BindingId) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, root, &mut |expr| {
        found |= match unit.ir.expr(expr) {
            ExprKind::Call(call) => call.args.iter().any(|arg| names(unit, arg.value, id)),
            ExprKind::Compare { op, left, .. } => {
                matches!(op, crate::ir::CompareOp::In | crate::ir::CompareOp::NotIn) && names(unit, *left, id)
            }
            ExprKind::Index { index, .. } => names(unit, *index, id),
            _ => false,
        };
    });
    found
}

fn asks_in(unit: &Unit, stmt: StmtId, id: BindingId) -> bool {
    let mut found = false;
    walk::stmts_below(&unit.ir, &[stmt], &mut |inner| {
        walk::parts(&unit.ir, inner, &mut |part| {
            if let walk::Part::Expr(root) = part {
                found |= asks_about(unit, root, id);
            }
        });
    });
    found
}

/// Whether the function gives the same record elsewhere with a tenant that is read from the caller it was told.
fn own_behind(project: &Project, unit: &Unit, fun: Fun, key: &str, value: ExprId) -> bool {
    unit.index.returns(fun.id).iter().any(|other| {
        let Some((own, tenant)) = tenant_of(unit, *other) else { return false };
        own == key && tenant != value && is_of_principal(project, unit, fun, tenant, 4)
    })
}

/// Whether a value is read from a parameter that is the caller by its name: `auth?.extra?.tenantId`, also through a variable.
fn is_of_principal(project: &Project, unit: &Unit, fun: Fun, expr: ExprId, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    match unit.ir.expr(expr) {
        ExprKind::Member { object, .. } | ExprKind::Index { object, .. } => {
            is_of_principal(project, unit, fun, *object, steps + 1)
        }
        ExprKind::Name(NameRef::Binding(id)) => {
            let name = unit.ir.binding_name(*id);
            if project.parameter_of(fun.module, *id).is_some() {
                return vocabulary::is_principal(name) || vocabulary::is_user(name);
            }
            matches!(unit.index.sources(*id), [source] if is_of_principal(project, unit, fun, source.value, steps))
        }
        ExprKind::Call(call) => match unit.ir.expr(call.callee) {
            // `claims.get("tenant_id")`
            ExprKind::Member { object, .. } => is_of_principal(project, unit, fun, *object, steps),
            ExprKind::Name(_) => {
                call.positional(0).is_some_and(|first| is_of_principal(project, unit, fun, first, steps))
            }
            _ => false,
        },
        _ => false,
    }
}

/// Whether a call of the function hands over what a caller sent for the parameter.
fn is_told_by_caller(project: &Project, fun: Fun, named: BindingId) -> bool {
    let Some((_, number, _)) = project.parameter_of(fun.module, named) else { return false };
    project.callers(fun).iter().take(16).any(|call| {
        project.argument(*call, fun, number).is_some_and(|argument| project.origins(argument).is_chosen())
    })
}
