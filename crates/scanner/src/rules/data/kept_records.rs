//! Records with an owner in a dict of the module, which anybody finds by their id: `tasks[task_id]`.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Lifetimes,
    ir::{
        ArgKind, BindingId, ExprId, ExprKind, FunctionId, Kinds, Language, NameRef, PropertyKey, StmtKind,
        walk,
    },
    project::{At, Cls, Fun, Project, Symbol, Unit},
    rules::Report,
    vocabulary,
};

/// Reports look-ups by an id of the request in a dict whose records say whose they are, when nothing of that is compared.
pub(super) fn kept_records(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        if unit.ir.language != Language::Python {
            continue;
        }
        let maps: Vec<BindingId> = unit
            .ir
            .bindings()
            .map(|(id, _)| id)
            .filter(|id| keeps_records(project, unit, At { module, expr: ExprId::MISSING }, *id))
            .collect();
        if maps.is_empty() {
            continue;
        }
        for (expr, kind) in unit.ir.exprs_of(Kinds::INDEX | Kinds::CALL) {
            let at = At { module, expr };
            let (map, key) = match kind {
                ExprKind::Index { object, index, .. }
                    if !unit.index.writes.iter().any(|write| write.place == expr) =>
                {
                    (*object, *index)
                }
                ExprKind::Call(call) => match (unit.ir.expr(call.callee), call.positional(0)) {
                    (ExprKind::Member { object, property, .. }, Some(key))
                        if matches!(unit.ir.text(*property), "get" | "pop") =>
                    {
                        (*object, key)
                    }
                    _ => continue,
                },
                _ => continue,
            };
            let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(map) else { continue };
            let fun = project.function_of(at);
            let chosen = project.origins(at.to(key)).is_chosen() && !project.origins(at.to(key)).has_owner();
            if maps.contains(id)
                && chosen
                && fun.id != FunctionId::MODULE
                && lives.is_per_request(fun)
                && !looks_whose(project, fun)
            {
                let name = unit.ir.binding_name(*id);
                report
                    .reached(
                        at,
                        format!("a record of `{name}` says whose it is, and is found by its id alone"),
                    )
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether a variable of the module is a dict, and no cache, into which records with an owner are put.
fn keeps_records(project: &Project, unit: &Unit, at: At, id: BindingId) -> bool {
    let name = unit.ir.binding_name(id);
    if !unit.ir.is_module_level(id) || vocabulary::is_cache(name) {
        return false;
    }
    let empty = unit.index.sources(id).iter().any(|source| match unit.ir.expr(source.value) {
        ExprKind::Object(properties) => properties.is_empty(),
        ExprKind::Call(call) => {
            call.args.is_empty()
                && project
                    .written(at.to(source.value))
                    .last()
                    .is_some_and(|name| matches!(name.as_str(), "dict" | "OrderedDict"))
        }
        _ => false,
    });
    empty
        && unit.index.writes.iter().any(|write| {
            let ExprKind::Index { object, .. } = unit.ir.expr(write.place) else { return false };
            let own = matches!(unit.ir.expr(*object), ExprKind::Name(NameRef::Binding(of)) if *of == id);
            own && says_whose(project, unit, at.to(write.value))
        })
}

/// Whether a record that is put in names its owner: `{"owner": user.id}`, `Task(user_id=user.id)`, an object of a class with such a field.
pub(in crate::rules) fn says_whose(project: &Project, unit: &Unit, at: At) -> bool {
    let mut values = vec![at.expr];
    if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) {
        values.extend(unit.index.sources(*id).iter().take(2).map(|source| source.value));
    }
    values.into_iter().any(|value| match unit.ir.expr(value) {
        ExprKind::Object(properties) => properties.iter().any(|property| {
            matches!(property.key, PropertyKey::Name(name) if vocabulary::is_owner(unit.ir.text(name)))
        }),
        ExprKind::Call(call) => {
            let named = call.args.iter().any(|arg| matches!(arg.kind, ArgKind::Keyword(name) if vocabulary::is_owner(unit.ir.text(name))));
            named || matches!(project.symbol(at.to(call.callee)), Symbol::Class(class) if has_owner(project, class))
        }
        _ => false,
    })
}

fn has_owner(project: &Project, class: Cls) -> bool {
    project.unit(class.module).is_some_and(|unit| {
        let fields = unit.ir.class(class.id).map(|decl| &decl.fields);
        fields.is_some_and(|fields| fields.iter().any(|field| vocabulary::is_owner(unit.ir.text(field.name))))
    })
}

/// Whether a function compares an owner, or asks a function that is named for that.
pub(in crate::rules) fn looks_whose(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return true };
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Compare { left, right, .. } => {
            found |= [*left, *right]
                .into_iter()
                .any(|side| names_owner(project, unit, At { module: fun.module, expr: side }));
        }
        ExprKind::Call(_) => {
            let name = project.written(At { module: fun.module, expr }).pop().unwrap_or_default();
            found |= vocabulary::asks_whose(&name)
                || vocabulary::words(&name).iter().any(|word| word == "allowed");
        }
        _ => {}
    });
    let body = unit.ir.function(fun.id).map_or(0, |function| {
        function.body.iter().filter(|stmt| !matches!(unit.ir.stmt(**stmt), StmtKind::Empty)).count()
    });
    found || body == 0
}

/// Whether a value is named for an owner: `task["user_id"]`, `task.owner`, `task.get("owner")`.
fn names_owner(project: &Project, unit: &Unit, at: At) -> bool {
    let mut found = project.written(at).last().is_some_and(|name| vocabulary::is_owner(name));
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        found |=
            matches!(unit.ir.expr(expr), ExprKind::String(text) if vocabulary::is_owner(unit.ir.text(*text)));
    });
    found
}
