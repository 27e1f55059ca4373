//! Keys of caches that leave out an owner whom the function was told: `cache.get(digest(tags))` in `list(tags, team_id)`.

use std::collections::BTreeSet;

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{ArgKind, BindingId, CompareOp, ExprId, ExprKind, FunctionId, Kinds, NameRef, StmtKind, walk},
    project::{At, Fun, Parent, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Reports reads of caches whose key is made of some of a function's parameters, and not of the owner among them.
pub(super) fn left_out(project: &Project, report: &mut Report<'_>) {
    super::beside_context::beside_context(project, report);
    let mut told: BTreeSet<(Fun, BindingId, bool)> = BTreeSet::new();
    let reads = project.calls_named(|name| READS.contains(&name));
    for (module, unit) in project.units().filter(|(module, _)| project.has_owners(*module)) {
        for (expr, kind) in unit.ir.exprs_of(Kinds::INDEX | Kinds::CALL) {
            let at = At { module, expr };
            if matches!(kind, ExprKind::Call(_)) && !reads.has(at) {
                continue;
            }
            let Some(keys) = read_keys(project, unit, at) else { continue };
            let fun = project.function_of(at);
            let made: Vec<BindingId> = keys.iter().flat_map(|key| project.roots(*key)).collect();
            if fun.id == FunctionId::MODULE {
                continue;
            }
            let owner = if says_owner(unit, &keys, &made) {
                // A session's id says whose it is, unless what is kept is found by the session and the owner otherwise.
                owner_of_session(project, unit, fun, &keys, &made)
            } else {
                owner_beside(project, unit, fun, at, &made)
            };
            let Some(owner) = owner else { continue };
            if told.insert((fun, owner, is_in_handler(unit, at.expr))) {
                let name = unit.ir.binding_name(owner);
                report
                    .reached(at, format!("what is kept here depends on `{name}`, and the key leaves it out"))
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether an expression stands in what is done where something fails.
fn is_in_handler(unit: &Unit, expr: ExprId) -> bool {
    let Some(own) = unit.index.stmt_of(expr) else { return false };
    let mut here = unit.index.stmt_parent(own);
    for _ in 0..16 {
        let Some(stmt) = here else { return false };
        if let StmtKind::Try { handlers, .. } = unit.ir.stmt(stmt) {
            let mut found = false;
            for handler in handlers {
                walk::stmts_below(&unit.ir, &handler.body, &mut |inner| found |= inner == own);
            }
            if found {
                return true;
            }
        }
        here = unit.index.stmt_parent(stmt);
    }
    false
}

/// The owner among a function's parameters who is a part of the key by which the function finds, behind the cache, what the cache has
/// under the id of a session alone: `_cache[session_id]`, and `table.get_item(Key={"PK": f"{tenant}#{user}", "SK": session_id})`.
fn owner_of_session(
    project: &Project,
    unit: &Unit,
    fun: Fun,
    keys: &[At],
    made: &[BindingId],
) -> Option<BindingId> {
    let [key] = keys else { return None };
    let ExprKind::Name(NameRef::Binding(session)) = unit.ir.expr(key.expr) else { return None };
    let name = unit.ir.binding_name(*session);
    if !vocabulary::is_session_id(name)
        || vocabulary::is_credential(name)
        || !unit.index.sources(*session).is_empty()
    {
        return None;
    }
    let function = unit.ir.function(fun.id)?;
    let params: Vec<BindingId> =
        function.params.iter().filter_map(|parameter| parameter.pattern.as_binding()).collect();
    if !params.contains(session) {
        return None;
    }
    params
        .into_iter()
        .filter(|id| !made.contains(id) && vocabulary::is_owner(unit.ir.binding_name(*id)))
        .find(|id| is_asked_with(project, unit, fun, *id, *session) && !is_compared(project, unit, fun, *id))
}

/// Verbs of calls that find something.
const FINDS: &[&str] =
    &["get", "find", "fetch", "load", "query", "select", "execute", "read", "scan", "retrieve", "lookup"];

/// Whether a call that finds something is given an owner and a session's id together.
fn is_asked_with(project: &Project, unit: &Unit, fun: Fun, owner: BindingId, session: BindingId) -> bool {
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let told = |id: BindingId| call.args.iter().any(|arg| mentions(unit, arg.value, id));
        if !found && told(owner) && told(session) {
            let name = project.last_written(At { module: fun.module, expr }).unwrap_or_default();
            found = vocabulary::words(name).first().is_some_and(|verb| FINDS.contains(&verb.as_str()));
        }
    });
    found
}

/// Methods that read a cache by a key.
pub(super) const READS: &[&str] = &["get", "aget", "lookup", "get_or_set", "getOrSet"];

/// The parts of the key of a call that reads a cache.
pub(super) fn read_keys(project: &Project, unit: &Unit, at: At) -> Option<Vec<At>> {
    let call = match unit.ir.expr(at.expr) {
        ExprKind::Call(call) => call,
        // `if key in _cache: return _cache[key]`
        ExprKind::Index { object, index, .. } => {
            let holder = project.last_written(at.to(*object))?;
            let written = || unit.index.writes.iter().any(|write| write.place == at.expr);
            return (vocabulary::is_cache(holder) && !written()).then(|| vec![at.to(*index)]);
        }
        _ => return None,
    };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
    if !READS.contains(&unit.ir.text(*property)) || call.args.is_empty() {
        return None;
    }
    let holder = project.last_written(at.to(*object))?;
    vocabulary::is_cache(holder).then(|| call.args.iter().map(|arg| at.to(arg.value)).collect())
}

/// Whether a key, or what its parts were set to, names a party: by a variable, a member or a text.
pub(super) fn says_owner(unit: &Unit, keys: &[At], made: &[BindingId]) -> bool {
    let sources = made.iter().flat_map(|id| unit.index.sources(*id)).map(|source| source.value);
    let mut said = made.iter().any(|id| names_party(unit.ir.binding_name(*id)));
    for expr in keys.iter().map(|key| key.expr).chain(sources) {
        walk::exprs_below(&unit.ir, expr, &mut |expr| {
            said |= match unit.ir.expr(expr) {
                ExprKind::Member { property, .. } => names_party(unit.ir.text(*property)),
                ExprKind::Call(call) => call
                    .args
                    .iter()
                    .any(|arg| matches!(arg.kind, ArgKind::Keyword(name) if names_party(unit.ir.text(name)))),
                _ => false,
            };
        });
    }
    said
}

pub(super) fn names_party(name: &str) -> bool {
    vocabulary::says_whose(name)
}

/// The parameter that names an owner, decides what is asked for, and is no part of the key, while others are.
fn owner_beside(project: &Project, unit: &Unit, fun: Fun, at: At, made: &[BindingId]) -> Option<BindingId> {
    let function = unit.ir.function(fun.id)?;
    let params: Vec<BindingId> =
        function.params.iter().filter_map(|parameter| parameter.pattern.as_binding()).collect();
    if !params.iter().any(|id| made.contains(id)) {
        return None;
    }
    params
        .into_iter()
        .filter(|id| !made.contains(id) && vocabulary::is_owner(unit.ir.binding_name(*id)))
        .find(|id| {
            decides(unit, *id)
                && !is_asked_around(unit, at, *id)
                && !is_compared(project, unit, fun, *id)
                && !leaves_before(unit, fun, at, *id)
        })
}

/// How many lists, records and texts a parameter may stand in below the call that it is handed to.
const BELOW: usize = 6;

/// Whether a parameter is handed on: to a query, a service or a helper, also as a part of what that is given:
/// `search(question, filter={"tenant": tenant})`, `findMany({ where: { teamId } })`.
pub(super) fn decides(unit: &Unit, id: BindingId) -> bool {
    unit.index.uses(id).iter().any(|used| {
        let mut here = *used;
        for _ in 0..BELOW {
            let Parent::Expr(up) = unit.index.parent(here) else { return false };
            match unit.ir.expr(up) {
                ExprKind::Call(call) => return call.callee != here,
                ExprKind::Compare { op: CompareOp::Eq, left, right } if here == *used => {
                    return !is_null(unit, *left) && !is_null(unit, *right);
                }
                ExprKind::Object(_) | ExprKind::Array { .. } | ExprKind::Template(_) => here = up,
                _ => return false,
            }
        }
        false
    })
}

fn is_null(unit: &Unit, expr: ExprId) -> bool {
    matches!(unit.ir.expr(expr), ExprKind::Null)
}

pub(super) fn mentions(unit: &Unit, expr: ExprId, id: BindingId) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, expr, &mut |expr| {
        found |= matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(own)) if *own == id);
    });
    found
}

