//! What stands around a handler and lets few in: a wrapper for a queue that signs what it sends, a decorator that asks for a permission.

use std::collections::BTreeSet;

use super::Entry;
use crate::{
    ir::{ArgKind, Call, ExprId, ExprKind, NameRef, StmtKind, walk},
    project::{Fun, Parent, Project, Unit},
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

/// Words of routers that only the operator's own services reach.
const OPERATORS: &[&str] = &["internal", "backoffice", "superadmin", "operators"];

/// Whether a call says a tag of the operator's own routes: `tags=["admin"]`.
fn says_tag(unit: &Unit, call: &Call) -> bool {
    call.args.iter().any(|arg| {
        let tags = matches!(arg.kind, ArgKind::Keyword(name) if unit.ir.text(name) == "tags");
        let mut found = false;
        if tags {
            walk::exprs_below(&unit.ir, arg.value, &mut |expr| {
                let ExprKind::String(text) = unit.ir.expr(expr) else { return };
                found |=
                    matches!(unit.ir.text(*text).to_lowercase().as_str(), "admin" | "internal" | "operator");
            });
        }
        found
    })
}

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

    /// Whether a handler is registered on a router that is named for the operator's own services, or under such a tag:
    /// `internalApi.get("/users", users)`, `@router.post("/", tags=["admin"])`.
    #[must_use]
    pub fn is_registered_for_operators(&self, entry: &Entry) -> bool {
        if entry.kind != "http" {
            return false;
        }
        let Some(unit) = self.unit(entry.registration.module) else { return false };
        let ExprKind::Call(call) = unit.ir.expr(entry.registration.expr) else { return false };
        let mut found = says_tag(unit, call);
        walk::exprs_below(&unit.ir, call.callee, &mut |expr| {
            let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) else { return };
            found |= vocabulary::words(unit.ir.binding_name(*id))
                .iter()
                .any(|word| OPERATORS.contains(&word.as_str()));
            found |= unit.index.sources(*id).iter().take(2).any(
                |source| matches!(unit.ir.expr(source.value), ExprKind::Call(made) if says_tag(unit, made)),
            );
        });
        found || self.is_let_in_as_service(entry)
    }

    /// Whether a framework lets only a service of the operator's own reach a handler: `_ = Depends(verify_worker_key)`.
    fn is_let_in_as_service(&self, entry: &Entry) -> bool {
        let module = entry.handler.module;
        let Some(function) = self.unit(module).and_then(|unit| unit.ir.function(entry.handler.id)) else {
            return false;
        };
        let says = |text: &str| {
            text.contains("Depends(")
                && vocabulary::words(text).iter().any(|word| {
                    matches!(word.as_str(), "worker" | "cron" | "internal" | "scheduler" | "webhook")
                })
        };
        function
            .params
            .iter()
            .any(|own| self.injections(module, own).into_iter().any(|at| says(self.snippet(at))))
    }

    /// Whether a function, or what wraps it, is kept under a name that is given to such a router, and to no other:
    /// `internalApi.get("/users", auth, getUsers)` of `getUsers = wrap(async (req, res) => …)`.
    #[must_use]
    pub fn is_given_to_operators(&self, fun: Fun) -> bool {
        let given = self.memory.given_to_operators.get_or_init(|| self.find_given_to_operators());
        let Some(unit) = self.unit(fun.module).filter(|_| !given.is_empty()) else { return false };
        let own = self.function_name(fun);
        if !own.is_empty() && given.contains(own) {
            return true;
        }
        let Some(site) = unit.index.site(fun.id) else { return false };
        match unit.index.stmt_of(site).map(|stmt| unit.ir.stmt(stmt)) {
            Some(StmtKind::Assign { target, .. }) => {
                target.as_binding().is_some_and(|id| given.contains(unit.ir.binding_name(id)))
            }
            _ => false,
        }
    }

    fn find_given_to_operators(&self) -> BTreeSet<String> {
        let (mut theirs, mut others) = (BTreeSet::new(), BTreeSet::new());
        for (module, unit) in self.units() {
            for expr in &unit.index.calls {
                let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
                let ExprKind::Member { property, .. } = unit.ir.expr(call.callee) else { continue };
                if !matches!(unit.ir.text(*property), "get" | "post" | "put" | "patch" | "delete" | "all") {
                    continue;
                }
                let mut internal = false;
                walk::exprs_below(&unit.ir, call.callee, &mut |below| {
                    internal |= matches!(unit.ir.expr(below), ExprKind::Name(NameRef::Binding(id))
                        if vocabulary::words(unit.ir.binding_name(*id)).iter().any(|word| OPERATORS.contains(&word.as_str())));
                });
                let list = if internal { &mut theirs } else { &mut others };
                let names = call
                    .args
                    .iter()
                    .filter_map(|arg| self.last_written(crate::project::At { module, expr: arg.value }));
                list.extend(names.map(str::to_owned));
            }
        }
        theirs.difference(&others).cloned().collect()
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
