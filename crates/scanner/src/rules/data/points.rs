//! Stores of vectors: points that are found by their id alone where searches of the same server are narrowed to somebody's, and a
//! second search without that where the first found nothing.

use std::collections::BTreeMap;

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{ArgKind, Call, ExprId, ExprKind, FunctionId, NameRef, PropertyKey, StmtKind, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Methods of such stores that search, and that find by an id.
const SEARCHES: &[&str] = &[
    "search",
    "query",
    "scroll",
    "queryPoints",
    "query_points",
    "similaritySearch",
    "similarity_search",
    "recommend",
];
const FINDS: &[&str] = &["retrieve", "get", "fetch", "delete"];

/// Properties and keywords that narrow a search.
const NARROWS: &[&str] =
    &["filter", "filters", "where", "namespace", "query_filter", "scroll_filter", "expr"];

/// Words for what an application keeps apart, beside those for tenants and users.
const APART: &[&str] = &[
    "space",
    "spaces",
    "namespace",
    "namespaces",
    "vault",
    "tenant",
    "tenants",
    "workspace",
    "workspaces",
    "org",
    "owner",
    "user",
    "project",
];

/// Reports both.
pub(super) fn points(project: &Project, report: &mut Report<'_>) {
    let mut narrowed: BTreeMap<String, (Vec<At>, Vec<At>)> = BTreeMap::new();
    let mut searching: BTreeMap<Fun, usize> = BTreeMap::new();
    let likely = project.calls_named(|name| SEARCHES.contains(&name) || FINDS.contains(&name));
    for (module, unit) in project.units() {
        for expr in likely.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { continue };
            let method = unit.ir.text(*property);
            if !SEARCHES.contains(&method) && !FINDS.contains(&method) {
                continue;
            }
            if SEARCHES.contains(&method) {
                *searching.entry(Fun { module, id: unit.index.function(*expr) }).or_default() += 1;
            }
            let keys = keys(unit, call);
            let has = |list: &[&str]| keys.iter().any(|key| list.contains(key));
            let holder = project.last_written(at.to(*object)).unwrap_or_default();
            let store = format!("{} {holder}", project.folder(module).unwrap_or_default());
            if SEARCHES.contains(&method) && has(NARROWS) && says_whose(project, unit, at, call) {
                narrowed.entry(store).or_default().0.push(at);
            } else if FINDS.contains(&method)
                && has(&["ids"])
                && !has(NARROWS)
                && !says_whose(project, unit, at, call)
            {
                narrowed.entry(store).or_default().1.push(at);
            }
        }
    }
    for (searches, finds) in narrowed.into_values() {
        let Some(search) = searches.first() else { continue };
        for at in finds.into_iter().filter(|at| !looks_whose(project, *at)) {
            report
                .reached(
                    at,
                    "this finds by an id alone what searches of the same store find for one party only",
                )
                .severity(Severity::Medium)
                .confidence(Confidence::Medium)
                .related(search.module, project.span(*search), "a search here says whose is meant");
        }
    }
    for (fun, _) in searching.into_iter().filter(|(fun, times)| *times > 1 && fun.id != FunctionId::MODULE) {
        if let Some(unit) = project.unit(fun.module) {
            without(project, report, unit, fun);
        }
    }
}

/// The names of what a call is given by name, and of the properties of objects among its arguments.
fn keys<'u>(unit: &'u Unit, call: &Call) -> Vec<&'u str> {
    let mut found = Vec::new();
    for arg in &call.args {
        if let ArgKind::Keyword(name) = arg.kind {
            found.push(unit.ir.text(name));
        }
        if let ExprKind::Object(properties) = unit.ir.expr(arg.value) {
            found.extend(properties.iter().filter_map(|property| match property.key {
                PropertyKey::Name(name) => Some(unit.ir.text(name)),
                _ => None,
            }));
        }
    }
    found
}

/// Whether the arguments of a call, or what their variables were set to, name a party.
fn says_whose(project: &Project, unit: &Unit, at: At, call: &Call) -> bool {
    let mut open: Vec<ExprId> = call.args.iter().map(|arg| arg.value).collect();
    let mut next = 0;
    while let Some(expr) = open.get(next).copied().filter(|_| next < 12) {
        next += 1;
        if names_party(project, unit, at.to(expr)) {
            return true;
        }
        let mut roots = Vec::new();
        walk::exprs_below(&unit.ir, expr, &mut |below| {
            if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(below)
                && !unit.ir.is_module_level(*id)
            {
                roots.push(*id);
            }
        });
        for root in roots {
            let sources = unit
                .index
                .sources(root)
                .iter()
                .filter(|source| source.path.is_empty())
                .map(|source| source.value);
            let new: Vec<ExprId> = sources.filter(|value| !open.contains(value)).take(2).collect();
            open.extend(new);
        }
    }
    false
}

