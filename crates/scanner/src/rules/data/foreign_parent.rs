//! Rows that are put below a thing that the caller names, and nobody looks whose that is.

use std::collections::{BTreeMap, BTreeSet};

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use super::callers::{is_caller, is_id, own_code};
use crate::{
    flow::{Origins, Owned, Query, Scope, singular},
    ir::{ExprId, ExprKind, FunctionId, Property, PropertyKey, walk},
    lang::sql::Verb,
    project::{At, Fun, Parent, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "foreign-parent",
        layer: Layer::Data,
        summary: "Rows are put below a thing that the request names by its id, and nobody looks whose that thing is.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "The row has the caller as its owner and hangs below another tenant's thing, which shows it, counts it or runs it.",
    fix: "Look the parent up with the verified caller first and refuse when there is none.",
    cwe: &["CWE-639", "CWE-862"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("foreign_parent.md"),
    run,
};

/// Methods that add rows.
const ADDS: &[&str] = &["values", "create", "createMany", "insert", "insertMany", "save", "add", "upsert", "createManyAndReturn"];

fn run(project: &Project, report: &mut Report<'_>) {
    let queries = project.queries();
    let owned = project.owned_entities();
    // Elsewhere the parent is looked up with its owner: that it has one is known.
    let scoped: BTreeSet<&str> = queries
        .iter()
        .filter(|query| query.scope == Scope::Owner && query.verb == Verb::Select)
        .map(|query| query.entity.as_str())
        .collect();
    let mut of: BTreeMap<Fun, Vec<&Query>> = BTreeMap::new();
    for query in queries {
        of.entry(query.function).or_default().push(query);
    }
    let has_owner = |entity: &str| scoped.contains(entity) && matches!(owned.get(entity), Some(Owned::Yes | Owned::Sibling));
    for entry in project.entries().iter().filter(|entry| entry.kind == "http" || entry.kind == "tool") {
        let Some(unit) = project.unit(entry.handler.module) else { continue };
        if project.is_operators(entry) || project.is_checked_before(entry) || !project.has_owners(entry.handler.module) {
            continue;
        }
        let code = own_code(project, entry.handler);
        let mut told = BTreeSet::new();
        for here in &code {
            walk::function_exprs(&unit.ir, here.id, &mut |expr| {
                let ExprKind::Object(properties) = unit.ir.expr(expr) else { return };
                let at = At { module: here.module, expr };
                if !is_added(project, unit, at, entry.handler) {
                    return;
                }
                for (value, name) in parents(project, unit, at, properties) {
                    let words = vocabulary::words(&name);
                    let entity = singular(&words.split_last().map_or(String::new(), |(_, before)| before.join("_")));
                    let looks = |query: &&&Query| query.entity.ends_with(entity.as_str()) || entity.ends_with(query.entity.as_str());
                    let queried = code.iter().filter_map(|fun| of.get(fun)).flatten().any(|query| looks(&query));
                    if has_owner(&entity) && !queried && !is_asked_for(project, unit, &code, value) && told.insert(name.clone()) {
                        let span = unit.ir.function(entry.handler.id).map(|function| function.head).unwrap_or_default();
                        let text = format!("rows are put here below what `{name}` of the request names, and nobody looks whose that is");
                        report
                            .add(at.module, span, text)
                            .confidence(Confidence::Medium)
                            .related(at.module, project.span(value), "the id goes into the row here");
                    }
                }
            });
        }
    }
}

/// Ids of parents out of the request in a row whose owner is the caller.
fn parents(project: &Project, unit: &Unit, at: At, properties: &[Property]) -> Vec<(At, String)> {
    let named = properties.iter().filter_map(|property| match property.key {
        PropertyKey::Name(name) => Some((at.to(property.value), unit.ir.text(name))),
        _ => None,
    });
    let named: Vec<(At, &str)> = named.collect();
    let own = named.iter().any(|(value, name)| vocabulary::is_owner(name) && is_caller(project, *value));
    if !own {
        return Vec::new();
    }
    let chosen = |value: &At| {
        let path = matches!(unit.ir.expr(value.expr), ExprKind::Name(_) | ExprKind::Member { .. });
        // A tenant's id under the project's own word for it has a rule of its own.
        let party = project.written(*value).pop().is_some_and(|name| vocabulary::is_owner(&name));
        path && !party && project.origins(*value).has(Origins::INPUT) && !project.is_checked(*value)
    };
    let parent = |name: &str| is_id(name) && vocabulary::words(name).len() > 1;
    named.into_iter().filter(|(value, name)| parent(name) && chosen(value)).map(|(value, name)| (value, name.to_owned())).collect()
}

/// Whether a record is handed to what adds rows, maybe as one of a list that is made from another.
fn is_added(project: &Project, unit: &Unit, at: At, handler: Fun) -> bool {
    let mut here = at.expr;
    for _ in 0..16 {
        match unit.index.parent(here) {
            Parent::Expr(parent) => {
                if let ExprKind::Call(call) = unit.ir.expr(parent)
                    && call.callee != here
                {
                    let path = project.written(at.to(parent));
                    let name = path.last().map_or("", |name| name.as_str());
                    if ADDS.contains(&name) && path.len() > 1 {
                        return true;
                    }
                    if !matches!(name, "map" | "flatMap" | "filter" | "from" | "all") {
                        return false;
                    }
                }
                here = parent;
            }
            Parent::Stmt(_) | Parent::None => {
                let fun = unit.index.function(here);
                let site = unit.index.site(fun).filter(|_| fun != handler.id && fun != FunctionId::MODULE);
                let Some(site) = site else { return false };
                here = site;
            }
            _ => return false,
        }
    }
    false
}

/// Whether the id, and what else came from where it did, is handed with the caller to a function that looks: by its name, or one of
/// ours.
fn is_asked_for(project: &Project, unit: &Unit, code: &[Fun], value: At) -> bool {
    let written = project.written(value).join(".");
    let mentions = |expr: ExprId| {
        let (mut id, mut caller, mut adds) = (false, false, false);
        walk::exprs_below(&unit.ir, expr, &mut |below| match unit.ir.expr(below) {
            ExprKind::Name(_) | ExprKind::Member { .. } => {
                let at = value.to(below);
                id |= project.written(at).join(".") == written;
                caller |= is_caller(project, at);
            }
            ExprKind::Call(_) => adds |= ADDS.contains(&project.written(value.to(below)).last().map_or("", |name| name.as_str())),
            _ => {}
        });
        id && caller && !adds
    };
    let mut found = false;
    for fun in code {
        walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
            let ExprKind::Call(_) = unit.ir.expr(expr) else { return };
            let at = value.to(expr);
            let path = project.written(at);
            let name = path.last().map_or("", |name| name.as_str());
            let builds = matches!(name, "and" | "or" | "eq" | "where" | "set" | "values" | "transaction" | "all" | "then");
            let looks = vocabulary::words(name).first().is_some_and(|verb| {
                matches!(verb.as_str(), "get" | "find" | "load" | "fetch" | "resolve" | "throw" | "validate" | "lookup" | "has" | "is" | "count")
            });
            let of_rows = project.queries().iter().any(|query| query.at == at);
            let ours = project.callee(at).is_some_and(|callee| callee.certain && !callee.targets.is_empty());
            found |= !builds && !of_rows && (looks || ours || Project::is_check(name)) && mentions(expr);
        });
    }
    found
}
