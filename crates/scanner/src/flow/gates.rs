//! What stands around a handler and lets few in: a wrapper for a queue that signs what it sends, a decorator that asks for a permission.

use super::Entry;
use crate::{
    ir::{ExprId, ExprKind},
    project::{Parent, Project, Unit},
    vocabulary,
};

/// Words of wrappers of what a queue or a timer calls, with a signature.
const QUEUES: &[&str] = &["qstash", "inngest", "cron", "webhook", "webhooks", "scheduled"];

/// Words of what a permission is called.
const PERMISSIONS: &[&str] = &[
    "permission",
    "permissions",
    "scope",
    "scopes",
    "role",
    "roles",
    "acl",
    "rbac",
    "privilege",
    "privileges",
    "admin",
    "superuser",
    "policy",
];

/// Words of what asks for one.
const ASKS: &[&str] = &[
    "require",
    "requires",
    "required",
    "requiring",
    "has",
    "check",
    "checks",
    "needs",
    "ensure",
    "enforce",
    "authorize",
    "authorized",
    "with",
    "only",
];

impl Project {
    /// Whether a wrapper around a handler is for a queue or a timer: `withError("work", withQueueSignature(async (request) => …))`.
    pub(super) fn is_signed_for(&self, entry: &Entry) -> bool {
        let at = entry.registration;
        let Some(unit) = self.unit(at.module) else { return false };
        let says = |expr: ExprId| match unit.ir.expr(expr) {
            ExprKind::Call(call) => self.written(at.to(call.callee)).last().is_some_and(|name| {
                let words = vocabulary::words(name);
                words.len() > 1 && words.iter().any(|word| QUEUES.contains(&word.as_str()))
            }),
            _ => false,
        };
        // The wrappers inside of what registers it, and those around it.
        let mut here = at.expr;
        for _ in 0..4 {
            if says(here) {
                return true;
            }
            let ExprKind::Call(call) = unit.ir.expr(here) else { break };
            let Some(inner) = call
                .args
                .iter()
                .map(|arg| arg.value)
                .find(|arg| matches!(unit.ir.expr(*arg), ExprKind::Call(_)))
            else {
                break;
            };
            here = inner;
        }
        let mut here = at.expr;
        for _ in 0..4 {
            let Parent::Expr(up) = unit.index.parent(here) else { return false };
            if says(up) {
                return true;
            }
            here = up;
        }
        false
    }

    /// Whether a decorator, a dependency or a function before a handler asks for a permission, which may be one within a tenant:
    /// `@require_scope("notes:write")`, `user = Depends(require_role("editor"))`.
    pub(super) fn asks_for_permission(&self, entry: &Entry) -> bool {
        let Some(unit) = self.unit(entry.handler.module) else { return false };
        let Some(function) = unit.ir.function(entry.handler.id) else { return false };
        let decorators = function.decorators.iter().filter(|expr| {
            entry.registration.module != entry.handler.module || **expr != entry.registration.expr
        });
        let defaults = function
            .params
            .iter()
            .flat_map(|parameter| parameter.default.iter().chain(&parameter.annotation));
        decorators.chain(defaults).any(|expr| asks(text_of(unit, *expr)))
            || self.gate(entry).is_some_and(|gate| gate.split_whitespace().any(asks))
            || self.registered_with_permission(entry)
    }

    /// `@router.get("/notes", dependencies=[Depends(require_admin)])`
    fn registered_with_permission(&self, entry: &Entry) -> bool {
        let Some(unit) = self.unit(entry.registration.module) else { return false };
        let ExprKind::Call(call) = unit.ir.expr(entry.registration.expr) else { return false };
        call.args.iter().any(|arg| match arg.kind {
            crate::ir::ArgKind::Keyword(name) => {
                matches!(unit.ir.text(name), "dependencies" | "auth") && asks(text_of(unit, arg.value))
            }
            _ => false,
        })
    }
}

fn text_of(unit: &Unit, expr: ExprId) -> &str {
    unit.ir.snippet(unit.ir.span(expr))
}

/// Whether a text names something that asks for a permission: `requirePermission`, `has_role`.
fn asks(text: &str) -> bool {
    text.split(|char: char| !(char.is_alphanumeric() || char == '_')).take(24).any(|name| {
        let words = vocabulary::words(name);
        let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
        has(PERMISSIONS) && has(ASKS)
    })
}
