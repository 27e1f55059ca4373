//! A credential that is found by the id of a thing, in a function that was told whose it has to be: `get_token_of_thread(thread_id)`
//! beside `login`.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Origins,
    ir::{Call, ExprKind, NameRef, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Verbs of calls that find a credential.
const FINDS: &[&str] = &["get", "find", "fetch", "load", "read", "lookup", "retrieve"];

/// Words of what a credential may be kept for by others than the one who is meant.
const THINGS: &[&str] = &[
    "thread",
    "conversation",
    "chat",
    "run",
    "job",
    "task",
    "channel",
    "room",
    "project",
    "repo",
    "repository",
];

/// Reports such calls.
pub(super) fn by_other(project: &Project, report: &mut Report<'_>) {
    let likely = project.calls_named(|name| {
        let words = vocabulary::words(name);
        words.first().is_some_and(|verb| FINDS.contains(&verb.as_str()))
            && words
                .iter()
                .any(|word| matches!(word.as_str(), "token" | "tokens" | "credential" | "credentials"))
    });
    for (module, unit) in project.units() {
        for expr in likely.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let fun = project.function_of(at);
            let Some(party) = told(unit, fun) else { continue };
            if by_thing(project, unit, at, call) && is_given(project, unit, at) {
                report
                    .reached(at, format!("this credential is found by the id of a thing, whoever left it there, and `{party}` is not compared"))
                    .severity(Severity::Low)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// A parameter of a function that says who is meant.
fn told(unit: &Unit, fun: Fun) -> Option<&str> {
    let function = unit.ir.function(fun.id)?;
    function.params.iter().filter_map(|parameter| parameter.name).map(|name| unit.ir.text(name)).find(
        |name| {
            let login = vocabulary::words(name).last().is_some_and(|word| word == "login" || word == "email");
            login || vocabulary::is_user(name) || vocabulary::is_principal(name)
        },
    )
}

/// Whether a call is told an id of a thing and nobody.
fn by_thing(project: &Project, unit: &Unit, at: At, call: &Call) -> bool {
    let mut thing = false;
    let mut whose = false;
    for arg in &call.args {
        walk::exprs_below(&unit.ir, arg.value, &mut |expr| {
            let name = match unit.ir.expr(expr) {
                ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
                ExprKind::Member { property, .. } => unit.ir.text(*property),
                _ => return,
            };
            thing |= vocabulary::words(name).iter().any(|word| THINGS.contains(&word.as_str()));
            whose |= vocabulary::is_owner(name) || vocabulary::is_principal(name) || name.ends_with("login");
        });
        whose |= project.origins(at.to(arg.value)).has(Origins::PRINCIPAL);
    }
    thing && !whose
}

/// Whether the function gives what it found, or a part of it.
fn is_given(project: &Project, unit: &Unit, at: At) -> bool {
    let fun = project.function_of(at);
    let Some(stmt) = unit.index.stmt_of(at.expr) else { return false };
    let crate::ir::StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return false };
    let mut own = Vec::new();
    target.for_each_binding(&mut |id| own.push(id));
    unit.index.returns(fun.id).iter().any(|value| {
        let mut gives = false;
        walk::exprs_below(&unit.ir, *value, &mut |expr| {
            gives |= matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if own.contains(id));
        });
        gives
    })
}
