//! A field of an object that keeps what was made with the credential of whoever came first:
//! `if not self._client: self._client = Client(key=caller().key)`.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Lifetimes, Origins, compares_what_it_keeps, stands_where_renewed},
    ir::{ExprId, ExprKind, FunctionKind, NameRef, StmtKind, walk},
    library::{CallDef, Origin, Role},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// How many variables of a value are followed.
const STEPS: u32 = 4;

/// Reports such fields. Those of objects that requests are seen to share have a rule of their own, which tells when they are read.
pub(super) fn first_caller_field(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        for write in &unit.index.writes {
            let fun = Fun { module, id: write.function };
            let place = At { module, expr: write.place };
            let value = At { module, expr: write.value };
            let ExprKind::Member { object, property, .. } = unit.ir.expr(write.place) else { continue };
            let (name, Some(class)) = (unit.ir.text(*property), project.this_of(fun)) else { continue };
            let constructor =
                unit.ir.function(fun.id).is_none_or(|function| function.kind == FunctionKind::Constructor);
            if !matches!(unit.ir.expr(*object), ExprKind::This)
                || constructor
                || write.updates
                || !is_kept(unit, fun, name)
                || lives.is_made_for_requests(class)
                || project.is_per_tenant(class)
            {
                continue;
            }
            let is_kept = |expr: ExprId| matches!(unit.ir.expr(expr), ExprKind::Member { property: own, .. } if own == property);
            if compares_what_it_keeps(unit, fun.id)
                || stands_where_renewed(unit, write.value, &is_kept, &project.roots(value))
            {
                continue;
            }
            let shared = lives.outlives(class) == Some(true);
            // What a request itself puts there has a rule of its own.
            let put = lives.is_per_request(fun) && lives.cell(place).is_some();
            if let Some(whom) = made_for(project, unit, fun, value, STEPS)
                .filter(|_| shared && !(put && project.origins(value).is_of_request()))
            {
                report
                    .reached(
                        value,
                        format!("`{name}` is worked out for one `{whom}`, and given to all that follow"),
                    )
                    .severity(Severity::High)
                    .confidence(Confidence::Medium);
                continue;
            }
            let Some(asked) = asked_for_caller(project, unit, fun, value, STEPS).filter(|_| !put) else {
                continue;
            };
            if !is_made_with_credential(project, unit, value, STEPS) {
                continue;
            }
            report
                .reached(value, format!("`{name}` is made with the credential of whoever calls first, and kept for all that follow"))
                .severity(if shared { Severity::High } else { Severity::Medium })
                .confidence(Confidence::Medium)
                .related(asked.module, project.span(asked), "the caller is asked for here");
        }
    }
}

/// The parameter of a method that says for whom a value is worked out: `await db.scalar(select(…).where(Cost.user_id == user_id))`.
fn made_for<'u>(project: &Project, unit: &'u Unit, fun: Fun, value: At, steps: u32) -> Option<&'u str> {
    let steps = steps.checked_sub(1)?;
    let (mut found, mut asks, mut roots) = (None, false, Vec::new());
    walk::exprs_below(&unit.ir, value.expr, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Call(_) => asks = true,
        ExprKind::Name(NameRef::Binding(id)) => {
            let name = unit.ir.binding_name(*id);
            let own = project.parameter_of(fun.module, *id).is_some_and(|(of, ..)| of == fun);
            if own && vocabulary::says_whose(name) {
                found = Some(name);
            } else if !own && !unit.ir.is_module_level(*id) {
                roots.push(*id);
            }
        }
        _ => {}
    });
    if asks && found.is_some() {
        return found;
    }
    let sources = roots.into_iter().flat_map(|id| unit.index.sources(id).iter().take(4));
    let own = sources.filter(|source| source.function == fun.id && source.value != value.expr);
    own.take(8).find_map(|source| made_for(project, unit, fun, value.to(source.value), steps))
}

