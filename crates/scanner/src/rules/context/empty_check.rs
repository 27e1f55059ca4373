//! Functions that are named for a check of who may reach what, let some roles through, and refuse nobody: what was compared is gone, and
//! the thing that they are told about is never read.

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{BindingId, ExprKind, Function, FunctionId, StmtId, StmtKind, walk},
    project::{At, Fun, Project, Unit},
    rules::{
        Report,
        refusing::{is_about_reach, is_handed_on, refuses_by_name, throws},
    },
    vocabulary,
};

/// Why it leaks, since nobody is let through for lack of an identity here.
const WHY: &str = "All who call the check rely on it: whoever names a thing of somebody else gets through.";

/// What to change.
const FIX: &str = "Compare the thing's owner with the verified caller, and refuse everybody else.";

/// Reports such functions.
pub(super) fn empty_check(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units().filter(|(module, _)| project.has_owners(*module)) {
        for (id, function) in unit.ir.functions() {
            let name = function.name.map_or("", |name| unit.ir.text(name));
            let fun = Fun { module, id };
            let goes_on = function
                .params
                .last()
                .and_then(|own| own.name)
                .is_some_and(|own| unit.ir.text(own) == "next");
            if !refuses_by_name(name)
                || !(goes_on || is_about_reach(name))
                || !lets_some_through(unit, function)
            {
                continue;
            }
            let Some(thing) = unread(project, unit, fun, function, goes_on) else { continue };
            if !does_nothing_else(project, unit, fun, function) || throws(project, fun, 3) {
                continue;
            }
            report
                .add(
                    module,
                    function.head,
                    format!("`{name}` refuses nobody: `{thing}`, which it is told, is never compared"),
                )
                .severity(Severity::Medium)
                .confidence(Confidence::Medium)
                .why(WHY)
                .fix(FIX);
        }
    }
}

/// Whether a branch of a function ends it early: whom it is for has passed.
fn lets_some_through(unit: &Unit, function: &Function) -> bool {
    let mut found = false;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        if let StmtKind::If { then, .. } = unit.ir.stmt(stmt) {
            found |= then.iter().any(|own| matches!(unit.ir.stmt(*own), StmtKind::Return(_)));
        }
    });
    found
}

/// The name of the thing that a check is told of and never reads: a parameter beside the caller, or what a middleware takes out of the
/// request's address.
fn unread(project: &Project, unit: &Unit, fun: Fun, function: &Function, goes_on: bool) -> Option<String> {
    let is_unread = |id: BindingId| {
        let name = unit.ir.binding_name(id);
        let words = vocabulary::words(name);
        let of_thing = vocabulary::is_owner(name)
            || words.last().is_some_and(|last| matches!(last.as_str(), "id" | "uuid" | "slug"));
        of_thing
            && !vocabulary::is_principal(name)
            && !name.starts_with('_')
            && unit.index.uses(id).is_empty()
    };
    if goes_on {
        let own = |id: &BindingId| {
            unit.ir.binding_function(*id) == fun.id && unit.ir.binding_function(*id) != FunctionId::MODULE
        };
        let told = |id: &BindingId| {
            let mut sources = unit.index.sources(*id).iter();
            sources.any(|source| project.origins(At { module: fun.module, expr: source.value }).is_chosen())
        };
        let mut all = unit.ir.bindings().map(|(id, _)| id).filter(own);
        return all.find(|id| is_unread(*id) && told(id)).map(|id| unit.ir.binding_name(id).to_owned());
    }
    let given = || function.params.iter().filter_map(|own| own.pattern.as_binding());
    let caller = given().any(|id| {
        let name = unit.ir.binding_name(id);
        vocabulary::is_principal(name)
            || vocabulary::is_user(name)
            || matches!(name, "actor" | "caller" | "user" | "request" | "req")
    });
    let mut things = given().filter(|_| caller && function.params.len() > 1);
    things.find(|id| is_unread(*id)).map(|id| unit.ir.binding_name(id).to_owned())
}

/// Whether a function only tests and ends, or goes on: it calls nothing that may refuse in its place, and gives nothing.
fn does_nothing_else(project: &Project, unit: &Unit, fun: Fun, function: &Function) -> bool {
    let is_next = |expr| {
        matches!(unit.ir.expr(expr), ExprKind::Call(_))
            && project.last_written(At { module: fun.module, expr }) == Some("next")
    };
    let mut only = true;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt: StmtId| {
        if is_handed_on(unit, stmt) {
            return;
        }
        only &= match unit.ir.stmt(stmt) {
            StmtKind::Return(value) => {
                value.is_none_or(|value| is_next(value) || matches!(unit.ir.expr(value), ExprKind::Null))
            }
            StmtKind::Expr(expr) => is_next(*expr) || matches!(unit.ir.expr(*expr), ExprKind::String(_)),
            StmtKind::Throw(_) | StmtKind::Assert { .. } => false,
            _ => true,
        };
    });
    only
}
