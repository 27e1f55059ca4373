//! Things that a handler reaches by an id of the request without asking who calls, in a server whose other handlers ask.

use std::collections::{BTreeMap, BTreeSet};

use partywall_model::{Confidence, Severity};

use super::{
    callers::{is_caller, own_code, serves_callers},
    ignored_caller::{served, uses_of_caller},
    neighbours::{id_of, is_open, reaches},
    unused_caller::is_given_caller,
};
use crate::{
    flow::{Entry, Origins},
    ir::{Call, ExprKind, NameRef, walk},
    project::{At, Fun, ModuleId, Project, Unit},
    rules::{Report, asking::may_find_out},
    vocabulary,
};

/// Words of ids of what all callers have in common.
const COMMON: &[&str] = &[
    "model", "models", "template", "plugin", "provider", "category", "plan", "product", "version", "schema",
    "type", "tool", "skill", "prompt", "region", "language", "country", "locale", "currency", "icon", "page",
    "doc", "docs", "article", "issue", "pr", "repo", "commit", "client", "trace", "span", "request", "event",
    "feature", "flag", "catalog", "package", "app", "library", "city", "station", "stop", "place", "video",
    "movie", "show", "post", "paper", "chain", "token", "symbol", "market", "game", "book", "recipe",
];

/// Verbs of calls that reach a thing.
const VERBS: &[&str] = &[
    "get",
    "find",
    "fetch",
    "retrieve",
    "load",
    "read",
    "download",
    "export",
    "list",
    "delete",
    "remove",
    "destroy",
    "revoke",
    "update",
    "cancel",
    "archive",
    "stop",
    "start",
    "resume",
    "pause",
    "restart",
    "approve",
    "reject",
    "send",
    "append",
    "publish",
    "share",
    "rename",
    "move",
    "close",
    "kill",
    "terminate",
    "run",
    "execute",
    "trigger",
    "retry",
    "lookup",
    "open",
];

/// Reports the first such call of each handler that does not ask.
pub(super) fn by_id_alone(project: &Project, report: &mut Report<'_>) {
    let mut asking: BTreeMap<String, usize> = BTreeMap::new();
    let mut silent: Vec<(&Entry, Fun)> = Vec::new();
    let mut narrowed: BTreeMap<ModuleId, BTreeSet<String>> = BTreeMap::new();
    for entry in project.entries().iter().filter(|entry| serves_callers(project, entry)) {
        let module = entry.handler.module;
        let fun = served(project, entry.handler);
        if asks(project, fun) {
            *asking.entry(project.folder(module).unwrap_or_default().to_owned()).or_default() += 1;
            narrowed.entry(fun.module).or_default().extend(asked_things(project, fun));
            continue;
        }
        // A handler that has the caller verified says that there are several, whether it reads who it is or not.
        if is_given_caller(project, entry) {
            *asking.entry(project.folder(module).unwrap_or_default().to_owned()).or_default() += 1;
        }
        if !is_kept(project, entry) {
            silent.push((entry, fun));
        }
    }
    for (entry, fun) in silent {
        let folder = project.folder(entry.handler.module).unwrap_or_default();
        // One that asks may be the one for the caller's own profile.
        if asking.get(folder).is_none_or(|times| *times < 2) {
            continue;
        }
        if let Some((at, name)) = first(project, fun) {
            report
                .reached(at, format!("`{name}` of the request says which thing is meant, and nobody asks who calls, as other handlers of this server do"))
                .severity(Severity::Low)
                .confidence(Confidence::Low);
        } else if let Some(at) = narrowed.get(&fun.module).and_then(|things| everything(project, fun, things))
        {
            report
                .reached(at, "this gives what there is of all callers, and nobody asks who calls, as other handlers of this file do")
                .severity(Severity::Low)
                .confidence(Confidence::Low);
        } else if let Some((at, name)) = persons(project, fun) {
            report
                .reached(at, format!("this gives {name} of whoever they are, and nobody asks who calls, as other handlers of this server do"))
                .severity(Severity::Low)
                .confidence(Confidence::Low);
        }
    }
}

/// What a handler that uses the caller asks: `store` of `store.search(filter)`.
fn asked_things(project: &Project, fun: Fun) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let Some(unit) = project.unit(fun.module).filter(|_| !uses_of_caller(project, fun).is_empty()) else {
        return found;
    };
    for here in own_code(project, fun) {
        walk::function_exprs(&unit.ir, here.id, &mut |expr| {
            let at = At { module: fun.module, expr };
            if matches!(unit.ir.expr(expr), ExprKind::Call(_)) {
                found.extend(thing_of(project, at));
            }
        });
    }
    found
}

/// What a method is called of, when it keeps things by its name.
fn thing_of(project: &Project, at: At) -> Option<String> {
    let path = project.written(at);
    let (_, before) = path.split_last()?;
    keeps(before).then(|| before.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join("."))
}

