//! A proxy of MCP that speaks to its upstream through one client that is already connected: the sessions of all callers are one session
//! there. `async with Client(url) as client: FastMCP.as_proxy(client)`.

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{ExprKind, Language, NameRef, StmtKind, walk},
    project::{At, Project, Unit},
    rules::Report,
};

/// Calls that make a proxy of a client.
const MAKES: &[&str] = &["as_proxy", "create_proxy", "FastMCPProxy"];

/// Reports such proxies.
pub(super) fn one_upstream(project: &Project, report: &mut Report<'_>) {
    let makes = project.calls_named(|name| MAKES.contains(&name));
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for expr in makes.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            if !project.last_written(at).is_some_and(|name| MAKES.contains(&name)) {
                continue;
            }
            let connected = call.args.iter().any(|arg| is_connected(unit, at.to(arg.value)));
            if connected {
                report
                    .at(at, "this proxy uses one connected client, so that the sessions of all callers are one session upstream")
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether a variable stands in the head of a `with` around its use: entering connects it.
fn is_connected(unit: &Unit, at: At) -> bool {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    let mut here = unit.index.stmt_of(at.expr);
    for _ in 0..16 {
        let Some(stmt) = here else { return false };
        if let StmtKind::With { items, .. } = unit.ir.stmt(stmt) {
            for (value, pattern) in items {
                let mut enters = false;
                if let Some(pattern) = pattern {
                    pattern.for_each_binding(&mut |own| enters |= own == *id);
                }
                walk::exprs_below(&unit.ir, *value, &mut |expr| {
                    enters |=
                        matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(own)) if own == id);
                });
                if enters {
                    return true;
                }
            }
        }
        here = unit.index.stmt_parent(stmt);
    }
    false
}
