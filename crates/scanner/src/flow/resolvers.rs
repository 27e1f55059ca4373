//! Functions in records of records, under the names of what they answer: resolvers of GraphQL, and routes of Bun.

use super::Entry;
use crate::{
    ir::{ExprId, ExprKind, Kinds, Property, PropertyKey},
    project::{At, Fun, ModuleId, Project, Unit},
};

/// The types of GraphQL whose fields callers ask for.
const ROOTS: &[&str] = &["Query", "Mutation", "Subscription"];

/// The functions that a module has in such records.
pub(super) fn resolvers(project: &Project, module: ModuleId, unit: &Unit, entries: &mut Vec<Entry>) {
    for (_, expr) in unit.ir.exprs_of(Kinds::OBJECT) {
        let ExprKind::Object(properties) = expr else { continue };
        for property in properties {
            let PropertyKey::Name(name) = property.key else { continue };
            if ROOTS.contains(&unit.ir.text(name)) {
                fields(project, module, property.value, entries);
            }
        }
    }
    for call in &unit.index.calls {
        let at = At { module, expr: *call };
        let ExprKind::Call(call) = unit.ir.expr(at.expr) else { continue };
        let bun = project.last_written(at) == Some("serve") && project.first_written(at) == Some("Bun");
        let Some(options) = call.positional(0).filter(|_| bun) else { continue };
        if let Some(routes) = project.property_value(at.to(options), "routes") {
            bun_routes(project, at, routes, entries);
        }
    }
}

/// The properties of a record that is written out, there or where it is named.
fn properties_of(project: &Project, at: At) -> Option<(At, &[Property])> {
    project.elements(at).into_iter().find_map(|at| match project.unit(at.module)?.ir.expr(at.expr) {
        ExprKind::Object(properties) => Some((at, &**properties)),
        _ => None,
    })
}

/// The resolvers of the fields of a type, which are given the parent, the arguments and the context: of two parameters and more, as a
/// model's or a schema's functions under the same names are not.
fn fields(project: &Project, module: ModuleId, record: ExprId, entries: &mut Vec<Entry>) {
    let Some((record, fields)) = properties_of(project, At { module, expr: record }) else { return };
    for field in fields.iter().filter(|field| matches!(field.key, PropertyKey::Name(_))) {
        let at = record.to(field.value);
        for handler in super::registered::functions_of(project, at) {
            let takes = project
                .unit(handler.module)
                .and_then(|unit| unit.ir.function(handler.id))
                .map_or(0, |function| function.params.len());
            if (2..=4).contains(&takes) {
                let kind = "http".to_owned();
                entries.push(Entry {
                    handler,
                    kind,
                    registration: at,
                    input: Some(vec![1]),
                    context: vec![2],
                });
            }
        }
    }
}

/// The handlers of routes, alone or by their methods: `{ "/notes": { async POST(request) { … } } }`. Source: bun.com/docs/api/http.
fn bun_routes(project: &Project, registration: At, routes: At, entries: &mut Vec<Entry>) {
    let Some((routes, paths)) = properties_of(project, routes) else { return };
    let mut values: Vec<At> = Vec::new();
    for path in paths {
        match properties_of(project, routes.to(path.value)) {
            Some((home, methods)) => values.extend(methods.iter().map(|method| home.to(method.value))),
            None => values.push(routes.to(path.value)),
        }
    }
    let handlers: Vec<Fun> = values
        .into_iter()
        .flat_map(|value| super::registered::functions_of(project, value))
        .take(128)
        .collect();
    entries.extend(handlers.into_iter().map(|handler| Entry {
        handler,
        kind: "http".to_owned(),
        registration,
        input: Some(Vec::new()),
        context: vec![0],
    }));
}
