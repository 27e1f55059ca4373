//! What holds sessions although it is not named for them.

use crate::{
    ir::{ExprKind, NameRef},
    project::{At, Project, Symbol, Unit},
    vocabulary,
};

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
