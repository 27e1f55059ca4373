//! An answer for one caller that is marked as everybody's.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{ArgKind, ExprId, ExprKind, FunctionId, NameRef, PropertyKey, TemplatePart, walk},
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
