//! Whether a token's audience is looked at by hand, and whether anybody else could have made the token.

use crate::{
    ir::{BindingId, ExprId, ExprKind, NameRef, StmtKind, walk},
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
