//! Streams of events that a handler gives to whoever says their id, though it is told who calls:
//! `async def events(run_id, _user=Depends(current_user)): return StreamingResponse(follow(run_id))`.

use partywall_model::Confidence;

use super::{
    callers::{asks_caller, asks_itself, is_caller, is_id, own_code},
    ignored_caller::{is_compared, uses_of_caller},
};
use crate::{
    flow::Origins,
    ir::{ExprKind, FunctionId, NameRef, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Responses that go on for as long as there is something to say.
const STREAMS: &[&str] =
    &["StreamingResponse", "EventSourceResponse", "StreamingHttpResponse", "streamSSE", "StreamResponse"];

/// First words of functions that say something and give nothing.
const SAYS: &[&str] =
    &["log", "info", "debug", "warning", "warn", "error", "track", "emit", "print", "str", "dumps"];

/// Reports such streams, where the thing is found by its id alone.
pub(super) fn streamed(project: &Project, report: &mut Report<'_>) {
    for entry in project.entries().iter().filter(|entry| entry.kind == "http") {
        let fun = entry.handler;
        let Some(unit) = project.unit(fun.module).filter(|_| fun.id != FunctionId::MODULE) else { continue };
        if project.is_operators(entry)
            || project.is_public(entry)
            || project.is_checked_before(entry)
            || !project.has_owners(fun.module)
            || !gives_stream(project, unit, fun)
            || !is_told_caller(project, unit, fun)
            || !uses_of_caller(project, fun).is_empty()
        {
            continue;
        }
        if let Some((at, name)) = found_by_id(project, unit, fun) {
            report
                .reached(
                    at,
                    format!("whoever says `{name}` hears what happens there, and the caller is left out"),
                )
                .confidence(Confidence::Medium);
        }
    }
}

fn gives_stream(project: &Project, unit: &Unit, fun: Fun) -> bool {
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        found |= matches!(unit.ir.expr(expr), ExprKind::Call(_))
            && project
                .last_written(At { module: fun.module, expr })
                .is_some_and(|name| STREAMS.contains(&name));
    });
    found
}

/// Whether a handler is told who calls: the caller is injected, used or not, or it asks itself.
pub(super) fn is_told_caller(project: &Project, unit: &Unit, fun: Fun) -> bool {
    let Some(function) = unit.ir.function(fun.id) else { return false };
    let injected = function.params.iter().any(|parameter| {
        project.injections(fun.module, parameter).into_iter().any(|at| {
            let text = project.snippet(at);
            let names = text.split(|char: char| !(char.is_alphanumeric() || char == '_'));
            (text.contains("Depends") || text.contains("Security")) && names.clone().any(asks_caller)
        })
    });
    let given = function.params.iter().filter_map(|own| own.pattern.as_binding()).any(|id| {
        let used = unit.index.uses(id).first();
        used.is_some_and(|used| is_caller(project, At { module: fun.module, expr: *used }))
    });
    injected || given || asks_itself(project, fun)
}

/// The first call that is given an id which the caller chose, and gives what is found by it.
fn found_by_id(project: &Project, unit: &Unit, fun: Fun) -> Option<(At, String)> {
    let mut found = None;
    for here in own_code(project, fun) {
        walk::function_exprs(&unit.ir, here.id, &mut |expr| {
            let at = At { module: fun.module, expr };
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            let says = project.last_written(at).is_none_or(|name| {
                vocabulary::words(name).first().is_some_and(|verb| SAYS.contains(&verb.as_str()))
            });
            if found.is_some() || says || STREAMS.contains(&project.last_written(at).unwrap_or_default()) {
                return;
            }
            found = call.args.iter().find_map(|arg| {
                let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(arg.value) else { return None };
                let (own, name) = (project.parameter_of(fun.module, *id)?.0, unit.ir.binding_name(*id));
                let value = at.to(arg.value);
                (own == fun
                    && is_id(name)
                    && project.origins(value).has(Origins::INPUT)
                    && !is_compared(project, value))
                .then(|| (at, name.to_owned()))
            });
        });
    }
    found
}
