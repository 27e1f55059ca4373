//! A credential that whoever connects has to bring, and that is only asked for: what answers was made without it.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{BindingId, BindingKind, ExprId, ExprKind, FunctionId, LogicalOp, StmtKind},
    library::Role,
    project::{At, Fun, ModuleId, Parent, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Reports handlers that connect a caller to a server and leave the credential that they ask for unused.
pub(super) fn brought_unused(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    let connects = project.calls_named(|name| matches!(name, "connect" | "handleRequest" | "handle_request"));
    for (module, unit) in project.units() {
        for expr in connects.among(module) {
            let fun = Fun { module, id: unit.index.function(*expr) };
            if fun.id == FunctionId::MODULE
                || !lives.is_per_request(fun)
                || !speaks(lives, unit, At { module, expr: *expr })
            {
                continue;
            }
            let Some((at, name)) = left_unused(project, unit, fun) else { continue };
            report
                .reached(at, format!("`{name}` is only asked for here: whoever connects acts with what the server has itself"))
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether a call hands a caller's transport to a server, or a request to it.
fn speaks(lives: &Lifetimes<'_>, unit: &Unit, at: At) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return false };
    lives.makes(at.to(*object), &[Role::Transport])
        || call.positional(0).is_some_and(|first| lives.makes(at.to(first), &[Role::Transport]))
}

/// The first credential of the request in a function that is tested, and goes nowhere.
fn left_unused(project: &Project, unit: &Unit, fun: Fun) -> Option<(At, String)> {
    let mut found: Option<(u32, At, String)> = None;
    for (id, binding) in unit.ir.bindings() {
        if binding.kind != BindingKind::Variable || unit.ir.binding_function(id) != fun.id {
            continue;
        }
        let name = unit.ir.binding_name(id);
        if !vocabulary::is_credential(name) || vocabulary::is_session_id(name) {
            continue;
        }
        let [source] = unit.index.sources(id) else { continue };
        let value = At { module: fun.module, expr: source.value };
        let origins = project.origins(value);
        let brought =
            origins.has(Origins::INPUT | Origins::UNVERIFIED | Origins::SECRET) && !origins.has(Origins::ENV);
        if !brought
            || found.as_ref().is_some_and(|(order, ..)| *order <= source.order)
            || !is_only_asked(project, unit, fun.module, id)
        {
            continue;
        }
        found = Some((source.order, value, name.to_owned()));
    }
    found.map(|(_, at, name)| (at, name))
}

/// Whether a variable is tested, and but for that only told to a log.
fn is_only_asked(project: &Project, unit: &Unit, module: ModuleId, id: BindingId) -> bool {
    let mut tested = false;
    let plain = unit.index.uses(id).iter().all(|used| {
        let asked = is_tested(unit, *used);
        tested |= asked;
        asked || is_logged(project, unit, At { module, expr: *used })
    });
    plain && tested
}

fn is_tested(unit: &Unit, used: ExprId) -> bool {
    let mut here = used;
    for _ in 0..6 {
        match unit.index.parent(here) {
            Parent::Expr(up) => match unit.ir.expr(up) {
                ExprKind::Unary { .. } | ExprKind::Logical { op: LogicalOp::And | LogicalOp::Or, .. } => {
                    here = up
                }
                ExprKind::Conditional { test, .. } => return *test == here,
                _ => return false,
            },
            Parent::Stmt(stmt) => {
                return matches!(unit.ir.stmt(stmt), StmtKind::If { test, .. } if *test == here);
            }
            _ => return false,
        }
    }
    false
}

fn is_logged(project: &Project, unit: &Unit, at: At) -> bool {
    let mut here = at.expr;
    for _ in 0..8 {
        let Parent::Expr(up) = unit.index.parent(here) else { return false };
        if let ExprKind::Call(call) = unit.ir.expr(up)
            && call.callee != here
        {
            return project
                .callee(at.to(up))
                .is_some_and(|callee| callee.defs.iter().any(|def| def.role == Role::Log))
                || matches!(
                    project.written(at.to(call.callee)).first().map(|name| name.as_str()),
                    Some("console" | "logger" | "log" | "logging")
                );
        }
        here = up;
    }
    false
}
