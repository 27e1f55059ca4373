//! Nobody as the owner of what is asked for: `user_id = None`, and then `service.list(user_id=user_id)`. What asks for nobody's is
//! given everybody's.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Lifetimes,
    ir::{ArgKind, Call, ExprId, ExprKind, FunctionId, NameRef, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Verbs of calls that find things or change them.
const ASKS: &[&str] = &[
    "list", "get", "find", "search", "fetch", "query", "load", "read", "count", "all", "retrieve", "export",
    "delete", "remove",
];

/// Reports such calls in what answers requests, for which nobody but the operator's people would need them.
pub(super) fn no_owner(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        let path = unit.ir.path.to_lowercase();
        let aside = path
            .split(['/', '.', '_', '-'])
            .any(|part| matches!(part, "admin" | "internal" | "tests" | "scripts"));
        if aside || !project.has_owners(module) {
            continue;
        }
        for (id, _) in unit.ir.functions().filter(|(id, _)| *id != FunctionId::MODULE) {
            let fun = Fun { module, id };
            if !lives.is_per_request(fun) || is_for_operators(project, fun) {
                continue;
            }
            let mut found = None;
            walk::function_exprs(&unit.ir, id, &mut |expr| {
                if found.is_none()
                    && let ExprKind::Call(call) = unit.ir.expr(expr)
                    && asks(project, At { module, expr })
                {
                    found = nobody(unit, fun, call).map(|name| (At { module, expr }, name));
                }
            });
            if let Some((at, name)) = found {
                report
                    .reached(at, format!("`{name}` is nobody here, whoever calls, so that this may give what is everybody's"))
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether a function, or one around it, answers the operator's people.
fn is_for_operators(project: &Project, fun: Fun) -> bool {
    project
        .around(fun)
        .into_iter()
        .filter_map(|fun| project.entry(fun))
        .any(|entry| project.is_operators(entry) || project.is_registered_for_operators(entry))
}

fn asks(project: &Project, at: At) -> bool {
    project
        .last_written(at)
        .is_some_and(|name| vocabulary::words(name).first().is_some_and(|verb| ASKS.contains(&verb.as_str())))
}

/// The name of the owner that a call is told is nobody: a variable of the function that is never anything else.
fn nobody(unit: &Unit, fun: Fun, call: &Call) -> Option<String> {
    call.args.iter().find_map(|arg| {
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(arg.value) else { return None };
        let own = unit.ir.binding_name(*id);
        let name = match arg.kind {
            ArgKind::Keyword(name) => unit.ir.text(name),
            ArgKind::Positional => own,
            _ => return None,
        };
        let here = unit.ir.binding_function(*id) == fun.id;
        (vocabulary::is_owner(name)
            && vocabulary::is_owner(own)
            && here
            && is_null(unit, unit.index.sources(*id)))
        .then(|| name.to_owned())
    })
}

/// Whether a variable is set once, to nothing.
fn is_null(unit: &Unit, sources: &[crate::project::Source]) -> bool {
    let null = |value: ExprId| matches!(unit.ir.expr(value), ExprKind::Null);
    matches!(sources, [source] if source.path.is_empty() && null(source.value))
}
