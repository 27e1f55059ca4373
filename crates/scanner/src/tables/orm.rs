//! Models in code: the tables that object-relational mappers know, and data definition in strings.
//!
//! What is a model is told by its form (a call of `pgTable`, a class with `__tablename__`, an `@Entity`), so that a project's
//! own base classes and re-exports do not matter.

mod classes;
mod statements;
mod tables;

use crate::{
    ir::{Call, ExprId, ExprKind, Module, NameRef, Property, PropertyKey},
    lang::sql::{Column, Name},
};

pub(crate) use statements::SCHEMAS;
pub use statements::{changes, speaks_to_sqlite};

/// A model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Its name in code: the class, or what the table is assigned to.
    pub code: String,
    /// The table.
    pub table: Name,
    /// Its columns. A reference names the other model by its name in code.
    pub columns: Vec<Column>,
    /// Where it stands, in bytes.
    pub at: u32,
    /// Whether the model enables row-level security itself.
    pub secured: bool,
}

/// The models of a module.
#[must_use]
pub fn models(module: &Module) -> Vec<Model> {
    let mut models = tables::find(module);
    models.extend(classes::find(module));
    models
}

/// The last part of what is called: `pgTable` of `pg.pgTable(…)`.
fn callee<'m>(module: &'m Module, call: &Call) -> &'m str {
    last_name(module, call.callee)
}

/// The last name of an expression.
fn last_name(module: &Module, id: ExprId) -> &str {
    match module.expr(id) {
        ExprKind::Name(NameRef::Binding(binding)) => module.binding_name(*binding),
        ExprKind::Name(NameRef::Global(name)) => module.text(*name),
        ExprKind::Member { property, .. } => module.text(*property),
        ExprKind::Call(call) => last_name_of(module, call.callee, 8),
        _ => "",
    }
}

fn last_name_of(module: &Module, id: ExprId, left: u32) -> &str {
    match module.expr(id) {
        ExprKind::Call(call) if left > 0 => last_name_of(module, call.callee, left - 1),
        ExprKind::Call(_) => "",
        _ => last_name(module, id),
    }
}

fn string(module: &Module, id: ExprId) -> Option<&str> {
    match module.expr(id) {
        ExprKind::String(text) => Some(module.text(*text)),
        _ => None,
    }
}

fn properties(module: &Module, id: ExprId) -> &[Property] {
    match module.expr(id) {
        ExprKind::Object(properties) => properties,
        _ => &[],
    }
}

fn key(module: &Module, property: &Property) -> Option<String> {
    match property.key {
        PropertyKey::Name(name) => Some(module.text(name).to_owned()),
        _ => None,
    }
}

/// A property of an object literal.
fn property(module: &Module, id: ExprId, name: &str) -> Option<ExprId> {
    properties(module, id)
        .iter()
        .find(|property| key(module, property).as_deref() == Some(name))
        .map(|property| property.value)
}

/// What an arrow gives back, or the expression itself: `() => Org`.
fn given(module: &Module, id: ExprId) -> ExprId {
    let ExprKind::Function(function) = module.expr(id) else { return id };
    let mut found = id;
    if let Some(function) = module.function(*function) {
        for stmt in &*function.body {
            if let crate::ir::StmtKind::Return(Some(value)) = module.stmt(*stmt) {
                found = *value;
            }
        }
    }
    found
}

/// The object of `table.column`.
fn object_name(module: &Module, id: ExprId) -> Option<String> {
    match module.expr(id) {
        ExprKind::Member { object, .. } => Some(last_name(module, *object).to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
