//! Models that code declares, and whether they have an owner.

use super::Owned;
use crate::{
    ir::{ExprId, ExprKind, NameRef, PropertyKey},
    project::Unit,
    tables::level_of_column,
};

/// Notes the models that a module declares and whether they have an owner.
pub(super) fn models(unit: &Unit, note: &mut impl FnMut(&str, Owned)) {
    for (_, class) in unit.ir.classes() {
        let Some(name) = class.name.map(|name| unit.ir.text(name)) else { continue };
        let table = class.fields.iter().any(|field| {
            unit.ir.text(field.name) == "__tablename__"
                || field.value.is_some_and(|value| makes_column(unit, value))
        });
        if !table {
            continue;
        }
        let owner = class.fields.iter().any(|field| level_of_column(unit.ir.text(field.name)).is_some());
        note(name, if owner { Owned::Yes } else { Owned::No });
        for field in class.fields.iter().filter(|field| unit.ir.text(field.name) == "__tablename__") {
            if let Some(ExprKind::String(text)) = field.value.map(|value| unit.ir.expr(value)) {
                note(unit.ir.text(*text), if owner { Owned::Yes } else { Owned::No });
            }
        }
    }
    for (id, binding) in unit.ir.bindings() {
        let Some(source) = unit.index.sources(id).first() else { continue };
        let ExprKind::Call(call) = unit.ir.expr(source.value) else { continue };
        let callee = match unit.ir.expr(call.callee) {
            ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
            ExprKind::Member { property, .. } => unit.ir.text(*property),
            _ => continue,
        };
        if !(callee.ends_with("Table")
            || callee.ends_with("Schema")
            || callee == "model"
            || callee == "define")
        {
            continue;
        }
        let object = call.args.iter().find_map(|arg| match unit.ir.expr(arg.value) {
            ExprKind::Object(properties) => Some(properties),
            _ => None,
        });
        let Some(properties) = object else { continue };
        let owner = properties.iter().any(|property| matches!(property.key, PropertyKey::Name(name) if level_of_column(unit.ir.text(name)).is_some()));
        note(unit.ir.text(binding.name), if owner { Owned::Yes } else { Owned::No });
    }
}

fn makes_column(unit: &Unit, value: ExprId) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(value) else { return false };
    let name = match unit.ir.expr(call.callee) {
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
        ExprKind::Name(NameRef::Global(name)) => unit.ir.text(*name),
        ExprKind::Member { property, .. } => unit.ir.text(*property),
        _ => return false,
    };
    matches!(
        name,
        "Column"
            | "mapped_column"
            | "relationship"
            | "ForeignKey"
            | "CharField"
            | "AutoField"
            | "TextField"
            | "UUIDField"
            | "DateTimeField"
    )
}
