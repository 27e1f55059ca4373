//! Connections that are kept for a conversation: whoever names the conversation gets the connection of whoever began it.

use std::collections::BTreeSet;

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Lifetimes,
    ir::{BindingId, ExprKind, FunctionId, FunctionKind, NameRef, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Words of fields that hold connections to other services.
const HOLDERS: &[&str] = &[
    "session",
    "sessions",
    "connection",
    "connections",
    "client",
    "clients",
    "browsers",
    "kernels",
    "sandboxes",
    "workers",
];

/// Words of what clients begin and name.
const NAMED: &[&str] = &["conversation", "thread", "chat", "session", "room"];

/// Reports looks into such a field by an id of a conversation, in a class whose callers know who calls.
pub(super) fn by_conversation(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units().filter(|(module, _)| project.has_owners(*module)) {
        for (id, function) in unit.ir.functions() {
            let fun = Fun { module, id };
            if id == FunctionId::MODULE || function.kind == FunctionKind::Constructor {
                continue;
            }
            let Some(class) = project.this_of(fun) else { continue };
            if lives.outlives(class) == Some(false) {
                continue;
            }
            let mut first = None;
            walk::function_exprs(&unit.ir, id, &mut |expr| {
                let at = At { module, expr };
                if first.is_none() && is_look(project, unit, fun, at) {
                    first = Some(at);
                }
            });
            let Some(at) = first.filter(|_| knows_caller(project, fun)) else { continue };
            report
                .reached(
                    at,
                    "this connection is found by the conversation that the client names, whoever began it",
                )
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether a call of `get` looks into a field of connections by parameters of the function of which one names a conversation, and
/// none says who calls.
fn is_look(project: &Project, unit: &Unit, fun: Fun, at: At) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return false };
    let Some(key) = call.positional(0).filter(|_| unit.ir.text(*property) == "get") else { return false };
    let ExprKind::Member { object: of, property: field, .. } = unit.ir.expr(*object) else { return false };
    let holder = vocabulary::words(unit.ir.text(*field));
    if !matches!(unit.ir.expr(*of), ExprKind::This)
        || !holder.iter().any(|word| HOLDERS.contains(&word.as_str()))
    {
        return false;
    }
    let names = parts(unit, key);
    let of_function =
        |id: &BindingId| project.parameter_of(at.module, *id).is_some_and(|(own, ..)| own == fun);
    // One id alone is the business of the rule about sessions.
    let several = names.len() > 1;
    let said = names.iter().any(|id| {
        let words = vocabulary::words(unit.ir.binding_name(*id));
        words.len() > 1
            && words.last().is_some_and(|last| last == "id")
            && words.iter().any(|word| NAMED.contains(&word.as_str()))
    });
    let party = names.iter().any(|id| {
        let name = unit.ir.binding_name(*id);
        vocabulary::is_owner(name)
            || vocabulary::is_principal(name)
            || vocabulary::is_credential(name)
            || name.contains("scope")
    });
    several && said && !party && names.iter().all(of_function)
}

/// The variables that a key is put together of: `(conversation_id, name)`, also through one variable.
fn parts(unit: &Unit, key: crate::ir::ExprId) -> Vec<BindingId> {
    let made = match unit.ir.expr(key) {
        ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
            [source] => source.value,
            _ => key,
        },
        _ => key,
    };
    let mut found = BTreeSet::new();
    walk::exprs_below(&unit.ir, made, &mut |expr| {
        if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) {
            found.insert(*id);
        }
    });
    found.into_iter().collect()
}

/// Whether a function that calls this one has who calls at hand.
fn knows_caller(project: &Project, fun: Fun) -> bool {
    project.callers(fun).iter().take(16).any(|call| {
        let Some(unit) = project.unit(call.module) else { return false };
        let mut found = false;
        walk::function_exprs(&unit.ir, project.function_of(*call).id, &mut |expr| {
            if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) {
                let name = unit.ir.binding_name(*id);
                let email =
                    vocabulary::words(name).iter().any(|word| word == "user") && name.contains("email");
                found |= vocabulary::is_owner(name) || email;
            }
        });
        found
    })
}
