//! Functions of an imported module that a request replaces and leaves replaced, and values of one message on an object that
//! several messages use.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{BindingId, BindingKind, ExprId, ExprKind, FunctionId, Language, NameRef, StmtKind, walk},
    project::{At, Fun, Project, Symbol, Unit},
    rules::Report,
    vocabulary,
};

/// Reports `library.function = mine` in a function that looks at the request: all later requests have it too.
pub(super) fn left_patched(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for write in &unit.index.writes {
            let at = At { module, expr: write.place };
            let fun = Fun { module, id: write.function };
            let ExprKind::Member { object, .. } = unit.ir.expr(write.place) else { continue };
            if write.function == FunctionId::MODULE
                || !is_imported(unit, *object)
                || !is_function(project, unit, at.to(write.value))
            {
                continue;
            }
            if is_installed_once(unit, fun, write.place) {
                continue;
            }
            let text = project.snippet(at);
            let back = unit.index.writes.iter().any(|other| {
                other.function == write.function
                    && other.place != write.place
                    && project.snippet(at.to(other.place)) == text
            });
            if back || !looks_at_request(project, unit, fun) {
                continue;
            }
            report
                .reached(
                    at,
                    format!("`{text}` is replaced for this request, and stays replaced for all that follow"),
                )
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether a branch around a place asks for a variable of the module that the function itself sets: `if not _patched:`.
fn is_installed_once(unit: &Unit, fun: Fun, place: ExprId) -> bool {
    let mut here = unit.index.stmt_of(place);
    for _ in 0..8 {
        let Some(up) = here.and_then(|stmt| unit.index.stmt_parent(stmt)) else { return false };
        if let StmtKind::If { test, .. } = unit.ir.stmt(up) {
            let mut asks = false;
            walk::exprs_below(&unit.ir, *test, &mut |expr| {
                if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) {
                    let set = unit.index.sources(*id).iter().any(|source| source.function == fun.id);
                    asks |= unit.ir.is_module_level(*id) && set;
                }
            });
            if asks {
                return true;
            }
        }
        here = Some(up);
    }
    false
}

fn is_imported(unit: &Unit, object: ExprId) -> bool {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(object) else { return false };
    unit.ir.binding(*id).is_some_and(|binding| matches!(binding.kind, BindingKind::Import(_)))
}

/// Whether a value is a function that is written in the same function.
fn is_function(project: &Project, unit: &Unit, value: At) -> bool {
    match unit.ir.expr(value.expr) {
        ExprKind::Function(_) => true,
        ExprKind::Name(NameRef::Binding(id)) => {
            !unit.ir.is_module_level(*id) && matches!(project.symbol(value), Symbol::Function(_))
        }
        _ => false,
    }
}

/// Whether a function decides by the request: something of it is read in the function itself.
fn looks_at_request(project: &Project, unit: &Unit, fun: Fun) -> bool {
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        if !found && matches!(unit.ir.expr(expr), ExprKind::Member { .. } | ExprKind::Call(_)) {
            let origins = project.origins(At { module: fun.module, expr });
            found = origins.has(
                Origins::REQUEST
                    | Origins::UNVERIFIED
                    | Origins::INPUT
                    | Origins::PRINCIPAL
                    | Origins::SECRET,
            );
        }
    });
    found
}

/// Words of objects that several messages use at the same time.
const LASTING: &[&str] = &[
    "session",
    "server",
    "client",
    "connection",
    "conn",
    "transport",
    "agent",
    "engine",
    "runtime",
    "state",
    "manager",
];

/// Reports `session.set_meta(meta)` with `session.clear_meta()` in the `finally`, where a message is awaited between: what belongs to
/// one message is on an object that another message uses meanwhile.
pub(super) fn between(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for expr in &unit.index.calls {
            let at = At { module, expr: *expr };
            let Some((object, "set", what)) = named_call(unit, *expr) else { continue };
            let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(object) else { continue };
            let fun = project.function_of(at);
            if !is_lasting(unit, *id) || fun.id == FunctionId::MODULE {
                continue;
            }
            let order = unit.index.order(*expr);
            let ended = unit.index.calls.iter().find(|other| {
                let same = named_call(unit, **other).is_some_and(|(of, verb, own)| {
                    matches!(verb, "clear" | "reset" | "unset")
                        && own == what
                        && matches!(unit.ir.expr(of), ExprKind::Name(NameRef::Binding(own)) if own == id)
                });
                same && unit.index.function(**other) == fun.id
                    && unit.index.waits_between(fun.id, order, unit.index.order(**other))
            });
            let Some(ended) = ended else { continue };
            let text = format!(
                "`{what}` of this message is kept on `{}`, which other messages use meanwhile",
                unit.ir.binding_name(*id)
            );
            let span = unit.ir.span(*ended);
            let severity = if lives.is_per_request(fun) { Severity::Medium } else { Severity::Low };
            report.reached(at, text.clone()).severity(severity).confidence(Confidence::Medium).related(
                module,
                span,
                "it is taken away here",
            );
            setter(project, report, at, &text);
        }
    }
}

/// Reports the setter too, when it stands in the project: both have to change.
fn setter(project: &Project, report: &mut Report<'_>, at: At, text: &str) {
    let Some(callee) = project.callee(at) else { return };
    let [target] = callee.targets.as_slice() else { return };
    let Some(unit) = project.unit(target.module) else { return };
    let write = unit.index.writes.iter().find(|write| {
        write.function == target.id && matches!(unit.ir.expr(write.place), ExprKind::Member { .. })
    });
    if let Some(write) = write {
        report
            .add(target.module, unit.ir.span(write.place), text.to_owned())
            .severity(Severity::Low)
            .confidence(Confidence::Medium);
    }
}

/// The receiver, the verb and the rest of the name of a call of a method: `session.set_request_meta(…)`.
fn named_call(unit: &Unit, expr: ExprId) -> Option<(ExprId, &'static str, String)> {
    let ExprKind::Call(call) = unit.ir.expr(expr) else { return None };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
    let words = vocabulary::words(unit.ir.text(*property));
    let (first, rest) = words.split_first()?;
    let verb = ["set", "clear", "reset", "unset"].into_iter().find(|verb| verb == first)?;
    (!rest.is_empty()).then(|| (*object, verb, rest.join("_")))
}

/// Whether a variable is a parameter, or of the module, and is named for what several messages use.
fn is_lasting(unit: &Unit, id: BindingId) -> bool {
    let given = unit.ir.binding(id).is_some_and(|binding| matches!(binding.kind, BindingKind::Parameter(_)));
    let words = vocabulary::words(unit.ir.binding_name(id));
    (given || unit.ir.is_module_level(id))
        && words.last().is_some_and(|last| LASTING.contains(&last.as_str()))
}
