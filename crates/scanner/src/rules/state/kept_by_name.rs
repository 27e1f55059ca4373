//! Maps of the module in which a request keeps what it was sent under a name that it chooses, and another one reads it by that name:
//! `saved.set(name, text)`; and things that are removed by an id alone.

use std::collections::BTreeMap;

use partywall_model::{Confidence, Severity};

use super::request_in_shared_list::is_other;
use crate::{
    flow::{Access, Lifetimes, Origins, Store, is_on_shared_object},
    ir::{ExprKind, Language},
    project::{At, Project},
    rules::{
        Report,
        data::{
            kept_records::{looks_whose, says_whose},
            named_objects::{DEPTH, has_owner, is_chosen},
        },
    },
    vocabulary,
};

/// Words of names that whoever has them is meant to have: a room's, a game's, what is found by a code.
const JOINED: &[&str] = &[
    "room",
    "rooms",
    "channel",
    "channels",
    "topic",
    "topics",
    "game",
    "games",
    "lobby",
    "document",
    "event",
    "events",
    "id",
    "url",
    "uri",
    "path",
    "locale",
    "lang",
    "model",
    "models",
    "tool",
    "tools",
    "symbol",
    "city",
    "country",
    "domain",
    "domains",
    "host",
    "hosts",
    "server",
    "servers",
    "plugin",
    "plugins",
    "provider",
    "providers",
    "agent",
    "agents",
    "flag",
    "flags",
    "setting",
    "settings",
    "config",
    "configs",
];

/// Reports such maps, where they are filled.
pub(super) fn kept_by_name(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    let mut by_store: BTreeMap<Store, Vec<&Access>> = BTreeMap::new();
    for access in project.accesses() {
        by_store.entry(access.store.clone()).or_default().push(access);
    }
    for (store, accesses) in &by_store {
        let Some(first) = accesses.first() else { continue };
        let joined = vocabulary::words(&first.name).iter().any(|word| JOINED.contains(&word.as_str()));
        let aside = joined
            || is_other(&first.name)
            || vocabulary::is_cache(&first.name)
            || vocabulary::has_own_rules(&first.name);
        if aside || !is_of_server(project, first) || accesses.iter().any(|own| has_owner(project, own.key, 3))
        {
            continue;
        }
        let named = |access: &&&Access| {
            lives.is_per_request(access.function)
                && is_name(project, access)
                && is_chosen(project, access.key, DEPTH)
                && !looks_whose(project, access.function)
        };
        // What says whose it is, or a thing of one name for all, has a rule of its own.
        let brings = |access: &&&Access| access.value.is_some_and(|value| is_only_sent(project, value));
        let fill = accesses.iter().filter(brings).find(named);
        let read =
            accesses.iter().filter(|access| access.value.is_none() && gives(project, access)).find(named);
        let (Some(fill), Some(read)) = (fill, read) else { continue };
        if matches!(store, Store::Field(..)) && !is_on_shared_object(project, lives, fill.function) {
            continue;
        }
        report
            .reached(fill.at, format!("`{}` keeps this under a name of the request alone, and gives it to whoever says that name", fill.name))
            .severity(Severity::Medium)
            .confidence(Confidence::Medium)
            .related(read.at.module, project.span(read.at), "it is given here");
    }
    removed(project, lives, &by_store, report);
}

/// Whether an access is of code whose handlers know who calls.
fn is_of_server(project: &Project, access: &Access) -> bool {
    project.handlers_know_callers(access.at.module)
}

/// Whether a key is a name that a person would choose, and no id or address.
fn is_name(project: &Project, access: &Access) -> bool {
    let name = project.last_written(access.key).unwrap_or_default();
    let words = vocabulary::words(name);
    !words.is_empty() && !words.iter().any(|word| JOINED.contains(&word.as_str()))
}

/// Whether a value is what a request was sent, and nothing that was worked out or says whose it is.
fn is_only_sent(project: &Project, value: At) -> bool {
    let origins = project.origins(value);
    let Some(unit) = project.unit(value.module) else { return false };
    let plain =
        matches!(unit.ir.expr(value.expr), ExprKind::Name(_) | ExprKind::Member { .. } | ExprKind::Object(_));
    plain
        && origins.has(Origins::INPUT)
        && !origins.has(Origins::PRINCIPAL | Origins::OWNER | Origins::SECRET)
}

/// Whether what an access finds is part of an answer.
fn gives(project: &Project, access: &Access) -> bool {
    let Some(unit) = project.unit(access.at.module) else { return false };
    let asks = match unit.ir.expr(access.at.expr) {
        ExprKind::Call(call) => project.last_written(access.at.to(call.callee)) != Some("has"),
        _ => true,
    };
    asks && project.is_shown(access.at)
}

/// Reports `notes.delete(id)` by an id of the request, where what is kept says whose it is and the function looks at nothing of it.
fn removed(
    project: &Project,
    lives: &Lifetimes<'_>,
    by_store: &BTreeMap<Store, Vec<&Access>>,
    report: &mut Report<'_>,
) {
    let likely = project.calls_named(|name| name == "delete");
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::JavaScript) {
        for expr in likely.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let (ExprKind::Member { object, .. }, Some(key)) =
                (unit.ir.expr(call.callee), call.positional(0))
            else {
                continue;
            };
            let fun = project.function_of(at);
            if !lives.is_per_request(fun) || !project.handlers_know_callers(module) {
                continue;
            }
            let Some((store, name)) = project.store(at.to(*object)) else { continue };
            if is_other(&name) || vocabulary::is_cache(&name) || vocabulary::has_own_rules(&name) {
                continue;
            }
            let Some(accesses) = by_store.get(&store) else { continue };
            let whose = accesses.iter().any(|own| {
                own.value.is_some_and(|value| {
                    project.unit(value.module).is_some_and(|unit| says_whose(project, unit, value))
                        && lives.is_per_request(own.function)
                })
            });
            let looked = accesses.iter().any(|own| own.function == fun) || looks_whose(project, fun);
            let key = at.to(key);
            if whose && !looked && !has_owner(project, key, 3) && is_chosen(project, key, DEPTH) {
                report
                    .reached(at, format!("what `{name}` keeps says whose it is, and is removed by an id of the request alone"))
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}
