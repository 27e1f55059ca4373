//! A session that is found by its id alone.

use std::collections::BTreeSet;

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{ArgKind, BindingId, CompareOp, ExprId, ExprKind, FunctionId, Kinds, NameRef, Pattern, StmtKind, walk},
    project::{At, Fun, ModuleId, NameSet, Project, Unit},
    rules::{Report, Rule, data::compared::compares_after},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "session-without-owner",
        layer: Layer::Routing,
        summary: "A session is found by an id that the client sends, and not compared with the caller.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "A session id is in logs, proxies and other people's browsers. Whoever sends it gets the session, whatever token \
          comes with it.",
    fix: "Keep the caller (issuer, subject and tenant) with the session, compare it on every request, and answer as for a \
          session that is not there when it differs.",
    cwe: &["CWE-639", "CWE-384"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021"],
    markdown: include_str!("session_without_owner.md"),
    run,
};

/// Words of maps that hold connections.
const HOLDERS: &[&str] = &[
    "session", "sessions", "transport", "transports", "server", "servers", "connection", "connections", "client", "clients",
    "instance", "instances", "stream", "streams", "writers", "writer", "channels", "sockets", "conversation", "conversations", "chats",
];

/// How many calls a key is followed up for one that the client alone says.
const CALLERS_UP: u32 = 3;

fn run(project: &Project, report: &mut Report<'_>) {
    super::by_conversation::by_conversation(project, report);
    super::by_thread::by_thread(project, report);
    super::named_object::named_object(project, report);
    super::mounted::mounted(project, report);
    super::posted_on::posted_on(project, report);
    super::own_mailbox::own_mailbox(project, report);
    super::handed_session::handed_session(project, report);
    super::told_ids::told_ids(project, report);
    let lives = Lifetimes::new(project);
    let listed = super::listed_ids::Listed::of(project, &lives);
    super::listed_ids::listed_ids(project, &listed, report);
    super::session_by_helper::session_by_helper(project, &lives, &listed, report);
    let likely = project.calls_named(|name| name == "get" || FINDS.contains(&name));
    for (module, unit) in project.units() {
        let looking = looking(project, &likely, module, unit);
        for (id, function) in unit.ir.functions() {
            let fun = Fun { module, id };
            if id == FunctionId::MODULE || !looking.contains(&id) {
                continue;
            }
            let runs = reached(project, fun) || function.is_async;
            let mut first: Option<(At, Look)> = None;
            walk::function_exprs(&unit.ir, id, &mut |expr| {
                let at = At { module, expr };
                if first.is_none()
                    && let Some(look) = look_up(project, unit, at)
                {
                    first = Some((at, look));
                }
            });
            let Some((at, look)) = first else { continue };
            let keyed = !look.by_method
                && project.origins(look.key).has_owner()
                && !super::session_holders::somebody_chooses(project, look.key, CALLERS_UP);
            if is_asked_with_caller(project, unit, at) || !(runs || look.by_method) || is_compared(project, fun, &look.names) || keyed || all_callers_compare(project, unit, fun, look.key) {
                continue;
            }
            let knows_callers = project.has_owners(module);
            let seen = sees_caller(project, fun);
            let open = listed.is_listed(project, at.to(look.map)).or_else(|| listed.is_looked_into(project, at));
            let severity = match (knows_callers, seen || open.is_some()) {
                (true, true) => Severity::High,
                (true, false) => Severity::Medium,
                (false, _) => Severity::Low,
            };
            let found = report
                .reached(at, "this session is found by the id that the client sends, and not compared with the caller");
            // Whoever calls a function with the id of a session may have compared it.
            let handed = is_given(project, unit, look.key) && project.entry(fun).is_none();
            let told = is_told_caller(project, unit, at) || is_of_cookie(project, unit, look.key);
            let lowest = severity.min(if reached(project, fun) && !handed && !told { Severity::High } else { Severity::Medium });
            found.severity(lowest).confidence(Confidence::Medium);
            if let Some(open) = open {
                found.related(open.module, project.span(open), "the ids of all sessions are given to whoever asks here");
            }
        }
    }
}

