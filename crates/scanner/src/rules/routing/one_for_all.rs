//! A function that a handler asks for a server with each request, and that gives back one that was made before.

use crate::{
    flow::Lifetimes,
    ir::ExprKind,
    library::Role,
    project::{At, Callee, Fun, Project, Symbol},
    rules::Report,
};

/// Reports `createMcpHandler(() => server)` of the SDK's second version, which asks for a fresh server with each request.
pub(super) fn one_for_all(
    project: &Project,
    lives: &Lifetimes<'_>,
    report: &mut Report<'_>,
    at: At,
    callee: &Callee,
) {
    let of_sdk =
        callee.package.as_deref().is_some_and(|package| package.starts_with("@modelcontextprotocol/"));
    if !of_sdk || callee.name() != "createMcpHandler" {
        return;
    }
    let Some(unit) = project.unit(at.module) else { return };
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return };
    let Some(given) = call.positional(0).map(|arg| at.to(arg)) else { return };
    let factory = match (unit.ir.expr(given.expr), project.symbol(given)) {
        (ExprKind::Function(id), _) => Fun { module: at.module, id: *id },
        (_, Symbol::Function(fun)) => fun,
        _ => return,
    };
    let Some(home) = project.unit(factory.module) else { return };
    let returned = home.index.returns(factory.id);
    let before = |value: At| {
        lives.made_before(value, &[Role::Server]).filter(|made| project.function_of(*made) != factory)
    };
    let made: Vec<At> =
        returned.iter().filter_map(|expr| before(At { module: factory.module, expr: *expr })).collect();
    if let Some(first) = made.first().filter(|_| made.len() == returned.len()) {
        report
            .add(
                at.module,
                project.span(at),
                "this handler is given one server for all requests, which can speak to one client only",
            )
            .related(first.module, project.span(*first), "it is made here, once");
    }
}
