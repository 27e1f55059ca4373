//! What stands in a query and is no condition of it: what is written, which columns and other rows come along, in what order.

use std::collections::BTreeSet;

use super::{named::Names, singular};
use crate::{
    ir::{Call, ExprId, ExprKind, PropertyKey, Span, walk},
    project::{At, Project, Unit},
};

/// Options of queries that say what comes along with the rows, and not which rows.
const ALONG: &[&str] = &["relations", "include", "attributes", "orderBy", "order", "populate", "select"];

/// Methods of a query that goes on which are given what is written: `from("notes").update(…)`, `update(notes).set(…)`.
const WRITES: &[&str] = &["update", "set"];

/// Methods that are given the condition first, and what is written behind it.
const WRITES_SECOND: &[&str] = &[
    "updateOne",
    "updateMany",
    "findOneAndUpdate",
    "findByIdAndUpdate",
    "replaceOne",
    "findOneAndReplace",
    "update",
];

/// The places of a chain of calls in which nothing is a condition. What comes `along` is left to whoever a function gives the rows to,
/// and may compare it.
fn beside_conditions(unit: &Unit, chain: ExprId, along: bool) -> Vec<Span> {
    let mut found = Vec::new();
    walk::exprs_below(&unit.ir, chain, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Call(call) => {
            found.extend(
                written(unit, call).filter(|expr| !joins(unit, *expr)).map(|expr| unit.ir.span(expr)),
            );
        }
        ExprKind::Object(properties) if along => {
            let along = |key: &PropertyKey| matches!(key, PropertyKey::Name(name) if ALONG.contains(&unit.ir.text(*name)));
            let values =
                properties.iter().filter(|property| along(&property.key)).map(|property| property.value);
            found
                .extend(values.filter(|value| !has_condition(unit, *value)).map(|value| unit.ir.span(value)));
        }
        _ => {}
    });
    found
}

impl Project {
    /// What a query's chain of calls names, without what is no condition of it.
    pub(super) fn names_of(&self, chain: At, entity: &str, words: &BTreeSet<String>) -> Names {
        let along = self.is_in_handler(chain);
        let beside = self.unit(chain.module).map(|unit| beside_conditions(unit, chain.expr, along));
        // A model `OAuthToken` is no caller, though its name speaks of one.
        let mut names = Names {
            entity: singular(entity),
            own: words.clone(),
            beside: beside.unwrap_or_default(),
            ..Names::default()
        };
        self.names_in(chain, 3, &mut names);
        names
    }

    /// Whether something stands in a handler, which gives rows to nobody but the caller.
    fn is_in_handler(&self, at: At) -> bool {
        let Some(unit) = self.unit(at.module) else { return false };
        self.around(self.function_of(at)).into_iter().any(|fun| {
            let params = unit.ir.function(fun.id).into_iter().flat_map(|function| &function.params);
            let mut names = params.filter_map(|own| own.name).map(|name| unit.ir.text(name));
            self.entry(fun).is_some() || names.any(|name| matches!(name, "req" | "request"))
        })
    }
}

/// What the calls of a query write: `{ title }` of `from("notes").update({ title }).eq("id", id)`.
pub(crate) fn written_in(unit: &Unit, chain: ExprId) -> Vec<ExprId> {
    let mut found = Vec::new();
    walk::exprs_below(&unit.ir, chain, &mut |expr| {
        if let ExprKind::Call(call) = unit.ir.expr(expr) {
            found.extend(written(unit, call));
        }
    });
    found
}

/// What a call of a query writes.
fn written(unit: &Unit, call: &Call) -> Option<ExprId> {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
    let name = unit.ir.text(*property);
    if WRITES.contains(&name) && call.args.len() == 1 && matches!(unit.ir.expr(*object), ExprKind::Call(_)) {
        return call.positional(0);
    }
    // `note.update({ where, data })`
    let first = call.positional(0)?;
    let is = |expr: ExprId, key: &str| value_of(unit, expr, key);
    if matches!(name, "update" | "updateMany") && is(first, "where").is_some() {
        return is(first, "data");
    }
    let second = call.positional(1).filter(|_| WRITES_SECOND.contains(&name))?;
    // `Note.update({ body }, { where })`
    if is(second, "where").is_some() {
        Some(first)
    } else {
        (!unit.ir.snippet(unit.ir.span(second)).contains("where")).then_some(second)
    }
}

/// What puts somebody among those of a row, or takes one out: `{ $addToSet: { readers: user.id } }`. The row is no owner's then.
const JOINS: &[&str] =
    &["$pull", "$push", "$addToSet", "$pullAll", "connect", "disconnect", "connectOrCreate", "push"];

fn joins(unit: &Unit, payload: ExprId) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, payload, &mut |expr| {
        if let ExprKind::Object(properties) = unit.ir.expr(expr) {
            found |= properties
                .iter()
                .any(|property| matches!(property.key, PropertyKey::Name(name) if JOINS.contains(&unit.ir.text(name))));
        }
    });
    found
}

fn value_of(unit: &Unit, expr: ExprId, key: &str) -> Option<ExprId> {
    let ExprKind::Object(properties) = unit.ir.expr(expr) else { return None };
    let own = |property: &&crate::ir::Property| matches!(property.key, PropertyKey::Name(name) if unit.ir.text(name) == key);
    properties.iter().find(own).map(|property| property.value)
}

/// Whether a value has conditions in it: `include: { members: { where: { userId } } }`.
fn has_condition(unit: &Unit, value: ExprId) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, value, &mut |expr| found |= value_of(unit, expr, "where").is_some());
    found
}
