//! Things that all callers find by a name, and that are set to what the last one brought: `const kept = tools.get(def.name);
//! kept.run.current = executor`. Who found the thing before goes on with it, and so with another caller's executor.

use partywall_model::{Confidence, Severity};

use super::unscoped_cache_key::is_scoped;
use crate::{
    flow::{Access, Lifetimes, Store},
    ir::{BindingId, ExprId, ExprKind, FunctionId, NameRef, StmtKind},
    project::{At, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Last words of keys that say what a thing is, and not which one.
const KINDS: &[&str] =
    &["name", "kind", "type", "method", "tool", "action", "command", "topic", "operation", "slug"];

/// Words of what acts for one caller.
const ACTS: &[&str] = &[
    "executor",
    "execute",
    "handler",
    "callback",
    "context",
    "ctx",
    "client",
    "session",
    "user",
    "caller",
    "request",
    "req",
    "responder",
    "respond",
    "reply",
    "send",
    "sender",
    "emit",
    "sink",
    "socket",
    "transport",
    "connection",
    "principal",
    "credentials",
    "token",
    "headers",
    "auth",
    "account",
    "tenant",
    "workspace",
];

/// How many members deep a place is looked for.
const DEEP: usize = 4;

/// Reports such writes.
pub(super) fn repointed(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for access in project
        .accesses()
        .iter()
        .filter(|access| access.value.is_none() && access.function.id != FunctionId::MODULE)
    {
        let Some(unit) = project.unit(access.at.module) else { continue };
        let own_object =
            matches!(&access.store, Store::Field(class, _) if lives.outlives(*class) != Some(true));
        let Some(kept) = kept_in(unit, access).filter(|_| !own_object) else { continue };
        let says_kind = project.last_written(access.key).is_some_and(|name| {
            vocabulary::words(name).last().is_some_and(|last| KINDS.contains(&last.as_str()))
        });
        if !says_kind || is_scoped(project, access.key) {
            continue;
        }
        let key = project.roots(access.key);
        for write in unit.index.writes.iter().filter(|write| write.function == access.function.id) {
            let place = At { module: access.at.module, expr: write.place };
            let value = At { module: access.at.module, expr: write.value };
            let Some(brought) = brought(project, unit, access, value).filter(|id| !key.contains(id)) else {
                continue;
            };
            if !is_below(unit, write.place, kept) || project.order(place) < project.order(access.at) {
                continue;
            }
            let name = unit.ir.binding_name(brought);
            let found = report.reached(
                place,
                format!("`{}` finds this by a name for everybody, and it goes on with the `{name}` of whoever asked last", access.name),
            );
            let severity =
                if lives.is_per_request(access.function) { Severity::Medium } else { Severity::Low };
            found.severity(severity).confidence(Confidence::Medium).related(
                access.at.module,
                project.span(access.at),
                "it is found here",
            );
        }
    }
}

/// The variable that what was found goes into.
fn kept_in(unit: &Unit, access: &Access) -> Option<BindingId> {
    let stmt = unit.index.stmt_of(access.at.expr)?;
    let StmtKind::Assign { target, value, .. } = unit.ir.stmt(stmt) else { return None };
    let mut here = *value;
    while let ExprKind::Await(inner) = unit.ir.expr(here) {
        here = *inner;
    }
    (here == access.at.expr).then(|| target.as_binding()).flatten()
}

/// The parameter of the same function that a value is, where that acts for one caller.
fn brought(project: &Project, unit: &Unit, access: &Access, value: At) -> Option<BindingId> {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(value.expr) else { return None };
    let (fun, ..) = project.parameter_of(value.module, *id)?;
    let acts = vocabulary::words(unit.ir.binding_name(*id)).iter().any(|word| ACTS.contains(&word.as_str()));
    (fun == access.function && acts).then_some(*id)
}

/// Whether a place is a member of a variable, or of a member of it.
fn is_below(unit: &Unit, place: ExprId, kept: BindingId) -> bool {
    let mut here = place;
    for step in 0..=DEEP {
        here = match unit.ir.expr(here) {
            ExprKind::Member { object, .. } | ExprKind::Index { object, .. } => *object,
            ExprKind::Name(NameRef::Binding(id)) => return step > 0 && *id == kept,
            _ => return false,
        };
    }
    false
}
