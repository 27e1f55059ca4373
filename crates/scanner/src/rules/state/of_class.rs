//! Events and queues that stand in the body of a Python class, and so are one for all its objects: one object's `set()` wakes another
//! one's waiter.

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{ExprKind, FunctionKind, Language, walk},
    project::{At, Cls, Project, Unit},
    rules::Report,
};

/// What hands something from one who waits to another.
const KINDS: &[&str] = &[
    "Event",
    "Condition",
    "Queue",
    "LifoQueue",
    "PriorityQueue",
    "SimpleQueue",
    "Future",
    "deque",
    "defaultdict",
];

/// Methods by which it is handed on.
const USES: &[&str] = &[
    "set",
    "clear",
    "wait",
    "put",
    "put_nowait",
    "get",
    "get_nowait",
    "notify",
    "notify_all",
    "set_result",
    "append",
    "appendleft",
    "pop",
    "popleft",
];

/// Reports such fields.
pub(super) fn of_class(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for (id, decl) in unit.ir.classes() {
            let class = Cls { module, id };
            for field in decl.fields.iter().filter(|field| field.is_static) {
                let Some(value) = field.value.map(|expr| At { module, expr }) else { continue };
                let ExprKind::Call(call) = unit.ir.expr(value.expr) else { continue };
                let name = unit.ir.text(field.name);
                let kind = project.last_written(value.to(call.callee)).unwrap_or_default();
                let constant = name.chars().all(|char| !char.is_lowercase());
                if !KINDS.contains(&kind) || constant || !project.field_writes(class, name).is_empty() {
                    continue;
                }
                if is_used_by_objects(unit, decl, name) {
                    report
                        .at(value, format!("`{name}` is one for all objects of its class, and what one of them does with it the others meet"))
                        .severity(Severity::Low)
                        .confidence(Confidence::Medium);
                }
            }
        }
    }
}

/// Whether a method of the objects themselves uses the field: `self._done.set()`.
fn is_used_by_objects(unit: &Unit, decl: &crate::ir::Class, name: &str) -> bool {
    let mut used = false;
    for id in &decl.methods {
        let own = unit.ir.function(*id).is_some_and(|function| {
            !matches!(function.kind, FunctionKind::Static | FunctionKind::ClassMethod)
        });
        if !own {
            continue;
        }
        walk::function_exprs(&unit.ir, *id, &mut |expr| {
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return };
            let ExprKind::Member { object: this, property: field, .. } = unit.ir.expr(*object) else {
                return;
            };
            used |= USES.contains(&unit.ir.text(*property))
                && unit.ir.text(*field) == name
                && matches!(unit.ir.expr(*this), ExprKind::This);
        });
    }
    used
}
