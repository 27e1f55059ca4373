//! Records that say whose they are in a store of keys and values, which anybody gets who says their id: `redis.get(`job:${id}`)` beside
//! `redis.set(`job:${id}`, JSON.stringify({ owner: user.id, … }))`.

use std::collections::BTreeMap;

use super::kept_things::found;
use crate::{
    flow::{KEY_STORES, Lifetimes},
    ir::{Call, ExprId, ExprKind, NameRef, PropertyKey, TemplatePart, walk},
    project::{At, Project, Unit},
    rules::Report,
    vocabulary,
};

const PUTS: &[&str] = &["set", "setex", "setEx", "put", "hset", "hSet"];
const GETS: &[&str] = &["get", "hgetall", "hGetAll", "getdel", "getDel", "del", "delete"];

/// What is done under keys that begin alike.
#[derive(Default)]
struct Kept {
    /// Whether a record that says whose it is was put there, under a key that does not.
    owned: bool,
    /// Reads.
    reads: Vec<(At, At)>,
}

/// Reports reads of such records by an id that the caller sends, where nobody asks whose they are.
pub(super) fn kept_in_redis(project: &Project, report: &mut Report<'_>) {
    let mut all: BTreeMap<String, Kept> = BTreeMap::new();
    let likely = project.calls_named(|name| PUTS.contains(&name) || GETS.contains(&name));
    for (module, unit) in project.units() {
        for expr in likely.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let Some((method, key)) = of_store(project, unit, at, call) else { continue };
            let Some(begins) = begins(unit, key) else { continue };
            if PUTS.contains(&method) {
                let value = call.args.iter().skip(1).any(|arg| says_whose(unit, arg.value));
                all.entry(begins).or_default().owned |= value;
            } else if GETS.contains(&method) {
                all.entry(begins).or_default().reads.push((at, at.to(key)));
            }
        }
    }
    let lives = Lifetimes::new(project);
    for (begins, kept) in all.into_iter().filter(|(_, kept)| kept.owned) {
        for (at, key) in kept.reads.into_iter().take(8) {
            let fun = project.function_of(at);
            found(project, &lives, report, at, key, fun, begins.trim_end_matches([':', '/', '_', '-']));
        }
    }
}

/// The method and the key of a call of such a store.
fn of_store<'u>(project: &Project, unit: &'u Unit, at: At, call: &Call) -> Option<(&'u str, ExprId)> {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
    let method = unit.ir.text(*property);
    let key = call.positional(0).filter(|_| PUTS.contains(&method) || GETS.contains(&method))?;
    let holder = project.last_written(at.to(*object))?;
    let store = vocabulary::words(holder).iter().any(|word| KEY_STORES.contains(&word.as_str()));
    store.then_some((method, key))
}

/// The text that a key begins with, which is followed by a value: `job:`.
fn begins(unit: &Unit, key: ExprId) -> Option<String> {
    let key = match unit.ir.expr(key) {
        ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
            [source] if source.path.is_empty() => source.value,
            _ => return None,
        },
        _ => key,
    };
    match unit.ir.expr(key) {
        ExprKind::Template(parts) => match (parts.first()?, parts.len()) {
            (TemplatePart::Text(text), 2) => Some(unit.ir.text(*text).to_owned()),
            _ => None,
        },
        ExprKind::Binary { left, .. } => match unit.ir.expr(*left) {
            ExprKind::String(text) => Some(unit.ir.text(*text).to_owned()),
            _ => None,
        },
        _ => None,
    }
    .filter(|text| text.len() > 2)
}

/// Whether a value is a record with an owner's id, as a text or not.
fn says_whose(unit: &Unit, value: ExprId) -> bool {
    let mut open = vec![value];
    if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(value) {
        open.extend(unit.index.sources(*id).iter().take(2).map(|source| source.value));
    }
    let mut found = false;
    for expr in open {
        walk::exprs_below(&unit.ir, expr, &mut |below| {
            if let ExprKind::Object(properties) = unit.ir.expr(below) {
                found |= properties.iter().any(|property| match property.key {
                    PropertyKey::Name(name) => vocabulary::is_owner(unit.ir.text(name)),
                    _ => false,
                });
            }
        });
    }
    found
}