/// Whether a path's words are those of what keeps things.
fn keeps(path: &[impl AsRef<str>]) -> bool {
    const KEEPS: &[&str] = &[
        "service",
        "store",
        "manager",
        "repo",
        "repository",
        "db",
        "dao",
        "storage",
        "registry",
        "sessions",
        "crud",
    ];
    let is = |word: &str| KEEPS.contains(&word) || KEEPS.contains(&word.trim_end_matches('s'));
    path.iter().any(|part| vocabulary::words(part.as_ref()).iter().any(|word| is(word)))
}

/// The call of a handler that gives all there is of what other handlers ask for the caller's: `store.get_all_ids()`.
fn everything(project: &Project, fun: Fun, things: &BTreeSet<String>) -> Option<At> {
    let unit = project.unit(fun.module)?;
    let mut found = None;
    for here in own_code(project, fun) {
        walk::function_exprs(&unit.ir, here.id, &mut |expr| {
            let at = At { module: fun.module, expr };
            if found.is_some() || !matches!(unit.ir.expr(expr), ExprKind::Call(_)) {
                return;
            }
            let words = vocabulary::words(project.last_written(at).unwrap_or_default());
            let all = words.iter().any(|word| word == "all")
                && words
                    .iter()
                    .any(|word| matches!(word.as_str(), "get" | "list" | "find" | "fetch" | "load" | "read"));
            let common = words
                .iter()
                .any(|word| COMMON.contains(&word.as_str()) || COMMON.contains(&word.trim_end_matches('s')));
            found = (all && !common && thing_of(project, at).is_some_and(|thing| things.contains(&thing)))
                .then_some(at);
        });
    }
    found
}

/// Words of what is somebody's by its nature.
const PERSONS: &[&str] = &[
    "transactions",
    "expenses",
    "spending",
    "orders",
    "invoices",
    "messages",
    "conversations",
    "chats",
    "emails",
    "notes",
    "payments",
    "bookings",
    "reservations",
    "appointments",
    "purchases",
    "balances",
    "statements",
    "patients",
    "prescriptions",
    "memories",
    "diary",
    "uploads",
    "salaries",
    "incomes",
    "budgets",
];

/// The call of a handler that lists what is somebody's by its nature, `service.get_transactions(0, limit)`, and the word for it.
fn persons(project: &Project, fun: Fun) -> Option<(At, String)> {
    let unit = project.unit(fun.module)?;
    let mut found = None;
    for here in own_code(project, fun) {
        walk::function_exprs(&unit.ir, here.id, &mut |expr| {
            let at = At { module: fun.module, expr };
            if found.is_some() || !matches!(unit.ir.expr(expr), ExprKind::Call(_)) {
                return;
            }
            let path = project.written(at);
            let Some((name, before)) = path.split_last() else { return };
            let words = vocabulary::words(name);
            let gives = words.first().is_some_and(|verb| {
                matches!(
                    verb.as_str(),
                    "get" | "list" | "find" | "fetch" | "load" | "read" | "search" | "recent" | "export"
                )
            });
            // `messages_of(thread)`, `get_orders_by_ids(ids)`: of whom it is, is said.
            let said =
                words.iter().any(|word| matches!(word.as_str(), "by" | "of" | "for" | "types" | "count"));
            let word = words.iter().find(|word| PERSONS.contains(&word.as_str()));
            let unknown = project.callee(at).is_none_or(|callee| callee.targets.is_empty());
            found =
                word.filter(|_| gives && !said && unknown && keeps(before)).map(|word| (at, word.clone()));
        });
    }
    found
}

/// Whether a handler asks who calls, hands the request or the caller on, or calls what may ask.
fn asks(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return true };
    if !uses_of_caller(project, fun).is_empty() {
        return true;
    }
    let mut asks = false;
    for here in own_code(project, fun) {
        walk::function_exprs(&unit.ir, here.id, &mut |expr| {
            let at = At { module: fun.module, expr };
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            asks = asks
                || (!reads_the_request(project, at)
                    && (hands_on(project, unit, at, call) || finds_out(project, at)));
        });
    }
    asks
}

/// Whether a call is given the caller, or the request as a whole.
fn hands_on(project: &Project, unit: &Unit, at: At, call: &Call) -> bool {
    call.args.iter().any(|arg| {
        let mut found = false;
        walk::exprs_below(&unit.ir, arg.value, &mut |expr| {
            let own = at.to(expr);
            found = found
                || match unit.ir.expr(expr) {
                    ExprKind::Name(NameRef::Binding(id)) => {
                        let whole =
                            project.parameter_of(at.module, *id).is_some_and(|(_, _, path)| path.is_empty());
                        is_caller(project, own)
                            || (whole && expr == arg.value && project.origins(own).has(Origins::REQUEST))
                    }
                    ExprKind::Name(_) | ExprKind::Member { .. } | ExprKind::Call(_) => {
                        is_caller(project, own)
                    }
                    _ => false,
                };
        });
        found
    })
}

