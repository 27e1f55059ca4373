//! What outside of a query may say whose rows it means: its callers, a helper, a parent, a look before.

use std::collections::BTreeSet;

use crate::{
    flow::{Origins, Query, excludes, lists_owners, singular},
    ir::{ExprKind, NameRef, PropertyKey, walk},
    lang::sql::Verb,
    project::{At, Fun, Parent, Project},
    rules::data::{
        asked_by::is_left_to_handler, compared::compares_after, narrowed::may_be_narrowed,
        passed_over::names_filter,
    },
    vocabulary,
};

/// Whether something that is not in the query itself may say whose rows are meant: a session's id, the list of owners as such, the
/// callers, a helper, a parent, a look before.
pub(super) fn is_asked_elsewhere(project: &Project, query: &Query) -> bool {
    names_filter(project, query, "session_id")
        || names_filter(project, query, "sessionid")
        || (query.is_sql && lists_owners(&query.shown))
        || callers_check(project, query)
        || built_by_helper(project, query)
        || names_owner_of(project, query)
        || may_be_narrowed(project, query)
        || told_before(project, query)
        || looked_up_before(project, query)
        || project.refuses_by_rank(query.function)
        || project.tells_ranks_apart(query.function)
        || is_left_to_handler(project, query)
}

/// Whether every caller of the function that a query stands in compares an owner with the verified one: a route that reads the
/// row, refuses a foreign one, and then asks a function of queries to change it.
fn callers_check(project: &Project, query: &Query) -> bool {
    let callers = project.callers(query.function);
    // One caller that compares what it was given says that this is the callers' part; another that forgets it has a rule.
    if callers.iter().take(CALLERS).any(|call| compares_after(project, *call)) {
        return true;
    }
    let checks_before = |call: &At| {
        let Some(ExprKind::Call(expr)) = project.unit(call.module).map(|unit| unit.ir.expr(call.expr)) else {
            return false;
        };
        expr.args
            .iter()
            .any(|arg| !project.is_fixed(call.to(arg.value)) && project.is_checked(call.to(arg.value)))
    };
    if !callers.is_empty() && callers.iter().take(CALLERS).all(checks_before) {
        return true;
    }
    !callers.is_empty()
        && callers.iter().take(CALLERS).all(|call| {
            let order = project.order(*call);
            let fun = project.function_of(*call);
            project.around(fun).into_iter().any(|around| {
                project.guards(around).iter().any(|guard| {
                    let earlier = around != fun || guard.order <= order;
                    let names_owner = |side: At| {
                        project.written(side).last().is_some_and(|name| vocabulary::is_owner(name))
                    };
                    let verified = |side: At| project.origins(side).has_owner();
                    let pair = (names_owner(guard.left) && verified(guard.right))
                        || (names_owner(guard.right) && verified(guard.left));
                    earlier && pair
                })
            })
        })
}

/// Whether a filter comes from a function of ours that names an owner: `where = this.buildWhere(params)`. Whether it does so
/// always is not seen.
fn built_by_helper(project: &Project, query: &Query) -> bool {
    let Some(unit) = project.unit(query.at.module) else { return false };
    let helps = |at: At| {
        let callee = project.callee(at).filter(|callee| callee.certain);
        callee.is_some_and(|callee| callee.targets.iter().take(4).any(|target| names_owner(project, *target)))
    };
    let mut direct = false;
    // `select(Note).where(Note.id == id, *self._own())`
    walk::exprs_below(&unit.ir, query.at.expr, &mut |expr| {
        direct |= matches!(unit.ir.expr(expr), ExprKind::Call(call) if !call.is_new)
            && expr != query.at.expr
            && helps(query.at.to(expr));
    });
    // `findMany({ where: rulesOf(params) })`
    walk::exprs_below(&unit.ir, query.at.expr, &mut |expr| {
        let is_where = |name: &str| matches!(name, "where" | "filter" | "query");
        if let ExprKind::Object(properties) = unit.ir.expr(expr) {
            direct |= properties.iter().any(|property| {
                matches!(property.key, PropertyKey::Name(name) if is_where(unit.ir.text(name)))
                    && helps(query.at.to(property.value))
            });
        }
    });
    direct
        || query.filters.iter().any(|at| {
            let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
            unit.index.sources(*id).iter().take(4).any(|source| helps(query.at.to(source.value)))
        })
}

/// Whether the function of a query names the owner of the same rows: `terms.append(Note.user_id == user_id)`, which conditions of the
/// query may be put together from.
fn names_owner_of(project: &Project, query: &Query) -> bool {
    let Some(unit) = project.unit(query.at.module) else { return false };
    let mut found = false;
    walk::function_exprs(&unit.ir, query.function.id, &mut |expr| {
        let ExprKind::Member { object, property, .. } = unit.ir.expr(expr) else { return };
        found |= vocabulary::is_owner(unit.ir.text(*property))
            && matches!(unit.ir.expr(*object), ExprKind::Name(_))
            && !excludes(unit, expr, query.at.expr)
            && project
                .written(query.at.to(*object))
                .last()
                .is_some_and(|name| name.starts_with(char::is_uppercase) && singular(name) == query.entity);
    });
    found
}

