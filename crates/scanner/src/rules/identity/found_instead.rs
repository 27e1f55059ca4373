//! The tenant that a name of the caller's choice finds, in place of the caller's own: `slug ? await orgBySlug(slug) : await orgOf(user)`,
//! and nobody holds the one against the other.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{BindingId, CompareOp, ExprId, ExprKind, Kinds, NameRef, StmtId, StmtKind, UnaryOp, walk},
    project::{At, Fun, ModuleId, Parent, Project, Unit},
    rules::{Report, refusing},
    vocabulary,
};

/// Words of functions that give what is the caller's own.
const OWN: &[&str] = &[
    "auth",
    "current",
    "caller",
    "principal",
    "session",
    "token",
    "claims",
    "my",
    "mine",
    "own",
    "me",
    "default",
    "active",
];

/// Words of what a tenant is called by where a variable or a function names it.
const PARTIES: &[&str] =
    &["tenant", "org", "organization", "organisation", "workspace", "account", "company", "team"];

/// Parameters that carry the request or who sent it.
const CONTEXTS: &[&str] =
    &["ctx", "context", "req", "request", "extra", "auth", "user", "session", "caller", "principal"];

/// A choice between two calls.
struct Choice {
    test: ExprId,
    chosen: ExprId,
    own: ExprId,
    /// What the result goes into.
    result: Option<BindingId>,
}

/// Reports such choices.
pub(super) fn found_instead(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        for choice in choices(unit) {
            judge(project, &lives, report, module, unit, &choice);
        }
    }
}

/// The choices of a file: conditional expressions, and branches that set the same variable.
fn choices(unit: &Unit) -> Vec<Choice> {
    let mut found = Vec::new();
    for (expr, kind) in unit.ir.exprs_of(Kinds::CHOICE) {
        let ExprKind::Conditional { test, then, otherwise } = kind else { continue };
        let result = unit.index.stmt_of(expr).and_then(|stmt| match unit.ir.stmt(stmt) {
            StmtKind::Assign { target, value, .. } if awaited(unit, *value) == expr => target.as_binding(),
            _ => None,
        });
        push(unit, &mut found, *test, *then, *otherwise, result);
    }
    for (_, stmt) in unit.ir.stmts() {
        let StmtKind::If { test, then, otherwise } = stmt else { continue };
        let (Some((first, one)), Some((second, other))) = (sets(unit, then), sets(unit, otherwise)) else {
            continue;
        };
        if first == second {
            push(unit, &mut found, *test, one, other, Some(first));
        }
    }
    found
}

/// The only variable that a block sets, and to what.
fn sets(unit: &Unit, block: &[StmtId]) -> Option<(BindingId, ExprId)> {
    let [only] = block else { return None };
    match unit.ir.stmt(*only) {
        StmtKind::Assign { target, value, .. } => Some((target.as_binding()?, *value)),
        _ => None,
    }
}

fn push(
    unit: &Unit,
    found: &mut Vec<Choice>,
    test: ExprId,
    then: ExprId,
    otherwise: ExprId,
    result: Option<BindingId>,
) {
    let (test, absent) = match unit.ir.expr(test) {
        ExprKind::Unary { op: UnaryOp::Not, operand } => (*operand, true),
        ExprKind::Compare { op: CompareOp::Eq, left, right }
            if matches!(unit.ir.expr(*right), ExprKind::Null) =>
        {
            (*left, true)
        }
        ExprKind::Compare { op: CompareOp::NotEq, left, right }
            if matches!(unit.ir.expr(*right), ExprKind::Null) =>
        {
            (*left, false)
        }
        _ => (test, false),
    };
    let (chosen, own) = if absent { (otherwise, then) } else { (then, otherwise) };
    found.push(Choice { test, chosen: awaited(unit, chosen), own: awaited(unit, own), result });
}

fn awaited(unit: &Unit, expr: ExprId) -> ExprId {
    match unit.ir.expr(expr) {
        ExprKind::Await(inner) => *inner,
        _ => expr,
    }
}

