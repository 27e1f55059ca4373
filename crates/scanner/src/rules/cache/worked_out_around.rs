//! Caches of what was worked out by functions that find out by themselves who calls, under a key that has nothing of it:
//! `cache.get(`search:${query}`)` beside `await search(query)`, which asks the context of the request for the caller's rows.

use std::collections::BTreeSet;

use partywall_model::{Confidence, Severity};

use super::{
    beside_context::key_of_redis,
    left_out::{READS, read_keys},
    memoised_result::reads_caller,
    unscoped_cache_key::is_scoped,
};
use crate::{
    flow::Store,
    ir::{Call, ExprId, ExprKind, FunctionId, NameRef, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// How many calls a value is followed through, and how many functions are looked into for it.
const DEPTH: u32 = 5;
const FUNCTIONS: usize = 120;

/// How many variables of a value are followed.
const STEPS: usize = 16;

/// Reports reads of caches of such values, but of those that the rule about stores judges as a whole.
pub(super) fn worked_out_around(project: &Project, report: &mut Report<'_>, judged: &BTreeSet<Store>) {
    let reads = project.calls_named(|name| READS.contains(&name));
    for (module, unit) in project.units() {
        for expr in reads.among(module) {
            let at = At { module, expr: *expr };
            let Some(keys) = read_keys(project, unit, at).or_else(|| key_of_redis(project, unit, at)) else {
                continue;
            };
            let [key] = keys.as_slice() else { continue };
            let fun = project.function_of(at);
            if fun.id == FunctionId::MODULE
                || project.store(holder(unit, at)).is_some_and(|(store, _)| judged.contains(&store))
                || is_scoped(project, *key)
            {
                continue;
            }
            let Some(value) = kept_under(project, unit, fun, at, *key) else { continue };
            // A key may be made by a function that asks who calls itself.
            if asks_who_calls(project, unit, fun, *key).is_some() {
                continue;
            }
            let Some(asks) = asks_who_calls(project, unit, fun, value) else { continue };
            let severity = if project.has_owners(module) { Severity::Medium } else { Severity::Low };
            report
                .reached(at, format!("`{asks}` finds out who calls, and the key under which its answer is kept has nothing of it"))
                .severity(severity)
                .confidence(Confidence::Medium);
        }
    }
}

/// What a method is called on.
fn holder(unit: &Unit, at: At) -> At {
    match unit.ir.expr(at.expr) {
        ExprKind::Call(call) => match unit.ir.expr(call.callee) {
            ExprKind::Member { object, .. } => at.to(*object),
            _ => at,
        },
        _ => at,
    }
}

/// What the same function keeps under the same key in the same cache.
fn kept_under(project: &Project, unit: &Unit, fun: Fun, read: At, key: At) -> Option<At> {
    let cache = project.snippet(holder(unit, read));
    let text = project.snippet(key);
    let mut found = None;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: fun.module, expr };
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return };
        let keeps = matches!(unit.ir.text(*property), "set" | "setex" | "setEx" | "put" | "store" | "aset");
        let same = |value: ExprId, text: &str| project.snippet(at.to(value)) == text;
        if keeps
            && found.is_none()
            && same(*object, cache)
            && call.positional(0).is_some_and(|own| same(own, text))
        {
            found = values_in(call).map(|value| at.to(value));
        }
    });
    found
}

fn values_in(call: &Call) -> Option<ExprId> {
    call.positional(1)
}

/// The function by whose answer a value is made, when it finds out who calls without being told.
fn asks_who_calls(project: &Project, unit: &Unit, fun: Fun, value: At) -> Option<String> {
    let mut values = vec![value.expr];
    let mut seen = BTreeSet::new();
    let mut calls: Vec<ExprId> = Vec::new();
    let mut next = 0;
    while let Some(open) = values.get(next).copied().filter(|_| next < STEPS) {
        next += 1;
        let mut roots = Vec::new();
        let mut see = |expr: ExprId| match unit.ir.expr(expr) {
            ExprKind::Name(NameRef::Binding(id)) => roots.push(*id),
            ExprKind::Call(_) => calls.push(expr),
            _ => {}
        };
        match unit.ir.expr(open) {
            // `const run = () => search(query)`
            ExprKind::Function(id) => walk::function_exprs(&unit.ir, *id, &mut see),
            _ => walk::exprs_below(&unit.ir, open, &mut see),
        }
        for root in roots {
            if !unit.ir.is_module_level(root) && seen.insert(root) {
                let own = unit.index.sources(root).iter().filter(|source| source.function == fun.id);
                values.extend(own.take(3).map(|source| source.value));
            }
        }
    }
    calls.into_iter().find_map(|call| {
        let callee = project.callee(value.to(call))?;
        let mut seen = BTreeSet::new();
        let asks = callee.targets.iter().take(3).any(|target| asks(project, *target, DEPTH, &mut seen));
        asks.then(|| callee.name().to_owned())
    })
}

/// Words of functions that note what happens.
const NOTES: &[&str] = &[
    "log", "logger", "debug", "info", "warn", "error", "trace", "span", "metric", "metrics", "audit", "track",
];

fn asks(project: &Project, fun: Fun, depth: u32, seen: &mut BTreeSet<Fun>) -> bool {
    let (Some(depth), Some(unit)) = (depth.checked_sub(1), project.unit(fun.module)) else { return false };
    if seen.len() > FUNCTIONS || !seen.insert(fun) {
        return false;
    }
    let mut open = vec![fun.id];
    let mut next = 0;
    while let Some(id) = open.get(next).copied().filter(|_| next < STEPS) {
        next += 1;
        if reads_caller(project, fun.module, unit, Fun { module: fun.module, id }) {
            return true;
        }
        open.extend(unit.index.inner(id));
        let mut targets = Vec::new();
        walk::function_exprs(&unit.ir, id, &mut |expr| {
            let at = At { module: fun.module, expr };
            let Some(callee) = project.callee(at) else { return };
            let notes = callee
                .path
                .iter()
                .any(|part| vocabulary::words(part).iter().any(|word| NOTES.contains(&word.as_str())));
            if !notes {
                targets.extend(callee.targets.iter().take(3).copied());
            }
        });
        if targets.into_iter().any(|target| asks(project, target, depth, seen)) {
            return true;
        }
    }
    false
}
