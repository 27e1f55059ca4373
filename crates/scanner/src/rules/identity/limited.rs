//! Ids that name a limiter's bucket: whoever names another's is slowed down by it, and reaches nothing.

use crate::{
    ir::{ExprId, ExprKind, StmtId, StmtKind, TemplatePart},
    project::{At, Parent, Project, Unit},
    vocabulary,
};

/// Whether a call takes from a limiter, by its name: `limiter.take(id)`, `checkRateLimit(id)`.
pub(super) fn is_limiter(project: &Project, call: At) -> bool {
    project.callee(call).is_some_and(|callee| {
        let words = vocabulary::words(&callee.path.join("_"));
        let has = |word: &str| words.iter().any(|own| own == word);
        ["limiter", "ratelimit", "ratelimiter", "throttle", "throttler"].into_iter().any(has)
            || (has("rate") && (has("limit") || has("limits")))
    })
}

/// Whether a variable takes what a call gives, and a limiter alone is told it, and perhaps a log: `bucket = bucketOf(req, userId)`,
/// `checkRateLimit(bucket)`, `log.warn("too many", { bucket })`.
pub(super) fn only_limits(project: &Project, unit: &Unit, call: At) -> bool {
    let Some(StmtKind::Assign { target, value, .. }) =
        unit.index.stmt_of(call.expr).map(|stmt| unit.ir.stmt(stmt))
    else {
        return false;
    };
    let Some(id) = target.as_binding().filter(|_| *value == call.expr) else { return false };
    let uses = unit.index.uses(id);
    let limits = |used: ExprId| matches!(unit.index.parent(used), Parent::Expr(up) if is_limiter(project, call.to(up)));
    uses.iter().any(|used| limits(*used))
        && uses.iter().all(|used| limits(*used) || is_logged(project, unit, call.to(*used)))
}

/// Whether a variable that a statement sets goes to a limiter, or to what makes the name of its bucket, and nowhere else.
pub(super) fn is_kept_for_limiter(project: &Project, unit: &Unit, at: At, stmt: StmtId) -> bool {
    let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return false };
    let Some(id) = target.as_binding() else { return false };
    let limits = |used: ExprId| match unit.index.parent(used) {
        Parent::Expr(up) => {
            is_limiter(project, at.to(up)) || only_limits(project, unit, at.to(up)) || is_bucket(unit, up)
        }
        _ => false,
    };
    let uses = unit.index.uses(id);
    uses.iter().any(|used| limits(*used))
        && uses.iter().all(|used| limits(*used) || is_logged(project, unit, at.to(*used)))
}

/// Whether a text begins as the name of a limiter's bucket: `ratelimit:${tenantId}:${ip}`.
fn is_bucket(unit: &Unit, expr: ExprId) -> bool {
    let ExprKind::Template(parts) = unit.ir.expr(expr) else { return false };
    let Some(TemplatePart::Text(first)) = parts.first() else { return false };
    let text = unit.ir.text(*first).to_lowercase().replace(['_', '-', ' '], "");
    ["ratelimit", "throttle"].iter().any(|word| text.starts_with(word))
}

/// Whether a value is only said in a log: `log.warn("too many", { bucket })`.
fn is_logged(project: &Project, unit: &Unit, at: At) -> bool {
    const LEVELS: &[&str] = &["debug", "info", "log", "warn", "warning", "error"];
    let mut here = at.expr;
    for _ in 0..4 {
        let Parent::Expr(up) = unit.index.parent(here) else { return false };
        match unit.ir.expr(up) {
            ExprKind::Object(_) | ExprKind::Template(_) => here = up,
            ExprKind::Call(call) => {
                let path = project.written(at.to(call.callee));
                let logger = path.iter().rev().nth(1).is_some_and(|of| {
                    vocabulary::words(of)
                        .iter()
                        .any(|word| matches!(word.as_str(), "log" | "logger" | "logging" | "console"))
                });
                return logger && path.last().is_some_and(|name| LEVELS.contains(&name.as_str()));
            }
            _ => return false,
        }
    }
    false
}
