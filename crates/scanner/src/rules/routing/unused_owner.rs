//! Functions that name the place of connections and are told whose they are, but leave that out: `roomOf(tenantId, topic)` that gives
//! `topic.toLowerCase()`.

use partywall_model::{Confidence, Severity};

use super::broadcast::HOLDERS;
use crate::{
    flow::Lifetimes,
    ir::{BindingId, ExprId, ExprKind, FunctionId, NameRef, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Last words of names of functions that name a place.
const NAMES: &[&str] = &["key", "topic", "room", "channel", "group", "of", "for", "name", "id"];

/// Methods of maps and sets that are given a key.
const KEYED: &[&str] = &["get", "set", "has", "delete", "to", "in", "join", "emit"];

/// Reports such functions, where what they give is a key to connections that all requests share.
pub(super) fn unused_owner(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        for (id, function) in unit.ir.functions() {
            if id == FunctionId::MODULE
                || function.params.len() < 2
                || function.body.len() > 2
                || function.class.is_some()
            {
                continue;
            }
            let named = function.name.is_some_and(|name| {
                let words = vocabulary::words(unit.ir.text(name));
                words.iter().any(|word| NAMES.contains(&word.as_str()))
            });
            let [value] = unit.index.returns(id) else { continue };
            let own: Vec<BindingId> =
                function.params.iter().filter_map(|own| own.pattern.as_binding()).collect();
            let unused = own.iter().find(|own| {
                let name = unit.ir.binding_name(**own);
                vocabulary::is_tenant(name) && !name.starts_with('_') && unit.index.uses(**own).is_empty()
            });
            let Some(unused) = unused.filter(|_| named && is_made_of(unit, *value, &own)) else { continue };
            let fun = Fun { module, id };
            if project.callers(fun).iter().take(16).any(|call| is_key_to_connections(project, &lives, *call))
            {
                let name = unit.ir.binding_name(*unused);
                report
                    .at(
                        At { module, expr: *value },
                        format!("`{name}` is left out of the name under which connections are kept, and so another tenant's are under it too"),
                    )
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether a value has one of some parameters in it.
fn is_made_of(unit: &Unit, value: ExprId, own: &[BindingId]) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, value, &mut |expr| {
        found |= matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if own.contains(id));
    });
    found
}

/// Whether what a call gives is a key to what holds connections beyond the request, also through a variable.
fn is_key_to_connections(project: &Project, lives: &Lifetimes<'_>, call: At) -> bool {
    let Some(unit) = project.unit(call.module) else { return false };
    let fun = project.function_of(call);
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let ExprKind::Call(other) = unit.ir.expr(expr) else { return };
        let ExprKind::Member { object, property, .. } = unit.ir.expr(other.callee) else { return };
        let Some(key) = other.positional(0).filter(|_| KEYED.contains(&unit.ir.text(*property))) else {
            return;
        };
        let is_it = key == call.expr
            || matches!(unit.ir.expr(key), ExprKind::Name(NameRef::Binding(id))
                if unit.index.sources(*id).iter().any(|source| source.value == call.expr));
        let holder = || {
            let words = project.last_written(call.to(*object)).map(vocabulary::words);
            words.is_some_and(|words| {
                words.last().is_some_and(|word| {
                    HOLDERS.contains(&word.as_str()) || matches!(word.as_str(), "io" | "rooms")
                })
            })
        };
        found |= !found && is_it && holder() && lives.cell(call.to(*object)).is_some();
    });
    found
}
