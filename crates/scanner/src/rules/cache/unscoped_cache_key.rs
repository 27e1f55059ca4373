//! A cache, map or pool that several tenants use, under a key that does not say whose the value is.

use std::collections::{BTreeMap, BTreeSet};

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use super::parts::says_only_a_kind;
use crate::{
    flow::{Access, Lifetimes, Origins, Store},
    ir::{ExprKind, NameRef, walk},
    library::Role,
    project::{At, Fun, Project},
    rules::{Report, Rule, data::by_secret, data::compared::compares_after, data::kept_records},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "unscoped-cache-key",
        layer: Layer::Cache,
        summary: "A cache, map or pool of all tenants is read or written under a key without the tenant.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "The first tenant's value is found under the same key by every other tenant that asks.",
    fix: "Put the verified tenant into the key, as a part of its own (a tuple, a nested map or a hash over both), and check who owns the value before it is stored.",
    cwe: &["CWE-524", "CWE-488"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("unscoped_cache_key.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    super::left_out::left_out(project, report);
    super::key_of_nobody::key_of_nobody(project, report);
    super::key_in_branches::key_in_branches(project, report);
    super::key_makers::key_makers(project, report);
    let shared = shared(project);
    super::worked_out_around::worked_out_around(project, report, &shared.iter().filter_map(|(accesses, _)| Some(accesses.first()?.store.clone())).collect());
    for (accesses, weight) in shared {
        one_each_function(project, report, &accesses, weight);
    }
}

/// The stores whose keys say of no value whose it is, by their accesses, and how much speaks for the values being one tenant's.
fn shared(project: &Project) -> Vec<(Vec<Access>, Weight)> {
    let mut found = Vec::new();
    let mut by_store: BTreeMap<Store, Vec<Access>> = BTreeMap::new();
    for access in project.accesses() {
        by_store.entry(access.store.clone()).or_default().push(access.clone());
    }
    let lives = Lifetimes::new(project);
    for (store, accesses) in by_store {
        // A map in an object that is made for a request or a connection is not shared.
        if matches!(&store, Store::Field(class, _) if lives.outlives(*class) == Some(false)) {
            continue;
        }
        if accesses.first().is_some_and(|access| is_of_nobody(&access.name)) || is_weak(project, &store) {
            continue;
        }
        let written: Vec<&Access> = accesses.iter().filter(|access| access.value.is_some()).collect();
        // What is never written in a request, or never read, is a table of constants or a list of handlers.
        let read = accesses.iter().any(|access| access.value.is_none());
        // A credential that came with the request says that there are several callers, whatever they are called.
        let several = || {
            project.has_owners(accesses_module(&accesses)) || written.iter().any(|access| made_for_caller(project, access))
        };
        if written.is_empty() || !read || !several() {
            continue;
        }
        // Whoever has a ticket may take what is kept under its hash.
        if written.iter().all(|access| by_secret::is_hash_of_secret(project, access.key)) {
            continue;
        }
        if written.iter().any(|access| is_scoped(project, access.key)) || all_look_whose(project, &accesses) {
            continue;
        }
        if let Some(weight) = written.iter().filter_map(|access| weight(project, access)).max() {
            found.push((accesses, weight));
        }
    }
    found
}

/// Whether a store's keys are objects, and nothing finds a value but who has the object: `new WeakMap()`.
fn is_weak(project: &Project, store: &Store) -> bool {
    let Store::Variable(module, id) = store else { return false };
    let Some(unit) = project.unit(*module) else { return false };
    unit.index.sources(*id).iter().any(|source| {
        let ExprKind::Call(call) = unit.ir.expr(source.value) else { return false };
        let at = At { module: *module, expr: call.callee };
        project.last_written(at).is_some_and(|name| matches!(name, "WeakMap" | "WeakKeyDictionary"))
    })
}

/// Whether whoever takes something out looks at whose it is: `const note = notes.get(id); if (note.owner !== owner) return null`. One
/// who forgets it is enough for the store to be everybody's.
fn all_look_whose(project: &Project, accesses: &[Access]) -> bool {
    let says = |access: &Access| {
        let unit = project.unit(access.at.module);
        access.value.zip(unit).is_some_and(|(value, unit)| kept_records::says_whose(project, unit, value))
    };
    let said = accesses.iter().any(says);
    let looks = |access: &Access| {
        compares_after(project, access.at) || (said && kept_records::looks_whose(project, access.function))
    };
    accesses.iter().filter(|access| access.value.is_none()).all(looks)
}

/// Whether a store is named for what is the same for everybody who may see it: the public keys of an issuer, names of hosts.
fn is_of_nobody(name: &str) -> bool {
    vocabulary::words(name).iter().any(|word| matches!(word.as_str(), "jwks" | "jwk" | "certs" | "openid" | "discovery" | "dns"))
}

fn accesses_module(accesses: &[Access]) -> crate::project::ModuleId {
    accesses.first().map_or(crate::project::ModuleId(0), |access| access.at.module)
}

/// Reports each function that uses the store once: where it writes, else where it reads.
fn one_each_function(project: &Project, report: &mut Report<'_>, accesses: &[Access], weight: Weight) {
    let mut functions: BTreeMap<Fun, Vec<&Access>> = BTreeMap::new();
    for access in accesses {
        functions.entry(access.function).or_default().push(access);
    }
    for (_, here) in functions {
        // Who looks at whose it is has done right, whatever others do.
        if here.iter().all(|access| access.value.is_none() && compares_after(project, access.at)) {
            continue;
        }
        let suspicious = |access: &&&Access| {
            if depends(project, access.key) { !is_scoped(project, access.key) } else { made_for_caller(project, access) }
        };
        let place = here.iter().filter(|access| access.value.is_some()).find(suspicious);
        let place = place.or_else(|| here.iter().find(suspicious));
        let Some(place) = place else { continue };
        let key = project.snippet(place.key).to_owned();
        let found = report.reached(
            place.at,
            format!("`{}` is shared by all tenants, and its key `{}` does not say whose the value is", place.name, shorten(&key)),
        );
        // What only the operator's own people are shown, or counts what happens.
        let operators = project.unit(place.at.module).is_some_and(|unit| unit.ir.path.to_lowercase().split(['/', '.', '_', '-']).any(|part| matches!(part, "admin" | "metrics")));
        let names = project.names_owners(place.at.module);
        let reached = || project.around(place.function).into_iter().any(|fun| project.reach(fun).is_some());
        match weight {
            // A tool of those who build it, where only other packages ask who calls.
            _ if !names && !reached() => {
                found.severity(Severity::Low).confidence(Confidence::Low);
            }
            // Code that names nobody, and only asks who calls, may have one caller for all that is seen.
            Weight::Strong if operators || says_how_it_goes(&place.name) || !names || !project.knows_callers(place.at.module) => {
                found.severity(Severity::Medium).confidence(Confidence::Medium);
            }
            Weight::Strong if is_told_who(project, accesses) => {}
            Weight::Strong => {
                found.severity(Severity::Medium).confidence(Confidence::Medium);
            }
            Weight::Likely if is_told_who(project, accesses) => {
                found.severity(Severity::Medium).confidence(Confidence::Medium);
            }
            Weight::Likely | Weight::Weak => {
                found.severity(Severity::Low).confidence(Confidence::Low);
            }
        }
    }
}

/// Whether a store is named for how well something goes, which is no caller's: `healthOf`, `performanceCache`.
fn says_how_it_goes(name: &str) -> bool {
    vocabulary::words(name).iter().any(|word| {
        matches!(word.as_str(), "health" | "healthy" | "performance" | "latency" | "latencies" | "metrics" | "circuit" | "breaker" | "breakers")
    })
}

fn shorten(text: &str) -> String {
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() > 60 { text.chars().take(57).chain("...".chars()).collect() } else { text }
}

/// How much speaks for a stored value being one tenant's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    Weak,
    Likely,
    Strong,
}

/// Whether a key depends on anything but the code.
fn depends(project: &Project, key: At) -> bool {
    !project.is_fixed(key)
}

/// Whether a key says whose the value is: a part of it is the caller, an owner, a credential or a session.
pub(super) fn is_scoped(project: &Project, key: At) -> bool {
    // `this.USER_URL` is the same for all, whatever it is called.
    if project.is_fixed(key) || is_only_a_name(project, key, STEPS) || is_of_an_instance(project, key) || says_only_a_kind(project, key) {
        return false;
    }
    let origins = project.origins(key);
    if origins.has_owner() || origins.has(Origins::SESSION) {
        return true;
    }
    says_whose(project, key) || is_scoped_by_callers(project, key)
}

/// Whether a key is a parameter, and who calls the function puts into it whose the value is: `kept({ key: `${user.id}:${name}`, load })`.
fn is_scoped_by_callers(project: &Project, key: At) -> bool {
    let Some(unit) = project.unit(key.module) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(key.expr) else { return false };
    let Some((fun, number, path)) = project.parameter_of(key.module, *id) else { return false };
    project.callers(fun).iter().take(6).any(|call| {
        let Some(argument) = project.argument(*call, fun, number) else { return false };
        let Some(own) = project.unit(argument.module) else { return false };
        if path.is_empty() {
            return project.origins(argument).has_owner() || says_whose(project, argument);
        }
        let ExprKind::Object(properties) = own.ir.expr(argument.expr) else { return false };
        properties.iter().any(|property| {
            let named = matches!(property.key, crate::ir::PropertyKey::Name(name) if own.ir.text(name) == unit.ir.binding_name(*id));
            let value = argument.to(property.value);
            named
                && !super::fetched_for_one::names_who_is_asked_for(project, own, value)
                && (project.origins(value).has_owner() || says_whose(project, value))
        })
    })
}

fn says_whose(project: &Project, key: At) -> bool {
    let Some(unit) = project.unit(key.module) else { return false };
    let mut says = false;
    let mut see = |text: &str| {
        // `group_id`, `namespace`: the project's own word for whose it is.
        let words = vocabulary::words(text);
        says |= words.iter().any(|word| matches!(word.as_str(), "group" | "namespace" | "groupid" | "spaceid"));
        // The name of a space is no id of one.
        says |= words.first().is_some_and(|word| word == "space") && words.iter().skip(1).all(|word| word == "id");
        says |= vocabulary::says_whose(text);
    };
    walk::exprs_below(&unit.ir, key.expr, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Member { property, .. } => see(unit.ir.text(*property)),
        ExprKind::Call(_) => {
            if let Some(callee) = project.callee(key.to(expr)) {
                see(callee.name());
                // A helper that makes the key is asked for what it puts in.
                for target in callee.targets.iter().take(4) {
                    see_returns(project, *target, &mut see);
                }
            }
        }
        _ => {}
    });
    for root in project.roots(key) {
        // `GROUP_RESULTS` of the settings is nobody's id.
        if unit.ir.is_module_level(root) && is_setting(project, key, root) {
            continue;
        }
        see(unit.ir.binding_name(root));
        for source in unit.index.sources(root) {
            walk::exprs_below(&unit.ir, source.value, &mut |expr| {
                if let ExprKind::Member { property, .. } = unit.ir.expr(expr) {
                    see(unit.ir.text(*property));
                }
                // `key = (api_key, db)`
                if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr)
                    && vocabulary::is_credential(unit.ir.binding_name(*id))
                {
                    see(unit.ir.binding_name(*id));
                }
                if let Some(callee) = project.callee(key.to(expr)) {
                    see(callee.name());
                    for target in callee.targets.iter().take(4) {
                        see_returns(project, *target, &mut see);
                    }
                }
            });
        }
    }
    says
}

