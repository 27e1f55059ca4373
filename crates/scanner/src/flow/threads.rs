//! Handlers that several threads run at the same time.

use crate::{
    ir::{ExprKind, Language, walk},
    project::{Fun, Project},
};

/// Packages that run a handler which is no coroutine in a thread of its own, beside those of other requests. Sources: the documentation
/// of Flask, Django, Bottle, Starlette and FastAPI.
const THREADED: &[&str] =
    &["flask", "django", "bottle", "fastapi", "starlette", "rest_framework", "ninja", "falcon", "pyramid"];

impl Project {
    /// Whether a function answers requests in threads, so that others may come in between although nothing in it waits: it and the
    /// handler that calls it are no coroutines, and the handler's library has threads for those.
    pub(crate) fn runs_in_threads(&self, fun: Fun) -> bool {
        let is_plain = |fun: Fun| {
            self.unit(fun.module).is_some_and(|unit| {
                unit.ir.language == Language::Python
                    && unit.ir.function(fun.id).is_some_and(|function| !function.is_async)
            })
        };
        let Some(entry) = self.reach(fun).and_then(|reach| self.entries().get(reach.entry)) else {
            return false;
        };
        let threaded = || {
            self.callee(entry.registration)
                .and_then(|callee| callee.package.as_deref())
                .is_some_and(|package| THREADED.contains(&package.split('.').next().unwrap_or(package)))
        };
        entry.kind == "http" && is_plain(fun) && is_plain(entry.handler) && threaded()
    }

    /// Whether a function calls something between two of its places.
    pub(crate) fn calls_between(&self, fun: Fun, from: u32, to: u32) -> bool {
        let Some(unit) = self.unit(fun.module) else { return false };
        let mut found = false;
        walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
            let order = unit.index.order(expr);
            found |= order > from && order < to && matches!(unit.ir.expr(expr), ExprKind::Call(_));
        });
        found
    }
}
