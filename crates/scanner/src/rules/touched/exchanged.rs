//! Tokens that the server itself was given by the issuer, in return for a code.

use crate::{
    flow::Origins,
    ir::{ExprId, ExprKind, NameRef},
    project::{At, Project, Unit},
    vocabulary,
};

/// How many variables and functions a token is followed through.
const DEPTH: u32 = 4;

/// What is said of a token that came from its issuer.
const EXCHANGED: &str = " The token is a part of what was got for a sign-in, and not of the request: if the server has it from the issuer \
                         itself, nobody else has written it.";

/// Why it is doubtful that a token that is read may be anybody's.
pub(super) fn doubt(project: &Project, at: At) -> Option<&'static str> {
    let unit = project.unit(at.module)?;
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
    is_exchanged(project, at.to(call.positional(0)?), DEPTH).then_some(EXCHANGED)
}

fn is_exchanged(project: &Project, at: At, depth: u32) -> bool {
    let (Some(depth), Some(unit)) = (depth.checked_sub(1), project.unit(at.module)) else { return false };
    match unit.ir.expr(at.expr) {
        ExprKind::Member { object, property, .. } => {
            is_id_token(unit.ir.text(*property)) && is_of_sign_in(project, at.to(*object))
        }
        // `getattr(credentials, "id_token", None)`, `tokens.get("id_token")`
        ExprKind::Call(call) => match part(unit, call) {
            Some((object, name)) => is_id_token(name) && is_of_sign_in(project, at.to(object)),
            None => false,
        },
        ExprKind::Logical { left, .. } => is_exchanged(project, at.to(*left), depth),
        ExprKind::Name(NameRef::Binding(id)) => match project.parameter_of(at.module, *id) {
            Some((fun, number, path)) => {
                let callers = project.callers(fun);
                path.is_empty()
                    && !callers.is_empty()
                    && callers.iter().take(8).all(|call| {
                        project
                            .argument(*call, fun, number)
                            .is_some_and(|given| is_exchanged(project, given, depth))
                    })
            }
            None => {
                let sources = unit.index.sources(*id);
                !sources.is_empty()
                    && sources.iter().all(|source| {
                        source.path.is_empty() && is_exchanged(project, at.to(source.value), depth)
                    })
            }
        },
        _ => false,
    }
}

/// What a call takes a part out of, and the name of the part.
fn part<'u>(unit: &'u Unit, call: &crate::ir::Call) -> Option<(ExprId, &'u str)> {
    let (object, key) = match unit.ir.expr(call.callee) {
        ExprKind::Member { object, property, .. } if unit.ir.text(*property) == "get" => {
            (*object, call.positional(0)?)
        }
        ExprKind::Name(NameRef::Global(name)) if unit.ir.text(*name) == "getattr" => {
            (call.positional(0)?, call.positional(1)?)
        }
        _ => return None,
    };
    match unit.ir.expr(key) {
        ExprKind::String(text) => Some((object, unit.ir.text(*text))),
        _ => None,
    }
}

fn is_id_token(name: &str) -> bool {
    matches!(name, "id_token" | "idToken")
}

/// Whether something is what a sign-in gave, and no request.
fn is_of_sign_in(project: &Project, at: At) -> bool {
    let words: Vec<String> =
        project.last_written(at).map(|name| vocabulary::words(name).to_vec()).unwrap_or_default();
    let says = words.iter().any(|word| {
        matches!(
            word.as_str(),
            "creds"
                | "credentials"
                | "tokens"
                | "token"
                | "session"
                | "oauth"
                | "account"
                | "result"
                | "auth"
        )
    });
    says && !project.origins(at).has(Origins::INPUT | Origins::UNVERIFIED)
}
