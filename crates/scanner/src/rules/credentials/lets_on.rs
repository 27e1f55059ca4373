//! Middleware that hands on the credential that a request brings, and lets a request go on that brings none, in a server whose tools then
//! take the process's own: `if token: current.set(token)`, `return await call_next(request)`.

use std::collections::BTreeSet;

use partywall_model::{Confidence, Severity};

use super::beside_callers::Fallen;
use crate::{
    ir::{BindingId, CompareOp, ExprId, ExprKind, Language, LogicalOp, NameRef, StmtId, StmtKind, walk},
    library::Role,
    project::{At, Fun, ModuleId, Project, Unit},
    rules::{
        Report,
        branches::{absent, absent_variable},
        context::frozen_context::{is_middleware, variable},
    },
    vocabulary,
};

/// Reports such middleware: where it refuses only some of those without a credential, or where it goes on.
pub(super) fn lets_on(project: &Project, fallen: &[Fallen], report: &mut Report<'_>) {
    let fallen: Vec<(&Fallen, BTreeSet<String>)> = fallen
        .iter()
        .map(|own| (own, read_by(project, own.test)))
        .filter(|(_, read)| !read.is_empty())
        .collect();
    if fallen.is_empty() {
        return;
    }
    let mut told: BTreeSet<Fun> = BTreeSet::new();
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for (id, stmt) in unit.ir.stmts() {
            let StmtKind::If { test, then, otherwise } = stmt else { continue };
            let fun = Fun { module, id: unit.index.stmt_function(id) };
            let Some(token) = present(unit, *test).filter(|_| !told.contains(&fun)) else { continue };
            if !otherwise.is_empty() || !is_middleware(project, fun) {
                continue;
            }
            let set = set_to(project, unit, module, then, token);
            let Some((own, _)) = fallen.iter().find(|(_, read)| read.iter().any(|name| set.contains(name)))
            else {
                continue;
            };
            let Some(next) = goes_on(project, unit, fun, then, unit.index.order(*test)) else { continue };
            let Some(some) = unrefused(unit, fun, token, unit.index.order(next)) else { continue };
            told.insert(fun);
            let at = At { module, expr: some.unwrap_or(next) };
            report
                .reached(
                    at,
                    format!(
                        "a request that brings no credential goes on, and `{}` of the process acts for it",
                        own.name
                    ),
                )
                .severity(Severity::Medium)
                .confidence(Confidence::Medium)
                .related(own.call.module, project.span(own.call), "the process's own is taken here");
        }
    }
}

/// The context variables that the values of a test are read from, here or in the functions that give them.
fn read_by(project: &Project, test: At) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let Some(unit) = project.unit(test.module) else { return found };
    walk::exprs_below(&unit.ir, test.expr, &mut |expr| {
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) else { return };
        for source in unit.index.sources(*id).iter().take(4) {
            let value = test.to(super::callers_own::awaited(unit, source.value));
            found.extend(named(project, value, Role::ContextGet));
        }
    });
    found
}

/// The context variables that a call reads or sets: itself, or in the function that it calls.
fn named(project: &Project, call: At, role: Role) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let does =
        |at: At| project.callee(at).is_some_and(|callee| callee.defs.iter().any(|def| def.role == role));
    if does(call) {
        found.extend(variable(project, call));
    }
    let Some(callee) = project.callee(call).filter(|callee| callee.certain) else { return found };
    for target in callee.targets.iter().take(2) {
        let Some(unit) = project.unit(target.module) else { continue };
        walk::function_exprs(&unit.ir, target.id, &mut |expr| {
            let at = At { module: target.module, expr };
            if matches!(unit.ir.expr(expr), ExprKind::Call(_)) && does(at) {
                found.extend(variable(project, at));
            }
        });
    }
    found
}

/// The variable that a condition finds there: `if token`, `if token is not None`.
fn present(unit: &Unit, test: ExprId) -> Option<BindingId> {
    match unit.ir.expr(test) {
        ExprKind::Name(NameRef::Binding(id)) => Some(*id),
        ExprKind::Compare { op: CompareOp::NotEq, left, right }
            if matches!(unit.ir.expr(*right), ExprKind::Null) =>
        {
            present(unit, *left)
        }
        _ => None,
    }
}

