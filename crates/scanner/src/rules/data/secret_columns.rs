//! Rows that are found by a column that holds a secret, whatever the value is called: `{ where: { token: dto.token } }`. Whoever has it is
//! whom the row is for. And the registration of an application that signs people in, which is found by the id that it shows to everybody.

use super::part_before::each_condition;
use crate::{
    flow::Query,
    ir::{BindingId, ExprId, ExprKind, NameRef, PropertyKey, walk},
    project::{Project, Unit},
    vocabulary,
};

/// Last words of columns that hold a secret.
const SECRETS: &[&str] = &["token", "secret", "otp", "nonce", "apikey", "verifier"];

/// Methods that are told conditions first.
const FOUND: &[&str] = &[
    "find",
    "findOne",
    "findOneBy",
    "findBy",
    "findOneAndUpdate",
    "findOneAndDelete",
    "updateOne",
    "deleteOne",
    "find_one",
];

/// Words of tables whose rows are found by a code that was handed out.
const CODES: &[&str] =
    &["auth", "authorization", "code", "otp", "invite", "invitation", "verification", "device"];

/// Whether what a query finds rows by is a column that holds a secret, or says which application signs people in.
pub(super) fn is_by_secret_column(project: &Project, query: &Query) -> bool {
    if query.is_sql {
        return query.tests.iter().any(|column| is_secret(query, column));
    }
    let Some(unit) = project.unit(query.at.module) else { return false };
    let mut found = false;
    walk::exprs_below(&unit.ir, query.at.expr, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        // `.eq("token", token)`
        if let (Some(column), Some(value)) = (call.positional(0), call.positional(1))
            && let (ExprKind::String(column), ExprKind::Member { property, .. }) =
                (unit.ir.expr(column), unit.ir.expr(call.callee))
        {
            found |= matches!(unit.ir.text(*property), "eq" | "where")
                && !is_plain(unit, value)
                && is_secret(query, unit.ir.text(*column));
        }
        let name = project.last_written(query.at.to(call.callee)).unwrap_or_default();
        let conditions =
            call.positional(0).and_then(|options| conditions(unit, options, FOUND.contains(&name)));
        found |= conditions.is_some_and(|object| says_secret(unit, query, object));
    });
    found
}

/// Whether a query finds rows by the id of one that another query found so: `{ where: { id: record.id } }`.
pub(super) fn is_of_row_found_so(project: &Project, query: &Query) -> bool {
    let Some(unit) = project.unit(query.at.module).filter(|_| !query.is_sql) else { return false };
    let mut rows = Vec::new();
    let mut others = false;
    each_condition(unit, query.at.expr, &mut |_, value| match unit.ir.expr(value) {
        ExprKind::Member { object, .. } => match unit.ir.expr(*object) {
            ExprKind::Name(NameRef::Binding(id)) => rows.push(*id),
            _ => others = true,
        },
        _ => others |= !is_plain(unit, value),
    });
    let found = |id: BindingId| match unit.index.sources(id) {
        [source] => {
            let span = unit.ir.span(source.value);
            project.queries().iter().any(|other| {
                other.at.module == query.at.module
                    && other.entity == query.entity
                    && other.at != query.at
                    && span.contains(unit.ir.span(other.at.expr))
                    && is_by_secret_column(project, other)
            })
        }
        _ => false,
    };
    !others && !rows.is_empty() && rows.into_iter().all(found)
}

/// The conditions of a call: `where` of its options, or all that it is told first.
fn conditions(unit: &Unit, options: ExprId, whole: bool) -> Option<ExprId> {
    let ExprKind::Object(properties) = unit.ir.expr(options) else { return None };
    let named = |wanted: &str| {
        properties
            .iter()
            .find(|property| matches!(property.key, PropertyKey::Name(name) if unit.ir.text(name) == wanted))
            .map(|property| property.value)
    };
    named("where").or(whole.then_some(options))
}

fn says_secret(unit: &Unit, query: &Query, object: ExprId) -> bool {
    let ExprKind::Object(properties) = unit.ir.expr(object) else { return false };
    properties.iter().any(|property| {
        matches!(property.key, PropertyKey::Name(name) if is_secret(query, unit.ir.text(name)))
            && !is_plain(unit, property.value)
    })
}

/// Whether a value is written out: `{ token: null }` finds those that have none.
fn is_plain(unit: &Unit, value: ExprId) -> bool {
    matches!(
        unit.ir.expr(value),
        ExprKind::Null | ExprKind::Bool(_) | ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Object(_)
    )
}

fn is_secret(query: &Query, column: &str) -> bool {
    let words = vocabulary::words(column);
    let of = vocabulary::words(&query.shown);
    let has = |list: &[&str]| of.iter().any(|word| list.contains(&word.as_str()));
    let application = (has(&["oauth"])
        || matches!(of.as_slice(), [o, auth, ..] if o == "o" && auth == "auth"))
        && has(&["client", "clients", "app", "apps", "application", "applications"]);
    let last = words.last().map_or("", String::as_str);
    SECRETS.contains(&last)
        || matches!(words.as_slice(), [.., api, key] if api == "api" && key == "key")
        || (last == "code" && has(CODES))
        || (application && matches!(words.as_slice(), [client, id] if client == "client" && id == "id"))
}
