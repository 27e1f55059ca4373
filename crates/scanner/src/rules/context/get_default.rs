//! A context variable of Python that is asked for the tenant, and told whose data it is when nobody has said:
//! `tenant_var.get("acme")`, `tenant_var.get(None) or os.environ["TENANT_ID"]`.

use crate::{
    flow::{Lifetimes, Origins},
    ir::{ExprId, ExprKind, Kinds, Language, LogicalOp},
    library::Role,
    project::{At, ModuleId, Project, Unit},
    rules::{Report, context::frozen_context::variable},
};

use super::default_tenant::{is_fallback, tell, tenant_like};

/// Reports defaults of context variables for a tenant, in a module.
pub(super) fn get_default(
    project: &Project,
    lives: &Lifetimes<'_>,
    report: &mut Report<'_>,
    module: ModuleId,
    unit: &Unit,
) {
    if unit.ir.language != Language::Python {
        return;
    }
    for (expr, kind) in unit.ir.exprs_of(Kinds::CHOICE | Kinds::CALL) {
        let at = At { module, expr };
        let found = match kind {
            ExprKind::Call(call) => call.positional(0).is_some_and(|default| {
                asks_for_tenant(project, unit, at) && is_fallback(project, unit, at.to(default))
            }),
            ExprKind::Logical { op: LogicalOp::Or, left, right } => {
                asks_for_tenant(project, unit, at.to(*left)) && is_of_environment(project, at.to(*right))
            }
            _ => false,
        };
        if found {
            tell(project, report, lives, at, partywall_model::Severity::High);
        }
    }
}

/// Whether a value is what a context variable for a tenant holds.
fn asks_for_tenant(project: &Project, unit: &Unit, at: At) -> bool {
    let asks = matches!(unit.ir.expr(at.expr), ExprKind::Call(_))
        && project.callee(at).is_some_and(|callee| {
            callee.package.as_deref() == Some("contextvars")
                && callee.defs.iter().any(|def| def.role == Role::ContextGet)
        });
    asks && variable(project, at).is_some_and(|name| tenant_like(of_variable(&name)))
}

/// The name without what says that it is a variable: `tenant_id` of `_tenant_id_var`.
fn of_variable(name: &str) -> &str {
    let name = name.trim_start_matches('_');
    ["_var", "_ctx", "_cv", "_context"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

/// Whether a value is read from the environment and from nowhere else.
fn is_of_environment(project: &Project, at: At) -> bool {
    let is_null = |expr: ExprId| {
        project.unit(at.module).is_some_and(|unit| matches!(unit.ir.expr(expr), ExprKind::Null))
    };
    let origins = project.origins(at);
    !is_null(at.expr) && origins.has(Origins::ENV) && !origins.is_of_request()
}
