//! What stands in a query and is no condition of it: what is written, which columns and other rows come along, in what order.

use std::collections::BTreeSet;

use super::{named::Names, repositories::is_repository, singular};
use crate::{
    ir::{Call, ExprId, ExprKind, NameRef, PropertyKey, Span, walk},
    project::{At, Project, Unit},
    vocabulary,
};

/// Options of queries that say what comes along with the rows, and not which rows.
const ALONG: &[&str] =
    &["relations", "include", "attributes", "orderBy", "order", "populate", "select", "with", "columns"];

/// Methods that give all rows that a condition finds: nobody who gets them compares what came along with each.
const LISTS_ROWS: &[&str] = &["findMany", "findAll", "findAndCount", "findAndCountAll", "groupBy"];

/// Methods of a query that goes on which are given what is written: `from("notes").update(…)`, `update(notes).set(…)`.
const WRITES: &[&str] = &["update", "set"];

/// What begins a chain of calls with a table.
const TABLES: &[&str] = &["table", "from", "from_"];

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

/// Where a chain of calls says what comes along with the rows, which is no condition of it.
fn along(unit: &Unit, chain: ExprId) -> Vec<Span> {
    let mut found = Vec::new();
    walk::exprs_below(&unit.ir, chain, &mut |expr| {
        let ExprKind::Object(properties) = unit.ir.expr(expr) else { return };
        let along = |key: &PropertyKey| matches!(key, PropertyKey::Name(name) if ALONG.contains(&unit.ir.text(*name)));
        let values = properties.iter().filter(|property| along(&property.key)).map(|property| property.value);
        found.extend(values.filter(|value| !has_condition(unit, *value)).map(|value| unit.ir.span(value)));
    });
    found
}

/// Methods of a chain that are given columns and other tables: what comes along, in what order, and by what rows are put together.
const LISTS: &[&str] = &[
    "select",
    "order",
    "order_by",
    "orderBy",
    "group_by",
    "groupBy",
    "options",
    "returning",
    "populate",
    "distinct",
    "values_list",
    "select_related",
    "prefetch_related",
    "only",
    "defer",
    "columns",
    "add_columns",
    "with_only_columns",
    "schema",
];

/// Methods of a chain that put rows of two tables together.
const JOINS_ROWS: &[&str] = &[
    "join",
    "outerjoin",
    "innerJoin",
    "leftJoin",
    "rightJoin",
    "fullJoin",
    "leftJoinAndSelect",
    "innerJoinAndSelect",
    "isouter",
    "join_from",
];

/// Where a chain of calls names the rows themselves and their columns, which says nothing of whose rows are meant: the model that it
/// is called on, `User.query`, `prisma.teamMember`, what is read, in what order, and that one table's column is the other's.
fn lists(unit: &Unit, chain: ExprId, entity: &str) -> Vec<Span> {
    let mut found = Vec::new();
    let mut here = chain;
    for _ in 0..64 {
        here = match unit.ir.expr(here) {
            ExprKind::Call(call) => {
                let name = match unit.ir.expr(call.callee) {
                    ExprKind::Member { property, .. } => unit.ir.text(*property),
                    ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
                    _ => "",
                };
                let args = call.args.iter().map(|arg| arg.value);
                if LISTS.contains(&name) {
                    found.extend(args.filter(|arg| !has_condition(unit, *arg)).map(|arg| unit.ir.span(arg)));
                } else if JOINS_ROWS.contains(&name) {
                    found.extend(
                        args.filter(|arg| is_between_tables(unit, *arg)).map(|arg| unit.ir.span(arg)),
                    );
                }
                call.callee
            }
            ExprKind::Member { object, property, .. } => {
                let name = unit.ir.text(*property);
                let plain = match unit.ir.expr(*object) {
                    ExprKind::This => true,
                    // `user.notes` are those of a user.
                    ExprKind::Name(NameRef::Binding(id)) => {
                        let name = unit.ir.binding_name(*id);
                        !vocabulary::is_owner(name) && !vocabulary::is_principal(name)
                    }
                    _ => false,
                };
                if plain && (singular(name) == entity || is_repository(name)) {
                    found.push(unit.ir.span(here));
                }
                *object
            }
            ExprKind::Await(value) => *value,
            _ => break,
        };
    }
    found
}

/// Whether a condition of a join is one of columns alone: `Member.team_id == Team.id`, `eq(members.teamId, teams.id)`, `"note.user"`.
fn is_between_tables(unit: &Unit, condition: ExprId) -> bool {
    let mut between = true;
    walk::exprs_below(&unit.ir, condition, &mut |expr| {
        between &= match unit.ir.expr(expr) {
            ExprKind::Name(NameRef::Binding(id)) => unit.ir.is_module_level(*id),
            ExprKind::String(text) => !unit.ir.text(*text).contains(':'),
            _ => true,
        };
    });
    between
}

impl Project {
    /// What a query's chain of calls names, without what is no condition of it.
    pub(super) fn names_of(&self, chain: At, entity: &str, words: &BTreeSet<String>) -> Names {
        // Where a function gives the rows to whoever asks, that one may compare what came along.
        let beside = self.unit(chain.module).map(|unit| {
            let mut beside = lists(unit, chain.expr, &singular(entity));
            if self.is_in_handler(chain)
                || self.last_written(chain).is_some_and(|name| LISTS_ROWS.contains(&name))
            {
                beside.extend(along(unit, chain.expr));
            }
            beside
        });
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

/// Where in an expression stands what its queries write, by which they find nothing. Who is put among those of a row may be asked for.
pub(super) fn written_spans(unit: &Unit, chain: ExprId) -> Vec<Span> {
    let values = written_in(unit, chain).into_iter().filter(|value| !joins(unit, *value));
    values.map(|value| unit.ir.span(value)).collect()
}

/// What a call of a query writes.
fn written(unit: &Unit, call: &Call) -> Vec<ExprId> {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return Vec::new() };
    let name = unit.ir.text(*property);
    let of = |wanted: &[&str]| calls_in_chain(unit, *object).any(|name| wanted.contains(&name));
    // `table("notes").update({…}).eq("id", id)`, `update(notes).set({…}).where(…)`, `update(Note).values(title=…)`
    let all = match name {
        "update" => of(TABLES),
        "set" | "values" => of(&["update"]),
        _ => false,
    };
    if all {
        return call.args.iter().map(|arg| arg.value).collect();
    }
    // `note.upsert({ where, create, update })`
    if name == "upsert"
        && let Some(first) = call.positional(0)
        && value_of(unit, first, "where").is_some()
    {
        return ["create", "update"].iter().filter_map(|key| value_of(unit, first, key)).collect();
    }
    written_second(unit, call, name, *object).into_iter().collect()
}

/// The same of a call that is given one value, or the condition beside it.
fn written_second(unit: &Unit, call: &Call, name: &str, object: ExprId) -> Option<ExprId> {
    if WRITES.contains(&name) && call.args.len() == 1 && matches!(unit.ir.expr(object), ExprKind::Call(_)) {
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

/// The names of the calls that a chain is made of, the last one first.
fn calls_in_chain(unit: &Unit, mut here: ExprId) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let ExprKind::Call(call) = unit.ir.expr(here) else { return None };
        let name = match unit.ir.expr(call.callee) {
            ExprKind::Member { object, property, .. } => {
                here = *object;
                unit.ir.text(*property)
            }
            ExprKind::Name(NameRef::Binding(id)) => {
                here = call.callee;
                unit.ir.binding_name(*id)
            }
            _ => return None,
        };
        Some(name)
    })
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
