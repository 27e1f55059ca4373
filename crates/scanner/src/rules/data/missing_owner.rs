//! Checks of whose a thing is that let a thing without an owner pass: `if (!owner) return true; return owner === agentId`, and
//! `scope = row.scope ?? "global"` before it is looked for among the caller's.

use partywall_model::{Confidence, Severity};

use super::rows_of_nobody::{is_aside, is_for_all};
use crate::{
    flow::Origins,
    ir::{BindingId, CompareOp, ExprId, ExprKind, Function, FunctionId, LogicalOp, NameRef, StmtKind, walk},
    project::{At, Fun, Parent, Project, Unit},
    rules::{Report, branches::absent},
    vocabulary,
};

/// What a missing owner is taken for, and what then is everybody's.
const TAKEN_FOR: &[&str] =
    &["global", "default", "main", "all", "*", "any", "unknown", "system", "shared", "root"];

/// Reports such checks.
pub(super) fn missing_owner(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units().filter(|(_, unit)| !is_aside(&unit.ir.path)) {
        for (id, function) in unit.ir.functions().filter(|(id, _)| *id != FunctionId::MODULE) {
            let fun = Fun { module, id };
            lets_pass(project, report, unit, fun, function);
            taken_for(project, report, unit, fun, function);
            both_missing(project, report, unit, fun, function);
        }
    }
}

/// `if (!owner) return true` in a function that compares `owner` and gives that.
fn lets_pass(project: &Project, report: &mut Report<'_>, unit: &Unit, fun: Fun, function: &Function) {
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        let StmtKind::If { test, then, .. } = unit.ir.stmt(stmt) else { return };
        let [only] = then.as_ref() else { return };
        let StmtKind::Return(Some(value)) = unit.ir.stmt(*only) else { return };
        if !matches!(unit.ir.expr(*value), ExprKind::Bool(true)) {
            return;
        }
        let Some(owner) = absent(unit, *test) else { return };
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(owner) else { return };
        let at = At { module: fun.module, expr: owner };
        let name = unit.ir.binding_name(*id);
        if is_things_owner(name)
            && !project.origins(at).has(Origins::PRINCIPAL)
            && is_given_compared(unit, fun.id, *id)
            && !is_for_all(project, unit, at)
        {
            report
                .reached(at, format!("what has no `{name}` passes this check, whoever asks"))
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    });
}

/// Whether a name is that of the owner of a thing, and not of who calls.
fn is_things_owner(name: &str) -> bool {
    vocabulary::words(name).iter().any(|word| matches!(word.as_str(), "owner" | "creator" | "owned"))
        && !vocabulary::is_principal(name)
}

/// Whether a function gives what a comparison of a variable with another one says.
fn is_given_compared(unit: &Unit, id: FunctionId, owner: BindingId) -> bool {
    unit.index.returns(id).iter().any(|value| {
        let mut found = false;
        walk::exprs_below(&unit.ir, *value, &mut |expr| {
            let ExprKind::Compare { op: CompareOp::Eq, left, right } = unit.ir.expr(expr) else { return };
            let is = |side: ExprId| matches!(unit.ir.expr(side), ExprKind::Name(NameRef::Binding(id)) if *id == owner);
            let other = |side: ExprId| matches!(unit.ir.expr(side), ExprKind::Name(_) | ExprKind::Member { .. });
            found |= (is(*left) && other(*right)) || (is(*right) && other(*left));
        });
        found
    })
}

/// `const scope = row.scope ?? "global"`, and then `allowed.includes(scope)` decides.
fn taken_for(project: &Project, report: &mut Report<'_>, unit: &Unit, fun: Fun, function: &Function) {
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        let StmtKind::Assign { target, value, .. } = unit.ir.stmt(stmt) else { return };
        let (Some(id), ExprKind::Logical { op: LogicalOp::Or | LogicalOp::Nullish, left, right }) =
            (target.as_binding(), unit.ir.expr(*value))
        else {
            return;
        };
        let ExprKind::String(text) = unit.ir.expr(*right) else { return };
        let text = unit.ir.text(*text);
        let Some((column, row)) = column_of(unit, *left).filter(|_| TAKEN_FOR.contains(&text)) else {
            return;
        };
        let at = At { module: fun.module, expr: *value };
        let origins = project.origins(at.to(row));
        if (vocabulary::is_owner(&column) || column == "scope")
            && !origins.has(Origins::PRINCIPAL | Origins::REQUEST | Origins::INPUT)
            && refuses_by(project, unit, fun, function, id)
        {
            report
                .reached(at, format!("what has no `{column}` is taken for `{text}` here, and so passes the check of whoever may see that"))
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    });
}

