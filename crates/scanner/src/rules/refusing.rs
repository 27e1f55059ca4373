//! Functions that refuse: what they are called, and whether they throw.

use crate::{
    ir::{StmtId, StmtKind, walk},
    project::{At, Fun, Project, Unit},
    vocabulary,
};

/// First words of names of functions that refuse.
const REFUSES: &[&str] = &[
    "assert",
    "require",
    "ensure",
    "check",
    "verify",
    "validate",
    "authorize",
    "authorise",
    "enforce",
    "guard",
    "throw",
    "raise",
    "deny",
    "forbid",
    "restrict",
    "must",
];

/// Words of what callers may reach.
const REACH: &[&str] = &[
    "access",
    "owner",
    "owners",
    "ownership",
    "owns",
    "owned",
    "belongs",
    "permission",
    "permissions",
    "permitted",
    "allowed",
    "authorized",
    "authorised",
    "authorize",
    "authorise",
    "authorization",
    "auth",
    "authenticated",
    "member",
    "members",
    "membership",
    "role",
    "roles",
    "admin",
    "scope",
    "scopes",
];

/// Words of checks of something else: of numbers of calls, of forms, of whether something is there yet.
const ELSE: &[&str] = &[
    "rate",
    "limit",
    "limits",
    "quota",
    "quotas",
    "usage",
    "credits",
    "balance",
    "email",
    "exists",
    "unique",
    "format",
    "schema",
    "table",
    "connection",
    "connected",
    "plan",
    "seats",
    "billing",
    "name",
    "names",
    "password",
    "count",
];

/// Functions of frameworks that refuse by themselves.
const ABORTS: &[&str] = &["abort", "notFound", "forbidden", "unauthorized", "redirect", "permissionDenied"];

/// Whether a function says by its name that it refuses somebody, and not for what a value looks like.
pub(super) fn refuses_by_name(name: &str) -> bool {
    starts_with(name, REFUSES)
}

/// Whether the first word of a name is in a list, and none says that something else is looked at than who may reach what.
pub(super) fn starts_with(name: &str, verbs: &[&str]) -> bool {
    let words = vocabulary::words(name);
    words.first().is_some_and(|verb| verbs.contains(&verb.as_str()))
        && !words.iter().any(|word| ELSE.contains(&word.as_str()))
}

/// Whether a name says that it is about who may reach what.
pub(super) fn is_about_reach(name: &str) -> bool {
    vocabulary::words(name).iter().any(|word| REACH.contains(&word.as_str()) || vocabulary::is_tenant(word))
}

/// Whether a function throws, itself or in one that it calls, other than to hand on what was thrown.
pub(super) fn throws(project: &Project, fun: Fun, depth: u32) -> bool {
    let (Some(depth), Some(unit)) = (depth.checked_sub(1), project.unit(fun.module)) else { return false };
    let Some(function) = unit.ir.function(fun.id) else { return false };
    let mut found = false;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        found = found
            || match unit.ir.stmt(stmt) {
                StmtKind::Throw(_) => !is_handed_on(unit, stmt),
                StmtKind::Assert { .. } => true,
                _ => false,
            };
    });
    let calls = || {
        let own = unit.index.calls.iter().filter(|expr| unit.index.function(**expr) == fun.id).take(16);
        own.into_iter().any(|expr| {
            let at = At { module: fun.module, expr: *expr };
            project.last_written(at).is_some_and(|name| ABORTS.contains(&name))
                || project.callee(at).is_some_and(|callee| {
                    callee.certain
                        && callee
                            .targets
                            .iter()
                            .any(|target| *target != fun && throws(project, *target, depth))
                })
        })
    };
    found || calls()
}

/// Whether a statement stands where an error is dealt with.
pub(super) fn is_handed_on(unit: &Unit, stmt: StmtId) -> bool {
    let mut here = stmt;
    for _ in 0..16 {
        let Some(up) = unit.index.stmt_parent(here) else { return false };
        if let StmtKind::Try { handlers, .. } = unit.ir.stmt(up)
            && handlers.iter().any(|own| own.body.contains(&here))
        {
            return true;
        }
        here = up;
    }
    false
}
