//! What was made with the caller's own credential or for the caller, kept under a key that has nothing of it, be the key fixed:
//! `cache["/me"] = get("/me", token())`, `_clients[name] = Client(url, auth=headers["authorization"])`.

use std::collections::{BTreeMap, BTreeSet};

use partywall_model::{Confidence, Severity};

use super::unscoped_cache_key::is_scoped;
use crate::{
    flow::{Access, Lifetimes, Origins, Store},
    ir::{Call, ExprId, ExprKind, FunctionId, NameRef, StmtKind, walk},
    project::{At, Fun, Project, Symbol, Unit},
    rules::Report,
    vocabulary,
};

/// How many variables of a value are followed.
const STEPS: usize = 24;

/// Reports such values, once a function and store.
pub(super) fn made_for_caller(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    let mut read: BTreeSet<(Store, Fun)> = BTreeSet::new();
    let mut writes: BTreeMap<(Store, Fun), &Access> = BTreeMap::new();
    for access in project.accesses() {
        let place = (access.store.clone(), access.function);
        if access.function.id == FunctionId::MODULE {
            continue;
        }
        if access.value.is_some() {
            writes.entry(place).or_insert(access);
        } else {
            read.insert(place);
        }
    }
    for (place, write) in writes {
        let own_object = matches!(&place.0, Store::Field(class, _) if lives.outlives(*class) == Some(false));
        let Some(unit) = project.unit(write.at.module) else { continue };
        let Some(value) = write.value else { continue };
        let own_rules =
            vocabulary::has_own_rules(&write.name) && !keeps_clients(project, unit, write.key, value);
        if own_object || !read.contains(&place) || own_rules {
            continue;
        }
        judge(project, report, unit, &Kept { at: write.at, key: write.key, value, name: &write.name });
    }
    by_methods(project, report);
    super::made_with_given::made_with_given(project, &lives, report);
    super::repointed::repointed(project, report);
}

/// Whether a session is one with another service, which was opened with a credential and is kept under what callers choose: `sessions[region]
/// = boto3.client("s3", region_name=region, aws_secret_access_key=keys.secret)`. One with a caller is found by an id that nobody guesses.
fn keeps_clients(project: &Project, unit: &Unit, key: At, value: At) -> bool {
    let made = match unit.ir.expr(value.expr) {
        ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
            [source] => source.value,
            _ => return false,
        },
        _ => value.expr,
    };
    let made = match unit.ir.expr(made) {
        ExprKind::Await(inner) => *inner,
        _ => made,
    };
    let ExprKind::Call(call) = unit.ir.expr(made) else { return false };
    let opens = project.last_written(value.to(call.callee)).is_some_and(|name| {
        vocabulary::words(name)
            .iter()
            .any(|word| matches!(word.as_str(), "client" | "session" | "connection" | "resource"))
    });
    let told = call.args.iter().any(|arg| match arg.kind {
        crate::ir::ArgKind::Keyword(name) => vocabulary::is_credential(unit.ir.text(name)),
        _ => names_credential(unit, arg.value),
    });
    let random = project.last_written(key).is_none_or(|name| {
        vocabulary::words(name).last().is_none_or(|word| {
            matches!(word.as_str(), "id" | "sid" | "state" | "code" | "nonce" | "token" | "key")
        })
    });
    let origins = project.origins(key);
    opens && told && !random && origins.has(Origins::INPUT) && !origins.has(Origins::SESSION)
}

/// A value that is kept.
struct Kept<'a> {
    at: At,
    key: At,
    value: At,
    name: &'a str,
}

/// `cache.set("stats", data)` of a cache that is imported, with `cache.get("stats")` in the same function.
fn by_methods(project: &Project, report: &mut Report<'_>) {
    let sets = project.calls_named(|name| matches!(name, "set" | "setex" | "aset" | "put"));
    for (module, unit) in project.units() {
        for expr in sets.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { continue };
            let fun = project.function_of(at);
            let holder = project.written(at.to(*object)).pop().map(String::from).unwrap_or_default();
            let sets = matches!(unit.ir.text(*property), "set" | "setex" | "aset" | "put");
            let (Some(key), Some(value)) = (call.positional(0), call.positional(1)) else { continue };
            if !sets
                || fun.id == FunctionId::MODULE
                || !(vocabulary::is_cache(&holder)
                    || vocabulary::words(&holder).iter().any(|word| word == "redis")
                    || is_cache_object(project, unit, at.to(*object)))
            {
                continue;
            }
            if project.store(at.to(*object)).is_some() || !is_read(project, unit, fun, *object) {
                continue;
            }
            judge(project, report, unit, &Kept { at, key: at.to(key), value: at.to(value), name: &holder });
        }
    }
}

