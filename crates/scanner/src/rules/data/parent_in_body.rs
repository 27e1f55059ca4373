//! A validated body that names a thing by its id and is kept whole for the caller, when nobody looks whose the thing is:
//! `store(user_id, body.model_dump())` of a model with `conversation_id`.

use partywall_model::{Confidence, Severity};

use super::callers::{is_caller, is_id, own_code};
use crate::{
    flow::{Scope, singular},
    ir::{ArgKind, ExprId, ExprKind, FunctionId, Language, NameRef, walk},
    project::{At, Fun, Project, Symbol, Unit},
    rules::Report,
    vocabulary,
};

/// First words of functions that keep what they are given.
const KEEPS: &[&str] = &["store", "save", "add", "insert", "create", "record", "put", "append", "write"];

/// Methods that give a model's fields.
const DUMPS: &[&str] = &["model_dump", "dict", "model_dump_json", "json"];

/// Reports handlers that keep such bodies.
pub(super) fn parent_in_body(project: &Project, report: &mut Report<'_>) {
    let owned: Vec<&str> = {
        let scoped = project.queries().iter().filter(|query| query.scope == Scope::Owner);
        scoped.map(|query| query.entity.as_str()).collect()
    };
    for entry in project.entries().iter().filter(|entry| entry.kind == "http" || entry.kind == "tool") {
        let fun = entry.handler;
        let Some(unit) = project.unit(fun.module).filter(|unit| unit.ir.language == Language::Python) else {
            continue;
        };
        if fun.id == FunctionId::MODULE
            || !project.has_owners(fun.module)
            || project.is_operators(entry)
            || project.is_checked_before(entry)
        {
            continue;
        }
        let Some((at, body)) = kept_whole(project, unit, fun) else { continue };
        let Some(field) = parents_of(project, unit, fun, body).into_iter().find(|field| {
            let entity = entity_of(field);
            entity.len() > 3 && owned.iter().any(|own| own.ends_with(&entity)) && !asks(project, fun, &entity)
        }) else {
            continue;
        };
        report
            .reached(at, format!("what `{field}` of the request names is taken for the caller's, and nobody looks whose it is"))
            .severity(Severity::Medium)
            .confidence(Confidence::Medium);
    }
}

/// The call that keeps a whole body together with the caller, and the parameter that the body is.
fn kept_whole(project: &Project, unit: &Unit, fun: Fun) -> Option<(At, usize)> {
    let mut found = None;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: fun.module, expr };
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let keeps = project.last_written(at).is_some_and(|name| {
            vocabulary::words(name).first().is_some_and(|verb| KEEPS.contains(&verb.as_str()))
        });
        if found.is_some() || !keeps {
            return;
        }
        let (mut caller, mut body) = (false, None);
        for arg in call.args.iter().filter(|arg| !matches!(arg.kind, ArgKind::Spread)) {
            walk::exprs_below(&unit.ir, arg.value, &mut |inner| {
                caller |= matches!(unit.ir.expr(inner), ExprKind::Name(_) | ExprKind::Member { .. })
                    && is_caller(project, at.to(inner));
                body = body.or_else(|| dumped(project, unit, fun, at.to(inner)));
            });
        }
        if let Some(body) = body.filter(|_| caller) {
            found = Some((at, body));
        }
    });
    found
}

/// The number of the handler's parameter whose fields an expression gives: `body.model_dump()`.
fn dumped(project: &Project, unit: &Unit, fun: Fun, at: At) -> Option<usize> {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object) else { return None };
    let (own, number, path) = project.parameter_of(at.module, *id)?;
    (DUMPS.contains(&unit.ir.text(*property)) && own == fun && path.is_empty()).then_some(number)
}

/// The fields of a parameter's model that are ids of things.
fn parents_of(project: &Project, unit: &Unit, fun: Fun, number: usize) -> Vec<String> {
    let parameter = unit.ir.function(fun.id).and_then(|function| function.params.get(number));
    let Some(text) = parameter.and_then(|parameter| parameter.type_text) else { return Vec::new() };
    let Symbol::Class(class) = project.type_symbol(fun.module, unit.ir.text(text), 4) else {
        return Vec::new();
    };
    let Some(home) = project.unit(class.module) else { return Vec::new() };
    let fields = home.ir.class(class.id).map(|decl| decl.fields.iter()).into_iter().flatten();
    fields
        .map(|field| home.ir.text(field.name).to_owned())
        .filter(|name| is_id(name) && vocabulary::words(name).len() > 1)
        .collect()
}

/// What the id in a field is of.
fn entity_of(field: &str) -> String {
    let words = vocabulary::words(field);
    singular(&words.split_last().map_or_else(String::new, |(_, before)| before.join("_")))
}

/// Whether a handler asks for things of an entity, or calls something that is named for it or for a check.
fn asks(project: &Project, fun: Fun, entity: &str) -> bool {
    own_code(project, fun).into_iter().any(|own| {
        let Some(unit) = project.unit(own.module) else { return true };
        let mut found =
            project.queries().iter().any(|query| query.function == own && query.entity.ends_with(entity));
        walk::function_exprs(&unit.ir, own.id, &mut |expr: ExprId| {
            if matches!(unit.ir.expr(expr), ExprKind::Call(_)) {
                let name = project.last_written(At { module: own.module, expr }).unwrap_or_default();
                found |= Project::is_check(name)
                    || (vocabulary::words(name).len() > 1 && singular(name).contains(entity));
            }
        });
        found
    })
}
