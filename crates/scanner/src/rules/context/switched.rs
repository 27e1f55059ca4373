//! Defaults that only decide whether something new is switched on, the bucket of a feature flag or an experiment.

use crate::{
    ir::ExprKind,
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
