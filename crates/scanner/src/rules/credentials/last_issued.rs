//! A credential that one caller was given last, tried for another one whose own is not good:
//! `await load(token) or await load(latest[0])`.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Lifetimes,
    ir::{BindingId, ExprId, ExprKind, FunctionId, FunctionKind, NameRef, walk},
    project::{At, Fun, ModuleId, Project, Unit},
    rules::Report,
    vocabulary,
};

/// A place of the process in which one value is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// A variable of the module, or an entry of one that is written out: `latest`, `latest[0]`.
    Variable(BindingId, String),
    /// A field of the object.
    Field(String),
}

/// Reports calls that are given such a value, where the same function is called with the caller's own.
pub(super) fn last_issued(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        for (id, function) in unit.ir.functions() {
            let fun = Fun { module, id };
            let told: Vec<BindingId> = function
                .params
                .iter()
                .filter_map(|own| own.pattern.as_binding())
                .filter(|id| means_token(unit.ir.binding_name(*id)))
                .collect();
            if told.is_empty() || id == FunctionId::MODULE {
                continue;
            }
            let mut asked: Vec<(At, String)> = Vec::new();
            let mut kept: Vec<(At, String, Place)> = Vec::new();
            walk::function_exprs(&unit.ir, id, &mut |expr| {
                let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
                let Some(first) = call.positional(0) else { return };
                let at = At { module, expr };
                let name = || project.written(at).join(".");
                if matches!(unit.ir.expr(first), ExprKind::Name(NameRef::Binding(id)) if told.contains(id)) {
                    asked.push((at, name()));
                } else if let Some(place) = place_of(unit, first, 3) {
                    kept.push((at, name(), place));
                }
            });
            let found = kept.into_iter().find(|(_, name, place)| {
                asked.iter().any(|(_, other)| other == name)
                    && is_of_all(project, &lives, fun, place)
                    && is_issued(project, unit, module, fun, place)
            });
            if let Some((at, ..)) = found {
                let reached = report.reached(
                    at,
                    "a caller whose own is not good gets the credential that somebody was given last",
                );
                reached.severity(Severity::High).confidence(Confidence::Medium);
            }
        }
    }
}

fn means_token(name: &str) -> bool {
    vocabulary::is_credential(name)
        || vocabulary::words(name)
            .last()
            .is_some_and(|last| matches!(last.as_str(), "token" | "jwt" | "bearer"))
}

/// The place that a value is read from, itself or through a variable of the function.
fn place_of(unit: &Unit, expr: ExprId, steps: u32) -> Option<Place> {
    let steps = steps.checked_sub(1)?;
    match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) if unit.ir.is_module_level(*id) => {
            Some(Place::Variable(*id, String::new()))
        }
        ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
            [source] if source.path.is_empty() => place_of(unit, source.value, steps),
            _ => None,
        },
        ExprKind::Index { object, index, .. } => {
            let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object) else { return None };
            let (ExprKind::Number(key) | ExprKind::String(key)) = unit.ir.expr(*index) else { return None };
            unit.ir.is_module_level(*id).then(|| Place::Variable(*id, unit.ir.text(*key).to_owned()))
        }
        ExprKind::Member { object, property, .. } => match unit.ir.expr(*object) {
            ExprKind::This => Some(Place::Field(unit.ir.text(*property).to_owned())),
            ExprKind::Name(NameRef::Binding(id)) if unit.ir.is_module_level(*id) => {
                Some(Place::Variable(*id, unit.ir.text(*property).to_owned()))
            }
            _ => None,
        },
        _ => None,
    }
}

/// Whether a place is the same for all callers: a field is, when its object is.
fn is_of_all(project: &Project, lives: &Lifetimes<'_>, fun: Fun, place: &Place) -> bool {
    match place {
        Place::Variable(..) => true,
        Place::Field(_) => project.this_of(fun).is_some_and(|class| lives.outlives(class) == Some(true)),
    }
}

/// Whether another function leaves a credential in a place that it was given or made for somebody.
fn is_issued(project: &Project, unit: &Unit, module: ModuleId, fun: Fun, place: &Place) -> bool {
    let gives = |value: ExprId, function: FunctionId| {
        let here = Fun { module, id: function };
        let constructor = unit.ir.function(function).is_none_or(|own| own.kind == FunctionKind::Constructor);
        if constructor || project.around(here).contains(&fun) {
            return false;
        }
        let at = At { module, expr: value };
        let name = project.last_written(at).unwrap_or_default();
        !project.is_fixed(at) && means_token(name)
    };
    let written = unit.index.writes.iter().any(|write| {
        place_of(unit, write.place, 1).as_ref() == Some(place) && gives(write.value, write.function)
    });
    let set = match place {
        Place::Variable(id, key) if key.is_empty() => {
            unit.index.sources(*id).iter().any(|source| gives(source.value, source.function))
        }
        _ => false,
    };
    written || set
}
