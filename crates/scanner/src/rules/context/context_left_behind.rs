//! A thread that asks for a request's context, which is not there.

use std::collections::BTreeSet;

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use super::frozen_context::{names_caller, variable};
use crate::{
    ir::{ArgKind, Call, ExprId, ExprKind, Language, walk},
    library::Role,
    project::{At, Fun, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "context-left-behind",
        layer: Layer::Context,
        summary: "Code that runs in a thread of a pool reads the caller from a context that threads do not get.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "`submit`, `run_in_executor` and `Thread` do not copy context variables. In the thread the caller is missing, and what \
          stands in for one, a default or the process's own credential, is taken for every caller.",
    fix: "Read the caller before the thread begins and hand it over, or run the function in `contextvars.copy_context()` \
          (`asyncio.to_thread` does so).",
    cwe: &["CWE-636", "CWE-488"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("context_left_behind.md"),
    run,
};

/// How many calls deep a thread's function is followed.
const DEPTH: u32 = 4;

fn run(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for expr in &unit.index.calls {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let Some(started) = started(project, unit, at, call) else { continue };
            for fun in project.functions_of(at.to(started)) {
                let mut seen = BTreeSet::new();
                let mut found = Vec::new();
                reads(project, fun, DEPTH, &mut seen, &mut found);
                let set: Vec<String> = seen.iter().flat_map(|fun| sets(project, *fun)).collect();
                for (read, name) in found.into_iter().filter(|(_, name)| !set.contains(name)) {
                    report
                        .at(read, format!("`{name}` is read in a thread that the request's context does not reach"))
                        .confidence(Confidence::Medium)
                        .related(module, unit.ir.span(*expr), "the thread is started here");
                }
            }
        }
    }
}

/// The function that a call runs in a thread without its context.
fn started(project: &Project, unit: &Unit, at: At, call: &Call) -> Option<ExprId> {
    let path = project.written(at.to(call.callee));
    let holder = path.iter().rev().nth(1).map_or("", String::as_str);
    let pool = || {
        vocabulary::words(holder).iter().any(|word| matches!(word.as_str(), "executor" | "pool" | "threads" | "workers" | "threadpool"))
    };
    let function = match path.last()?.as_str() {
        "submit" if pool() => call.positional(0),
        "run_in_executor" => call.positional(1),
        "Thread" => call.args.iter().find_map(|arg| match arg.kind {
            ArgKind::Keyword(name) if unit.ir.text(name) == "target" => Some(arg.value),
            _ => None,
        }),
        _ => None,
    }?;
    // A pool of the project's own may hand the context on.
    if project.callee(at).is_some_and(|callee| callee.certain && !callee.targets.is_empty()) {
        return None;
    }
    // `partial(work, id)`
    if let ExprKind::Call(inner) = unit.ir.expr(function) {
        let name = project.written(at.to(inner.callee)).pop();
        return name.filter(|name| name == "partial").and_then(|_| inner.positional(0));
    }
    Some(function)
}

/// The reads of a request's context in a function and in those that it calls, with their names.
fn reads(project: &Project, fun: Fun, depth: u32, seen: &mut BTreeSet<Fun>, found: &mut Vec<(At, String)>) {
    let (Some(depth), Some(unit)) = (depth.checked_sub(1), project.unit(fun.module)) else { return };
    if !seen.insert(fun) {
        return;
    }
    let mut calls = Vec::new();
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        if matches!(unit.ir.expr(expr), ExprKind::Call(_)) {
            calls.push(At { module: fun.module, expr });
        }
    });
    for at in calls {
        let Some(callee) = project.callee(at) else { continue };
        if callee.defs.iter().any(|def| def.role == Role::ContextGet) {
            found.extend(variable(project, at).filter(|name| names_caller(name)).map(|name| (at, name)));
        } else if is_of_an_sdk(callee.package.as_deref(), callee.name()) {
            found.push((at, callee.name().to_owned()));
        } else if let [target] = *callee.targets {
            reads(project, target, depth, seen, found);
        }
    }
}

/// The names of the context variables that a function sets.
fn sets(project: &Project, fun: Fun) -> Vec<String> {
    let mut found = Vec::new();
    let Some(unit) = project.unit(fun.module) else { return found };
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: fun.module, expr };
        let set = project.callee(at).is_some_and(|callee| callee.defs.iter().any(|def| def.role == Role::ContextSet));
        found.extend(variable(project, at).filter(|_| set));
    });
    found
}

/// The SDKs' readers of what belongs to the message that is being answered.
fn is_of_an_sdk(package: Option<&str>, name: &str) -> bool {
    let sdk = package.is_some_and(|package| {
        let first = package.split('.').next();
        matches!(first, Some("mcp" | "fastmcp"))
    });
    sdk && matches!(name, "get_context" | "get_http_request" | "get_http_headers" | "get_access_token")
}
