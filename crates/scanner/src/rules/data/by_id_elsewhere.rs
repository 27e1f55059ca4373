//! Calls of what is not in the project that reach a thing by its id alone, as their name says, in a function that knows whose data is
//! meant: `Notes.delete_note_by_id(note_id)` beside `user_id`.

use partywall_model::{Confidence, Severity};

use super::owner_left_out::{compares_owner, is_compared, knows_owner, says_owner, told_before};
use crate::{
    ir::{ArgKind, ExprKind, NameRef},
    project::{At, Project},
    rules::Report,
    vocabulary,
};

/// Verbs of such calls.
const VERBS: &[&str] =
    &["get", "find", "fetch", "load", "read", "delete", "remove", "update", "revoke", "cancel"];

/// Things of which everybody has the same, or that are somebody.
const COMMON: &[&str] = &[
    "user",
    "users",
    "tenant",
    "org",
    "organization",
    "account",
    "model",
    "plan",
    "product",
    "template",
    "role",
    "permission",
    "element",
    "group",
    "channel",
    "team",
    "workspace",
    "tool",
    "function",
    "node",
    "server",
    "plugin",
];

/// Reports such calls.
pub(super) fn by_id_elsewhere(project: &Project, report: &mut Report<'_>) {
    let likely = project.calls_named(|name| {
        let lower = name.to_ascii_lowercase();
        lower.ends_with("byid") || lower.ends_with("by_id")
    });
    for (module, unit) in project.units() {
        for expr in likely.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { continue };
            let name = unit.ir.text(*property);
            let words = vocabulary::words(name);
            let verb = words.first().is_some_and(|verb| VERBS.contains(&verb.as_str()));
            let common = words.iter().any(|word| COMMON.contains(&word.as_str()));
            let model = match unit.ir.expr(*object) {
                ExprKind::Name(NameRef::Binding(id)) => {
                    unit.ir.binding_name(*id).starts_with(char::is_uppercase)
                }
                _ => false,
            };
            let plain = call.args.first().is_some_and(|first| matches!(first.kind, ArgKind::Positional));
            let known = project.callee(at).is_some_and(|callee| !callee.targets.is_empty());
            let fun = project.function_of(at);
            if !verb || common || !model || !plain || known || !knows_owner(project, fun) {
                continue;
            }
            if says_owner(project, at, call)
                || is_compared(project, unit, at)
                || compares_owner(project, unit, at)
                || told_before(project, unit, at, call)
            {
                continue;
            }
            report
                .reached(at, format!("`{name}` reaches a thing by its id alone, though it is known here whose data is meant"))
                .severity(Severity::Low)
                .confidence(Confidence::Medium);
        }
    }
}