/// Whether a method looks whether a field has something, and gives what is there.
fn is_kept(unit: &Unit, fun: Fun, name: &str) -> bool {
    let Some(function) = unit.ir.function(fun.id) else { return false };
    let mentions = |root: ExprId| {
        let mut found = false;
        walk::exprs_below(&unit.ir, root, &mut |expr| {
            found |= matches!(unit.ir.expr(expr), ExprKind::Member { object, property, .. }
                if unit.ir.text(*property) == name && matches!(unit.ir.expr(*object), ExprKind::This));
        });
        found
    };
    let mut tested = false;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        if let StmtKind::If { test, .. } = unit.ir.stmt(stmt) {
            tested |= mentions(*test);
        }
    });
    tested && unit.index.returns(fun.id).iter().any(|expr| mentions(*expr))
}

/// Where a method asks, for a value, who calls: by a call that is given nothing of a caller.
fn asked_for_caller(project: &Project, unit: &Unit, fun: Fun, value: At, steps: u32) -> Option<At> {
    let steps = steps.checked_sub(1)?;
    let mut found = None;
    let mut roots = Vec::new();
    walk::exprs_below(&unit.ir, value.expr, &mut |expr| {
        let at = value.to(expr);
        match unit.ir.expr(expr) {
            ExprKind::Call(call) if found.is_none() && !call.is_new => {
                let told = call.args.iter().any(|arg| project.origins(at.to(arg.value)).is_of_request());
                if !told && project.origins(at).has(Origins::PRINCIPAL) && asks_around(project, at, STEPS) {
                    found = Some(at);
                }
            }
            ExprKind::Name(NameRef::Binding(id)) if !unit.ir.is_module_level(*id) => roots.push(*id),
            _ => {}
        }
    });
    found.or_else(|| {
        let sources = roots.into_iter().flat_map(|id| unit.index.sources(id).iter().take(6));
        let own = sources.filter(|source| source.function == fun.id && source.value != value.expr);
        own.take(12).find_map(|source| asked_for_caller(project, unit, fun, value.to(source.value), steps))
    })
}

/// Whether a call finds out who calls from what is around it: from a context variable or the framework, itself or further down.
pub(in crate::rules) fn asks_around(project: &Project, at: At, steps: u32) -> bool {
    let (Some(steps), Some(callee)) = (steps.checked_sub(1), project.callee(at)) else { return false };
    let said = |def: &CallDef| def.role == Role::ContextGet || def.is == Some(Origin::Principal);
    if callee.defs.iter().any(|def| said(def)) {
        return true;
    }
    callee.certain
        && callee.targets.iter().take(2).any(|target| {
            let Some(unit) = project.unit(target.module) else { return false };
            let mut found = false;
            walk::function_exprs(&unit.ir, target.id, &mut |expr| {
                found = found
                    || (matches!(unit.ir.expr(expr), ExprKind::Call(_))
                        && asks_around(project, At { module: target.module, expr }, steps));
            });
            found
        })
}

/// Whether a value is what a call makes of a credential of the caller.
fn is_made_with_credential(project: &Project, unit: &Unit, value: At, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    let ExprKind::Call(call) = unit.ir.expr(value.expr) else {
        return match unit.ir.expr(value.expr) {
            ExprKind::Await(inner) => is_made_with_credential(project, unit, value.to(*inner), steps),
            ExprKind::Name(NameRef::Binding(id)) => unit
                .index
                .sources(*id)
                .iter()
                .take(4)
                .any(|source| is_made_with_credential(project, unit, value.to(source.value), steps)),
            _ => false,
        };
    };
    call.args.iter().any(|arg| {
        let mut named = match arg.kind {
            crate::ir::ArgKind::Keyword(name) => vocabulary::is_credential(unit.ir.text(name)),
            _ => false,
        };
        walk::exprs_below(&unit.ir, arg.value, &mut |expr| {
            named |= match unit.ir.expr(expr) {
                ExprKind::Name(NameRef::Binding(id)) => vocabulary::is_credential(unit.ir.binding_name(*id)),
                ExprKind::Member { property, .. } => vocabulary::is_credential(unit.ir.text(*property)),
                _ => false,
            };
        });
        named
            && project
                .origins(value.to(arg.value))
                .has(Origins::PRINCIPAL | Origins::SECRET | Origins::UNVERIFIED)
    })
}
