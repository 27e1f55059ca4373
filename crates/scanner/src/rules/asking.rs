//! Whether a function may find out who calls, though it is not told.

use crate::{
    flow::Origins,
    ir::{ExprKind, Language, walk},
    project::{At, Fun, Project, Unit},
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

/// Words of a file that has to do with whom a thread or task serves, without being told.
pub(crate) const AMBIENT: &[&str] = &[
    "ContextVar",
    "contextvars",
    "AsyncLocalStorage",
    "flask",
    "current_user",
    "get_current",
    "getSession",
    "getServerSession",
    "cookies()",
    "headers()",
    "auth()",
    "threading.local",
    "get_http_request",
    "get_access_token",
    "get_context",
];

/// Whether a function, or one that it calls, may find out who calls: it asks for the caller or reads what the object has of one.
/// What is called deeper may.
pub(crate) fn may_ask(project: &Project, fun: Fun, depth: u32) -> bool {
    follow(project, fun, depth, &|_| true)
}

/// As [`may_ask`]; what is called deeper may only where its file has to do with whom a thread or task serves.
pub(crate) fn may_find_out(project: &Project, fun: Fun, depth: u32) -> bool {
    follow(project, fun, depth, &|unit| AMBIENT.iter().any(|word| unit.ir.source.mentions(word)))
}

fn follow(project: &Project, fun: Fun, depth: u32, deeper: &impl Fn(&Unit) -> bool) -> bool {
    let Some(unit) = project.unit(fun.module) else { return true };
    let Some(depth) = depth.checked_sub(1) else { return deeper(unit) };
    let mut asks = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: fun.module, expr };
        asks = asks
            || match unit.ir.expr(expr) {
                ExprKind::Member { .. } | ExprKind::Name(_) => {
                    project.origins(at).has(Origins::PRINCIPAL | Origins::SECRET | Origins::REQUEST)
                }
                ExprKind::Call(_) => project.callee(at).is_some_and(|callee| {
                    names_caller(unit, callee.name())
                        || callee
                            .targets
                            .iter()
                            .any(|target| *target != fun && follow(project, *target, depth, deeper))
                }),
                _ => false,
            };
    });
    asks
}

/// Whether a function says by its name who calls. What Python code calls a session is one of a database, if nothing else is said.
fn names_caller(unit: &Unit, name: &str) -> bool {
    let python = unit.ir.language == Language::Python;
    vocabulary::words(name).iter().any(|word| ASKS.contains(&word.as_str()) && !(python && word == "session"))
}
