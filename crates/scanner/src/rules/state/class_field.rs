//! A list or dict of a Python class, which all its objects share, as where each object keeps what is its own.

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{Class, ClassId, ExprId, ExprKind, FunctionKind, Language},
    project::{At, Cls, Fun, ModuleId, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Methods that change what they are called on.
const CHANGES: &[&str] =
    &["append", "add", "update", "extend", "setdefault", "insert", "appendleft", "extendleft"];

/// Words of what a class keeps for all its objects on purpose.
const COMMON: &[&str] = &[
    "registry",
    "registered",
    "instances",
    "instance",
    "subclasses",
    "plugins",
    "handlers",
    "cache",
    "cached",
    "pool",
    "locks",
    "lock",
    "types",
    "routes",
    "factories",
    "providers",
    "models",
    "loaded",
    "classes",
    "global",
    "shared",
    "all",
    "known",
];

/// Reports changes, in methods of an object that is made for somebody, of a list or dict that is the class's.
pub(super) fn class_fields(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        if unit.ir.language != Language::Python {
            continue;
        }
        for (id, class) in unit.ir.classes() {
            if !is_for_somebody(unit, class) {
                continue;
            }
            for field in class.fields.iter().filter(|field| field.is_static) {
                let name = unit.ir.text(field.name);
                let common = vocabulary::words(name).iter().any(|word| COMMON.contains(&word.as_str()));
                let constant = !name.chars().any(char::is_lowercase);
                let changeable =
                    field.value.is_some_and(|value| is_changeable(project, unit, At { module, expr: value }));
                if common
                    || constant
                    || !changeable
                    || !project.field_writes(Cls { module, id }, name).is_empty()
                {
                    continue;
                }
                for at in changes(unit, module, id, name) {
                    report
                        .reached(
                            at,
                            format!(
                                "`{name}` is the class's, so that all its objects put what is theirs into one"
                            ),
                        )
                        .severity(Severity::Medium)
                        .confidence(Confidence::Medium);
                }
            }
        }
    }
}

/// Whether objects of a class are made for a user, a session or a conversation, by what its constructor takes.
fn is_for_somebody(unit: &Unit, class: &Class) -> bool {
    class.methods.iter().filter_map(|id| unit.ir.function(*id)).any(|function| {
        function.kind == FunctionKind::Constructor
            && function.params.iter().filter_map(|parameter| parameter.name).any(|name| {
                let name = unit.ir.text(name);
                vocabulary::is_owner(name)
                    || vocabulary::is_principal(name)
                    || vocabulary::is_credential(name)
                    || vocabulary::is_session_id(name)
                    || matches!(
                        name,
                        "session"
                            | "request"
                            | "conversation"
                            | "conversation_id"
                            | "thread_id"
                            | "websocket"
                    )
            })
    })
}

fn is_changeable(project: &Project, unit: &Unit, at: At) -> bool {
    match unit.ir.expr(at.expr) {
        ExprKind::Object(_) => true,
        ExprKind::Array { kind, .. } => !matches!(kind, crate::ir::ArrayKind::Tuple),
        ExprKind::Call(_) => project.written(at).last().is_some_and(|name| {
            matches!(name.as_str(), "dict" | "list" | "set" | "defaultdict" | "deque" | "OrderedDict")
        }),
        _ => false,
    }
}

/// Where methods of a class change one of its fields in place.
fn changes(unit: &Unit, module: ModuleId, class: ClassId, field: &str) -> Vec<At> {
    let is_field = |expr: ExprId| match unit.ir.expr(expr) {
        ExprKind::Member { object, property, .. } => {
            matches!(unit.ir.expr(*object), ExprKind::This) && unit.ir.text(*property) == field
        }
        _ => false,
    };
    let own = |fun: Fun| {
        let Some(function) = unit.ir.function(fun.id) else { return false };
        function.class == Some(class)
            && matches!(function.kind, FunctionKind::Method | FunctionKind::Constructor)
    };
    let called = unit.index.calls.iter().filter(|expr| {
        let ExprKind::Call(call) = unit.ir.expr(**expr) else { return false };
        let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return false };
        CHANGES.contains(&unit.ir.text(*property)) && is_field(*object)
    });
    let written =
        unit.index.writes.iter().map(|write| &write.place).filter(|place| match unit.ir.expr(**place) {
            ExprKind::Index { object, .. } => is_field(*object),
            _ => false,
        });
    called
        .chain(written)
        .map(|expr| At { module, expr: *expr })
        .filter(|at| own(Fun { module, id: unit.index.function(at.expr) }))
        .collect()
}
