//! Checks of a key that let everybody through where the operator has set none: `if not API_KEY: return`, `if (API_KEY && sent !== API_KEY)
//! refuse`. A server that was begun without the key is open to all, and nothing tells it from one that is not.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Origins,
    ir::{CompareOp, ExprId, ExprKind, FunctionId, LogicalOp, NameRef, StmtId, StmtKind, walk},
    project::{At, Fun, ModuleId, Project, Unit},
    rules::{Report, branches::absent},
    vocabulary,
};

/// Words of functions that say whether a request may go on.
const CHECKS: &[&str] = &[
    "auth",
    "authenticate",
    "authorize",
    "authorized",
    "verify",
    "validate",
    "check",
    "require",
    "guard",
    "middleware",
    "dispatch",
    "protect",
    "key",
    "token",
];

/// Words of calls that refuse.
const REFUSES: &[&str] = &[
    "HTTPException",
    "JSONResponse",
    "PlainTextResponse",
    "abort",
    "status",
    "sendStatus",
    "forbidden",
    "unauthorized",
    "jsonify",
    "error",
    "writeHead",
    "throw",
    "exit",
    "Response",
    "json",
];

/// Reports such branches.
pub(super) fn open_unless_set(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for (id, stmt) in unit.ir.stmts() {
            let StmtKind::If { test, then, otherwise } = stmt else { continue };
            let fun = Fun { module, id: unit.index.stmt_function(id) };
            if fun.id == FunctionId::MODULE || !otherwise.is_empty() || !is_check(project, fun) {
                continue;
            }
            // `if not API_KEY: return`, and what comes behind compares it.
            let passes = absent(unit, *test).filter(|key| {
                lets_pass(project, unit, module, then)
                    && is_compared(project, unit, At { module, expr: *key }, fun.id)
            });
            // `if API_KEY: if sent != API_KEY: refuse`, and nothing behind it.
            let skipped = || {
                present(unit, *test).filter(|key| {
                    let key = At { module, expr: *key };
                    compares_below(project, unit, key, *test, then)
                        && refuses(project, unit, module, then)
                        && ends_open(project, unit, fun, id)
                })
            };
            let Some(key) = passes
                .or_else(skipped)
                .filter(|key| is_of_operator(project, unit, At { module, expr: *key }))
            else {
                continue;
            };
            let at = At { module, expr: key };
            let text = project.snippet(at).to_owned();
            report
                .reached(
                    At { module, expr: *test },
                    format!("where `{text}` is not set, whoever calls is let through"),
                )
                .severity(Severity::Low)
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether a function says whether a request may go on, by its name or by what it is.
fn is_check(project: &Project, fun: Fun) -> bool {
    project.around(fun).into_iter().any(|fun| {
        let named =
            vocabulary::words(project.function_name(fun)).iter().any(|word| CHECKS.contains(&word.as_str()));
        named || project.entry(fun).is_some_and(|entry| entry.kind == "middleware")
    })
}

/// What a condition, or the first part of it, finds there.
fn present(unit: &Unit, test: ExprId) -> Option<ExprId> {
    match unit.ir.expr(test) {
        ExprKind::Name(_) | ExprKind::Member { .. } => Some(test),
        ExprKind::Compare { op: CompareOp::NotEq, left, right }
            if matches!(unit.ir.expr(*right), ExprKind::Null) =>
        {
            Some(*left)
        }
        ExprKind::Logical { op: LogicalOp::And, left, .. } => present(unit, *left),
        _ => None,
    }
}

/// Whether a value is a secret of the settings or the environment.
fn is_of_operator(project: &Project, unit: &Unit, key: At) -> bool {
    let path = project.written(key);
    let named = path.last().is_some_and(|name| {
        vocabulary::is_credential(name)
            || vocabulary::words(name)
                .iter()
                .any(|word| matches!(word.as_str(), "secret" | "key" | "token" | "password"))
    });
    let of_settings =
        path.iter().rev().skip(1).any(|part| {
            matches!(part.trim_start_matches('_'), "settings" | "config" | "cfg" | "conf" | "env")
        });
    let origins = project.origins(key);
    let sent = origins.has(Origins::INPUT | Origins::UNVERIFIED | Origins::REQUEST | Origins::PRINCIPAL);
    let constant = matches!(unit.ir.expr(key.expr), ExprKind::Name(NameRef::Binding(id)) if unit.ir.is_module_level(*id) && !unit.ir.binding_name(*id).contains(char::is_lowercase));
    named && !sent && (origins.has(Origins::ENV) || of_settings || constant)
}

/// Whether a block lets a request go on: it does nothing but leave, and refuses nothing.
fn lets_pass(project: &Project, unit: &Unit, module: ModuleId, block: &[StmtId]) -> bool {
    let leaves = block.last().is_some_and(|last| match unit.ir.stmt(*last) {
        StmtKind::Return(Some(value)) => match unit.ir.expr(*value) {
            ExprKind::Bool(false) | ExprKind::String(_) => false,
            ExprKind::Null => !gives_caller(project, unit, module, *last),
            _ => true,
        },
        StmtKind::Return(None) => !gives_caller(project, unit, module, *last),
        _ => false,
    });
    leaves && !refuses(project, unit, module, block)
}

/// Whether the function of a statement gives who calls elsewhere, so that nothing means nobody: `if not KEY: return None`, `return claims`.
fn gives_caller(project: &Project, unit: &Unit, module: ModuleId, stmt: StmtId) -> bool {
    unit.index.returns(unit.index.stmt_function(stmt)).iter().any(|value| match unit.ir.expr(*value) {
        ExprKind::Null => false,
        ExprKind::Call(call) => {
            let name = project.last_written(At { module, expr: call.callee }).unwrap_or_default();
            !REFUSES.contains(&name) && !matches!(name, "next" | "call_next" | "callNext")
        }
        ExprKind::Await(_) | ExprKind::Array { .. } => false,
        _ => true,
    })
}

/// Whether a block throws, or answers that it will not.
fn refuses(project: &Project, unit: &Unit, module: ModuleId, block: &[StmtId]) -> bool {
    let mut found = false;
    walk::stmts_below(&unit.ir, block, &mut |stmt| {
        found |= matches!(unit.ir.stmt(stmt), StmtKind::Throw(_));
        found |= matches!(unit.ir.stmt(stmt), StmtKind::Return(Some(value)) if matches!(unit.ir.expr(*value), ExprKind::Bool(false)));
        walk::parts(&unit.ir, stmt, &mut |part| {
            let walk::Part::Expr(root) = part else { return };
            walk::exprs_below(&unit.ir, root, &mut |expr| {
                if let ExprKind::Call(call) = unit.ir.expr(expr) {
                    let log = project.callee(At { module, expr }).is_some_and(|callee| {
                        callee.defs.iter().any(|def| def.role == crate::library::Role::Log)
                    });
                    let name = project.last_written(At { module, expr: call.callee }).unwrap_or_default();
                    // `next(new ApiError(…))` goes to what answers with an error.
                    let error = name == "next"
                        && call.positional(0).is_some_and(|given| {
                            !matches!(unit.ir.expr(given), ExprKind::String(_) | ExprKind::Null)
                        });
                    found |= !log && (error || REFUSES.contains(&name));
                }
            });
        });
    });
    found
}

/// Whether a function compares what was sent with a value, or has it verified with it.
fn is_compared(project: &Project, unit: &Unit, key: At, function: FunctionId) -> bool {
    let text = project.snippet(key);
    let mut found = false;
    walk::function_exprs(&unit.ir, function, &mut |expr| {
        found |= compares(project, unit, key.to(expr), text)
    });
    found
}

fn compares_below(project: &Project, unit: &Unit, key: At, test: ExprId, block: &[StmtId]) -> bool {
    let text = project.snippet(key);
    let mut found = false;
    walk::exprs_below(&unit.ir, test, &mut |expr| found |= compares(project, unit, key.to(expr), text));
    walk::stmts_below(&unit.ir, block, &mut |stmt| {
        walk::parts(&unit.ir, stmt, &mut |part| {
            let walk::Part::Expr(root) = part else { return };
            walk::exprs_below(&unit.ir, root, &mut |expr| {
                found |= compares(project, unit, key.to(expr), text)
            });
        });
    });
    found
}

/// Whether an expression compares what a text stands for with something: `sent != KEY`, `compare_digest(sent, KEY)`.
fn compares(project: &Project, unit: &Unit, at: At, text: &str) -> bool {
    let own = |expr: ExprId| project.snippet(at.to(expr)) == text;
    match unit.ir.expr(at.expr) {
        ExprKind::Compare { op: CompareOp::Eq | CompareOp::NotEq, left, right } => {
            let other = if own(*left) { *right } else { *left };
            own(*left) != own(*right)
                && !matches!(
                    unit.ir.expr(other),
                    ExprKind::Null | ExprKind::String(_) | ExprKind::Unary { .. }
                )
        }
        ExprKind::Call(call) => {
            let name = project.last_written(at.to(call.callee)).unwrap_or_default();
            let fits = vocabulary::words(name)
                .iter()
                .any(|word| matches!(word.as_str(), "compare" | "equal" | "equals" | "verify" | "decode"));
            fits && call.args.iter().any(|arg| {
                let mut found = false;
                walk::exprs_below(&unit.ir, arg.value, &mut |expr| found |= own(expr));
                found
            })
        }
        _ => false,
    }
}

/// Whether what stands behind a branch refuses nothing.
fn ends_open(project: &Project, unit: &Unit, fun: Fun, branch: StmtId) -> bool {
    let Some(function) = unit.ir.function(fun.id) else { return false };
    let Some(place) = function.body.iter().position(|stmt| *stmt == branch) else { return false };
    let rest = function.body.get(place + 1..).unwrap_or_default();
    !refuses(project, unit, fun.module, rest)
}
