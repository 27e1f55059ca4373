//! A check of whose a thing is that stands only under a role: `if is_admin: ensure_owner(row, user)`. Everybody else goes on with the
//! thing.

use partywall_model::Confidence;

use crate::{
    flow::is_admin,
    ir::{BindingId, ExprId, ExprKind, FunctionId, NameRef, StmtId, StmtKind, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Words of roles that may do more than others, beside those of administrators.
const ROLES: &[&str] = &["staff", "curator", "moderator", "editor", "manager", "privileged", "operator"];

/// Words of functions that look whose a thing is.
const WHOSE: &[&str] = &["owner", "ownership", "owns", "own", "belongs", "access"];

/// Reports such checks.
pub(super) fn flagged_check(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units().filter(|(module, _)| project.has_owners(*module)) {
        for (id, stmt) in unit.ir.stmts() {
            let StmtKind::If { test, then, otherwise } = stmt else { continue };
            let [only] = &**then else { continue };
            if !otherwise.is_empty() || !is_role(project, unit, At { module, expr: *test }) {
                continue;
            }
            let Some((check, row)) = checks_row(project, unit, module_at(module, *only, unit)) else {
                continue;
            };
            let fun = Fun { module, id: unit.index.stmt_function(id) };
            let goes_on = unit
                .index
                .uses(row)
                .iter()
                .any(|used| unit.index.order(*used) > unit.index.order(check.expr));
            if fun.id == FunctionId::MODULE
                || !goes_on
                || project.reach(fun).is_none()
                || is_checked_too(project, unit, fun, check, row)
            {
                continue;
            }
            let flag = project.snippet(At { module, expr: *test });
            let name = unit.ir.binding_name(row);
            report
                .reached(
                    check,
                    format!(
                        "whose `{name}` is, is looked at only if `{flag}`; everybody else goes on with it"
                    ),
                )
                .confidence(Confidence::Medium);
        }
    }
}

/// The expression of a statement that is nothing else.
fn module_at(module: crate::project::ModuleId, stmt: StmtId, unit: &Unit) -> Option<At> {
    let StmtKind::Expr(mut expr) = *unit.ir.stmt(stmt) else { return None };
    if let ExprKind::Await(inner) = unit.ir.expr(expr) {
        expr = *inner;
    }
    Some(At { module, expr })
}

/// Whether a condition is that the caller has a role.
fn is_role(project: &Project, unit: &Unit, test: At) -> bool {
    matches!(unit.ir.expr(test.expr), ExprKind::Name(_) | ExprKind::Member { .. })
        && project.last_written(test).is_some_and(|name| {
            vocabulary::words(name).iter().any(|word| is_admin(word) || ROLES.contains(&word.as_str()))
        })
}

/// The thing that a call looks whose it is, for the caller; the call is nothing else.
fn checks_row(project: &Project, unit: &Unit, at: Option<At>) -> Option<(At, BindingId)> {
    let at = at?;
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
    let name = project.last_written(at)?;
    let whose = vocabulary::words(name).iter().any(|word| WHOSE.contains(&word.as_str()));
    let caller = |expr: ExprId| {
        project
            .last_written(at.to(expr))
            .is_some_and(|name| vocabulary::is_principal(name) || vocabulary::is_user(name) || name == "user")
    };
    if !whose || !call.args.iter().any(|arg| caller(arg.value)) {
        return None;
    }
    call.args.iter().find_map(|arg| match unit.ir.expr(arg.value) {
        ExprKind::Name(NameRef::Binding(id)) if !caller(arg.value) && is_looked_up(unit, *id) => {
            Some((at, *id))
        }
        _ => None,
    })
}

/// Whether a variable is set to what a call gives.
fn is_looked_up(unit: &Unit, id: BindingId) -> bool {
    unit.index.sources(id).iter().any(|source| match unit.ir.expr(source.value) {
        ExprKind::Call(call) => !call.is_new,
        ExprKind::Await(value) => matches!(unit.ir.expr(*value), ExprKind::Call(_)),
        _ => false,
    })
}

/// Whether the function looks in another way whose the thing is.
fn is_checked_too(project: &Project, unit: &Unit, fun: Fun, check: At, row: BindingId) -> bool {
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: fun.module, expr };
        found |= match unit.ir.expr(expr) {
            ExprKind::Compare { left, right, .. } => [*left, *right]
                .into_iter()
                .any(|side| project.last_written(at.to(side)).is_some_and(vocabulary::is_owner)),
            ExprKind::Call(call) if at != check => {
                let of_row = call.args.iter().any(|arg| matches!(unit.ir.expr(arg.value), ExprKind::Name(NameRef::Binding(id)) if *id == row));
                of_row && project.last_written(at).is_some_and(Project::is_check)
            }
            _ => false,
        };
    });
    found
}
