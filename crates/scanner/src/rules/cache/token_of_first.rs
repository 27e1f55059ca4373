//! A token that an object keeps when it was got for one caller's context, and gives to all who ask: `#cached`, `#exchange ??=
//! this.exchangeFor(context)`. Nothing compares whose it is.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Lifetimes,
    ir::{BindingId, CompareOp, ExprId, ExprKind, FunctionKind, NameRef, StmtKind, walk},
    project::{At, Fun, Parent, Project, Unit},
    rules::Report,
    vocabulary,
};

/// How many variables and fields of a value are followed.
const STEPS: u32 = 5;

/// Names of parameters that carry who calls.
const CARRIERS: &[&str] = &[
    "context",
    "ctx",
    "request",
    "req",
    "session",
    "extra",
    "principal",
    "subject",
    "caller",
    "identity",
    "auth",
];

/// What of such a parameter says nothing of who calls.
const OF_NOBODY: &[&str] = &[
    "signal",
    "log",
    "logger",
    "abort",
    "timeout",
    "env",
    "waitUntil",
    "app",
    "config",
    "settings",
    "state",
];

/// Reports such fields, the first write of each.
pub(super) fn token_of_first(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        let mut told: Vec<(Fun, &str)> = Vec::new();
        for write in &unit.index.writes {
            let fun = Fun { module, id: write.function };
            let Some(name) = own_field(unit, write.place) else { continue };
            let (Some(class), Some(function)) = (project.this_of(fun), unit.ir.function(fun.id)) else {
                continue;
            };
            if function.kind == FunctionKind::Constructor
                || write.updates
                || told.contains(&(fun, name))
                || !gives_credential(unit, fun, name)
                || lives.outlives(class) == Some(false)
                || lives.is_made_for_requests(class)
                || project.is_per_tenant(class)
                || compares(project, unit, fun, name)
            {
                continue;
            }
            let value = At { module, expr: write.value };
            let Some(whom) = got_for(project, unit, fun, value, STEPS) else { continue };
            told.push((fun, name));
            report
                .reached(value, format!("`{name}` is got for one `{whom}`, and given to whoever asks next"))
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// The name of the field of `this` that a place is.
fn own_field(unit: &Unit, place: ExprId) -> Option<&str> {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(place) else { return None };
    matches!(unit.ir.expr(*object), ExprKind::This).then(|| unit.ir.text(*property))
}

/// Whether a function tests a field, and gives a credential that is kept there: the field is named for one, or a part of it is.
fn gives_credential(unit: &Unit, fun: Fun, name: &str) -> bool {
    let Some(function) = unit.ir.function(fun.id) else { return false };
    let mentions = |root: ExprId| {
        let mut found = false;
        walk::exprs_below(&unit.ir, root, &mut |expr| found |= own_field(unit, expr) == Some(name));
        found
    };
    let mut tested = false;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        if let StmtKind::If { test, .. } = unit.ir.stmt(stmt) {
            tested |= mentions(*test);
        }
    });
    let function_says = function.name.is_some_and(|own| vocabulary::is_credential(unit.ir.text(own)));
    tested
        && unit.index.returns(fun.id).iter().any(|expr| {
            let part = match unit.ir.expr(*expr) {
                ExprKind::Member { property, .. } => unit.ir.text(*property),
                _ => "",
            };
            let says = vocabulary::is_credential(name) || vocabulary::is_credential(part) || function_says;
            says && mentions(*expr)
        })
}

/// The parameter that carries who calls, and that a value was asked for with.
fn got_for<'u>(project: &Project, unit: &'u Unit, fun: Fun, value: At, steps: u32) -> Option<&'u str> {
    let steps = steps.checked_sub(1)?;
    let (mut found, mut roots, mut fields) = (None, Vec::new(), Vec::new());
    walk::exprs_below(&unit.ir, value.expr, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) => {
            let own = project.parameter_of(fun.module, *id).is_some_and(|(of, ..)| of == fun);
            if own && is_asked_with(unit, value.expr, expr) && carries(unit, *id) && !is_of_nobody(unit, expr)
            {
                found = Some(unit.ir.binding_name(*id));
            } else if !own && !unit.ir.is_module_level(*id) {
                roots.push(*id);
            }
        }
        ExprKind::Member { .. } => fields.extend(own_field(unit, expr)),
        _ => {}
    });
    if found.is_some() {
        return found;
    }
    let set = unit.index.writes.iter().filter(|write| {
        write.function == fun.id && own_field(unit, write.place).is_some_and(|name| fields.contains(&name))
    });
    let sources = roots.into_iter().flat_map(|id: BindingId| unit.index.sources(id).iter().take(4));
    let own = sources.filter(|source| source.function == fun.id).map(|source| source.value);
    own.chain(set.map(|write| write.value))
        .filter(|next| *next != value.expr)
        .take(8)
        .find_map(|next| got_for(project, unit, fun, value.to(next), steps))
}

/// Whether a name stands in an argument of a call, within a value.
fn is_asked_with(unit: &Unit, value: ExprId, name: ExprId) -> bool {
    let mut here = name;
    while here != value {
        let Parent::Expr(up) = unit.index.parent(here) else { return false };
        if matches!(unit.ir.expr(up), ExprKind::Call(call) if call.args.iter().any(|arg| arg.value == here)) {
            return true;
        }
        here = up;
    }
    false
}

fn carries(unit: &Unit, id: BindingId) -> bool {
    let name = unit.ir.binding_name(id);
    CARRIERS.contains(&name.trim_start_matches('_')) || vocabulary::says_whose(name)
}

/// Whether only such a part of a parameter is taken as is everybody's.
fn is_of_nobody(unit: &Unit, name: ExprId) -> bool {
    let Parent::Expr(up) = unit.index.parent(name) else { return false };
    matches!(unit.ir.expr(up), ExprKind::Member { object, property, .. }
        if *object == name && OF_NOBODY.contains(&unit.ir.text(*property)))
}

/// Whether a function asks whether what is kept is the caller's: by a comparison with something of a parameter, or of one that is named
/// for an owner.
fn compares(project: &Project, unit: &Unit, fun: Fun, name: &str) -> bool {
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let ExprKind::Compare { op: CompareOp::Eq | CompareOp::NotEq, left, right } = unit.ir.expr(expr)
        else {
            return;
        };
        let fixed = |side: ExprId| project.is_fixed(At { module: fun.module, expr: side });
        let kept = |side: ExprId| {
            let mut kept = false;
            walk::exprs_below(&unit.ir, side, &mut |expr| {
                kept |= own_field(unit, expr).is_some_and(|own| {
                    own == name
                        || own.trim_start_matches(['_', '#']).starts_with(name.trim_start_matches(['_', '#']))
                        || vocabulary::says_whose(own)
                });
            });
            kept
        };
        found |= (kept(*left) && !fixed(*right)) || (kept(*right) && !fixed(*left));
    });
    found
}
