//! Keys that are fetched from wherever the token itself says: `PyJWKClient(f"{claims['iss']}/jwks.json")` with claims that nobody verified.

use partywall_model::Confidence;

use super::unverified_token::switched_off;
use crate::{
    ir::{BindingId, ExprId, ExprKind, Kinds, NameRef, walk},
    library::Role,
    project::{At, Fun, Project, Unit},
    rules::Report,
};

/// What fetches the keys of an issuer.
const KEYS: &[&str] =
    &["PyJWKClient", "createRemoteJWKSet", "jwksClient", "JwksClient", "JWKSClient", "buildGetJwks"];

/// Reports what fetches such keys.
pub(super) fn own_issuer(project: &Project, report: &mut Report<'_>) {
    let fetching = project.calls_of(|callee| KEYS.contains(&callee.name()));
    for (module, unit) in project.units() {
        for expr in fetching.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let fun = project.function_of(at);
            let said = call.args.iter().any(|arg| is_said_by_token(project, unit, at.to(arg.value), fun));
            if said && !is_compared(unit, fun) {
                report
                    .reached(at, "the keys come from wherever the token says, so that whoever writes a token brings the keys that fit it")
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether an address is made of a claim of a token that is read without its signature.
fn is_said_by_token(project: &Project, unit: &Unit, at: At, fun: Fun) -> bool {
    let mut open: Vec<ExprId> = vec![at.expr];
    let mut seen: Vec<BindingId> = Vec::new();
    let mut next = 0;
    let (mut decoded, mut named) = (false, false);
    while let Some(expr) = open.get(next).copied().filter(|_| next < 12) {
        next += 1;
        walk::exprs_below(&unit.ir, expr, &mut |own| match unit.ir.expr(own) {
            ExprKind::Name(NameRef::Binding(id)) if !unit.ir.is_module_level(*id) && !seen.contains(id) => {
                seen.push(*id);
                open.extend(
                    unit.index
                        .sources(*id)
                        .iter()
                        .filter(|source| source.function == fun.id)
                        .take(3)
                        .map(|source| source.value),
                );
            }
            ExprKind::String(text) => named |= matches!(unit.ir.text(*text), "iss" | "jku" | "issuer"),
            ExprKind::Member { property, .. } => {
                named |= matches!(unit.ir.text(*property), "iss" | "jku" | "issuer")
            }
            ExprKind::Call(call) => {
                let role = |role: Role| {
                    project
                        .callee(at.to(own))
                        .is_some_and(|callee| callee.defs.iter().any(|def| def.role == role))
                };
                decoded |= role(Role::Decode)
                    || (role(Role::Verify) && switched_off(project, at.module, call) == Some("signature"));
            }
            _ => {}
        });
    }
    decoded && named
}

/// Whether a function compares anything with what it trusts, or looks it up there: the issuer, before it is asked.
fn is_compared(unit: &Unit, fun: Fun) -> bool {
    unit.ir.exprs_of(Kinds::COMPARE).any(|(expr, _)| {
        unit.index.function(expr) == fun.id && {
            let text = unit.ir.snippet(unit.ir.span(expr)).to_lowercase();
            text.contains("iss") || text.contains("trusted") || text.contains("allowed")
        }
    })
}
