//! Functions that are told whose thing is meant and never read it, though they reach the thing by another parameter.

use partywall_model::Confidence;

use super::{
    ignored_caller::NOTES,
    only_whether::only_a_number,
    passed_over::{is_for_everybody, skipped},
};
use crate::{
    flow::{Owned, Query, Scope},
    ir::{Call, ExprId, ExprKind, Function, Language, NameRef, Parameter, StmtKind, walk},
    lang::sql::Verb,
    project::{At, Fun, Parent, Project, Unit, Word},
    rules::Report,
    vocabulary,
};

/// First words of what reaches a thing.
const REACHES: &[&str] = &[
    "get", "find", "fetch", "load", "read", "list", "search", "query", "select", "delete", "remove",
    "update", "set", "end", "close", "cancel", "complete", "archive", "export", "download", "eq", "where",
    "bind", "run", "all", "first", "execute",
];

/// Reports such functions: `closeNote(userId, noteId)` whose body says `close(noteId)` and nothing of `userId`.
pub(super) fn unread_owner(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        if !project.has_owners(module) {
            continue;
        }
        for (id, function) in unit.ir.functions() {
            let fun = Fun { module, id };
            let Some(owner) = function.params.iter().find(|own| is_unread(unit, own)) else { continue };
            if function.body.is_empty() || is_told_apart(project, unit, fun, function, owner) {
                continue;
            }
            let name = owner.pattern.as_binding().map_or("", |id| unit.ir.binding_name(id));
            let by_id = reached_by_id(project, unit, fun, function).map(|(at, thing)| {
                (at, format!("`{thing}` finds this, and `{name}`, which says for whom, is never read"))
            });
            let Some((at, message)) = by_id.or_else(|| {
                let at = of_everybody(project, unit, fun, function)?;
                Some((
                    at,
                    format!(
                        "these are the rows of everybody, and `{name}`, which says for whom, is never read"
                    ),
                ))
            }) else {
                continue;
            };
            report.reached(at, message).confidence(Confidence::Medium).related(
                module,
                owner.span,
                "it is told here, and not looked at",
            );
        }
    }
}

/// The query of a function that names nobody, though rows of its kind have owners; or a statement for a model that is a parameter:
/// `delete(model)`.
fn of_everybody(project: &Project, unit: &Unit, fun: Fun, function: &Function) -> Option<At> {
    let owned = project.owned_entities();
    let is_owned = |query: &&Query| {
        matches!(owned.get(&query.entity), Some(Owned::Yes | Owned::Sibling))
            && !query.tied
            && query.verb != Verb::Insert
    };
    let own = project.queries().iter().filter(|query| query.function == fun && query.scope == Scope::None);
    let query = own.filter(is_owned).find(|query| {
        !skipped(project, query) && !is_for_everybody(project, query) && !only_a_number(project, query)
    });
    query.map(|query| query.at).or_else(|| of_any_model(project, unit, fun, function))
}

/// A statement of `SQLAlchemy` for a model that the function is given, which names no column of it: `execute(delete(model))`.
fn of_any_model(project: &Project, unit: &Unit, fun: Fun, function: &Function) -> Option<At> {
    if unit.ir.language != Language::Python {
        return None;
    }
    let models: Vec<_> = function.params.iter().filter_map(|own| own.pattern.as_binding()).collect();
    let mut found = None;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let at = At { module: fun.module, expr };
        let Some(ExprKind::Name(NameRef::Binding(id))) = call.positional(0).map(|first| unit.ir.expr(first))
        else {
            return;
        };
        let says =
            |path: &[Word]| matches!(path, [only] if matches!(only.as_str(), "delete" | "update" | "select"));
        let library = project
            .callee(at)
            .is_some_and(|callee| callee.package.as_deref().is_some_and(|own| own.starts_with("sql")));
        if found.is_none()
            && models.contains(id)
            && call.args.len() == 1
            && library
            && says(&project.written(at))
        {
            found = Some(at);
        }
    });
    found
}

/// Whether a parameter is an owner's id and nobody reads it. One that is marked as unused on purpose is left to who reads the code.
fn is_unread(unit: &Unit, parameter: &Parameter) -> bool {
    let Some(id) = parameter.pattern.as_binding() else { return false };
    let name = unit.ir.binding_name(id);
    let party = vocabulary::is_user(name) || vocabulary::is_tenant(name) || vocabulary::is_owner(name);
    let words = vocabulary::words(name);
    let whose = words.last().is_some_and(|last| matches!(last.as_str(), "id" | "uuid" | "sub"));
    party
        && whose
        && !name.starts_with('_')
        && unit.index.uses(id).iter().all(|used| is_only_told(unit, *used))
}

