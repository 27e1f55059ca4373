//! The process's own credential where the caller's cannot be had: behind an error, `except KeyError: key = os.environ["KEY"]`, or as
//! the default of what is taken out of a record, `const { token = process.env.TOKEN } = options`.

use partywall_model::{Confidence, Severity};

use super::of_models::names_in;
use crate::{
    flow::{Lifetimes, Origins},
    ir::{BindingId, ExprId, FunctionId, Language, Pattern, StmtId, StmtKind, walk},
    project::{At, Fun, ModuleId, Project, Unit},
    rules::Report,
    vocabulary,
};

/// What a value is of when it is the caller's.
const CALLERS: Origins = Origins::SECRET.or(Origins::PRINCIPAL).or(Origins::UNVERIFIED);

/// Reports such places.
pub(super) fn in_its_place(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for (_, stmt) in unit.ir.stmts() {
            match stmt {
                StmtKind::Try { body, handlers, .. } => {
                    for handler in handlers.iter() {
                        let own = given_in(unit, &handler.body)
                            .into_iter()
                            .find(|(_, expr)| is_own(project, At { module, expr: *expr }));
                        let Some((to, own)) = own else { continue };
                        let brought = given_in(unit, body)
                            .into_iter()
                            .any(|(into, expr)| into == to && is_callers(project, At { module, expr }));
                        if brought {
                            tell(
                                project,
                                lives,
                                report,
                                At { module, expr: own },
                                "a caller whose credential cannot be had gets the one of the process's environment",
                            );
                        }
                    }
                }
                StmtKind::Assign { target, .. } => by_default(project, lives, report, module, target),
                _ => {}
            }
        }
        if unit.ir.language == Language::Python {
            continue;
        }
        for (_, function) in unit.ir.functions() {
            for parameter in &function.params {
                by_default(project, lives, report, module, &parameter.pattern);
            }
        }
    }
}

/// What a block sets variables to, and what it returns: where each goes, and the value.
fn given_in(unit: &Unit, block: &[StmtId]) -> Vec<(Option<BindingId>, ExprId)> {
    let mut found = Vec::new();
    walk::stmts_below(&unit.ir, block, &mut |stmt| match unit.ir.stmt(stmt) {
        StmtKind::Assign { target, value, .. } => {
            if let Some(id) = target.as_binding() {
                found.push((Some(id), *value));
            }
        }
        StmtKind::Return(Some(value)) => found.push((None, *value)),
        _ => {}
    });
    found
}

/// Whether a value is a credential of the environment, and nothing of a caller is in it.
fn is_own(project: &Project, at: At) -> bool {
    let origins = project.origins(at);
    origins.has(Origins::ENV)
        && !origins.is_of_request()
        && names_in(project, at).iter().any(|name| vocabulary::is_credential(name))
}

fn is_callers(project: &Project, at: At) -> bool {
    let origins = project.origins(at);
    origins.has(CALLERS) && !origins.has(Origins::ENV)
}

/// Reports a credential that is taken out of what a caller has, and for which the process's own stands in.
fn by_default(
    project: &Project,
    lives: &Lifetimes<'_>,
    report: &mut Report<'_>,
    module: ModuleId,
    pattern: &Pattern,
) {
    match pattern {
        Pattern::Object { properties, .. } => {
            for property in properties {
                by_default(project, lives, report, module, &property.pattern);
            }
        }
        Pattern::Default { pattern, value } => {
            let Some(unit) = project.unit(module) else { return };
            let own = At { module, expr: *value };
            let Some(id) = pattern.as_binding() else { return };
            let mut others = unit.index.sources(id).iter().filter(|source| source.value != *value);
            let used = unit.index.uses(id).first().map(|expr| At { module, expr: *expr });
            let theirs = || used.is_some_and(|used| project.origins(used).has(CALLERS));
            if vocabulary::is_credential(unit.ir.binding_name(id))
                && is_own(project, own)
                && (others.next().is_some() || project.parameter_of(module, id).is_some())
                && theirs()
            {
                tell(
                    project,
                    lives,
                    report,
                    own,
                    "a caller without a credential gets the one of the process's environment",
                );
            }
        }
        _ => {}
    }
}

fn tell(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>, at: At, text: &str) {
    let fun: Fun = project.function_of(at);
    if fun.id != FunctionId::MODULE && lives.is_per_request(fun) {
        report.reached(at, text).severity(Severity::Medium).confidence(Confidence::Medium);
    }
}
