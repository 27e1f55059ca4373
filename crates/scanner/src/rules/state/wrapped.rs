//! A client that a function is given, changes in place for one party and gives back: `client.chat.create = withMemoryOf(tag)`. Whoever
//! wraps the same client for another party changes it for both.

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{BindingId, ExprId, ExprKind, NameRef},
    project::{At, Fun, Project, Symbol, Unit},
    rules::Report,
    vocabulary,
};

/// Reports such changes, once a function.
pub(super) fn wrapped(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        let mut told: Vec<Fun> = Vec::new();
        for write in &unit.index.writes {
            let fun = Fun { module, id: write.function };
            let at = At { module, expr: write.place };
            let Some(client) = given_object(project, unit, fun, write.place) else { continue };
            if told.contains(&fun)
                || !is_own_function(project, unit, at.to(write.value))
                || !gives_back(unit, fun, client)
            {
                continue;
            }
            let Some(party) = party_inside(unit, fun, client) else { continue };
            told.push(fun);
            let text = project.snippet(at).to_owned();
            report
                .reached(at, format!("`{text}` of the caller's own object is replaced for one `{party}`, and with it for all who use the object"))
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// The parameter whose member a place is.
fn given_object(project: &Project, unit: &Unit, fun: Fun, place: ExprId) -> Option<BindingId> {
    let mut here = place;
    while let ExprKind::Member { object, .. } = unit.ir.expr(here) {
        here = *object;
    }
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(here) else { return None };
    let (of, _, path) = project.parameter_of(fun.module, *id)?;
    (here != place && of == fun && path.is_empty() && unit.index.sources(*id).is_empty()).then_some(*id)
}

/// Whether a value is a function that is written in the same function.
fn is_own_function(project: &Project, unit: &Unit, value: At) -> bool {
    match unit.ir.expr(value.expr) {
        ExprKind::Function(_) => true,
        ExprKind::Name(NameRef::Binding(id)) => {
            !unit.ir.is_module_level(*id) && matches!(project.symbol(value), Symbol::Function(_))
        }
        _ => false,
    }
}

fn gives_back(unit: &Unit, fun: Fun, client: BindingId) -> bool {
    unit.index
        .returns(fun.id)
        .iter()
        .any(|expr| matches!(unit.ir.expr(*expr), ExprKind::Name(NameRef::Binding(id)) if *id == client))
}

/// Another parameter that says for whom, and is used by the functions inside.
fn party_inside(unit: &Unit, fun: Fun, client: BindingId) -> Option<String> {
    let function = unit.ir.function(fun.id)?;
    let mut params: Vec<BindingId> = Vec::new();
    function.params.iter().for_each(|own| own.pattern.for_each_binding(&mut |id| params.push(id)));
    params.into_iter().filter(|id| *id != client).find_map(|id| {
        let name = unit.ir.binding_name(id);
        let words = vocabulary::words(name);
        let party = vocabulary::is_owner(name)
            || vocabulary::is_session_id(name)
            || words
                .iter()
                .any(|word| matches!(word.as_str(), "tag" | "space" | "namespace" | "tenant" | "user"));
        let inside = unit.index.uses(id).iter().any(|used| unit.index.function(*used) != fun.id);
        (party && inside).then(|| name.to_owned())
    })
}
