//! Sessions of an HTTP server that is told nothing of who connects, and whose requests to others carry the process's own credential.

use partywall_model::{Confidence, Severity};

use super::environment_credential::{environment_name, is_operators, is_sent};
use crate::{
    flow::{Lifetimes, Origins},
    ir::{ExprId, ExprKind, Kinds, NameRef, walk},
    library::Role,
    marks,
    project::{At, ModuleId, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Words of credentials that are for the server itself: its door, its keys, its stores, its model.
pub(super) const OWN: &[&str] = &[
    "mcp",
    "server",
    "jwt",
    "session",
    "cookie",
    "webhook",
    "admin",
    "openai",
    "anthropic",
    "gemini",
    "llm",
    "model",
    "sentry",
    "redis",
    "database",
    "db",
    "postgres",
    "encryption",
    "signing",
    "proxy",
    "http",
    "npm",
    "ngrok",
    "telemetry",
    "posthog",
    "bearer",
];

/// Reports where a session's server is made of nothing that the client sent, when the package sends a credential of its own.
pub(super) fn own_sessions(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        let made = unit
            .index
            .calls
            .iter()
            .find_map(|expr| made_alone(project, lives, unit, At { module, expr: *expr }));
        let Some((made, name)) = made.and_then(|made| Some((made, sent_by(project, module)?))) else {
            continue;
        };
        let found =
            report.reached(made, format!("whoever connects acts with `{name}`, which is the process's own"));
        if project.has_owners(module) {
            found.severity(Severity::Medium).confidence(Confidence::Medium);
        } else {
            found.severity(Severity::Low).confidence(Confidence::Low);
        }
    }
}

/// Where a server is made for one request or session, without anything of the request, that this call connects to its transport.
fn made_alone(project: &Project, lives: &Lifetimes<'_>, unit: &Unit, at: At) -> Option<At> {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
    let connects = unit.ir.text(*property) == "connect" && lives.is_per_request(project.function_of(at));
    if !connects || !lives.makes(at.to(call.positional(0)?), &[Role::Transport]) {
        return None;
    }
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object) else { return None };
    let [source] = unit.index.sources(*id) else { return None };
    let mut value = source.value;
    if let ExprKind::Await(inner) = unit.ir.expr(value) {
        value = *inner;
    }
    let ExprKind::Call(maker) = unit.ir.expr(value) else { return None };
    let made = at.to(value);
    let alone = !maker.args.iter().any(|arg| is_of_request(project, unit, at, arg.value));
    (alone && lives.is_per_request(project.function_of(made))).then_some(made)
}

fn is_of_request(project: &Project, unit: &Unit, at: At, expr: ExprId) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, expr, &mut |expr| {
        let value = matches!(
            unit.ir.expr(expr),
            ExprKind::Name(_) | ExprKind::Member { .. } | ExprKind::Call(_) | ExprKind::Function(_)
        );
        let origins = project.origins(at.to(expr));
        found |= value && (origins.is_of_request() || origins.has(Origins::REQUEST));
    });
    found
}

/// The credential of the environment that a package sends to others, when it never says whose the request is.
fn sent_by(project: &Project, module: ModuleId) -> Option<String> {
    let own = project.unit(module).map(|unit| project.package_folder(&unit.ir.path))?;
    let units = || project.units().filter(|(_, unit)| project.package_folder(&unit.ir.path) == own);
    if units().any(|(_, unit)| marks::TELLS.iter().any(|text| unit.ir.source.mentions(text))) {
        return None;
    }
    units().find_map(|(module, unit)| {
        unit.ir.exprs_of(Kinds::MEMBER | Kinds::INDEX | Kinds::CALL).find_map(|(expr, _)| {
            let at = At { module, expr };
            let name = environment_name(project, unit, at)?;
            let words = vocabulary::words(&name);
            let upstream = vocabulary::is_credential(&name)
                && !is_operators(&name)
                && !words.iter().any(|word| OWN.contains(&word.as_str()));
            (upstream && is_sent(project, unit, at, true)).then_some(name)
        })
    })
}