/// Whether a variable is an object of a class that is named for a cache: `listings = ListingCache()`.
fn is_cache_object(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    let [source] = unit.index.sources(*id) else { return false };
    let ExprKind::Call(call) = unit.ir.expr(source.value) else { return false };
    matches!(project.symbol(at.to(call.callee)), Symbol::Class(class) if vocabulary::is_cache(project.class_name(class)))
}

/// Whether a function asks the same cache before.
fn is_read(project: &Project, unit: &Unit, fun: Fun, cache: ExprId) -> bool {
    let text = project.snippet(At { module: fun.module, expr: cache });
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        if let ExprKind::Call(call) = unit.ir.expr(expr)
            && let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee)
        {
            found |= matches!(unit.ir.text(*property), "get" | "aget")
                && project.snippet(At { module: fun.module, expr: *object }) == text;
        }
    });
    found
}

fn judge(project: &Project, report: &mut Report<'_>, unit: &Unit, kept: &Kept<'_>) {
    if is_scoped(project, kept.key) {
        return;
    }
    let key = parts_of(project, unit, kept.key);
    let Some(whose) = made_with(project, unit, kept) else { return };
    if key.contains(&whose) || says_caller(project, unit, kept.key) {
        return;
    }
    report
        .reached(
            kept.at,
            format!(
                "`{}` keeps for everybody what was made with `{whose}`, and the key has nothing of it",
                kept.name
            ),
        )
        .severity(Severity::Medium)
        .confidence(Confidence::Medium);
}

/// The names in a key, in what its variables were set to, and in what the functions that make it return.
pub(super) fn parts_of(project: &Project, unit: &Unit, key: At) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for value in values_of(project, unit, key) {
        walk::exprs_below(&unit.ir, value, &mut |expr| {
            note(unit, expr, &mut names);
            let Some(callee) = project.callee(key.to(expr)) else { return };
            for target in callee.targets.iter().take(3) {
                let Some(own) = project.unit(target.module) else { continue };
                walk::function_exprs(&own.ir, target.id, &mut |inner| note(own, inner, &mut names));
            }
        });
    }
    names
}

fn note(unit: &Unit, expr: ExprId, names: &mut BTreeSet<String>) {
    match unit.ir.expr(expr) {
        ExprKind::Member { property, .. } => {
            names.insert(unit.ir.text(*property).to_owned());
        }
        ExprKind::Name(NameRef::Binding(id)) => {
            names.insert(unit.ir.binding_name(*id).to_owned());
        }
        _ => {}
    }
}

/// Whether a key names a caller or credential in any of its parts.
pub(super) fn says_caller(project: &Project, unit: &Unit, key: At) -> bool {
    parts_of(project, unit, key).iter().any(|name| {
        vocabulary::says_whose(name)
            || matches!(
                name.as_str(),
                "headers" | "auth" | "identity" | "fingerprint" | "credentials" | "principal_hash"
            )
    })
}

/// An expression, and what the variables in it were set to in the same function.
pub(super) fn values_of(project: &Project, unit: &Unit, at: At) -> Vec<ExprId> {
    let fun = project.function_of(at);
    let mut values = vec![at.expr];
    let mut seen = BTreeSet::new();
    let mut next = 0;
    while let Some(value) = values.get(next).copied().filter(|_| next < STEPS) {
        next += 1;
        let mut roots = Vec::new();
        walk::exprs_below(&unit.ir, value, &mut |expr| {
            if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) {
                roots.push(*id);
            }
        });
        for root in roots {
            if seen.insert(root) {
                values.extend(
                    unit.index
                        .sources(root)
                        .iter()
                        .filter(|source| source.function == fun.id)
                        .take(3)
                        .map(|source| source.value),
                );
                values.extend(with_items(unit, fun, root));
            }
        }
    }
    values
}

/// What a variable of a `with` was made of: `async with connect(token) as connection`.
fn with_items(unit: &Unit, fun: Fun, id: crate::ir::BindingId) -> Vec<ExprId> {
    let Some(function) = unit.ir.function(fun.id) else { return Vec::new() };
    let mut found = Vec::new();
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        if let StmtKind::With { items, .. } = unit.ir.stmt(stmt) {
            for (value, pattern) in items {
                let mut own = false;
                if let Some(pattern) = pattern {
                    pattern.for_each_binding(&mut |bound| own |= bound == id);
                }
                if own {
                    found.push(*value);
                }
            }
        }
    });
    found
}

/// Whether a value is made with something of the caller, which is told as such.
pub(super) fn made_for_somebody(project: &Project, unit: &Unit, value: At) -> bool {
    made_with(project, unit, &Kept { at: value, key: value, value, name: "" }).is_some()
}