/// First words of functions that are told who did what, and look at nothing.
const TELLS: &[&str] = &[
    "log", "record", "audit", "notify", "publish", "emit", "send", "track", "capture", "debug", "info",
    "warn", "error", "warning", "set", "add",
];

/// Whether, on the way from the caller to a query, a function was called with the verified caller and with what the row is found by
/// before: it may have looked whose that is. `authorized = await datasets_of([id], user)`. One that calls the query's function so
/// says that this is the callers' part.
fn told_before(project: &Project, query: &Query) -> bool {
    let mut ids: Vec<At> = query.filters.clone();
    let reached = project.around(query.function).into_iter().find(|fun| project.reach(*fun).is_some());
    let mut calls = reached.map(|fun| project.way(fun)).unwrap_or_default();
    calls.extend(project.callers(query.function).iter().take(CALLERS));
    for call in calls {
        let Some(unit) = project.unit(call.module) else { continue };
        if let ExprKind::Call(expr) = unit.ir.expr(call.expr) {
            ids.extend(expr.args.iter().map(|arg| call.to(arg.value)));
        }
    }
    ids.iter().any(|id| {
        let (paths, order) = (paths(project, *id, 3), project.order(*id));
        (!paths.is_empty() && is_told(project, *id, &paths, order)) || comes_of_caller(project, *id, 5)
    })
}

/// Whether a function that an id stands in, or one around it, called something with the caller and the id before.
fn is_told(project: &Project, id: At, paths: &[String], order: u32) -> bool {
    let Some(unit) = project.unit(id.module) else { return false };
    let own = project.function_of(id);
    let caller = |at: At| is_caller(project, at);
    project.around(own).into_iter().any(|around| {
        let mut found = false;
        walk::function_exprs(&unit.ir, around.id, &mut |expr| {
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            // What is told afterwards may refuse before anything of the row is given away.
            if found || unit.index.order(expr) == order || call.args.len() < 2 {
                return;
            }
            let name = project.written(id.to(call.callee)).pop().unwrap_or_default();
            let tells = vocabulary::words(&name).first().is_some_and(|verb| TELLS.contains(&verb.as_str()));
            let shares = |arg: &crate::ir::Arg| {
                let at = id.to(arg.value);
                !caller(at) && self::paths(project, at, 2).iter().any(|path| paths.contains(path))
            };
            found |= !tells
                && call.args.iter().any(|arg| caller(id.to(arg.value)))
                && call.args.iter().any(shares);
        });
        found
    })
}

/// Whether a value is the verified caller, or the request's context as a whole.
fn is_caller(project: &Project, at: At) -> bool {
    let origins = project.origins(at);
    let name = project.unit(at.module).is_some_and(|unit| matches!(unit.ir.expr(at.expr), ExprKind::Name(_)));
    let whole = origins.has(Origins::REQUEST) && name;
    // `actor` of a function that is given one, however its callers found it.
    let given = name && is_principal_parameter(project, at);
    given
        || (!origins.is_chosen()
            && (origins.has(Origins::PRINCIPAL)
                || whole
                || (origins.has(Origins::OWNER) && is_party(project, at))))
}

/// Whether a value is a parameter that is named for the caller, of a function that is no handler.
fn is_principal_parameter(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    vocabulary::is_principal(unit.ir.binding_name(*id))
        && project
            .parameter_of(at.module, *id)
            .is_some_and(|(fun, _, path)| path.is_empty() && project.entry(fun).is_none())
}

/// Whether a value was given by a call that is told the caller: `for note in await notes_of(user)`, `note.id`.
fn comes_of_caller(project: &Project, at: At, depth: u32) -> bool {
    let (Some(depth), Some(unit)) = (depth.checked_sub(1), project.unit(at.module)) else { return false };
    let mut sources = Vec::new();
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr)
            && !unit.ir.is_module_level(*id)
        {
            sources.extend(
                unit.index
                    .sources(*id)
                    .iter()
                    .take(4)
                    .map(|source| source.value)
                    .filter(|value| *value != at.expr),
            );
        }
    });
    sources.into_iter().take(8).any(|value| {
        let mut asked = false;
        walk::exprs_below(&unit.ir, value, &mut |expr| {
            if let ExprKind::Call(call) = unit.ir.expr(expr) {
                asked |= !call.is_new && call.args.iter().any(|arg| is_caller(project, at.to(arg.value)));
            }
        });
        asked || comes_of_caller(project, at.to(value), depth)
    })
}

