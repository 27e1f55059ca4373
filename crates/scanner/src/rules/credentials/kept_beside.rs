//! A client with the process's own credential that an object keeps for all, while the object knows how to ask for the caller's:
//! `self._client = Client(api_key=config.api_key)` beside a `get_api_key()` that reads the request.

use partywall_model::{Confidence, Severity};

use super::callers_own::own_credential;
use crate::{
    flow::Origins,
    ir::{ArgKind, ExprId, ExprKind, FunctionId, FunctionKind, walk},
    project::{At, Cls, Fun, Project, Symbol, Unit},
    rules::Report,
    vocabulary,
};

/// Reports such fields, where they are made.
pub(super) fn kept_beside(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for write in &unit.index.writes {
            let fun = Fun { module, id: write.function };
            let ExprKind::Member { object, property, .. } = unit.ir.expr(write.place) else { continue };
            let constructor =
                unit.ir.function(fun.id).is_some_and(|function| function.kind == FunctionKind::Constructor);
            if !constructor || !matches!(unit.ir.expr(*object), ExprKind::This) {
                continue;
            }
            let value = At { module, expr: write.value };
            let Some(own) = made_with_own(project, unit, value) else { continue };
            let (Some(class), field) = (project.this_of(fun), unit.ir.text(*property)) else { continue };
            if project.is_per_tenant(class) {
                continue;
            }
            let Some(asks) = asks_caller(project, class) else { continue };
            if !is_used(project, class, field) {
                continue;
            }
            let name = project.function_name(asks).to_owned();
            let head = project
                .unit(asks.module)
                .and_then(|unit| unit.ir.function(asks.id))
                .map(|function| function.head);
            report
                .reached(value, format!("`{field}` acts with `{own}`, which is the process's own, for callers whose credential `{name}` would give"))
                .severity(Severity::Medium)
                .confidence(Confidence::Medium)
                .related(asks.module, head.unwrap_or_default(), "the caller's is asked for here");
        }
    }
}

/// The credential of the settings that a call is given as one.
fn made_with_own(project: &Project, unit: &Unit, value: At) -> Option<String> {
    let ExprKind::Call(call) = unit.ir.expr(value.expr) else { return None };
    call.args.iter().find_map(|arg| {
        let ArgKind::Keyword(name) = arg.kind else { return None };
        if !vocabulary::is_credential(unit.ir.text(name)) {
            return None;
        }
        let mut own = None;
        walk::exprs_below(&unit.ir, arg.value, &mut |expr| {
            own = own.take().or_else(|| own_credential(project, unit, value.to(expr)));
        });
        own
    })
}

/// The method of a class, or of one that it extends, that is named for a credential and looks at what the caller brought.
fn asks_caller(project: &Project, class: Cls) -> Option<Fun> {
    let mut open = vec![class];
    let mut seen: Vec<Cls> = Vec::new();
    while let Some(class) = open.pop().filter(|_| seen.len() < 8) {
        let unit = project.unit(class.module)?;
        let decl = unit.ir.class(class.id)?;
        seen.push(class);
        let asks = decl.methods.iter().map(|id| Fun { module: class.module, id: *id }).find(|fun| {
            let gives = vocabulary::is_credential(project.function_name(*fun));
            gives && !unit.index.returns(fun.id).is_empty() && looks_at_caller(project, unit, fun.id, class)
        });
        if asks.is_some() {
            return asks;
        }
        open.extend(decl.bases.iter().filter_map(|base| {
            match project.symbol(At { module: class.module, expr: *base }) {
                Symbol::Class(base) if !seen.contains(&base) => Some(base),
                _ => None,
            }
        }));
    }
    None
}

fn looks_at_caller(project: &Project, unit: &Unit, function: FunctionId, class: Cls) -> bool {
    let mut found = false;
    walk::function_exprs(&unit.ir, function, &mut |expr: ExprId| {
        if !found && matches!(unit.ir.expr(expr), ExprKind::Call(_) | ExprKind::Name(_)) {
            let origins = project.origins(At { module: class.module, expr });
            found = origins.has(Origins::PRINCIPAL | Origins::UNVERIFIED);
        }
    });
    found
}

/// Whether a method of a class other than its constructor uses a field.
fn is_used(project: &Project, class: Cls, field: &str) -> bool {
    let Some(unit) = project.unit(class.module) else { return false };
    let Some(decl) = unit.ir.class(class.id) else { return false };
    decl.methods.iter().any(|id| {
        let constructor =
            unit.ir.function(*id).is_none_or(|function| function.kind == FunctionKind::Constructor);
        let mut found = false;
        walk::function_exprs(&unit.ir, *id, &mut |expr| {
            found |= matches!(unit.ir.expr(expr), ExprKind::Member { object, property, .. }
                if unit.ir.text(*property) == field && matches!(unit.ir.expr(*object), ExprKind::This));
        });
        found && !constructor
    })
}
