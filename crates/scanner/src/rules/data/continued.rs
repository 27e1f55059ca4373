//! Conversations of a model or service that a handler has gone on with by the id that the client sends: `llm.invoke(question,
//! conversation_id=body.conversation_id)` in a handler that knows who calls, and never asks whose conversation that is.

use partywall_model::{Confidence, Severity};

use super::{
    callers::{is_caller, own_code, serves_callers},
    ignored_caller::{is_compared, values},
    unused_caller::is_given_caller,
};
use crate::{
    flow::Origins,
    ir::{ArgKind, BindingId, Call, ExprKind, NameRef, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Words of what answers in a conversation that it keeps itself.
const MODELS: &[&str] = &[
    "llm",
    "model",
    "agent",
    "chain",
    "pipeline",
    "chatbot",
    "bot",
    "assistant",
    "upstream",
    "openai",
    "anthropic",
    "conversational",
    "copilot",
    "engine",
    "backend",
];

/// First words of methods that go on with a conversation.
const GOES_ON: &[&str] = &[
    "invoke", "ainvoke", "chat", "complete", "ask", "send", "stream", "astream", "query", "run", "generate",
    "reply", "respond", "continue", "answer",
];

/// Reports the first such call of each handler.
pub(super) fn continued(project: &Project, report: &mut Report<'_>) {
    for entry in
        project.entries().iter().filter(|entry| entry.kind == "http" && serves_callers(project, entry))
    {
        let fun = entry.handler;
        let Some(unit) = project.unit(fun.module) else { continue };
        if !unit.ir.has_name_with(&[
            "conversation_id",
            "thread_id",
            "conversationid",
            "threadid",
            "chat_id",
            "chatid",
        ]) || !(project.knows_who_asks(fun)
            || is_given_caller(project, entry)
            || project.handlers_know_callers(fun.module))
        {
            continue;
        }
        let mut found: Option<(At, At, String)> = None;
        for here in own_code(project, fun) {
            walk::function_exprs(&unit.ir, here.id, &mut |expr| {
                let at = At { module: fun.module, expr };
                if let ExprKind::Call(call) = unit.ir.expr(expr)
                    && found.is_none()
                    && goes_on(project, at)
                {
                    found = named(project, unit, at, call).map(|(value, name)| (at, value, name));
                }
            });
        }
        let Some((at, value, name)) = found else { continue };
        if is_compared(project, value) || is_asked_with_caller(project, unit, fun, &project.roots(value), at)
        {
            continue;
        }
        report
            .reached(at, format!("this goes on with whatever conversation `{name}` of the request names, and nobody asks whose it is"))
            .severity(Severity::Medium)
            .confidence(Confidence::Low);
    }
}

/// Whether a call has a model or service answer.
fn goes_on(project: &Project, at: At) -> bool {
    let path = project.written(at);
    let Some((name, before)) = path.split_last() else { return false };
    let verb = vocabulary::words(name).first().is_some_and(|verb| GOES_ON.contains(&verb.as_str()));
    let model =
        before.iter().any(|part| vocabulary::words(part).iter().any(|word| MODELS.contains(&word.as_str())));
    verb && model
}

/// The id of a conversation out of the request that a call is given, also in what is made for it there.
fn named(project: &Project, unit: &Unit, at: At, call: &Call) -> Option<(At, String)> {
    let mut found = None;
    for arg in &call.args {
        let named = match arg.kind {
            ArgKind::Keyword(name) => Some(unit.ir.text(name).to_owned()),
            _ => None,
        };
        values(project, unit, at.to(arg.value), named, 3, &mut |value, name| {
            if found.is_none() && is_conversation(name) && is_sent(project, value) {
                found = Some((value, name.to_owned()));
            }
        });
        // `llm.invoke(Parameters.of(conversation_id=conversation_id))`
        if let ExprKind::Call(inner) = unit.ir.expr(arg.value)
            && found.is_none()
            && inner.args.iter().any(|arg| matches!(arg.kind, ArgKind::Keyword(_)))
            && !inner.args.iter().any(|arg| project.origins(at.to(arg.value)).has(Origins::PRINCIPAL))
        {
            found = inner.args.iter().find_map(|arg| {
                let ExprKind::Name(_) = unit.ir.expr(arg.value) else { return None };
                let name = project.last_written(at.to(arg.value))?;
                (is_conversation(name) && is_sent(project, at.to(arg.value)))
                    .then(|| (at.to(arg.value), name.to_owned()))
            });
        }
    }
    found
}

/// Whether a name is that of the id of a conversation.
fn is_conversation(name: &str) -> bool {
    let words = vocabulary::words(name);
    words.last().is_some_and(|last| last == "id")
        && words.iter().any(|word| matches!(word.as_str(), "conversation" | "thread" | "chat"))
        || matches!(name, "conversationId" | "threadId")
}

/// Whether a value is what the client sends: `body.conversation_id`, `self.validated_data.get("conversation_id")`.
fn is_sent(project: &Project, at: At) -> bool {
    if project.origins(at).has(Origins::INPUT) {
        return true;
    }
    let Some(unit) = project.unit(at.module) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    matches!(unit.index.sources(*id), [only] if project.snippet(at.to(only.value)).starts_with("self.validated_data"))
}

/// Whether another call of a function is given the conversation together with the caller, or by its name checks it.
fn is_asked_with_caller(project: &Project, unit: &Unit, fun: Fun, roots: &[BindingId], given: At) -> bool {
    let mut found = false;
    for here in own_code(project, fun) {
        walk::function_exprs(&unit.ir, here.id, &mut |expr| {
            let at = At { module: fun.module, expr };
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            if found || project.span(given).contains(project.span(at)) {
                return;
            }
            let mut mentions = false;
            for arg in &call.args {
                walk::exprs_below(&unit.ir, arg.value, &mut |below| {
                    mentions |= matches!(unit.ir.expr(below), ExprKind::Name(NameRef::Binding(id)) if roots.contains(id));
                });
            }
            let name = project.last_written(at).unwrap_or_default();
            let caller = || call.args.iter().any(|arg| is_caller(project, at.to(arg.value)));
            let asks = || {
                Project::is_check(name)
                    || vocabulary::words(name).iter().any(|word| {
                        matches!(
                            word.as_str(),
                            "owner" | "verify" | "claim" | "check" | "validate" | "conversation"
                        )
                    })
            };
            found = mentions && (asks() || caller());
        });
    }
    found
}
