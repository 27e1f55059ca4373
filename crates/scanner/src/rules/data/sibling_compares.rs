//! Handlers that use an id of the request without looking whose the thing is, where the handlers beside them look it up and compare its
//! owner with the caller.

use std::collections::{BTreeMap, BTreeSet};

use partywall_model::Confidence;

use super::{
    by_id_alone::is_kept,
    callers::{is_caller, is_id, own_code, serves_callers},
    compared::compares_after,
    ignored_caller::{NOTES, is_compared},
    unused_caller::is_given_caller,
};
use crate::{
    flow::{Entry, Origins},
    ir::{BindingId, ExprId, ExprKind, NameRef, Pattern, StmtKind, walk},
    project::{At, Fun, ModuleId, Parent, Project, Unit},
    rules::{Report, asking::may_ask},
    vocabulary,
};

/// How many handlers have to compare before one that does not is told.
const COMPARING: usize = 2;

/// Handlers of a file that take an id of the same name.
#[derive(Default)]
struct Takers {
    /// How many look the thing up and compare.
    comparing: usize,
    /// Where the others hand it on.
    open: Vec<At>,
}

/// Reports such handlers.
pub(super) fn sibling_compares(project: &Project, report: &mut Report<'_>) {
    let mut files: BTreeMap<ModuleId, BTreeMap<String, Takers>> = BTreeMap::new();
    for entry in project.entries().iter().filter(|entry| serves_callers(project, entry)) {
        look(project, entry, files.entry(entry.handler.module).or_default());
    }
    for (name, takers) in files.into_values().flatten() {
        if takers.comparing < COMPARING || takers.open.len() > takers.comparing * 2 {
            continue;
        }
        for at in takers.open {
            report
                .reached(at, format!("`{name}` of the request is handed on here; other handlers of this file look the thing up and compare its owner"))
                .confidence(Confidence::Medium);
        }
    }
}

fn look(project: &Project, entry: &Entry, file: &mut BTreeMap<String, Takers>) {
    let fun = entry.handler;
    let Some(unit) = project.unit(fun.module) else { return };
    let Some(function) = unit.ir.function(fun.id) else { return };
    for parameter in &function.params {
        let Some(id) = parameter.pattern.as_binding() else { continue };
        let name = unit.ir.binding_name(id);
        // `shop_id: int = Depends(shop_of_caller)` is what the caller's own is.
        let of_request =
            unit.index.uses(id).first().is_some_and(|used| {
                project.origins(At { module: fun.module, expr: *used }).has(Origins::INPUT)
            });
        if !of_request || !is_id(name) || vocabulary::words(name).len() < 2 {
            continue;
        }
        match used(project, unit, fun, id) {
            Use::Compared => file.entry(name.to_owned()).or_default().comparing += 1,
            Use::Open(at) if is_given_caller(project, entry) && !is_kept(project, entry) => {
                file.entry(name.to_owned()).or_default().open.push(at);
            }
            _ => {}
        }
    }
}

/// What a handler does with an id.
enum Use {
    /// It looks the thing up and compares its owner.
    Compared,
    /// It hands it on, and nothing that it calls with it can find out who calls.
    Open(At),
    /// Anything else.
    Other,
}

fn used(project: &Project, unit: &Unit, fun: Fun, id: BindingId) -> Use {
    let (mut first, mut told) = (None, false);
    let mut compared = false;
    for here in own_code(project, fun) {
        walk::function_exprs(&unit.ir, here.id, &mut |expr| {
            let at = At { module: fun.module, expr };
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            let mut given = BTreeSet::new();
            for arg in &call.args {
                walk::exprs_below(&unit.ir, arg.value, &mut |below| {
                    if let ExprKind::Name(NameRef::Binding(own)) = unit.ir.expr(below) {
                        given.insert(*own);
                    }
                });
            }
            if !given.contains(&id) {
                return;
            }
            compared |= compares_after(project, at);
            told |= call.args.iter().any(|arg| gives_caller(project, unit, at.to(arg.value)));
            let path = project.written(at);
            let notes = path
                .iter()
                .any(|part| vocabulary::words(part).iter().any(|word| NOTES.contains(&word.as_str())));
            let name = path.last().map_or("", |name| name.as_str());
            let raises = name.starts_with(char::is_uppercase) || call.is_new;
            told |= Project::is_check(name) || (!notes && !raises && finds_out(project, at));
            if !notes && !raises && first.is_none() {
                first = Some(at);
            }
        });
    }
    first = first.or_else(|| put_into(unit, fun, id));
    let compared_itself =
        unit.index.uses(id).iter().any(|used| is_compared(project, At { module: fun.module, expr: *used }));
    match first {
        _ if compared => Use::Compared,
        _ if compared_itself => Use::Other,
        Some(at) if !told && !looks_at_caller(project, fun) => Use::Open(at),
        _ => Use::Other,
    }
}

/// Whether an argument is the caller, or made of it.
fn gives_caller(project: &Project, unit: &Unit, at: At) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        let value =
            matches!(unit.ir.expr(expr), ExprKind::Name(_) | ExprKind::Member { .. } | ExprKind::Call(_));
        found = found || (value && is_caller(project, at.to(expr)));
    });
    found
}

/// Whether what a call calls is a function of ours that may find out who calls.
fn finds_out(project: &Project, at: At) -> bool {
    project.compares_inside(at)
        || project.callee(at).is_some_and(|callee| {
            callee.certain && callee.targets.iter().any(|target| may_ask(project, *target, 3))
        })
}

/// Whether a handler compares anything with the caller.
fn looks_at_caller(project: &Project, fun: Fun) -> bool {
    project.guards(fun).iter().any(|guard| is_caller(project, guard.left) || is_caller(project, guard.right))
}

/// Where an id becomes a part of what the request sent, `data.claim_id = claim_id`, which is then handed on.
fn put_into(unit: &Unit, fun: Fun, id: BindingId) -> Option<At> {
    unit.index.uses(id).iter().find_map(|used| {
        let Parent::Stmt(stmt) = unit.index.parent(*used) else { return None };
        let StmtKind::Assign { target: Pattern::Place(place), value, .. } = unit.ir.stmt(stmt) else {
            return None;
        };
        let into = matches!(unit.ir.expr(*place), ExprKind::Member { .. });
        let at = |expr: ExprId| At { module: fun.module, expr };
        (into && *value == *used).then(|| at(*used))
    })
}
