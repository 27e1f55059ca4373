//! Defaults that only decide whether something new is switched on, the bucket of a feature flag or an experiment, or whose data is made up.

use crate::{
    ir::{ExprKind, walk},
    project::{At, Parent, Project},
    vocabulary,
};

/// Words of functions that say whether something is switched on.
const SWITCHES: &[&str] =
    &["flag", "flags", "feature", "features", "experiment", "experiments", "toggle", "variant", "rollout"];

/// Whether a default is an argument of a call that asks whether something is switched on: `is_enabled(flag, entity_id=org or "default")`.
pub(super) fn is_for_switch(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let mut here = at.expr;
    for _ in 0..6 {
        let Parent::Expr(up) = unit.index.parent(here) else { return false };
        if let ExprKind::Call(call) = unit.ir.expr(up)
            && call.callee != here
        {
            return project.last_written(at.to(call.callee)).is_some_and(|name| {
                vocabulary::words(name).iter().any(|word| SWITCHES.contains(&word.as_str()))
            });
        }
        here = up;
    }
    false
}

/// Words of what is shown to visitors, and is nobody's.
const MADE_UP: &[&str] = &["demo", "sample"];

/// Whether a default says by its name that what it stands for is made up: `company ?? "demo"`.
pub(super) fn is_of_demonstration(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let mut found = false;
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        if let ExprKind::String(text) = unit.ir.expr(expr) {
            found |=
                vocabulary::words(unit.ir.text(*text)).iter().any(|word| MADE_UP.contains(&word.as_str()));
        }
    });
    found
}
