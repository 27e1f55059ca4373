//! Tokens that the server itself was given by the issuer, in return for a code.

use crate::{
    flow::Origins,
    ir::{ExprId, ExprKind, NameRef, StmtKind},
    project::{At, Parent, Project, Unit},
    vocabulary,
};

/// How many variables and functions a token is followed through.
const DEPTH: u32 = 4;

/// What is said of a token that came from its issuer.
const EXCHANGED: &str = " The token is a part of what was got for a sign-in, and not of the request: if the server has it from the issuer \
                         itself, nobody else has written it.";

/// What is said of claims of which nothing that is read says who calls.
const OF_FORM: &str = " Nothing that is read of the claims here says who calls: if the rest of them becomes nobody elsewhere, whoever \
                       writes a token is nobody else by it.";

/// Claims that say who somebody is, and names that they are kept under.
const WHO: &[&str] = &[
    "sub",
    "user",
    "uid",
    "email",
    "mail",
    "tenant",
    "org",
    "organization",
    "account",
    "oid",
    "tid",
    "client",
    "name",
    "username",
    "role",
    "roles",
    "workspace",
    "team",
    "id",
    "upn",
];

/// Why it is doubtful that a token that is read may be anybody's.
pub(super) fn doubt(project: &Project, at: At) -> Option<&'static str> {
    let unit = project.unit(at.module)?;
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
    if is_exchanged(project, at.to(call.positional(0)?), DEPTH) {
        return Some(EXCHANGED);
    }
    reads_parts_only(unit, at).then_some(OF_FORM)
}

/// Whether the claims are taken apart where they are read, and nothing that says who somebody is is taken.
fn reads_parts_only(unit: &Unit, at: At) -> bool {
    let Some(stmt) = unit.index.stmt_of(at.expr) else { return false };
    let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return false };
    let Some(id) = target.as_binding() else { return false };
    let uses = unit.index.uses(id);
    !uses.is_empty()
        && uses.iter().all(|used| {
            let Parent::Expr(up) = unit.index.parent(*used) else { return false };
            let name = match unit.ir.expr(up) {
                ExprKind::Member { object, property, .. } if *object == *used => {
                    match unit.index.parent(up) {
                        Parent::Expr(call) => match unit.ir.expr(call) {
                            ExprKind::Call(call) if call.callee == up && unit.ir.text(*property) == "get" => {
                                call.positional(0).and_then(|first| text(unit, first))
                            }
                            _ => Some(unit.ir.text(*property)),
                        },
                        _ => Some(unit.ir.text(*property)),
                    }
                }
                ExprKind::Index { object, index, .. } if *object == *used => text(unit, *index),
                // Whether there are any.
                ExprKind::Unary { .. } | ExprKind::Logical { .. } | ExprKind::Compare { .. } => Some(""),
                ExprKind::Binary { right, .. } if *right == *used => Some(""),
                _ => None,
            };
            name.is_some_and(|name| !vocabulary::words(name).iter().any(|word| WHO.contains(&word.as_str())))
        })
}

fn text(unit: &Unit, expr: ExprId) -> Option<&str> {
    match unit.ir.expr(expr) {
        ExprKind::String(text) => Some(unit.ir.text(*text)),
        _ => None,
    }
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
