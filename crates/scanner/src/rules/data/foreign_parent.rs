//! Rows that are put below a thing that the caller names, and nobody looks whose that is.

use std::collections::{BTreeMap, BTreeSet};

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use super::callers::{is_caller, is_id, own_code};
use crate::{
    flow::{Origins, Owned, Query, Scope, singular},
    ir::{ExprId, ExprKind, FunctionId, Kinds, Property, PropertyKey, walk},
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

/// What is known of the rows of a project.
pub(super) struct Rows<'p> {
    /// The queries of each function.
    of: BTreeMap<Fun, Vec<&'p Query>>,
    /// Entities whose table or model has an owner, and those that are looked up with one elsewhere.
    owned: BTreeSet<&'p str>,
}

impl<'p> Rows<'p> {
    fn new(project: &'p Project) -> Self {
        let (queries, owned) = (project.queries(), project.owned_entities());
        let mut of: BTreeMap<Fun, Vec<&Query>> = BTreeMap::new();
        for query in queries {
            of.entry(query.function).or_default().push(query);
        }
        let scoped = queries.iter().filter(|query| query.scope == Scope::Owner && query.verb == Verb::Select);
        let asked = scoped.map(|query| query.entity.as_str()).filter(|entity| owned.get(*entity) == Some(&Owned::Sibling));
        let known = owned.iter().filter(|(_, is)| **is == Owned::Yes).map(|(entity, _)| entity.as_str());
        let owned = known.chain(asked).collect();
        Self { of, owned }
    }

    /// Whether things of an entity have an owner; `projectId` may be that of `app_projects`.
    pub(super) fn has_owner(&self, entity: &str) -> bool {
        entity.len() > 2 && self.owned.iter().any(|own| own.ends_with(entity))
    }

    /// The queries of a function.
    pub(super) fn of(&self, fun: Fun) -> impl Iterator<Item = &'p Query> {
        self.of.get(&fun).into_iter().flatten().copied()
    }

    /// The query that a call is, or begins.
    pub(super) fn at(&self, call: At) -> Option<&'p Query> {
        self.of.values().flatten().copied().find(|query| query.at == call)
    }

    /// Whether one of some functions asks for things of an entity.
    pub(super) fn asks(&self, code: &[Fun], entity: &str) -> bool {
        let looks = |query: &&&Query| query.entity.ends_with(entity) || entity.ends_with(query.entity.as_str());
        code.iter().filter_map(|fun| self.of.get(fun)).flatten().any(|query| looks(&query))
    }
}

/// First words of functions that look for a thing.
const LOOKS: &[&str] = &["get", "find", "load", "fetch", "resolve", "throw", "validate", "lookup", "has", "is", "count"];

fn run(project: &Project, report: &mut Report<'_>) {
    let rows = Rows::new(project);
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
                for (value, name, entity) in parents(project, unit, at, properties) {
                    if rows.has_owner(&entity) && !rows.asks(&code, &entity) && !is_asked_for(project, unit, &code, value) && told.insert(name.clone()) {
                        let span = unit.ir.function(entry.handler.id).map(|function| function.head).unwrap_or_default();
                        report
                            .add(at.module, span, said(&name))
                            .confidence(Confidence::Medium)
                            .related(at.module, project.span(value), "the id goes into the row here");
                    }
                }
            });
        }
    }
    services(project, &rows, report);
    super::below_parent::below_parent(project, &rows, report);
    super::moved_below::moved_below(project, &rows, report);
    super::whole_body::whole_body(project, report, &|entity| rows.has_owner(entity));
}

pub(super) fn said(name: &str) -> String {
    format!("rows are put here below what `{name}` of the request names, and nobody looks whose that is")
}

/// Rows that a function adds which handlers call.
fn services(project: &Project, rows: &Rows<'_>, report: &mut Report<'_>) {
    for (module, unit) in project.units().filter(|(module, _)| project.has_owners(*module)) {
        for (id, expr) in unit.ir.exprs_of(Kinds::OBJECT) {
            let ExprKind::Object(properties) = expr else { continue };
            let at = At { module, expr: id };
            let around = project.around(project.function_of(at));
            let Some(outer) = around.iter().rev().find(|fun| fun.id != FunctionId::MODULE).copied() else { continue };
            let handled = around.iter().any(|fun| project.entry(*fun).is_some());
            if handled || project.reach(outer).is_none() || !is_added(project, unit, at, outer) {
                continue;
            }
            let code = own_code(project, outer);
            for (value, name, entity) in parents(project, unit, at, properties) {
                if rows.has_owner(&entity)
                    && !rows.asks(&code, &entity)
                    && !is_asked_for(project, unit, &code, value)
                    && !callers_ask(project, rows, outer, &entity)
                {
                    report.reached(value, said(&name)).confidence(Confidence::Medium);
                }
            }
        }
    }
}

/// How many callers of a function are asked whether they look.
const CALLERS: usize = 8;

