//! One user or tenant that is written out in a function, where what answers requests knows who asks:
//! `const userId = "00000000-0000-0000-0000-000000000000"`.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Lifetimes,
    ir::{ExprId, ExprKind, FunctionId, Kinds, LogicalOp, NameRef, PropertyKey},
    project::{At, Fun, ModuleId, Parent, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Reports such variables.
pub(super) fn constant_party(
    project: &Project,
    lives: &Lifetimes<'_>,
    report: &mut Report<'_>,
    module: ModuleId,
    unit: &Unit,
) {
    if !project.handlers_know_callers(module) {
        return;
    }
    for (id, binding) in unit.ir.bindings() {
        let [source] = unit.index.sources(id) else { continue };
        let fun = Fun { module, id: unit.ir.binding_function(id) };
        let ExprKind::String(text) = unit.ir.expr(source.value) else { continue };
        let text = unit.ir.text(*text);
        if !unit.meaning(binding.name).is_owner()
            || !source.path.is_empty()
            || fun.id == FunctionId::MODULE
            || !is_id(unit.ir.text(binding.name))
            || !stands_for_a_party(text)
            || !lives.is_per_request(fun)
        {
            continue;
        }
        // What is asked with it is this one's, whoever calls.
        let asked = unit.index.uses(id).iter().any(|used| match unit.index.parent(*used) {
            Parent::Expr(up) => {
                matches!(unit.ir.expr(up), ExprKind::Call(call) if call.callee != *used)
                    || matches!(unit.ir.expr(up), ExprKind::Object(_))
            }
            _ => false,
        });
        if asked {
            report
                .reached(
                    At { module, expr: source.value },
                    format!("whoever calls, this is done as `{text}`"),
                )
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// Names of what a service of payments gives back as it got it, by which the paid thing is put down to somebody.
const GIVEN_BACK: &[&str] =
    &["custom", "custom_data", "customData", "metadata", "passthrough", "client_metadata", "notes"];

/// Reports a user that is written out in what a handler sends along with a payment: `metadata: { user_id: "123" }`.
pub(super) fn paid_for_one(
    project: &Project,
    lives: &Lifetimes<'_>,
    report: &mut Report<'_>,
    module: ModuleId,
    unit: &Unit,
) {
    for (expr, kind) in unit.ir.exprs_of(Kinds::OBJECT) {
        let ExprKind::Object(properties) = kind else { continue };
        let at = At { module, expr };
        let one = properties.iter().find_map(|property| {
            let PropertyKey::Name(name) = property.key else { return None };
            let name = unit.ir.text(name);
            let ExprKind::String(text) = unit.ir.expr(property.value) else { return None };
            let text = unit.ir.text(*text);
            (vocabulary::is_user(name) && is_id(name) && stands_for_a_party(text))
                .then_some((property.value, text))
        });
        let Some((value, text)) = one else { continue };
        if is_given_back(unit, expr) && lives.is_per_request(project.function_of(at)) {
            report
                .reached(at.to(value), format!("whoever pays, it is put down to `{text}`"))
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether a record is a property of another one that says that it is given back.
fn is_given_back(unit: &Unit, record: ExprId) -> bool {
    let Parent::Expr(up) = unit.index.parent(record) else { return false };
    let ExprKind::Object(properties) = unit.ir.expr(up) else { return false };
    properties.iter().any(|property| {
        property.value == record
            && matches!(property.key, PropertyKey::Name(name) if GIVEN_BACK.contains(&unit.ir.text(name)))
    })
}

/// Reports a party that may be left out and then is the one of all who are not known: `owner = user_id or "anonymous"`, where it is
/// asked for things under that name.
pub(super) fn nobody(project: &Project, report: &mut Report<'_>, module: ModuleId, unit: &Unit) {
    for (id, binding) in unit.ir.bindings() {
        let [source] = unit.index.sources(id) else { continue };
        let ExprKind::Logical { op: LogicalOp::Or | LogicalOp::Nullish, left, right } =
            unit.ir.expr(source.value)
        else {
            continue;
        };
        let (ExprKind::Name(NameRef::Binding(given)), ExprKind::String(text)) =
            (unit.ir.expr(*left), unit.ir.expr(*right))
        else {
            continue;
        };
        let text = unit.ir.text(*text);
        let fun = Fun { module, id: unit.ir.binding_function(id) };
        let told = project.parameter_of(module, *given).is_some_and(|(of, ..)| of == fun);
        let party = unit.meaning(binding.name).is_owner() || unit.binding_meaning(*given).is_owner();
        if !told || !party || !matches!(text, "anonymous" | "anon" | "guest" | "unknown" | "nobody") {
            continue;
        }
        let asked = unit.index.uses(id).iter().any(|used| match unit.index.parent(*used) {
            Parent::Expr(up) => match unit.ir.expr(up) {
                ExprKind::Call(call) => {
                    call.args.iter().any(|arg| arg.value == *used)
                        && reaches(project, At { module, expr: up })
                }
                _ => false,
            },
            _ => false,
        });
        if asked {
            report
                .reached(
                    At { module, expr: source.value },
                    format!("all who are not known share what is kept for `{text}`"),
                )
                .severity(Severity::Low)
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether a call finds or keeps something, as its name says.
fn reaches(project: &Project, call: At) -> bool {
    let Some(unit) = project.unit(call.module) else { return false };
    let ExprKind::Call(own) = unit.ir.expr(call.expr) else { return false };
    let name = project.last_written(call.to(own.callee)).unwrap_or_default();
    vocabulary::words(name).first().is_some_and(|verb| {
        matches!(
            verb.as_str(),
            "get"
                | "find"
                | "load"
                | "list"
                | "search"
                | "save"
                | "store"
                | "create"
                | "delete"
                | "update"
                | "add"
                | "query"
        )
    })
}

/// Whether a name is of an id and not of a label or a column: `userId`, `user`, and not `userColumn`.
fn is_id(name: &str) -> bool {
    vocabulary::words(name).last().is_some_and(|last| {
        matches!(last.as_str(), "id" | "uid" | "user" | "tenant" | "owner" | "org" | "account" | "workspace")
    })
}

/// Whether a text may be somebody's id: no empty one, and no sentence.
fn stands_for_a_party(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && !text.contains(char::is_whitespace)
        && !text.contains(['/', '.', '$', '{'])
}
