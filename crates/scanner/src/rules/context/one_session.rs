//! One conversation for all who name none: `session_id = body.session_id or "default"`, and then the history of that session.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{BindingId, Call, ExprId, ExprKind, FunctionId, Kinds, LogicalOp, NameRef, PropertyKey},
    project::{At, Fun, ModuleId, Parent, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Words of what is kept for each session.
const KEPT: &[&str] = &[
    "conversation",
    "conversations",
    "history",
    "histories",
    "session",
    "sessions",
    "memory",
    "memories",
    "message",
    "messages",
    "thread",
    "threads",
    "chat",
    "chats",
    "checkpoint",
    "transcript",
    "turns",
];

/// Reports such defaults, where what is found by them is a conversation.
pub(super) fn one_session(
    project: &Project,
    lives: &Lifetimes<'_>,
    report: &mut Report<'_>,
    module: ModuleId,
    unit: &Unit,
) {
    for (expr, kind) in unit.ir.exprs_of(Kinds::CHOICE | Kinds::CALL) {
        let at = At { module, expr };
        let (value, default) = match kind {
            ExprKind::Logical { op: LogicalOp::Or | LogicalOp::Nullish, left, right } => (*left, *right),
            ExprKind::Call(call) => match got_with_default(unit, call) {
                Some(default) => (expr, default),
                None => continue,
            },
            _ => continue,
        };
        let fun = project.function_of(at);
        if fun.id == FunctionId::MODULE
            || !is_word_for_all(unit, default)
            || !names_session(project, unit, at.to(value))
            || !is_sent(project, unit, at.to(value))
        {
            continue;
        }
        let kept = finds_at(project, unit, at)
            || bound_to(unit, expr).is_some_and(|id| finds_conversation(project, unit, module, id));
        if kept {
            tell(report, at, lives.is_per_request(fun));
        }
    }
    for (id, function) in unit.ir.functions() {
        let fun = Fun { module, id };
        for parameter in function.params.iter().filter(|_| project.entry(fun).is_some()) {
            let (Some(own), Some(default)) = (parameter.pattern.as_binding(), parameter.default) else {
                continue;
            };
            if is_session(unit.ir.binding_name(own))
                && is_word_for_all(unit, default)
                && finds_conversation(project, unit, module, own)
            {
                tell(report, At { module, expr: default }, true);
            }
        }
    }
}

fn tell(report: &mut Report<'_>, at: At, reached: bool) {
    let found = report.reached(at, "all callers who name no session share one, and what was said in it");
    found.severity(if reached { Severity::Medium } else { Severity::Low }).confidence(Confidence::Medium);
}

/// What `body.get("session_id", "default")` gives where there is none.
fn got_with_default(unit: &Unit, call: &Call) -> Option<ExprId> {
    let ExprKind::Member { property, .. } = unit.ir.expr(call.callee) else { return None };
    let ExprKind::String(key) = unit.ir.expr(call.positional(0)?) else { return None };
    (unit.ir.text(*property) == "get" && is_session(unit.ir.text(*key))).then(|| call.positional(1)).flatten()
}

/// Whether a text is a name that stands for all who give none.
fn is_word_for_all(unit: &Unit, expr: ExprId) -> bool {
    let text = match unit.ir.expr(expr) {
        ExprKind::String(text) => unit.ir.text(*text),
        _ => return false,
    };
    let words = vocabulary::words(text);
    !words.is_empty()
        && words.len() <= 3
        && words.iter().any(|word| {
            matches!(
                word.as_str(),
                "default" | "global" | "shared" | "main" | "anonymous" | "common" | "public" | "guest"
            )
        })
}

/// Whether a name is that of a session's, conversation's or thread's id.
fn is_session(name: &str) -> bool {
    let words = vocabulary::words(name);
    let id = || words.last().is_some_and(|last| matches!(last.as_str(), "id" | "key"));
    let of =
        || words.iter().any(|word| matches!(word.as_str(), "session" | "conversation" | "thread" | "chat"));
    vocabulary::is_session_id(name) || (id() && of())
}

fn names_session(project: &Project, unit: &Unit, at: At) -> bool {
    match unit.ir.expr(at.expr) {
        ExprKind::Call(call) => call.positional(0).is_some_and(
            |key| matches!(unit.ir.expr(key), ExprKind::String(text) if is_session(unit.ir.text(*text))),
        ),
        _ => project.last_written(at).is_some_and(is_session),
    }
}

/// Whether a value is what a request says, or a part of what a function was given for one: `req.session_id`.
fn is_sent(project: &Project, unit: &Unit, at: At) -> bool {
    let origins = project.origins(at);
    if origins.has(Origins::ENV | Origins::PRINCIPAL) {
        return false;
    }
    let of_parameter = match unit.ir.expr(at.expr) {
        ExprKind::Member { object, .. } => of_request(project, unit, at.to(*object)),
        ExprKind::Call(call) => match unit.ir.expr(call.callee) {
            ExprKind::Member { object, .. } => of_request(project, unit, at.to(*object)),
            _ => false,
        },
        _ => false,
    };
    origins.has(Origins::INPUT | Origins::UNVERIFIED | Origins::REQUEST) || of_parameter
}

/// Whether a value is a parameter that is named for a request or its content.
fn of_request(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    let named = vocabulary::words(unit.ir.binding_name(*id)).last().is_some_and(|word| {
        matches!(
            word.as_str(),
            "req" | "request" | "body" | "payload" | "params" | "data" | "input" | "args" | "arguments"
        )
    });
    named && project.parameter_of(at.module, *id).is_some()
}

/// The variable that an expression is what it is set to.
fn bound_to(unit: &Unit, expr: ExprId) -> Option<BindingId> {
    let stmt = unit.index.stmt_of(expr)?;
    match unit.ir.stmt(stmt) {
        crate::ir::StmtKind::Assign { target, value, .. } if *value == expr => target.as_binding(),
        _ => None,
    }
}

/// Whether a conversation is found, kept or gone on with by a variable.
fn finds_conversation(project: &Project, unit: &Unit, module: ModuleId, id: BindingId) -> bool {
    unit.index.uses(id).iter().any(|used| finds_at(project, unit, At { module, expr: *used }))
}

/// Whether a conversation is found, kept or gone on with by a value: by a call that says so, in a map of them, or as the thread of
/// a graph whose checkpoints are kept, `{"configurable": {"thread_id": thread_id}}`.
fn finds_at(project: &Project, unit: &Unit, value: At) -> bool {
    let says = |name: &str| vocabulary::words(name).iter().any(|word| KEPT.contains(&word.as_str()));
    let Parent::Expr(up) = unit.index.parent(value.expr) else { return false };
    let at = value.to(up);
    match unit.ir.expr(up) {
        ExprKind::Call(call) if call.callee != value.expr => {
            let named = project.last_written(at).is_some_and(says);
            let of = match unit.ir.expr(call.callee) {
                ExprKind::Member { object, .. } => project.last_written(at.to(*object)).is_some_and(says),
                _ => false,
            };
            named || of || bound_to(unit, up).is_some_and(|id| says(unit.ir.binding_name(id)))
        }
        ExprKind::Index { object, index, .. } => {
            *index == value.expr && project.last_written(at.to(*object)).is_some_and(says)
        }
        ExprKind::Object(properties) => {
            let is = |key: &PropertyKey, name: &dyn Fn(&str) -> bool| matches!(key, PropertyKey::Name(own) if name(unit.ir.text(*own)));
            let Parent::Expr(around) = unit.index.parent(up) else { return false };
            let ExprKind::Object(outer) = unit.ir.expr(around) else { return false };
            properties.iter().any(|one| one.value == value.expr && is(&one.key, &is_session))
                && outer.iter().any(|one| one.value == up && is(&one.key, &|name| name == "configurable"))
        }
        _ => false,
    }
}
