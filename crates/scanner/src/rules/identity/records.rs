//! Variables with the name of a tenant that hold a record of one: what was sent to make it, or what was found.

use crate::{
    ir::{ExprKind, NameRef},
    project::{At, Project, Unit},
    vocabulary,
};

/// Last words of types of what is sent to make or change a record: `OrganizationCreate`, `TeamUpdate`.
const BODIES: &[&str] = &[
    "create", "update", "patch", "in", "input", "request", "payload", "body", "data", "dto", "form", "schema",
];

/// First words of functions that give a record.
const GIVES: &[&str] =
    &["save", "create", "insert", "add", "register", "get", "find", "fetch", "load", "update", "upsert"];

/// Words of functions that give what a request says.
const SAYS: &[&str] = &[
    "header",
    "headers",
    "request",
    "req",
    "input",
    "param",
    "params",
    "query",
    "body",
    "arg",
    "args",
    "argument",
    "arguments",
    "cookie",
    "cookies",
    "token",
    "claims",
    "claim",
    "form",
    "id",
    "slug",
    "name",
    "current",
    "from",
];

/// Whether a variable that has the bare name of a tenant holds a record and no id: its type is one of a request's body, or a function
/// that makes, changes or finds records gave it. The id that it was found by is the finding.
pub(super) fn is_record(project: &Project, at: At, name: &str) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    if vocabulary::words(name).len() != 1 {
        return false;
    }
    let parameter = project.parameter_of(at.module, *id).and_then(|(fun, number, path)| {
        path.is_empty().then(|| unit.ir.function(fun.id)?.params.get(number)?.type_text).flatten()
    });
    let typed = parameter.or_else(|| unit.ir.binding(*id)?.type_text);
    if typed.is_some_and(|text| is_body(unit.ir.text(text))) {
        return true;
    }
    let sources = unit.index.sources(*id);
    !sources.is_empty()
        && sources
            .iter()
            .all(|source| source.path.is_empty() && gives_record(project, unit, at.to(source.value)))
}

/// Whether a type is one of a request's body.
fn is_body(text: &str) -> bool {
    let words = vocabulary::words(text);
    words.len() > 1 && words.last().is_some_and(|last| BODIES.contains(&last.as_str()))
}

fn gives_record(project: &Project, unit: &Unit, value: At) -> bool {
    let value = match unit.ir.expr(value.expr) {
        ExprKind::Await(inner) => value.to(*inner),
        _ => value,
    };
    let ExprKind::Call(call) = unit.ir.expr(value.expr) else { return false };
    let Some(name) = project.last_written(value.to(call.callee)) else { return false };
    let words = vocabulary::words(name);
    let alone = matches!(words.as_slice(), [only] if only != "get");
    words.first().is_some_and(|verb| GIVES.contains(&verb.as_str()))
        && (alone || words.len() > 1)
        && !words.iter().any(|word| SAYS.contains(&word.as_str()))
        && !call.args.iter().any(|arg| {
            project.written(value.to(arg.value)).last().is_some_and(|name| SAYS.contains(&name.as_str()))
        })
}
