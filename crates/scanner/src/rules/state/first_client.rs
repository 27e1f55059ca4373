//! A client that is made with somebody's credential when it is needed first, and kept for all who come after:
//! `client ??= new Client({ key: account.connection.apiKey })`, where it is not seen how the account was found.

use partywall_model::{Confidence, Severity};

use super::worked_out::{KEEP_FOR_EACH, KEPT};
use crate::{
    flow::{Lifetimes, Origins, SharedWrite, is_credential_itself},
    ir::{ExprId, ExprKind, NameRef, walk},
    project::{At, Project, Unit},
    rules::Report,
    tenancy::Tenancy,
    vocabulary,
};

/// Last words of what holds the process's own settings.
const SETTINGS: &[&str] =
    &["config", "configuration", "settings", "env", "environment", "options", "opts", "secrets", "defaults"];

/// Reports such a write, which nothing says to be the request's.
pub(super) fn first_client(
    project: &Project,
    lives: &Lifetimes<'_>,
    report: &mut Report<'_>,
    write: &SharedWrite,
    name: &str,
) {
    let module = write.fun.module;
    let Some(unit) = project.unit(module) else { return };
    if project.tenancy_of(module) != Tenancy::Multi || !project.has_owners(module) {
        return;
    }
    // `if (!client) client = make(token)`: the test reads what an earlier request has left.
    let kept = || {
        let reads = lives.reads(project, &write.cell);
        reads.iter().any(|(_, fun, order)| *fun == write.fun && *order < write.order)
    };
    if !makes_client(unit, write.value.expr) || !(write.keeps || kept()) {
        return;
    }
    let Some(credential) = credential_of_somebody(project, unit, write.value) else { return };
    report
        .add(
            module,
            write.span,
            format!("`{name}` is made with the `{credential}` of whoever came first, and found there by all who follow"),
        )
        .severity(Severity::Medium)
        .confidence(Confidence::Medium)
        .why(KEPT)
        .fix(KEEP_FOR_EACH);
    report.show_way_of_last(write.fun);
}

/// Whether a value is made by a class or by what is named for making one.
fn makes_client(unit: &Unit, value: ExprId) -> bool {
    match unit.ir.expr(value) {
        ExprKind::Await(inner) => makes_client(unit, *inner),
        ExprKind::Logical { right, .. } => makes_client(unit, *right),
        ExprKind::Call(call) => {
            let name = match unit.ir.expr(call.callee) {
                ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
                ExprKind::Name(NameRef::Global(name)) => unit.ir.text(*name),
                ExprKind::Member { property, .. } => unit.ir.text(*property),
                _ => return false,
            };
            let makes = || {
                let words = vocabulary::words(name);
                words.first().is_some_and(|verb| {
                    matches!(verb.as_str(), "create" | "make" | "build" | "connect" | "init" | "new")
                })
            };
            call.is_new || name.starts_with(char::is_uppercase) || makes()
        }
        _ => false,
    }
}

/// The credential that a value is made with, when it is a part of what the function has of somebody, or was given to it so.
fn credential_of_somebody(project: &Project, unit: &Unit, value: At) -> Option<String> {
    let mut found = None;
    walk::exprs_below(&unit.ir, value.expr, &mut |expr| {
        let (name, root) = match unit.ir.expr(expr) {
            ExprKind::Member { object, property, .. } => (unit.ir.text(*property), *object),
            ExprKind::Name(NameRef::Binding(id)) => (unit.ir.binding_name(*id), expr),
            _ => return,
        };
        let at = value.to(expr);
        let fixed = || {
            let origins = project.origins(at);
            origins.has(Origins::ENV) || origins == Origins::CONSTANT
        };
        if found.is_none()
            && is_credential_itself(name)
            && is_of_somebody(unit, root)
            && !is_worked_out_of_settings(project, at)
            && !fixed()
        {
            found = Some(name.to_owned());
        }
    });
    found
}

/// Whether a value begins at a parameter or variable of a function that is not named for settings.
fn is_of_somebody(unit: &Unit, mut expr: ExprId) -> bool {
    loop {
        match unit.ir.expr(expr) {
            ExprKind::Member { object, property, .. } => {
                if is_of_settings(unit.ir.text(*property)) {
                    return false;
                }
                expr = *object;
            }
            ExprKind::Name(NameRef::Binding(id)) => {
                return !unit.ir.is_module_level(*id) && !is_of_settings(unit.ir.binding_name(*id));
            }
            _ => return false,
        }
    }
}

fn is_of_settings(name: &str) -> bool {
    vocabulary::words(name).last().is_some_and(|word| SETTINGS.contains(&word.as_str()))
}

/// Whether a value comes, by a step or two, out of settings, or of a call that is told nobody: `const key = await getSecret("KEY")`.
fn is_worked_out_of_settings(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return true };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    // A parameter is what callers know of; of a variable it has to be seen that it is a part of something.
    if project.parameter_of(at.module, *id).is_some() {
        return false;
    }
    let sources = unit.index.sources(*id);
    sources.is_empty()
        || sources.iter().any(|source| {
            let mut somebody = false;
            walk::exprs_below(&unit.ir, source.value, &mut |expr| {
                if let ExprKind::Member { object, property, .. } = unit.ir.expr(expr) {
                    somebody |=
                        vocabulary::is_credential(unit.ir.text(*property)) && is_of_somebody(unit, *object);
                }
            });
            !somebody
        })
}
