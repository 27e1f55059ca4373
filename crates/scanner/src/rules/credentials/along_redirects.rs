//! Redirects that are followed by hand with the headers that a caller gave: `while (…) { response = await fetch(url, { ...init, redirect:
//! "manual" }); url = response.headers.get("location") }`. Where the first service sends the caller, its credential goes along. What follows
//! redirects by itself leaves it out when they lead to another origin (Fetch Standard, "HTTP-redirect fetch"; RFC 9110, 15.4).

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Lifetimes,
    ir::{
        ArgKind, BindingId, Call, ExprId, ExprKind, FunctionId, NameRef, Property, PropertyKey, StmtKind,
        walk,
    },
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// What a function has in its text that looks where a redirect leads, or takes the credential out.
const LOOKS: &[&str] = &[
    "authorization",
    "stripauth",
    "strip_auth",
    "sensitive",
    "sameorigin",
    "same_origin",
    "same-origin",
    "crossorigin",
    "cross_origin",
    "cross-origin",
    ".origin",
    ".host !=",
    ".host ===",
    ".hostname !=",
    ".hostname ===",
    ".netloc",
    "headers.delete",
    "headers.pop",
];

/// How many values a variable is followed through.
const STEPS: u32 = 5;

/// How many statements around a call are looked at for a loop.
const AROUND: usize = 16;

/// Reports such calls.
pub(super) fn along_redirects(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.source.mentions(crate::marks::REDIRECT))
    {
        for expr in &unit.index.calls {
            let fun = Fun { module, id: unit.index.function(*expr) };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            if fun.id == FunctionId::MODULE
                || !is_fetch(project, At { module, expr: *expr })
                || !stands_in_loop(unit, *expr)
            {
                continue;
            }
            let Some(function) = unit.ir.function(fun.id) else { continue };
            let text = unit.ir.snippet(function.span).to_lowercase();
            let by_hand = text.contains("redirect")
                && text.contains("location")
                && (text.contains("manual") || text.contains("redirects"));
            if !by_hand
                || LOOKS.iter().any(|word| text.contains(word))
                || !follows_none(unit, fun, call)
                || !carries(project, unit, fun, call)
            {
                continue;
            }
            let at = At { module, expr: *expr };
            let severity = if lives.is_per_request(fun) { Severity::Medium } else { Severity::Low };
            report
                .reached(at, "the headers that the caller gave go along to wherever a redirect leads")
                .severity(severity)
                .confidence(Confidence::Medium)
                .why("The service that is asked, or whoever can make it redirect, chooses who is sent the caller's credential next.")
                .fix("Compare the origin of the next address with that of the first one, and leave `Authorization`, cookies and keys out where it is another.");
        }
    }
}

/// Whether a call is one that sends a request.
fn is_fetch(project: &Project, at: At) -> bool {
    project.last_written(at).is_some_and(|name| {
        vocabulary::words(name)
            .iter()
            .any(|word| matches!(word.as_str(), "fetch" | "request" | "get" | "send"))
    })
}

/// Whether an expression stands in a loop of its function.
fn stands_in_loop(unit: &Unit, expr: ExprId) -> bool {
    let mut here = unit.index.stmt_of(expr);
    for _ in 0..AROUND {
        let Some(stmt) = here else { return false };
        if matches!(
            unit.ir.stmt(stmt),
            StmtKind::While { .. } | StmtKind::For { .. } | StmtKind::ForEach { .. }
        ) {
            return true;
        }
        here = unit.index.stmt_parent(stmt);
    }
    false
}

