//! Defaults that only name a bucket in which requests are counted, or a part of a cache's key.

use crate::{
    ir::{ExprId, ExprKind, NameRef, StmtKind},
    project::{At, Parent, Project, Unit},
    vocabulary,
};

/// Words of what counts requests.
const COUNTS: &[&str] = &[
    "rate",
    "limit",
    "limits",
    "limiter",
    "throttle",
    "throttling",
    "timestamps",
    "attempts",
    "hits",
    "quota",
    "window",
    "windows",
];

/// Whether a default stands where requests are counted: in the key of a throttle's class, as the key of a store that counts, or as a part
/// of a list that a cache has for a key.
pub(super) fn is_only_counted(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    is_in_throttle(project, unit, at)
        || is_key_of_counts(project, unit, at)
        || is_part_of_cache_key(project, unit, at)
}

fn counts(name: &str) -> bool {
    vocabulary::words(name).iter().any(|word| COUNTS.contains(&word.as_str()))
}

/// Whether a method of a class that throttles makes its key there.
fn is_in_throttle(project: &Project, unit: &Unit, at: At) -> bool {
    let fun = project.function_of(at);
    let key = vocabulary::words(project.function_name(fun)).iter().any(|word| word == "key");
    let class = unit.ir.function(fun.id).and_then(|function| function.class).and_then(|id| unit.ir.class(id));
    key && class.is_some_and(|class| {
        class
            .bases
            .iter()
            .any(|base| project.last_written(at.to(*base)).is_some_and(|name| name.ends_with("Throttle")))
    })
}

/// Whether the variable that a default goes into is only the key of stores that count: `stamps[key]`, `key in stamps`.
fn is_key_of_counts(project: &Project, unit: &Unit, at: At) -> bool {
    let Some(stmt) = unit.index.stmt_of(at.expr) else { return false };
    let StmtKind::Assign { target, value, .. } = unit.ir.stmt(stmt) else { return false };
    let Some(id) = target.as_binding().filter(|_| *value == at.expr) else { return false };
    let store = |expr: ExprId| project.last_written(at.to(expr)).is_some_and(counts);
    let uses = unit.index.uses(id);
    !uses.is_empty()
        && uses.iter().all(|used| {
            let Parent::Expr(up) = unit.index.parent(*used) else { return false };
            match unit.ir.expr(up) {
                ExprKind::Index { object, index, .. } => *index == *used && store(*object),
                ExprKind::Compare { left, right, .. } => *left == *used && store(*right),
                ExprKind::Call(call) => match unit.ir.expr(call.callee) {
                    ExprKind::Member { object, property, .. } => {
                        store(*object) || counts(unit.ir.text(*property))
                    }
                    ExprKind::Name(NameRef::Binding(id)) => counts(unit.ir.binding_name(*id)),
                    _ => false,
                },
                _ => false,
            }
        })
}

/// Whether a default is an element of a list, beside a text, that a call which caches is given: `unstable_cache(load, ["events", tenant || "all"])`.
fn is_part_of_cache_key(project: &Project, unit: &Unit, at: At) -> bool {
    let Parent::Expr(list) = unit.index.parent(at.expr) else { return false };
    let ExprKind::Array { items, .. } = unit.ir.expr(list) else { return false };
    let text = items.iter().any(|item| matches!(unit.ir.expr(*item), ExprKind::String(_)));
    let Parent::Expr(up) = unit.index.parent(list) else { return false };
    text && matches!(unit.ir.expr(up), ExprKind::Call(_))
        && project
            .last_written(at.to(up))
            .is_some_and(|name| vocabulary::words(name).iter().any(|word| word == "cache"))
}
