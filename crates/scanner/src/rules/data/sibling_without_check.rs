//! An endpoint without the check that the endpoints beside it have.

use std::collections::{BTreeMap, BTreeSet};

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use super::callers::own_code;
use crate::{
    flow::{Admits, Origins},
    ir::{BindingId, ExprId, ExprKind, NameRef, walk},
    project::{At, Fun, ModuleId, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "sibling-without-check",
        layer: Layer::Data,
        summary: "The endpoints beside this one check the access to the thing with this id; this one does not.",
    },
    severity: Severity::Medium,
    axis: Axis::Permissions,
    why: "A check that stands in each handler is forgotten in one: whoever knows an id goes through that one.",
    fix: "Call the same check first; better, let one function give the thing, which takes the verified caller and refuses.",
    cwe: &["CWE-862", "CWE-639"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021"],
    markdown: include_str!("sibling_without_check.md"),
    run,
};

/// How many handlers have to check before one that does not is told.
const CHECKED: usize = 2;

/// A handler that takes an id.
struct Taker {
    fun: Fun,
    /// The check that gets the id, by its name.
    check: Option<String>,
}

fn run(project: &Project, report: &mut Report<'_>) {
    super::sibling_with_context::sibling_with_context(project, report);
    super::sibling_without_secret::sibling_without_secret(project, report);
    super::sibling_without_guard::sibling_without_guard(project, report);
    super::flagged_check::flagged_check(project, report);
    super::sibling_compares::sibling_compares(project, report);
    super::left_out_check::left_out_check(project, report);
    super::left_out_use_case::left_out_use_case(project, report);
    let mut modules: BTreeMap<ModuleId, BTreeSet<Fun>> = BTreeMap::new();
    for entry in project.entries().iter().filter(|entry| matches!(entry.kind.as_str(), "tool" | "resource" | "http")) {
        modules.entry(entry.handler.module).or_default().insert(entry.handler);
    }
    for (module, handlers) in modules {
        let Some(unit) = project.unit(module) else { continue };
        if handlers.len() <= CHECKED || !project.has_owners(module) {
            continue;
        }
        let mut takers: BTreeMap<String, Vec<Taker>> = BTreeMap::new();
        for fun in handlers {
            for (id, name) in ids(project, unit, fun) {
                let check = check_of(project, unit, fun, id);
                takers.entry(name).or_default().push(Taker { fun, check });
            }
        }
        for (name, takers) in takers {
            judge(project, report, unit, &name, &takers);
        }
    }
}

fn judge(project: &Project, report: &mut Report<'_>, unit: &Unit, name: &str, takers: &[Taker]) {
    let mut checks: BTreeMap<&str, usize> = BTreeMap::new();
    for check in takers.iter().filter_map(|taker| taker.check.as_deref()) {
        *checks.entry(check).or_default() += 1;
    }
    let checked: usize = checks.values().sum();
    let Some((check, _)) = checks.into_iter().max_by_key(|(_, count)| *count) else { return };
    let open: Vec<&Taker> =
        takers.iter().filter(|taker| taker.check.is_none() && !is_guarded(project, unit, taker.fun) && project.admits(taker.fun) != Admits::Operators).collect();
    if checked < CHECKED || open.len() > checked {
        return;
    }
    for taker in open {
        let span = unit.ir.function(taker.fun.id).map(|function| function.head).unwrap_or_default();
        report
            .add(taker.fun.module, span, format!("`{name}` is used here without `{check}`, which the handlers beside this one call"))
            .confidence(Confidence::Medium);
    }
}

/// Looks at all that a handler runs, also in functions that it makes: what is streamed is given out by one of those.
fn exprs(project: &Project, unit: &Unit, fun: Fun, look: &mut dyn FnMut(ExprId)) {
    for own in own_code(project, fun) {
        walk::function_exprs(&unit.ir, own.id, &mut |expr| look(expr));
    }
}

/// The variables of a handler that hold an id out of what the caller sent.
fn ids(project: &Project, unit: &Unit, fun: Fun) -> Vec<(BindingId, String)> {
    let mut found: BTreeMap<String, BindingId> = BTreeMap::new();
    exprs(project, unit, fun, &mut |expr| {
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) else { return };
        let name = unit.ir.binding_name(*id);
        let words = vocabulary::words(name);
        let is_id = words.len() > 1 && words.last().is_some_and(|last| matches!(last.as_str(), "id" | "uuid" | "slug"));
        if is_id
            && !vocabulary::is_owner(name)
            && !vocabulary::is_session_id(name)
            && unit.ir.binding_function(*id) == fun.id
            && project.origins(At { module: fun.module, expr }).has(Origins::INPUT)
        {
            found.insert(name.to_owned(), *id);
        }
    });
    found.into_iter().map(|(name, id)| (id, name)).collect()
}

