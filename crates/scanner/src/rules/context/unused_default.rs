//! Defaults that decide nothing: what is written into a record of what happened, and what stands behind a refusal.

use crate::{
    ir::{ExprId, ExprKind, LogicalOp, StmtKind, UnaryOp, walk},
    library::Role,
    project::{At, Parent, Project, Unit},
    vocabulary,
};

/// Words of functions that write down what happened.
const RECORDS: &[&str] =
    &["audit", "audits", "audited", "event", "track", "metric", "metrics", "telemetry", "denied", "trace"];

/// Whether a default is a part of a record that a function for what happened is told, and nothing else: `emitAuditEvent({ workspaceId: ctx.workspaceId || "global" })`.
pub(super) fn is_written_down(project: &Project, unit: &Unit, at: At) -> bool {
    let mut here = at.expr;
    let mut in_record = false;
    for _ in 0..6 {
        let Parent::Expr(up) = unit.index.parent(here) else { return false };
        match unit.ir.expr(up) {
            ExprKind::Object(_) => in_record = true,
            ExprKind::Call(call) if call.callee != here => {
                let name = project.last_written(at.to(call.callee)).unwrap_or_default();
                return in_record
                    && vocabulary::words(name).iter().any(|word| RECORDS.contains(&word.as_str()));
            }
            _ => return false,
        }
        here = up;
    }
    false
}

/// Whether the function has left before where there is no such value: `if (!session.orgId) return refuse()`, and then
/// `session.orgId ?? "demo"`.
pub(super) fn is_never_reached(project: &Project, at: At, value: ExprId) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let path = path_of(project, at.to(value));
    let Some(function) = unit.ir.function(unit.index.function(at.expr)).filter(|_| path.len() > 1) else {
        return false;
    };
    let mut found = false;
    // What stands in the function's own block is passed on every way.
    for stmt in &function.body {
        let StmtKind::If { test, then, .. } = unit.ir.stmt(*stmt) else { continue };
        let leaves = then
            .last()
            .is_some_and(|last| matches!(unit.ir.stmt(*last), StmtKind::Return(_) | StmtKind::Throw(_)));
        let before = unit.ir.span(*test).end <= unit.ir.span(at.expr).start;
        found |= leaves && before && asks_for(project, at, *test, &path);
    }
    found
}

/// Whether a test holds wherever a value is missing: `!value`, also as a part of a chain of `||`.
fn asks_for(project: &Project, at: At, test: ExprId, path: &[String]) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let mut found = false;
    let mut alone = true;
    walk::exprs_below(&unit.ir, test, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Unary { op: UnaryOp::Not, operand } => found |= path_of(project, at.to(*operand)) == path,
        ExprKind::Logical { op, .. } => alone &= *op == LogicalOp::Or,
        _ => {}
    });
    found && alone
}

fn path_of(project: &Project, at: At) -> Vec<String> {
    project.written(at).iter().map(|word| word.to_string()).collect()
}

/// Whether the value is only told: logged, put into a message, or thrown.
pub(super) fn is_said(project: &Project, unit: &Unit, at: At) -> bool {
    let mut here = at.expr;
    for _ in 0..12 {
        match unit.index.parent(here) {
            Parent::Expr(up) => {
                if let Some(callee) = project.callee(at.to(up)) {
                    // What a query is told is not told to the client, whatever is done with its answer.
                    if callee.defs.iter().any(|def| {
                        matches!(def.role, Role::Query | Role::Fetch | Role::CacheGet | Role::CacheSet)
                    }) {
                        return false;
                    }
                    let logs = callee.defs.iter().any(|def| def.role == Role::Log);
                    let name = callee.name().to_lowercase();
                    if logs
                        || name.contains("error")
                        || name.contains("log")
                        || matches!(name.as_str(), "json" | "text" | "debug" | "warn" | "info")
                    {
                        return true;
                    }
                }
                here = up;
            }
            Parent::Stmt(stmt) => return matches!(unit.ir.stmt(stmt), StmtKind::Throw(_)),
            _ => return false,
        }
    }
    false
}

/// Whether a parameter is the id of a user who is the default one where nobody is said: `user_id: str = "default"`.
pub(super) fn is_default_user(unit: &Unit, name: &str, default: ExprId) -> bool {
    let ExprKind::String(text) = unit.ir.expr(default) else { return false };
    let one = vocabulary::words(unit.ir.text(*text))
        .iter()
        .any(|word| matches!(word.as_str(), "default" | "global" | "shared" | "main"));
    one && vocabulary::is_user(name)
        && vocabulary::words(name).last().is_some_and(|last| matches!(last.as_str(), "id" | "uid" | "user"))
}
