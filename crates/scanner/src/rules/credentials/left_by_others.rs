//! A credential that one caller left in the process, for another one who brings none: `token = token or self._token`,
//! `if "current" in KEYS: return KEYS["current"]` behind a look at the caller's own.

use std::collections::BTreeSet;

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Cell, Lifetimes, Origins, SharedWrite},
    ir::{BindingId, ExprId, ExprKind, FunctionId, Kinds, LogicalOp, NameRef, StmtKind, walk},
    library::Role,
    project::{At, Fun, Project, Unit},
    rules::{Report, state::got_for::is_got_for_caller},
    vocabulary,
};

/// Reports places where a request goes on with such a credential.
pub(super) fn left_by_others(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    let left: Vec<Cell> = lives
        .shared_writes(project)
        .iter()
        .filter(|write| is_of_caller(project, &lives, write))
        .map(|write| write.cell.clone())
        .collect();
    if left.is_empty() {
        return;
    }
    let is_left = |at: At| lives.cell(at).is_some_and(|cell| left.contains(&cell));
    let mut told: BTreeSet<Fun> = BTreeSet::new();
    for (module, unit) in project.units() {
        for (expr, kind) in unit.ir.exprs_of(Kinds::CHOICE) {
            let (own, other) = match kind {
                ExprKind::Logical { op: LogicalOp::Or | LogicalOp::Nullish, left, right } => (*left, *right),
                ExprKind::Conditional { then, otherwise, .. } => (*then, *otherwise),
                _ => continue,
            };
            let at = At { module, expr };
            let fun = project.function_of(at);
            if lives.is_per_request(fun)
                && is_own(project, at.to(own))
                && !is_left(at.to(own))
                && is_left(at.to(other))
            {
                told.insert(fun);
                tell(report, at);
            }
        }
        for (id, _) in unit.ir.functions().filter(|(id, _)| *id != FunctionId::MODULE) {
            let fun = Fun { module, id };
            if lives.is_per_request(fun)
                && !told.contains(&fun)
                && let Some(at) = in_the_end(project, unit, fun, &is_left)
            {
                tell(report, at);
            }
        }
    }
}

fn tell(report: &mut Report<'_>, at: At) {
    report
        .reached(at, "a caller who brings no credential goes on with the one that another caller left")
        .severity(Severity::Medium)
        .confidence(Confidence::Medium);
}

/// Whether what a request leaves is a credential that its caller brought or was given.
fn is_of_caller(project: &Project, lives: &Lifetimes<'_>, write: &SharedWrite) -> bool {
    let (name, of) = match &write.cell {
        Cell::Property(of, name) => (name.clone(), name_of(project, of)),
        other => (name_of(project, other), String::new()),
    };
    let credential = |name: &str| {
        vocabulary::is_credential(name)
            || vocabulary::words(name).last().is_some_and(|last| matches!(last.as_str(), "tokens" | "keys"))
    };
    let origins = project.origins(write.value);
    let brought =
        Origins::SECRET | Origins::PRINCIPAL | Origins::INPUT | Origins::UNVERIFIED | Origins::REQUEST;
    let got = || is_got_for_caller(project, lives, write, &name);
    (credential(&name) || credential(&of)) && !origins.has(Origins::ENV) && (origins.has(brought) || got())
}

fn name_of(project: &Project, cell: &Cell) -> String {
    match cell {
        Cell::Field(_, name) | Cell::Property(_, name) => name.clone(),
        Cell::Binding(module, id) => {
            project.unit(*module).map_or_else(String::new, |unit| unit.ir.binding_name(*id).to_owned())
        }
        Cell::Global => String::new(),
    }
}

/// Whether a value is the credential that the caller brings: by its name, and by where it comes from.
fn is_own(project: &Project, at: At) -> bool {
    let origins = project.origins(at);
    let named =
        project.last_written(at).is_some_and(vocabulary::is_credential) || gets_credential(project, at);
    let brought = Origins::INPUT | Origins::UNVERIFIED | Origins::PRINCIPAL | Origins::REQUEST;
    origins.has(Origins::SECRET) || (named && (origins.has(brought) || is_of_context(project, at)))
}

/// Whether a value is what is got under the name of a credential: `headers.get("x-token")`, `body["api_key"]`.
fn gets_credential(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let key = match unit.ir.expr(at.expr) {
        ExprKind::Call(call) => call.positional(0),
        ExprKind::Index { index, .. } => Some(*index),
        _ => None,
    };
    key.is_some_and(|key| matches!(unit.ir.expr(key), ExprKind::String(text) if vocabulary::is_credential(unit.ir.text(*text))))
}

/// Whether a value is read from the context of the request.
fn is_of_context(project: &Project, at: At) -> bool {
    project.callee(at).is_some_and(|callee| callee.defs.iter().any(|def| def.role == Role::ContextGet))
}

/// What a function gives of what others left, when it has looked at the caller's own before: `own = token.get()`, `if own: return own`.
fn in_the_end(project: &Project, unit: &Unit, fun: Fun, is_left: &impl Fn(At) -> bool) -> Option<At> {
    let function = unit.ir.function(fun.id)?;
    let mut own: Vec<BindingId> = Vec::new();
    let mut looked: Option<u32> = None;
    let mut found = None;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| match unit.ir.stmt(stmt) {
        StmtKind::Assign { target, value, .. } => {
            let at = At { module: fun.module, expr: *value };
            let whole = target.as_binding().filter(|_| !is_left(at));
            if let Some(id) = whole {
                let named = vocabulary::is_credential(unit.ir.binding_name(id));
                let brought = is_own(project, at) || is_of_context(project, at);
                if brought && (named || says_credential(unit, *value)) {
                    own.push(id);
                }
            }
        }
        StmtKind::If { test, then, .. } => {
            let asks = mentions(unit, *test, &own);
            let gives = then.iter().any(|inner| match unit.ir.stmt(*inner) {
                StmtKind::Return(Some(value)) => mentions(unit, *value, &own),
                _ => false,
            });
            if asks && gives {
                looked = looked.or(Some(unit.index.stmt_order(stmt)));
            }
        }
        StmtKind::Return(Some(value)) => {
            let later = looked.is_some_and(|order| unit.index.stmt_order(stmt) > order);
            if later && found.is_none() && !mentions(unit, *value, &own) {
                walk::exprs_below(&unit.ir, *value, &mut |expr| {
                    let at = At { module: fun.module, expr };
                    if found.is_none() && is_left(at) {
                        found = Some(at);
                    }
                });
            }
        }
        _ => {}
    });
    found
}

/// Whether a variable that a value is read from is named for a credential: `current_api_key.get()`.
fn says_credential(unit: &Unit, value: ExprId) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, value, &mut |expr| {
        found |= match unit.ir.expr(expr) {
            ExprKind::Name(NameRef::Binding(id)) => vocabulary::is_credential(unit.ir.binding_name(*id)),
            ExprKind::Member { property, .. } => vocabulary::is_credential(unit.ir.text(*property)),
            _ => false,
        };
    });
    found
}

fn mentions(unit: &Unit, expr: ExprId, own: &[BindingId]) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, expr, &mut |below| {
        found |= matches!(unit.ir.expr(below), ExprKind::Name(NameRef::Binding(id)) if own.contains(id));
    });
    found
}
