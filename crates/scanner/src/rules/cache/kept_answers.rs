//! Answers that a middleware of the project keeps by the address of the request: `store.set(req.originalUrl, body)`. Whoever asks for
//! the same address later is given what the first caller was answered.

use std::collections::BTreeSet;

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Origins,
    ir::{ArgKind, ExprId, ExprKind, NameRef, TemplatePart},
    project::{At, Fun, Project, Unit},
    rules::Report,
};

/// Parts of a request that are its address or say how it was asked for.
const ADDRESS: &[&str] = &[
    "originalUrl",
    "url",
    "path",
    "path_info",
    "pathname",
    "full_path",
    "baseUrl",
    "href",
    "raw_path",
    "query",
    "query_params",
    "query_string",
    "search",
    "method",
    "args",
    "get_full_path",
];

/// Functions that make a key of such parts.
const MAKES: &[&str] = &[
    "stringify",
    "str",
    "String",
    "md5",
    "sha1",
    "sha256",
    "hexdigest",
    "digest",
    "createHash",
    "update",
    "encode",
    "decode",
    "join",
    "dumps",
    "urlencode",
    "sorted",
    "tuple",
    "items",
    "get_full_path",
    "toString",
    "hash",
    "URL",
];

/// How many variables and calls a key is followed through.
const STEPS: u32 = 6;

/// Reports such keys, once a function.
pub(super) fn kept_answers(project: &Project, report: &mut Report<'_>) {
    let mut told: BTreeSet<Fun> = BTreeSet::new();
    let mut accesses: Vec<_> = project.accesses().iter().collect();
    accesses.sort_by_key(|access| (access.key.module, project.span(access.key).start));
    for access in accesses {
        let Some(around) = middleware_around(project, access.function) else { continue };
        let Some(unit) = project.unit(access.key.module) else { continue };
        let kept =
            || project.accesses().iter().any(|other| other.store == access.store && other.value.is_some());
        if told.contains(&around)
            || !(project.has_owners(access.key.module) || project.knows_callers(access.key.module))
            || !is_address(project, unit, access.key, STEPS).is_some_and(|named| named)
            || !kept()
        {
            continue;
        }
        told.insert(around);
        report
            .reached(
                access.key,
                "the answer to one caller is kept by its address alone, and given to the next one",
            )
            .severity(Severity::Medium)
            .confidence(Confidence::Medium);
    }
}

/// The middleware that a function is or stands in: by how it is registered, or by what it is told to call next.
fn middleware_around(project: &Project, fun: Fun) -> Option<Fun> {
    project.around(fun).into_iter().find(|own| {
        let calls_next = || {
            let function = project.unit(own.module).and_then(|unit| Some((unit, unit.ir.function(own.id)?)));
            function.is_some_and(|(unit, function)| {
                let names = function.params.iter().filter_map(|own| own.name).map(|name| unit.ir.text(name));
                names.into_iter().any(|name| matches!(name, "next" | "call_next" | "_next"))
            })
        };
        project
            .entry(*own)
            .is_some_and(|entry| entry.kind == "middleware" || (entry.kind == "http" && calls_next()))
    })
}

/// Whether a key is made of the address of a request and of fixed texts: whether the address is in it; nothing where anything else is.
fn is_address(project: &Project, unit: &Unit, at: At, steps: u32) -> Option<bool> {
    let steps = steps.checked_sub(1)?;
    let all = |exprs: Vec<ExprId>| {
        exprs
            .into_iter()
            .try_fold(false, |named, expr| Some(is_address(project, unit, at.to(expr), steps)? || named))
    };
    match unit.ir.expr(at.expr) {
        ExprKind::String(_) | ExprKind::Number(_) | ExprKind::Bool(_) | ExprKind::Null => Some(false),
        ExprKind::Template(parts) => all(parts
            .iter()
            .filter_map(|part| match part {
                TemplatePart::Value(expr) => Some(*expr),
                TemplatePart::Text(_) => None,
            })
            .collect()),
        ExprKind::Array { items, .. } => all(items.to_vec()),
        ExprKind::Binary { left, right, .. } | ExprKind::Logical { left, right, .. } => {
            all(vec![*left, *right])
        }
        ExprKind::Member { object, property, .. } => {
            let part = ADDRESS.contains(&unit.ir.text(*property));
            // `request.url.path`, `req.originalUrl`, and `hash.hexdigest`
            let of_request = part
                && (project.origins(at.to(*object)).has(Origins::REQUEST)
                    || is_address(project, unit, at.to(*object), steps) == Some(true));
            if of_request {
                Some(true)
            } else {
                is_address(project, unit, at.to(*object), steps).filter(|named| *named)
            }
        }
        ExprKind::Call(call) => {
            let name = project.last_written(at.to(call.callee)).unwrap_or_default();
            if !MAKES.contains(&name) && !ADDRESS.contains(&name) {
                return None;
            }
            let receiver = match unit.ir.expr(call.callee) {
                ExprKind::Member { object, .. } => {
                    let of_request =
                        ADDRESS.contains(&name) && project.origins(at.to(*object)).has(Origins::REQUEST);
                    if of_request { Some(true) } else { is_address(project, unit, at.to(*object), steps) }
                }
                _ => None,
            };
            let plain = call
                .args
                .iter()
                .filter(|arg| matches!(arg.kind, ArgKind::Positional))
                .map(|arg| arg.value)
                .collect();
            Some(all(plain)? || receiver.unwrap_or(false))
        }
        ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
            [source] if source.path.is_empty() => is_address(project, unit, at.to(source.value), steps),
            _ => None,
        },
        _ => None,
    }
}
