//! What a request is worked out of: values that a function was asked for with what the caller sent, and that say nothing of it any more.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Cell, Lifetimes, Origins, SharedWrite, compares_what_it_keeps, stands_where_renewed},
    ir::{ExprId, ExprKind, NameRef, walk},
    project::{At, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Why what stays of the first caller leaks: nobody overwrites it.
pub(super) const KEPT: &str =
    "What the first caller left stays, and is what every caller after them is served with.";

/// What to change where something stays of the first caller.
pub(super) const KEEP_FOR_EACH: &str =
    "Make it for each request, or keep it in a bounded map under the verified caller.";

/// How many variables and calls are followed.
const STEPS: u32 = 4;

/// What comes of the caller's request.
const SENT: Origins =
    Origins::INPUT.or(Origins::PRINCIPAL).or(Origins::UNVERIFIED).or(Origins::REQUEST).or(Origins::SECRET);

/// Whether a value is, or is a part of, what a call gave that was asked with what the caller sent: `project.id` of
/// `project = await find_project(user_id(), project_id)`.
pub(super) fn is_worked_out(project: &Project, at: At) -> bool {
    project.unit(at.module).is_some_and(|unit| worked_out(project, unit, at, STEPS))
}

fn worked_out(project: &Project, unit: &Unit, at: At, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    let sent = |expr: ExprId| {
        project.origins(at.to(expr)).has(SENT) || worked_out(project, unit, at.to(expr), steps)
    };
    match unit.ir.expr(at.expr) {
        ExprKind::Await(inner) => worked_out(project, unit, at.to(*inner), steps + 1),
        ExprKind::Member { object, .. } | ExprKind::Index { object, .. } => {
            worked_out(project, unit, at.to(*object), steps)
        }
        ExprKind::Logical { left, right, .. } => {
            [*left, *right].into_iter().any(|side| worked_out(project, unit, at.to(side), steps))
        }
        ExprKind::Call(call) => call.args.iter().take(6).any(|arg| sent(arg.value)),
        ExprKind::Name(NameRef::Binding(id)) if !unit.ir.is_module_level(*id) => {
            let fun = project.function_of(at);
            let own = unit
                .index
                .sources(*id)
                .iter()
                .filter(|source| source.function == fun.id && source.value != at.expr);
            own.take(3).any(|source| worked_out(project, unit, at.to(source.value), steps))
        }
        _ => false,
    }
}

/// Reports a variable of the module that is set to what was worked out for a request, and that the same function reads again after it
/// has waited: `rows = await list(user.id); await touch(user.id); return rows`.
pub(super) fn read_after_waiting(
    project: &Project,
    lives: &Lifetimes<'_>,
    report: &mut Report<'_>,
    write: &SharedWrite,
    name: &str,
) {
    let Some(unit) = project.unit(write.fun.module) else { return };
    if !matches!(write.cell, Cell::Binding(..)) || write.keeps || vocabulary::is_cache(name) {
        return;
    }
    let reads = lives.reads(project, &write.cell);
    let own = || reads.iter().filter(|(_, fun, _)| *fun == write.fun);
    // `if (!found) found = await load(id)` keeps what is there.
    let looked_at = own().any(|(_, _, order)| *order < write.order);
    let later = own().any(|(_, _, order)| {
        *order > write.order && unit.index.waits_between(write.fun.id, write.order, *order)
    });
    let of_caller = || is_worked_out(project, write.value) || is_of_parameter(project, unit, write);
    if looked_at || !later || compares_what_it_keeps(unit, write.fun.id) || !of_caller() {
        return;
    }
    let message = format!(
        "`{name}` outlives the request, is set to what was found for its caller, and read again after the function has waited"
    );
    report
        .add(write.fun.module, write.span, message)
        .severity(Severity::Medium)
        .confidence(Confidence::Medium);
    report.show_way_of_last(write.fun);
}

/// Reports a variable of the module that keeps what was found for the first caller, for all who follow:
/// `rows ??= await list(user.id)`.
pub(super) fn found_for_first(
    project: &Project,
    lives: &Lifetimes<'_>,
    report: &mut Report<'_>,
    write: &SharedWrite,
    name: &str,
) {
    let Some(unit) = project.unit(write.fun.module) else { return };
    if !matches!(write.cell, Cell::Binding(..)) {
        return;
    }
    let reads = lives.reads(project, &write.cell);
    let looked_at = || reads.iter().any(|(_, fun, order)| *fun == write.fun && *order < write.order);
    if !(write.keeps || looked_at())
        || compares_what_it_keeps(unit, write.fun.id)
        || !is_found_for_owner(project, unit, write.value)
    {
        return;
    }
    let is_read =
        |expr: ExprId| reads.iter().any(|(at, ..)| at.module == write.value.module && at.expr == expr);
    if stands_where_renewed(unit, write.value.expr, &is_read, &project.roots(write.value)) {
        return;
    }
    let message = format!(
        "`{name}` outlives the request and keeps what was found for the first caller, for all who follow"
    );
    report
        .add(write.fun.module, write.span, message)
        .severity(Severity::Medium)
        .confidence(Confidence::Medium)
        .why(KEPT)
        .fix(KEEP_FOR_EACH);
    report.show_way_of_last(write.fun);
}

/// Whether a value is what a call gave that was told the owner.
fn is_found_for_owner(project: &Project, unit: &Unit, value: At) -> bool {
    match unit.ir.expr(value.expr) {
        ExprKind::Await(inner) => is_found_for_owner(project, unit, value.to(*inner)),
        ExprKind::Logical { right, .. } => is_found_for_owner(project, unit, value.to(*right)),
        ExprKind::Call(call) if !call.is_new => call.args.iter().take(6).any(|arg| {
            let mut owner = false;
            walk::exprs_below(&unit.ir, arg.value, &mut |expr| {
                let name = match unit.ir.expr(expr) {
                    ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
                    ExprKind::Member { property, .. } => unit.ir.text(*property),
                    _ => return,
                };
                // `auth: { user, pass }` of the server's own settings names nobody.
                owner |= (vocabulary::is_owner(name) && vocabulary::words(name).len() > 1)
                    || project.origins(value.to(expr)).has(Origins::PRINCIPAL);
            });
            owner
        }),
        _ => false,
    }
}

/// First words of functions that set up what is there for all.
const SETS_UP: &[&str] = &[
    "init",
    "initialize",
    "initialise",
    "start",
    "setup",
    "set",
    "configure",
    "connect",
    "boot",
    "bootstrap",
    "main",
    "run",
    "load",
    "register",
    "open",
    "reload",
    "refresh",
];

/// Whether a value is made of a part of what the function was called with, which is no setting up.
fn is_of_parameter(project: &Project, unit: &Unit, write: &SharedWrite) -> bool {
    let name = project.function_name(write.fun);
    if vocabulary::words(name).first().is_some_and(|verb| SETS_UP.contains(&verb.as_str())) {
        return false;
    }
    let mut part = false;
    walk::exprs_below(&unit.ir, write.value.expr, &mut |expr| {
        let (ExprKind::Member { object, .. } | ExprKind::Index { object, .. }) = unit.ir.expr(expr) else {
            return;
        };
        if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object)
            && let Some((fun, ..)) = project.parameter_of(write.value.module, *id)
        {
            part |= fun == write.fun
                && !matches!(
                    unit.ir.binding_name(*id),
                    "self" | "cls" | "config" | "settings" | "options" | "env" | "app" | "server"
                );
        }
    });
    part
}
