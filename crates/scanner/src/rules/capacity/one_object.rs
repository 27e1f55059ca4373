//! One object of the project's own that counts for all callers: `if (!bucket.take()) return tooMany(res)` with `const bucket = new
//! TokenBucket(100, 20)` of the module.

use partywall_model::{Confidence, Severity};

use super::one_limit::refuses;
use crate::{
    flow::Lifetimes,
    ir::{ExprId, ExprKind, NameRef, StmtKind, walk},
    project::{At, ModuleId, Project, Unit},
    rules::Report,
};

/// Reports branches that refuse callers because of such an object.
pub(super) fn one_object(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        for (_, stmt) in unit.ir.stmts() {
            let StmtKind::If { test, then, .. } = stmt else { continue };
            let at = At { module, expr: *test };
            if !lives.is_per_request(project.function_of(at))
                || !project.has_owners(module)
                || !refuses(unit, then)
            {
                continue;
            }
            let mut found = false;
            walk::exprs_below(&unit.ir, *test, &mut |expr| found |= asks_one(project, unit, module, expr));
            if found {
                report
                    .reached(at, "one object counts for all callers together, and is not told who calls")
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether a call asks an object of the module, of a class of the project, without telling it anything of the request.
fn asks_one(project: &Project, unit: &Unit, module: ModuleId, expr: ExprId) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(expr) else { return false };
    let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object) else { return false };
    if call.args.iter().any(|arg| !project.is_fixed(At { module, expr: arg.value })) {
        return false;
    }
    let (home_module, id) = project.declared(module, *id).unwrap_or((module, *id));
    let Some(home) = project.unit(home_module).filter(|home| home.ir.is_module_level(id)) else {
        return false;
    };
    let [source] = home.index.sources(id) else { return false };
    let at = At { module: home_module, expr: source.value };
    let made = matches!(home.ir.expr(source.value), ExprKind::Call(_)) && source.path.is_empty();
    let own = project
        .callee(At { module, expr })
        .is_some_and(|callee| callee.certain && !callee.targets.is_empty());
    made && own && project.callee(at).is_some_and(|callee| callee.package.is_none())
}