/// Whether a variable of the module has the name of a setting, where it is declared.
fn is_setting(project: &Project, key: At, id: crate::ir::BindingId) -> bool {
    let Some(unit) = project.unit(key.module) else { return false };
    let declared = unit.index.uses(id).first().and_then(|used| project.written_as_exported(key.to(*used)).pop());
    declared.is_some_and(|name| !name.contains(char::is_lowercase))
}

/// Words of parameters that reach another service for one tenant.
const CLIENTS: &[&str] = &["client", "api", "connector", "instance", "sdk"];

/// Words of clients that reach what all tenants have in common, where a user's name is the same for all.
const OURS: &[&str] = &[
    "db", "database", "redis", "sql", "mongo", "cache", "http", "session", "supabase", "postgres", "prisma", "auth", "identity", "clerk", "auth0",
    "firebase", "cognito", "keycloak", "store", "admin", "async", "test",
];

/// Whether a key is the name of a user of another service, which a client of one instance of it is asked about: the same name is
/// somebody else in another tenant's instance. `cache[user_name]` beside `wiki_client.get_user(user_name)`.
fn is_of_an_instance(project: &Project, key: At) -> bool {
    let Some(unit) = project.unit(key.module) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(key.expr) else { return false };
    let words = vocabulary::words(unit.ir.binding_name(*id));
    let named = words.last().is_some_and(|last| matches!(last.as_str(), "name" | "username" | "login" | "handle" | "key" | "email"))
        && words.iter().any(|word| matches!(word.as_str(), "user" | "username" | "login" | "handle" | "member" | "author" | "email" | "person"));
    let Some((fun, number, path)) = project.parameter_of(key.module, *id) else { return false };
    let Some(function) = unit.ir.function(fun.id).filter(|_| named && path.is_empty()) else { return false };
    let clients = function.params.iter().enumerate().filter(|(own, _)| *own != number).filter_map(|(_, parameter)| {
        let client = parameter.pattern.as_binding()?;
        let words = vocabulary::words(unit.ir.binding_name(client));
        let reaches = words.len() > 1 && words.iter().any(|word| CLIENTS.contains(&word.as_str()));
        (reaches && !words.iter().any(|word| OURS.contains(&word.as_str()))).then_some(client)
    });
    let clients: Vec<_> = clients.collect();
    let mut asked = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return };
        let is = |expr: crate::ir::ExprId, list: &[crate::ir::BindingId]| {
            matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(own)) if list.contains(own))
        };
        asked |= is(*object, &clients) && call.args.iter().any(|arg| is(arg.value, &[*id]));
    });
    asked
}

