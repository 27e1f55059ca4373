//! The same as `left_out_check` for classes that do one thing each and stand in files of their own, one beside the other in a folder:
//! `GetNote.execute`, `DropNote.execute`.

use std::collections::BTreeMap;

use partywall_model::Confidence;

use super::{
    left_out_check::{Asked, Has, asked_by, calls_of_all, check_of, functions, has},
    left_out_look::Look,
};
use crate::{
    project::{At, Fun, Project},
    rules::{Report, refusing::refuses_by_name},
};

/// How many of the folder have to check before one that does not is told, and how many of the project.
const BESIDE: usize = 2;
const CHECKED: usize = 3;

/// What the one method of such a class is called.
const METHODS: &[&str] = &["execute", "handle", "run", "invoke", "perform", "__call__"];

/// Reports such methods.
pub(super) fn left_out_use_case(project: &Project, report: &mut Report<'_>) {
    let checks = project.calls_named(refuses_by_name);
    let mut asked: BTreeMap<Asked, BTreeMap<Fun, Vec<At>>> = BTreeMap::new();
    let mut refused = BTreeMap::new();
    let mut all: Vec<(Fun, Has)> = Vec::new();
    for (module, unit) in project.units().filter(|(module, _)| project.has_owners(*module)) {
        let mut own = unit.ir.functions().map(|(id, _)| Fun { module, id });
        if !own.any(|fun| is_use_case(project, fun)) {
            continue;
        }
        let come = functions(project, unit, module).into_iter().filter(|fun| is_use_case(project, *fun));
        all.extend(come.map(|fun| (fun, has(project, unit, fun))));
        for expr in checks.among(module) {
            let at = At { module, expr: *expr };
            let fun = project.function_of(at);
            if is_use_case(project, fun)
                && let Some(check) = check_of(project, at, &mut refused)
                && let Some(one) = asked_by(project, unit, fun, at, check)
            {
                asked.entry(Asked { class: None, ..one }).or_default().entry(fun).or_default().push(at);
            }
        }
    }
    for (asked, told) in asked.iter().filter(|(_, told)| told.len() >= CHECKED) {
        judge(project, report, asked, told, &all);
    }
}

/// Whether a function is the one method of a class that does one thing.
fn is_use_case(project: &Project, fun: Fun) -> bool {
    METHODS.contains(&project.function_name(fun)) && project.this_of(fun).is_some()
}

fn judge(
    project: &Project,
    report: &mut Report<'_>,
    asked: &Asked,
    told: &BTreeMap<Fun, Vec<At>>,
    all: &[(Fun, Has)],
) {
    let common = calls_of_all(project, told, all);
    let folder = |fun: Fun| {
        let path = project.unit(fun.module).map_or("", |unit| unit.ir.path.as_str());
        path.rsplit_once('/').map_or("", |(folder, _)| folder)
    };
    for (fun, has) in all.iter().filter(|(fun, _)| !told.contains_key(fun)) {
        let Some(unit) = project.unit(fun.module) else { continue };
        let beside: Vec<&Vec<At>> = told
            .iter()
            .filter(|(peer, _)| folder(**peer) == folder(*fun))
            .map(|(_, checks)| checks)
            .collect();
        let own = Asked { class: project.this_of(*fun), ..asked.clone() };
        let look = Look { project, unit, asked: &own, common: &common };
        let Some(check) = beside.first().and_then(|checks| checks.first()) else { continue };
        if beside.len() < BESIDE || !look.is_alike(*fun, has) {
            continue;
        }
        let Some(at) = look.used(has).filter(|_| !look.is_kept(*fun, has)) else { continue };
        let thing = asked.things.keys().next().map_or("", String::as_str);
        let name = project.function_name(asked.check);
        report
            .reached(
                at,
                format!("`{thing}` is used here without `{name}`, which those of this folder call first"),
            )
            .confidence(Confidence::Medium)
            .related(check.module, project.span(*check), "it is checked here");
    }
}