fn judge(
    project: &Project,
    lives: &Lifetimes<'_>,
    report: &mut Report<'_>,
    module: ModuleId,
    unit: &Unit,
    choice: &Choice,
) {
    let (test, chosen, own) = (
        At { module, expr: choice.test },
        At { module, expr: choice.chosen },
        At { module, expr: choice.own },
    );
    // What is tested is a value, and no question about it.
    if !matches!(unit.ir.expr(test.expr), ExprKind::Name(_) | ExprKind::Member { .. }) {
        return;
    }
    let (ExprKind::Call(by_name), ExprKind::Call(of_caller)) =
        (unit.ir.expr(chosen.expr), unit.ir.expr(own.expr))
    else {
        return;
    };
    let text = project.snippet(test).to_owned();
    let takes = |call: &crate::ir::Call| {
        call.args.iter().any(|arg| holds(project, unit, At { module, expr: arg.value }, &text))
    };
    let told = |call: &crate::ir::Call| {
        call.args.iter().any(|arg| is_of_caller(project, unit, At { module, expr: arg.value }))
    };
    if !takes(by_name) || takes(of_caller) || told(by_name) {
        return;
    }
    let (finder, other) =
        (project.last_written(chosen).unwrap_or_default(), project.last_written(own).unwrap_or_default());
    let says =
        |name: &str, list: &[&str]| vocabulary::words(name).iter().any(|word| list.contains(&word.as_str()));
    let is_own = says(other, OWN) && (told(of_caller) || of_caller.args.is_empty());
    let kept = choice.result.map(|id| unit.ir.binding_name(id)).unwrap_or_default();
    let party = says(kept, PARTIES) || (says(finder, PARTIES) && says(other, PARTIES));
    let fun = project.function_of(chosen);
    if !is_own || !party || asks_itself(project, chosen) || is_held(project, unit, fun, choice) {
        return;
    }
    let origins = project.origins(test);
    let sent = origins.is_chosen();
    let given = project.roots(test).into_iter().any(|root| project.parameter_of(module, root).is_some());
    if origins.has(Origins::PRINCIPAL | Origins::SECRET | Origins::ENV) || !(sent || given) {
        return;
    }
    let found = report.reached(
        chosen,
        format!("what `{text}` names takes the place of the caller's own, and nobody holds it against that"),
    );
    let severity = if sent && lives.is_per_request(fun) { Severity::Medium } else { Severity::Low };
    found.severity(severity).confidence(Confidence::Medium);
}

/// Whether a value is, or has in it, what was tested.
fn holds(project: &Project, unit: &Unit, at: At, text: &str) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| found |= project.snippet(at.to(expr)) == text);
    found
}

/// Whether a value says who calls: the request, its context, the verified caller.
fn is_of_caller(project: &Project, unit: &Unit, at: At) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        let origins = project.origins(at.to(expr));
        let named = project.last_written(at.to(expr)).is_some_and(|name| {
            vocabulary::is_principal(name)
                || vocabulary::words(name)
                    .iter()
                    .any(|word| CONTEXTS.contains(&word.as_str()) || vocabulary::is_user(word))
        });
        found |= origins.has(Origins::PRINCIPAL | Origins::SECRET | Origins::REQUEST) || named;
    });
    found
}

/// Whether the function that is called looks for itself who calls.
fn asks_itself(project: &Project, call: At) -> bool {
    let Some(callee) = project.callee(call) else { return false };
    callee.targets.iter().take(3).any(|target| {
        let Some(unit) = project.unit(target.module) else { return true };
        let mut asks = false;
        walk::function_exprs(&unit.ir, target.id, &mut |expr| {
            let at = At { module: target.module, expr };
            if let ExprKind::Call(_) = unit.ir.expr(expr) {
                asks |= project.origins(at).has(Origins::PRINCIPAL | Origins::SECRET);
                asks |= project.last_written(at).is_some_and(refusing::refuses_by_name);
            }
        });
        asks
    })
}

/// Whether a function holds what was found against anything, or has it looked at, after the choice.
fn is_held(project: &Project, unit: &Unit, fun: Fun, choice: &Choice) -> bool {
    let from = unit.index.order(choice.chosen);
    let text = choice.result.map(|id| unit.ir.binding_name(id).to_owned());
    let is_it = |at: At| {
        text.as_deref()
            .is_some_and(|name| project.roots(at).iter().any(|root| unit.ir.binding_name(*root) == name))
    };
    let tested = project.roots(At { module: fun.module, expr: choice.test });
    let names_tested = |at: At| project.roots(at).iter().any(|root| tested.contains(root));
    let mut found = project.guards(fun).iter().any(|guard| {
        let other = !matches!(unit.ir.expr(guard.right.expr), ExprKind::Null);
        let sides = [guard.left, guard.right];
        guard.left.module == fun.module
            && other
            && (sides
                .iter()
                .any(|side| side.module == fun.module && is_it(*side) && compared(unit, side.expr))
                || names_tested(guard.left))
    });
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: fun.module, expr };
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let name = project.last_written(at).unwrap_or_default();
        let looks = refusing::refuses_by_name(name)
            || refusing::is_about_reach(name)
                && vocabulary::words(name).iter().any(|word| {
                    matches!(
                        word.as_str(),
                        "can" | "has" | "is" | "access" | "member" | "membership" | "permission"
                    )
                });
        let given = call.args.iter().any(|arg| is_it(at.to(arg.value)) || names_tested(at.to(arg.value)));
        found |=
            looks && given && expr != choice.chosen && (unit.index.order(expr) > from || names_tested(at));
    });
    found
}

/// Whether a side of a comparison is a part of what was found, and not the thing itself, which is only asked whether it is there.
fn compared(unit: &Unit, expr: ExprId) -> bool {
    !matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(_)))
        || matches!(unit.index.parent(expr), Parent::Expr(up) if matches!(unit.ir.expr(up), ExprKind::Compare { .. }))
}