/// How many assignments and calls a key is followed through.
const STEPS: u32 = 12;

/// What is unique within one tenant at most: the key of a thing that was found for its owner has the owner no more.
const NAMES: &[&str] = &["name", "slug", "label", "title", "alias", "display_name", "displayName", "hostname", "host", "url", "path"];

/// Whether a key is a name of a thing and nothing else: `target.name` of a target that two tenants may both have.
fn is_only_a_name(project: &Project, key: At, steps: u32) -> bool {
    // `name = name.strip()` is made of itself.
    let Some(steps) = steps.checked_sub(1) else { return false };
    let Some(unit) = project.unit(key.module) else { return false };
    match unit.ir.expr(key.expr) {
        ExprKind::Member { object, property, .. } => {
            let thing = project.written(key.to(*object)).pop().unwrap_or_default();
            let party = vocabulary::is_owner(&thing) || vocabulary::is_principal(&thing) || vocabulary::is_credential(&thing);
            NAMES.contains(&unit.ir.text(*property)) && !party && !matches!(unit.ir.expr(*object), ExprKind::This)
        }
        ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
            [source] if source.path.is_empty() => is_only_a_name(project, key.to(source.value), steps),
            _ => false,
        },
        ExprKind::Call(call) => {
            let plain = project.callee(key).is_some_and(|callee| {
                matches!(callee.name(), "str" | "String" | "lower" | "strip" | "toLowerCase" | "trim" | "toString")
            });
            let inner = match unit.ir.expr(call.callee) {
                ExprKind::Member { object, .. } => Some(*object),
                _ => call.positional(0),
            };
            plain && inner.is_some_and(|inner| is_only_a_name(project, key.to(inner), steps))
        }
        _ => false,
    }
}

