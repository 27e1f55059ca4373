//! Checks that nobody waits for: `requireAccess(actor, space)` of an async function throws when the data is long on its way, the same in
//! Python never runs; and of `if (!canRead(user, note))` without `await` a promise is tested, which is always true.

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{ExprId, ExprKind, Language, LogicalOp, StmtKind, UnaryOp},
    project::{At, Fun, Parent, Project, Unit},
    rules::{
        Report,
        refusing::{is_about_reach, refuses_by_name, starts_with, throws},
    },
    vocabulary,
};

/// First words of names of functions that say whether.
const ASKS: &[&str] = &["can", "may", "has", "is", "owns", "user", "check", "verify", "allowed", "authorize"];

/// Why it leaks, since nobody is let through for lack of an identity here.
const WHY: &str =
    "Whoever the check would refuse gets what it was to protect: its answer comes too late, or never.";

/// What to change.
const FIX: &str = "Await the check, and let a linter ask for it (no-floating-promises and no-misused-promises of typescript-eslint).";

/// Reports such checks.
pub(super) fn unawaited_check(project: &Project, report: &mut Report<'_>) {
    let checks = project.calls_named(|name| refuses_by_name(name) || starts_with(name, ASKS));
    for (module, unit) in project.units() {
        for expr in checks.among(module) {
            let at = At { module, expr: *expr };
            let Some(left) = left(unit, *expr) else { continue };
            let Some(name) = project.last_written(at).filter(|name| is_of_callers(project, unit, at, name))
            else {
                continue;
            };
            let Some(callee) =
                project.callee(at).filter(|callee| callee.certain && !callee.targets.is_empty())
            else {
                continue;
            };
            let waits = callee.targets.iter().all(|target| is_async(project, *target));
            let python = unit.ir.language == Language::Python;
            let told = match left {
                Left::Alone => {
                    waits
                        && (python || goes_on(unit, at))
                        && refuses_by_name(name)
                        && callee.targets.iter().any(|target| throws(project, *target, 3))
                }
                Left::Tested => waits && callee.targets.iter().all(|target| gives(project, *target)),
            };
            if !told {
                continue;
            }
            let message = match (left, python) {
                (Left::Alone, true) => format!("`{name}` is not awaited: it never runs, and refuses nobody"),
                (Left::Alone, false) => {
                    format!(
                        "`{name}` is not awaited: what follows does not wait for it, and it refuses nobody"
                    )
                }
                (Left::Tested, _) => {
                    format!("`{name}` is not awaited: what is tested is not its answer, and always true")
                }
            };
            report
                .reached(at, message)
                .severity(Severity::High)
                .confidence(Confidence::High)
                .why(WHY)
                .fix(FIX);
        }
    }
}

/// How a call is left without being waited for.
#[derive(Clone, Copy)]
enum Left {
    /// It is a statement of its own.
    Alone,
    /// A condition is made of it.
    Tested,
}

fn left(unit: &Unit, call: ExprId) -> Option<Left> {
    let mut here = call;
    for _ in 0..4 {
        match unit.index.parent(here) {
            Parent::Stmt(stmt) => {
                return match unit.ir.stmt(stmt) {
                    StmtKind::Expr(whole) if *whole == call => Some(Left::Alone),
                    StmtKind::If { test, .. } if *test == here => Some(Left::Tested),
                    _ => None,
                };
            }
            Parent::Expr(up) => match unit.ir.expr(up) {
                ExprKind::Unary { op: UnaryOp::Not, .. }
                | ExprKind::Logical { op: LogicalOp::And | LogicalOp::Or, .. } => {
                    here = up;
                }
                _ => return None,
            },
            _ => return None,
        }
    }
    None
}

/// Whether a check is one of who may reach what: it is named so, or told who calls. What is told how to go on does that itself.
fn is_of_callers(project: &Project, unit: &Unit, at: At, name: &str) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    let written = |expr: ExprId| project.last_written(at.to(expr));
    let goes_on = call.args.iter().any(|arg| {
        matches!(unit.ir.expr(arg.value), ExprKind::Function(_))
            || written(arg.value).is_some_and(|name| matches!(name, "next" | "done" | "callback" | "cb"))
    });
    let told = || {
        call.args.iter().any(|arg| {
            written(arg.value).is_some_and(|name| vocabulary::is_principal(name) || vocabulary::is_user(name))
        })
    };
    !call.is_new && !goes_on && (is_about_reach(name) || told())
}

/// Whether a function is one that has to be waited for.
fn is_async(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let Some(function) = unit.ir.function(fun.id) else { return false };
    // `@async_to_sync` waits for it.
    let decorated =
        function.decorators.iter().any(|own| unit.ir.snippet(unit.ir.span(*own)).contains("sync"));
    function.is_async && !function.is_generator && !decorated
}

/// Whether a function goes on after a call.
fn goes_on(unit: &Unit, at: At) -> bool {
    let (fun, order) = (unit.index.function(at.expr), unit.index.order(at.expr));
    unit.index.calls.iter().any(|other| {
        unit.index.function(*other) == fun
            && unit.index.order(*other) > order
            && !is_below(unit, *other, at.expr)
    })
}

/// Whether an expression is a part of another.
fn is_below(unit: &Unit, expr: ExprId, of: ExprId) -> bool {
    let mut here = expr;
    for _ in 0..16 {
        match unit.index.parent(here) {
            Parent::Expr(up) if up == of => return true,
            Parent::Expr(up) => here = up,
            _ => return false,
        }
    }
    false
}

/// Whether a function gives yes or no, or something that may not be there.
fn gives(project: &Project, fun: Fun) -> bool {
    project.unit(fun.module).is_some_and(|unit| !unit.index.returns(fun.id).is_empty())
}
