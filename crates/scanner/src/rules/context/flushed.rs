//! What many requests have left in a list, and a function takes out at once with the context of whoever happens to run it:
//! `for (const event of buffer.splice(0)) rows.push({ tenant: currentTenant(), ...event })`.

use std::collections::BTreeSet;

use partywall_model::{Confidence, Severity};

use super::lost_context::read_of;
use crate::{
    flow::{Cell, Lifetimes},
    ir::{ExprId, ExprKind, FunctionId, NameRef, StmtId, StmtKind, walk},
    library::Role,
    project::{At, Fun, Project, Step, Unit},
    rules::Report,
};

/// How many calls below the loop the context is looked for.
const DEPTH: u32 = 2;

/// Reports the call that asks for the context, in what runs through such a list.
pub(super) fn flushed(project: &Project, report: &mut Report<'_>) {
    let gets = project.calls_with(Role::ContextGet);
    if !project.units().any(|(module, _)| gets.among(module).next().is_some()) {
        return;
    }
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        for (list, exprs) in loops(unit, &emptying(unit)) {
            let at = At { module, expr: list };
            let fun = project.function_of(at);
            let Some(asked) = exprs.iter().find_map(|expr| asks_context(project, at.to(*expr))) else {
                continue;
            };
            let Some(cell) = kept(&lives, unit, at, 3) else { continue };
            if is_emptied(&lives, unit, fun, &cell) && is_filled_elsewhere(project, &lives, fun, &cell) {
                report
                    .reached(
                        asked,
                        "whoever empties this list is asked for here, and not who left each entry in it",
                    )
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// The functions that set a variable of the module or a field, or take all out of a list.
fn emptying(unit: &Unit) -> BTreeSet<FunctionId> {
    let mut found: BTreeSet<FunctionId> = unit.index.writes.iter().map(|write| write.function).collect();
    for (id, binding) in unit.ir.bindings() {
        if binding.reassigned && unit.ir.is_module_level(id) {
            found.extend(unit.index.sources(id).iter().map(|source| source.function));
        }
    }
    for expr in &unit.index.calls {
        if let ExprKind::Call(call) = unit.ir.expr(*expr)
            && let ExprKind::Member { property, .. } = unit.ir.expr(call.callee)
            && matches!(unit.ir.text(*property), "splice" | "clear")
        {
            found.insert(unit.index.function(*expr));
        }
    }
    found.remove(&FunctionId::MODULE);
    found
}

/// What some functions of a module run through, with the calls that are made for each entry.
fn loops(unit: &Unit, among: &BTreeSet<FunctionId>) -> Vec<(ExprId, Vec<ExprId>)> {
    let mut found = Vec::new();
    for (_, stmt) in unit.ir.stmts() {
        if let StmtKind::ForEach { iter, body, .. } = stmt
            && among.contains(&unit.index.function(*iter))
        {
            found.push((*iter, calls_in(unit, body)));
        }
    }
    for expr in &unit.index.calls {
        let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
        let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { continue };
        if !among.contains(&unit.index.function(*expr))
            || !matches!(unit.ir.text(*property), "map" | "forEach" | "flatMap")
        {
            continue;
        }
        if let Some(ExprKind::Function(inner)) = call.positional(0).map(|arg| unit.ir.expr(arg))
            && let Some(function) = unit.ir.function(*inner)
        {
            found.push((*object, calls_in(unit, &function.body)));
        }
    }
    for (expr, kind) in unit.ir.exprs_of(crate::ir::Kinds::COMPREHENSION) {
        if let ExprKind::Comprehension(own) = kind
            && among.contains(&unit.index.function(expr))
            && let Some(clause) = own.clauses.first()
        {
            let mut calls = Vec::new();
            walk::exprs_below(&unit.ir, own.element, &mut |below| {
                if matches!(unit.ir.expr(below), ExprKind::Call(_)) {
                    calls.push(below);
                }
            });
            found.push((clause.iter, calls));
        }
    }
    found
}

fn calls_in(unit: &Unit, body: &[StmtId]) -> Vec<ExprId> {
    let mut found = Vec::new();
    walk::stmts_below(&unit.ir, body, &mut |stmt| {
        walk::parts(&unit.ir, stmt, &mut |part| {
            if let walk::Part::Expr(root) = part {
                walk::exprs_below(&unit.ir, root, &mut |expr| {
                    if matches!(unit.ir.expr(expr), ExprKind::Call(_)) {
                        found.push(expr);
                    }
                });
            }
        });
    });
    found
}

/// Whether a call asks for the context of the request, or calls what does.
fn asks_context(project: &Project, at: At) -> Option<At> {
    let callee = project.callee(at)?;
    if callee.defs.iter().any(|def| def.role == Role::ContextGet) {
        return Some(at);
    }
    let asks = callee.certain
        && callee.targets.iter().take(2).any(|target| read_of(project, *target, DEPTH).is_some());
    asks.then_some(at)
}

/// The list that outlives requests and that a value is, or is taken out of: `buffer`, `batch` of `const batch = buffer`, `buffer.splice(0)`,
/// `[...buffer]`.
fn kept(lives: &Lifetimes<'_>, unit: &Unit, at: At, steps: u32) -> Option<Cell> {
    let steps = steps.checked_sub(1)?;
    match unit.ir.expr(at.expr) {
        ExprKind::Name(NameRef::Binding(id)) if !unit.ir.is_module_level(*id) => {
            match unit.index.sources(*id) {
                [source] => {
                    let value = match (unit.ir.expr(source.value), source.path.as_ref()) {
                        (_, []) => source.value,
                        // `batch, buffer = buffer, []`
                        (ExprKind::Array { items, .. }, [Step::Item(number)]) => {
                            *items.get(*number as usize)?
                        }
                        _ => return None,
                    };
                    kept(lives, unit, at.to(value), steps)
                }
                _ => None,
            }
        }
        ExprKind::Call(call) => match unit.ir.expr(call.callee) {
            ExprKind::Member { object, property, .. } => {
                matches!(unit.ir.text(*property), "splice" | "slice" | "copy" | "values")
                    .then(|| kept(lives, unit, at.to(*object), steps))?
            }
            ExprKind::Name(NameRef::Global(name)) if matches!(unit.ir.text(*name), "list" | "tuple") => {
                kept(lives, unit, at.to(call.positional(0)?), steps)
            }
            _ => None,
        },
        ExprKind::Array { items, .. } => match items.as_ref() {
            [only] => match unit.ir.expr(*only) {
                ExprKind::Spread(inner) => kept(lives, unit, at.to(*inner), steps),
                _ => None,
            },
            _ => None,
        },
        _ => lives.cell(at),
    }
}

/// Whether a function empties a list, so that it is one for what is yet to do.
fn is_emptied(lives: &Lifetimes<'_>, unit: &Unit, fun: Fun, cell: &Cell) -> bool {
    let is_it = |expr: ExprId| lives.cell(At { module: fun.module, expr }).as_ref() == Some(cell);
    if let Cell::Binding(module, id) = cell
        && *module == fun.module
        && unit.index.sources(*id).iter().any(|source| source.function == fun.id)
    {
        return true;
    }
    if unit.index.writes.iter().any(|write| write.function == fun.id && is_it(write.place)) {
        return true;
    }
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        if let ExprKind::Call(call) = unit.ir.expr(expr)
            && let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee)
        {
            found |= !found && matches!(unit.ir.text(*property), "splice" | "clear") && is_it(*object);
        }
    });
    found
}

/// Whether requests put something into a list in another function.
fn is_filled_elsewhere(project: &Project, lives: &Lifetimes<'_>, fun: Fun, cell: &Cell) -> bool {
    let pushes = project.calls_named(|name| matches!(name, "push" | "append" | "add" | "appendleft"));
    project.units().any(|(module, unit)| {
        pushes.among(module).any(|expr| {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { return false };
            let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return false };
            let own = project.function_of(at);
            own != fun && lives.cell(at.to(*object)).as_ref() == Some(cell) && lives.is_per_request(own)
        })
    })
}
