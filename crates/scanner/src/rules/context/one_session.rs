//! Conversations of clients that name none, which are all one: `session_id = request.session_id or "default"`, and then
//! `conversations.get(session_id)`.

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{ExprId, ExprKind, FunctionId, Kinds, LogicalOp, NameRef, PropertyKey, StmtKind},
    project::{At, Parent, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Reports such words for none, when what is kept is found by them.
pub(super) fn one_session(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for (expr, kind) in unit.ir.exprs_of(Kinds::CHOICE | Kinds::CALL) {
            let at = At { module, expr };
            let sent = match kind {
                ExprKind::Logical { op: LogicalOp::Or | LogicalOp::Nullish, left, right } => {
                    is_word_for_none(unit, *right) && names_session(unit, *left)
                }
                ExprKind::Call(call) => {
                    let of_map = matches!(unit.ir.expr(call.callee), ExprKind::Member { property, .. } if unit.ir.text(*property) == "get");
                    of_map
                        && call.positional(1).is_some_and(|value| is_word_for_none(unit, value))
                        && names_session(unit, expr)
                }
                _ => false,
            };
            if sent
                && project.function_of(at).id != FunctionId::MODULE
                && !project.is_fixed(at)
                && finds_what_is_kept(project, unit, at)
            {
                report
                    .reached(at, "clients that name no session share this one, and what was said in it")
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether a value is a text that stands for no session.
fn is_word_for_none(unit: &Unit, expr: ExprId) -> bool {
    let ExprKind::String(text) = unit.ir.expr(expr) else { return false };
    matches!(
        unit.ir.text(*text).to_lowercase().as_str(),
        "default"
            | "default_session"
            | "default-session"
            | "anonymous"
            | "global"
            | "shared"
            | "main"
            | "web"
            | "unknown"
            | "none"
            | "session"
    )
}

/// Whether a value is read under the name of a session's or conversation's id.
fn names_session(unit: &Unit, expr: ExprId) -> bool {
    let name = match unit.ir.expr(expr) {
        ExprKind::Member { property, .. } => unit.ir.text(*property),
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
        ExprKind::Call(call) => match call.positional(0).map(|key| unit.ir.expr(key)) {
            Some(ExprKind::String(key)) => unit.ir.text(*key),
            _ => return false,
        },
        _ => return false,
    };
    is_session(name)
}

fn is_session(name: &str) -> bool {
    let words = vocabulary::words(name);
    words.last().is_some_and(|last| last == "id")
        && words.iter().any(|word| matches!(word.as_str(), "session" | "conversation" | "thread" | "chat"))
}

/// Whether something is found by a value: it goes into a variable for a session's id, and that one into a call or a map.
fn finds_what_is_kept(project: &Project, unit: &Unit, at: At) -> bool {
    if is_key(project, unit, at) {
        return true;
    }
    let Some(StmtKind::Assign { target, value, .. }) =
        unit.index.stmt_of(at.expr).map(|stmt| unit.ir.stmt(stmt))
    else {
        return false;
    };
    let Some(id) = target.as_binding().filter(|_| *value == at.expr) else { return false };
    unit.index.uses(id).iter().any(|used| is_key(project, unit, at.to(*used)))
}

/// Words of functions that find or keep what was said.
const TALK: &[&str] = &[
    "session",
    "conversation",
    "chat",
    "history",
    "thread",
    "message",
    "messages",
    "memory",
    "context",
    "state",
    "checkpoint",
];

/// Whether a value is the key of a map, or is told first to what finds or keeps what was said.
fn is_key(project: &Project, unit: &Unit, at: At) -> bool {
    let Parent::Expr(up) = unit.index.parent(at.expr) else { return false };
    match unit.ir.expr(up) {
        ExprKind::Index { index, .. } => *index == at.expr,
        // `{"configurable": {"thread_id": thread_id}}` of LangGraph, whose checkpoints are kept by it.
        ExprKind::Object(properties) => {
            let key = properties.iter().find(|property| property.value == at.expr);
            let named = key.is_some_and(
                |own| matches!(own.key, PropertyKey::Name(name) if is_session(unit.ir.text(name))),
            );
            let Parent::Expr(around) = unit.index.parent(up) else { return false };
            let ExprKind::Object(outer) = unit.ir.expr(around) else { return false };
            named && outer.iter().any(|property| {
                property.value == up
                    && matches!(property.key, PropertyKey::Name(name) if unit.ir.text(name) == "configurable")
            })
        }
        ExprKind::Call(call) => {
            let path = project.written(at.to(up));
            let has = |name: &str, list: &[&str]| {
                vocabulary::words(name).iter().any(|word| list.contains(&word.as_str()))
            };
            let says =
                path.iter().any(|part| has(part, &["log", "logger", "print", "info", "debug", "console"]));
            call.positional(0) == Some(at.expr)
                && path.len() > 1
                && !says
                && path.iter().any(|part| has(part, TALK))
        }
        _ => false,
    }
}
