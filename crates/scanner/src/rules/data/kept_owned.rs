//! Records that say whose they are, by a session or a party, in a map that all requests use: `self.pending[intent.id] =
//! Intent(session_id, …)`. One function compares it, or callers are known, and another one finds, takes or deletes the record by the id
//! that the request names.

use std::collections::BTreeSet;

use partywall_model::{Confidence, Severity};

use super::{
    kept_records::looks_whose,
    kept_things::{asked_by_callers, knows_callers, says_party, writes_under},
};
use crate::{
    flow::{Access, Lifetimes},
    ir::{ArgKind, CompareOp, ExprId, ExprKind, FunctionId, NameRef, PropertyKey, walk},
    project::{At, Cls, Fun, ModuleId, Project, Symbol},
    rules::Report,
    vocabulary,
};

/// How many functions are told of one map; the others do the same.
const MOST: usize = 4;

/// Of how many callers of a function the comparisons are looked at.
const CALLERS: usize = 8;

/// Reports such look-ups in one map, of whose records `accesses` are all.
pub(super) fn kept_owned(
    project: &Project,
    lives: &Lifetimes<'_>,
    report: &mut Report<'_>,
    accesses: &[Access],
) {
    let puts: Vec<(At, At)> =
        accesses.iter().filter_map(|access| Some((access.key, access.value?))).collect();
    let mut fields = BTreeSet::new();
    for (_, value) in &puts {
        fields.extend(whose(project, *value));
    }
    // What is kept under the session's own id is found by it.
    for (key, _) in &puts {
        if let Some(name) = project.last_written(*key) {
            fields.remove(name);
        }
        if names_session(project, *key) {
            return;
        }
    }
    if fields.is_empty() {
        return;
    }
    let modules: BTreeSet<ModuleId> = accesses.iter().map(|access| access.at.module).collect();
    let compares = comparing(project, &modules, &fields);
    let known = modules.iter().any(|module| knows_callers(project, *module));
    if compares.is_empty() && !known {
        return;
    }
    let mut told = BTreeSet::new();
    for access in accesses.iter().filter(|access| access.value.is_none()) {
        let fun = access.function;
        let open = told.len() < MOST
            && !told.contains(&fun)
            && fun.id != FunctionId::MODULE
            && !compares.contains(&fun)
            && lives.is_per_request(fun)
            && project.origins(access.key).is_chosen()
            && !says_party(project, access.key)
            && !is_question(project, access.at)
            && !looks_whose(project, fun)
            && !asked_by_callers(project, fun)
            && !compared_by_callers(project, fun, &fields)
            && !writes_under(project, fun, access.key);
        if !open {
            continue;
        }
        told.insert(fun);
        let field = fields.first().map_or("", String::as_str);
        let found = report.reached(
            access.at,
            format!("a record of `{}` says by its `{field}` whose it is, and is found by the id that the request names alone", access.name),
        );
        if known {
            found.severity(Severity::Medium).confidence(Confidence::Medium);
        } else {
            found.severity(Severity::Low).confidence(Confidence::Medium);
        }
        if let Some(other) = compares.first() {
            let head = project.unit(other.module).and_then(|unit| Some(unit.ir.function(other.id)?.head));
            found.related(other.module, head.unwrap_or_default(), format!("`{field}` is compared here"));
        }
    }
}

/// Whether a name says whose something is: a party, or the session that it was left in.
fn says(name: &str) -> bool {
    vocabulary::is_owner(name) || vocabulary::is_session_id(name)
}

/// Whether a key is a session's own id, or made of it.
fn names_session(project: &Project, key: At) -> bool {
    let Some(unit) = project.unit(key.module) else { return true };
    let mut found = false;
    walk::exprs_below(&unit.ir, key.expr, &mut |expr| {
        found |= match unit.ir.expr(expr) {
            ExprKind::Member { property, .. } => says(unit.ir.text(*property)),
            ExprKind::Name(NameRef::Binding(id)) => says(unit.ir.binding_name(*id)),
            _ => false,
        };
    });
    found
}