/// Whether all who call a function with the id of a session hold the id against the caller before, or compare whose the session is that
/// they get: `session = manager.get(id)`, `if (session.userId !== user.id) return refuse()`.
fn all_callers_compare(project: &Project, unit: &Unit, fun: Fun, key: At) -> bool {
    const CALLERS: usize = 32;
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(key.expr) else { return false };
    let Some((of, number, path)) = project.parameter_of(key.module, *id) else { return false };
    let callers = project.callers(fun);
    let decides = |call: &At| {
        let certain = project.callee(*call).is_some_and(|callee| callee.certain);
        let checked = || project.argument(*call, fun, number).is_some_and(|given| project.is_checked(given));
        certain && (compares_after(project, *call) || checked())
    };
    of == fun
        && path.is_empty()
        && project.entry(fun).is_none()
        && !callers.is_empty()
        && callers.len() <= CALLERS
        && callers.iter().all(decides)
}

/// Whether a session's id is read from a cookie, which is what its owner signs in with and a client of MCP has not:
/// `request.headers["x-session-id"] || request.cookies.sid`.
fn is_of_cookie(project: &Project, unit: &Unit, key: At) -> bool {
    let of_cookie = |value: ExprId| {
        let mut found = false;
        walk::exprs_below(&unit.ir, value, &mut |expr| {
            if let ExprKind::Member { property, .. } = unit.ir.expr(expr) {
                found |= vocabulary::words(unit.ir.text(*property)).iter().any(|word| matches!(word.as_str(), "cookie" | "cookies"));
            }
        });
        found
    };
    of_cookie(key.expr)
        || project.roots(key).into_iter().flat_map(|root| unit.index.sources(root)).any(|source| of_cookie(source.value))
}

/// Whether a session is asked of an object that was made with the caller, which may look for the caller's own only:
/// `Sessions(db, role).get_session(id)`.
fn is_told_caller(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return false };
    let told = |made: ExprId| match unit.ir.expr(made) {
        ExprKind::Call(made) => made.args.iter().any(|arg| {
            let origins = project.origins(at.to(arg.value));
            origins.has(Origins::PRINCIPAL) || (origins.has(Origins::OWNER) && !origins.is_chosen())
        }),
        _ => false,
    };
    match unit.ir.expr(*object) {
        ExprKind::Name(NameRef::Binding(id)) => unit.index.sources(*id).iter().take(4).any(|source| source.path.is_empty() && told(source.value)),
        _ => told(*object),
    }
}

/// Whether a look into sessions is told the caller beside the id: `sessions.get(id, ctx.userId)`.
fn is_asked_with_caller(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    call.args.len() > 1
        && call.args.iter().any(|arg| {
            let named = project.last_written(at.to(arg.value)).is_some_and(|name| vocabulary::is_user(name) || vocabulary::is_tenant(name));
            let origins = project.origins(at.to(arg.value));
            named && origins.has(Origins::PRINCIPAL) && !origins.is_chosen()
        })
}

fn reached(project: &Project, fun: Fun) -> bool {
    project.around(fun).iter().any(|around| project.reach(*around).is_some())
}

/// A look into a map of sessions.
struct Look {
    /// The map.
    map: ExprId,
    /// The key.
    key: At,
    /// The variables of the key and of what was found.
    names: Vec<BindingId>,
    /// Whether a method finds it: `Session.get_by_id(id)`.
    by_method: bool,
}

/// Methods of a class of sessions that find one by its id.
const FINDS: &[&str] = &["get_by_id", "getById", "find_by_id", "findById", "get_session", "getSession", "find_session", "findSession", "by_id", "byId", "resume", "restore"];

/// The functions that look into something that is named like a map of sessions.
fn looking(project: &Project, likely: &NameSet<'_>, module: ModuleId, unit: &Unit) -> BTreeSet<FunctionId> {
    let looks = |expr: ExprId, kind: &ExprKind| {
        let at = At { module, expr };
        let may = matches!(kind, ExprKind::Index { .. }) || likely.has(at);
        may && holder(project, unit, at).is_some()
    };
    unit.ir.exprs_of(Kinds::INDEX | Kinds::CALL).filter(|(expr, kind)| looks(*expr, kind)).map(|(expr, _)| unit.index.function(expr)).collect()
}

