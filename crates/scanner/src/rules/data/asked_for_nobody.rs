//! Handlers that ask for things of whoever a variable names, which is set to nothing: `user_id = None`, and then
//! `list_projects(user_id=user_id)`.

use partywall_model::{Confidence, Severity};

use super::callers::{own_code, serves_callers};
use crate::{
    ir::{ArgKind, ExprId, ExprKind, NameRef, walk},
    project::{At, Project, Unit},
    rules::Report,
    vocabulary,
};

/// First words of functions that give what there is.
const GIVES: &[&str] =
    &["list", "get", "find", "fetch", "search", "load", "query", "count", "export", "read", "all"];

/// Reports such calls.
pub(super) fn asked_for_nobody(project: &Project, report: &mut Report<'_>) {
    for entry in project.entries().iter().filter(|entry| serves_callers(project, entry)) {
        let fun = entry.handler;
        let Some(unit) = project.unit(fun.module) else { continue };
        for here in own_code(project, fun) {
            walk::function_exprs(&unit.ir, here.id, &mut |expr| {
                let at = At { module: fun.module, expr };
                if let Some(name) = nobody(project, unit, at) {
                    report
                        .reached(
                            at,
                            format!("`{name}` is nothing here, and what is asked for is everybody's"),
                        )
                        .severity(Severity::Medium)
                        .confidence(Confidence::Medium);
                }
            });
        }
    }
}

/// The owner whom a call is told under its name, where that is always nothing.
fn nobody<'u>(project: &Project, unit: &'u Unit, at: At) -> Option<&'u str> {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
    let name = project.last_written(at)?;
    let words = vocabulary::words(name);
    if call.is_new || words.len() < 2 || !words.first().is_some_and(|verb| GIVES.contains(&verb.as_str())) {
        return None;
    }
    let owner = |name: &str| {
        vocabulary::is_owner(name) && vocabulary::words(name).last().is_some_and(|last| last == "id")
    };
    call.args.iter().find_map(|arg| {
        let ArgKind::Keyword(name) = arg.kind else { return None };
        let name = unit.ir.text(name);
        (owner(name) && is_nothing(project, unit, at.to(arg.value))).then_some(name)
    })
}

/// Whether a variable of a function is set to nothing, and to nothing else.
fn is_nothing(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    let null = |value: ExprId| matches!(unit.ir.expr(value), ExprKind::Null);
    let sources = unit.index.sources(*id);
    !unit.ir.is_module_level(*id)
        && project.parameter_of(at.module, *id).is_none()
        && !sources.is_empty()
        && sources.iter().all(|source| source.path.is_empty() && null(source.value))
}
