//! Queries that begin with a builder of SQL and the table's name as a text: `db.selectFrom("notes")`, `knex("notes")`.

use super::chains::outermost;
use crate::{
    ir::{Call, ExprId, ExprKind, walk},
    lang::sql::Verb,
    project::{At, Fun, Parent, Project, Unit, Word},
    tables::level_of_column,
};

/// Methods that begin a query of rows, and what they do.
const BEGIN: &[(&str, Verb)] = &[
    ("selectFrom", Verb::Select),
    ("updateTable", Verb::Update),
    ("deleteFrom", Verb::Delete),
    ("insertInto", Verb::Insert),
];

/// Functions that are given a table's name and begin a query.
const TABLES: &[&str] = &["knex", "trx", "db", "database", "qb"];

/// What whole queries begin at.
const WHOLE: &[&str] =
    &["db", "trx", "tx", "kysely", "database", "conn", "connection", "knex", "transaction"];

/// What goes on with a table: no other function has these after its call.
const GO_ON: &[&str] = &[
    "where",
    "andWhere",
    "whereIn",
    "select",
    "first",
    "insert",
    "update",
    "del",
    "join",
    "leftJoin",
    "orderBy",
    "returning",
    "pluck",
    "count",
    "whereNull",
];

/// The table of a call that begins such a query, and what it does.
pub(super) fn built(unit: &Unit, at: ExprId, call: &Call, path: &[Word]) -> Option<(String, Verb)> {
    let name = path.last()?.as_str();
    let ExprKind::String(table) = unit.ir.expr(call.positional(0)?) else { return None };
    let table = unit.ir.text(*table);
    // `selectFrom("notes as n")`
    let table = table.split_whitespace().next().filter(|table| !table.is_empty())?;
    if path.len() > 1 {
        let (_, verb) = BEGIN.iter().find(|(own, _)| *own == name)?;
        // `with("tree", (part) => part.selectFrom("pages"))` is a part of a query that goes on.
        let whole = path.iter().any(|part| WHOLE.contains(&part.as_str()));
        return whole.then(|| (table.to_owned(), *verb));
    }
    if !TABLES.contains(&name) || call.args.len() != 1 {
        return None;
    }
    let methods = methods_after(unit, at);
    let has = |name: &str| methods.contains(&name);
    let verb = if has("insert") {
        Verb::Insert
    } else if has("update") || has("increment") {
        Verb::Update
    } else if has("del") || has("delete") {
        Verb::Delete
    } else {
        Verb::Select
    };
    methods.first().is_some_and(|first| GO_ON.contains(first)).then(|| (table.to_owned(), verb))
}

/// The methods of a chain behind its first call.
fn methods_after(unit: &Unit, from: ExprId) -> Vec<&str> {
    let end = outermost(unit, from);
    let mut found = Vec::new();
    let mut here = from;
    for _ in 0..48 {
        if here == end {
            break;
        }
        let Parent::Expr(up) = unit.index.parent(here) else { break };
        if let ExprKind::Member { property, .. } = unit.ir.expr(up) {
            found.push(unit.ir.text(*property));
        }
        here = up;
    }
    found
}

/// Whether a chain is handed to a function of ours that adds the owner to it: `applyScope(db.updateTable("notes").set(…))`.
pub(super) fn is_scoped_around(project: &Project, unit: &Unit, chain: At) -> bool {
    let Parent::Expr(up) = unit.index.parent(chain.expr) else { return false };
    let ExprKind::Call(call) = unit.ir.expr(up) else { return false };
    let given = call.args.iter().any(|arg| arg.value == chain.expr);
    let Some(callee) = project.callee(chain.to(up)).filter(|callee| given && callee.certain) else {
        return false;
    };
    callee.targets.iter().take(3).any(|target| adds_owner(project, *target))
}

/// Whether a function goes on with a query and names an owner's column: `query.where("tenant_id", "=", tenantId)`.
fn adds_owner(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let ExprKind::Member { property, .. } = unit.ir.expr(call.callee) else { return };
        let narrows = matches!(unit.ir.text(*property), "where" | "andWhere" | "filter" | "filter_by");
        found |= narrows
            && call.args.iter().any(|arg| {
                let mut named = false;
                walk::exprs_below(&unit.ir, arg.value, &mut |below| {
                    let name = match unit.ir.expr(below) {
                        ExprKind::String(text) => unit.ir.text(*text),
                        ExprKind::Member { property, .. } => unit.ir.text(*property),
                        _ => return,
                    };
                    named |= level_of_column(name).is_some();
                });
                named
            });
    });
    found
}
