//! Things under keys that are put together: in a store of keys and values, in files below a folder. Where one place of the code has the
//! owner in the key and another one finds the same things by what the request says alone, anybody's thing is found:
//! `redis.get(f"note:{note_id}")` beside `redis.lrange(f"notes:{user.id}", 0, -1)`, `(ROOT / name).read_text()` beside
//! `ROOT / user.id / name`.

use std::collections::BTreeMap;

use partywall_model::{Confidence, Severity};

use super::kept_things::{found, knows_callers};
use crate::{
    flow::{KeyPart as Part, Lifetimes, Origins, is_join, is_key_store, parts_of_key, singular},
    ir::{BindingId, ExprKind, NameRef, walk},
    project::{At, ModuleId, Parent, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Methods of stores whose first argument is a key.
const BY_KEY: &[&str] = &[
    "get",
    "set",
    "setex",
    "psetex",
    "setnx",
    "getset",
    "getdel",
    "mget",
    "delete",
    "exists",
    "expire",
    "hget",
    "hset",
    "hgetall",
    "hdel",
    "hincrby",
    "incr",
    "lrange",
    "lpush",
    "rpush",
    "lpop",
    "rpop",
    "llen",
    "smembers",
    "sadd",
    "srem",
    "zadd",
    "zrange",
    "zrevrange",
    "json_get",
    "json_set",
    "getex",
    "setEx",
    "hGetAll",
    "hSet",
    "hGet",
    "lRange",
    "lPush",
    "rPush",
    "sMembers",
    "sAdd",
    "zRange",
    "getDel",
    "del",
];

/// How many places of one kind of things are told of.
const MOST: usize = 4;

/// What is kept where, and what is found: a word for the store, the variable of the folder, the name of the things.
type Things = (&'static str, Option<(ModuleId, BindingId)>, String);

/// A place in the code that finds something by a key.
struct Place {
    at: At,
    key: At,
    parts: Vec<Part>,
}

/// Reports places that leave the owner out of such a key.
pub(super) fn kept_by_key(project: &Project, report: &mut Report<'_>) {
    let mut all: BTreeMap<Things, Vec<Place>> = BTreeMap::new();
    for (module, unit) in project.units() {
        for expr in &unit.index.calls {
            of_store(project, unit, At { module, expr: *expr }, &mut all);
        }
        for (expr, kind) in unit.ir.exprs() {
            if matches!(kind, ExprKind::Binary { .. } | ExprKind::Call(_)) {
                below_folder(project, unit, At { module, expr }, &mut all);
            }
        }
    }
    let lives = Lifetimes::new(project);
    for ((_, folder, things), places) in all {
        let named = places.iter().any(|place| names_owner(project, place));
        let fills = |place: &Place| writes(project, place.at) && is_chosen(project, place);
        // Files by the names that callers send, which nobody keeps apart.
        let common = folder.is_some() && !named && places.iter().any(fills);
        if !common && !places.iter().any(|place| is_callers(project, place)) {
            continue;
        }
        let name =
            match folder.and_then(|(module, id)| project.unit(module).map(|unit| unit.ir.binding_name(id))) {
                Some(folder) => folder.to_owned(),
                None => things,
            };
        let open = places.iter().filter(|place| !names_owner(project, place) && is_chosen(project, place));
        for place in open.take(MOST) {
            let fun = project.function_of(place.at);
            if !common {
                found(project, &lives, report, place.at, place.key, fun, &name);
            } else if !writes(project, place.at)
                && lives.is_per_request(fun)
                && knows_callers(project, place.at.module)
            {
                report
                    .reached(place.at, format!("files below `{name}` are found by the name that the request says, whoever left them there"))
                    .severity(Severity::Low)
                    .confidence(Confidence::Low);
            }
        }
    }
}

/// A call of a store of keys and values.
fn of_store(project: &Project, unit: &Unit, at: At, all: &mut BTreeMap<Things, Vec<Place>>) {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return };
    let Some(key) = call.positional(0).filter(|_| BY_KEY.contains(&unit.ir.text(*property))) else { return };
    let (written, parts) = parts_of_key(unit, at.to(key));
    // Most calls of such names are of dicts, and their keys are not put together.
    let texts = parts.iter().filter(|part| matches!(part, Part::Text(_))).count();
    if texts == 0 || texts == parts.len() || !is_key_store(project, at, at.to(*object)) {
        return;
    }
    let Some(things) = things(&parts) else { return };
    all.entry(("store", None, things)).or_default().push(Place { at, key: written, parts });
}

/// A path below a folder of the module: `ROOT / name`, `os.path.join(ROOT, name)`.
fn below_folder(project: &Project, unit: &Unit, at: At, all: &mut BTreeMap<Things, Vec<Place>>) {
    let joins = is_join(unit, at.expr);
    let part_of = match unit.index.parent(at.expr) {
        Parent::Expr(up) => is_join(unit, up),
        _ => false,
    };
    if !joins || part_of {
        return;
    }
    let (_, parts) = parts_of_key(unit, at);
    let Some((Part::Value(first), rest)) = parts.split_first() else { return };
    let (folder, name) = match unit.ir.expr(first.expr) {
        ExprKind::Name(NameRef::Binding(id)) if unit.ir.is_module_level(*id) => {
            (Some(project.declared(at.module, *id).unwrap_or((at.module, *id))), String::new())
        }
        // `self.root / name`
        ExprKind::Member { object, property, .. } if matches!(unit.ir.expr(*object), ExprKind::This) => {
            (None, unit.ir.text(*property).to_owned())
        }
        _ => return,
    };
    if rest.is_empty() {
        return;
    }
    let parts = parts.into_iter().skip(1).collect();
    all.entry(("folder", folder, name)).or_default().push(Place { at, key: at, parts });
}

/// Whether what is at a path is written: `(ROOT / name).write_text(body)`, `open(path, "w")`.
fn writes(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let mut here = at.expr;
    for _ in 0..3 {
        let Parent::Expr(up) = unit.index.parent(here) else { return false };
        match unit.ir.expr(up) {
            ExprKind::Member { property, .. }
                if matches!(unit.ir.text(*property), "write_text" | "write_bytes") =>
            {
                return true;
            }
            ExprKind::Call(call) => {
                let mode = call.args.iter().any(|arg| match unit.ir.expr(arg.value) {
                    ExprKind::String(mode) => {
                        matches!(unit.ir.text(*mode), "w" | "wb" | "a" | "ab" | "x" | "xb")
                    }
                    _ => false,
                });
                return mode && project.last_written(at.to(up)) == Some("open");
            }
            _ => here = up,
        }
    }
    false
}

/// The name of what is kept under a key, by its fixed texts: `note` of `notes:{user}`, `user:{user}:notes` and `note:{id}`.
fn things(parts: &[Part]) -> Option<String> {
    let mut found = Vec::new();
    for part in parts {
        let Part::Text(text) = part else { continue };
        let words = text
            .split(|char: char| !(char.is_alphanumeric() || char == '_' || char == '-'))
            .filter(|word| word.len() > 1);
        found.extend(words.filter(|word| !vocabulary::is_owner(word) && *word != "users").map(singular));
    }
    (!found.is_empty()).then(|| found.join(":"))
}

/// Whether a part of a key is the verified caller, or of them.
fn is_callers(project: &Project, place: &Place) -> bool {
    place.parts.iter().any(|part| match part {
        Part::Value(at) => {
            let origins = project.origins(*at);
            !origins.is_chosen() && origins.has(Origins::PRINCIPAL | Origins::OWNER)
        }
        Part::Text(_) => false,
    })
}

/// Whether a part of a key says whose the thing is, however it came there.
fn names_owner(project: &Project, place: &Place) -> bool {
    place.parts.iter().any(|part| match part {
        Part::Value(at) => {
            let Some(unit) = project.unit(at.module) else { return true };
            let mut named = project.origins(*at).has_owner();
            walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
                let name = match unit.ir.expr(expr) {
                    ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
                    ExprKind::Member { property, .. } => unit.ir.text(*property),
                    _ => return,
                };
                named |= vocabulary::is_owner(name)
                    || vocabulary::is_principal(name)
                    || vocabulary::is_session_id(name)
                    || vocabulary::is_credential(name);
            });
            named
        }
        Part::Text(_) => false,
    })
}

/// Whether a part of a key is what the request says.
fn is_chosen(project: &Project, place: &Place) -> bool {
    place.parts.iter().any(|part| match part {
        Part::Value(at) => project.origins(*at).has(Origins::INPUT),
        Part::Text(_) => false,
    })
}
