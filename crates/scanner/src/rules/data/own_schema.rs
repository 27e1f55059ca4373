//! Databases in which each tenant has a schema of its own: who sets the search path asks the tenant's tables, and no others.

use crate::{
    flow::Query,
    ir::{Call, ExprId, ExprKind, NameRef, walk},
    project::{At, Fun, Parent, Project, Unit},
    vocabulary,
};

/// What sets the schema in whose tables a connection looks.
const SETS: &[&str] = &["search_path"];

/// Names by which a project's settings say that a library does so for each request.
const LIBRARIES: &[&str] =
    &["django_tenants", "tenant_schemas", "django_tenants.middleware.main.TenantMainMiddleware"];

/// Whether a query asks a tenant's own schema: its client was told the schema before, or the function that it was given to tells it.
pub(super) fn is_in_own_schema(project: &Project, query: &Query) -> bool {
    let Some(unit) = project.unit(query.at.module) else { return false };
    let around = project.around(query.function);
    around.iter().any(|fun| client_was_told(unit, query.at.expr, *fun))
        || around.iter().any(|fun| is_run_by_who_tells(project, unit, *fun))
}

/// Whether a library sets the schema of all queries of a project.
pub(super) fn has_library(project: &Project) -> bool {
    project.units().any(|(_, unit)| unit.ir.has_name(LIBRARIES))
}

/// Whether an extension of Prisma's client puts the tenant into every query, or tells the database whose it is:
/// `client.$extends({ query: { $allModels: { $allOperations({ args, query }) { … tenantId … } } } })`; or a filter of MikroORM does, which
/// holds for all that is found: `em.addFilter("tenant", …)` and `em.setFilterParams("tenant", …)`. Source: mikro-orm.io/docs/filters.
pub(super) fn has_extension(project: &Project) -> bool {
    project.units().any(|(_, unit)| {
        let extends =
            unit.ir.has_name(&["$extends", "defineExtension"]) && unit.ir.has_name(&["$allOperations"]);
        let filters = unit.ir.has_name(&["addFilter"]) && unit.ir.has_name(&["setFilterParams"]);
        (extends || filters) && unit.ir.texts().any(vocabulary::is_tenant)
    })
}

/// Whether a function tells the client of a query its schema before it asks: `client.query(`SET search_path TO …`)`. A pool's next
/// query may go to another connection.
fn client_was_told(unit: &Unit, query: ExprId, fun: Fun) -> bool {
    let Some(client) = client_of(unit, query) else { return false };
    let (mut told, order) = (false, unit.index.order(query));
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        told |= unit.index.order(expr) < order && sets(unit, call) && receiver(unit, call) == Some(client);
    });
    told
}

/// The variable of a function whose method a query is run by.
fn client_of(unit: &Unit, query: ExprId) -> Option<crate::ir::BindingId> {
    let mut here = query;
    for _ in 0..4 {
        if let ExprKind::Call(call) = unit.ir.expr(here) {
            return receiver(unit, call).filter(|id| !unit.ir.is_module_level(*id));
        }
        let Parent::Expr(up) = unit.index.parent(here) else { return None };
        here = up;
    }
    None
}

fn receiver(unit: &Unit, call: &Call) -> Option<crate::ir::BindingId> {
    let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return None };
    match unit.ir.expr(*object) {
        ExprKind::Name(NameRef::Binding(id)) => Some(*id),
        _ => None,
    }
}

/// Whether the first argument of a call is a statement that sets the schema.
fn sets(unit: &Unit, call: &Call) -> bool {
    call.args.first().is_some_and(|arg| {
        let text = unit.ir.snippet(unit.ir.span(arg.value));
        SETS.iter().any(|word| text.contains(word))
    })
}

/// Whether a function is given to one that sets the schema and then runs it: `this.prisma.run((tx) => tx.$queryRaw`…`)`.
fn is_run_by_who_tells(project: &Project, unit: &Unit, fun: Fun) -> bool {
    let Some(literal) = unit.index.site(fun.id) else { return false };
    let Parent::Expr(up) = unit.index.parent(literal) else { return false };
    if !matches!(unit.ir.expr(up), ExprKind::Call(call) if call.callee != literal) {
        return false;
    }
    let callee = project.callee(At { module: fun.module, expr: up });
    callee.is_some_and(|callee| callee.targets.iter().take(4).any(|target| tells(project, *target)))
}

/// Whether a function sets the schema somewhere.
fn tells(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        found |= matches!(unit.ir.expr(expr), ExprKind::Call(call) if sets(unit, call));
    });
    found
}