/// Whether one that calls a function asks for things of an entity, or checks something, before.
pub(super) fn callers_ask(project: &Project, rows: &Rows<'_>, fun: Fun, entity: &str) -> bool {
    project.callers(fun).iter().take(CALLERS).any(|call| {
        let caller = project.function_of(*call);
        let outer = project.around(caller).into_iter().rev().find(|fun| fun.id != FunctionId::MODULE).unwrap_or(caller);
        let code = own_code(project, outer);
        let of_entity = |name: &str| {
            let words = vocabulary::words(name);
            words.len() > 1 && singular(name).contains(entity) && words.first().is_some_and(|verb| LOOKS.contains(&verb.as_str()))
        };
        let asks = code.iter().any(|fun| {
            let Some(unit) = project.unit(fun.module) else { return true };
            let mut found = false;
            walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
                let at = At { module: fun.module, expr };
                if matches!(unit.ir.expr(expr), ExprKind::Call(_)) && at != *call {
                    found |= project.written(at).last().is_some_and(|name| Project::is_check(name) || of_entity(name));
                }
            });
            found
        });
        asks || rows.asks(&code, entity)
    })
}

/// Ids of parents out of the request in a row whose owner is the caller, with what they are called there and of what they are.
fn parents(project: &Project, unit: &Unit, at: At, properties: &[Property]) -> Vec<(At, String, String)> {
    let named = properties.iter().filter_map(|property| match property.key {
        PropertyKey::Name(name) => Some((at.to(property.value), unit.ir.text(name))),
        _ => None,
    });
    let named: Vec<(At, &str)> = named.collect();
    // `app_user_id` is the user's, in a word of the project.
    let party = |name: &str| vocabulary::words(name).iter().any(|word| vocabulary::is_owner(word)) && is_id_or_owner(name);
    let own = named.iter().any(|(value, name)| party(name) && is_caller(project, *value));
    if !own {
        return Vec::new();
    }
    let chosen = |value: &At| {
        let path = matches!(unit.ir.expr(value.expr), ExprKind::Name(_) | ExprKind::Member { .. });
        // A tenant's id under the project's own word for it has a rule of its own.
        let party = project.written(*value).pop().is_some_and(|name| vocabulary::is_owner(&name));
        path && !party && project.origins(*value).has(Origins::INPUT) && !project.is_checked(*value)
    };
    let parent = |name: &str| is_id(name) && vocabulary::words(name).len() > 1 && !party(name);
    let mut found: Vec<(At, String, String)> = named
        .into_iter()
        .filter(|(value, name)| parent(name) && chosen(value))
        .map(|(value, name)| {
            let words = vocabulary::words(name);
            let before = words.split_last().map_or_else(String::new, |(_, before)| before.join("_"));
            (value, name.to_owned(), singular(&before))
        })
        .collect();
    found.extend(connected(unit, at).into_iter().filter(|(value, ..)| chosen(value)));
    found
}

fn is_id_or_owner(name: &str) -> bool {
    vocabulary::is_owner(name) || vocabulary::words(name).last().is_some_and(|last| last == "id")
}

/// Rows of Prisma that are tied to others by their ids: `{ tags: { connect: ids.map((id) => ({ id })) } }`.
fn connected(unit: &Unit, at: At) -> Vec<(At, String, String)> {
    let mut found = Vec::new();
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        let ExprKind::Object(properties) = unit.ir.expr(expr) else { return };
        let connects = properties.iter().find(|property| {
            matches!(property.key, PropertyKey::Name(name) if matches!(unit.ir.text(name), "connect" | "set"))
        });
        let (Some(connects), Parent::Expr(parent)) = (connects, unit.index.parent(expr)) else { return };
        let ExprKind::Object(above) = unit.ir.expr(parent) else { return };
        let key = above.iter().find_map(|property| match property.key {
            PropertyKey::Name(name) if property.value == expr => Some(unit.ir.text(name)),
            _ => None,
        });
        let (Some(key), Some(value)) = (key, tied_to(unit, connects.value)) else { return };
        found.push((at.to(value), key.to_owned(), singular(key)));
    });
    found
}

/// The id, or the list of ids, of what is connected.
fn tied_to(unit: &Unit, expr: ExprId) -> Option<ExprId> {
    match unit.ir.expr(expr) {
        ExprKind::Object(properties) => properties.iter().find_map(|property| match property.key {
            PropertyKey::Name(name) if unit.ir.text(name) == "id" => Some(property.value),
            _ => None,
        }),
        ExprKind::Call(call) => match unit.ir.expr(call.callee) {
            ExprKind::Member { object, property, .. } if unit.ir.text(*property) == "map" => Some(*object),
            _ => None,
        },
        _ => None,
    }
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
                        // `exportsQueue.add("export", { reportId, orgId })` puts a job into a queue, and no row.
                        let queue = path.iter().rev().nth(1).is_some_and(|own| {
                            vocabulary::words(own).iter().any(|word| matches!(word.as_str(), "queue" | "queues" | "jobs"))
                        });
                        return !(name == "add" && queue);
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
pub(super) fn is_asked_for(project: &Project, unit: &Unit, code: &[Fun], value: At) -> bool {
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
            let looks = vocabulary::words(name).first().is_some_and(|verb| LOOKS.contains(&verb.as_str()));
            let of_rows = project.queries().iter().any(|query| query.at == at);
            let ours = project.callee(at).is_some_and(|callee| callee.certain && !callee.targets.is_empty());
            found |= !builds && !of_rows && (looks || ours || Project::is_check(name)) && mentions(expr);
        });
    }
    found
}
