//! Who calls a handler, for the rules about handlers that leave the caller out.

use crate::{
    flow::{Entry, Origins},
    ir::{BindingKind, ExprKind, NameRef, walk},
    project::{At, Fun, Project},
    vocabulary,
};

/// Whether a handler serves callers of whom each may have things of its own: no operator's, public or checked one.
pub(super) fn serves_callers(project: &Project, entry: &Entry) -> bool {
    matches!(entry.kind.as_str(), "http" | "tool")
        && !project.is_operators(entry)
        && !project.is_public(entry)
        && !project.is_checked_before(entry)
        && project.has_owners(entry.handler.module)
}

/// A handler and the functions that are written inside of it.
pub(super) fn own_code(project: &Project, fun: Fun) -> Vec<Fun> {
    let mut all = vec![fun];
    let mut next = 0;
    while let Some(here) = all.get(next).copied() {
        next += 1;
        let Some(unit) = project.unit(here.module) else { break };
        if all.len() > 64 {
            break;
        }
        all.extend(unit.index.inner(here.id).iter().map(|id| Fun { module: here.module, id: *id }));
    }
    all
}

/// Whether a value is the verified caller, or made of it.
pub(in crate::rules) fn is_caller(project: &Project, at: At) -> bool {
    let origins = project.origins(at);
    origins.has(Origins::PRINCIPAL | Origins::SECRET)
        || (origins.has(Origins::OWNER) && !origins.is_chosen() && !is_of_process(project, at, DEPTH))
}

/// How many values a thing is followed through.
const DEPTH: u32 = 6;

/// Whether a value without a name that says whose it is comes out of what all requests have in common: `storage.read(path)` with a
/// `storage` of the module.
fn is_of_process(project: &Project, at: At, depth: u32) -> bool {
    let (Some(depth), Some(unit)) = (depth.checked_sub(1), project.unit(at.module)) else { return false };
    let says = |name: &str| vocabulary::is_owner(name) || vocabulary::is_principal(name) || asks_caller(name);
    match unit.ir.expr(at.expr) {
        ExprKind::Name(NameRef::Binding(id)) => {
            let sources = unit.index.sources(*id);
            !says(unit.ir.binding_name(*id))
                && project.parameter_of(at.module, *id).is_none()
                && (unit.ir.is_module_level(*id)
                    || unit.ir.binding(*id).is_some_and(|own| matches!(own.kind, BindingKind::Import(_)))
                    || matches!(sources, [only] if is_of_process(project, at.to(only.value), depth)))
        }
        ExprKind::Member { object, property, .. } => {
            !says(unit.ir.text(*property)) && is_of_process(project, at.to(*object), depth)
        }
        ExprKind::Await(value) => is_of_process(project, at.to(*value), depth),
        ExprKind::Call(call) => {
            matches!(unit.ir.expr(call.callee), ExprKind::Member { .. })
                && is_of_process(project, at.to(call.callee), depth)
                && !call.args.iter().any(|arg| {
                    project.origins(at.to(arg.value)).is_of_request()
                        && !project.origins(at.to(arg.value)).is_chosen()
                })
        }
        _ => false,
    }
}

/// Whether a handler asks itself who calls: `const session = await getSession()`.
pub(super) fn asks_itself(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: fun.module, expr };
        if !matches!(unit.ir.expr(expr), ExprKind::Call(_)) || found {
            return;
        }
        let path = project.written(at);
        found = asks_caller(path.last().map_or("", |name| name.as_str())) && !project.origins(at).is_chosen();
    });
    found
}

/// Whether a name is that of a function that says who calls.
pub(super) fn asks_caller(name: &str) -> bool {
    let words = vocabulary::words(name);
    let verb = words.first().is_some_and(|verb| {
        matches!(verb.as_str(), "get" | "require" | "current" | "authenticate" | "load" | "server")
    });
    let says = words
        .iter()
        .any(|word| matches!(word.as_str(), "session" | "auth" | "principal" | "viewer" | "current"));
    let user = words.len() == 2 && words.iter().any(|word| word == "user");
    (words.len() == 1 && says) || (verb && (says || user))
}

/// Whether a name is that of an id of a thing that is no party and no session.
pub(super) fn is_id(name: &str) -> bool {
    let words = vocabulary::words(name);
    words.last().is_some_and(|last| matches!(last.as_str(), "id" | "ids" | "uuid"))
        && !vocabulary::is_owner(name)
        && !vocabulary::is_session_id(name)
        && !vocabulary::is_credential(name)
}
