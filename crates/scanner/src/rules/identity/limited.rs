//! Ids that name a limiter's bucket: whoever names another's is slowed down by it, and reaches nothing.

use crate::{
    ir::StmtKind,
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

/// Whether a variable takes what a call gives, and a limiter alone is told it: `bucket = bucketOf(req, userId)`, `checkRateLimit(bucket)`.
pub(super) fn only_limits(project: &Project, unit: &Unit, call: At) -> bool {
    let Some(StmtKind::Assign { target, value, .. }) =
        unit.index.stmt_of(call.expr).map(|stmt| unit.ir.stmt(stmt))
    else {
        return false;
    };
    let Some(id) = target.as_binding().filter(|_| *value == call.expr) else { return false };
    let uses = unit.index.uses(id);
    !uses.is_empty()
        && uses.iter().all(|used| match unit.index.parent(*used) {
            Parent::Expr(up) => is_limiter(project, call.to(up)),
            _ => false,
        })
}
