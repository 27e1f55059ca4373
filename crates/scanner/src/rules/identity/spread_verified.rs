//! What was verified of a message, and the message itself spread behind it: `{ auth: await verifyAuth(message), ...message }`. Whoever
//! sends a part of that name decides it.

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{ExprId, ExprKind, Kinds, Language, NameRef, PropertyKey, walk},
    project::{At, Project, Unit},
    rules::Report,
    vocabulary,
};

/// How many variables and calls are followed to where something was verified.
const STEPS: u32 = 5;

/// Words of what says who calls.
const WHO: &[&str] = &[
    "auth",
    "token",
    "jwt",
    "session",
    "identity",
    "user",
    "caller",
    "principal",
    "claims",
    "authentication",
];

/// Reports such records of JavaScript.
pub(super) fn spread_verified(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::JavaScript) {
        for (expr, kind) in unit.ir.exprs_of(Kinds::OBJECT) {
            let ExprKind::Object(properties) = kind else { continue };
            let spread = properties.iter().enumerate().rev().find_map(|(place, own)| match own.key {
                PropertyKey::Spread => text_of(unit, own.value).map(|text| (place, text)),
                _ => None,
            });
            let Some((place, sent)) = spread else { continue };
            let again = |name: &str| {
                properties
                    .iter()
                    .skip(place)
                    .any(|own| matches!(own.key, PropertyKey::Name(own) if unit.ir.text(own) == name))
            };
            let decided = properties.iter().take(place).find_map(|own| {
                let PropertyKey::Name(name) = own.key else { return None };
                let name = unit.ir.text(name);
                (!again(name) && is_verified_of(project, unit, At { module, expr: own.value }, sent, STEPS))
                    .then_some(name)
            });
            if let Some(name) = decided {
                report
                    .reached(
                        At { module, expr },
                        format!("what was sent is spread behind `{name}`, which was verified, and decides it when it has one of its own"),
                    )
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// A variable or a part of one as it is written: `message`, `req.body`.
fn text_of(unit: &Unit, expr: ExprId) -> Option<&str> {
    let mut root = expr;
    while let ExprKind::Member { object, .. } = unit.ir.expr(root) {
        root = *object;
    }
    matches!(unit.ir.expr(root), ExprKind::Name(NameRef::Binding(_)))
        .then(|| unit.ir.snippet(unit.ir.span(expr)))
}

/// Whether a value is, or is a part of, what a function gave that by its name verifies who calls, and was handed what was sent.
fn is_verified_of(project: &Project, unit: &Unit, at: At, sent: &str, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    match unit.ir.expr(at.expr) {
        ExprKind::Await(value) => is_verified_of(project, unit, at.to(*value), sent, steps),
        ExprKind::Member { object, .. } => is_verified_of(project, unit, at.to(*object), sent, steps),
        ExprKind::Name(NameRef::Binding(id)) if unit.ir.binding_name(*id) != sent => {
            match unit.index.sources(*id) {
                [source] => is_verified_of(project, unit, at.to(source.value), sent, steps),
                _ => false,
            }
        }
        ExprKind::Call(call) => {
            let name = project.last_written(at.to(call.callee)).unwrap_or_default();
            if !verifies(name) {
                // `verified.unwrap()`
                return match unit.ir.expr(call.callee) {
                    ExprKind::Member { object, .. } if call.args.is_empty() => {
                        is_verified_of(project, unit, at.to(*object), sent, steps)
                    }
                    _ => false,
                };
            }
            let mut handed = false;
            for arg in &call.args {
                walk::exprs_below(&unit.ir, arg.value, &mut |expr| {
                    handed |= text_of(unit, expr) == Some(sent)
                });
            }
            handed
        }
        _ => false,
    }
}

/// Whether a function verifies who calls, by its name: `verifyAuth`, `authenticate`.
fn verifies(name: &str) -> bool {
    let words = vocabulary::words(name);
    let first = words.first().map_or("", String::as_str);
    let caller = || words.iter().any(|word| WHO.contains(&word.as_str()));
    matches!(first, "authenticate" | "authorize") || (matches!(first, "verify" | "decode") && caller())
}