/// The column that a value reads, and the row that it is read from: `row.scope`, `row.get("scope")`, `row["scope"]`.
fn column_of(unit: &Unit, value: ExprId) -> Option<(String, ExprId)> {
    match unit.ir.expr(value) {
        ExprKind::Member { object, property, .. } => Some((unit.ir.text(*property).to_owned(), *object)),
        ExprKind::Index { object, index, .. } => match unit.ir.expr(*index) {
            ExprKind::String(text) => Some((unit.ir.text(*text).to_owned(), *object)),
            _ => None,
        },
        ExprKind::Call(call) => match (unit.ir.expr(call.callee), unit.ir.expr(call.positional(0)?)) {
            (ExprKind::Member { object, property, .. }, ExprKind::String(text))
                if unit.ir.text(*property) == "get" =>
            {
                Some((unit.ir.text(*text).to_owned(), *object))
            }
            _ => None,
        },
        _ => None,
    }
}

/// Whether a function leaves where a variable is not among some or not equal to another.
fn refuses_by(project: &Project, unit: &Unit, fun: Fun, function: &Function, id: BindingId) -> bool {
    let is = |side: ExprId| matches!(unit.ir.expr(side), ExprKind::Name(NameRef::Binding(own)) if *own == id);
    let mut found = false;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        let StmtKind::If { test, then, .. } = unit.ir.stmt(stmt) else { return };
        if !project.leaves(fun, then) {
            return;
        }
        walk::exprs_below(&unit.ir, *test, &mut |expr| {
            found |= match unit.ir.expr(expr) {
                ExprKind::Compare { op: CompareOp::NotEq | CompareOp::NotIn, left, right } => {
                    let fixed =
                        |side: ExprId| matches!(unit.ir.expr(side), ExprKind::String(_) | ExprKind::Null);
                    (is(*left) && !fixed(*right)) || (is(*right) && !fixed(*left))
                }
                ExprKind::Call(call) => {
                    let asks = matches!(unit.ir.expr(call.callee), ExprKind::Member { property, .. } if matches!(unit.ir.text(*property), "includes" | "has"));
                    let denied = matches!(unit.index.parent(expr), Parent::Expr(up) if matches!(unit.ir.expr(up), ExprKind::Unary { .. }));
                    asks && denied && call.positional(0).is_some_and(is)
                }
                _ => false,
            };
        });
    });
    found
}

/// `if (task.subject !== subjectOf(ctx)) return null`, where `subjectOf` gives nothing for a caller without one.
fn both_missing(project: &Project, report: &mut Report<'_>, unit: &Unit, fun: Fun, function: &Function) {
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        let StmtKind::If { test, then, .. } = unit.ir.stmt(stmt) else { return };
        let ExprKind::Compare { op: CompareOp::NotEq, left, right } = unit.ir.expr(*test) else { return };
        let at = At { module: fun.module, expr: *test };
        let pair = |row: ExprId, caller: ExprId| {
            let column = matches!(unit.ir.expr(row), ExprKind::Member { object, property, .. }
                if names_owner(unit.ir.text(*property)) && !matches!(unit.ir.expr(*object), ExprKind::This));
            column && gives_nothing(project, at.to(caller))
        };
        if project.leaves(fun, then) && (pair(*left, *right) || pair(*right, *left)) {
            report
                .reached(at, "both may be missing here, and are then equal: whoever has no subject reaches what was kept for nobody")
                .severity(Severity::Low)
                .confidence(Confidence::Medium);
        }
    });
}

/// Whether a property says whose a thing is: `ownerId`, `authSubject`.
fn names_owner(name: &str) -> bool {
    vocabulary::is_owner(name)
        || vocabulary::words(name).iter().any(|word| matches!(word.as_str(), "owner" | "subject" | "sub"))
}

/// Whether a call of a function of ours gives what may be missing of the caller: it only reads `context?.subject`.
fn gives_nothing(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    if !matches!(unit.ir.expr(at.expr), ExprKind::Call(_)) {
        return false;
    }
    let Some(callee) = project.callee(at).filter(|callee| callee.certain) else { return false };
    let [target] = *callee.targets.as_slice() else { return false };
    let Some(home) = project.unit(target.module) else { return false };
    let [value] = *home.index.returns(target.id) else { return false };
    let read = match home.ir.expr(value) {
        ExprKind::Member { property, .. } => names_owner(home.ir.text(*property)),
        _ => false,
    };
    read && home.ir.snippet(home.ir.span(value)).contains("?.")
}
