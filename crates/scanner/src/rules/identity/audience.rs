//! Whether a token's audience is looked at by hand, and whether anybody else could have made the token.

use crate::{
    ir::{BindingId, ExprId, ExprKind, Kinds, NameRef, PropertyKey, StmtKind, walk},
    project::{At, Project, Unit},
    vocabulary,
};

/// Whether the function that verifies a token reads the audience of its claims itself, or gives them to one that is named for it:
/// `claims.get("aud")`, `check_audience(claims)`.
pub(super) fn is_looked_at(project: &Project, unit: &Unit, at: At) -> bool {
    let Some(claims) = kept_in(unit, at.expr) else { return false };
    let is_claims =
        |expr: ExprId| matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if *id == claims);
    let is_word =
        |expr: ExprId| matches!(unit.ir.expr(expr), ExprKind::String(text) if unit.ir.text(*text) == "aud");
    let mut found = false;
    walk::function_exprs(&unit.ir, unit.index.function(at.expr), &mut |expr| {
        found |= match unit.ir.expr(expr) {
            ExprKind::Member { object, property, .. } => {
                is_claims(*object) && unit.ir.text(*property) == "aud"
            }
            ExprKind::Index { object, index, .. } => is_claims(*object) && is_word(*index),
            ExprKind::Call(call) => {
                let reads = call.positional(0).is_some_and(is_word)
                    && matches!(unit.ir.expr(call.callee), ExprKind::Member { object, .. } if is_claims(*object));
                let named = || {
                    vocabulary::words(project.last_written(at.to(call.callee)).unwrap_or_default())
                        .iter()
                        .any(|word| matches!(word.as_str(), "aud" | "audience" | "audiences"))
                };
                reads || (call.args.iter().any(|arg| is_claims(arg.value)) && named())
            }
            _ => false,
        };
    });
    found
}

/// Whether the function that verifies a token does no more with its audience than to pass it on, and nothing in the project looks at
/// one: `{ token, audience: payload.aud }`.
pub(super) fn is_only_passed_on(project: &Project, unit: &Unit, at: At) -> bool {
    let own = unit.index.function(at.expr);
    let mut read = false;
    walk::function_exprs(&unit.ir, own, &mut |expr| read |= is_audience(unit, expr));
    read && !project.units().any(|(_, unit)| unit.ir.has_name(AUDIENCES) && looks_at_one(unit))
}

/// Names of a token's audience.
const AUDIENCES: &[&str] = &["aud", "audience", "audiences", "rawAud", "azp", "client_id"];

/// Whether an expression is named for a token's audience.
fn is_audience(unit: &Unit, expr: ExprId) -> bool {
    let name = match unit.ir.expr(expr) {
        ExprKind::Member { property, .. } => unit.ir.text(*property),
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
        _ => return false,
    };
    vocabulary::words(name)
        .iter()
        .any(|word| matches!(word.as_str(), "aud" | "audience" | "audiences" | "azp"))
}

/// Whether a module compares an audience, asks it for a member, hands one to a function that is named for it, or tells one to a library.
fn looks_at_one(unit: &Unit) -> bool {
    let below = |root: ExprId| {
        let mut found = false;
        walk::exprs_below(&unit.ir, root, &mut |expr| found |= is_audience(unit, expr));
        found
    };
    unit.ir.exprs_of(Kinds::CALL | Kinds::COMPARE | Kinds::OBJECT).any(|(_, kind)| match kind {
        ExprKind::Compare { left, right, .. } => below(*left) || below(*right),
        ExprKind::Call(call) => {
            let (name, object) = match unit.ir.expr(call.callee) {
                ExprKind::Member { object, property, .. } => (unit.ir.text(*property), Some(*object)),
                ExprKind::Name(NameRef::Binding(id)) => (unit.ir.binding_name(*id), None),
                _ => return false,
            };
            let words = vocabulary::words(name);
            let asks = words.iter().any(|word| {
                matches!(
                    word.as_str(),
                    "includes"
                        | "has"
                        | "some"
                        | "every"
                        | "find"
                        | "index"
                        | "equal"
                        | "equals"
                        | "match"
                        | "matches"
                        | "check"
                        | "validate"
                        | "verify"
                        | "assert"
                        | "ensure"
                        | "require"
                        | "audience"
                        | "aud"
                        | "intersection"
                )
            });
            asks && (object.is_some_and(below) || call.args.iter().any(|arg| below(arg.value)))
        }
        // `{ audience: config.resource }` is told to a library; `{ audience: claims.aud }` passes on what was read.
        ExprKind::Object(properties) => properties.iter().any(|property| {
            matches!(property.key, PropertyKey::Name(name) if unit.ir.text(name) == "audience")
                && !below(property.value)
        }),
        _ => false,
    })
}

/// Whether the project makes tokens with the very secret that a call verifies with, as it is written.
pub(super) fn signs_itself(project: &Project, unit: &Unit, at: At) -> bool {
    let secret = |expr: ExprId| match unit.ir.expr(expr) {
        ExprKind::Call(call) => call.positional(1),
        _ => None,
    };
    let Some(own) = secret(at.expr) else { return false };
    let text = unit.ir.snippet(unit.ir.span(own));
    let public =
        ["jwks", "public", "signing_key.key", "certs"].iter().any(|word| text.to_lowercase().contains(word));
    !public
        && unit.index.calls.iter().any(|call| {
            let signs = matches!(project.last_written(at.to(*call)), Some("encode" | "sign"));
            signs && secret(*call).is_some_and(|other| unit.ir.snippet(unit.ir.span(other)) == text)
        })
}

/// The variable that a call's value goes into.
fn kept_in(unit: &Unit, call: ExprId) -> Option<BindingId> {
    let StmtKind::Assign { target, .. } = unit.ir.stmt(unit.index.stmt_of(call)?) else { return None };
    target.as_binding()
}
