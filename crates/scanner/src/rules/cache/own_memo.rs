//! Memos of the project's own: a decorator or wrapper that keeps what a function gives under its arguments, and wrappers that are told
//! which arguments make the key, `memoize(load, (_org, month) => month)`.

use crate::{
    ir::{BindingId, ExprId, ExprKind, FunctionId, NameRef, ParameterKind},
    project::{At, Fun, Project, Symbol, Unit},
    rules::Report,
    vocabulary,
};
use partywall_model::Confidence;

use super::memoised_result::{is_party, reads_caller};

/// How many functions inside of a memo are looked into.
const INNER: usize = 12;

/// Whether a decorator is a function of the project that keeps what it decorates gives, by the arguments of each call.
pub(super) fn is_own_memo(project: &Project, decorator: At) -> bool {
    let Some(callee) = project.callee(decorator) else {
        // `@memo` without brackets.
        return matches!(project.symbol(decorator), Symbol::Function(fun) if keeps_by_arguments(project, fun));
    };
    callee.certain && matches!(callee.targets.as_slice(), [target] if keeps_by_arguments(project, *target))
}

/// Whether a function makes one that keeps its results under all of its arguments: `store[args] = await fn(*args)`.
fn keeps_by_arguments(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let mut open: Vec<FunctionId> = unit.index.inner(fun.id).to_vec();
    let mut next = 0;
    while let Some(id) = open.get(next).copied().filter(|_| next < INNER) {
        next += 1;
        open.extend(unit.index.inner(id));
        let inner = Fun { module: fun.module, id };
        let Some(function) = unit.ir.function(id) else { continue };
        let rest: Vec<BindingId> = function
            .params
            .iter()
            .filter(|own| own.kind == ParameterKind::Rest)
            .filter_map(|own| own.pattern.as_binding())
            .collect();
        if rest.is_empty() || reads_caller(project, fun.module, unit, inner) {
            continue;
        }
        let of_all = |key: ExprId| {
            project.roots(At { module: fun.module, expr: key }).iter().any(|id| rest.contains(id))
        };
        if keys_of(unit, id).into_iter().any(of_all) {
            return true;
        }
    }
    false
}

/// The keys under which a function keeps something in what a function around it has made: `store[key] = …`, `store.set(key, …)`.
fn keys_of(unit: &Unit, id: FunctionId) -> Vec<ExprId> {
    let outer = |expr: ExprId| matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(own)) if unit.ir.binding_function(*own) != id);
    let mut keys = Vec::new();
    for write in unit.index.writes.iter().filter(|write| write.function == id) {
        if let ExprKind::Index { object, index, .. } = unit.ir.expr(write.place)
            && outer(*object)
        {
            keys.push(*index);
        }
    }
    for expr in unit.index.calls.iter().filter(|expr| unit.index.function(**expr) == id) {
        let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
        let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { continue };
        if matches!(unit.ir.text(*property), "set" | "setdefault" | "put") && outer(*object) {
            keys.extend(call.positional(0));
        }
    }
    keys
}

/// Reports functions that are wrapped by such a memo, or by one that is told the key, where the key has nothing of whom they are for.
pub(super) fn own_memo(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for expr in &unit.index.calls {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let Some(callee) = project.callee(at).filter(|callee| callee.certain) else { continue };
            let [target] = callee.targets.as_slice() else { continue };
            let Some(function) =
                call.positional(0).and_then(|first| function_of(project, unit, at.to(first)))
            else {
                continue;
            };
            let remembers = vocabulary::words(callee.name()).iter().any(|word| {
                matches!(word.as_str(), "memo" | "memoize" | "memoise" | "memoized" | "cached" | "cache")
            });
            if let Some(key) = call.positional(1).filter(|_| remembers) {
                if leaves_out(project, unit, at.to(key), function) {
                    report
                        .at(at.to(key), "this key leaves out whose result it is, which the function is told")
                        .confidence(Confidence::Medium);
                }
                continue;
            }
            let home = project.unit(function.module);
            let asks = home.is_some_and(|home| reads_caller(project, function.module, home, function));
            if asks && call.args.len() == 1 && keeps_by_arguments(project, *target) {
                report
                    .at(at, "what this remembers is made for the caller, and its key does not say for whom")
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// The function that an argument is.
fn function_of(project: &Project, unit: &Unit, at: At) -> Option<Fun> {
    match unit.ir.expr(at.expr) {
        ExprKind::Function(id) => Some(Fun { module: at.module, id: *id }),
        ExprKind::Name(NameRef::Binding(_)) => match project.symbol(at) {
            Symbol::Function(fun) => Some(fun),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a function that is written out makes a key of some of the arguments of another one, and leaves out all that say whose the
/// result is.
fn leaves_out(project: &Project, unit: &Unit, key: At, function: Fun) -> bool {
    let ExprKind::Function(maker) = unit.ir.expr(key.expr) else { return false };
    let (Some(maker), Some(home)) = (unit.ir.function(*maker), project.unit(function.module)) else {
        return false;
    };
    let Some(told) = home.ir.function(function.id) else { return false };
    let parties: Vec<usize> = told
        .params
        .iter()
        .enumerate()
        .filter(|(_, own)| own.name.is_some_and(|name| is_party(home.ir.text(name))))
        .map(|(number, _)| number)
        .collect();
    if parties.is_empty() || maker.params.iter().any(|own| own.kind == ParameterKind::Rest) {
        return false;
    }
    let uses = |number: usize| {
        let mut used = false;
        if let Some(own) = maker.params.get(number) {
            own.pattern.for_each_binding(&mut |id| used |= !unit.index.uses(id).is_empty());
        }
        used
    };
    !parties.iter().any(|number| uses(*number)) && (0..maker.params.len()).any(uses)
}
