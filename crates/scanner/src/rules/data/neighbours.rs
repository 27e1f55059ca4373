//! Handlers of one file that name a thing together with the caller, and one among them that names it alone.

use std::collections::BTreeMap;

use partywall_model::Confidence;

use super::{
    callers::{is_caller, is_id, own_code, serves_callers},
    ignored_caller::{is_compared, served, uses_of_caller, values},
};
use crate::{
    flow::{Entry, Origins},
    ir::{ArgKind, Call, ExprId, ExprKind, walk},
    project::{At, Fun, ModuleId, Project, Unit},
    rules::{Report, asking::may_ask},
    vocabulary,
};

/// What the handlers of a file hand on.
#[derive(Default)]
struct Neighbours {
    /// How many handlers name an id together with the caller.
    together: BTreeMap<String, usize>,
    /// The first call of each other handler that is given an id without the caller.
    alone: Vec<(At, String)>,
}

/// First words of functions to which it is no matter whose a thing is.
const SAYS: &[&str] = &[
    "log",
    "track",
    "capture",
    "emit",
    "notify",
    "revalidate",
    "invalidate",
    "parse",
    "format",
    "to",
    "is",
    "build",
    "encode",
    "decode",
    "increment",
    "bump",
];

/// Reports calls that are given an id of the request alone, where other handlers of the same file give it with the caller.
pub(super) fn neighbours(project: &Project, report: &mut Report<'_>) {
    let mut files: BTreeMap<ModuleId, Neighbours> = BTreeMap::new();
    for entry in project.entries().iter().filter(|entry| serves_callers(project, entry)) {
        let module = entry.handler.module;
        look(project, entry, files.entry(module).or_default());
    }
    for found in files.into_values() {
        for (at, name) in found.alone {
            // An `id` may be that of anything; two handlers say that here it is not.
            let least = if name == "id" { 2 } else { 1 };
            if found.together.get(&name).is_some_and(|times| *times >= least) {
                report
                    .reached(at, format!("`{name}` of the request is named here without the caller; other handlers of this file name it with the caller"))
                    .confidence(Confidence::Medium);
            }
        }
    }
}

fn look(project: &Project, entry: &Entry, file: &mut Neighbours) {
    let fun = served(project, entry.handler);
    let Some(unit) = project.unit(fun.module) else { return };
    let mut alone: Option<(At, String)> = None;
    let mut together = std::collections::BTreeSet::new();
    for here in own_code(project, fun) {
        walk::function_exprs(&unit.ir, here.id, &mut |expr| {
            let at = At { module: fun.module, expr };
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            let Some(name) = id_of(project, unit, at, call) else { return };
            if with_caller(project, unit, at, call) {
                together.insert(name);
            } else if alone.is_none() && reaches(project, unit, at, call) && !project.is_superusers(at) {
                alone = Some((at, name));
            }
        });
    }
    for name in together {
        *file.together.entry(name).or_default() += 1;
    }
    if uses_of_caller(project, fun).is_empty() && !is_open(unit, entry.handler) {
        file.alone.extend(alone);
    }
}

/// Whether a decorator says that anybody may call.
pub(super) fn is_open(unit: &Unit, handler: Fun) -> bool {
    unit.ir.function(handler.id).is_some_and(|function| {
        function.decorators.iter().any(|decorator| {
            let text = said_of_callers(unit, *decorator).to_lowercase();
            ["public", "anonymous", "skipauth", "noauth", "admin", "internal", "system"]
                .iter()
                .any(|word| text.contains(word))
        })
    })
}

/// Arguments of a decorator that are for those who read the documentation of a route, and not for those who call it.
const DOCUMENTS: &[&str] =
    &["tags", "summary", "description", "responses", "response_description", "name", "operation_id"];

/// What a decorator says without what is for documentation: `@router.post("/stop", tags=PUBLIC_API)` lets nobody in.
fn said_of_callers(unit: &Unit, decorator: ExprId) -> String {
    let text = |expr: ExprId| unit.ir.snippet(unit.ir.span(expr)).to_owned();
    let ExprKind::Call(call) = unit.ir.expr(decorator) else { return text(decorator) };
    let documents =
        |kind: ArgKind| matches!(kind, ArgKind::Keyword(name) if DOCUMENTS.contains(&unit.ir.text(name)));
    let given = call.args.iter().filter(|arg| !documents(arg.kind)).map(|arg| arg.value);
    std::iter::once(call.callee).chain(given).map(text).collect::<Vec<_>>().join(" ")
}

/// The id out of the request that a call is given.
pub(super) fn id_of(project: &Project, unit: &Unit, at: At, call: &Call) -> Option<String> {
    let mut found = None;
    for arg in &call.args {
        let named = match arg.kind {
            ArgKind::Keyword(name) => Some(unit.ir.text(name).to_owned()),
            _ => None,
        };
        values(project, unit, at.to(arg.value), named, 3, &mut |value, name| {
            if found.is_none()
                && is_id(name)
                && project.origins(value).has(Origins::INPUT)
                && !is_compared(project, value)
            {
                found = Some(name.to_owned());
            }
        });
    }
    found
}

/// Whether a call is given the caller, or the request as a whole.
fn with_caller(project: &Project, unit: &Unit, at: At, call: &Call) -> bool {
    let mut found = false;
    for arg in &call.args {
        walk::exprs_below(&unit.ir, arg.value, &mut |expr| {
            let own = at.to(expr);
            found = found
                || match unit.ir.expr(expr) {
                    ExprKind::Name(_) => {
                        is_caller(project, own) || project.origins(own).has(Origins::REQUEST)
                    }
                    ExprKind::Member { .. } | ExprKind::Call(_) => is_caller(project, own),
                    _ => false,
                };
        });
    }
    found
}

/// Whether what a call calls does something with the thing, and cannot find out by itself who calls.
pub(super) fn reaches(project: &Project, unit: &Unit, at: At, call: &Call) -> bool {
    let Some(name) = project.written(at).pop() else { return false };
    let words = vocabulary::words(&name);
    let says = words.first().is_none_or(|verb| SAYS.contains(&verb.as_str()));
    if says || call.is_new || Project::is_check(&name) || project.compares_inside(at) {
        return false;
    }
    // The object that is asked was made for the caller: `clientOf(session).get(id)`.
    if let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) {
        let origins = project.origins(at.to(*object));
        if origins.has_owner() || origins.has(Origins::REQUEST | Origins::INPUT) {
            return false;
        }
    }
    project.callee(at).is_some_and(|callee| {
        callee.certain
            && !callee.targets.is_empty()
            && !callee.targets.iter().any(|target| may_ask(project, *target, 3))
    })
}
