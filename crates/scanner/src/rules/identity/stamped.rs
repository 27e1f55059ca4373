//! The caller is written into what was sent only where the client left the owner out: `if task.owner_id is None: task.owner_id = caller`.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Origins,
    ir::{CompareOp, ExprId, ExprKind, NameRef, StmtId, StmtKind, UnaryOp, walk},
    project::{At, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Reports such branches.
pub(super) fn stamped(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for (id, stmt) in unit.ir.stmts() {
            let StmtKind::If { test, then, otherwise } = stmt else { continue };
            let Some((object, owner)) = missing_owner(unit, *test) else { continue };
            let sent = At { module, expr: object };
            // Where there is one already, it may be compared.
            if !otherwise.is_empty() || !project.origins(sent).has(Origins::INPUT) || !is_body(unit, object) {
                continue;
            }
            if !is_for_some(unit, id)
                && stamps(project, unit, module, then, object, owner)
                && !compares_later(project, sent, owner)
            {
                report
                    .reached(
                        At { module, expr: *test },
                        format!("`{owner}` is the caller only where the client left it out"),
                    )
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// What a condition asks for a missing owner, and the owner's name: `not body.user_id`, `task.owner_id is None`, behind `and` as well.
fn missing_owner(unit: &Unit, test: ExprId) -> Option<(ExprId, &str)> {
    let member = |expr: ExprId| match unit.ir.expr(expr) {
        ExprKind::Member { object, property, .. } => {
            let name = unit.ir.text(*property);
            vocabulary::is_owner(name).then_some((*object, name))
        }
        _ => None,
    };
    match unit.ir.expr(test) {
        ExprKind::Logical { left, right, .. } => {
            missing_owner(unit, *left).or_else(|| missing_owner(unit, *right))
        }
        ExprKind::Unary { op: UnaryOp::Not, operand } => member(*operand),
        ExprKind::Compare { op: CompareOp::Eq, left, right }
            if matches!(unit.ir.expr(*right), ExprKind::Null) =>
        {
            member(*left)
        }
        _ => None,
    }
}

/// Whether an expression is a variable, as a validated body is.
fn is_body(unit: &Unit, object: ExprId) -> bool {
    matches!(unit.ir.expr(object), ExprKind::Name(NameRef::Binding(_)))
}

/// Whether statements write the owner of the object, or make a copy that has another one.
fn stamps(
    project: &Project,
    unit: &Unit,
    module: crate::project::ModuleId,
    then: &[StmtId],
    object: ExprId,
    owner: &str,
) -> bool {
    let same =
        |expr: ExprId| project.snippet(At { module, expr }) == project.snippet(At { module, expr: object });
    let mut found = false;
    walk::stmts_below(&unit.ir, then, &mut |stmt| {
        let StmtKind::Assign { target, value, .. } = unit.ir.stmt(stmt) else { return };
        match target {
            crate::ir::Pattern::Place(place) => {
                if let ExprKind::Member { object: of, property, .. } = unit.ir.expr(*place) {
                    found |= same(*of)
                        && unit.ir.text(*property) == owner
                        && is_caller(project, At { module, expr: *value });
                }
            }
            // `task = task.model_copy(update={"owner_id": caller})`
            _ => {
                if let ExprKind::Call(call) = unit.ir.expr(*value)
                    && let ExprKind::Member { object: of, .. } = unit.ir.expr(call.callee)
                {
                    found |= same(*of)
                        && call.args.iter().any(|arg| {
                            let own = At { module, expr: arg.value };
                            project.snippet(own).contains(owner) && is_caller(project, own)
                        });
                }
            }
        }
    });
    found
}

/// Whether a value is who calls, as it is named, and nothing of what was sent.
fn is_caller(project: &Project, value: At) -> bool {
    let named = vocabulary::mentions(
        project.snippet(value),
        &["caller", "current_user", "currentuser", "principal", "auth", "claims", "req.user", "user.id"],
    );
    named && !project.origins(value).has(Origins::INPUT)
}

/// Whether a branch is one for those who may name anybody: `elif` behind `if not is_admin`.
fn is_for_some(unit: &Unit, id: StmtId) -> bool {
    let mut here = unit.index.stmt_parent(id);
    for _ in 0..8 {
        let Some(stmt) = here else { return false };
        if let StmtKind::If { test, .. } = unit.ir.stmt(stmt)
            && vocabulary::mentions(
                unit.ir.snippet(unit.ir.span(*test)),
                &["admin", "super", "role", "internal", "service"],
            )
        {
            return true;
        }
        here = unit.index.stmt_parent(stmt);
    }
    false
}

/// Whether the owner is compared anywhere in the function: a client that names another one is refused.
fn compares_later(project: &Project, sent: At, owner: &str) -> bool {
    project.guards(project.function_of(sent)).iter().any(|guard| {
        let says = |side: At| project.last_written(side) == Some(owner);
        let null = |side: At| {
            project.unit(side.module).is_some_and(|unit| matches!(unit.ir.expr(side.expr), ExprKind::Null))
        };
        (says(guard.left) && !null(guard.right)) || (says(guard.right) && !null(guard.left))
    })
}