/// Whether a call only takes the body or a part out of the request: `await readJson(req)`, `schema.parse(req.body)`.
fn reads_the_request(project: &Project, at: At) -> bool {
    let name = project.last_written(at).unwrap_or_default();
    vocabulary::words(name).iter().any(|word| {
        matches!(
            word.as_str(),
            "json"
                | "body"
                | "parse"
                | "read"
                | "form"
                | "query"
                | "params"
                | "log"
                | "info"
                | "debug"
                | "status"
        )
    })
}

/// Whether what a call calls may find out by itself who calls.
fn finds_out(project: &Project, at: At) -> bool {
    const STEPS: u32 = 2;
    project.callee(at).is_some_and(|callee| {
        callee.certain && callee.targets.iter().take(2).any(|target| may_find_out(project, *target, STEPS))
    })
}

/// Whether something before a handler decides who may call it: a permission, a role, an administrator.
pub(super) fn is_kept(project: &Project, entry: &Entry) -> bool {
    let Some(unit) = project.unit(entry.handler.module) else { return true };
    let Some(function) = unit.ir.function(entry.handler.id) else { return true };
    if is_open(unit, entry.handler) {
        return true;
    }
    let keeps = |text: &str| {
        vocabulary::words(text).iter().any(|word| {
            matches!(
                word.as_str(),
                "admin"
                    | "superuser"
                    | "permission"
                    | "permissions"
                    | "role"
                    | "roles"
                    | "access"
                    | "owner"
                    | "member"
                    | "authorize"
                    | "policy"
                    | "internal"
                    | "public"
            )
        })
    };
    let written = function
        .decorators
        .iter()
        .copied()
        .chain(function.params.iter().flat_map(|own| own.default.into_iter().chain(own.annotation)));
    let registration = project.snippet(entry.registration);
    let head: String = registration.chars().take(160).collect();
    written.into_iter().any(|expr| keeps(unit.ir.snippet(unit.ir.span(expr)))) || keeps(&head)
}

/// The first call of a handler that reaches a thing by an id of the request.
fn first(project: &Project, fun: Fun) -> Option<(At, String)> {
    let unit = project.unit(fun.module)?;
    let mut found: Option<(At, String)> = None;
    for here in own_code(project, fun) {
        walk::function_exprs(&unit.ir, here.id, &mut |expr| {
            let at = At { module: fun.module, expr };
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            if found.is_some() || !does(project, unit, at, call) || project.is_superusers(at) {
                return;
            }
            let named = id_of(project, unit, at, call).or_else(|| path_of(project, unit, at, call));
            found = named.filter(|name| !is_common(name)).map(|name| (at, name));
        });
    }
    found
}

/// The path out of the request that a store of files is asked for: `storage.get_file(image_path)`.
fn path_of(project: &Project, unit: &Unit, at: At, call: &Call) -> Option<String> {
    let path = project.written(at);
    let (_, before) = path.split_last()?;
    let has =
        |name: &str, list: &[&str]| vocabulary::words(name).iter().any(|word| list.contains(&word.as_str()));
    let of_files = before.last().is_some_and(|name| {
        has(name, &["storage", "bucket", "blob", "blobs", "files", "filestore", "uploads"])
    });
    let first = at.to(call.positional(0).filter(|_| of_files)?);
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(first.expr) else { return None };
    let name = unit.ir.binding_name(*id);
    let is_path = vocabulary::words(name)
        .last()
        .is_some_and(|last| matches!(last.as_str(), "path" | "filename" | "filepath" | "key"));
    (is_path && project.origins(first).has(Origins::INPUT)).then(|| name.to_owned())
}

/// Whether an id is that of something which all callers have in common.
pub(super) fn is_common(name: &str) -> bool {
    let words = vocabulary::words(name);
    words.iter().any(|word| COMMON.contains(&word.as_str()))
}

/// Whether a call reaches a thing of the server's own: a function of the project that cannot find out who calls, or a method of a store.
fn does(project: &Project, unit: &Unit, at: At, call: &Call) -> bool {
    let path = project.written(at);
    let Some((name, before)) = path.split_last() else { return false };
    let words = vocabulary::words(name);
    let verb = words.iter().any(|word| VERBS.contains(&word.as_str()));
    if call.is_new || !verb {
        return false;
    }
    if reaches(project, unit, at, call) {
        return true;
    }
    let unknown = project.callee(at).is_none_or(|callee| callee.targets.is_empty());
    unknown && keeps(before)
}
