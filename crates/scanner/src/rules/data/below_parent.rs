//! Rows below a thing that the request names by its id, in a handler that knows who calls: it neither looks the thing up nor tells the
//! caller to whoever does. `await votesOf(chatId)` after `const session = await auth()`.

use std::collections::BTreeSet;

use partywall_model::Confidence;

use super::{
    callers::{asks_itself, is_caller, is_id, own_code},
    compared::compares_after,
    foreign_parent::{Rows, is_asked_for},
};
use crate::{
    flow::{Origins, Query, Scope, singular},
    ir::{ExprId, ExprKind, walk},
    lang::sql::Verb,
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// How many functions are gone into from a handler's call.
const DEPTH: u32 = 2;

/// Reports where a handler asks for such rows.
pub(super) fn below_parent(project: &Project, rows: &Rows<'_>, report: &mut Report<'_>) {
    for entry in project.entries().iter().filter(|entry| entry.kind == "http" || entry.kind == "tool") {
        let Some(unit) = project.unit(entry.handler.module) else { continue };
        if project.is_operators(entry)
            || project.is_public(entry)
            || project.is_checked_before(entry)
            || !project.has_owners(entry.handler.module)
        {
            continue;
        }
        let code = own_code(project, entry.handler);
        if !knows_caller(project, unit, entry.handler, &code) {
            continue;
        }
        let mut told = BTreeSet::new();
        for here in &code {
            walk::function_exprs(&unit.ir, here.id, &mut |expr| {
                let at = At { module: here.module, expr };
                let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
                for (value, name, entity) in
                    call.args.iter().flat_map(|arg| ids_in(project, unit, at.to(arg.value)))
                {
                    if !rows.has_owner(&entity)
                        || told.contains(&name)
                        || !reaches_rows(project, rows, at, &entity)
                        || is_looked_at(project, rows, unit, &code, value, &entity)
                    {
                        continue;
                    }
                    report
                        .reached(
                            at,
                            format!(
                                "these rows hang below what `{name}` of the request names, and nobody looks whose that is"
                            ),
                        )
                        .confidence(Confidence::Medium);
                    told.insert(name);
                }
            });
        }
    }
}

/// Whether a handler is told who calls, or asks for it.
fn knows_caller(project: &Project, unit: &Unit, handler: Fun, code: &[Fun]) -> bool {
    let told = unit.ir.function(handler.id).is_some_and(|function| {
        let names = function.params.iter().filter_map(|parameter| parameter.name);
        names
            .map(|name| unit.ir.text(name))
            .any(|name| vocabulary::is_principal(name) || vocabulary::is_user(name) || name == "user")
    });
    told || code.iter().any(|fun| {
        let mut found = asks_itself(project, *fun);
        walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
            let likely = matches!(unit.ir.expr(expr), ExprKind::Member { .. });
            found = found || (likely && is_caller(project, At { module: fun.module, expr }));
        });
        found
    })
}

/// The ids of things that the request names in an argument, with what they are called and of what they are.
fn ids_in(project: &Project, unit: &Unit, argument: At) -> Vec<(At, String, String)> {
    let values: Vec<ExprId> = match unit.ir.expr(argument.expr) {
        ExprKind::Object(properties) => properties.iter().map(|property| property.value).collect(),
        _ => vec![argument.expr],
    };
    let values = values.into_iter().filter(|value| {
        matches!(unit.ir.expr(*value), ExprKind::Name(_) | ExprKind::Member { .. } | ExprKind::Call(_))
    });
    values
        .filter_map(|value| {
            let at = argument.to(value);
            let name = project.written(at).pop()?.to_string();
            let words = vocabulary::words(&name).to_vec();
            let (_, before) = words.split_last().filter(|(_, before)| !before.is_empty())?;
            let chosen = project.origins(at).has(Origins::INPUT) && !project.is_checked(at);
            (is_id(&name) && chosen).then(|| (at, name, singular(&before.join("_"))))
        })
        .collect()
}

/// Whether a call asks for rows of something else by what it is told, here or in a function of ours that it calls.
fn reaches_rows(project: &Project, rows: &Rows<'_>, call: At, entity: &str) -> bool {
    let other = |query: &Query| {
        query.verb != Verb::Insert
            && query.scope == Scope::None
            && !query.tied
            && !query.entity.ends_with(entity)
            && query.filters.iter().any(|filter| !project.is_fixed(*filter))
    };
    if rows.at(call).is_some_and(other) {
        return true;
    }
    let Some(callee) = project.callee(call).filter(|callee| callee.certain) else { return false };
    callee.targets.iter().take(4).any(|target| asks_below(project, rows, *target, &other, DEPTH))
}

fn asks_below(
    project: &Project,
    rows: &Rows<'_>,
    fun: Fun,
    holds: &impl Fn(&Query) -> bool,
    depth: u32,
) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    let code = own_code(project, fun);
    let mut own = code.iter().flat_map(|fun| rows.of(*fun)).peekable();
    if own.peek().is_some() {
        // All that the function asks for: one query that says whose is a look at the parent.
        return own.all(holds);
    }
    let Some(unit) = project.unit(fun.module) else { return false };
    let mut found = false;
    for here in code {
        walk::function_exprs(&unit.ir, here.id, &mut |expr| {
            if found || !matches!(unit.ir.expr(expr), ExprKind::Call(_)) {
                return;
            }
            let callee = project.callee(At { module: here.module, expr }).filter(|callee| callee.certain);
            found = callee.is_some_and(|callee| {
                callee.targets.iter().take(2).any(|target| asks_below(project, rows, *target, holds, depth))
            });
        });
    }
    found
}

/// Whether a handler looks whose thing an id names: it asks for the thing, hands the id on with the caller, or compares what another
/// function gave for it.
pub(super) fn is_looked_at(
    project: &Project,
    rows: &Rows<'_>,
    unit: &Unit,
    code: &[Fun],
    value: At,
    entity: &str,
) -> bool {
    if rows.asks(code, entity) || is_asked_for(project, unit, code, value) {
        return true;
    }
    let written = project.written(value).join(".");
    let names = |expr: ExprId| {
        let mut found = false;
        walk::exprs_below(&unit.ir, expr, &mut |below| {
            found |= matches!(unit.ir.expr(below), ExprKind::Name(_) | ExprKind::Member { .. })
                && project.written(value.to(below)).join(".") == written;
        });
        found
    };
    code.iter().any(|fun| {
        let mut found = false;
        walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            let at = At { module: fun.module, expr };
            if found || !call.args.iter().any(|arg| names(arg.value)) {
                return;
            }
            let name = project.last_written(at).unwrap_or_default();
            // What the thing is asked for by its name, `getChat(id)`, may refuse by itself.
            found =
                compares_after(project, at) || Project::is_check(name) || singular(name).ends_with(entity);
        });
        found
    })
}