/// What is looked into and the key, where that is named like a map of sessions; and whether a method finds it.
fn holder(project: &Project, unit: &Unit, at: At) -> Option<(ExprId, ExprId, bool)> {
    let mut by_method = false;
    let (map, key) = match unit.ir.expr(at.expr) {
        ExprKind::Index { object, index, .. } => (*object, *index),
        ExprKind::Call(call) => {
            let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
            let method = unit.ir.text(*property);
            by_method = FINDS.contains(&method) && matches!(unit.ir.expr(*object), ExprKind::Name(_));
            if method != "get" && !by_method {
                return None;
            }
            let key = call.args.first().filter(|arg| matches!(arg.kind, ArgKind::Positional))?.value;
            (*object, key)
        }
        _ => return None,
    };
    let holder = project.last_written(at.to(map))?;
    let words = vocabulary::words(holder);
    // What a variable of the module keeps by the id of a session belongs to the session, whatever it is.
    let by_session = || {
        (project.last_written(at.to(key)).is_some_and(vocabulary::is_session_id) || names_session(project, unit, at.to(key)))
            && (is_map_of_module(unit, map)
                || super::session_holders::is_map_of_object(project, unit, at.to(map))
                || super::session_holders::is_map_around(project, unit, at.to(map), &words))
    };
    let held = words.iter().any(|word| HOLDERS.contains(&word.as_str()))
        || super::session_holders::is_object_of_sessions(project, unit, at.to(map))
        || by_session();
    let named = held && !holder.to_lowercase().contains("header");
    named.then_some((map, key, by_method))
}

fn look_up(project: &Project, unit: &Unit, at: At) -> Option<Look> {
    let (map, key, by_method) = holder(project, unit, at)?;
    let is_index = matches!(unit.ir.expr(at.expr), ExprKind::Index { .. });
    if is_index && unit.index.writes.iter().any(|write| write.place == at.expr) {
        return None;
    }
    if super::only_touched::is_only_touched(unit, at.expr) {
        return None;
    }
    let name = project.written(at.to(key)).pop().unwrap_or_default();
    let key_at = at.to(key);
    // `delete sessions[transport.sessionId]`: what a transport says of itself is no id that a client sends.
    if let ExprKind::Member { object, property, .. } = unit.ir.expr(key)
        && is_session_id(unit.ir.text(*property))
        && project.last_written(at.to(*object)).is_some_and(|of| vocabulary::words(of).iter().any(|word| word == "transport"))
    {
        return None;
    }
    if !(is_session_id(&name) || project.origins(key_at).has(Origins::SESSION) || names_session(project, unit, key_at)) {
        return None;
    }
    let given = is_given(project, unit, key_at);
    if !(project.origins(key_at).is_chosen() || by_method && given) {
        return None;
    }
    let mut names = Vec::new();
    walk::exprs_below(&unit.ir, key, &mut |expr| {
        if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) {
            names.push(*id);
        }
    });
    // What the result is bound to.
    if let Some(stmt) = unit.index.stmt_of(at.expr)
        && let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt)
    {
        target.for_each_binding(&mut |id| names.push(id));
        if let Pattern::Place(_) = target {
            return None;
        }
    }
    Some(Look { map, key: key_at, names, by_method })
}

/// Whether an expression is a variable of the module that was made as an empty map: `_engines: dict[str, Engine] = {}`.
fn is_map_of_module(unit: &Unit, map: ExprId) -> bool {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(map) else { return false };
    let empty = |value: ExprId| match unit.ir.expr(value) {
        ExprKind::Object(properties) => properties.is_empty(),
        ExprKind::Call(call) => call.args.is_empty(),
        _ => false,
    };
    unit.ir.is_module_level(*id) && unit.index.sources(*id).iter().any(|source| empty(source.value))
}

/// Whether a key is a parameter.
fn is_given(project: &Project, unit: &Unit, key: At) -> bool {
    matches!(unit.ir.expr(key.expr), ExprKind::Name(NameRef::Binding(id)) if project.parameter_of(key.module, *id).is_some())
}

/// Whether a name is that of a session's or conversation's id.
fn is_session_id(name: &str) -> bool {
    let words = vocabulary::words(name);
    let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(&word.as_str()));
    vocabulary::is_session_id(name) || (has(&["conversation", "chat"]) && has(&["id", "uuid", "key"]))
}

/// Whether a key was read under the name of a session's id: `id = req.headers["mcp-session-id"]`.
fn names_session(project: &Project, unit: &Unit, key: At) -> bool {
    let says = |value: ExprId| {
        let mut named = false;
        walk::exprs_below(&unit.ir, value, &mut |expr| {
            named |= match unit.ir.expr(expr) {
                ExprKind::String(text) | ExprKind::Member { property: text, .. } => is_session_id(unit.ir.text(*text)),
                _ => false,
            };
        });
        named
    };
    // `sessions.get(req.headers["mcp-session-id"])`
    says(key.expr) || project.roots(key).iter().flat_map(|root| unit.index.sources(*root)).any(|source| says(source.value))
}

