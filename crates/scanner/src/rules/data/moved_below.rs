//! A row that is put below another thing by an assignment or an update, and nobody looks whose that thing is:
//! `session.project_id = body.project_id`, `set({ folderId })`.

use std::collections::BTreeSet;

use partywall_model::Confidence;

use super::{
    below_parent::is_looked_at,
    callers::{is_caller, is_id, own_code},
    foreign_parent::{Rows, callers_ask, said},
    ignored_caller::is_compared,
};
use crate::{
    flow::{Origins, singular},
    ir::{ExprId, ExprKind, FunctionId, Kinds, NameRef, PropertyKey, walk},
    project::{At, Fun, Parent, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Methods that change rows.
const UPDATES: &[&str] = &[
    "set",
    "update",
    "updateMany",
    "updateOne",
    "update_one",
    "update_many",
    "findOneAndUpdate",
    "find_one_and_update",
    "findByIdAndUpdate",
];

/// Reports such writes.
pub(super) fn moved_below(project: &Project, rows: &Rows<'_>, report: &mut Report<'_>) {
    let mut told = BTreeSet::new();
    for (module, unit) in project.units().filter(|(module, _)| project.has_owners(*module)) {
        let written = unit.index.writes.iter().filter_map(|write| {
            let ExprKind::Member { object, property, .. } = unit.ir.expr(write.place) else { return None };
            let row = is_row(project, unit, At { module, expr: *object });
            row.then(|| (At { module, expr: write.value }, unit.ir.text(*property).to_owned()))
        });
        let updated = unit
            .ir
            .exprs_of(Kinds::OBJECT)
            .flat_map(|(id, _)| updates(project, unit, At { module, expr: id }));
        for (value, name) in written.chain(updated) {
            if let Some(message) = judge(project, rows, unit, value, &name).filter(|_| told.insert(value)) {
                report.reached(value, message).confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether a thing is a row that was looked up before.
fn is_row(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    !unit.ir.is_module_level(*id)
        && unit.index.sources(*id).iter().take(3).any(|source| {
            let value = at.to(source.value);
            let mut looked = false;
            walk::exprs_below(&unit.ir, source.value, &mut |expr| {
                let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
                let of_rows = project.queries().iter().any(|query| query.at == at.to(expr));
                let name = project.last_written(at.to(expr)).unwrap_or_default();
                let looks = vocabulary::words(name).first().is_some_and(|verb| {
                    matches!(verb.as_str(), "get" | "find" | "fetch" | "load" | "require" | "lookup")
                });
                looked |= !call.is_new && (of_rows || looks);
            });
            looked && !project.origins(value).has(Origins::REQUEST)
        })
}

/// The fields that an update sets: `.update(…).set({ folderId })`, `update({ where, data: { folderId } })`.
fn updates(project: &Project, unit: &Unit, at: At) -> Vec<(At, String)> {
    let ExprKind::Object(properties) = unit.ir.expr(at.expr) else { return Vec::new() };
    let mut here = at.expr;
    for step in 0..3 {
        let Parent::Expr(parent) = unit.index.parent(here) else { return Vec::new() };
        match unit.ir.expr(parent) {
            ExprKind::Call(call) if call.callee != here => {
                let path = project.written(at.to(parent));
                let name = path.last().map_or("", |name| name.as_str());
                // The first argument of MongoDB's says which rows are meant, and that of a map's `set` is a key.
                let alone = name == "set" && call.args.len() == 1;
                let which = !alone && (name == "set" || (step == 0 && call.positional(0) == Some(here)));
                if path.len() < 2 || !UPDATES.contains(&name) || which {
                    return Vec::new();
                }
                let fields = properties.iter().filter_map(|property| match property.key {
                    PropertyKey::Name(key) => Some((at.to(property.value), unit.ir.text(key).to_owned())),
                    _ => None,
                });
                return fields.collect();
            }
            ExprKind::Object(above) => {
                let data = above.iter().any(|property| {
                    property.value == here && matches!(property.key, PropertyKey::Name(key) if matches!(unit.ir.text(key), "data" | "$set"))
                });
                if !data {
                    return Vec::new();
                }
                here = parent;
            }
            _ => return Vec::new(),
        }
    }
    Vec::new()
}

fn judge(project: &Project, rows: &Rows<'_>, unit: &Unit, value: At, name: &str) -> Option<String> {
    let words = vocabulary::words(name);
    let (_, before) = words.split_last().filter(|(_, before)| !before.is_empty() && is_id(name))?;
    let path = matches!(unit.ir.expr(value.expr), ExprKind::Name(_) | ExprKind::Member { .. });
    let party = words.iter().any(|word| vocabulary::is_owner(word))
        || project.last_written(value).is_some_and(vocabulary::is_owner);
    let entity = singular(&before.join("_"));
    if !path || party || !rows.has_owner(&entity) || !project.origins(value).has(Origins::INPUT) {
        return None;
    }
    let around = project.around(project.function_of(value));
    let outer = around.iter().rev().find(|fun| fun.id != FunctionId::MODULE).copied()?;
    let handler = project.entry(outer);
    if handler.is_some_and(|entry| project.is_operators(entry) || project.is_checked_before(entry))
        || (handler.is_none() && project.reach(outer).is_none())
    {
        return None;
    }
    let code = own_code(project, outer);
    let open = knows(project, unit, &code)
        && !is_compared(project, value)
        && !is_looked_at(project, rows, unit, &code, value, &entity)
        && !is_asked(project, unit, &code, value)
        && (handler.is_some() || !callers_ask(project, rows, outer, &entity));
    open.then(|| said(name))
}

/// Whether a function has to do with who calls.
fn knows(project: &Project, unit: &Unit, code: &[Fun]) -> bool {
    code.iter().any(|fun| {
        let mut found = false;
        walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
            let value = matches!(unit.ir.expr(expr), ExprKind::Name(_) | ExprKind::Member { .. });
            found = found || (value && is_caller(project, At { module: fun.module, expr }));
        });
        found
    })
}

/// Whether another function that looks for things is told the id.
fn is_asked(project: &Project, unit: &Unit, code: &[Fun], value: At) -> bool {
    let written = project.written(value).join(".");
    let named = |expr: ExprId| {
        matches!(unit.ir.expr(expr), ExprKind::Name(_) | ExprKind::Member { .. })
            && project.written(value.to(expr)).join(".") == written
    };
    code.iter().any(|fun| {
        let mut found = false;
        walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            let name = project.last_written(At { module: fun.module, expr }).unwrap_or_default();
            let looks = vocabulary::words(name).first().is_some_and(|verb| {
                matches!(
                    verb.as_str(),
                    "get"
                        | "find"
                        | "fetch"
                        | "load"
                        | "require"
                        | "resolve"
                        | "validate"
                        | "check"
                        | "ensure"
                )
            });
            found |= looks && call.args.iter().any(|arg| named(arg.value));
        });
        found
    })
}