fn see_returns(project: &Project, fun: Fun, see: &mut impl FnMut(&str)) {
    let Some(unit) = project.unit(fun.module) else { return };
    for expr in unit.index.returns(fun.id) {
        walk::exprs_below(&unit.ir, *expr, &mut |expr| match unit.ir.expr(expr) {
            ExprKind::Member { property, .. } => see(unit.ir.text(*property)),
            ExprKind::Name(crate::ir::NameRef::Binding(id)) => see(unit.ir.binding_name(*id)),
            _ => {}
        });
    }
}

/// Names of stores that hold no tenant's data: counters, locks, handlers; and of what routes a session, which has its own rules.
const OTHER: &[&str] = &[
    "lock", "locks", "mutex", "mutexes", "semaphore", "semaphores", "handler", "handlers", "listener", "listeners", "registry", "transport",
    "transports", "session", "sessions", "counter", "counters", "metric", "metrics", "schema", "schemas", "command", "commands", "plugin",
    "plugins", "route", "routes", "type", "types", "timer", "timers", "rate", "limiter", "limiters", "requests", "attempts", "logger",
    "loggers", "stream", "streams", "server", "servers", "subscribers", "regex", "pattern", "patterns", "config", "options", "env", "failures",
    "circuits", "circuit", "factory", "factories", "validators", "validator", "template", "templates", "seen", "visited", "stats", "hits",
];

