//! Models that code declares, and whether they have an owner.

use super::Owned;
use crate::{
    ir::{Class, ExprId, ExprKind, NameRef, PropertyKey},
    project::{At, Cls, Project, Symbol, Unit},
    tables::level_of_column,
    vocabulary,
};

/// Notes the models that a module declares and whether they have an owner.
pub(super) fn models(unit: &Unit, note: &mut impl FnMut(&str, Owned)) {
    for (_, class) in unit.ir.classes() {
        let Some(name) = class.name.map(|name| unit.ir.text(name)) else { continue };
        if !is_model(unit, class) {
            continue;
        }
        let owner = class.fields.iter().any(|field| {
            let column = unit.ir.text(field.name);
            level_of_column(column).is_some()
                || (vocabulary::is_owner(column) && field.value.is_some_and(|value| refers(unit, value)))
        });
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

/// Whether a class is a model of rows or documents: by what it extends, its table, or its columns.
pub(super) fn is_model(unit: &Unit, class: &Class) -> bool {
    let columns = class.fields.iter().any(|field| {
        unit.ir.text(field.name) == "__tablename__"
            || field.value.is_some_and(|value| makes_column(unit, value))
    });
    // A base of these names has many children that are no rows: those have fields with a value or an annotation only.
    let extends = class.bases.iter().any(|base| match unit.ir.expr(*base) {
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id) == "Document",
        ExprKind::Member { property, .. } => {
            matches!(unit.ir.text(*property), "Model" | "Document" | "DynamicDocument")
        }
        _ => false,
    });
    columns || (extends && !class.fields.is_empty())
}

/// Whether a column refers to rows of another table.
fn refers(unit: &Unit, value: ExprId) -> bool {
    called(unit, value).is_some_and(|name| {
        matches!(
            name,
            "ForeignKey"
                | "ForeignKeyField"
                | "ReferenceField"
                | "OneToOneField"
                | "LazyReferenceField"
                | "Link"
        )
    })
}

/// The name of what a value calls.
fn called(unit: &Unit, value: ExprId) -> Option<&str> {
    let ExprKind::Call(call) = unit.ir.expr(value) else { return None };
    match unit.ir.expr(call.callee) {
        ExprKind::Name(NameRef::Binding(id)) => Some(unit.ir.binding_name(*id)),
        ExprKind::Name(NameRef::Global(name)) => Some(unit.ir.text(*name)),
        ExprKind::Member { property, .. } => Some(unit.ir.text(*property)),
        _ => None,
    }
}

fn makes_column(unit: &Unit, value: ExprId) -> bool {
    called(unit, value).is_some_and(|name| {
        matches!(name, "Column" | "mapped_column" | "relationship" | "ForeignKey")
            || name
                .strip_suffix("Field")
                .is_some_and(|kind| kind.chars().next().is_some_and(char::is_uppercase))
    })
}

/// Whether a class is one of those that a framework fills from a request's body: a model of a validating library, also through
/// others of the project.
pub(super) fn is_body(project: &Project, class: Cls, depth: u32) -> bool {
    let (Some(depth), Some(unit)) = (depth.checked_sub(1), project.unit(class.module)) else { return false };
    let Some(decl) = unit.ir.class(class.id) else { return false };
    decl.bases.iter().any(|base| {
        let at = At { module: class.module, expr: *base };
        match project.symbol(at) {
            Symbol::Class(base) => is_body(project, base, depth),
            _ => project
                .written(at)
                .last()
                .is_some_and(|name| matches!(name.as_str(), "BaseModel" | "Struct" | "Schema" | "RootModel")),
        }
    })
}
