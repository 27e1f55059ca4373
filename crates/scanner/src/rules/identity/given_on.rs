//! Chosen ids that go to where they are asked for together with who calls: out of a helper, or into a function that knows the caller.

use super::{session_user::is_session_user, tenant_from_input::beside_caller};
use crate::{
    flow::{Origins, Scope},
    ir::{BindingId, ExprKind, NameRef, StmtKind},
    project::{At, Parent, Project, Unit},
};

/// How many callers and uses are looked at.
const MOST: usize = 16;

/// Whether a value is what a function gives that is no handler, and all who call it use that beside the verified caller:
/// `list(resolveWorkspace(args), context.userId)`.
pub(super) fn is_given_on_beside(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let fun = project.function_of(at);
    if project.entry(fun).is_some() || !is_given(unit, at) {
        return false;
    }
    let callers = project.callers(fun);
    !callers.is_empty() && callers.len() <= MOST && callers.iter().all(|call| is_used_beside(project, *call))
}

/// Whether a value is what its function gives, by way of a variable or as it is.
fn is_given(unit: &Unit, at: At) -> bool {
    let Some(stmt) = unit.index.stmt_of(at.expr) else { return false };
    match unit.ir.stmt(stmt) {
        StmtKind::Return(_) => true,
        StmtKind::Assign { target, .. } => target.as_binding().is_some_and(|id| {
            let returns = unit.index.returns(unit.index.function(at.expr));
            returns.iter().any(
                |expr| matches!(unit.ir.expr(*expr), ExprKind::Name(NameRef::Binding(own)) if *own == id),
            )
        }),
        _ => false,
    }
}

fn is_used_beside(project: &Project, call: At) -> bool {
    let Some(unit) = project.unit(call.module) else { return false };
    if beside_caller(project, call) {
        return true;
    }
    let Some(StmtKind::Assign { target, .. }) = unit.index.stmt_of(call.expr).map(|stmt| unit.ir.stmt(stmt))
    else {
        return false;
    };
    target.as_binding().is_some_and(|id| {
        unit.index.uses(id).iter().take(MOST).any(|used| beside_caller(project, call.to(*used)))
    })
}

/// Whether a value is an argument of a function of ours all of whose queries by it name the verified caller too:
/// `deleteAccount(context, id)`, and in it `delete({ where: { id, userId: user.id } })`.
pub(super) fn is_asked_with_owner(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let given = |place: At| {
        let Parent::Expr(up) = unit.index.parent(place.expr) else { return None };
        let ExprKind::Call(call) = unit.ir.expr(up) else { return None };
        Some((place.to(up), call.args.iter().position(|arg| arg.value == place.expr)?))
    };
    let mut places = vec![at];
    // The variable that it was read into.
    if let Some(StmtKind::Assign { target, .. }) = unit.index.stmt_of(at.expr).map(|stmt| unit.ir.stmt(stmt))
        && let Some(id) = target.as_binding()
    {
        places.extend(unit.index.uses(id).iter().take(MOST).map(|used| at.to(*used)));
    }
    places.into_iter().filter_map(given).any(|(call, number)| {
        project.callee(call).is_some_and(|callee| {
            callee.certain
                && !callee.targets.is_empty()
                && callee.targets.iter().all(|target| {
                    let home = project.unit(target.module);
                    let parameter = home.and_then(|unit| {
                        unit.ir.function(target.id)?.params.get(number)?.pattern.as_binding()
                    });
                    parameter.is_some_and(|id| names_caller_with(project, target.module, id))
                })
        })
    })
}

/// Whether queries find rows by a parameter, and each of them names the verified caller beside it.
fn names_caller_with(project: &Project, module: crate::project::ModuleId, parameter: BindingId) -> bool {
    let mut any = false;
    let all = project
        .queries()
        .iter()
        .filter(|query| query.at.module == module)
        .filter(|query| query.filters.iter().any(|filter| project.roots(*filter).contains(&parameter)))
        .all(|query| {
            any = true;
            query.scope == Scope::Owner
                && query.filters.iter().any(|filter| {
                    let origins = project.origins(*filter);
                    let verified = origins.has(Origins::PRINCIPAL) && !origins.is_chosen();
                    verified || is_session_user(project, *filter)
                })
        });
    any && all
}
