//! Caches of what was worked out with the request's context, under a key that has nothing of it:
//! `key = make(tool, arguments)` beside `await tool(context, arguments)`.

use partywall_model::{Confidence, Severity};

use super::left_out::{decides, mentions, names_party, read_keys, says_owner};
use crate::vocabulary;
use crate::{
    ir::{BindingId, ExprId, ExprKind, FunctionId, Language, NameRef, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
};

/// Names of parameters that hold the request or who makes it.
const CONTEXTS: &[&str] = &[
    "context",
    "ctx",
    "request",
    "req",
    "request_context",
    "current_user",
    "principal",
    "identity",
    "auth",
    "caller",
    "extra",
];

/// How many variables of a key are followed.
const STEPS: usize = 16;

/// Reports reads of caches whose key is made of some of a function's parameters, and not of the context among them that what is
/// kept was worked out with.
pub(super) fn beside_context(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for (id, function) in unit.ir.functions() {
            let mut params: Vec<BindingId> = Vec::new();
            function.params.iter().for_each(|own| own.pattern.for_each_binding(&mut |id| params.push(id)));
            let context = params.iter().copied().find(|own| {
                CONTEXTS.contains(&unit.ir.binding_name(*own)) && (decides(unit, *own) || tells(unit, *own))
            });
            let Some(context) = context.filter(|_| id != FunctionId::MODULE) else { continue };
            let fun = Fun { module, id };
            let mut found: Option<At> = None;
            walk::function_exprs(&unit.ir, id, &mut |expr| {
                let at = At { module, expr };
                if found.is_none()
                    && let Some(keys) =
                        read_keys(project, unit, at).or_else(|| key_of_redis(project, unit, at))
                    && leaves_out(project, unit, fun, &keys, &params, context)
                {
                    found = Some(at);
                }
            });
            let Some(at) = found.filter(|at| is_kept(project, unit, fun, *at, context)) else { continue };
            let name = unit.ir.binding_name(context);
            let severity = if project.has_owners(module) { Severity::Medium } else { Severity::Low };
            report
                .reached(
                    at,
                    format!("what is kept here was worked out with `{name}`, and the key has nothing of it"),
                )
                .severity(severity)
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether what a parameter has of the caller is handed on: `ask(id, extra.authInfo.token)`.
fn tells(unit: &Unit, id: BindingId) -> bool {
    unit.ir.language != Language::Python
        && unit.index.uses(id).iter().any(|used| {
            let mut here = *used;
            let mut said = false;
            for _ in 0..6 {
                let crate::project::Parent::Expr(up) = unit.index.parent(here) else { return false };
                match unit.ir.expr(up) {
                    ExprKind::Member { object, property, .. } if *object == here => {
                        said |= names_party(unit.ir.text(*property))
                    }
                    ExprKind::Call(call) => return said && call.args.iter().any(|arg| arg.value == here),
                    ExprKind::Template(_) | ExprKind::Object(_) | ExprKind::Await(_) => {}
                    _ => return false,
                }
                here = up;
            }
            false
        })
}

/// The key of a call that asks a store of keys and values: `self._redis.get(key)`.
pub(super) fn key_of_redis(project: &Project, unit: &Unit, at: At) -> Option<Vec<At>> {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
    if unit.ir.text(*property) != "get" {
        return None;
    }
    let store = vocabulary::words(project.last_written(at.to(*object))?)
        .iter()
        .any(|word| matches!(word.as_str(), "redis" | "valkey" | "memcache" | "memcached" | "kv"));
    let key = call.positional(0).filter(|_| store)?;
    Some(vec![at.to(key)])
}

/// Whether a key is made of other parameters only, and neither it nor what makes it names a party.
fn leaves_out(
    project: &Project,
    unit: &Unit,
    fun: Fun,
    keys: &[At],
    params: &[BindingId],
    context: BindingId,
) -> bool {
    let mut made: Vec<BindingId> = keys.iter().flat_map(|key| project.roots(*key)).collect();
    let mut next = 0;
    let mut said = false;
    while let Some(id) = made.get(next).copied().filter(|_| next < STEPS) {
        next += 1;
        for source in unit.index.sources(id) {
            said |= mentions(unit, source.value, context)
                || makes_for_somebody(project, At { module: fun.module, expr: source.value });
            for root in project.roots(At { module: fun.module, expr: source.value }) {
                if !made.contains(&root) {
                    made.push(root);
                }
            }
        }
    }
    said |= keys.iter().any(|key| mentions(unit, key.expr, context) || makes_for_somebody(project, *key));
    !said
        && !made.contains(&context)
        && made.iter().any(|own| params.contains(own))
        && !says_owner(unit, keys, &made)
}

/// Whether a function that makes a key asks for a party itself.
fn makes_for_somebody(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return true };
    let mut says = false;
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        let Some(callee) = project.callee(at.to(expr)) else { return };
        says |= callee.path.last().is_some_and(|name| names_party(name.as_str()));
        for target in callee.targets.iter().take(4) {
            let Some(own) = project.unit(target.module) else { continue };
            walk::function_exprs(&own.ir, target.id, &mut |inner| {
                says |= match own.ir.expr(inner) {
                    ExprKind::Name(NameRef::Binding(id)) => names_party(own.ir.binding_name(*id)),
                    ExprKind::Member { property, .. } => names_party(own.ir.text(*property)),
                    _ => false,
                };
            });
        }
    });
    says
}

/// Whether a function keeps what it worked out with a parameter: a value of a call that was given it is put under a key.
fn is_kept(project: &Project, unit: &Unit, fun: Fun, read: At, context: BindingId) -> bool {
    let given = |expr: ExprId| {
        let mut found = false;
        walk::exprs_below(&unit.ir, expr, &mut |inner| {
            if let ExprKind::Call(call) = unit.ir.expr(inner) {
                let whole = |expr: ExprId| matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if *id == context);
                let part =
                    |expr: ExprId| unit.ir.language != Language::Python && mentions(unit, expr, context);
                found |= call.args.iter().any(|arg| whole(arg.value) || part(arg.value));
            }
        });
        found
    };
    let worked_out = |value: ExprId| {
        given(value)
            || project
                .roots(At { module: fun.module, expr: value })
                .iter()
                .any(|root| unit.index.sources(*root).iter().any(|source| given(source.value)))
    };
    let mut kept = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        if let ExprKind::Call(call) = unit.ir.expr(expr)
            && let ExprKind::Member { property, .. } = unit.ir.expr(call.callee)
            && matches!(unit.ir.text(*property), "set" | "setex" | "put" | "aset" | "store")
            && unit.index.order(expr) > unit.index.order(read.expr)
        {
            kept |= call.args.iter().skip(1).any(|arg| worked_out(arg.value));
        }
    });
    kept || unit.index.writes.iter().any(|write| {
        write.function == fun.id
            && matches!(unit.ir.expr(write.place), ExprKind::Index { .. })
            && write.order > unit.index.order(read.expr)
            && worked_out(write.value)
    })
}