/// The context variables that a block sets to a variable.
fn set_to(
    project: &Project,
    unit: &Unit,
    module: ModuleId,
    block: &[StmtId],
    token: BindingId,
) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    each_call(unit, block, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        if call.args.iter().any(
            |arg| matches!(unit.ir.expr(arg.value), ExprKind::Name(NameRef::Binding(id)) if *id == token),
        ) {
            found.extend(named(project, At { module, expr }, Role::ContextSet));
        }
    });
    found
}

fn each_call(unit: &Unit, block: &[StmtId], see: &mut dyn FnMut(ExprId)) {
    walk::stmts_below(&unit.ir, block, &mut |stmt| {
        walk::parts(&unit.ir, stmt, &mut |part| {
            let walk::Part::Expr(root) = part else { return };
            walk::exprs_below(&unit.ir, root, &mut |expr| {
                if matches!(unit.ir.expr(expr), ExprKind::Call(_)) {
                    see(expr);
                }
            });
        });
    });
}

/// The call by which a request goes on behind a moment, and not in a block.
fn goes_on(project: &Project, unit: &Unit, fun: Fun, block: &[StmtId], from: u32) -> Option<ExprId> {
    let mut inside = BTreeSet::new();
    each_call(unit, block, &mut |expr| {
        inside.insert(expr);
    });
    let mut found = None;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let next = match project.last_written(At { module: fun.module, expr }) {
            Some("call_next") => true,
            Some("app") => call.args.len() == 3,
            _ => false,
        };
        if next && found.is_none() && unit.index.order(expr) > from && !inside.contains(&expr) {
            found = Some(expr);
        }
    });
    found
}

/// Of a function that lets requests without a credential go on up to a moment, the condition, if there is one, under which it refuses
/// some of them; nothing of a function that refuses them.
fn unrefused(unit: &Unit, fun: Fun, token: BindingId, to: u32) -> Option<Option<ExprId>> {
    let function = unit.ir.function(fun.id)?;
    let mut some = None;
    let mut refused = false;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        let StmtKind::If { test, then, .. } = unit.ir.stmt(stmt) else { return };
        let leaves = then
            .last()
            .is_some_and(|last| matches!(unit.ir.stmt(*last), StmtKind::Return(_) | StmtKind::Throw(_)));
        if !leaves || unit.index.stmt_order(stmt) > to {
            return;
        }
        if !mentions(unit, *test, token) {
            // Whoever comes by has brought another credential.
            refused |= absent_variable(unit, *test)
                .is_some_and(|id| vocabulary::is_credential(unit.ir.binding_name(id)));
            return;
        }
        if wants_another(unit, *test, token) {
            some = some.or(Some(*test));
        } else if present(unit, *test).is_none() {
            refused = true;
        }
    });
    // `token = verified(request)` may refuse by itself.
    let asked = unit.index.sources(token).iter().any(|source| says_check(unit, source.value));
    (!refused && !asked).then_some(some)
}

/// Whether a condition holds only where another credential is missing as well: `not token and not key`.
fn wants_another(unit: &Unit, test: ExprId, token: BindingId) -> bool {
    let ExprKind::Logical { op: LogicalOp::And, left, right } = unit.ir.expr(test) else { return false };
    let other = |side: ExprId| {
        absent_variable(unit, side)
            .is_some_and(|id| id != token && vocabulary::is_credential(unit.ir.binding_name(id)))
    };
    let own = |side: ExprId| absent(unit, side).is_some_and(|value| mentions(unit, value, token));
    (own(*left) && other(*right))
        || (own(*right) && other(*left))
        || wants_another(unit, *left, token)
        || wants_another(unit, *right, token)
}

fn mentions(unit: &Unit, expr: ExprId, id: BindingId) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, expr, &mut |expr| {
        found |= matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(own)) if *own == id);
    });
    found
}

/// Whether a value comes from a function that says that it checks.
fn says_check(unit: &Unit, value: ExprId) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, value, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let name = match unit.ir.expr(call.callee) {
            ExprKind::Member { property, .. } => unit.ir.text(*property),
            ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
            _ => return,
        };
        found |= vocabulary::words(name).iter().any(|word| {
            matches!(word.as_str(), "require" | "verify" | "validate" | "authenticate" | "check" | "ensure")
        });
    });
    found
}