/// Whether the function compares something of the session with something that is not fixed, or callers with one another.
pub(super) fn is_compared(project: &Project, fun: Fun, names: &[BindingId]) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    project.around(fun).into_iter().any(|around| {
        let mut found = false;
        walk::function_exprs(&unit.ir, around.id, &mut |expr| {
            let at = At { module: fun.module, expr };
            match unit.ir.expr(expr) {
                ExprKind::Compare { op: CompareOp::Eq | CompareOp::NotEq, left, right } => {
                    let (left, right) = (*left, *right);
                    let sides = [(left, right), (right, left)];
                    found |= sides.into_iter().any(|(mine, other)| {
                        let touches = mentions(unit, mine, names);
                        let owner = is_party(project, at.to(mine));
                        let open = !project.is_fixed(at.to(other)) && !matches!(unit.ir.expr(other), ExprKind::Unary { .. });
                        open && ((touches && !is_method_of_request(unit, other)) || (owner && is_party(project, at.to(other))))
                    });
                }
                ExprKind::Call(_) => {
                    let name = project.written(at).pop().unwrap_or_default();
                    let words = vocabulary::words(&name);
                    let checks = words.iter().any(|word| {
                        matches!(word.as_str(), "owner" | "owns" | "authorize" | "belongs" | "principal" | "bound" | "ownership")
                    });
                    found |= checks && mentions(unit, expr, names);
                    found |= mentions(unit, expr, names) && super::session_holders::compares_parties(project, at);
                    found |= verifies(project, unit, at, &words, names);
                }
                _ => {}
            }
        });
        found
    })
}

/// Words of functions that say whether two things fit.
const FITS: &[&str] = &["verify", "matches", "match", "same", "equal", "equals", "compare", "check", "validate", "assert", "timing"];

/// Whether a call says whether what was kept with the session fits the credential that came: `verifyBearer(entry.hash, bearer)`.
fn verifies(project: &Project, unit: &Unit, at: At, words: &[String], names: &[BindingId]) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    if call.args.len() < 2 || !words.iter().any(|word| FITS.contains(&word.as_str())) {
        return false;
    }
    let of_session = |value: ExprId| {
        let mut kept = false;
        walk::exprs_below(&unit.ir, value, &mut |expr| {
            if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) {
                let taken = || unit.index.sources(*id).iter().take(4).any(|source| mentions(unit, source.value, names));
                kept |= !names.contains(id) && taken();
            }
        });
        kept
    };
    let credential = |value: ExprId| {
        let name = project.written(at.to(value)).pop().unwrap_or_default();
        vocabulary::is_credential(&name) || vocabulary::words(&name).iter().any(|word| word == "bearer") || is_party(project, at.to(value))
    };
    call.args.iter().any(|arg| of_session(arg.value)) && call.args.iter().any(|arg| !of_session(arg.value) && credential(arg.value))
}

fn is_method_of_request(unit: &Unit, expr: ExprId) -> bool {
    matches!(unit.ir.expr(expr), ExprKind::Member { property, .. } if matches!(unit.ir.text(*property), "method" | "url"))
}

fn is_party(project: &Project, at: At) -> bool {
    let name = project.written(at).pop().unwrap_or_default();
    vocabulary::is_owner(&name) || vocabulary::is_principal(&name) || project.origins(at).has_owner() || is_owner_of_record(project, at)
}

/// Whether an expression takes the owner out of a record: `kept.get("user_id")`, `kept["userId"]`.
fn is_owner_of_record(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let key = match unit.ir.expr(at.expr) {
        ExprKind::Call(call) if call.args.len() == 1 && project.last_written(at.to(call.callee)) == Some("get") => call.positional(0),
        ExprKind::Index { index, .. } => Some(*index),
        _ => None,
    };
    key.is_some_and(|key| matches!(unit.ir.expr(key), ExprKind::String(text) if vocabulary::is_owner(unit.ir.text(*text))))
}

pub(super) fn mentions(unit: &Unit, expr: ExprId, names: &[BindingId]) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, expr, &mut |expr| {
        found |= matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if names.contains(id));
    });
    found
}

/// Whether the handler has the verified caller at hand.
pub(super) fn sees_caller(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        if matches!(unit.ir.expr(expr), ExprKind::Member { .. } | ExprKind::Call(_)) {
            found |= project.origins(At { module: fun.module, expr }).has(Origins::PRINCIPAL);
        }
    });
    found
}
