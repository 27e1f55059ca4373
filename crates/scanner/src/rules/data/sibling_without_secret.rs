//! A tool that changes a thing by its id, where the tools beside it ask the caller for the secret that the thing was made with:
//! `hmac.compare_digest(token, note.token)`.

use std::collections::{BTreeMap, BTreeSet};

use partywall_model::Confidence;

use crate::{
    flow::Origins,
    ir::{BindingId, ExprId, ExprKind, NameRef, walk},
    project::{At, Fun, ModuleId, Project, Unit},
    rules::Report,
    vocabulary,
};

/// First words of tools that take something away from whoever has it.
const TAKES_AWAY: &[&str] = &[
    "archive",
    "unarchive",
    "delete",
    "remove",
    "retire",
    "deregister",
    "unregister",
    "purge",
    "revoke",
    "destroy",
    "restore",
    "close",
    "cancel",
    "wipe",
    "reset",
    "disable",
    "transfer",
    "rename",
];

/// Functions that compare two secrets.
const COMPARES: &[&str] = &["compare_digest", "timingSafeEqual", "constant_time_compare", "safe_compare"];

/// Reports such tools, when one of the same file that does something alike asks for the secret.
pub(super) fn sibling_without_secret(project: &Project, report: &mut Report<'_>) {
    let mut modules: BTreeMap<ModuleId, BTreeSet<Fun>> = BTreeMap::new();
    for entry in project.entries().iter().filter(|entry| matches!(entry.kind.as_str(), "tool" | "http")) {
        if !project.is_operators(entry) && !project.is_checked_before(entry) {
            modules.entry(entry.handler.module).or_default().insert(entry.handler);
        }
    }
    for (module, handlers) in modules {
        let Some(unit) = project.unit(module).filter(|_| project.has_owners(module)) else { continue };
        let away = |fun: &&Fun| {
            let words = vocabulary::words(project.function_name(**fun));
            words.first().is_some_and(|verb| TAKES_AWAY.contains(&verb.as_str()))
        };
        let all: Vec<Fun> = handlers.iter().filter(away).copied().collect();
        let asking: Vec<Fun> =
            all.iter().copied().filter(|fun| secret_of(project, unit, *fun).is_some()).collect();
        let Some(first) = asking.first() else { continue };
        let Some(secret) = secret_of(project, unit, *first) else { continue };
        for fun in all.iter().filter(|fun| !asking.contains(fun)) {
            if !is_told_by_caller_only(project, unit, *fun) {
                continue;
            }
            let span = unit.ir.function(fun.id).map(|function| function.head).unwrap_or_default();
            let name = project.function_name(*first).to_owned();
            report
                .add(
                    module,
                    span,
                    format!(
                        "whoever names the thing does this to it; `{name}` beside it asks for `{secret}`"
                    ),
                )
                .confidence(Confidence::Medium);
        }
    }
}

/// The parameter of a handler that is compared with the secret of what was found.
fn secret_of(project: &Project, unit: &Unit, fun: Fun) -> Option<String> {
    let params = params(unit, fun);
    let mut found = None;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let name = project.last_written(At { module: fun.module, expr }).unwrap_or_default();
        if !COMPARES.contains(&name) {
            return;
        }
        let mut row = false;
        let mut own = None;
        for arg in &call.args {
            walk::exprs_below(&unit.ir, arg.value, &mut |inner| match unit.ir.expr(inner) {
                ExprKind::Member { property, .. } => {
                    row |= vocabulary::is_credential(unit.ir.text(*property))
                }
                ExprKind::Name(NameRef::Binding(id)) if params.contains(id) => own = Some(*id),
                _ => {}
            });
        }
        if row {
            found = found.take().or_else(|| own.map(|id| unit.ir.binding_name(id).to_owned()));
        }
    });
    found
}

fn params(unit: &Unit, fun: Fun) -> Vec<BindingId> {
    let function = unit.ir.function(fun.id);
    function.map_or_else(Vec::new, |function| {
        function.params.iter().filter_map(|own| own.pattern.as_binding()).collect()
    })
}

/// Whether all that decides what a handler changes is what the caller sends: no parameter is a credential, nothing in it is the
/// verified caller or a check, and something is found by an argument.
fn is_told_by_caller_only(project: &Project, unit: &Unit, fun: Fun) -> bool {
    let params = params(unit, fun);
    if params.iter().any(|id| vocabulary::is_credential(unit.ir.binding_name(*id))) {
        return false;
    }
    let (mut found, mut kept) = (false, false);
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: fun.module, expr };
        match unit.ir.expr(expr) {
            ExprKind::Call(call) => {
                kept |= project.last_written(at).is_some_and(Project::is_check)
                    || project.origins(at).has(Origins::PRINCIPAL);
                let sent = |value: ExprId| {
                    matches!(unit.ir.expr(value), ExprKind::Name(NameRef::Binding(id)) if params.contains(id))
                        && project.origins(at.to(value)).has(Origins::INPUT)
                };
                found |= call.args.iter().any(|arg| sent(arg.value));
            }
            ExprKind::Name(_) => kept |= project.origins(at).has(Origins::PRINCIPAL),
            _ => {}
        }
    });
    found && !kept
}
