//! Defaults for a tenant of which it is doubtful that anybody's request meets them, or that they reach data.

use super::frames::innermost;
use crate::{
    ir::{BindingId, ExprId, ExprKind, FunctionId, NameRef, StmtKind, UnaryOp, walk},
    project::{At, Project, Unit},
    vocabulary,
};

/// What is said where who calls was asked for before.
const KNOWN: &str = " Whoever has no session is turned away before: it depends on whether one with a session may be without a tenant.";

/// What is said where the tenant is handed on.
const HANDED: &str =
    " The tenant is handed on to this function: if all who call it have one, nobody gets the default.";

/// What is said where only telemetry is labelled.
const TELEMETRY: &str =
    " It stands where events are counted and labelled: what is only told there reaches no data.";

/// What is said where the default is a tenant for show.
const FOR_SHOW: &str =
    " The default is named for what is there for show: if it has nothing of anybody's, nothing is reached.";

/// Words of what watches a server.
const WATCHES: &[&str] = &[
    "telemetry",
    "observability",
    "analytics",
    "metrics",
    "posthog",
    "sentry",
    "tracing",
    "logging",
    "logger",
    "instrumentation",
];

/// Ids of tenants that are there for show.
const SHOWN: &[&str] = &["demo", "example", "sample", "sandbox", "playground"];

/// Why it is doubtful that a default for a tenant is met.
pub(super) fn doubt(project: &Project, at: At) -> Option<&'static str> {
    let unit = project.unit(at.module)?;
    if watches(&unit.ir.path) || watches(project.function_name(project.function_of(at))) {
        return Some(TELEMETRY);
    }
    let (value, default) = match unit.ir.expr(at.expr) {
        ExprKind::Logical { left, right, .. } => (Some(*left), *right),
        ExprKind::Conditional { then, otherwise, .. } => (Some(*then), *otherwise),
        _ => (None, at.expr),
    };
    if is_for_show(unit, default) {
        return Some(FOR_SHOW);
    }
    if value.is_some_and(|value| is_known_before(project, unit, at, value)) {
        return Some(KNOWN);
    }
    is_handed_on(project, unit, at).then_some(HANDED)
}

fn watches(name: &str) -> bool {
    name.split(['/', '.'])
        .any(|part| vocabulary::words(part).iter().any(|word| WATCHES.contains(&word.as_str())))
}

fn is_for_show(unit: &Unit, default: ExprId) -> bool {
    matches!(unit.ir.expr(default), ExprKind::String(text) if SHOWN.contains(&unit.ir.text(*text).to_lowercase().as_str()))
}

/// Whether the function is left before where what the tenant is a part of is not there: `if (!session?.user) return refuse()`.
fn is_known_before(project: &Project, unit: &Unit, at: At, value: ExprId) -> bool {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(innermost(unit, value)) else { return false };
    // `orgId?: string` says that it may be missing, whoever else is there.
    let ExprKind::Member { property, .. } = unit.ir.expr(value) else { return false };
    if unit.ir.source.mentions(&format!("{}?:", unit.ir.text(*property))) {
        return false;
    }
    let order = unit.index.order(at.expr);
    project.around(project.function_of(at)).into_iter().filter(|fun| fun.id != FunctionId::MODULE).any(
        |fun| {
            let Some(function) = unit.ir.function(fun.id) else { return false };
            let mut found = false;
            walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
                let StmtKind::If { test, then, .. } = unit.ir.stmt(stmt) else { return };
                found = found
                    || (unit.index.order(*test) < order
                        && asks_for(unit, *test, *id)
                        && project.leaves(fun, then));
            });
            found
        },
    )
}

/// Whether a condition holds where a variable, or a part of it, is not there.
fn asks_for(unit: &Unit, test: ExprId, id: BindingId) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, test, &mut |expr| {
        let ExprKind::Unary { op: UnaryOp::Not, operand } = unit.ir.expr(expr) else { return };
        found |= matches!(unit.ir.expr(innermost(unit, *operand)), ExprKind::Name(NameRef::Binding(own)) if *own == id);
    });
    found
}

/// Whether what is set to the default is a parameter of a function that is no handler.
fn is_handed_on(project: &Project, unit: &Unit, at: At) -> bool {
    let Some(stmt) = unit.index.stmt_of(at.expr) else { return false };
    let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return false };
    let Some((fun, ..)) = target.as_binding().and_then(|id| project.parameter_of(at.module, id)) else {
        return false;
    };
    project.entry(fun).is_none_or(|entry| !matches!(entry.kind.as_str(), "http" | "tool" | "middleware"))
}
