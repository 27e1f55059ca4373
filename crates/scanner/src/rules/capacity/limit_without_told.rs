//! Counters in a store whose key leaves out whom the function counts for: `` incr(`calls:${minute}`) `` in `check(tenantId)`.

use std::collections::BTreeSet;

use partywall_model::Confidence;

use super::one_limit::refuses;
use crate::{
    ir::{BindingId, CompareOp, ExprId, ExprKind, FunctionId, NameRef, StmtId, StmtKind, walk},
    project::{At, Fun, Project, Unit},
    rules::{
        Report,
        cache::key_without_told::{is_kept_by_key, owners, touches},
    },
    vocabulary,
};

/// Methods that count under a key, or give what was counted.
const COUNTS: &[&str] = &["incr", "incrby", "incrBy", "INCR", "get", "zcard", "zCard", "hincrby"];

/// Words of limits by which a function or a file says that it has one.
const LIMITS: &[&str] =
    &["rate", "ratelimit", "limit", "limits", "limiter", "quota", "throttle", "throttled"];

/// Words of parts of a key that tell callers apart, or say that the limit is everybody's.
const APART: &[&str] = &[
    "ip",
    "address",
    "addr",
    "email",
    "phone",
    "key",
    "client",
    "identifier",
    "ident",
    "fingerprint",
    "device",
    "agent",
    "host",
    "hash",
    "id",
    "username",
    "login",
    "subject",
    "who",
    "consumer",
    "global",
    "total",
    "all",
    "shared",
    "room",
    "channel",
];

/// How many variables are followed.
const STEPS: u32 = 4;

/// Reports such counters, once a function.
pub(super) fn limit_without_told(project: &Project, report: &mut Report<'_>) {
    let counts = project.calls_named(|name| COUNTS.contains(&name));
    for (module, unit) in project.units() {
        let mut told: BTreeSet<FunctionId> = BTreeSet::new();
        for expr in counts.among(module) {
            let at = At { module, expr: *expr };
            let fun = project.function_of(at);
            if fun.id == FunctionId::MODULE || told.contains(&fun.id) {
                continue;
            }
            let Some(whom) = left_out(project, unit, fun, at) else { continue };
            told.insert(fun.id);
            report
                .reached(
                    at,
                    format!(
                        "this counts all callers together: `{whom}` is known here and no part of the key"
                    ),
                )
                .confidence(Confidence::Medium);
        }
    }
}

/// The name of whom a function counts for, where a call counts under a key that tells nobody apart, and a limit is held against it.
fn left_out<'p>(project: &Project, unit: &'p Unit, fun: Fun, at: At) -> Option<&'p str> {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
    let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return None };
    let key = call.positional(0)?;
    let known = known(unit, fun);
    if known.is_empty()
        || tells_apart(unit, key, STEPS)
        || !is_kept_by_key(project, unit, at.to(*object), STEPS)
    {
        return None;
    }
    // One limit for all may stand beside that of each.
    if !is_held_against(unit, fun, at.expr) || counts_for_one(unit, fun, &known) {
        return None;
    }
    known.first().map(|id| unit.ir.binding_name(*id))
}

/// The parameters and variables of a function that name an owner.
fn known(unit: &Unit, fun: Fun) -> Vec<BindingId> {
    let mut all = owners(unit, fun);
    for (id, binding) in unit.ir.bindings() {
        let own = || unit.ir.binding_function(id) == fun.id && !unit.index.sources(id).is_empty();
        if unit.meaning(binding.name).is_owner() && own() {
            all.push(id);
        }
    }
    all
}

/// Whether a key has a part that tells callers apart, or says that it is everybody's.
fn tells_apart(unit: &Unit, key: ExprId, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return true };
    let says = |text: &str| {
        vocabulary::says_whose(text)
            || vocabulary::words(text).iter().any(|word| APART.contains(&word.as_str()))
    };
    let mut found = false;
    walk::exprs_below(&unit.ir, key, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Member { property, .. } => found |= says(unit.ir.text(*property)),
        ExprKind::Name(NameRef::Binding(id)) => {
            let named = |name: &str| says(name) && !is_key(unit, *id, name);
            found |= named(unit.ir.binding_name(*id));
            if !unit.ir.is_module_level(*id) {
                found |= unit
                    .index
                    .sources(*id)
                    .iter()
                    .take(4)
                    .any(|source| tells_apart(unit, source.value, steps));
            }
        }
        ExprKind::String(text) => {
            found |= vocabulary::words(unit.ir.text(*text))
                .iter()
                .any(|word| matches!(word.as_str(), "global" | "total" | "all"))
        }
        ExprKind::Template(parts) => {
            for part in parts {
                if let crate::ir::TemplatePart::Text(text) = part {
                    found |= vocabulary::words(unit.ir.text(*text))
                        .iter()
                        .any(|word| matches!(word.as_str(), "global" | "total" | "all"));
                }
            }
        }
        _ => {}
    });
    found
}

/// Whether a variable is the key itself, which is looked at by what it was set to: `key`, `rateKey`. One that is handed over is not seen.
fn is_key(unit: &Unit, id: BindingId, name: &str) -> bool {
    let last = vocabulary::words(name).last().is_some_and(|last| last == "key");
    last && !vocabulary::is_credential(name) && unit.index.sources(id).len() == 1
}

/// Whether what was counted is compared with a limit, and the function refuses where it is above.
fn is_held_against(unit: &Unit, fun: Fun, count: ExprId) -> bool {
    let Some(function) = unit.ir.function(fun.id) else { return false };
    let named = function.name.is_some_and(|name| says_limit(unit.ir.text(name)));
    let mut found = false;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        let StmtKind::If { test, then, .. } = unit.ir.stmt(stmt) else { return };
        if !found && (refuses(unit, then) || (named && ends(unit, then))) {
            walk::exprs_below(&unit.ir, *test, &mut |expr| {
                if let ExprKind::Compare { op: CompareOp::Order, left, right } = unit.ir.expr(expr) {
                    found |= [*left, *right].into_iter().any(|side| is_of(unit, side, count, STEPS));
                }
            });
        }
    });
    found
}

fn says_limit(name: &str) -> bool {
    vocabulary::words(name).iter().any(|word| LIMITS.contains(&word.as_str()))
}

/// Whether a block leaves the function.
fn ends(unit: &Unit, block: &[StmtId]) -> bool {
    block.iter().any(|stmt| matches!(unit.ir.stmt(*stmt), StmtKind::Return(_) | StmtKind::Throw(_)))
}

/// Whether a value is what a call gave, or made of it.
fn is_of(unit: &Unit, value: ExprId, count: ExprId, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    let mut found = false;
    walk::exprs_below(&unit.ir, value, &mut |expr| {
        found |= expr == count;
        if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr)
            && !unit.ir.is_module_level(*id)
        {
            found = found
                || unit
                    .index
                    .sources(*id)
                    .iter()
                    .take(4)
                    .any(|source| is_of(unit, source.value, count, steps));
        }
    });
    found
}

/// Whether a function counts something under a key that has one whom it knows.
fn counts_for_one(unit: &Unit, fun: Fun, known: &[BindingId]) -> bool {
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        if let ExprKind::Call(call) = unit.ir.expr(expr)
            && let ExprKind::Member { property, .. } = unit.ir.expr(call.callee)
            && COUNTS.contains(&unit.ir.text(*property))
            && let Some(key) = call.positional(0)
        {
            found = found || known.iter().any(|id| touches(unit, key, *id, STEPS));
        }
    });
    found
}