/// Whether a call is told to follow no redirect: `redirect: "manual"` in its options or in the variable that it is given, or
/// `follow_redirects=False`.
fn follows_none(unit: &Unit, fun: Fun, call: &Call) -> bool {
    let keyword = call.args.iter().any(|arg| {
        matches!(arg.kind, ArgKind::Keyword(name) if matches!(unit.ir.text(name), "follow_redirects" | "allow_redirects"))
            && matches!(unit.ir.expr(arg.value), ExprKind::Bool(false))
    });
    let mut manual = false;
    let is_manual = |value: ExprId| matches!(unit.ir.expr(value), ExprKind::String(text) if unit.ir.text(*text) == "manual");
    let named = |name| matches!(unit.ir.text(name), "redirect");
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        if let ExprKind::Object(properties) = unit.ir.expr(expr) {
            manual |= properties
                .iter()
                .any(|own| matches!(own.key, PropertyKey::Name(name) if named(name)) && is_manual(own.value));
        }
    });
    manual |= unit.index.writes.iter().any(|write| {
        write.function == fun.id
            && is_manual(write.value)
            && matches!(unit.ir.expr(write.place), ExprKind::Member { property, .. } if named(*property))
    });
    keyword || manual
}

/// Whether the headers that a call sends are those that the function was given.
fn carries(project: &Project, unit: &Unit, fun: Fun, call: &Call) -> bool {
    call.args.iter().enumerate().any(|(number, arg)| match arg.kind {
        ArgKind::Keyword(name) => {
            unit.ir.text(name) == "headers" && is_given(project, unit, fun, arg.value, STEPS)
        }
        ArgKind::KeywordSpread => is_given(project, unit, fun, arg.value, STEPS),
        _ => number > 0 && has_given(project, unit, fun, arg.value, STEPS),
    })
}

/// Whether options have in them what the function was given: `{ ...init }`, `{ headers }`.
fn has_given(project: &Project, unit: &Unit, fun: Fun, options: ExprId, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    match unit.ir.expr(options) {
        ExprKind::Object(properties) => properties.iter().any(|own: &Property| match own.key {
            PropertyKey::Spread => has_given(project, unit, fun, own.value, steps),
            PropertyKey::Name(name) => {
                unit.ir.text(name) == "headers" && is_given(project, unit, fun, own.value, steps)
            }
            PropertyKey::Computed(_) => false,
        }),
        ExprKind::Name(NameRef::Binding(id)) => {
            is_options(project, unit, fun, *id)
                || unit
                    .index
                    .sources(*id)
                    .iter()
                    .any(|source| has_given(project, unit, fun, source.value, steps))
        }
        ExprKind::Logical { left, .. } => has_given(project, unit, fun, *left, steps),
        _ => false,
    }
}

/// Whether a variable is what the function was given as the options of a request.
fn is_options(project: &Project, unit: &Unit, fun: Fun, id: BindingId) -> bool {
    let given =
        project.parameter_of(fun.module, id).is_some_and(|(of, _, path)| of == fun && path.is_empty());
    given
        && vocabulary::words(unit.ir.binding_name(id)).iter().any(|word| {
            matches!(word.as_str(), "init" | "options" | "opts" | "request" | "config" | "kwargs")
        })
}

/// Whether headers are those that the function was given, or a copy of them with others beside.
fn is_given(project: &Project, unit: &Unit, fun: Fun, headers: ExprId, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    match unit.ir.expr(headers) {
        ExprKind::Object(properties) => properties.iter().any(|own| {
            matches!(own.key, PropertyKey::Spread) && is_given(project, unit, fun, own.value, steps)
        }),
        ExprKind::Name(NameRef::Binding(id)) => {
            project.parameter_of(fun.module, *id).is_some_and(|(of, ..)| of == fun)
                || unit
                    .index
                    .sources(*id)
                    .iter()
                    .any(|source| is_given(project, unit, fun, source.value, steps))
        }
        ExprKind::Member { object, property, .. } => {
            unit.ir.text(*property) == "headers" && is_given(project, unit, fun, *object, steps)
        }
        ExprKind::Logical { left, .. } => is_given(project, unit, fun, *left, steps),
        // `new Headers(init.headers)`, `dict(headers)`
        ExprKind::Call(call) => {
            call.positional(0).is_some_and(|first| is_given(project, unit, fun, first, steps))
        }
        _ => false,
    }
}
