//! The process's own credential in a server whose callers bring theirs: behind an `if` for those who bring none, in one tool that
//! forgot to ask, or before the caller's.

use std::collections::BTreeSet;

use partywall_model::{Confidence, Severity};

use super::{
    callers_own::{
        Known, awaited, holds_callers, is_told_nothing, is_told_whose, kept_credential, own_credential,
        takes_callers,
    },
    environment_credential::is_sent,
    lets_on::lets_on,
};
use crate::{
    flow::Lifetimes,
    ir::{ExprId, ExprKind, FunctionId, Language, StmtId, StmtKind, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Functions that use the caller's credential where there is one, and go on with the process's own client where there is none.
pub(super) fn falls_to_own(project: &Project, report: &mut Report<'_>) {
    let fallen = fallen(project);
    for own in &fallen {
        report
            .reached(
                own.call,
                format!("a caller who brings no credential gets `{}`, which is the process's own", own.name),
            )
            .severity(Severity::Medium)
            .confidence(Confidence::Medium);
    }
    lets_on(project, &fallen, report);
    own_first(project, report);
}

/// A place where a function goes on with the process's own credential, behind a test for the caller's.
#[derive(Debug)]
pub(super) struct Fallen {
    /// The test.
    pub(super) test: At,
    /// The process's own.
    pub(super) call: At,
    /// What that is called.
    pub(super) name: String,
}

/// All such places.
fn fallen(project: &Project) -> Vec<Fallen> {
    let mut known = Known::default();
    let mut found = Vec::new();
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for (_, stmt) in unit.ir.stmts() {
            let StmtKind::If { test, .. } = stmt else { continue };
            let at = At { module, expr: *test };
            let mut asks = false;
            walk::exprs_below(&unit.ir, *test, &mut |expr| {
                asks |= holds_callers(project, unit, at.to(expr), &mut known)
            });
            let fun = project.function_of(at);
            if !asks || fun.id == FunctionId::MODULE {
                continue;
            }
            if let Some((call, name)) = own_after(project, unit, fun, *test, &mut known) {
                found.push(Fallen { test: at, call, name });
            }
        }
    }
    found
}

/// The first use of the process's own credential after a test for the caller's, and nothing is raised in between.
fn own_after(
    project: &Project,
    unit: &Unit,
    fun: Fun,
    test: ExprId,
    known: &mut Known,
) -> Option<(At, String)> {
    let from = unit.index.order(test);
    let then = unit.index.stmt_of(test).map(|stmt| match unit.ir.stmt(stmt) {
        StmtKind::If { then, .. } => then.to_vec(),
        _ => Vec::new(),
    })?;
    let mut own: Option<(u32, At, String)> = None;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let order = unit.index.order(expr);
        let at = At { module: fun.module, expr };
        if order <= from
            || own.as_ref().is_some_and(|(first, ..)| *first <= order)
            || stands_in(unit, expr, &then)
        {
            return;
        }
        let name = own_credential(project, unit, at)
            .or_else(|| kept_credential(project, unit, at))
            .filter(|_| is_sent(project, unit, at, true));
        let name = name.or_else(|| {
            let ExprKind::Call(_) = unit.ir.expr(expr) else { return None };
            let callee = project.callee(at).filter(|callee| callee.certain)?;
            let target = callee.targets.first().copied()?;
            let takes = known.of(project, target);
            (takes.own && !takes.callers && is_of_client(callee.name())).then(|| callee.name().to_owned())
        });
        if let Some(name) = name {
            own = Some((order, at, name));
        }
    });
    let (order, at, name) = own?;
    (!raises_between(unit, fun, from, order)).then_some((at, name))
}

/// Whether a name is that of a client, or of what is sent with a request.
fn is_of_client(name: &str) -> bool {
    vocabulary::is_credential(name)
        || vocabulary::words(name).iter().any(|word| {
            matches!(
                word.as_str(),
                "client" | "api" | "http" | "connection" | "token" | "headers" | "credentials" | "key"
            )
        })
}

