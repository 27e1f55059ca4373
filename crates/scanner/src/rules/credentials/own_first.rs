//! The process's own credential before the one that the caller brought: `if own_credentials(): return Client(secret=SECRET)` in a
//! function that goes on with the caller's token.

use std::collections::BTreeSet;

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Origins,
    ir::{ArgKind, BindingId, ExprId, ExprKind, FunctionId, Language, NameRef, StmtId, StmtKind, walk},
    library::Role,
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Reports such branches.
pub(super) fn own_first(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for (id, function) in unit.ir.functions().filter(|(id, _)| *id != FunctionId::MODULE) {
            let fun = Fun { module, id };
            let brought = brought(project, unit, fun);
            if brought.is_empty() {
                continue;
            }
            for (number, stmt) in function.body.iter().enumerate() {
                let StmtKind::If { test, then, .. } = unit.ir.stmt(*stmt) else { continue };
                let rest = function.body.get(number + 1..).unwrap_or_default();
                if mentions(unit, *test, &brought)
                    || !gives_own(project, unit, fun, then, &brought)
                    || !uses(unit, rest, &brought)
                {
                    continue;
                }
                report
                    .reached(
                        At { module, expr: *test },
                        "the process's own credential is taken here, whoever brought one of their own",
                    )
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
                break;
            }
        }
    }
}

/// The variables of a function that hold the caller's credential: out of the request, or of a context variable.
fn brought(project: &Project, unit: &Unit, fun: Fun) -> BTreeSet<BindingId> {
    let mut found = BTreeSet::new();
    let Some(function) = unit.ir.function(fun.id) else { return found };
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        let StmtKind::Assign { target, value, .. } = unit.ir.stmt(stmt) else { return };
        let at = At { module: fun.module, expr: *value };
        let Some(id) = target.as_binding() else { return };
        let of_context = project
            .callee(at)
            .is_some_and(|callee| callee.defs.iter().any(|def| def.role == Role::ContextGet));
        let of_request = project.origins(at).has(Origins::SECRET | Origins::UNVERIFIED);
        if vocabulary::is_credential(unit.ir.binding_name(id))
            && (of_context || of_request)
            && !project.origins(at).has(Origins::ENV)
        {
            found.insert(id);
        }
    });
    found
}

/// Whether a block ends with what is made with a credential of the environment, and of nothing that the caller brought.
fn gives_own(
    project: &Project,
    unit: &Unit,
    fun: Fun,
    block: &[StmtId],
    brought: &BTreeSet<BindingId>,
) -> bool {
    let Some(StmtKind::Return(Some(value))) = block.last().map(|stmt| unit.ir.stmt(*stmt)) else {
        return false;
    };
    let mut own = false;
    walk::exprs_below(&unit.ir, *value, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        for arg in &call.args {
            let at = At { module: fun.module, expr: arg.value };
            let named =
                matches!(arg.kind, ArgKind::Keyword(name) if vocabulary::is_credential(unit.ir.text(name)));
            let said = project.last_written(at).is_some_and(vocabulary::is_credential);
            own |= (named || said) && project.origins(at).has(Origins::ENV);
        }
    });
    own && !mentions(unit, *value, brought)
}

fn mentions(unit: &Unit, expr: ExprId, names: &BTreeSet<BindingId>) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, expr, &mut |below| {
        found |= matches!(unit.ir.expr(below), ExprKind::Name(NameRef::Binding(id)) if names.contains(id));
    });
    found
}

/// Whether some statements hand what the caller brought to a call.
fn uses(unit: &Unit, block: &[StmtId], brought: &BTreeSet<BindingId>) -> bool {
    let mut found = false;
    walk::stmts_below(&unit.ir, block, &mut |stmt| {
        walk::parts(&unit.ir, stmt, &mut |part| {
            let walk::Part::Expr(root) = part else { return };
            walk::exprs_below(&unit.ir, root, &mut |expr| {
                if let ExprKind::Call(call) = unit.ir.expr(expr) {
                    found |= call.args.iter().any(|arg| mentions(unit, arg.value, brought));
                }
            });
        });
    });
    found
}
