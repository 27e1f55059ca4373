//! The caller on an object that all requests of a framework have in common: on the prototype of every request's context, `ctx.app.context.user = user`
//! of Koa, `req.app.request.user = user` of Express; and in an object with which requests are decorated once, `decorateRequest("identity", {})` of
//! Fastify. Sources: Koa's documentation, "app.context is the prototype from which ctx is created"; Fastify's, "Decorators": "if a reference type
//! is defined, it will be shared across all requests".

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{Call, ExprId, ExprKind, FunctionId, NameRef},
    project::{At, Fun, ModuleId, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Reports such writes.
pub(super) fn prototypes(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        if unit.ir.has_name(&["context", "request"]) {
            of_application(project, lives, report, module, unit);
        }
        if unit.ir.has_name(&["decorateRequest"]) {
            decorated(project, report, module, unit);
        }
    }
}

/// Whether a write tells who calls, by the name of its place or by its value.
fn tells_caller(project: &Project, at: At, name: &str) -> bool {
    vocabulary::is_principal(name)
        || vocabulary::is_owner(name)
        || vocabulary::is_credential(name)
        || project
            .origins(at)
            .has(Origins::PRINCIPAL | Origins::SECRET | Origins::OWNER | Origins::UNVERIFIED)
}

fn of_application(
    project: &Project,
    lives: &Lifetimes<'_>,
    report: &mut Report<'_>,
    module: ModuleId,
    unit: &Unit,
) {
    for write in &unit.index.writes {
        let ExprKind::Member { object, property, .. } = unit.ir.expr(write.place) else { continue };
        let ExprKind::Member { object: app, property: proto, .. } = unit.ir.expr(*object) else { continue };
        let fun = Fun { module, id: write.function };
        if !matches!(unit.ir.text(*proto), "context" | "request")
            || !is_application(project, unit, module, *app)
            || !(lives.is_per_request(fun) || is_middleware(unit, fun.id))
        {
            continue;
        }
        let name = unit.ir.text(*property);
        if tells_caller(project, At { module, expr: write.value }, name) {
            report
                .reached(
                    At { module, expr: write.place },
                    format!("`{name}` of this caller is left on what every request's context is made after, and so all of them read it"),
                )
                .severity(Severity::High)
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether a value is an application: `ctx.app`, `req.app`, or a variable of the module that is named `app`.
fn is_application(project: &Project, unit: &Unit, module: ModuleId, expr: ExprId) -> bool {
    match unit.ir.expr(expr) {
        ExprKind::Member { object, property, .. } => {
            let parameter = matches!(unit.ir.expr(*object), ExprKind::Name(NameRef::Binding(id)) if project.parameter_of(module, *id).is_some());
            unit.ir.text(*property) == "app" && parameter
        }
        ExprKind::Name(NameRef::Binding(id)) => {
            let name = unit.ir.binding_name(*id);
            let made = || {
                unit.index.sources(*id).iter().any(|source| match unit.ir.expr(source.value) {
                    ExprKind::Call(call) => {
                        matches!(unit.ir.snippet(unit.ir.span(call.callee)), "Koa" | "express")
                    }
                    _ => false,
                })
            };
            name == "app" && made()
        }
        _ => false,
    }
}

/// Whether a function is one that stands before handlers: `(ctx, next) => …`, `(req, res, next) => …`.
fn is_middleware(unit: &Unit, id: FunctionId) -> bool {
    let Some(function) = unit.ir.function(id) else { return false };
    let name = |number: usize| {
        function.params.get(number).and_then(|own| own.name).map_or("", |name| unit.ir.text(name))
    };
    (name(1) == "next" && matches!(name(0), "ctx" | "context" | "c"))
        || (name(2) == "next" && matches!(name(0), "req" | "request"))
}

/// Reports objects with which requests are decorated, and in which a hook leaves who calls.
fn decorated(project: &Project, report: &mut Report<'_>, module: ModuleId, unit: &Unit) {
    for expr in &unit.index.calls {
        let at = At { module, expr: *expr };
        let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
        let Some((name, value)) = decoration(unit, call) else { continue };
        if !is_one_object(unit, value) {
            continue;
        }
        let Some((write, key)) = left_in(project, name) else { continue };
        report
            .at(
                at,
                format!(
                    "all requests have this one object as `{name}`, in which `{key}` of a caller is left"
                ),
            )
            .severity(Severity::High)
            .confidence(Confidence::Medium)
            .related(write.module, project.span(write), "it is left here");
    }
}

/// The name and the value of `app.decorateRequest("identity", value)`.
fn decoration<'u>(unit: &'u Unit, call: &Call) -> Option<(&'u str, ExprId)> {
    let ExprKind::Member { property, .. } = unit.ir.expr(call.callee) else { return None };
    let (ExprKind::String(name), Some(value)) = (unit.ir.expr(call.positional(0)?), call.positional(1))
    else {
        return None;
    };
    (unit.ir.text(*property) == "decorateRequest").then(|| (unit.ir.text(*name), value))
}

/// Whether a value is an object that is there once: a literal, a `new Map()`, also through a variable. One with a getter is worked out anew.
fn is_one_object(unit: &Unit, expr: ExprId) -> bool {
    match unit.ir.expr(expr) {
        ExprKind::Object(properties) => {
            !properties.iter().any(|own| matches!(own.key, crate::ir::PropertyKey::Name(name) if matches!(unit.ir.text(name), "getter" | "setter")))
        }
        ExprKind::Call(call) => call.is_new,
        ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
            [source] => {
                source.path.is_empty()
                    && matches!(unit.ir.expr(source.value), ExprKind::Object(_) | ExprKind::Call(_))
                    && is_one_object(unit, source.value)
            }
            _ => false,
        },
        _ => false,
    }
}

/// Where a part of a decoration is set to something of a caller, `request.identity.userId = claims.sub`, when no request is given an object of
/// its own: `request.identity = { … }`.
fn left_in(project: &Project, name: &str) -> Option<(At, String)> {
    let mut found = None;
    for (module, unit) in project.units() {
        if !unit.ir.has_name(&[name]) {
            continue;
        }
        for write in &unit.index.writes {
            let ExprKind::Member { object, property, .. } = unit.ir.expr(write.place) else { continue };
            let of_parameter = |of: ExprId| matches!(unit.ir.expr(of), ExprKind::Name(NameRef::Binding(id)) if project.parameter_of(module, *id).is_some());
            if unit.ir.text(*property) == name && of_parameter(*object) {
                return None;
            }
            let ExprKind::Member { object: of, property: own, .. } = unit.ir.expr(*object) else { continue };
            let key = unit.ir.text(*property);
            let at = At { module, expr: write.place };
            if unit.ir.text(*own) == name
                && of_parameter(*of)
                && tells_caller(project, at.to(write.value), key)
                && found.is_none()
            {
                found = Some((at, key.to_owned()));
            }
        }
    }
    found
}
