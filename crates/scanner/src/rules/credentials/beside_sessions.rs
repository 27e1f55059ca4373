//! Functions that take the process's own token although the package has one that takes the caller's: `clientCredentialsToken(scopes)`
//! beside `accessToken(scopes, session)`.

use std::collections::{BTreeMap, BTreeSet};

use partywall_model::{Confidence, Severity};

use super::callers_own::is_told_whose;
use crate::{
    flow::{Lifetimes, Origins},
    ir::{ExprKind, FunctionId, NameRef, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// How many calls below a function are looked into for a credential of the environment.
const DEPTH: u32 = 3;

/// Reports calls of requests that go round the function that knows whose token it gives.
pub(super) fn goes_round(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    let calls = project.calls_named(gives_token);
    // By package: who gives the caller's token, and who gives the process's own and is asked by requests.
    let mut theirs: BTreeSet<&str> = BTreeSet::new();
    let mut own: BTreeMap<Fun, Vec<At>> = BTreeMap::new();
    for (module, unit) in project.units() {
        let Some(folder) = project.folder(module) else { continue };
        for expr in calls.among(module) {
            let at = At { module, expr: *expr };
            let Some(callee) = project.callee(at).filter(|callee| callee.certain) else { continue };
            let [target] = callee.targets.as_slice() else { continue };
            let fun = project.function_of(at);
            if fun == *target || !lives.is_per_request(fun) {
                continue;
            }
            match whose(project, at, *target) {
                Some(true) => _ = theirs.insert(folder),
                Some(false) if !is_told(unit, fun) => own.entry(*target).or_default().push(at),
                _ => {}
            }
        }
    }
    for (target, calls) in own {
        let beside =
            calls.iter().any(|at| project.folder(at.module).is_some_and(|folder| theirs.contains(folder)));
        if !beside || !takes_own(project, target, DEPTH) {
            continue;
        }
        let mut seen: BTreeSet<Fun> = BTreeSet::new();
        for at in calls {
            let fun = project.function_of(at);
            if !project.folder(at.module).is_some_and(|folder| theirs.contains(folder))
                || !seen.insert(fun)
                || gives_token(project.function_name(fun))
            {
                continue;
            }
            let name = project.function_name(target);
            report
                .reached(
                    at,
                    format!(
                        "`{name}` gives the process's own token here, while other calls take the caller's"
                    ),
                )
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether a function's name says that it gives a token or what is sent with one.
fn gives_token(name: &str) -> bool {
    let words = vocabulary::words(name);
    let is = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    let first = words.first().is_some_and(|verb| {
        matches!(
            verb.as_str(),
            "get" | "fetch" | "obtain" | "acquire" | "load" | "ensure" | "resolve" | "access" | "token"
        )
    });
    first
        && is(&["token", "credentials", "bearer"])
        && !is(&["csrf", "verify", "count", "refresh", "url", "price", "expiry", "info", "from"])
}

/// Whether a call names whose token it wants; nothing when the function could be told and is not.
fn whose(project: &Project, call: At, target: Fun) -> Option<bool> {
    let unit = project.unit(target.module)?;
    let function = unit.ir.function(target.id)?;
    let is_whose = |name: &str| {
        vocabulary::is_owner(name)
            || vocabulary::is_principal(name)
            || vocabulary::words(name).iter().any(|word| {
                matches!(
                    word.as_str(),
                    "session"
                        | "auth"
                        | "ctx"
                        | "context"
                        | "extra"
                        | "request"
                        | "req"
                        | "user"
                        | "tenant"
                        | "caller"
                )
            })
    };
    let whose =
        function.params.iter().position(|own| own.name.is_some_and(|name| is_whose(unit.ir.text(name))));
    let Some(number) = whose else {
        return (!is_told_whose(unit, &function.params) && function.class.is_none()).then_some(false);
    };
    let given = project.argument(call, target, number)?;
    let origins = project.origins(given);
    (origins.without(Origins::CONSTANT) != Origins::NONE).then_some(true)
}

/// Whether a function is told whose credential it is to use, by a parameter of its own.
fn is_told(unit: &Unit, fun: Fun) -> bool {
    unit.ir.function(fun.id).is_none_or(|function| is_told_whose(unit, &function.params))
}

/// Whether a function, or one that it calls, takes a credential of the environment.
fn takes_own(project: &Project, fun: Fun, depth: u32) -> bool {
    let (Some(depth), Some(unit)) = (depth.checked_sub(1), project.unit(fun.module)) else { return false };
    let inside: Vec<FunctionId> = unit
        .ir
        .functions()
        .map(|(id, _)| id)
        .filter(|id| {
            *id != FunctionId::MODULE && project.around(Fun { module: fun.module, id: *id }).contains(&fun)
        })
        .collect();
    let mut below: BTreeSet<Fun> = BTreeSet::new();
    let mut own = false;
    for id in inside {
        walk::function_exprs(&unit.ir, id, &mut |expr| {
            own |= is_own(project, unit, At { module: fun.module, expr });
            if let ExprKind::Call(_) = unit.ir.expr(expr)
                && let Some(callee) =
                    project.callee(At { module: fun.module, expr }).filter(|callee| callee.certain)
            {
                below.extend(callee.targets.iter().take(2));
            }
        });
    }
    own || below.into_iter().take(16).any(|next| next != fun && takes_own(project, next, depth))
}

fn is_own(project: &Project, unit: &Unit, at: At) -> bool {
    let name = match unit.ir.expr(at.expr) {
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
        ExprKind::Member { property, .. } => unit.ir.text(*property),
        _ => return false,
    };
    let secret = vocabulary::is_credential(name)
        && vocabulary::words(name).iter().any(|word| matches!(word.as_str(), "secret" | "key" | "password"));
    let origins = if secret { project.origins(at) } else { return false };
    origins.has(Origins::ENV) && !origins.is_of_request()
}
