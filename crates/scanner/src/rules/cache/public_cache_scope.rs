//! An answer for one caller that is marked as everybody's.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{ArgKind, ExprId, ExprKind, FunctionId, NameRef, PropertyKey, StmtKind, TemplatePart, walk},
    project::{At, Fun, Project, Symbol, Unit},
    rules::{Report, Rule},
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "public-cache-scope",
        layer: Layer::Cache,
        summary: "An answer that depends on the caller is marked as one that caches may give to everybody.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "Clients, gateways and proxies on the way keep a public answer once for all who ask, and the next caller gets this one's.",
    fix: "Mark it private (`cacheScope: \"private\"`, `Cache-Control: private`), or leave out what depends on the caller.",
    cwe: &["CWE-524", "CWE-525"],
    soc2: &["CC6.1", "C1.1"],
    owasp: &["A01:2021", "A05:2021"],
    markdown: include_str!("public_cache_scope.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        if !crate::marks::KEEPS.iter().any(|name| unit.ir.source.mentions(name)) {
            continue;
        }
        let mut places: Vec<ExprId> = unit.ir.exprs().filter_map(|(expr, _)| marked(project, unit, At { module, expr })).collect();
        for write in &unit.index.writes {
            let ExprKind::Index { index, .. } = unit.ir.expr(write.place) else { continue };
            if is_text(unit, *index, is_header) && is_public(project, At { module, expr: write.value }) {
                places.push(write.value);
            }
        }
        for expr in places {
            let at = At { module, expr };
            let fun = project.function_of(at);
            if let Some(middleware) = middleware_of(project, unit, fun) {
                if !is_for_some(unit, expr) && stands_before_callers(project, middleware) {
                    report
                        .reached(at, "caches may give every answer behind this to everybody, and some are made for one caller")
                        .confidence(Confidence::Medium);
                }
                continue;
            }
            if lives.is_per_request(fun) && depends_on_the_caller(project, fun) {
                report
                    .reached(at, "caches may give this answer to everybody, and it was made for one caller")
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// The value of a mark in an object literal or a call: `{ cacheScope: "public" }`, `set("Cache-Control", "public, …")`.
fn marked(project: &Project, unit: &Unit, at: At) -> Option<ExprId> {
    let public = |expr: &ExprId| is_public(project, at.to(*expr));
    match unit.ir.expr(at.expr) {
        ExprKind::Object(properties) => properties.iter().find_map(|property| {
            let PropertyKey::Name(name) = property.key else { return None };
            let name = unit.ir.text(name);
            (is_scope(name) || is_header(name)).then_some(property.value).filter(public)
        }),
        ExprKind::Call(call) => {
            let named = call.args.iter().find_map(|arg| match arg.kind {
                ArgKind::Keyword(name) if is_scope(unit.ir.text(name)) => Some(arg.value).filter(public),
                _ => None,
            });
            named.or_else(|| {
                let value = call.positional(1)?;
                is_text(unit, call.positional(0)?, is_header).then_some(value).filter(public)
            })
        }
        _ => None,
    }
}

/// The field of a result of MCP 2026-07-28 that says for whom it may be kept.
fn is_scope(name: &str) -> bool {
    matches!(name, "cacheScope" | "cache_scope")
}

fn is_header(name: &str) -> bool {
    name.eq_ignore_ascii_case("cache-control")
}

fn is_text(unit: &Unit, expr: ExprId, wanted: fn(&str) -> bool) -> bool {
    matches!(unit.ir.expr(expr), ExprKind::String(text) if wanted(unit.ir.text(*text)))
}

/// Whether a value lets shared caches keep the answer (RFC 9111, 5.2.2: `public`, `s-maxage`).
fn is_public(project: &Project, at: At) -> bool {
    let at = match project.symbol(at) {
        Symbol::Value(value) => value,
        _ => at,
    };
    let Some(unit) = project.unit(at.module) else { return false };
    let at = match unit.ir.expr(at.expr) {
        ExprKind::Name(NameRef::Binding(id)) => {
            let (module, id) = project.declared(at.module, *id).unwrap_or((at.module, *id));
            match project.unit(module).map_or(&[][..], |unit| unit.index.sources(id)) {
                [source] => At { module, expr: source.value },
                _ => return false,
            }
        }
        _ => at,
    };
    let Some(unit) = project.unit(at.module) else { return false };
    let text = match unit.ir.expr(at.expr) {
        ExprKind::String(text) => *text,
        ExprKind::Template(parts) => match parts.first() {
            Some(TemplatePart::Text(text)) => *text,
            _ => return false,
        },
        _ => return false,
    };
    let mut words = unit.ir.text(text).split([',', ';', ' ', '=']);
    words.any(|word| word.eq_ignore_ascii_case("public") || word.eq_ignore_ascii_case("s-maxage"))
}

/// Whether a handler looks at the verified caller, and its answer does not say that it varies by who asks.
fn depends_on_the_caller(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let own = project.around(fun).into_iter().chain([fun]).filter(|fun| fun.id != FunctionId::MODULE);
    let mut depends = false;
    let mut varies = false;
    for fun in own {
        let Some(function) = unit.ir.function(fun.id) else { continue };
        varies |= unit.ir.snippet(function.span).to_ascii_lowercase().contains("vary");
        walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
            let read = matches!(unit.ir.expr(expr), ExprKind::Member { .. } | ExprKind::Call(_) | ExprKind::Name(_));
            depends |= read && project.origins(At { module: fun.module, expr }).has(Origins::PRINCIPAL | Origins::SECRET);
        });
    }
    depends && !varies
}

