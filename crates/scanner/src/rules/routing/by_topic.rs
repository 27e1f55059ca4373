//! Sessions that are kept by what they want to hear of alone, in a server in which the same name is another thing for each tenant:
//! `self._sessions[str(uri)].add(session)`, and then `for session in self._sessions[str(uri)]: await session.send_resource_updated(uri)`.

use partywall_model::Confidence;

use super::by_key::{decides, joined, sends};
use crate::{
    flow::{Access, Store},
    ir::{ExprId, ExprKind, FunctionId, NameRef, walk},
    project::{At, Fun, Project, Unit},
    rules::{Report, data::named_objects::has_owner},
    vocabulary,
};

/// How many steps a key is followed for an owner.
const DEPTH: u32 = 3;

/// Words of names of what is heard of.
const TOPICS: &[&str] = &["uri", "url", "topic", "resource", "channel", "event", "path", "key", "name"];

/// Methods by which a server of MCP says that a resource changed.
const UPDATES: &[&str] = &["send_resource_updated", "sendResourceUpdated"];

/// Reports where such a session is put, when another function sends to all that are there under the name.
pub(super) fn by_topic(project: &Project, report: &mut Report<'_>) {
    for access in project.accesses() {
        let fun = access.function;
        if fun.id == FunctionId::MODULE
            || joined(project, access).is_none()
            || project.is_fixed(access.key)
            || !project.handlers_know_callers(fun.module)
        {
            continue;
        }
        let Some(unit) = project.unit(fun.module) else { continue };
        let left_out = has_unused_owner(unit, fun);
        if !is_topic(project, unit, access.key)
            || has_owner(project, access.key, DEPTH)
            || decides(project, unit, fun)
        {
            continue;
        }
        let Some((send, updates)) = sent(project, &access.store, access) else { continue };
        if !(left_out || (updates && !is_asked_before(project, fun))) {
            continue;
        }
        report
            .reached(
                access.at,
                format!(
                    "`{}` keeps sessions by what they want to hear of, and not by whose they are",
                    access.name
                ),
            )
            .confidence(Confidence::Medium)
            .related(send.module, project.span(send), "all that are kept under one name hear of it here");
    }
}

/// Whether a key is named for what is heard of: `uri`, `str(uri)`, `params.uri`.
fn is_topic(project: &Project, unit: &Unit, key: At) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, key.expr, &mut |expr| {
        if matches!(unit.ir.expr(expr), ExprKind::Name(_) | ExprKind::Member { .. }) {
            found |= project.last_written(key.to(expr)).is_some_and(|name| {
                vocabulary::words(name).last().is_some_and(|word| TOPICS.contains(&word.as_str()))
            });
        }
    });
    found
}

/// Whether a function is handed a tenant or user and uses it for nothing.
fn has_unused_owner(unit: &Unit, fun: Fun) -> bool {
    unit.ir.function(fun.id).is_some_and(|function| {
        function
            .params
            .iter()
            .filter_map(|own| own.pattern.as_binding())
            .any(|id| vocabulary::says_whose(unit.ir.binding_name(id)) && unit.index.uses(id).is_empty())
    })
}

/// Where all that are kept under one name are sent to, and whether that is an update of a resource.
fn sent(project: &Project, store: &Store, put: &Access) -> Option<(At, bool)> {
    let same =
        project.accesses().iter().filter(|other| other.store == *store && other.function != put.function);
    for other in same {
        let Some(unit) = project.unit(other.function.module) else { continue };
        if decides(project, unit, other.function) {
            continue;
        }
        if let Some(send) = sends(project, unit, other.function) {
            let update = project.last_written(send).is_some_and(|name| UPDATES.contains(&name))
                || project.snippet(send).contains("notifications/resources/updated");
            return Some((send, update));
        }
    }
    None
}

/// Whether who calls a function asks before for the caller's own thing: a call that is told who calls, beside the one that keeps.
fn is_asked_before(project: &Project, fun: Fun) -> bool {
    let asks = |fun: Fun, but: Option<ExprId>| {
        let Some(unit) = project.unit(fun.module) else { return false };
        let mut found = !project.guards(fun).is_empty();
        walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
            let at = At { module: fun.module, expr };
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            if Some(expr) != but {
                found |= call.args.iter().any(|arg| {
                    matches!(
                        unit.ir.expr(arg.value),
                        ExprKind::Name(NameRef::Binding(_)) | ExprKind::Member { .. } | ExprKind::Call(_)
                    ) && has_owner(project, at.to(arg.value), DEPTH)
                });
            }
        });
        found
    };
    asks(fun, None)
        || project.callers(fun).iter().take(8).any(|call| asks(project.function_of(*call), Some(call.expr)))
}
