//! Middleware that leaves whom a request is for in a thread's storage, `_local.user = request.user`, and never takes it back: what the
//! thread does when the response is out still acts for the last caller.

use partywall_model::{Confidence, Severity};

use super::thread_local_caller::{is_thread_storage, says_who};
use crate::{
    ir::{BindingId, ExprId, ExprKind, Language, NameRef, walk},
    project::{At, Fun, ModuleId, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Names of methods that run before each request and after which nothing of the same function runs.
const BEFORE: &[&str] = &["process_request", "process_view"];

/// What keeps something for a thread.
type Kept = (ModuleId, BindingId);

/// Reports where such middleware sets it.
pub(super) fn kept_after(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for (id, function) in unit.ir.functions().filter(|(_, function)| !function.is_async) {
            let fun = Fun { module, id };
            let name = function.name.map_or("", |name| unit.ir.text(name));
            let runs_before = BEFORE.contains(&name) || (name == "__call__" && answers(unit, fun));
            if !runs_before || function.class.is_none() {
                continue;
            }
            let Some((at, kept, setter)) = set_by(project, unit, fun) else { continue };
            if !is_taken_back(project, kept, setter) {
                report
                    .at(at, "whom a thread works for is set here and never taken back: what it does after the response still acts for the last caller")
                    .severity(Severity::Low)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether a middleware answers by what comes behind it: `response = self.get_response(request)`.
fn answers(unit: &Unit, fun: Fun) -> bool {
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        if let ExprKind::Call(call) = unit.ir.expr(expr)
            && let ExprKind::Member { property, .. } = unit.ir.expr(call.callee)
        {
            found |= unit.ir.text(*property) == "get_response";
        }
    });
    found
}

/// Where a function leaves something of whom a request is for in a thread's storage, itself or by one that it calls.
fn set_by(project: &Project, unit: &Unit, fun: Fun) -> Option<(At, Kept, Option<Fun>)> {
    if let Some((at, kept)) = writes(project, unit, fun) {
        return Some((at, kept, None));
    }
    let mut found = None;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: fun.module, expr };
        if found.is_some() || !matches!(unit.ir.expr(expr), ExprKind::Call(_)) {
            return;
        }
        let Some(callee) = project.callee(at).filter(|callee| callee.certain) else { return };
        let [target] = callee.targets.as_slice() else { return };
        let Some(home) = project.unit(target.module) else { return };
        let short = home.ir.function(target.id).is_some_and(|function| function.body.len() <= 3);
        if short && let Some((_, kept)) = writes(project, home, *target) {
            found = Some((at, kept, Some(*target)));
        }
    });
    found
}

/// Where a function itself writes to a thread's storage: `_local.request = request`, `setattr(_local, "user", user)`.
fn writes(project: &Project, unit: &Unit, fun: Fun) -> Option<(At, Kept)> {
    let held = |object: ExprId| {
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(object) else { return None };
        let (module, id) = project.declared(fun.module, *id).unwrap_or((fun.module, *id));
        is_thread_storage(project, module, id).then_some((module, id))
    };
    let mut own = unit.index.writes.iter().filter(|write| write.function == fun.id);
    let direct = own.find_map(|write| {
        let ExprKind::Member { object, property, .. } = unit.ir.expr(write.place) else { return None };
        let kept = held(*object).filter(|_| says_who(unit.ir.text(*property)))?;
        let nothing = matches!(unit.ir.expr(write.value), ExprKind::Null);
        (!nothing).then_some((At { module: fun.module, expr: write.place }, kept))
    });
    direct.or_else(|| {
        let mut found = None;
        walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            let sets = matches!(unit.ir.expr(call.callee), ExprKind::Name(NameRef::Global(name)) if unit.ir.text(*name) == "setattr");
            let (Some(object), Some(name)) = (call.positional(0), call.positional(1)) else { return };
            let name = vocabulary::words(unit.ir.snippet(unit.ir.span(name)));
            if sets && found.is_none() && name.iter().any(|word| says_who(word)) {
                found = held(object).map(|kept| (At { module: fun.module, expr }, kept));
            }
        });
        found
    })
}

/// Whether anything takes back what a thread keeps: it deletes it, empties the storage, or sets nothing.
fn is_taken_back(project: &Project, kept: Kept, setter: Option<Fun>) -> bool {
    let mut names = vec![(kept.0, kept.1)];
    names.extend(
        project
            .importing(kept.0)
            .iter()
            .filter(|(module, id)| project.declared(*module, *id) == Some(kept))
            .copied(),
    );
    let by_name = names.into_iter().any(|(module, id)| {
        project.unit(module).is_some_and(|unit| {
            let name = unit.ir.binding_name(id);
            let whole = unit.ir.functions().map(|(_, function)| unit.ir.snippet(function.span));
            let empties = |text: &str| {
                [format!("del {name}."), format!("delattr({name}"), format!("{name}.__dict__"), format!("{name}.clear("), format!("release_local({name}")]
                    .iter()
                    .any(|own| text.contains(own.as_str()))
            };
            let nothing = unit.index.writes.iter().any(|write| {
                matches!(unit.ir.expr(write.value), ExprKind::Null)
                    && matches!(unit.ir.expr(write.place), ExprKind::Member { object, .. }
                        if matches!(unit.ir.expr(*object), ExprKind::Name(NameRef::Binding(own)) if *own == id))
            });
            nothing || whole.into_iter().any(empties)
        })
    });
    let by_setter = || {
        setter.is_some_and(|setter| {
            project.callers(setter).iter().any(|call| {
                let Some(ExprKind::Call(own)) = project.unit(call.module).map(|unit| unit.ir.expr(call.expr))
                else {
                    return false;
                };
                own.args.iter().any(|arg| project.snippet(call.to(arg.value)).ends_with("None"))
            })
        })
    };
    by_name || by_setter()
}
