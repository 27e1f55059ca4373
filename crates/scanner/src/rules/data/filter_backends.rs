//! Views whose rows a filter of the whole application narrows to the caller's: `DEFAULT_FILTER_BACKENDS` of Django REST framework.
//! Source: django-rest-framework.org/api-guide/filtering, "Setting filter backends".

use crate::{
    flow::Query,
    ir::{ExprKind, NameRef, PropertyKey, walk},
    project::{At, Cls, Fun, Project, Unit},
    vocabulary,
};

/// Whether the rows of a query are those of a view, which the framework narrows before it serves them.
pub(super) fn is_narrowed_later(project: &Project, query: &Query) -> bool {
    if project.function_name(query.function) != "get_queryset" {
        return false;
    }
    project.this_of(query.function).is_some_and(|class| narrows_views(project, class))
}

/// Whether a filter of the whole application narrows the rows of a view that names no filters of its own.
pub(super) fn narrows_views(project: &Project, view: Cls) -> bool {
    let own = project.unit(view.module).is_some_and(|unit| {
        unit.ir.class(view.id).is_some_and(|class| unit.ir.snippet(class.span).contains("filter_backends"))
    });
    !own && project.units().any(|(_, unit)| names_narrowing(project, unit))
}

/// Whether settings name a class of the project that narrows rows to somebody's.
fn names_narrowing(project: &Project, unit: &Unit) -> bool {
    unit.ir.source.mentions("DEFAULT_FILTER_BACKENDS")
        && unit.ir.exprs().any(|(_, kind)| {
            let ExprKind::Object(properties) = kind else { return false };
            properties.iter().any(|property| {
                let named = match property.key {
                    PropertyKey::Name(name) => unit.ir.text(name) == "DEFAULT_FILTER_BACKENDS",
                    PropertyKey::Computed(key) => {
                        matches!(unit.ir.expr(key), ExprKind::String(text) if unit.ir.text(*text) == "DEFAULT_FILTER_BACKENDS")
                    }
                    _ => false,
                };
                named && lists_narrowing(project, unit, property.value)
            })
        })
}

fn lists_narrowing(project: &Project, unit: &Unit, list: crate::ir::ExprId) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, list, &mut |expr| {
        if let ExprKind::String(text) = unit.ir.expr(expr) {
            let name = unit.ir.text(*text).rsplit('.').next().unwrap_or_default().to_owned();
            found |= project.units().any(|(module, home)| {
                home.ir.classes().any(|(id, class)| {
                    class.name.is_some_and(|own| home.ir.text(own) == name)
                        && project
                            .method(Cls { module, id }, "filter_queryset")
                            .is_some_and(|fun| narrows(project, fun))
                })
            });
        }
    });
    found
}

/// Whether a method filters, and speaks of an owner.
fn narrows(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let (mut filters, mut speaks) = (false, false);
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Call(call) => {
            let name = project.last_written(At { module: fun.module, expr: call.callee }).unwrap_or_default();
            filters |= name == "filter";
            speaks |= vocabulary::words(name).iter().any(|word| vocabulary::is_owner(word));
        }
        ExprKind::Member { property, .. } => speaks |= vocabulary::is_owner(unit.ir.text(*property)),
        ExprKind::Name(NameRef::Binding(id)) => speaks |= vocabulary::is_owner(unit.ir.binding_name(*id)),
        _ => {}
    });
    filters && speaks
}
