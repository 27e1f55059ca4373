//! What is made with a credential that a function or constructor is handed, and kept under a key that has nothing of it:
//! `clients.set(baseUrl, new Client({ baseUrl, apiKey }))` in `getClient(baseUrl, apiKey)`. The next one who names the same address is
//! given what the first one's credential opened.

use std::collections::BTreeSet;

use partywall_model::{Confidence, Severity};

use super::{
    made_for_caller::{is_told, made_for_somebody, parts_of, says_caller, values_of},
    unscoped_cache_key::is_scoped,
};
use crate::{
    flow::{Access, Lifetimes, Origins, Store},
    ir::{BindingId, ExprId, ExprKind, FunctionId, FunctionKind, NameRef, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Words of parameters that are no credential of a party, although they are named like one.
const OTHER: &[&str] = &[
    "tokenizer",
    "tokens",
    "page",
    "cursor",
    "csrf",
    "cancel",
    "cancellation",
    "abort",
    "public",
    "primary",
    "sort",
    "partition",
    "cache",
];

/// Reports such values, once a function and store.
pub(super) fn made_with_given(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    let mut read: BTreeSet<(Store, Fun)> = BTreeSet::new();
    for access in project.accesses().iter().filter(|access| access.value.is_none()) {
        read.insert((access.store.clone(), access.function));
    }
    let mut told: BTreeSet<(Store, Fun)> = BTreeSet::new();
    for write in project.accesses() {
        let place = (write.store.clone(), write.function);
        let own_object = matches!(&place.0, Store::Field(class, _) if lives.outlives(*class) == Some(false));
        if write.function.id == FunctionId::MODULE
            || own_object
            || !read.contains(&place)
            || told.contains(&place)
            || vocabulary::has_own_rules(&write.name)
        {
            continue;
        }
        let (Some(unit), Some(value)) = (project.unit(write.at.module), write.value) else { continue };
        let Some(whose) = given(project, unit, write, value) else { continue };
        if project.is_fixed(write.key)
            || is_scoped(project, write.key)
            || says_caller(project, unit, write.key)
            || made_for_somebody(project, unit, value)
        {
            continue;
        }
        let name = unit.ir.binding_name(whose);
        if parts_of(project, unit, write.key).contains(name) {
            continue;
        }
        told.insert(place);
        report
            .reached(
                write.at,
                format!(
                    "`{}` keeps for everybody what was made with `{name}`, and the key has nothing of it",
                    write.name
                ),
            )
            .severity(Severity::Medium)
            .confidence(Confidence::Medium);
    }
}

/// The parameter that is a credential of which a kept value was made.
fn given(project: &Project, unit: &Unit, write: &Access, value: At) -> Option<BindingId> {
    let function = unit.ir.function(write.function.id)?;
    let secrets: Vec<BindingId> = bindings(function)
        .into_iter()
        .filter(|id| is_partys(unit.ir.binding_name(*id)) && !is_own(project, unit, write.at, *id))
        .collect();
    if secrets.is_empty() {
        return None;
    }
    let of_fields = (function.kind == FunctionKind::Constructor
        || function.name.is_some_and(|name| unit.ir.text(name) == "__init__"))
    .then(|| holders(project, unit, write.function, &secrets));
    let mut found = None;
    for part in values_of(project, unit, value) {
        walk::exprs_below(&unit.ir, part, &mut |expr| match unit.ir.expr(expr) {
            ExprKind::Name(NameRef::Binding(id)) if secrets.contains(id) && is_told(unit, expr) => {
                found = found.or(Some(*id))
            }
            ExprKind::Member { object, property, .. } if matches!(unit.ir.expr(*object), ExprKind::This) => {
                let holds = of_fields.as_ref().is_some_and(|fields| fields.contains(unit.ir.text(*property)));
                found = found.or_else(|| secrets.first().copied().filter(|_| holds));
            }
            _ => {}
        });
    }
    found
}

fn bindings(function: &crate::ir::Function) -> Vec<BindingId> {
    let mut found = Vec::new();
    function.params.iter().for_each(|own| own.pattern.for_each_binding(&mut |id| found.push(id)));
    found
}

/// The fields of an object that a constructor makes with a credential: `self.pool = connect(server, credentials)`.
fn holders<'u>(project: &Project, unit: &'u Unit, fun: Fun, secrets: &[BindingId]) -> BTreeSet<&'u str> {
    let mut found = BTreeSet::new();
    for write in unit.index.writes.iter().filter(|write| write.function == fun.id) {
        let ExprKind::Member { object, property, .. } = unit.ir.expr(write.place) else { continue };
        if !matches!(unit.ir.expr(*object), ExprKind::This)
            || !matches!(unit.ir.expr(write.value), ExprKind::Call(_) | ExprKind::Await(_))
        {
            continue;
        }
        let mut made = false;
        walk::exprs_below(&unit.ir, write.value, &mut |expr| {
            made |= match unit.ir.expr(expr) {
                ExprKind::Name(NameRef::Binding(id)) => secrets.contains(id) && is_told(unit, expr),
                ExprKind::Member { object, property, .. } => {
                    matches!(unit.ir.expr(*object), ExprKind::This)
                        && is_partys(unit.ir.text(*property))
                        && is_told(unit, expr)
                }
                _ => false,
            };
        });
        if made && project.function_of(At { module: fun.module, expr: write.place }) == fun {
            found.insert(unit.ir.text(*property));
        }
    }
    found
}

/// Whether a name is that of a credential that each party has one of.
fn is_partys(name: &str) -> bool {
    let words = vocabulary::words(name);
    let named = vocabulary::is_credential(name)
        || words.last().is_some_and(|last| matches!(last.as_str(), "credentials" | "creds" | "password"));
    named && !words.iter().any(|word| OTHER.contains(&word.as_str()))
}

/// Whether a parameter is known to be filled with the process's own: out of the environment, or fixed.
fn is_own(project: &Project, unit: &Unit, at: At, id: BindingId) -> bool {
    let uses: Vec<ExprId> = unit.index.uses(id).to_vec();
    uses.is_empty()
        || uses.iter().take(4).any(|used| {
            let origins = project.origins(at.to(*used));
            origins.has(Origins::ENV)
                || (origins.has(Origins::CONSTANT)
                    && !origins.is_of_request()
                    && !origins.has(Origins::UNKNOWN))
        })
}
