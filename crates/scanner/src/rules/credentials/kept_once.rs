//! The one credential that a store keeps under a key that is written out, taken for whoever asks:
//! `await env.VAULT.get("service_account")` in a handler.

use partywall_model::{Confidence, Severity};

use super::environment_credential::is_operators;
use crate::{
    flow::Lifetimes,
    ir::{Call, ExprId, ExprKind, NameRef, StmtKind},
    project::{At, Parent, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Words of stores of keys and values. What a cache keeps is mostly the process's own token for a while.
const STORES: &[&str] = &["kv", "store", "storage", "keyv", "namespace"];

/// Reports such reads.
pub(super) fn kept_once(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    let likely = project.calls_named(|name| name == "get" || name == "getItem");
    for (module, unit) in project.units() {
        for expr in likely.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let Some(key) = key_of_all(project, unit, at, call) else { continue };
            if !lives.is_per_request(project.function_of(at)) || is_compared(unit, *expr) {
                continue;
            }
            let found = report
                .reached(at, format!("whoever calls, the one credential that is kept as `{key}` is taken"));
            found.confidence(Confidence::Medium);
            if !project.has_owners(module) {
                found.severity(Severity::Low);
            }
        }
    }
}

/// The key of a credential that is written out, where a store is asked for it.
fn key_of_all(project: &Project, unit: &Unit, at: At, call: &Call) -> Option<String> {
    let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return None };
    let ExprKind::String(text) = unit.ir.expr(call.positional(0)?) else { return None };
    let key = unit.ir.text(*text);
    let words = vocabulary::words(key);
    let has = |word: &str| words.iter().any(|own| own == word);
    let credential = vocabulary::is_credential(key)
        || has("tokens")
        || has("creds")
        || (has("service") && has("account"))
        || (has("refresh") && has("token"));
    let path = project.written(at.to(*object));
    // `env.TOKENS` of a worker is a store that is bound to it.
    let bound = matches!(path.as_slice(), [.., env, _] if env == "env")
        && path.first().is_some_and(|first| first != "process");
    let named = path
        .last()
        .is_some_and(|name| vocabulary::words(name).iter().any(|word| STORES.contains(&word.as_str())));
    let other = path.iter().any(|name| {
        matches!(name.as_str(), "session" | "cookies" | "headers" | "request" | "req" | "cookieStore")
    });
    (credential && (bound || named) && !other && !is_operators(key)).then(|| key.to_owned())
}

/// Whether what is read is only held against what the caller brought.
fn is_compared(unit: &Unit, read: ExprId) -> bool {
    let mut here = read;
    for _ in 0..6 {
        match unit.index.parent(here) {
            Parent::Expr(up) if matches!(unit.ir.expr(up), ExprKind::Compare { .. }) => return true,
            Parent::Expr(up) => here = up,
            Parent::Stmt(stmt) => {
                let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return false };
                let Some(id) = target.as_binding() else { return false };
                return unit.index.uses(id).iter().any(|used| {
                    let other = |up: ExprId| match unit.ir.expr(up) {
                        ExprKind::Compare { left, right, .. } => {
                            let side = if *left == *used { *right } else { *left };
                            matches!(
                                unit.ir.expr(side),
                                ExprKind::Name(NameRef::Binding(_)) | ExprKind::Member { .. }
                            )
                        }
                        _ => false,
                    };
                    matches!(unit.index.parent(*used), Parent::Expr(up) if other(up))
                });
            }
            _ => return false,
        }
    }
    false
}
