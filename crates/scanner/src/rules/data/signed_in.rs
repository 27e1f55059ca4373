//! Handlers that only who has signed in reaches.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    callers::{asks_caller, asks_itself, serves_callers},
    unused_caller::is_given_caller,
};
use crate::{
    flow::Entry,
    ir::{ArgKind, Call, ExprId, ExprKind, NameRef, walk},
    project::{At, Fun, ModuleId, Project, Unit},
    vocabulary,
};

/// The handlers that serve callers who have signed in, as far as it is seen that they have.
pub(super) fn signed_in(project: &Project) -> BTreeSet<Fun> {
    let mut modules: BTreeMap<ModuleId, bool> = BTreeMap::new();
    let mut found = BTreeSet::new();
    for entry in project.entries().iter().filter(|entry| serves_callers(project, entry)) {
        let module = entry.registration.module;
        if asks(project, entry)
            || is_guarded(project, entry)
            || *modules.entry(module).or_insert_with(|| uses_check(project, module))
        {
            found.insert(entry.handler);
        }
    }
    found
}

/// Whether a handler is given the verified caller or asks who it is, or what stands before it does.
fn asks(project: &Project, entry: &Entry) -> bool {
    is_given_caller(project, entry)
        || asks_itself(project, entry.handler)
        || asks_by_name(project, entry.handler)
        || project.gate(entry).is_some_and(|gate| gate.split_whitespace().any(tells_caller))
        || project.knows_who_asks(entry.handler)
}

/// Whether a handler calls what is named for finding out who is signed in, wherever that stands: `await requireAuth(request)`.
fn asks_by_name(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        if found || !matches!(unit.ir.expr(expr), ExprKind::Call(_)) {
            return;
        }
        let name = project.last_written(At { module: fun.module, expr }).unwrap_or_default();
        found = asks_caller(name)
            && vocabulary::words(name)
                .iter()
                .any(|word| matches!(word.as_str(), "auth" | "user" | "current" | "principal"));
    });
    found
}

/// Whether a name is that of something that finds out who calls: `requireAuth`, `protectedProcedure`, `get_current_user`.
fn tells_caller(name: &str) -> bool {
    let words = vocabulary::words(name);
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    let routes = has(&["router", "routes", "route", "controller", "module", "page", "pages", "optional"]);
    let checks = has(&[
        "auth",
        "authenticate",
        "authenticated",
        "authenticator",
        "jwt",
        "protected",
        "protect",
        "bearer",
        "passport",
        "signed",
    ]);
    let asks = has(&["require", "required", "ensure", "verify", "get", "current", "is", "guard", "with"])
        && has(&["user", "login", "session", "logged", "token"]);
    !routes && (checks || asks)
}

/// Whether a module puts a check of who calls before all of its routes: `router.use(requireAuth)`.
fn uses_check(project: &Project, module: ModuleId) -> bool {
    let Some(unit) = project.unit(module) else { return false };
    unit.index.calls.iter().any(|expr| {
        let ExprKind::Call(call) = unit.ir.expr(*expr) else { return false };
        let ExprKind::Member { property, .. } = unit.ir.expr(call.callee) else { return false };
        matches!(unit.ir.text(*property), "use" | "addHook")
            && call.args.iter().any(|arg| {
                let mut at = At { module, expr: arg.value };
                // `router.use(authenticate({ required: true }))`
                if let ExprKind::Call(made) = unit.ir.expr(at.expr) {
                    at = at.to(made.callee);
                }
                project.last_written(at).is_some_and(tells_caller)
            })
    })
}

/// Whether a decorator of a handler or of its class, or what its routes are registered with, asks who calls:
/// `@UseGuards(JwtAuthGuard)`, `APIRouter(dependencies=[Depends(get_current_user)])`.
fn is_guarded(project: &Project, entry: &Entry) -> bool {
    let Some(unit) = project.unit(entry.handler.module) else { return false };
    let own = unit.ir.function(entry.handler.id).map(|function| &*function.decorators);
    let class = project.this_of(entry.handler).filter(|class| class.module == entry.handler.module);
    let of_class = class.and_then(|class| unit.ir.class(class.id)).map(|decl| &*decl.decorators);
    let guards = own.into_iter().chain(of_class).flatten().any(|expr| is_guard(unit, *expr));
    guards || depends(project, entry)
}

/// Whether a decorator names a guard that asks who calls.
fn is_guard(unit: &Unit, decorator: ExprId) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(decorator) else { return false };
    let named = matches!(unit.ir.expr(call.callee), ExprKind::Name(NameRef::Binding(id)) if unit.ir.binding_name(*id) == "UseGuards");
    named && call.args.iter().any(|arg| tells_in(unit, arg.value))
}

/// Whether a route, or the router that it is registered on, depends on who calls.
fn depends(project: &Project, entry: &Entry) -> bool {
    let Some(unit) = project.unit(entry.registration.module) else { return false };
    let ExprKind::Call(call) = unit.ir.expr(entry.registration.expr) else { return false };
    let own = |call: &Call| {
        call.args.iter().any(|arg| {
            matches!(arg.kind, ArgKind::Keyword(name) if unit.ir.text(name) == "dependencies")
                && tells_in(unit, arg.value)
        })
    };
    let router = match unit.ir.expr(call.callee) {
        ExprKind::Member { object, .. } => match unit.ir.expr(*object) {
            ExprKind::Name(NameRef::Binding(id)) => {
                unit.index.sources(*id).first().map(|source| source.value)
            }
            _ => None,
        },
        _ => None,
    };
    own(call) || router.is_some_and(|made| matches!(unit.ir.expr(made), ExprKind::Call(made) if own(made)))
}

/// Whether a name in an expression is that of a check of who calls.
fn tells_in(unit: &Unit, expr: ExprId) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, expr, &mut |expr| {
        found = found
            || match unit.ir.expr(expr) {
                ExprKind::Name(NameRef::Binding(id)) => tells_caller(unit.ir.binding_name(*id)),
                ExprKind::Name(NameRef::Global(name)) => tells_caller(unit.ir.text(*name)),
                ExprKind::Member { property, .. } => tells_caller(unit.ir.text(*property)),
                _ => false,
            };
    });
    found
}