/// Whether a use of a value only says it in a log or an error, or asks whether it is there: what is reached does not depend on whose it
/// is.
fn is_only_told(unit: &Unit, used: ExprId) -> bool {
    let mut here = used;
    for _ in 0..12 {
        match unit.index.parent(here) {
            Parent::Expr(up) => {
                if let ExprKind::Call(call) = unit.ir.expr(up)
                    && call.callee != here
                {
                    // Whatever the thing is called, to look for it says more than a note: `AuditLog.findAll({ where: { tenantId } })`.
                    if looks_for(unit, call.callee) {
                        return false;
                    }
                    let mut told = false;
                    walk::exprs_below(&unit.ir, call.callee, &mut |expr| {
                        let name = match unit.ir.expr(expr) {
                            ExprKind::Member { property, .. } => unit.ir.text(*property),
                            ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
                            _ => return,
                        };
                        told |= vocabulary::words(name).iter().any(|word| NOTES.contains(&word.as_str()));
                    });
                    return told;
                }
                here = up;
            }
            // `if (!userId) throw …`
            Parent::Stmt(stmt) => {
                let missing = matches!(unit.ir.expr(here), ExprKind::Unary { operand, .. } if *operand == used)
                    || matches!(unit.ir.expr(here), ExprKind::Compare { right, .. } if matches!(unit.ir.expr(*right), ExprKind::Null));
                return match unit.ir.stmt(stmt) {
                    StmtKind::If { .. } => missing,
                    StmtKind::Throw(_) => true,
                    _ => false,
                };
            }
            _ => return false,
        }
    }
    false
}

/// Whether the function says itself who calls, whatever it is told, or is given a thing that has an owner of its own.
fn is_told_apart(project: &Project, unit: &Unit, fun: Fun, function: &Function, unread: &Parameter) -> bool {
    let unread = unread.pattern.as_binding();
    let mut asks = function.params.iter().filter(|own| own.pattern.as_binding() != unread).any(|own| {
        let name = own.pattern.as_binding().map_or("", |id| unit.ir.binding_name(id));
        let used = own.pattern.as_binding().is_some_and(|id| !unit.index.uses(id).is_empty());
        used && (vocabulary::is_owner(name) || vocabulary::is_principal(name) || vocabulary::is_tenant(name))
    });
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let name = match unit.ir.expr(expr) {
            ExprKind::Member { property, .. } => unit.ir.text(*property),
            ExprKind::Name(NameRef::Binding(id)) if Some(*id) == unread => return,
            ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
            _ => return,
        };
        // `prisma.teamMember` is no member.
        let rows = || project.queries().iter().any(|query| query.function == fun && query.shown == name);
        asks |= (vocabulary::is_owner(name) || vocabulary::is_principal(name)) && !rows();
    });
    asks
}

/// The first call in a function that is given an id which is a parameter of it, and the id's name.
fn reached_by_id(project: &Project, unit: &Unit, fun: Fun, function: &Function) -> Option<(At, String)> {
    let ids: Vec<_> = function
        .params
        .iter()
        .filter_map(|own| own.pattern.as_binding())
        .filter(|id| is_of_thing(unit.ir.binding_name(*id)))
        .collect();
    if ids.is_empty() {
        return None;
    }
    let mut found = None;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        if found.is_some() || call.is_new || !reaches(project, At { module: fun.module, expr }) {
            return;
        }
        found = given(unit, call, &ids).map(|name| (At { module: fun.module, expr }, name));
    });
    found
}

/// Whether a name is that of the id of a thing; a session that is listed for its user is one.
fn is_of_thing(name: &str) -> bool {
    let words = vocabulary::words(name);
    words.last().is_some_and(|last| matches!(last.as_str(), "id" | "ids" | "uuid" | "uuids"))
        && !vocabulary::is_owner(name)
        && !vocabulary::is_credential(name)
}

/// Whether the method that is called looks for something, by its name.
fn looks_for(unit: &Unit, callee: ExprId) -> bool {
    let ExprKind::Member { property, .. } = unit.ir.expr(callee) else { return false };
    vocabulary::words(unit.ir.text(*property)).first().is_some_and(|first| REACHES.contains(&first.as_str()))
}

fn reaches(project: &Project, call: At) -> bool {
    let known = project.callee(call).map(|callee| callee.name().to_owned());
    let name = known.or_else(|| project.last_written(call).map(str::to_owned)).unwrap_or_default();
    vocabulary::words(&name).first().is_some_and(|first| REACHES.contains(&first.as_str()))
}

fn given(unit: &Unit, call: &Call, ids: &[crate::ir::BindingId]) -> Option<String> {
    let mut found = None;
    for arg in call.args.iter() {
        walk::exprs_below(&unit.ir, arg.value, &mut |expr| {
            if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr)
                && ids.contains(id)
            {
                found = Some(unit.ir.binding_name(*id).to_owned());
            }
        });
    }
    found
}