fn stands_in(unit: &Unit, expr: ExprId, block: &[StmtId]) -> bool {
    let Some(own) = unit.index.stmt_of(expr) else { return false };
    let mut found = false;
    walk::stmts_below(&unit.ir, block, &mut |stmt| found |= stmt == own);
    found
}

fn raises_between(unit: &Unit, fun: Fun, from: u32, to: u32) -> bool {
    let Some(function) = unit.ir.function(fun.id) else { return true };
    let mut found = false;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        let order = unit.index.stmt_order(stmt);
        found |= matches!(unit.ir.stmt(stmt), StmtKind::Throw(_)) && order > from && order < to;
    });
    found
}

/// `try: return await stored_token(url)` before `return client.bearer_token`: what one file or store of the process holds goes before
/// what the caller sent.
fn own_first(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for (id, stmt) in unit.ir.stmts() {
            let StmtKind::Try { body, handlers, .. } = stmt else { continue };
            let function = unit.index.stmt_function(id);
            let returned = |block: &[StmtId]| {
                block.iter().find_map(|own| match unit.ir.stmt(*own) {
                    StmtKind::Return(Some(value)) => Some(*value),
                    _ => None,
                })
            };
            let Some(stored) = returned(body).map(|value| At { module, expr: awaited(unit, value) }) else {
                continue;
            };
            let Some(theirs) = handlers.iter().find_map(|handler| returned(&handler.body)) else { continue };
            if !is_store(project, unit, stored)
                || !is_of_parameter(project, unit, At { module, expr: theirs })
                || leaves_before(unit, function, id)
            {
                continue;
            }
            report
                .reached(
                    stored,
                    "what the process has stored goes before the credential that the caller sent",
                )
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether a call gives a credential, and is told nothing of who calls.
fn is_store(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    let name = project.written(at).pop().unwrap_or_default();
    let sdk = |package: &str| {
        matches!(package.split('.').next(), Some("mcp" | "fastmcp" | "starlette" | "fastapi"))
    };
    let theirs = project.callee(at).is_some_and(|callee| callee.package.as_deref().is_some_and(sdk));
    let told = call.args.iter().any(|arg| {
        let mut whose = false;
        walk::exprs_below(&unit.ir, arg.value, &mut |expr| {
            whose |= project.last_written(at.to(expr)).is_some_and(|name| {
                vocabulary::is_owner(name)
                    || vocabulary::is_credential(name)
                    || vocabulary::is_session_id(name)
            });
        });
        whose
    });
    let credential = vocabulary::is_credential(name.as_str())
        || vocabulary::words(name.as_str())
            .iter()
            .any(|word| matches!(word.as_str(), "token" | "credentials" | "creds"));
    credential && !theirs && !takes_callers(project, unit, at) && !told
}

/// Whether a value is made of a credential of what the function was called with: `client.bearer_token`.
fn is_of_parameter(project: &Project, unit: &Unit, at: At) -> bool {
    let given = project.roots(at).into_iter().any(|root| project.parameter_of(at.module, root).is_some());
    let mut named = false;
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        named |= matches!(unit.ir.expr(expr), ExprKind::Member { property, .. } if vocabulary::is_credential(unit.ir.text(*property)));
    });
    given && named
}

/// Whether a function returns before a statement, and so may have asked where it runs.
fn leaves_before(unit: &Unit, function: FunctionId, stmt: StmtId) -> bool {
    let Some(function) = unit.ir.function(function) else { return true };
    let order = unit.index.stmt_order(stmt);
    let mut found = false;
    walk::stmts_below(&unit.ir, &function.body, &mut |own| {
        found |= matches!(unit.ir.stmt(own), StmtKind::Return(_)) && unit.index.stmt_order(own) < order;
    });
    found
}