/// Words of stores and values that are one tenant's as a rule.
const SENSITIVE: &[&str] = &[
    "client", "clients", "connection", "connections", "conn", "token", "tokens", "cred", "creds", "credential", "credentials", "secret", "secrets",
    "auth", "user", "users", "doc", "docs", "document", "documents", "result", "results", "response", "responses", "data", "record", "records",
    "item", "items", "row", "rows", "profile", "profiles", "account", "accounts", "permission", "permissions", "cookie", "cookies", "api",
];

fn weight(project: &Project, access: &Access) -> Option<Weight> {
    let words = vocabulary::words(access.name.trim_start_matches(['_', '#']));
    if words.iter().any(|word| OTHER.contains(&word.as_str())) && !(vocabulary::is_cache(&access.name) && made_for_caller(project, access)) {
        return None;
    }
    if !depends(project, access.key) {
        return made_for_caller(project, access).then_some(Weight::Likely);
    }
    if is_scoped(project, access.key) {
        return None;
    }
    let value = access.value?;
    let unit = project.unit(value.module)?;
    if is_put_back(project, access, value) {
        return None;
    }
    if matches!(unit.ir.expr(value.expr), ExprKind::Function(_) | ExprKind::Class(_) | ExprKind::Bool(_) | ExprKind::Null) || counts(unit, value.expr) || project.is_tally(value) {
        return None;
    }
    let name = project.function_name(access.function).to_lowercase();
    if ["register", "define", "init", "load_config", "add_rule"].iter().any(|start| name.starts_with(start)) {
        return None;
    }
    let in_request = access.function.id != crate::ir::FunctionId::MODULE;
    if !in_request {
        return None;
    }
    let origins = project.origins(value);
    let fetched = fetched(project, value);
    let chosen = project.origins(access.key).is_chosen();
    let sensitive = words.iter().any(|word| SENSITIVE.contains(&word.as_str())) || origins.has_owner();
    let cache = vocabulary::is_cache(&access.name);
    let reached = project.around(access.function).into_iter().any(|fun| project.reach(fun).is_some());
    if fetched && chosen && reached && !is_of_configured(project, access) && !project.is_fixed(value) && !is_of_key_alone(project, access.key, value) && !is_of_an_address(project, access) {
        Some(Weight::Strong)
    } else if (sensitive || cache) && (fetched || !project.is_fixed(value)) {
        Some(Weight::Likely)
    } else if fetched {
        Some(Weight::Weak)
    } else {
        None
    }
}

