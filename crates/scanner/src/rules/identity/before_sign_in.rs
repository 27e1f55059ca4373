//! Look-ups of an account by what somebody names who has not signed in yet: the password decides afterwards, or a message goes to the
//! account's own address.

use crate::{
    flow::Origins,
    ir::{ExprId, ExprKind, NameRef, walk},
    project::{At, Fun, Project, Unit},
    vocabulary,
};

/// Words of functions that hold a password against what is kept of it.
const VERIFIES: &[&str] =
    &["verify", "compare", "check", "checkpw", "validate", "matches", "match", "authenticate", "equal"];

/// Whether a use stands before its function holds a password that it was sent against the row that was found; or in a handler for who has
/// forgotten a password.
pub(super) fn is_before_sign_in(project: &Project, at: At) -> bool {
    let fun = project.function_of(at);
    let Some(unit) = project.unit(at.module) else { return false };
    is_for_forgotten(project, fun) || verified_after(project, unit, fun, at)
}

/// Whether the function of a use verifies a password further down: `verifyPassword(password, user.passwordHash)`,
/// `user.check_password(password)`, and leaves when it is another one.
fn verified_after(project: &Project, unit: &Unit, fun: Fun, at: At) -> bool {
    let order = unit.index.order(at.expr);
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        found |= !found && unit.index.order(expr) > order && verifies(project, unit, at.to(expr));
    });
    found
}

fn verifies(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    let name = project.last_written(at.to(call.callee)).unwrap_or_default();
    let words = vocabulary::words(name);
    if !words.iter().any(|word| VERIFIES.contains(&word.as_str())) {
        return false;
    }
    let sent = |expr: ExprId| {
        named_for_password(unit, expr, false) && project.origins(at.to(expr)).has(Origins::INPUT)
    };
    let kept = |expr: ExprId| {
        named_for_password(unit, expr, true) && !project.origins(at.to(expr)).has(Origins::INPUT)
    };
    let told = call.args.iter().any(|arg| sent(arg.value));
    // `user.check_password(password)`; `policy.checkPassword(password)` asks how good it is.
    let own = match unit.ir.expr(call.callee) {
        ExprKind::Member { object, .. } if words.iter().any(|word| word == "password") => {
            let of = project.last_written(at.to(*object)).unwrap_or_default();
            vocabulary::words(of).last().is_some_and(|last| {
                matches!(last.as_str(), "user" | "account" | "member" | "person" | "admin" | "row" | "record")
            })
        }
        _ => false,
    };
    told && (own || call.args.iter().any(|arg| kept(arg.value)))
}

/// Whether a value is named for a password; of a row, as a part of something: `user.password_hash`.
fn named_for_password(unit: &Unit, expr: ExprId, part: bool) -> bool {
    let name = match unit.ir.expr(expr) {
        ExprKind::Member { property, .. } => unit.ir.text(*property),
        ExprKind::Index { index, .. } => match unit.ir.expr(*index) {
            ExprKind::String(text) => unit.ir.text(*text),
            _ => return false,
        },
        ExprKind::Name(NameRef::Binding(id)) if !part => unit.ir.binding_name(*id),
        ExprKind::Call(call) if !part => match unit.ir.expr(call.callee) {
            ExprKind::Member { object, .. } => return named_for_password(unit, *object, part),
            _ => return false,
        },
        _ => return false,
    };
    vocabulary::words(name)
        .iter()
        .any(|word| matches!(word.as_str(), "password" | "passwd" | "passphrase") || (part && word == "hash"))
}

/// Whether a handler is for who has forgotten a password, by its route or its name: what it finds is told to the account's own address.
fn is_for_forgotten(project: &Project, fun: Fun) -> bool {
    let says = |text: &str| {
        let words = vocabulary::words(text);
        words.iter().any(|word| matches!(word.as_str(), "forgot" | "forgotten"))
            && words.iter().any(|word| matches!(word.as_str(), "password" | "passphrase"))
    };
    if says(project.function_name(fun)) {
        return true;
    }
    let Some(entry) = project.entry(fun) else { return false };
    let Some(unit) = project.unit(entry.registration.module) else { return false };
    let ExprKind::Call(call) = unit.ir.expr(entry.registration.expr) else { return false };
    call.args
        .iter()
        .any(|arg| matches!(unit.ir.expr(arg.value), ExprKind::String(text) if says(unit.ir.text(*text))))
}
