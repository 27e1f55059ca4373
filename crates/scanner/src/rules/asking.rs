//! Whether a function may find out who calls, though it is not told.

use crate::{
    flow::Origins,
    ir::{ExprKind, walk},
    project::{At, Fun, Project},
    vocabulary,
};

/// Words of functions that say who calls.
const ASKS: &[&str] = &[
    "session",
    "auth",
    "principal",
    "viewer",
    "current",
    "context",
    "user",
    "headers",
    "cookies",
    "token",
    "caller",
];

/// Whether a function, or one that it calls, may find out who calls: it asks for the caller or reads what the object has of one.
pub(crate) fn may_ask(project: &Project, fun: Fun, depth: u32) -> bool {
    let (Some(depth), Some(unit)) = (depth.checked_sub(1), project.unit(fun.module)) else { return true };
    let mut asks = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: fun.module, expr };
        asks = asks
            || match unit.ir.expr(expr) {
                ExprKind::Member { .. } | ExprKind::Name(_) => {
                    project.origins(at).has(Origins::PRINCIPAL | Origins::SECRET | Origins::REQUEST)
                }
                ExprKind::Call(_) => project.callee(at).is_some_and(|callee| {
                    let words = vocabulary::words(callee.name());
                    words.iter().any(|word| ASKS.contains(&word.as_str()))
                        || callee
                            .targets
                            .iter()
                            .any(|target| *target != fun && may_ask(project, *target, depth))
                }),
                _ => false,
            };
    });
    asks
}
