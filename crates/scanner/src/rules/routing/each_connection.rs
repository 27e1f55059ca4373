//! One server that a callback connects to the transport of each connection that comes: `hub.onConnection((transport) =>
//! this.server.connect(transport))`.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Lifetimes,
    ir::{ExprId, ExprKind, FunctionId, NameRef, walk},
    library::Role,
    project::{At, Fun, ModuleId, Parent, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Reports where such a callback connects it.
pub(super) fn each_connection(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for (id, function) in unit.ir.functions() {
            let Some(transport) =
                function.params.first().and_then(|parameter| parameter.pattern.as_binding())
            else {
                continue;
            };
            let named =
                vocabulary::words(unit.ir.binding_name(transport)).iter().any(|word| word == "transport");
            if !named || !is_called_for_each(project, unit, Fun { module, id }) {
                continue;
            }
            walk::function_exprs(&unit.ir, id, &mut |expr| {
                let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
                let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return };
                let given = call.positional(0).is_some_and(|arg| {
                    matches!(unit.ir.expr(arg), ExprKind::Name(NameRef::Binding(own)) if *own == transport)
                        && !lives.makes(At { module, expr: arg }, &[Role::Transport])
                });
                if unit.ir.text(*property) == "connect" && given && is_older(unit, id, *object) {
                    report
                        .at(At { module, expr }, "the one server is connected to the transport of each connection, and answers on the last of them")
                        .severity(Severity::Medium)
                        .confidence(Confidence::Medium);
                }
            });
        }
    }
}

/// Whether a function is handed to something that calls it for each connection: `onConnection`, `on("connection", …)`.
fn is_called_for_each(project: &Project, unit: &Unit, fun: Fun) -> bool {
    let Some(site) = unit.index.site(fun.id) else { return false };
    let Parent::Expr(up) = unit.index.parent(site) else { return false };
    let ExprKind::Call(call) = unit.ir.expr(up) else { return false };
    let module: ModuleId = fun.module;
    let name = project.last_written(At { module, expr: call.callee }).unwrap_or_default();
    let words = vocabulary::words(name);
    let says = |text: &str| vocabulary::words(text).iter().any(|word| word.starts_with("connect"));
    let event = call.positional(0).is_some_and(
        |first| matches!(unit.ir.expr(first), ExprKind::String(text) if says(unit.ir.text(*text))),
    );
    (words.first().is_some_and(|first| matches!(first.as_str(), "on" | "handle")) && says(name))
        || (name == "on" && event)
}

/// Whether an expression is a field of the object around, or a variable from outside of the function.
fn is_older(unit: &Unit, id: FunctionId, expr: ExprId) -> bool {
    match unit.ir.expr(expr) {
        ExprKind::Member { object, .. } => matches!(unit.ir.expr(*object), ExprKind::This),
        ExprKind::Name(NameRef::Binding(own)) => unit.ir.binding_function(*own) != id,
        _ => false,
    }
}
