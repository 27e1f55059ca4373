//! Answers that a middleware keeps by their address, in routes that answer for the caller: `app.get("/orders", cache("5 minutes"), …)`.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Entry, Origins},
    ir::{ExprKind, FunctionId, Language, walk},
    project::{At, Project, Symbol, Unit},
    rules::Report,
};

/// Packages whose middleware keeps answers by their address.
const BY_URL: &[&str] = &[
    "apicache",
    "apicache-plus",
    "hono/cache",
    "route-cache",
    "express-redis-cache",
    "koa-cash",
    "express-cache-controller",
];

/// What such a middleware is told to tell callers apart.
const APART: &[&str] = &["vary", "Vary", "appendKey", "keyGenerator", "hash", "Authorization", "private"];

/// Reports such routes.
pub(super) fn by_url(project: &Project, report: &mut Report<'_>) {
    super::kept_answers::kept_answers(project, report);
    for entry in project.entries().iter().filter(|entry| entry.kind == "http") {
        let Some(keeps) = kept_by_url(project, entry) else { continue };
        if answers_for_caller(project, entry) {
            report
                .at(keeps, "the answer to one caller is kept by its address alone, and given to the next one")
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// What keeps the answers of a route: a middleware of its registration, or an interceptor of the method or class.
fn kept_by_url(project: &Project, entry: &Entry) -> Option<At> {
    let at = entry.registration;
    if let Some(unit) = project.unit(at.module)
        && let ExprKind::Call(call) = unit.ir.expr(at.expr)
    {
        let keeps = |expr: crate::ir::ExprId| {
            let own = at.to(expr);
            let package = project.callee(own).and_then(|callee| callee.package.as_deref());
            let text = project.snippet(own);
            package.is_some_and(|package| BY_URL.contains(&package))
                && !APART.iter().any(|word| text.contains(word))
        };
        if let Some(arg) = call
            .args
            .iter()
            .find(|arg| matches!(unit.ir.expr(arg.value), ExprKind::Call(_)) && keeps(arg.value))
        {
            return Some(at.to(arg.value));
        }
    }
    let unit = project.unit(entry.handler.module)?;
    let function = unit.ir.function(entry.handler.id)?;
    if unit.ir.language == Language::Python {
        return kept_as_page(project, unit, entry);
    }
    let of_class = function
        .class
        .and_then(|class| unit.ir.class(class))
        .map(|class| class.decorators.iter())
        .into_iter()
        .flatten();
    let get = function.decorators.iter().any(|own| unit.ir.snippet(unit.ir.span(*own)).contains("Get("));
    let own = |expr: &&crate::ir::ExprId| {
        let ExprKind::Call(call) = unit.ir.expr(**expr) else { return false };
        let module = entry.handler.module;
        project.last_written(At { module, expr: call.callee }) == Some("UseInterceptors")
            && call.args.iter().any(|arg| {
                let at = At { module, expr: arg.value };
                project.last_written(at) == Some("CacheInterceptor")
                    && !matches!(project.symbol(at), Symbol::Class(_))
            })
    };
    let found = function.decorators.iter().chain(of_class).find(own)?;
    get.then_some(At { module: entry.handler.module, expr: *found })
}

/// What keeps the answers of a view of Django by their address and the headers that the answer says it varies by: above the view,
/// above its class, or around it where its address is said. What sessions add to those headers is added after the answer was kept.
/// Source: <https://docs.djangoproject.com/en/5.2/topics/cache/#the-per-view-cache>.
fn kept_as_page(project: &Project, unit: &Unit, entry: &Entry) -> Option<At> {
    let module = entry.handler.module;
    let function = unit.ir.function(entry.handler.id)?;
    let class = function.class.and_then(|class| unit.ir.class(class));
    let above = function.decorators.iter().chain(class.into_iter().flat_map(|class| class.decorators.iter()));
    let above: Vec<At> = above.map(|expr| At { module, expr: *expr }).collect();
    let varies = above.iter().any(|at| project.snippet(*at).contains("vary_on"));
    let around = project.snippet(entry.registration);
    let keeps = |at: &At| project.snippet(*at).contains("cache_page(");
    let found = above
        .iter()
        .copied()
        .find(keeps)
        .or_else(|| around.contains("cache_page(").then_some(entry.registration));
    found.filter(|_| !varies && !around.contains("vary_on"))
}

/// Whether what a handler gives is made with the caller: a value of the caller is an argument of a call there.
fn answers_for_caller(project: &Project, entry: &Entry) -> bool {
    let fun = entry.handler;
    let Some(unit) = project.unit(fun.module).filter(|_| fun.id != FunctionId::MODULE) else { return false };
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let value =
            matches!(unit.ir.expr(expr), ExprKind::Name(_) | ExprKind::Member { .. } | ExprKind::Call(_));
        found = found
            || (value
                && project
                    .origins(At { module: fun.module, expr })
                    .has(Origins::PRINCIPAL | Origins::SECRET));
    });
    found
}