/// Whether a value is named for the caller or for who it is.
fn is_party(project: &Project, at: At) -> bool {
    project
        .written(at)
        .last()
        .is_some_and(|name| vocabulary::is_owner(name) || vocabulary::is_principal(name))
}

/// Whether a property, a string or a key in a function is named for an owner.
fn names_owner(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        found |= match unit.ir.expr(expr) {
            ExprKind::Member { property, .. } => vocabulary::is_owner(unit.ir.text(*property)),
            ExprKind::String(text) => vocabulary::is_owner(unit.ir.text(*text)),
            ExprKind::Object(properties) => properties.iter().any(|property| {
                matches!(property.key, PropertyKey::Name(name) if vocabulary::is_owner(unit.ir.text(name)))
            }),
            _ => false,
        };
    });
    found
}

/// Whether the row, or what it belongs to, was looked up with its owner before, on the way from the caller to a query: in its own
/// function, or in one that calls it.
fn looked_up_before(project: &Project, query: &Query) -> bool {
    let mut ids: Vec<(At, Fun)> = query.filters.iter().map(|at| (*at, query.function)).collect();
    let reached = project.around(query.function).into_iter().find(|fun| project.reach(*fun).is_some());
    let way = reached.map(|fun| project.way(fun)).unwrap_or_default();
    for call in way {
        let Some(unit) = project.unit(call.module) else { continue };
        let ExprKind::Call(expr) = unit.ir.expr(call.expr) else { continue };
        let fun = project.function_of(call);
        ids.extend(expr.args.iter().map(|arg| (call.to(arg.value), fun)));
    }
    let places: BTreeSet<Fun> = ids.iter().flat_map(|(_, fun)| project.around(*fun)).collect();
    let scoped = |other: &&Query| {
        other.verb == Verb::Select && places.contains(&other.function) && project.says_whose(other)
    };
    let scoped: Vec<&Query> = project.queries().iter().filter(scoped).collect();
    ids.iter().any(|(id, fun)| {
        let (paths, order) = (paths(project, *id, 3), project.order(*id));
        let shares = |at: &At| {
            at.module == id.module && self::paths(project, *at, 3).iter().any(|path| paths.contains(path))
        };
        let around = project.around(*fun);
        let earlier = |other: &&Query| around.contains(&other.function) && project.order(other.at) < order;
        let checked = |fun: &Fun| {
            project.guards(*fun).iter().any(|guard| {
                guard.order < order
                    && (shares(&guard.left) || shares(&guard.right))
                    && checks_owner(project, guard.left, guard.right)
            })
        };
        scoped.iter().copied().filter(earlier).any(|other| other.filters.iter().any(shares))
            || around.iter().any(checked)
    })
}

/// The names and paths that a value is made of: `body.group`, `id`, and those that variables were set from. Names of the module,
/// as of the connection, are none.
fn paths(project: &Project, at: At, depth: u32) -> Vec<String> {
    let mut found = Vec::new();
    let (Some(depth), Some(unit)) = (depth.checked_sub(1), project.unit(at.module)) else { return found };
    let mut sources = Vec::new();
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) else { return };
        if unit.ir.is_module_level(*id) {
            return;
        }
        let mut whole = expr;
        while let Parent::Expr(up) = unit.index.parent(whole) {
            if !matches!(unit.ir.expr(up), ExprKind::Member { object, .. } if *object == whole) {
                break;
            }
            whole = up;
        }
        found.push(project.written(at.to(whole)).join("."));
        sources.extend(
            unit.index
                .sources(*id)
                .iter()
                .take(4)
                .filter(|source| source.value != at.expr)
                .map(|source| source.value),
        );
    });
    for source in sources.into_iter().take(8) {
        found.extend(paths(project, at.to(source), depth));
    }
    found.truncate(64);
    found
}

/// Whether two sides of a guard are an owner's id and the verified one, or a call that is named for a check and is told the caller.
fn checks_owner(project: &Project, left: At, right: At) -> bool {
    // `verify_signature(id, expiry, signature)`: the server itself has signed the id for whoever has the link.
    let signed =
        project.unit(right.module).is_some_and(|unit| matches!(unit.ir.expr(right.expr), ExprKind::Call(_)))
            && project.callee(right).is_some_and(|callee| {
                vocabulary::words(callee.name())
                    .iter()
                    .any(|word| matches!(word.as_str(), "signature" | "signed" | "hmac" | "unsign"))
            });
    if signed {
        return true;
    }
    let verified = |side: At| project.origins(side).has_owner() && !project.origins(side).is_chosen();
    let told = project.unit(right.module).is_some_and(|unit| match unit.ir.expr(right.expr) {
        ExprKind::Call(call) => call.args.iter().any(|arg| verified(right.to(arg.value))),
        _ => false,
    });
    told || verified(left) || verified(right)
}

/// Of how many callers the checks are looked for.
const CALLERS: usize = 32;
