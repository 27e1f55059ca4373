//! The id of who has signed in, by how it is written: `const { user } = await getSession(request)`, `user.id`.

use crate::{
    ir::{ExprKind, NameRef},
    project::{At, Project},
    vocabulary,
};

/// Words of functions that give who has signed in.
const GIVES: &[&str] = &["session", "auth", "authenticated", "current", "signed", "principal"];

/// Whether a value is the id of a user that a function gave which is named for the session.
pub(super) fn is_session_user(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(at.expr) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object) else { return false };
    if !matches!(unit.ir.text(*property), "id" | "uid" | "sub" | "userId" | "user_id" | "_id")
        || !vocabulary::words(unit.ir.binding_name(*id))
            .iter()
            .any(|word| matches!(word.as_str(), "user" | "session"))
    {
        return false;
    }
    let [source] = unit.index.sources(*id) else { return false };
    let call = match unit.ir.expr(source.value) {
        ExprKind::Await(inner) => *inner,
        _ => source.value,
    };
    let ExprKind::Call(expr) = unit.ir.expr(call) else { return false };
    // What is found by an id that was sent is somebody's, and not the caller's.
    let sent = expr
        .args
        .iter()
        .any(|arg| matches!(unit.ir.expr(arg.value), ExprKind::Member { .. } | ExprKind::String(_)));
    !sent
        && project
            .last_written(at.to(expr.callee))
            .is_some_and(|name| vocabulary::words(name).iter().any(|word| GIVES.contains(&word.as_str())))
}
