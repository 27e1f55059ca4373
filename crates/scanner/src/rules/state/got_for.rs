//! What a request got for what its caller sent: `token = await exchange(code)`, `user = verify(request.headers["authorization"])`.

use crate::{
    flow::{Lifetimes, Origins, SharedWrite},
    ir::{ExprId, ExprKind},
    project::Project,
    vocabulary,
};

/// Whether a variable that is named for a caller or a credential is set, in a request, to what something outside of the project gave for
/// what the caller sent.
pub(super) fn is_got_for_caller(
    project: &Project,
    lives: &Lifetimes<'_>,
    write: &SharedWrite,
    name: &str,
) -> bool {
    let Some(unit) = project.unit(write.value.module) else { return false };
    let name = name.trim_start_matches(['_', '#']);
    let whose = vocabulary::is_credential(name)
        || vocabulary::is_principal(name)
        || matches!(name, "user" | "tenant" | "caller" | "identity");
    if !whose || !lives.is_per_request(write.fun) {
        return false;
    }
    let mut value: ExprId = write.value.expr;
    while let ExprKind::Await(inner) = unit.ir.expr(value) {
        value = *inner;
    }
    let ExprKind::Call(call) = unit.ir.expr(value) else { return false };
    let sent = Origins::INPUT | Origins::UNVERIFIED | Origins::REQUEST | Origins::PRINCIPAL | Origins::SECRET;
    call.args.iter().any(|arg| project.origins(write.value.to(arg.value)).has(sent))
}
