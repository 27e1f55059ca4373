//! A request's body that is kept as a whole beside the caller, and in which the id of a thing stands that nobody looks at:
//! `store(user_id, body.model_dump())` with `body.conversation_id`.

use std::collections::BTreeSet;

use partywall_model::Confidence;

use super::callers::{is_caller, is_id, own_code};
use crate::{
    flow::singular,
    ir::{Call, ExprId, ExprKind, NameRef, walk},
    project::{At, Cls, Fun, Project, Symbol, Unit},
    rules::Report,
    vocabulary,
};

/// First words of functions that keep something.
const KEEPS: &[&str] =
    &["store", "insert", "save", "create", "add", "record", "put", "submit", "append", "write", "persist"];

/// Methods of a model that give all that it has.
const WHOLE: &[&str] = &["model_dump", "dict", "model_dump_json", "json"];

/// Reports such calls; whether things of an entity have an owner is told by the queries, or by a function that is named for it.
pub(super) fn whole_body(project: &Project, report: &mut Report<'_>, has_owner: &dyn Fn(&str) -> bool) {
    let checked = entities_with_checks(project);
    for entry in project.entries().iter().filter(|entry| entry.kind == "http" || entry.kind == "tool") {
        let Some(unit) = project.unit(entry.handler.module) else { continue };
        if project.is_operators(entry)
            || project.is_checked_before(entry)
            || !project.has_owners(entry.handler.module)
        {
            continue;
        }
        let code = own_code(project, entry.handler);
        for here in &code {
            walk::function_exprs(&unit.ir, here.id, &mut |expr| {
                let at = At { module: here.module, expr };
                let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
                let Some((body, class)) = kept_whole(project, unit, at, call) else { return };
                for name in ids_of(project, class) {
                    let words = vocabulary::words(&name);
                    let before = words.split_last().map_or_else(String::new, |(_, before)| before.join("_"));
                    let entity = singular(&before);
                    let owned = has_owner(&entity) || checked.contains(&entity);
                    if owned && !is_read(project, unit, &code, &body, &name) {
                        report
                            .reached(at, format!("what is kept here hangs below what `{name}` of the body names, and nobody looks whose that is"))
                            .confidence(Confidence::Medium);
                        break;
                    }
                }
            });
        }
    }
}

/// The entities for which the project has a function that looks whose one is: `validate_conversation_ownership`.
fn entities_with_checks(project: &Project) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, unit) in project.units() {
        for (_, function) in unit.ir.functions() {
            let Some(name) = function.name else { continue };
            let words = vocabulary::words(unit.ir.text(name));
            if words
                .iter()
                .any(|word| matches!(word.as_str(), "ownership" | "owner" | "owns" | "belongs" | "access"))
            {
                found.extend(words.iter().filter(|word| word.len() > 3).map(|word| singular(word)));
            }
        }
    }
    found
}

/// The body that a call keeps as a whole with the caller, as it is written, and its class.
fn kept_whole(project: &Project, unit: &Unit, at: At, call: &Call) -> Option<(String, Cls)> {
    let verb = vocabulary::words(project.last_written(at)?).first().cloned()?;
    if !KEEPS.contains(&verb.as_str()) {
        return None;
    }
    let mut body: Option<ExprId> = None;
    let mut caller = false;
    for arg in &call.args {
        walk::exprs_below(&unit.ir, arg.value, &mut |expr| match unit.ir.expr(expr) {
            ExprKind::Call(inner) => {
                if let ExprKind::Member { object, property, .. } = unit.ir.expr(inner.callee)
                    && WHOLE.contains(&unit.ir.text(*property))
                    && matches!(unit.ir.expr(*object), ExprKind::Name(NameRef::Binding(_)))
                {
                    body = body.or(Some(*object));
                }
            }
            ExprKind::Name(_) | ExprKind::Member { .. } => caller |= is_caller(project, at.to(expr)),
            _ => {}
        });
    }
    let body = body.filter(|_| caller)?;
    match project.symbol(at.to(body)) {
        Symbol::Instance(class) => Some((project.written(at.to(body)).join("."), class)),
        _ => None,
    }
}

/// The fields of a class that are ids of things.
fn ids_of(project: &Project, class: Cls) -> Vec<String> {
    let Some(unit) = project.unit(class.module) else { return Vec::new() };
    let Some(decl) = unit.ir.class(class.id) else { return Vec::new() };
    let names = decl.fields.iter().map(|field| unit.ir.text(field.name));
    names.filter(|name| is_id(name) && vocabulary::words(name).len() > 1).map(str::to_owned).collect()
}

/// Whether a handler reads a field of its body by itself: it may look there.
fn is_read(project: &Project, unit: &Unit, code: &[Fun], body: &str, field: &str) -> bool {
    code.iter().any(|fun| {
        let mut found = false;
        walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
            if let ExprKind::Member { object, property, .. } = unit.ir.expr(expr) {
                found |= unit.ir.text(*property) == field
                    && project.written(At { module: fun.module, expr: *object }).join(".") == body;
            }
        });
        found
    })
}