/// The name of the caller's own that a value was made with: a verified caller, a credential of the request, or a field of the object
/// that holds one.
fn made_with(project: &Project, unit: &Unit, kept: &Kept<'_>) -> Option<String> {
    let mut found: Option<String> = None;
    let mut calls = false;
    for value in values_of(project, unit, kept.value) {
        walk::exprs_below(&unit.ir, value, &mut |expr| {
            calls |= matches!(unit.ir.expr(expr), ExprKind::Call(_) | ExprKind::Await(_));
            if found.is_some() {
                return;
            }
            let at = kept.value.to(expr);
            let name = match unit.ir.expr(expr) {
                ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
                ExprKind::Member { property, .. } => unit.ir.text(*property),
                ExprKind::Call(call) => header_of(project, unit, at, call)
                    .or_else(|| project.last_written(at))
                    .unwrap_or_default(),
                // `headers["x-db-password"]`
                ExprKind::Index { index, .. } => match unit.ir.expr(*index) {
                    ExprKind::String(text) => unit.ir.text(*text),
                    _ => return,
                },
                _ => return,
            };
            let of_self = matches!(unit.ir.expr(expr), ExprKind::Member { object, .. } if matches!(unit.ir.expr(*object), ExprKind::This));
            let origins = project.origins(at);
            let mine = if of_self {
                matches!(name, "headers" | "auth" | "_headers" | "_auth")
                    || (vocabulary::is_credential(name) && !origins.has(Origins::ENV | Origins::CONSTANT))
            } else {
                origins.has(Origins::SECRET)
                    || (origins.has(Origins::PRINCIPAL) && !name.is_empty())
                    || (origins.has(Origins::UNVERIFIED) && names_credential(unit, expr))
            };
            if mine && names_caller(name) && is_told(unit, expr) {
                found = Some(name.to_owned());
            }
        });
    }
    found.filter(|_| calls)
}

/// Whether a name is that of a caller, of the caller's credential, or of what holds one.
fn names_caller(name: &str) -> bool {
    vocabulary::is_owner(name)
        || vocabulary::is_principal(name)
        || vocabulary::is_credential(name)
        || vocabulary::words(name).iter().any(|word| {
            matches!(
                word.as_str(),
                "user"
                    | "auth"
                    | "headers"
                    | "credentials"
                    | "creds"
                    | "token"
                    | "authorization"
                    | "password"
            )
        })
}

/// Whether an expression is a credential of the request by what it is read under: `headers["authorization"]`.
fn names_credential(unit: &Unit, expr: ExprId) -> bool {
    let mut named = false;
    walk::exprs_below(&unit.ir, expr, &mut |inner| {
        named |= match unit.ir.expr(inner) {
            ExprKind::String(text) => {
                vocabulary::is_credential(unit.ir.text(*text))
                    || unit.ir.text(*text).eq_ignore_ascii_case("authorization")
            }
            ExprKind::Name(NameRef::Binding(id)) => vocabulary::is_credential(unit.ir.binding_name(*id)),
            // `req.headers.authorization`
            ExprKind::Member { property, .. } => {
                let name = unit.ir.text(*property);
                vocabulary::is_credential(name) || name.eq_ignore_ascii_case("authorization")
            }
            _ => false,
        };
    });
    named
}

/// The name of the header that a call takes out of the request, where it brings a credential: `c.req.header("authorization")`,
/// `getHeader(event, "authorization")`.
fn header_of<'u>(project: &Project, unit: &'u Unit, at: At, call: &Call) -> Option<&'u str> {
    let takes = matches!(
        project.last_written(at.to(call.callee)),
        Some("header" | "get" | "getHeader" | "getRequestHeader" | "get_header")
    );
    let name = call.args.iter().take(2).find_map(|arg| match unit.ir.expr(arg.value) {
        ExprKind::String(text) => Some(unit.ir.text(*text)),
        _ => None,
    })?;
    let credential =
        name.eq_ignore_ascii_case("authorization") || vocabulary::is_credential(&name.replace('-', "_"));
    (takes && credential).then_some(name)
}

/// Whether an expression is handed to a call, or stands in what is: it decides what is made.
pub(super) fn is_told(unit: &Unit, expr: ExprId) -> bool {
    let mut here = expr;
    for _ in 0..8 {
        let crate::project::Parent::Expr(up) = unit.index.parent(here) else { return false };
        if let ExprKind::Call(call) = unit.ir.expr(up)
            && call.args.iter().any(|arg| arg.value == here)
        {
            return true;
        }
        here = up;
    }
    false
}
