//! Servers that keep nothing of their own and ask another service with the credential that each caller brings: that service decides what
//! an id reaches.

use crate::{
    ir::{ExprKind, walk},
    library::Role,
    project::{At, ModuleId, Project},
    vocabulary,
};

/// Whether a module's package is such a server: it has no rows, and puts a credential of the request into what goes with the request.
pub(super) fn is_callers_service(project: &Project, module: ModuleId) -> bool {
    if project.keeps_rows(module) {
        return false;
    }
    let own = project.folder(module);
    let (set, run) = (project.calls_with(Role::ContextSet), project.calls_with(Role::ContextRun));
    project.units().filter(|(other, _)| project.folder(*other) == own).any(|(other, unit)| {
        unit.index.calls.iter().any(|expr| {
            let at = At { module: other, expr: *expr };
            let puts = project.is_one_of(&set, at) || project.is_one_of(&run, at);
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { return false };
            puts && call.args.iter().any(|arg| brings_credential(project, at.to(arg.value)))
        })
    })
}

/// Whether a value has a credential in it by its name; a function that is run with it does not count.
fn brings_credential(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    if matches!(unit.ir.expr(at.expr), ExprKind::Function(_)) {
        return false;
    }
    let mut found = false;
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        if matches!(unit.ir.expr(expr), ExprKind::Name(_) | ExprKind::Member { .. }) {
            found |= project.last_written(at.to(expr)).is_some_and(vocabulary::is_credential);
        }
    });
    found
}
