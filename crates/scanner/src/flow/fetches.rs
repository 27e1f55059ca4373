//! Servers that an object describes: `export default { fetch }`, `Bun.serve({ fetch })`.

use super::Entry;
use crate::{
    ir::{ExprKind, Kinds, NameRef, Property, PropertyKey},
    project::{At, Fun, ModuleId, Project, Unit},
};

/// What runs a worker or a server by an object that says who answers: `export default { fetch: handle }`, `Bun.serve({ fetch })`.
pub(super) fn workers(project: &Project, module: ModuleId, unit: &Unit, entries: &mut Vec<Entry>) {
    for (at, expr) in unit.ir.exprs_of(Kinds::OBJECT) {
        let ExprKind::Object(properties) = expr else { continue };
        let fetches = |property: &Property| matches!(property.key, PropertyKey::Name(name) if unit.ir.text(name) == "fetch");
        if !properties.iter().any(fetches) {
            continue;
        }
        let functions = properties.iter().filter_map(|property| {
            let PropertyKey::Name(name) = property.key else { return None };
            let value = At { module, expr: property.value };
            let handler = match unit.ir.expr(property.value) {
                ExprKind::Function(id) => Fun { module, id: *id },
                ExprKind::Name(NameRef::Binding(_)) => project.functions_of(value).first().copied()?,
                _ => return None,
            };
            Some((unit.ir.text(name), handler))
        });
        let functions: Vec<(&str, Fun)> = functions.collect();
        let takes_request = |fun: Fun| {
            let home = project.unit(fun.module)?;
            let first = home.ir.function(fun.id)?.params.first()?;
            Some(matches!(home.ir.text(first.name?), "request" | "req" | "_request" | "r"))
        };
        if !functions.iter().any(|(name, fun)| *name == "fetch" && takes_request(*fun) == Some(true)) {
            continue;
        }
        for (name, handler) in functions {
            let (kind, context) = match name {
                "fetch" => ("http", vec![0]),
                "queue" | "scheduled" | "email" => ("event", Vec::new()),
                _ => continue,
            };
            entries.push(Entry {
                handler,
                kind: kind.to_owned(),
                registration: At { module, expr: at },
                input: Some(Vec::new()),
                context,
            });
        }
    }
}
