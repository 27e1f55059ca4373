//! Calls that leave out the tenant where a parameter has a default one, beside others that give it: `crmToken()` of
//! `crmToken(orgId = PRIMARY_ORG)`; and whether a value is asked of the context of the request.

use partywall_model::{Confidence, Severity};

use super::default_tenant::is_fallback;
use crate::{
    flow::Lifetimes,
    ir::{ArgKind, ExprKind, FunctionId, walk},
    library::{Origin, Role},
    project::{At, Fun, ModuleId, Project, Unit},
    rules::Report,
    vocabulary,
};

/// How many callers of a function are looked at.
const CALLERS: usize = 32;

/// Reports such calls.
pub(super) fn left_to_default(
    project: &Project,
    lives: &Lifetimes<'_>,
    report: &mut Report<'_>,
    module: ModuleId,
    unit: &Unit,
) {
    for (id, function) in unit.ir.functions() {
        let fun = Fun { module, id };
        for (number, parameter) in function.params.iter().enumerate() {
            let (Some(name), Some(default)) = (parameter.name, parameter.default) else { continue };
            let name = unit.ir.text(name);
            if !vocabulary::is_tenant(name) || !is_fallback(project, unit, At { module, expr: default }) {
                continue;
            }
            let calls = || project.callers(fun).iter().take(CALLERS);
            // Somebody gives one, so there is more than one.
            let given = calls().any(|call| {
                project.argument(*call, fun, number).is_some_and(|own| project.origins(own).is_of_request())
            });
            for call in calls().filter(|_| given) {
                let left = project.argument(*call, fun, number).is_none() && !is_spread(project, *call);
                let caller = project.function_of(*call);
                if left && caller.id != FunctionId::MODULE && lives.is_per_request(caller) {
                    report
                        .reached(
                            *call,
                            format!("`{name}` is left out here, and so the default one is served"),
                        )
                        .severity(Severity::Medium)
                        .confidence(Confidence::Medium);
                }
            }
        }
    }
}

fn is_spread(project: &Project, call: At) -> bool {
    project.unit(call.module).is_none_or(|unit| match unit.ir.expr(call.expr) {
        ExprKind::Call(own) => {
            own.args.iter().any(|arg| matches!(arg.kind, ArgKind::Spread | ArgKind::KeywordSpread))
        }
        _ => true,
    })
}

/// Whether a value is a part of what the context of the request has: whoever called, and whatever they looked at, it is asked here.
pub(super) fn asks_context(project: &Project, unit: &Unit, at: At) -> bool {
    let mut values = vec![at.expr];
    values.extend(
        project
            .roots(at)
            .into_iter()
            .flat_map(|root| unit.index.sources(root).iter().take(2).map(|source| source.value)),
    );
    let mut found = false;
    for value in values {
        walk::exprs_below(&unit.ir, value, &mut |expr| {
            found |= matches!(unit.ir.expr(expr), ExprKind::Call(_))
                && project.callee(at.to(expr)).is_some_and(|callee| {
                    callee
                        .defs
                        .iter()
                        .any(|def| def.role == Role::ContextGet || def.is == Some(Origin::Principal))
                });
        });
    }
    found
}
