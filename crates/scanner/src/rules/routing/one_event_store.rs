//! The one store of events that a manager of sessions hands to all of them: `StreamableHTTPSessionManager(app, event_store=EventStore())`.
//! The Python SDK names a stream by the id of the request that opened it, or `_GET_stream`, and tells the store nothing of the session.

use partywall_model::{Confidence, Severity};

use super::replayed_events::tells_owner;
use crate::{
    flow::Lifetimes,
    ir::{ArgKind, Call, ExprId, ExprKind, Language},
    project::{At, Project, Symbol, Unit},
    rules::Report,
};

/// Reports such managers.
pub(super) fn one_event_store(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    let likely = project.calls_named(|name| name == "StreamableHTTPSessionManager");
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for expr in likely.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let sdk = matches!(project.symbol(at.to(call.callee)), Symbol::External { package, .. } if package == "mcp" || package.starts_with("mcp."));
            if !sdk || lives.is_per_request(project.function_of(at)) || is_stateless(unit, call) {
                continue;
            }
            let Some(store) = named(unit, call, "event_store").or_else(|| call.positional(1)) else {
                continue;
            };
            if matches!(unit.ir.expr(store), ExprKind::Null) {
                continue;
            }
            let class = match project.symbol(at.to(store)) {
                Symbol::Instance(class) | Symbol::Class(class) => Some(class),
                _ => None,
            };
            if class.is_some_and(|class| tells_owner(project, class)) {
                continue;
            }
            report
                .reached(
                    at.to(store),
                    "one store keeps the events of all sessions under the ids of their streams, which are alike in every session",
                )
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

fn is_stateless(unit: &Unit, call: &Call) -> bool {
    named(unit, call, "stateless").is_some_and(|value| matches!(unit.ir.expr(value), ExprKind::Bool(true)))
}

fn named(unit: &Unit, call: &Call, wanted: &str) -> Option<ExprId> {
    call.args.iter().find_map(|arg| match arg.kind {
        ArgKind::Keyword(name) if unit.ir.text(name) == wanted => Some(arg.value),
        _ => None,
    })
}
