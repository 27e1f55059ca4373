//! Web sockets of an object that holds those of several tenants, and says so where it takes them: `acceptWebSocket(socket, [`team:${team}`])`,
//! `socket.serializeAttachment({ teamId })`; and that are then written to all at once: `for (const socket of getWebSockets()) socket.send(text)`.

use partywall_model::Confidence;

use crate::{
    ir::{Call, ExprId, ExprKind, NameRef, StmtId, StmtKind, TemplatePart, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Reports what such an object writes to all of its sockets.
pub(super) fn tagged_sockets(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        if !unit.ir.has_name(&["getWebSockets"]) {
            continue;
        }
        for (id, stmt) in unit.ir.stmts() {
            let StmtKind::ForEach { iter, body, .. } = stmt else { continue };
            let fun = Fun { module, id: unit.index.stmt_function(id) };
            if is_all(unit, *iter) && tells_apart(project, unit, fun) && !looks_at_each(unit, body) {
                tell(project, report, fun, sends(unit, body));
            }
        }
        for expr in &unit.index.calls {
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { continue };
            if unit.ir.text(*property) != "forEach" || !is_all(unit, *object) {
                continue;
            }
            let Some(ExprKind::Function(inner)) = call.positional(0).map(|arg| unit.ir.expr(arg)) else {
                continue;
            };
            let Some(function) = unit.ir.function(*inner) else { continue };
            let fun = Fun { module, id: *inner };
            if tells_apart(project, unit, fun) && !looks_at_each(unit, &function.body) {
                tell(project, report, fun, sends(unit, &function.body));
            }
        }
    }
}

fn tell(project: &Project, report: &mut Report<'_>, fun: Fun, send: Option<(ExprId, ExprId)>) {
    let Some((send, sent)) = send else { return };
    let at = At { module: fun.module, expr: send };
    if !project.is_fixed(at.to(sent)) {
        report
            .at(at, "this is sent to the sockets of all tenants that the object holds, though it knows which are whose")
            .confidence(Confidence::Medium);
    }
}

/// Whether a value is all sockets of an object: `this.ctx.getWebSockets()`, also through a variable.
fn is_all(unit: &Unit, expr: ExprId) -> bool {
    match unit.ir.expr(expr) {
        ExprKind::Call(call) => call.args.is_empty() && method(unit, call) == Some("getWebSockets"),
        ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
            [source] => {
                matches!(unit.ir.expr(source.value), ExprKind::Call(_))
                    && source.path.is_empty()
                    && is_all(unit, source.value)
            }
            _ => false,
        },
        _ => false,
    }
}

fn method<'u>(unit: &'u Unit, call: &Call) -> Option<&'u str> {
    match unit.ir.expr(call.callee) {
        ExprKind::Member { property, .. } => Some(unit.ir.text(*property)),
        _ => None,
    }
}

/// Whether the class around a function writes down whose each socket is, and is not itself one tenant's: named by it where it is asked for.
fn tells_apart(project: &Project, unit: &Unit, fun: Fun) -> bool {
    let Some(class) = project.this_of(fun) else { return false };
    let marks = unit.index.calls.iter().any(|expr| {
        let ExprKind::Call(call) = unit.ir.expr(*expr) else { return false };
        let told = match method(unit, call) {
            Some("acceptWebSocket") => call.positional(1),
            Some("serializeAttachment") => call.positional(0),
            _ => None,
        };
        told.is_some_and(|told| names_tenant(unit, told))
            && project.this_of(project.function_of(At { module: fun.module, expr: *expr })) == Some(class)
    });
    marks && !is_one_tenants(project)
}

/// Whether objects are asked for by the tenant's name anywhere: `env.ROOMS.idFromName(teamId)`.
fn is_one_tenants(project: &Project) -> bool {
    project.units().any(|(_, unit)| {
        unit.ir.has_name(&["idFromName", "getByName"])
            && unit.index.calls.iter().any(|expr| {
                let ExprKind::Call(call) = unit.ir.expr(*expr) else { return false };
                matches!(method(unit, call), Some("idFromName" | "getByName"))
                    && call.positional(0).is_some_and(|name| names_tenant(unit, name))
            })
    })
}

/// Whether a value is made of something that is named for a tenant.
fn names_tenant(unit: &Unit, root: ExprId) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, root, &mut |expr| {
        let mut values = Vec::new();
        match unit.ir.expr(expr) {
            ExprKind::Name(NameRef::Binding(id)) => found |= vocabulary::is_tenant(unit.ir.binding_name(*id)),
            ExprKind::Member { property, .. } => found |= vocabulary::is_tenant(unit.ir.text(*property)),
            ExprKind::Template(parts) => values.extend(parts.iter().filter_map(|part| match part {
                TemplatePart::Value(value) => Some(*value),
                TemplatePart::Text(_) => None,
            })),
            _ => {}
        }
        found |= values.into_iter().any(|value| {
            matches!(unit.ir.expr(value), ExprKind::Name(NameRef::Binding(id)) if vocabulary::is_tenant(unit.ir.binding_name(*id)))
        });
    });
    found
}

/// Whether a block asks of each socket whose it is: reads what was written down of it, or an owner.
fn looks_at_each(unit: &Unit, body: &[StmtId]) -> bool {
    let mut found = false;
    each_expr(unit, body, &mut |expr| {
        found |= match unit.ir.expr(expr) {
            ExprKind::Call(call) => {
                matches!(method(unit, call), Some("deserializeAttachment" | "getTags"))
                    // `if (this.mayHear(socket, event)) …`
                    || !matches!(method(unit, call), Some("send" | "close" | "stringify" | "log" | "error" | "warn"))
                        && matches!(unit.index.stmt_of(expr).map(|stmt| unit.ir.stmt(stmt)), Some(StmtKind::If { .. }))
            }
            ExprKind::Compare { left, right, .. } => {
                [*left, *right].into_iter().any(|side| names_tenant(unit, side))
            }
            _ => false,
        };
    });
    found
}

/// The first `send` of a block, and what is sent.
fn sends(unit: &Unit, body: &[StmtId]) -> Option<(ExprId, ExprId)> {
    let mut found = None;
    each_expr(unit, body, &mut |expr| {
        if let ExprKind::Call(call) = unit.ir.expr(expr)
            && method(unit, call) == Some("send")
            && let Some(sent) = call.positional(0)
            && found.is_none()
        {
            found = Some((expr, sent));
        }
    });
    found
}

fn each_expr(unit: &Unit, body: &[StmtId], visit: &mut impl FnMut(ExprId)) {
    walk::stmts_below(&unit.ir, body, &mut |stmt| {
        walk::parts(&unit.ir, stmt, &mut |part| {
            if let walk::Part::Expr(root) = part {
                walk::exprs_below(&unit.ir, root, visit);
            }
        });
    });
}
