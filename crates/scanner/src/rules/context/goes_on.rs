//! Code that asks the context for the caller and, where there is none, goes on without: `if (!caller) return query(sql)` before
//! `query(… caller.tenantId …)`, `return qs.filter(tenant=tenant) if tenant else qs`.

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{BindingId, CompareOp, ExprId, ExprKind, FunctionId, Kinds, NameRef, StmtKind, walk},
    project::{At, Fun, ModuleId, Project, Unit},
    rules::{
        Report, branches::absent_variable, cache::first_caller_field::asks_around,
        identity::header_as_caller::says_who_calls,
    },
    vocabulary,
};

/// How many functions are followed to where the context is asked.
const STEPS: u32 = 4;

/// Texts of conditions that hold for every row.
const EVERY: &[&str] = &["true", "1=1", "1 = 1", "(true)", "(1=1)"];

/// Reports where such code goes on.
pub(super) fn goes_on(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for (id, stmt) in unit.ir.stmts() {
            let StmtKind::If { test, then, otherwise } = stmt else { continue };
            let fun = Fun { module, id: unit.index.stmt_function(id) };
            let (Some(missing), [only], []) = (absent_variable(unit, *test), &**then, &**otherwise) else {
                continue;
            };
            let StmtKind::Return(Some(value)) = unit.ir.stmt(*only) else { continue };
            let at = At { module, expr: *value };
            if fun.id != FunctionId::MODULE
                && is_of_context(project, unit, module, missing)
                && unit.index.returns(fun.id).iter().any(|later| {
                    unit.index.order(*later) > unit.index.order(*value)
                        && is_for_one(unit, at.to(*later), missing)
                        && is_same_for_all(project, unit, at, at.to(*later))
                })
            {
                tell(report, at);
            }
        }
        for (expr, kind) in unit.ir.exprs_of(Kinds::CHOICE) {
            let ExprKind::Conditional { test, then, otherwise } = kind else { continue };
            let Some(asked) = present_variable(unit, *test) else { continue };
            let at = At { module, expr };
            if project.function_of(at).id != FunctionId::MODULE
                && is_of_context(project, unit, module, asked)
                && is_for_one(unit, at.to(*then), asked)
                && is_same_for_all(project, unit, at.to(*otherwise), at.to(*then))
            {
                tell(report, at.to(*otherwise));
            }
        }
    }
}

fn tell(report: &mut Report<'_>, at: At) {
    report
        .reached(at, "where the context has no caller, this goes on with the rows of all")
        .severity(Severity::Medium)
        .confidence(Confidence::Medium)
        .whatever_the_way();
}

fn present_variable(unit: &Unit, test: ExprId) -> Option<BindingId> {
    let asked = match unit.ir.expr(test) {
        ExprKind::Compare { op: CompareOp::NotEq, left, right }
            if matches!(unit.ir.expr(*right), ExprKind::Null) =>
        {
            *left
        }
        _ => test,
    };
    match unit.ir.expr(asked) {
        ExprKind::Name(NameRef::Binding(id)) => Some(*id),
        _ => None,
    }
}

/// Whether a variable holds what the context has of the caller, or what a function without arguments gives that is named for it.
fn is_of_context(project: &Project, unit: &Unit, module: ModuleId, id: BindingId) -> bool {
    let [source] = unit.index.sources(id) else { return false };
    let mut found = false;
    walk::exprs_below(&unit.ir, source.value, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let at = At { module, expr };
        let named = || {
            project.callee(at).is_some_and(|callee| {
                callee.certain && !callee.targets.is_empty() && says_who_calls(callee.name())
            })
        };
        found |= call.args.is_empty() && !call.is_new && (asks_around(project, at, STEPS) || named());
    });
    let name = unit.ir.binding_name(id);
    let who = vocabulary::is_owner(name)
        || vocabulary::is_principal(name)
        || matches!(name, "caller" | "store" | "ctx" | "context" | "org" | "tenant" | "user");
    found && who
}

/// Whether a value is made with the caller: a call or a text that has it in it.
fn is_for_one(unit: &Unit, at: At, id: BindingId) -> bool {
    match unit.ir.expr(at.expr) {
        ExprKind::Call(call) => call.args.iter().any(|arg| mentions(unit, arg.value, id)),
        ExprKind::Template(_) | ExprKind::Binary { .. } => mentions(unit, at.expr, id),
        ExprKind::Await(inner) => is_for_one(unit, at.to(*inner), id),
        _ => false,
    }
}

fn mentions(unit: &Unit, expr: ExprId, id: BindingId) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, expr, &mut |own| {
        found |= matches!(unit.ir.expr(own), ExprKind::Name(NameRef::Binding(named)) if *named == id);
    });
    found
}

/// Whether a value is the other one without the caller: the same function called, the query as it is, a condition that always holds.
fn is_same_for_all(project: &Project, unit: &Unit, open: At, own: At) -> bool {
    let inner = |at: At| match unit.ir.expr(at.expr) {
        ExprKind::Await(value) => at.to(*value),
        _ => at,
    };
    let (open, own) = (inner(open), inner(own));
    match (unit.ir.expr(open.expr), unit.ir.expr(own.expr)) {
        (ExprKind::String(text), ExprKind::Template(_) | ExprKind::Binary { .. }) => {
            EVERY.contains(&unit.ir.text(*text).trim().to_lowercase().as_str())
        }
        // `return qs` beside `return qs.filter(tenant=tenant)`
        (ExprKind::Name(NameRef::Binding(id)), ExprKind::Call(call)) => match unit.ir.expr(call.callee) {
            ExprKind::Member { object, property, .. } => {
                matches!(
                    unit.ir.text(*property),
                    "filter" | "where" | "filter_by" | "andWhere" | "eq" | "and" | "scoped"
                ) && mentions(unit, *object, *id)
            }
            _ => false,
        },
        (ExprKind::Call(one), ExprKind::Call(other)) => {
            let (first, second) =
                (project.snippet(open.to(one.callee)), project.snippet(own.to(other.callee)));
            let asks = project.last_written(open.to(one.callee)).is_some_and(|name| {
                vocabulary::words(name).iter().any(|word| {
                    matches!(
                        word.as_str(),
                        "query"
                            | "fetch"
                            | "execute"
                            | "find"
                            | "select"
                            | "run"
                            | "all"
                            | "many"
                            | "raw"
                            | "sql"
                    )
                })
            });
            first == second && asks && !one.args.is_empty()
        }
        _ => false,
    }
}