/// Whether a store is of something that makes what the operator has configured, by its name there: `manager.engines[name]`.
fn is_of_configured(project: &Project, access: &Access) -> bool {
    let Some(class) = project.this_of(access.function) else { return false };
    let makes = vocabulary::words(project.class_name(class)).iter().any(|word| matches!(word.as_str(), "manager" | "registry" | "factory"));
    makes && project.last_written(access.key).is_some_and(|name| name == "name") && !project.origins(access.key).has(Origins::UNVERIFIED)
}

/// Whether a value was taken out of the same store under the same key, to stand last in it.
fn is_put_back(project: &Project, access: &Access, value: At) -> bool {
    let Some(unit) = project.unit(value.module) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(value.expr) else { return false };
    let [source] = unit.index.sources(*id) else { return false };
    let ExprKind::Call(call) = unit.ir.expr(source.value) else { return false };
    project.last_written(value.to(call.callee)).is_some_and(|name| matches!(name, "get" | "pop"))
        && call.positional(0).is_some_and(|key| project.snippet(value.to(key)) == project.snippet(access.key))
}

/// How many values a kept one is followed back through.
const MADE_OF: usize = 16;

/// Whether what is kept under one key for all was fetched with the caller's own credential: `cache.set("profile", await api(token).me())`.
fn made_for_caller(project: &Project, access: &Access) -> bool {
    let Some(value) = access.value else { return false };
    let Some(unit) = project.unit(value.module) else { return false };
    let reached = project.around(access.function).into_iter().any(|fun| project.reach(fun).is_some());
    let kept = vocabulary::is_cache(&access.name)
        || vocabulary::words(&access.name).iter().any(|word| SENSITIVE.contains(&word.as_str()) || matches!(word.as_str(), "redis" | "kv" | "pool" | "pools"));
    if !reached || !kept {
        return false;
    }
    let (told, waited) = asked_with(project, unit, value);
    told && waited
}

/// Whether a value that is kept was asked for with the caller: with who calls, a credential, or the context of the request. Nothing else
/// says that somebody else would have got another one.
fn is_told_who(project: &Project, accesses: &[Access]) -> bool {
    accesses.iter().filter_map(|access| access.value).any(|value| {
        project.unit(value.module).is_some_and(|unit| asked_with(project, unit, value).0)
    })
}

/// Whether a call that a value was made by was given the caller or a credential, and whether it was waited for.
fn asked_with(project: &Project, unit: &crate::project::Unit, value: At) -> (bool, bool) {
    // What the value was made of, back to the call that asked for it.
    let mut exprs = vec![value.expr];
    let mut seen = std::collections::BTreeSet::new();
    let mut next = 0;
    while let Some(expr) = exprs.get(next).copied() {
        next += 1;
        if next > MADE_OF {
            break;
        }
        walk::exprs_below(&unit.ir, expr, &mut |below| {
            if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(below)
                && !unit.ir.is_module_level(*id)
                && seen.insert(*id)
            {
                exprs.extend(unit.index.sources(*id).iter().take(4).map(|source| source.value));
            }
        });
    }
    let (mut told, mut waited) = (false, fetched(project, value));
    for expr in exprs {
        walk::exprs_below(&unit.ir, expr, &mut |below| match unit.ir.expr(below) {
            ExprKind::Call(call) => {
                told |= call.args.iter().any(|arg| project.origins(value.to(arg.value)).has(Origins::PRINCIPAL | Origins::SECRET));
            }
            ExprKind::Await(_) => waited = true,
            _ => {}
        });
    }
    (told, waited)
}

/// Whether a value is a number that goes up or down, or one that did: `inFlight + 1`.
fn counts(unit: &crate::project::Unit, value: crate::ir::ExprId) -> bool {
    let step = |expr: crate::ir::ExprId| match unit.ir.expr(expr) {
        ExprKind::Binary { left, right, ..  } => {
            [left, right].into_iter().any(|side| matches!(unit.ir.expr(*side), ExprKind::Number(_)))
        }
        _ => false,
    };
    match unit.ir.expr(value) {
        ExprKind::Name(NameRef::Binding(id)) => {
            let sources = unit.index.sources(*id);
            !sources.is_empty() && sources.iter().all(|source| step(source.value))
        }
        _ => step(value),
    }
}