/// The fields by which a record says whose it is: keys of an object, names that a call is given, fields of the class that is made.
fn whose(project: &Project, value: At) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let Some(unit) = project.unit(value.module) else { return found };
    let mut values: Vec<ExprId> = vec![value.expr];
    if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(value.expr) {
        values.extend(unit.index.sources(*id).iter().take(2).map(|source| source.value));
    }
    for expr in values {
        match unit.ir.expr(expr) {
            ExprKind::Object(properties) => {
                found.extend(properties.iter().filter_map(|property| match property.key {
                    PropertyKey::Name(name) if says(unit.ir.text(name)) => {
                        Some(unit.ir.text(name).to_owned())
                    }
                    _ => None,
                }))
            }
            ExprKind::Call(call) => {
                found.extend(call.args.iter().filter_map(|arg| match arg.kind {
                    ArgKind::Keyword(name) if says(unit.ir.text(name)) => Some(unit.ir.text(name).to_owned()),
                    _ => None,
                }));
                if let Symbol::Class(class) = project.symbol(value.to(call.callee)) {
                    found.extend(fields_of(project, class));
                }
            }
            _ => {}
        }
    }
    found
}

/// The fields of a class that say whose an object is: declared ones, and those that its methods set.
fn fields_of(project: &Project, class: Cls) -> Vec<String> {
    let declared = project.unit(class.module).and_then(|unit| {
        let fields = unit.ir.class(class.id)?.fields.iter();
        Some(fields.map(|field| unit.ir.text(field.name).to_owned()).collect::<Vec<String>>())
    });
    declared
        .into_iter()
        .flatten()
        .chain(project.written_fields(class).map(str::to_owned))
        .filter(|name| says(name))
        .collect()
}

/// The functions that compare such a field of something: `intent.session_id == session_id`.
fn comparing(project: &Project, modules: &BTreeSet<ModuleId>, fields: &BTreeSet<String>) -> BTreeSet<Fun> {
    let mut found = BTreeSet::new();
    for module in modules {
        let Some(unit) = project.unit(*module) else { continue };
        for (id, _) in unit.ir.functions().filter(|(id, _)| *id != FunctionId::MODULE) {
            let fun = Fun { module: *module, id };
            if compares(project, fun, fields) {
                found
                    .extend(project.around(fun).into_iter().filter(|around| around.id != FunctionId::MODULE));
            }
        }
    }
    found
}

/// Whether a function compares such a field.
fn compares(project: &Project, fun: Fun, fields: &BTreeSet<String>) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let is_field = |expr: ExprId| {
        let property = match unit.ir.expr(expr) {
            ExprKind::Member { property, .. } => Some(unit.ir.text(*property)),
            ExprKind::Index { index, .. } => match unit.ir.expr(*index) {
                ExprKind::String(text) => Some(unit.ir.text(*text)),
                _ => None,
            },
            _ => None,
        };
        property.is_some_and(|name| fields.contains(name))
    };
    let is_nothing = |expr: ExprId| matches!(unit.ir.expr(expr), ExprKind::Null);
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let ExprKind::Compare { left, right, .. } = unit.ir.expr(expr) else { return };
        found = found || ((is_field(*left) || is_field(*right)) && !is_nothing(*left) && !is_nothing(*right));
    });
    found
}

/// Whether whoever calls a function compares the field of what it is given.
fn compared_by_callers(project: &Project, fun: Fun, fields: &BTreeSet<String>) -> bool {
    project.callers(fun).iter().take(CALLERS).any(|call| {
        let own = project.function_of(*call);
        own != fun
            && project
                .around(own)
                .into_iter()
                .any(|around| around.id != FunctionId::MODULE && compares(project, around, fields))
    })
}

/// Whether it is only asked if there is something: `id in self.pending`.
fn is_question(project: &Project, at: At) -> bool {
    project.unit(at.module).is_some_and(|unit| match unit.ir.expr(at.expr) {
        ExprKind::Compare { op, .. } => matches!(op, CompareOp::In | CompareOp::NotIn),
        ExprKind::Call(call) => {
            matches!(unit.ir.expr(call.callee), ExprKind::Member { property, .. } if unit.ir.text(*property) == "has")
        }
        _ => false,
    })
}