/// The function that goes on with the next one, `(req, res, next)`, `dispatch(request, call_next)`, and that an expression's code is a
/// part of.
fn middleware_of(project: &Project, unit: &Unit, fun: Fun) -> Option<Fun> {
    project.around(fun).into_iter().chain([fun]).find(|own| {
        unit.ir.function(own.id).is_some_and(|function| {
            let last = function.params.last().and_then(|last| last.name).map(|name| unit.ir.text(name));
            function.params.len() > 1 && last.is_some_and(|last| matches!(last, "next" | "call_next" | "_next"))
        })
    })
}

/// Whether a mark is set only where the request is for something that is named: a path, an asset, nobody's session.
fn is_for_some(unit: &Unit, expr: ExprId) -> bool {
    const NAMES: &[&str] = &[
        "path", "pathname", "url", "originalurl", "startswith", "endswith", "test", "match", "authorization", "cookie", "cookies", "user",
        "auth", "session", "static", "asset", "assets", "public", "route", "anonymous",
    ];
    let mut here = unit.index.stmt_of(expr);
    for _ in 0..8 {
        let Some(stmt) = here else { return false };
        if let StmtKind::If { test, .. } = unit.ir.stmt(stmt) {
            let mut found = false;
            walk::exprs_below(&unit.ir, *test, &mut |own| {
                let name = match unit.ir.expr(own) {
                    ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
                    ExprKind::Member { property, .. } => unit.ir.text(*property),
                    _ => return,
                };
                found |= NAMES.contains(&name.to_ascii_lowercase().as_str());
            });
            if found {
                return true;
            }
        }
        here = unit.index.stmt_parent(stmt);
    }
    false
}

/// Whether a handler that looks at the caller stands behind a function: it is named, itself or by what makes it, in a call that registers
/// one, or the whole server is behind it.
fn stands_before_callers(project: &Project, middleware: Fun) -> bool {
    let around: Vec<Fun> = project.around(middleware).into_iter().chain([middleware]).filter(|fun| fun.id != FunctionId::MODULE).collect();
    let class = project.this_of(middleware);
    let is_it = |at: At| {
        let made = project.callee(at).is_some_and(|callee| callee.targets.iter().any(|target| around.contains(target)));
        made || match project.symbol(at) {
            Symbol::Function(fun) => around.contains(&fun),
            Symbol::Class(own) => Some(own) == class,
            _ => false,
        }
    };
    let knows = |fun: Fun| depends_on_the_caller(project, fun);
    let registers = project.calls_named(|name| {
        matches!(name, "use" | "add_middleware" | "addHook" | "middleware" | "get" | "all" | "route" | "Middleware")
    });
    for (module, unit) in project.units() {
        for expr in registers.among(module) {
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let at = At { module, expr: *expr };
            let Some(place) = call.args.iter().position(|arg| is_it(at.to(arg.value))) else { continue };
            let name = project.last_written(at.to(call.callee)).unwrap_or_default();
            if !matches!(name, "get" | "all" | "route") {
                // Under a path of its own it stands before some only.
                let whole = !call.args.iter().take(place).any(|arg| matches!(unit.ir.expr(arg.value), ExprKind::String(_)));
                return whole && project.entries().iter().any(|entry| entry.kind == "http" && knows(entry.handler));
            }
            let behind = call.args.iter().skip(place.saturating_add(1));
            let handlers = behind.filter_map(|arg| match unit.ir.expr(arg.value) {
                ExprKind::Function(id) => Some(Fun { module, id: *id }),
                _ => match project.symbol(at.to(arg.value)) {
                    Symbol::Function(fun) => Some(fun),
                    _ => None,
                },
            });
            if handlers.into_iter().any(knows) {
                return true;
            }
        }
    }
    false
}