/// Whether a key is the address of a page, and nothing that the function is told is the caller's: anybody finds the same there. Of a
/// function that is given both the key and the value its callers say what they are.
fn is_of_an_address(project: &Project, access: &Access) -> bool {
    if keeps_an_address(project, access.key, access.function) {
        return true;
    }
    let Some(unit) = project.unit(access.key.module) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(access.key.expr) else { return false };
    let Some((fun, number, path)) = project.parameter_of(access.key.module, *id) else { return false };
    let calls = project.callers(fun);
    path.is_empty()
        && !calls.is_empty()
        && calls.iter().take(8).all(|call| {
            project.argument(*call, fun, number).is_some_and(|key| keeps_an_address(project, key, project.function_of(*call)))
        })
}

/// Whether a key is an address in a function in which nothing is the caller's.
fn keeps_an_address(project: &Project, key: At, fun: Fun) -> bool {
    let Some(unit) = project.unit(key.module) else { return false };
    let address = |name: &str| vocabulary::words(name).iter().any(|word| matches!(word.as_str(), "url" | "uri" | "href"));
    let mut named = false;
    for root in project.roots(key) {
        named |= address(unit.ir.binding_name(root));
    }
    let mut told = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: key.module, expr };
        if matches!(unit.ir.expr(expr), ExprKind::Name(_) | ExprKind::Member { .. } | ExprKind::Call(_)) {
            told |= project.origins(at).has(Origins::PRINCIPAL | Origins::SECRET);
        }
    });
    named && !told
}

/// Whether a value is made of its key and of what is fixed, without asking anybody: `clients[region] = client(region)` is the same for
/// whoever asks.
fn is_of_key_alone(project: &Project, key: At, value: At) -> bool {
    let Some(unit) = project.unit(value.module) else { return false };
    let own = project.roots(key);
    // `client = make(region)`, and then `clients[region] = client`
    let made = match unit.ir.expr(value.expr) {
        ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
            [source] if source.path.is_empty() => source.value,
            _ => value.expr,
        },
        _ => value.expr,
    };
    let mut alone = matches!(unit.ir.expr(made), ExprKind::Call(_));
    // What a variable was made of the key for: `controller = new AbortController()` is each request's own.
    let mut of_key = made == value.expr;
    walk::exprs_below(&unit.ir, made, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Await(_) | ExprKind::Function(_) | ExprKind::This => alone = false,
        ExprKind::Name(NameRef::Binding(id)) => {
            of_key |= own.contains(id);
            alone &= own.contains(id) || unit.ir.is_module_level(*id);
        }
        _ => {}
    });
    alone && of_key
}

/// Whether a value comes from a database, another service or an awaited call.
fn fetched(project: &Project, value: At) -> bool {
    let Some(unit) = project.unit(value.module) else { return false };
    let mut exprs = vec![value.expr];
    for root in project.roots(value) {
        exprs.extend(unit.index.sources(root).iter().map(|source| source.value));
    }
    let mut found = false;
    let mut seen: BTreeSet<crate::ir::ExprId> = BTreeSet::new();
    for expr in exprs {
        walk::exprs_below(&unit.ir, expr, &mut |expr| {
            if !seen.insert(expr) {
                return;
            }
            found |= match unit.ir.expr(expr) {
                ExprKind::Await(_) => true,
                ExprKind::Call(call) => {
                    call.is_new
                        || project.callee(value.to(expr)).is_some_and(|callee| {
                            let asks = callee.defs.iter().any(|def| matches!(def.role, Role::Query | Role::Fetch | Role::Client));
                            let asynchronous = callee.targets.iter().any(|fun| {
                                project.unit(fun.module).and_then(|unit| unit.ir.function(fun.id)).is_some_and(|function| function.is_async)
                            });
                            asks || asynchronous || callee.name().chars().next().is_some_and(char::is_uppercase)
                                || ["query", "fetch", "execute", "find_one", "findOne", "get_document", "fetchone"].contains(&callee.name())
                        })
                }
                _ => false,
            };
        });
    }
    found
}
