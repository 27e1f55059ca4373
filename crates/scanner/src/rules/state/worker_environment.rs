//! The environment of a worker, which all requests of its process are given, changed by one of them: `c.env.API_KEY = key`.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{ExprId, ExprKind, NameRef, StmtKind, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
};

/// How many statements up a branch is looked for.
const STEPS: usize = 6;

/// Where the environment stands among what a worker's `fetch` is called with.
const ENVIRONMENT: usize = 1;

/// Reports such writes, of what a request brings or by what it says.
pub(super) fn worker_environment(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    // On Node each request has an environment of its own.
    if project.units().any(|(_, unit)| unit.ir.has_name(&["@hono/node-server"])) {
        return;
    }
    for (module, unit) in project.units() {
        for write in &unit.index.writes {
            let place = At { module, expr: write.place };
            let ExprKind::Member { object, .. } = unit.ir.expr(write.place) else { continue };
            let fun = Fun { module, id: write.function };
            if !is_environment(project, unit, place.to(*object)) || !lives.is_per_request(fun) {
                continue;
            }
            let brought = |origins: Origins| {
                origins.has(
                    Origins::INPUT
                        | Origins::UNVERIFIED
                        | Origins::PRINCIPAL
                        | Origins::SECRET
                        | Origins::SESSION,
                )
            };
            if brought(project.origins(At { module, expr: write.value }))
                || tests(unit, write.place)
                    .iter()
                    .any(|test| asks(project, unit, place.to(*test), STEPS, &brought))
            {
                report
                    .reached(
                        place,
                        "the environment that all requests of this worker are given is changed for this one",
                    )
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether a value is a worker's environment: `c.env` of Hono's context, the second parameter of `fetch(request, env, ctx)`.
fn is_environment(project: &Project, unit: &Unit, at: At) -> bool {
    match unit.ir.expr(at.expr) {
        ExprKind::Member { object, property, .. } => {
            unit.ir.text(*property) == "env"
                && unit.ir.has_name(&["hono", "Hono"])
                && is_parameter(project, unit, at.to(*object)).is_some_and(|(_, number)| number == 0)
        }
        ExprKind::Name(_) => is_parameter(project, unit, at).is_some_and(|(fun, number)| {
            number == ENVIRONMENT && project.function_name(fun) == "fetch" && project.entry(fun).is_some()
        }),
        _ => false,
    }
}

/// The function and the number of the parameter that a value is.
fn is_parameter(project: &Project, unit: &Unit, at: At) -> Option<(Fun, usize)> {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return None };
    let (fun, number, path) = project.parameter_of(at.module, *id)?;
    path.is_empty().then_some((fun, number))
}

/// Whether a part of a test, or of what its variables were worked out of, is something that a request brings.
fn asks(project: &Project, unit: &Unit, at: At, steps: usize, brought: &dyn Fn(Origins) -> bool) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    let (mut found, mut open) = (brought(project.origins(at)), Vec::new());
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) if !unit.ir.is_module_level(*id) => {
            found |= brought(project.origins(at.to(expr)));
            if let [source] = unit.index.sources(*id) {
                open.push(source.value);
            }
        }
        ExprKind::Call(_) => found |= brought(project.origins(at.to(expr))),
        _ => {}
    });
    found
        || open
            .into_iter()
            .filter(|value| *value != at.expr)
            .any(|value| asks(project, unit, at.to(value), steps, brought))
}

/// The tests of the branches that an expression stands in.
fn tests(unit: &Unit, expr: ExprId) -> Vec<ExprId> {
    let mut found = Vec::new();
    let mut here = unit.index.stmt_of(expr);
    for _ in 0..STEPS {
        let Some(stmt) = here else { break };
        if let StmtKind::If { test, .. } = unit.ir.stmt(stmt) {
            found.push(*test);
        }
        here = unit.index.stmt_parent(stmt);
    }
    found
}