/// Functions of requests that take the process's own credential, in a package in which others take the caller's.
pub(super) fn forgot_callers(project: &Project, report: &mut Report<'_>) {
    let mut known = Known::default();
    let lives = Lifetimes::new(project);
    let all = takers(project);
    let folders: BTreeSet<&str> = all.iter().filter_map(|fun| project.folder(fun.module)).collect();
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        // Packages that stand beside one another have callers of their own.
        if !project.folder(module).is_some_and(|own| folders.contains(own)) {
            continue;
        }
        for (id, function) in unit.ir.functions() {
            let fun = Fun { module, id };
            if id == FunctionId::MODULE || !lives.is_per_request(fun) || is_told_whose(unit, &function.params)
            {
                continue;
            }
            let mut first: Option<(u32, At, String)> = None;
            walk::function_exprs(&unit.ir, id, &mut |expr| {
                let order = unit.index.order(expr);
                if first.as_ref().is_some_and(|(first, ..)| *first <= order) {
                    return;
                }
                if let Some((at, name)) = forgets(project, unit, fun, At { module, expr }, &all, &mut known) {
                    first = Some((order, at, name));
                }
            });
            if let Some((_, at, name)) = first {
                report
                    .reached(at, format!("`{name}` acts for the process itself here, while other calls act for whoever asks"))
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// The functions of a project that take the caller's credential themselves.
fn takers(project: &Project) -> Vec<Fun> {
    let mut found = Vec::new();
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for (id, _) in unit.ir.functions() {
            let fun = Fun { module, id };
            let mut takes = false;
            if id != FunctionId::MODULE {
                walk::function_exprs(&unit.ir, id, &mut |expr| {
                    takes |= takes_callers(project, unit, At { module, expr })
                });
            }
            if takes {
                found.push(fun);
            }
        }
    }
    found
}

/// What in a function is the process's own although others take the caller's: a credential of the settings, a client that is made
/// with one, or a library's client that is told nothing beside one that is the caller's.
fn forgets(
    project: &Project,
    unit: &Unit,
    fun: Fun,
    at: At,
    takers: &[Fun],
    known: &mut Known,
) -> Option<(At, String)> {
    let own = known.of(project, fun);
    if let Some(name) = own_credential(project, unit, at) {
        return (!own.callers && is_sent(project, unit, at, true)).then_some((at, name));
    }
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
    let callee = project.callee(at)?;
    let name = callee.name().to_owned();
    let words = vocabulary::words(&name);
    let is_client =
        words.iter().any(|word| matches!(word.as_str(), "client" | "api" | "session" | "connection"));
    if callee.certain
        && let [target] = callee.targets.as_slice()
    {
        let takes = known.of(project, *target);
        return (is_client && takes.own && !takes.callers && !own.callers).then_some((at, name));
    }
    let plain = callee.package.as_deref().is_none_or(|package| {
        matches!(
            package.split('.').next(),
            Some("httpx" | "requests" | "aiohttp" | "mcp" | "fastmcp" | "redis" | "urllib3")
        )
    });
    let gets = words.first().is_some_and(|verb| matches!(verb.as_str(), "get" | "create" | "make" | "build"));
    let beside = || {
        let mut found = false;
        walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
            if let Some(other) = project.callee(At { module: fun.module, expr }).filter(|other| other.certain)
            {
                found |= other.targets.iter().any(|target| takers.contains(target))
                    && vocabulary::words(other.name()).iter().any(|word| word == "client");
            }
        });
        found
    };
    let told = is_told_in_settings(unit, at.expr);
    (!plain
        && gets
        && is_client
        && callee.targets.is_empty()
        && is_told_nothing(unit, call)
        && !told
        && beside())
    .then_some((at, name))
}

/// Whether a call stands in a `with` that changes settings for it: `with temporary_settings(…):`.
fn is_told_in_settings(unit: &Unit, expr: ExprId) -> bool {
    let mut here = unit.index.stmt_of(expr);
    for _ in 0..16 {
        let Some(stmt) = here else { return false };
        if let StmtKind::With { items, .. } = unit.ir.stmt(stmt)
            && items.iter().any(|(item, _)| {
                let text = unit.ir.snippet(unit.ir.span(*item)).to_lowercase();
                ["settings", "override", "credential"].iter().any(|word| text.contains(word))
            })
        {
            return true;
        }
        here = unit.index.stmt_parent(stmt);
    }
    false
}