/// Whether an expression names a party: a tenant, a user, or what the application keeps apart.
fn names_party(project: &Project, unit: &Unit, at: At) -> bool {
    let mut found = false;
    let party = |name: &str| {
        vocabulary::is_owner(name)
            || vocabulary::words(name).iter().any(|word| APART.contains(&word.as_str()))
    };
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        found |= match unit.ir.expr(expr) {
            ExprKind::Name(NameRef::Binding(id)) => party(unit.ir.binding_name(*id)),
            ExprKind::Member { property, .. } => party(unit.ir.text(*property)),
            ExprKind::String(text) => unit.ir.text(*text).len() < 40 && party(unit.ir.text(*text)),
            ExprKind::Object(properties) => properties
                .iter()
                .any(|property| matches!(property.key, PropertyKey::Name(name) if party(unit.ir.text(name)))),
            ExprKind::Call(_) => project.last_written(at.to(expr)).is_some_and(&party),
            _ => false,
        };
    });
    found
}

/// Whether the function around a call, or one inside of it, asks whose something is: a comparison or a check that names a party.
fn looks_whose(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return true };
    let around = project.around(project.function_of(at));
    let Some(outer) = around.iter().rev().find(|fun| fun.id != FunctionId::MODULE) else { return true };
    let mut open = vec![outer.id];
    let mut next = 0;
    let mut found = false;
    while let Some(id) = open.get(next).copied().filter(|_| next < 24 && !found) {
        next += 1;
        open.extend(unit.index.inner(id));
        walk::function_exprs(&unit.ir, id, &mut |expr| {
            let asks = match unit.ir.expr(expr) {
                ExprKind::Compare { .. } => true,
                ExprKind::Call(_) => project.last_written(at.to(expr)).is_some_and(|name| {
                    matches!(name, "includes" | "has" | "some")
                        || Project::is_check(name)
                        || name.starts_with("can")
                }),
                _ => false,
            };
            found |= asks && names_party(project, unit, at.to(expr));
        });
    }
    found
}

/// Reports a search that is not narrowed beside the same one that is: where the function is told which, the calls that ask for it.
fn without(project: &Project, report: &mut Report<'_>, unit: &Unit, fun: Fun) {
    let mut with: Vec<(String, At)> = Vec::new();
    let mut bare: Vec<(String, At)> = Vec::new();
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: fun.module, expr };
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let ExprKind::Member { property, .. } = unit.ir.expr(call.callee) else { return };
        let (Some(first), true) = (call.positional(0), call.args.len() > 1) else { return };
        if !SEARCHES.contains(&unit.ir.text(*property)) {
            return;
        }
        let same = format!("{} {}", project.snippet(at.to(call.callee)), project.snippet(at.to(first)));
        let narrows = keys(unit, call).iter().any(|key| NARROWS.contains(key));
        let options = call.args.iter().any(|arg| {
            matches!(unit.ir.expr(arg.value), ExprKind::Object(_)) || matches!(arg.kind, ArgKind::Keyword(_))
        });
        if narrows && says_whose(project, unit, at, call) {
            with.push((same, at));
        } else if options && !narrows && !says_whose(project, unit, at, call) {
            bare.push((same, at));
        }
    });
    let Some((_, at)) = bare.iter().find(|(same, _)| with.iter().any(|(own, _)| own == same)) else { return };
    if looks_whose(project, *at) {
        return;
    }
    let text = "this searches what is everybody's, where the same search beside it says whose is meant";
    let asked = asked_for(project, unit, fun, *at);
    let places = if asked.is_empty() { vec![*at] } else { asked };
    for place in places.into_iter().filter(|place| !looks_whose(project, *place)) {
        report.reached(place, text).severity(Severity::Medium).confidence(Confidence::Medium).related(
            at.module,
            project.span(*at),
            "without a filter",
        );
    }
}

/// The calls of a function that say, by a flag, that what stands in a branch is to be done: `search(vector, input, false)`.
fn asked_for(project: &Project, unit: &Unit, fun: Fun, at: At) -> Vec<At> {
    let Some(function) = unit.ir.function(fun.id) else { return Vec::new() };
    let mut branch = unit.index.stmt_of(at.expr);
    let mut flag = None;
    for _ in 0..4 {
        let Some(up) = branch.and_then(|stmt| unit.index.stmt_parent(stmt)) else { break };
        if let StmtKind::If { test, then, .. } = unit.ir.stmt(up) {
            let (expr, wanted) = match unit.ir.expr(*test) {
                ExprKind::Unary { op: crate::ir::UnaryOp::Not, operand } => (*operand, false),
                _ => (*test, true),
            };
            if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) {
                let inside = branch.is_some_and(|stmt| then.contains(&stmt));
                flag = Some((*id, wanted == inside));
                break;
            }
        }
        branch = Some(up);
    }
    let Some((id, wanted)) = flag else { return Vec::new() };
    let Some(number) = function.params.iter().position(|own| own.pattern.as_binding() == Some(id)) else {
        return Vec::new();
    };
    let says = |call: &&At| {
        project.argument(**call, fun, number).is_some_and(|value| {
            project
                .unit(value.module)
                .is_some_and(|unit| matches!(unit.ir.expr(value.expr), ExprKind::Bool(own) if *own == wanted))
        })
    };
    project.callers(fun).iter().take(12).filter(says).copied().collect()
}
