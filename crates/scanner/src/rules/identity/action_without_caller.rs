//! A server action that changes rows by an id and never asks who calls, and endpoints of MCP that no guard stands before.

use std::collections::BTreeSet;

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::Origins,
    ir::{ExprId, ExprKind, walk},
    lang::sql::Verb,
    project::{At, Fun, Project},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "action-without-caller",
        layer: Layer::Identity,
        summary: "A server action that changes rows by an id, or an endpoint beside a guarded one, never asks who calls.",
    },
    severity: Severity::High,
    axis: Axis::Permissions,
    why: "A server action is an endpoint: whoever has its id, which stands in the page's code, changes anybody's rows.",
    fix: "Ask for the caller first, refuse when there is none, and name the owner in the query.",
    cwe: &["CWE-306", "CWE-639"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021"],
    markdown: include_str!("action_without_caller.md"),
    run,
};

/// How many calls are followed from the action.
const DEPTH: u32 = 3;

fn run(project: &Project, report: &mut Report<'_>) {
    super::open_transport::open_transport(project, report);
    let mut seen = BTreeSet::new();
    for entry in project.entries() {
        let fun = entry.handler;
        // A server action is the entry point that is found by its file and has no request.
        let action = entry.kind == "http" && entry.registration.expr == ExprId::MISSING && entry.context.is_empty();
        if !action || !seen.insert(fun) {
            continue;
        }
        let mut all = BTreeSet::new();
        below(project, fun, DEPTH, &mut all);
        if all.iter().any(|fun| asks(project, *fun)) {
            continue;
        }
        let changed = project.queries().iter().find(|query| {
            all.contains(&query.function) && matches!(query.verb, Verb::Delete | Verb::Update) && !is_by_secret(project, query.at) && !project.is_behind_policies(query)
        });
        let Some(query) = changed else { continue };
        let span = project.unit(fun.module).and_then(|unit| Some(unit.ir.function(fun.id)?.head)).unwrap_or_default();
        let name = project.function_name(fun).to_owned();
        let found = report.add(fun.module, span, format!("`{name}` changes `{}` and never asks who calls", query.shown));
        found.related(query.at.module, project.span(query.at), "the rows are changed here");
        if !project.has_owners(fun.module) || is_for_sign_in(&name) {
            found.severity(Severity::Medium).confidence(Confidence::Medium);
        }
    }
}

/// Whether an action is a step of signing in, by its name: nobody has signed in yet, and a challenge says who it is.
fn is_for_sign_in(name: &str) -> bool {
    vocabulary::words(name).iter().any(|word| {
        matches!(word.as_str(), "mfa" | "otp" | "totp" | "2fa" | "login" | "signin" | "signup" | "recovery" | "password" | "passkey" | "challenge")
    })
}

/// The functions that a function calls, itself first.
fn below(project: &Project, fun: Fun, depth: u32, all: &mut BTreeSet<Fun>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    if all.len() > 64 || !all.insert(fun) {
        return;
    }
    let Some(unit) = project.unit(fun.module) else { return };
    let mut targets = Vec::new();
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        if let Some(callee) = project.callee(At { module: fun.module, expr }) {
            targets.extend(callee.targets.iter().filter(|_| callee.certain).copied());
        }
    });
    targets.extend(unit.index.inner(fun.id).iter().map(|id| Fun { module: fun.module, id: *id }));
    for target in targets {
        below(project, target, depth, all);
    }
}

/// Whether a function asks for the caller: by the name of what it calls, by what that gives, or by a parameter's name.
fn asks(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return true };
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: fun.module, expr };
        if !matches!(unit.ir.expr(expr), ExprKind::Call(_)) {
            return;
        }
        let Some(callee) = project.callee(at) else { return };
        let words = vocabulary::words(callee.name());
        let named = words.iter().any(|word| {
            matches!(
                word.as_str(),
                "auth" | "session" | "authenticate" | "authorize" | "authorized" | "permission" | "permissions" | "protect" | "signin"
                    | "login" | "admin" | "guard" | "ensure" | "require" | "viewer" | "principal"
            )
        });
        found |= named || vocabulary::is_principal(callee.name()) || project.origins(at).has(Origins::PRINCIPAL | Origins::SECRET);
        found |= words.len() > 1 && words.iter().any(|word| word == "user") && matches!(words.first().map(String::as_str), Some("get" | "current" | "fetch" | "load"));
    });
    found
}

/// Whether rows are found by what only one party has.
fn is_by_secret(project: &Project, at: At) -> bool {
    let text = project.snippet(at).to_lowercase();
    ["token", "secret", "code", "email", "hash"].iter().any(|word| text.contains(word))
}