/// The check that an id is handed to in a handler.
fn check_of(project: &Project, unit: &Unit, fun: Fun, id: BindingId) -> Option<String> {
    let mut found = None;
    exprs(project, unit, fun, &mut |expr| {
        let at = At { module: fun.module, expr };
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let name = project.callee(at).map_or("", |callee| callee.name());
        if !is_access_check(name) {
            return;
        }
        let mut given = false;
        for arg in &call.args {
            walk::exprs_below(&unit.ir, arg.value, &mut |expr| given |= is_use(unit, expr, id));
        }
        if given {
            found = Some(name.to_owned());
        }
    });
    found
}

fn is_use(unit: &Unit, expr: ExprId, id: BindingId) -> bool {
    matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(own)) if *own == id)
}

/// Whether a name says that a function checks an access.
fn is_access_check(name: &str) -> bool {
    let words = vocabulary::words(name);
    let about = ["access", "owner", "ownership", "permission", "permissions", "member", "membership", "authorized", "allowed", "owns"];
    Project::is_check(name) && words.iter().any(|word| about.contains(&word.as_str()) || matches!(word.as_str(), "authorize" | "enforce"))
}

/// Whether a handler is kept by something else: another check, one that is injected or decorates it, a comparison, the caller as an
/// argument of what it calls, or a check further down.
fn is_guarded(project: &Project, unit: &Unit, fun: Fun) -> bool {
    let Some(function) = unit.ir.function(fun.id) else { return true };
    let said = |expr: ExprId| {
        let words = vocabulary::words(unit.ir.snippet(unit.ir.span(expr)));
        words.iter().any(|word| {
            matches!(word.as_str(), "require" | "access" | "permission" | "permissions" | "owner" | "member" | "admin" | "role" | "roles" | "authorize" | "scopes")
        })
    };
    let decorated = function.decorators.iter().any(|expr| said(*expr));
    let injected = function.params.iter().any(|parameter| parameter.default.into_iter().chain(parameter.annotation).any(said));
    let compares = |own: &Fun| project.guards(*own).iter().any(|guard| of_caller(project, guard.left) || of_caller(project, guard.right));
    if decorated || injected || own_code(project, fun).iter().any(compares) {
        return true;
    }
    let mut kept = false;
    exprs(project, unit, fun, &mut |expr| {
        let at = At { module: fun.module, expr };
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let Some(callee) = project.callee(at) else { return };
        // What a framework injects was looked at above.
        if matches!(callee.name(), "Depends" | "Security") {
            return;
        }
        kept |= Project::is_check(callee.name());
        kept |= call.args.iter().any(|arg| of_caller(project, at.to(arg.value)));
        kept |= callee.targets.iter().any(|target| checks_below(project, *target));
    });
    kept
}

fn of_caller(project: &Project, at: At) -> bool {
    let name = project.written(at).pop().unwrap_or_default();
    project.origins(at).has_owner() || vocabulary::is_principal(&name) || vocabulary::is_owner(&name)
}

/// Whether a function that is called checks an access.
fn checks_below(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        if let Some(callee) = project.callee(At { module: fun.module, expr }) {
            found |= Project::is_check(callee.name());
        }
    });
    found || project.guards(fun).iter().any(|guard| of_caller(project, guard.left) || of_caller(project, guard.right))
}
