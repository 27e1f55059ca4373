//! Calls of a function that is not in the project, or not known, that say one argument less than its other calls in the same file, and
//! the missing one is the owner: `readEntry(root, id)` beside `readEntry(root, id, ctx.tenantId)`.

use std::collections::BTreeMap;

use partywall_model::{Confidence, Severity};

use super::owner_left_out::{READS, compares_owner, is_compared, knows_owner, says_owner, told_before};
use crate::{
    ir::{ArgKind, Call, ExprKind, NameRef},
    project::{At, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Reports such calls, where it is known whose data is meant.
pub(super) fn shorter_calls(project: &Project, report: &mut Report<'_>) {
    let reading = project.calls_named(|name| {
        vocabulary::words(name).first().is_some_and(|verb| READS.contains(&verb.as_str()))
    });
    for (module, unit) in project.units() {
        let mut calls: BTreeMap<&str, Vec<(At, &Call)>> = BTreeMap::new();
        for expr in reading.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(call.callee) else { continue };
            let name = unit.ir.binding_name(*id);
            let plain =
                call.args.len() > 1 && call.args.iter().all(|arg| matches!(arg.kind, ArgKind::Positional));
            if plain && project.callee(at).is_none_or(|callee| callee.targets.is_empty()) {
                calls.entry(name).or_default().push((at, call));
            }
        }
        for (name, calls) in calls.into_iter().filter(|(_, calls)| calls.len() > 1) {
            judge(project, report, unit, name, &calls);
        }
    }
}

fn judge(project: &Project, report: &mut Report<'_>, unit: &Unit, name: &str, calls: &[(At, &Call)]) {
    // The number of arguments of which the last is an owner's id.
    let full = calls.iter().find_map(|(at, call)| {
        let last = call.args.last()?;
        let owner = project.last_written(at.to(last.value)).is_some_and(vocabulary::is_owner);
        owner.then_some((call.args.len(), *at))
    });
    let Some((count, other)) = full else { return };
    for (at, call) in calls.iter().filter(|(_, call)| call.args.len() + 1 == count) {
        let fun = project.function_of(*at);
        if !knows_owner(project, fun)
            || says_owner(project, *at, call)
            || is_compared(project, unit, *at)
            || compares_owner(project, unit, *at)
            || told_before(project, unit, *at, call)
        {
            continue;
        }
        report
            .reached(*at, format!("`{name}` is told whose data is meant elsewhere in this file, and not here, where it is known too"))
            .severity(Severity::Medium)
            .confidence(Confidence::Medium)
            .related(other.module, project.span(other), "it is told here");
    }
}
