//! Dependencies of FastAPI that set the context of a request and are no coroutines: they run in a worker thread, in a copy of the
//! context, and what they set is gone when the endpoint runs. `def require_user(...): current_user.set(user)`.

use partywall_model::Confidence;
use rustc_hash::FxHashSet;

use super::frozen_context::{names_caller, variable};
use crate::{
    ir::{ExprKind, Language, walk},
    library::Role,
    project::{At, Fun, Project, Symbol},
    rules::Report,
};

/// How many calls below the dependency the variable may be set.
const DEPTH: u32 = 3;

/// Reports such dependencies, where somebody else asks for what they set.
pub(super) fn set_in_thread(project: &Project, report: &mut Report<'_>) {
    let mut seen: FxHashSet<Fun> = FxHashSet::default();
    let asked = project.calls_named(|name| matches!(name, "Depends" | "Security"));
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for expr in asked.among(module) {
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let keyword = || {
                call.args.iter().find_map(|arg| match arg.kind {
                    crate::ir::ArgKind::Keyword(name) if unit.ir.text(name) == "dependency" => {
                        Some(arg.value)
                    }
                    _ => None,
                })
            };
            let Some(given) = call.positional(0).or_else(keyword) else { continue };
            let Some(fun) = dependency(project, At { module, expr: given }).filter(|fun| seen.insert(*fun))
            else {
                continue;
            };
            if let Some((set, name)) =
                sets(project, fun, DEPTH).filter(|(_, name)| is_read_elsewhere(project, name, fun))
                && let Some(home) = project.unit(fun.module)
                && let Some(function) = home.ir.function(fun.id)
            {
                report
                    .add(
                        fun.module,
                        function.head,
                        format!("this dependency is no coroutine: it runs in a worker thread, and `{name}` is not set any more when the endpoint asks for it"),
                    )
                    .confidence(Confidence::High)
                    .why(WHY)
                    .fix("Make the dependency `async def`, so that it runs in the request's own task, or return the caller and hand it on.")
                    .related(set.module, project.span(set), "the context is set here")
                    .related(module, unit.ir.span(*expr), "it is asked for here");
            }
        }
    }
}

/// Why it leaks.
const WHY: &str = "FastAPI runs a plain function in a worker thread, with a copy of the request's context: what it sets is set in the copy. \
                   Whoever asks for the caller afterwards gets the variable's default, so that all callers share one identity, or none.";

/// The function that a framework runs for a dependency, when it runs it in a thread.
fn dependency(project: &Project, given: At) -> Option<Fun> {
    let fun = match project.symbol(given) {
        Symbol::Function(fun) => fun,
        // `Depends(RequireUser())` calls the object.
        Symbol::Instance(class) => project.method(class, "__call__")?,
        _ => return None,
    };
    let function = project.unit(fun.module)?.ir.function(fun.id)?;
    (!function.is_async).then_some(fun)
}

/// Where a function, or one that it calls, sets a variable that says who calls, and its name.
fn sets(project: &Project, fun: Fun, depth: u32) -> Option<(At, String)> {
    let depth = depth.checked_sub(1)?;
    let unit = project.unit(fun.module)?;
    let mut calls = Vec::new();
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        if matches!(unit.ir.expr(expr), ExprKind::Call(_)) {
            calls.push(At { module: fun.module, expr });
        }
    });
    calls.into_iter().find_map(|at| {
        let callee = project.callee(at)?;
        if callee.defs.iter().any(|def| def.role == Role::ContextSet) {
            let name = variable(project, at)?;
            return (names_caller(name.trim_start_matches('_')) || is_of_caller(project, at))
                .then_some((at, name));
        }
        let [target] = callee.targets.as_slice() else { return None };
        // A coroutine only begins where it is awaited.
        let runs = callee.certain
            && project
                .unit(target.module)
                .and_then(|unit| unit.ir.function(target.id))
                .is_some_and(|function| !function.is_async);
        runs.then(|| sets(project, *target, depth)).flatten()
    })
}

/// Whether a variable is set to the caller, whatever it is named.
fn is_of_caller(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    call.positional(0).is_some_and(|value| project.origins(at.to(value)).has_owner())
}

/// Whether a function that is not the dependency itself asks for a variable.
fn is_read_elsewhere(project: &Project, name: &str, fun: Fun) -> bool {
    let asked = project.calls_with(Role::ContextGet);
    project.units().any(|(module, _)| {
        asked.among(module).any(|expr| {
            let at = At { module, expr: *expr };
            project.function_of(at) != fun && variable(project, at).is_some_and(|own| own == name)
        })
    })
}
