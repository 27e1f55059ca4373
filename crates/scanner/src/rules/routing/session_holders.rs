//! What holds sessions although it is not named for them.

use crate::{
    ir::{CompareOp, ExprKind, NameRef, walk},
    project::{At, Project, Symbol, Unit},
    vocabulary,
};

/// Words of maps that hold nothing of a session but when it ends, or how often it asked.
const TIMES: &[&str] = &[
    "timeout",
    "timeouts",
    "timer",
    "timers",
    "interval",
    "intervals",
    "lock",
    "locks",
    "counts",
    "limits",
    "seen",
    "promises",
];

/// Whether an expression is a map of a function around, which the handlers that stand in it have in common.
pub(super) fn is_map_around(project: &Project, unit: &Unit, map: At, words: &[String]) -> bool {
    let times = words.iter().any(|word| TIMES.contains(&word.as_str()));
    !times && matches!(unit.ir.expr(map.expr), ExprKind::Name(_)) && project.store(map).is_some()
}

/// Whether a function of the project that is called compares a party: `mayUse(req, session)`.
pub(super) fn compares_parties(project: &Project, call: At) -> bool {
    let Some(callee) = project.callee(call).filter(|callee| callee.certain) else { return false };
    callee.targets.iter().take(2).any(|target| {
        let Some(unit) = project.unit(target.module) else { return false };
        let mut found = false;
        walk::function_exprs(&unit.ir, target.id, &mut |expr| {
            if let ExprKind::Compare { op: CompareOp::Eq | CompareOp::NotEq, left, right } =
                unit.ir.expr(expr)
            {
                let party = |side| {
                    let name =
                        project.last_written(At { module: target.module, expr: side }).unwrap_or_default();
                    vocabulary::is_owner(name)
                        || vocabulary::is_principal(name)
                        || vocabulary::is_credential(name)
                        || matches!(name, "owner" | "sub" | "subject")
                };
                found |= party(*left) || party(*right);
            }
        });
        found
    })
}

/// Whether an expression is a field of `self` that is an empty map at first: `self._open = {}`.
pub(super) fn is_map_of_object(project: &Project, unit: &Unit, map: At) -> bool {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(map.expr) else { return false };
    if !matches!(unit.ir.expr(*object), ExprKind::This) {
        return false;
    }
    let Some(class) = project.this_of(project.function_of(map)) else { return false };
    project.field_values(class, unit.ir.text(*property)).into_iter().any(|value| {
        project.unit(value.module).is_some_and(|own| match own.ir.expr(value.expr) {
            ExprKind::Object(properties) => properties.is_empty(),
            ExprKind::Call(call) => call.args.is_empty(),
            _ => false,
        })
    })
}

/// Whether a variable is an object of a class that is named for sessions: `manager = SessionManager(store)`.
pub(super) fn is_object_of_sessions(project: &Project, unit: &Unit, map: At) -> bool {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(map.expr) else { return false };
    let [source] = unit.index.sources(*id) else { return false };
    let ExprKind::Call(call) = unit.ir.expr(source.value) else { return false };
    let made = map.to(call.callee);
    let name = match project.symbol(made) {
        Symbol::Class(class) => project.class_name(class).to_owned(),
        _ => return false,
    };
    vocabulary::words(&name)
        .iter()
        .any(|word| matches!(word.as_str(), "session" | "sessions" | "conversation" | "conversations"))
}

/// Whether one of those who hand over a key hands over what the client says, and nothing that says whose it is: others may hand over a
/// caller's own, `process(f"{platform}_{sender_id}")`, beside `process(body.session_id)`.
pub(super) fn somebody_chooses(project: &Project, key: At, steps: u32) -> bool {
    const CALLERS: usize = 16;
    let Some(steps) = steps.checked_sub(1) else { return false };
    let Some(unit) = project.unit(key.module) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(key.expr) else { return false };
    let Some((fun, number, path)) = project.parameter_of(key.module, *id) else { return false };
    path.is_empty()
        && project.callers(fun).iter().take(CALLERS).any(|call| {
            let Some(given) = project.argument(*call, fun, number) else { return false };
            let origins = project.origins(given);
            origins.is_chosen() && (!origins.has_owner() || somebody_chooses(project, given, steps))
        })
}
