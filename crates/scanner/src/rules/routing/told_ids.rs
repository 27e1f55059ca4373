//! The ids of everybody's sessions in the answer to one who named a session that is not there:
//! `throw new Error(`Unknown session. Open: ${[...sessions.keys()].join(", ")}`)`. With them the caller reaches any of these sessions.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Lifetimes,
    ir::{ExprId, ExprKind, FunctionId, StmtKind, TemplatePart, walk},
    project::{At, Parent, Project, Unit},
    rules::Report,
    tenancy::is_stdio_only,
    vocabulary,
};

/// Last words of maps whose keys are the ids of what one caller opened for itself.
const OPENED: &[&str] = &[
    "sessions",
    "transports",
    "conversations",
    "browsers",
    "terminals",
    "shells",
    "sandboxes",
    "kernels",
    "pages",
    "contexts",
    "tabs",
    "ptys",
    "workspaces",
    "runs",
    "threads",
];

/// Words of answers that something is not there.
const MISSING: &[&str] = &[
    "not found",
    "unknown",
    "no session",
    "no such",
    "invalid",
    "does not exist",
    "doesn't exist",
    "not exist",
    "no active",
    "no open",
    "open sessions",
    "active sessions",
    "available sessions",
];

/// How many steps are gone up from the keys to the text that they stand in.
const STEPS: u32 = 8;

/// How many variables are followed.
const HOPS: u32 = 3;

/// Reports such texts.
pub(super) fn told_ids(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    let keys = project.calls_named(|name| matches!(name, "keys" | "list" | "sorted" | "join" | "from"));
    for (module, unit) in project.units() {
        if is_stdio_only(unit) {
            continue;
        }
        for expr in keys.among(module) {
            let at = At { module, expr: *expr };
            let Some(map) = keys_of(project, unit, at) else { continue };
            let name = project.last_written(map).unwrap_or_default();
            let opened = vocabulary::words(name).last().is_some_and(|last| OPENED.contains(&last.as_str()));
            let fun = project.function_of(at);
            if !opened
                || fun.id == FunctionId::MODULE
                || project.store(map).is_none()
                || !is_told(unit, at.expr, HOPS)
            {
                continue;
            }
            let served = project
                .around(fun)
                .into_iter()
                .any(|own| lives.is_per_request(own) || project.this_of(own).is_some());
            if !served {
                continue;
            }
            let severity = if project.has_owners(module) || project.knows_callers(module) {
                Severity::Medium
            } else {
                Severity::Low
            };
            report
                .at(at, format!("whoever names one that is not there is told the ids of all in `{name}`, and may use them"))
                .severity(severity)
                .confidence(Confidence::Medium);
        }
    }
}

/// The map that all keys are taken of: `sessions.keys()`, `Object.keys(sessions)`, `list(sessions)`, `", ".join(sessions)`.
pub(super) fn keys_of(project: &Project, unit: &Unit, at: At) -> Option<At> {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
    let path = project.written(at.to(call.callee));
    let last = path.last().map(|word| word.as_str()).unwrap_or_default();
    let of_object = path.first().is_some_and(|word| word.as_str() == "Object");
    let is_map = |expr: ExprId| {
        matches!(unit.ir.expr(expr), ExprKind::Name(_) | ExprKind::Member { .. }).then_some(at.to(expr))
    };
    match (unit.ir.expr(call.callee), last) {
        (_, "keys" | "entries") if of_object => call.positional(0).and_then(is_map),
        (ExprKind::Member { object, .. }, "keys" | "entries" | "items") if call.args.is_empty() => {
            is_map(*object)
        }
        (ExprKind::Name(_), "list" | "sorted") => call.positional(0).and_then(is_map),
        (ExprKind::Member { object, .. }, "join") if matches!(unit.ir.expr(*object), ExprKind::String(_)) => {
            call.positional(0).and_then(is_map)
        }
        _ => None,
    }
}

/// Whether a value stands in a text that is thrown, or given as the answer that something is not there; also through variables.
fn is_told(unit: &Unit, value: ExprId, hops: u32) -> bool {
    let mut here = value;
    let mut in_text = false;
    for _ in 0..STEPS {
        in_text |= matches!(unit.ir.expr(here), ExprKind::Template(_) | ExprKind::Binary { .. });
        match unit.index.parent(here) {
            Parent::Expr(up) => here = up,
            Parent::Stmt(stmt) => {
                return match unit.ir.stmt(stmt) {
                    StmtKind::Throw(_) => in_text,
                    StmtKind::Return(_) => in_text && says_missing(unit, here),
                    StmtKind::Assign { target, .. } => {
                        target.as_binding().zip(hops.checked_sub(1)).is_some_and(|(id, hops)| {
                            let uses = unit.index.uses(id);
                            uses.len() <= 8 && uses.iter().any(|used| is_told(unit, *used, hops))
                        })
                    }
                    _ => false,
                };
            }
            _ => return false,
        }
    }
    false
}

/// Whether a text has words that something is not there.
fn says_missing(unit: &Unit, root: ExprId) -> bool {
    let mut found = false;
    let says = |text: &str| {
        let lower = text.to_lowercase();
        MISSING.iter().any(|word| lower.contains(word))
    };
    walk::exprs_below(&unit.ir, root, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::String(text) => found |= says(unit.ir.text(*text)),
        ExprKind::Template(parts) => {
            for part in parts.iter() {
                if let TemplatePart::Text(text) = part {
                    found |= says(unit.ir.text(*text));
                }
            }
        }
        _ => {}
    });
    found
}
