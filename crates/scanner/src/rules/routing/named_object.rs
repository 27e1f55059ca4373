//! Objects that live longer than a request and are found by a name that the client sends: durable objects, agents, rooms.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{Call, ExprId, ExprKind, NameRef, walk},
    project::{At, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Calls that find an object by a name.
const NAMING: &[&str] = &["idFromName", "idFromString", "getByName", "getAgentByName", "getServerByName"];

/// Reports objects that a request's own words name, where nothing of the name is the caller and nothing compared it before.
pub(super) fn named_object(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    let likely = project.calls_named(|name| NAMING.contains(&name));
    for (module, unit) in project.units().filter(|(module, _)| project.has_owners(*module)) {
        for expr in likely.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let Some(name) = name_of(unit, call) else { continue };
            let name = at.to(name);
            let chosen = project.origins(name).has(Origins::INPUT | Origins::UNVERIFIED);
            if chosen
                && lives.is_per_request(project.function_of(at))
                && !says_caller(project, unit, name)
                && !names_owner(project, unit, name)
                && !is_compared(project, unit, name)
            {
                report
                    .reached(at, "this object is found by a name that the client sends, whosever it is")
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// The name in a call that finds an object by one: `ns.idFromName(name)`, `getAgentByName(ns, name)`.
fn name_of(unit: &Unit, call: &Call) -> Option<ExprId> {
    match unit.ir.expr(call.callee) {
        ExprKind::Member { property, .. } => {
            matches!(unit.ir.text(*property), "idFromName" | "idFromString" | "getByName")
                .then(|| call.positional(0))
                .flatten()
        }
        ExprKind::Name(_) => {
            let text = unit.ir.snippet(unit.ir.span(call.callee));
            matches!(text, "getAgentByName" | "getServerByName").then(|| call.positional(1)).flatten()
        }
        _ => None,
    }
}

/// Whether the variable of a name is compared, or given to what checks it. The request that it was taken from is no part of it.
fn is_compared(project: &Project, unit: &Unit, name: At) -> bool {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(name.expr) else { return false };
    project.around(project.function_of(name)).into_iter().any(|fun| {
        project.guards(fun).iter().any(|guard| {
            let about = |side: At| project.roots(side).contains(id);
            let call = matches!(unit.ir.expr(guard.right.expr), ExprKind::Call(_));
            guard.left.module == name.module
                && (about(guard.left) || about(guard.right))
                && (call
                    || project.origins(guard.left).has_owner()
                    || project.origins(guard.right).has_owner())
        })
    })
}

/// Whether a part of a name is named for an owner: `user-${userId}`. That the client says who that is is another rule's matter.
fn names_owner(project: &Project, unit: &Unit, name: At) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, name.expr, &mut |expr| {
        found |= matches!(unit.ir.expr(expr), ExprKind::Name(_) | ExprKind::Member { .. })
            && project.last_written(name.to(expr)).is_some_and(vocabulary::is_owner);
    });
    found
}

/// Whether a part of a name, or of what it was set to, is the caller or is named for one.
fn says_caller(project: &Project, unit: &Unit, name: At) -> bool {
    let sources =
        project.roots(name).into_iter().flat_map(|root| unit.index.sources(root)).map(|source| source.value);
    let mut said = false;
    for expr in sources.chain([name.expr]) {
        walk::exprs_below(&unit.ir, expr, &mut |expr| {
            let at = name.to(expr);
            let value =
                matches!(unit.ir.expr(expr), ExprKind::Name(_) | ExprKind::Member { .. } | ExprKind::Call(_));
            let origins = project.origins(at);
            said |= value
                && (origins.has(Origins::PRINCIPAL | Origins::SECRET)
                    || (origins.has(Origins::OWNER) && !origins.is_chosen())
                    || project.written(at).last().is_some_and(|name| vocabulary::is_credential(name)));
        });
    }
    said
}
