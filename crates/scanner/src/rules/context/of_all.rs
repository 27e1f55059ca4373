//! A default that is taken so often that it is no lapse: a place that all who have no tenant share.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ir::{ExprId, ExprKind, Kinds, LogicalOp, walk},
    project::{At, Project, Unit},
    vocabulary,
};

/// In how many places a text stands in for a missing tenant before that is how the program is meant.
const MANY: usize = 4;

/// Whether a default is one that the project takes everywhere: `ctx.workspaceId ?? "global"` in each handler.
pub(super) fn is_place_of_all(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let places = project.memory.places_of_all.get_or_init(|| find(project));
    let mut found = false;
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        found |= text_of(unit, expr).is_some_and(|text| places.contains(text));
    });
    found
}

fn find(project: &Project) -> BTreeSet<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (module, unit) in project.units() {
        for (_, expr) in unit.ir.exprs_of(Kinds::CHOICE) {
            let ExprKind::Logical { op: LogicalOp::Or | LogicalOp::Nullish, left, right } = expr else {
                continue;
            };
            let name = project.written(At { module, expr: *left }).pop();
            if let Some(text) = text_of(unit, *right)
                && name.is_some_and(|name| vocabulary::is_tenant(&name))
            {
                *counts.entry(text.to_owned()).or_default() += 1;
            }
        }
    }
    counts.into_iter().filter(|(_, count)| *count >= MANY).map(|(text, _)| text).collect()
}

fn text_of(unit: &Unit, expr: ExprId) -> Option<&str> {
    match unit.ir.expr(expr) {
        ExprKind::String(text) => Some(unit.ir.text(*text)),
        _ => None,
    }
}
