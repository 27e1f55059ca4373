//! Subscriptions of GraphQL that hear a topic of all tenants: `subscribe: (_, args, ctx) => pubsub.subscribe("orderChanged")`, where nothing
//! behind it looks at what is heard.

use partywall_model::{Confidence, Severity};

use super::subscribed::{is_bus, is_given};
use crate::{
    flow::Lifetimes,
    ir::{ArrayKind, Call, ExprId, ExprKind, FunctionId, PropertyKey, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Methods of a bus that give what is told from then on, one by one.
const HEARS: &[&str] = &["subscribe", "asyncIterator", "asyncIterableIterator"];

/// Reports subscriptions that are given one topic's events whole, where what is told says whose it is or the project has owners.
pub(super) fn topics(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    let hears = project.calls_named(|name| HEARS.contains(&name));
    for (module, unit) in project.units() {
        for expr in hears.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { continue };
            if !HEARS.contains(&unit.ir.text(*property)) || !is_bus(project, &lives, at.to(*object)) {
                continue;
            }
            let Some(topic) = fixed_topic(unit, call) else { continue };
            let Some(fun) = subscription(project, unit, at) else { continue };
            if !is_told_whose(project, topic) || looks(unit, fun.id) || looks_beside(unit, at, fun.id) {
                continue;
            }
            report
                .at(at, "whoever subscribes hears what is told of every tenant")
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// The one topic that a call names, and nothing beside it: `"orderChanged"`, `["orderChanged"]`.
fn fixed_topic<'u>(unit: &'u Unit, call: &Call) -> Option<&'u str> {
    let [only] = call.args.as_ref() else { return None };
    let text = |expr: ExprId| match unit.ir.expr(expr) {
        ExprKind::String(text) => Some(unit.ir.text(*text)),
        _ => None,
    };
    match unit.ir.expr(only.value) {
        ExprKind::Array { items, kind: ArrayKind::List } => match items.as_ref() {
            [one] => text(*one),
            _ => None,
        },
        _ => text(only.value),
    }
}

/// The resolver of a subscription that a call stands in: a function that is named `subscribe`, or one below `Subscription`.
fn subscription(project: &Project, unit: &Unit, at: At) -> Option<Fun> {
    project.around(project.function_of(at)).into_iter().find(|fun| {
        let Some(function) = unit.ir.function(fun.id).filter(|_| fun.id != FunctionId::MODULE) else {
            return false;
        };
        let named = function.name.is_some_and(|name| unit.ir.text(name) == "subscribe");
        let decorated = function.decorators.iter().any(|expr| {
            let text = unit.ir.snippet(unit.ir.span(*expr));
            text.contains("Subscription") && !text.contains("filter")
        });
        (named && function.class.is_none()) || decorated || is_filtered(unit, fun.id)
    })
}

/// Whether a function is the first of `withFilter(() => pubsub.asyncIterator("…"), …)`.
fn is_filtered(unit: &Unit, id: FunctionId) -> bool {
    let Some(site) = unit.index.site(id) else { return false };
    let crate::project::Parent::Expr(up) = unit.index.parent(site) else { return false };
    let ExprKind::Call(call) = unit.ir.expr(up) else { return false };
    unit.ir.snippet(unit.ir.span(call.callee)).ends_with("withFilter") && call.positional(0) == Some(site)
}

/// Whether what is told on a topic says whose it is: `publish("orderChanged", { tenantId, order })`.
fn is_told_whose(project: &Project, topic: &str) -> bool {
    let tells = project.calls_named(|name| name == "publish");
    project.units().any(|(module, unit)| {
        tells.among(module).any(|expr| {
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { return false };
            let on = call.positional(0).is_some_and(
                |first| matches!(unit.ir.expr(first), ExprKind::String(text) if unit.ir.text(*text) == topic),
            );
            let mut said = false;
            if let Some(told) = call.positional(1).filter(|_| on) {
                walk::exprs_below(&unit.ir, told, &mut |below| {
                    if let ExprKind::Object(properties) = unit.ir.expr(below) {
                        said |= properties.iter().any(|property| {
                            matches!(property.key, PropertyKey::Name(name) if vocabulary::is_tenant(unit.ir.text(name)))
                        });
                    }
                });
            }
            said || (on && project.has_owners(module) && knows_tenant(project, unit, At { module, expr: *expr }))
        })
    })
}

/// Whether a function that tells has a tenant at hand.
fn knows_tenant(project: &Project, unit: &Unit, at: At) -> bool {
    let mut found = false;
    walk::function_exprs(&unit.ir, project.function_of(at).id, &mut |expr| {
        found |= matches!(unit.ir.expr(expr), ExprKind::Member { property, .. } if vocabulary::is_tenant(unit.ir.text(*property)));
    });
    found
}

/// Whether a function, or one inside of it, compares anything, or asks another function about what it was given.
fn looks(unit: &Unit, id: FunctionId) -> bool {
    let mut open = vec![id];
    let mut found = false;
    let mut left = 16_u32;
    while let Some(fun) = open.pop() {
        let Some(less) = left.checked_sub(1) else { return true };
        left = less;
        open.extend(unit.index.inner(fun));
        walk::function_exprs(&unit.ir, fun, &mut |expr| found |= decides(unit, fun, fun == id, expr));
    }
    found
}

fn decides(unit: &Unit, fun: FunctionId, outer: bool, expr: ExprId) -> bool {
    match unit.ir.expr(expr) {
        ExprKind::Compare { .. } => true,
        // `(event) => may(event, ctx)`; the resolver's own call says who subscribes.
        ExprKind::Call(call) if !outer => {
            let converts = matches!(unit.ir.snippet(unit.ir.span(call.callee)), "Boolean" | "String");
            !converts && call.args.iter().any(|arg| is_given(unit, fun, arg.value))
        }
        _ => false,
    }
}

/// Whether a call that the subscription is handed to, `withFilter(() => …, (event, args, ctx) => …)`, or the object that it stands in has a
/// function that decides.
fn looks_beside(unit: &Unit, at: At, fun: FunctionId) -> bool {
    let mut here = unit.index.site(fun).unwrap_or(at.expr);
    for _ in 0..3 {
        let crate::project::Parent::Expr(up) = unit.index.parent(here) else { return false };
        let values: Vec<ExprId> = match unit.ir.expr(up) {
            ExprKind::Call(call) => call.args.iter().map(|arg| arg.value).collect(),
            ExprKind::Object(properties) => properties
                .iter()
                .filter(|own| matches!(own.key, PropertyKey::Name(name) if unit.ir.text(name) == "filter"))
                .map(|own| own.value)
                .collect(),
            _ => Vec::new(),
        };
        let beside =
            values.into_iter().filter(|value| *value != here).any(|value| match unit.ir.expr(value) {
                ExprKind::Function(other) => looks(unit, *other),
                // A filter that is not seen.
                ExprKind::Name(_) | ExprKind::Member { .. } | ExprKind::Call(_) => true,
                _ => false,
            });
        if beside {
            return true;
        }
        here = up;
    }
    false
}
