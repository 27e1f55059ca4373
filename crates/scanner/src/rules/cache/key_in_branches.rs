//! A key that says whose in one case and not in another: `who = f"bearer:{token}"`, or `who = f"oauth:{client_name}"` of an object that
//! knows its user.

use partywall_model::{Confidence, Severity};

use super::left_out::names_party;
use crate::{
    ir::{BindingId, ExprId, ExprKind, FunctionId, NameRef, TemplatePart, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Last words of names that say what kind of credential or client something is, and not whose.
const KINDS: &[&str] = &[
    "name", "scope", "scopes", "type", "uri", "url", "kind", "provider", "mode", "method", "endpoint",
    "version",
];

/// Reports the texts of such cases, in functions that make keys of caches.
pub(super) fn key_in_branches(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for (id, function) in unit.ir.functions() {
            let fun = Fun { module, id };
            let words = vocabulary::words(project.function_name(fun));
            let makes = words.last().is_some_and(|last| last == "key")
                && words.iter().any(|word| matches!(word.as_str(), "cache" | "cached" | "pool" | "memo"));
            if !makes || id == FunctionId::MODULE || function.params.len() > 8 {
                continue;
            }
            let Some(owner) = owner_at_hand(project, unit, fun) else { continue };
            let mut parts: Vec<BindingId> = Vec::new();
            for value in unit.index.returns(id) {
                walk::exprs_below(&unit.ir, *value, &mut |expr| {
                    if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr)
                        && !parts.contains(id)
                    {
                        parts.push(*id);
                    }
                });
            }
            for part in parts {
                let values: Vec<ExprId> =
                    unit.index.sources(part).iter().map(|source| source.value).collect();
                let said = values.iter().any(|value| says_party(unit, *value, 2));
                let silent = values
                    .iter()
                    .find(|value| says_something(unit, **value) && !says_party(unit, **value, 2));
                if let (true, Some(value)) = (said, silent) {
                    report
                        .reached(
                            At { module, expr: *value },
                            format!("in this case the key does not say whose, and `{owner}` is left out"),
                        )
                        .severity(Severity::Medium)
                        .confidence(Confidence::Medium);
                }
            }
        }
    }
}

/// The owner that a method's object or a function's parameters name, if nothing in the function speaks of it.
fn owner_at_hand(project: &Project, unit: &Unit, fun: Fun) -> Option<String> {
    let function = unit.ir.function(fun.id)?;
    let param = function.params.iter().filter_map(|own| own.name).map(|name| unit.ir.text(name));
    let mut owners: Vec<&str> = param.filter(|name| vocabulary::is_owner(name)).collect();
    if let Some(class) = project.this_of(fun) {
        let of_class = unit.index.writes.iter().filter_map(|write| {
            let ExprKind::Member { object, property, .. } = unit.ir.expr(write.place) else { return None };
            let own = matches!(unit.ir.expr(*object), ExprKind::This)
                && project.this_of(Fun { module: fun.module, id: write.function }) == Some(class);
            let name = unit.ir.text(*property);
            (own && vocabulary::is_owner(name)).then_some(name)
        });
        owners.extend(of_class);
    }
    let body = unit.ir.snippet(function.span);
    owners.into_iter().find(|owner| !body.contains(owner)).map(str::to_owned)
}

/// Whether a value is a text with values in it.
fn says_something(unit: &Unit, value: ExprId) -> bool {
    matches!(unit.ir.expr(value), ExprKind::Template(parts)
        if parts.iter().any(|part| matches!(part, TemplatePart::Value(_))))
}

/// Whether a value names a party, or a variable in it was set to one that does.
fn says_party(unit: &Unit, value: ExprId, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    let party = |name: &str| {
        names_party(name)
            && !vocabulary::words(name).last().is_some_and(|last| KINDS.contains(&last.as_str()))
    };
    let mut says = false;
    walk::exprs_below(&unit.ir, value, &mut |expr| {
        says |= match unit.ir.expr(expr) {
            ExprKind::Member { property, .. } => party(unit.ir.text(*property)),
            ExprKind::Name(NameRef::Binding(id)) => {
                party(unit.ir.binding_name(*id))
                    || unit
                        .index
                        .sources(*id)
                        .iter()
                        .take(3)
                        .any(|source| source.value != value && says_party(unit, source.value, steps))
            }
            _ => false,
        };
    });
    says
}
