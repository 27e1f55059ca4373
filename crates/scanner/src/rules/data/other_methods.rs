//! Methods of one class over one map: those that take an id take the owner too, and one takes the id alone, or keeps what it is given
//! under the id alone: `update(note_id, text)` beside `get(note_id, tenant_id)` and `delete(note_id, tenant_id)`.

use std::collections::{BTreeMap, BTreeSet};

use partywall_model::{Confidence, Severity};

use super::{callers::is_id, kept_records::looks_whose};
use crate::{
    flow::{Access, Store},
    ir::{BindingKind, ExprKind, FunctionKind, NameRef, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Words of ids of what a process holds for a while and nobody owns.
const LINES: &[&str] =
    &["client", "connection", "conn", "socket", "ws", "stream", "request", "message", "session"];

/// How many methods have to take the owner before one that does not is told.
const ENOUGH: usize = 2;

/// Reports what such methods read, change or put.
pub(super) fn other_methods(project: &Project, report: &mut Report<'_>) {
    let mut stores: BTreeMap<&Store, Vec<&Access>> = BTreeMap::new();
    for access in project.accesses() {
        let of_class = matches!(&access.store, Store::Field(class, _) if project.this_of(access.function) == Some(*class));
        if of_class && !vocabulary::is_cache(&access.name) && project.has_owners(access.at.module) {
            stores.entry(&access.store).or_default().push(access);
        }
    }
    for accesses in stores.values() {
        let told: BTreeSet<Fun> = accesses
            .iter()
            .map(|access| access.function)
            .filter(|fun| takes_owner(project, *fun) && looks_whose(project, *fun))
            .collect();
        if told.len() < ENOUGH || accesses.iter().any(|access| says_owner(project, access.key)) {
            continue;
        }
        let mut seen = BTreeSet::new();
        for access in accesses {
            let fun = access.function;
            if told.contains(&fun)
                || !is_open(project, fun)
                || takes_owner(project, fun)
                || looks_whose(project, fun)
                || seen.contains(&fun)
            {
                continue;
            }
            let Some(unit) = project.unit(access.at.module) else { continue };
            let Some(name) = id_of(project, unit, access.key, access.value.is_some()) else { continue };
            seen.insert(fun);
            let found = match access.value {
                Some(_) => report
                    .reached(access.at, format!("other methods compare the owner of what `{}` holds; this one puts it under `{name}` alone, where another owner's may be", access.name))
                    .severity(Severity::Low)
                    .confidence(Confidence::Low),
                None => report
                    .reached(access.at, format!("other methods are told whose of `{}` is meant; this one takes `{name}` alone", access.name))
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium),
            };
            if let Some(other) = accesses.iter().find(|other| told.contains(&other.function)) {
                found.related(other.at.module, project.span(other.at), "the owner is compared here");
            }
        }
    }
}

/// Whether a method is one that others call.
fn is_open(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let Some(function) = unit.ir.function(fun.id) else { return false };
    matches!(function.kind, FunctionKind::Method | FunctionKind::Static)
        && function.name.is_some_and(|name| {
            let name = unit.ir.text(name);
            !name.starts_with(['_', '#'])
                && !vocabulary::words(name)
                    .iter()
                    .any(|word| matches!(word.as_str(), "internal" | "admin" | "system" | "unscoped"))
        })
}

/// Whether a function is told whose something is.
fn takes_owner(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return true };
    let Some(function) = unit.ir.function(fun.id) else { return true };
    let mut takes = false;
    for parameter in &function.params {
        parameter.pattern.for_each_binding(&mut |id| {
            let name = unit.ir.binding_name(id);
            takes |= vocabulary::is_owner(name)
                || vocabulary::is_principal(name)
                || matches!(name, "user" | "scope" | "tenant" | "owner" | "ctx" | "context");
        });
    }
    takes
}

/// Whether a key names an owner.
fn says_owner(project: &Project, key: At) -> bool {
    let Some(unit) = project.unit(key.module) else { return true };
    let mut says = false;
    walk::exprs_below(&unit.ir, key.expr, &mut |expr| {
        let name = match unit.ir.expr(expr) {
            ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
            ExprKind::Member { property, .. } => unit.ir.text(*property),
            _ => return,
        };
        says |= vocabulary::is_owner(name);
    });
    // A key that is put together elsewhere may say it.
    let made = match unit.ir.expr(key.expr) {
        ExprKind::Name(NameRef::Binding(id)) => {
            !unit.index.sources(*id).is_empty() && project.origins(key).has_owner()
        }
        ExprKind::Call(_) => true,
        _ => false,
    };
    says || made
}

/// The id that a key is: a parameter, for what is put also a field of one.
fn id_of(project: &Project, unit: &Unit, key: At, puts: bool) -> Option<String> {
    let name = match unit.ir.expr(key.expr) {
        ExprKind::Name(NameRef::Binding(id)) => {
            let parameter =
                matches!(unit.ir.binding(*id).map(|own| own.kind), Some(BindingKind::Parameter(_)));
            parameter.then(|| unit.ir.binding_name(*id).to_owned())?
        }
        ExprKind::Member { property, .. } if puts => unit.ir.text(*property).to_owned(),
        _ => return None,
    };
    let line = vocabulary::words(&name).iter().any(|word| LINES.contains(&word.as_str()));
    (is_id(&name) && !line && !project.is_fixed(key)).then_some(name)
}