/// Whether a branch around the cache asks about the parameter: `if team_id is None:`.
fn is_asked_around(unit: &Unit, at: At, id: BindingId) -> bool {
    let mut here = unit.index.stmt_of(at.expr);
    for _ in 0..16 {
        let Some(stmt) = here else { return false };
        if let StmtKind::If { test, .. } = unit.ir.stmt(stmt)
            && mentions(unit, *test, id)
        {
            return true;
        }
        here = unit.index.stmt_parent(stmt);
    }
    false
}

/// Whether the owner is compared with a part of something: with that of what was found.
fn is_compared(project: &Project, unit: &Unit, fun: Fun, id: BindingId) -> bool {
    project
        .guards(fun)
        .iter()
        .any(|guard| mentions(unit, guard.left.expr, id) || mentions(unit, guard.right.expr, id))
}

/// Whether a branch that is about the parameter has left the function before the cache is asked.
fn leaves_before(unit: &Unit, fun: Fun, at: At, id: BindingId) -> bool {
    let Some(function) = unit.ir.function(fun.id) else { return true };
    let order = unit.index.order(at.expr);
    let mut found = false;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        if let StmtKind::If { test, then, .. } = unit.ir.stmt(stmt)
            && unit.index.stmt_order(stmt) < order
            && mentions(unit, *test, id)
        {
            walk::stmts_below(&unit.ir, then, &mut |inner| {
                found |= matches!(unit.ir.stmt(inner), StmtKind::Return(_))
            });
        }
    });
    found
}
