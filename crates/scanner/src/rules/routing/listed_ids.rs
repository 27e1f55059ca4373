//! The ids of everybody's sessions in an answer: `res.json({ sessions: [...sessions.keys()] })` of a page about the server's health.
//! What an id alone leads to is open to whoever reads them there.

use std::collections::BTreeMap;

use partywall_model::{Confidence, Severity};

use super::told_ids::keys_of;
use crate::{
    flow::{Admits, Lifetimes, Store},
    ir::{FunctionId, walk},
    project::{At, Fun, Project},
    rules::Report,
    tenancy::is_stdio_only,
    vocabulary,
};

/// Last words of maps whose keys are the ids of what one caller opened for itself.
const OPENED: &[&str] = &["sessions", "transports", "connections", "conversations", "servers"];

/// How many callers of a function that gives the ids are looked at.
const CALLERS: usize = 24;

/// Maps of sessions whose ids are given to whoever asks, with the place where that is.
pub(super) struct Listed(BTreeMap<Store, At>);

impl Listed {
    /// Those of a project.
    pub(super) fn of(project: &Project, lives: &Lifetimes<'_>) -> Self {
        let keys =
            project.calls_named(|name| matches!(name, "keys" | "entries" | "items" | "list" | "sorted"));
        let mut found = BTreeMap::new();
        for (module, unit) in project.units().filter(|(_, unit)| !is_stdio_only(unit)) {
            for expr in keys.among(module) {
                let at = At { module, expr: *expr };
                let Some(map) = keys_of(project, unit, at) else { continue };
                let name = project.last_written(map).unwrap_or_default();
                let words = vocabulary::words(name);
                if !words.last().is_some_and(|last| OPENED.contains(&last.as_str())) {
                    continue;
                }
                let Some((store, _)) = project.store(map) else { continue };
                if let Some(shown) = shown(project, lives, at) {
                    found.entry(store).or_insert(shown);
                }
            }
        }
        Self(found)
    }

    /// Where the ids of a map are given, if they are.
    pub(super) fn is_listed(&self, project: &Project, map: At) -> Option<At> {
        if self.0.is_empty() {
            return None;
        }
        project.store(map).and_then(|(store, _)| self.0.get(&store)).copied()
    }

    /// The same of the map that a function of the project looks into which a call calls.
    pub(super) fn is_looked_into(&self, project: &Project, call: At) -> Option<At> {
        if self.0.is_empty() {
            return None;
        }
        let callee = project.callee(call).filter(|callee| callee.certain)?;
        callee.targets.iter().take(2).find_map(|target| {
            let unit = project.unit(target.module)?;
            let mut listed = None;
            walk::function_exprs(&unit.ir, target.id, &mut |expr| {
                listed = listed.or_else(|| self.is_listed(project, At { module: target.module, expr }));
            });
            listed
        })
    }
}

/// Where what a call lists is given to a caller that is not the operator's: there, or where the function that gives it is called.
fn shown(project: &Project, lives: &Lifetimes<'_>, keys: At) -> Option<At> {
    let fun = project.function_of(keys);
    if fun.id == FunctionId::MODULE || !project.is_shown(keys) {
        return None;
    }
    if answers(project, fun) {
        return Some(keys);
    }
    project.callers(fun).iter().take(CALLERS).copied().find(|call| {
        let from = project.function_of(*call);
        lives.is_per_request(from) && answers(project, from) && project.is_shown(*call)
    })
}

/// Whether a function is a handler, or stands in one, for others than the operator's people.
fn answers(project: &Project, fun: Fun) -> bool {
    project
        .around(fun)
        .into_iter()
        .any(|around| project.entry(around).is_some() && project.admits(around) < Admits::Admins)
}

/// Reports where they are given.
pub(super) fn listed_ids(project: &Project, listed: &Listed, report: &mut Report<'_>) {
    let mut places: Vec<At> = listed.0.values().copied().collect();
    places.sort_unstable();
    places.dedup();
    for at in places {
        let severity = if project.has_owners(at.module) || project.knows_callers(at.module) {
            Severity::Medium
        } else {
            Severity::Low
        };
        report
            .reached(at, "whoever asks is given the ids of all sessions, and may use them")
            .severity(severity)
            .confidence(Confidence::Medium);
    }
}
