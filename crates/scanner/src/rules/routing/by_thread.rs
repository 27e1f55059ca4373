//! Conversations that a graph of agents keeps by the id of a thread, when the client sends the id and nobody looks whose thread it is.

use std::collections::BTreeSet;

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{Call, CompareOp, ExprId, ExprKind, FunctionId, NameRef, PropertyKey, TemplatePart, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Methods of a graph that read, go on with or change a thread, which their configuration names.
const METHODS: &[&str] = &[
    "aget_state",
    "get_state",
    "aget_state_history",
    "get_state_history",
    "aupdate_state",
    "update_state",
    "ainvoke",
    "invoke",
    "astream",
    "stream",
    "astream_events",
    "getState",
    "getStateHistory",
    "updateState",
];

/// Reports the first such call of each function.
pub(super) fn by_thread(project: &Project, report: &mut Report<'_>) {
    let likely = project.calls_named(|name| METHODS.contains(&name));
    for (module, unit) in project.units() {
        // Few functions have such a call at all.
        let calls = likely.among(module).filter(|expr| method(unit, **expr).is_some());
        let calling: BTreeSet<FunctionId> = calls.map(|expr| unit.index.function(*expr)).collect();
        for id in calling {
            let fun = Fun { module, id };
            if id == FunctionId::MODULE {
                continue;
            }
            let mut first = None;
            walk::function_exprs(&unit.ir, id, &mut |expr| {
                let at = At { module, expr };
                if first.is_none() && goes_on_with_thread(project, unit, at) {
                    first = Some(at);
                }
            });
            let Some(at) = first.filter(|_| !is_compared(project, fun)) else { continue };
            let severity = if project.has_owners(module) { Severity::Medium } else { Severity::Low };
            report
                .reached(
                    at,
                    "this thread is found by the id that the client sends, and nobody looks whose it is",
                )
                .severity(severity)
                .confidence(Confidence::Medium);
        }
    }
}

/// A call of one of those methods.
fn method(unit: &Unit, expr: ExprId) -> Option<&Call> {
    let ExprKind::Call(call) = unit.ir.expr(expr) else { return None };
    let ExprKind::Member { property, .. } = unit.ir.expr(call.callee) else { return None };
    METHODS.contains(&unit.ir.text(*property)).then_some(&**call)
}

/// Whether a call hands a graph a configuration whose `thread_id` the client chose.
fn goes_on_with_thread(project: &Project, unit: &Unit, at: At) -> bool {
    let Some(call) = method(unit, at.expr) else { return false };
    call.args.iter().any(|arg| chooses_thread(project, unit, at.to(arg.value), STEPS))
}

/// How many variables are followed from what a call is given to where the thread is named.
const STEPS: u32 = 3;

/// Whether a `thread_id` stands in a value, or in what it is made of, that the client chose, and that has nothing of an owner in it.
fn chooses_thread(project: &Project, unit: &Unit, at: At, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    let (mut found, mut parts) = (false, Vec::new());
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Object(properties) => {
            for property in properties {
                let named =
                    matches!(property.key, PropertyKey::Name(name) if unit.ir.text(name) == "thread_id");
                let value = at.to(property.value);
                found |= named && project.origins(value).is_chosen() && !names_owner(project, unit, value);
            }
        }
        ExprKind::Name(NameRef::Binding(id)) if !unit.ir.is_module_level(*id) => {
            parts.extend(unit.index.sources(*id).iter().take(2).map(|source| source.value));
        }
        _ => {}
    });
    found || parts.into_iter().take(8).any(|part| chooses_thread(project, unit, at.to(part), steps))
}

/// Whether a text that a thread's id is made of has an owner in it: `f"{user.id}:{thread}"`.
fn names_owner(project: &Project, unit: &Unit, at: At) -> bool {
    let mut values = vec![at.expr];
    if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) {
        values.extend(unit.index.sources(*id).iter().take(4).map(|source| source.value));
    }
    values.into_iter().any(|value: ExprId| match unit.ir.expr(value) {
        ExprKind::Template(parts) => parts.iter().any(|part| match part {
            TemplatePart::Value(expr) => project.origins(at.to(*expr)).has_owner(),
            TemplatePart::Text(_) => false,
        }),
        ExprKind::Binary { left, right, .. } => {
            project.origins(at.to(*left)).has_owner() || project.origins(at.to(*right)).has_owner()
        }
        _ => false,
    })
}

/// Whether a function, or one around it or one that calls it, compares an owner, or asks a function for that by its name.
fn is_compared(project: &Project, fun: Fun) -> bool {
    let callers = project.callers(fun).iter().take(4).map(|call| project.function_of(*call));
    let mut all = project.around(fun);
    all.extend(callers);
    all.into_iter().filter(|around| around.id != FunctionId::MODULE).any(|around| {
        let Some(unit) = project.unit(around.module) else { return false };
        let party = |expr: ExprId| {
            let name = project.written(At { module: around.module, expr }).pop().unwrap_or_default();
            let words = vocabulary::words(&name);
            words.iter().any(|word| vocabulary::is_owner(word))
        };
        let mut found = false;
        walk::function_exprs(&unit.ir, around.id, &mut |expr| match unit.ir.expr(expr) {
            ExprKind::Compare { op: CompareOp::Eq | CompareOp::NotEq, left, right } => {
                let null = |side: ExprId| matches!(unit.ir.expr(side), ExprKind::Null | ExprKind::String(_));
                found |= (party(*left) && !null(*right)) || (party(*right) && !null(*left));
            }
            ExprKind::Call(_) => {
                let name = project.written(At { module: around.module, expr }).pop().unwrap_or_default();
                found |= vocabulary::asks_whose(&name);
            }
            _ => {}
        });
        found
    })
}
