//! Functions that give a client of the caller where the request brought a credential, and in the end one that all callers share.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Origins,
    ir::{ExprId, ExprKind, FunctionId, NameRef, StmtKind, walk},
    project::{At, Project, Unit},
    rules::{Report, branches::stands_under},
    vocabulary,
};

/// Words of functions that give what a caller acts with.
const GIVES: &[&str] = &[
    "client",
    "fetcher",
    "credentials",
    "credential",
    "connection",
    "api",
    "service",
    "token",
    "headers",
    "auth",
];

/// Words of what is everybody's.
const SHARED: &[&str] =
    &["global", "default", "fallback", "shared", "env", "environment", "settings", "singleton", "operator"];

/// Words of conditions under which one user has the process, or the operator has agreed.
const MODES: &[&str] = &[
    "stdio",
    "single",
    "mode",
    "local",
    "transport",
    "allow",
    "allowed",
    "legacy",
    "enabled",
    "http",
    "multi",
    "demo",
];

/// Reports what such functions give in the end, when nothing refuses a request without a credential before.
pub(super) fn ends_shared(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for (id, function) in unit.ir.functions() {
            let gives = function.name.is_some_and(|name| {
                vocabulary::words(unit.ir.text(name)).iter().any(|word| GIVES.contains(&word.as_str()))
            });
            if id == FunctionId::MODULE || !gives {
                continue;
            }
            let returns = unit.index.returns(id);
            let own = returns
                .iter()
                .filter(|value| is_callers(project, unit, At { module, expr: **value }))
                .map(|value| unit.index.order(*value))
                .max();
            let Some(own) = own else { continue };
            let last = returns.iter().filter(|value| {
                unit.index.order(**value) > own && is_shared(project, unit, At { module, expr: **value })
            });
            let Some(last) = last.min_by_key(|value| unit.index.order(**value)) else { continue };
            if refuses(unit, id, own, unit.index.order(*last)) || stands_under(unit, *last, MODES) {
                continue;
            }
            report
                .reached(
                    At { module, expr: *last },
                    "a request that brings no credential goes on with the one that is everybody's",
                )
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether a returned value is made with a credential of the request.
fn is_callers(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(inner(unit, at.expr)) else { return false };
    call.args.iter().any(|arg| {
        let named = names(unit, arg.value).iter().any(|name| {
            let words = vocabulary::words(name);
            words.iter().any(|word| matches!(word.as_str(), "user" | "caller" | "request" | "tenant"))
                && words.iter().any(|word| {
                    matches!(word.as_str(), "token" | "config" | "credentials" | "key" | "pat" | "auth")
                })
        });
        let origins = project.origins(at.to(arg.value));
        origins.has(Origins::SECRET | Origins::PRINCIPAL)
            || (origins.has(Origins::UNVERIFIED) && !origins.has(Origins::ENV))
            || named
    })
}

/// Whether a returned value is made of what all callers share, by its names, and of nothing of the request.
fn is_shared(project: &Project, unit: &Unit, at: At) -> bool {
    let value = inner(unit, at.expr);
    let told: Vec<ExprId> = match unit.ir.expr(value) {
        ExprKind::Call(call) if !call.args.is_empty() => call.args.iter().map(|arg| arg.value).collect(),
        _ => return false,
    };
    let names: Vec<String> = told.iter().flat_map(|expr| names(unit, *expr)).collect();
    let shared =
        names.iter().any(|name| vocabulary::words(name).iter().any(|word| SHARED.contains(&word.as_str())));
    let party = names.iter().any(|name| vocabulary::is_owner(name));
    let asked = told.iter().any(|expr| {
        project
            .origins(at.to(*expr))
            .has(Origins::SECRET | Origins::PRINCIPAL | Origins::INPUT | Origins::UNVERIFIED)
    });
    shared && !party && !asked
}

fn inner(unit: &Unit, expr: ExprId) -> ExprId {
    match unit.ir.expr(expr) {
        ExprKind::Await(value) => *value,
        _ => expr,
    }
}

/// The names in an expression.
fn names(unit: &Unit, expr: ExprId) -> Vec<String> {
    let mut found = Vec::new();
    walk::exprs_below(&unit.ir, expr, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) => found.push(unit.ir.binding_name(*id).to_owned()),
        ExprKind::Member { property, .. } => found.push(unit.ir.text(*property).to_owned()),
        _ => {}
    });
    found
}

/// Whether a function throws between two moments.
fn refuses(unit: &Unit, id: FunctionId, from: u32, to: u32) -> bool {
    let Some(function) = unit.ir.function(id) else { return true };
    let mut found = false;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        let order = unit.index.stmt_order(stmt);
        found |= matches!(unit.ir.stmt(stmt), StmtKind::Throw(_)) && order > from && order < to;
    });
    found
}
