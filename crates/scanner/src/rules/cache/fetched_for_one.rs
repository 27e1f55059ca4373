//! What was fetched with one caller's client or credential is kept for all.

use std::collections::BTreeMap;

use partywall_model::{Axis, Check, Confidence, Layer, Severity};
use rustc_hash::FxHashMap;

use super::unscoped_cache_key::is_scoped;
use crate::{
    flow::{Access, Origins, Store},
    ir::{BindingId, BindingKind, ExprId, ExprKind, FunctionId, NameRef, PropertyKey, walk},
    project::{At, Fun, Parent, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "fetched-for-one",
        layer: Layer::Cache,
        summary: "What was fetched with the client or the credential that a caller brought is kept under a key without the caller.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "One caller was allowed to see the value; the cache gives it to everybody who asks for the same name.",
    fix: "Put the caller, or a hash of its credential, into the key, or keep only what is public and ask again for the rest.",
    cwe: &["CWE-524", "CWE-639"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("fetched_for_one.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    made_for_one(project, report);
    super::made_for_caller::made_for_caller(project, report);
    super::own_address_key::own_address_key(project, report);
    let mut stores: BTreeMap<Store, Vec<Access>> = BTreeMap::new();
    for access in project.accesses() {
        stores.entry(access.store.clone()).or_default().push(access.clone());
    }
    for accesses in stores.into_values() {
        let read = |fun: Fun| accesses.iter().any(|access| access.value.is_none() && access.function == fun);
        for write in accesses.iter().filter(|access| access.value.is_some()) {
            if write.function.id == FunctionId::MODULE || !read(write.function) || is_scoped(project, write.key) {
                continue;
            }
            let Some(client) = client_of(project, write) else { continue };
            let Some(unit) = project.unit(write.at.module) else { continue };
            // `cache.get("regions")` of a client may be the same for all; what a credential that is handed over opens is its bearer's.
            if (project.is_fixed(write.key) && !opens_own(project, unit, write, client)) || is_made_of(project, unit, write.key, client) || is_asked(unit, &accesses, write, client) {
                continue;
            }
            let name = unit.ir.binding_name(client);
            report
                .reached(write.at, format!("`{}` keeps for everybody what `{name}` was allowed to fetch", write.name))
                .confidence(Confidence::Medium);
        }
    }
}

/// Methods that give what is kept under a key, or make it.
const MAKING: &[&str] = &[
    "getOrCreate", "getOrSet", "getOrInsert", "getOrAdd", "getOrLoad", "getOrFetch", "getOrCompute", "getOrMake", "computeIfAbsent", "get_or_create",
    "get_or_set", "get_or_load", "acquire", "remember", "wrap", "memoize", "obtain",
];

/// Of those, the ones that other things have too.
const COMMON: &[&str] = &["acquire", "wrap", "remember", "memoize", "obtain", "get_or_create"];

/// Calls that make a value with what is the caller's and keep it under a key that does not say whose it is:
/// `pool.acquire({ key: server.id, create: () => connect(server, userId) })`.
fn made_for_one(project: &Project, report: &mut Report<'_>) {
    let making = project.calls_named(|name| MAKING.contains(&name));
    let mut keeping: FxHashMap<Fun, bool> = FxHashMap::default();
    for (module, unit) in project.units() {
        for expr in &unit.index.calls {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let (method, holder) = match unit.ir.expr(call.callee) {
                ExprKind::Member { object, property, .. } if making.has(at) => {
                    (unit.ir.text(*property).to_owned(), project.written(at.to(*object)).pop().unwrap_or_default())
                }
                // `memo("repos", ttl, () => reposOf(user))`, a function of the project that keeps what it makes.
                ExprKind::Name(_) if keeps_by_key(project, at, &mut keeping) => {
                    let name = project.written(at.to(call.callee)).pop().unwrap_or_default();
                    (MAKING.first().copied().unwrap_or_default().to_owned(), name)
                }
                // `dashboards.get(range, () => repo.dash(tenant, range))` of a class that does.
                ExprKind::Member { object, .. } if key_and_maker(project, unit, at, call).is_some() && keeps_by_key(project, at, &mut keeping) => {
                    let name = project.written(at.to(*object)).pop().unwrap_or_default();
                    (MAKING.first().copied().unwrap_or_default().to_owned(), name)
                }
                _ => continue,
            };
            let method = method.as_str();
            if !MAKING.contains(&method) {
                continue;
            }
            let Some((key, maker)) = key_and_maker(project, unit, at, call) else { continue };
            let reached = project.around(project.function_of(at)).into_iter().any(|fun| project.reach(fun).is_some());
            let asked_for = names_who_is_asked_for(project, unit, at.to(key));
            if (COMMON.contains(&method) && !vocabulary::is_cache(&holder)) || (is_scoped(project, at.to(key)) && !asked_for) {
                continue;
            }
            let Some(used) = callers_in(project, at, maker) else { continue };
            let found = report.reached(
                at,
                format!("`{holder}` keeps for everybody what was made with `{used}`, and the key does not say whose it is"),
            );
            let found = found.confidence(Confidence::Medium);
            if !reached || asked_for {
                found.severity(Severity::Medium);
            }
        }
    }
}

/// Whether all parties that a key names are such that the client chose: whom a report is about, and not who asks for it.
pub(super) fn names_who_is_asked_for(project: &Project, unit: &Unit, key: At) -> bool {
    let (mut chosen, mut other) = (false, false);
    let mut see = |expr: ExprId| {
        let name = match unit.ir.expr(expr) {
            ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
            ExprKind::Member { property, .. } => unit.ir.text(*property),
            ExprKind::Call(_) => project.last_written(key.to(expr)).unwrap_or_default(),
            _ => return,
        };
        let origins = project.origins(key.to(expr));
        let party = vocabulary::says_whose(name);
        let clients = origins.has(Origins::INPUT) && !origins.has(Origins::PRINCIPAL | Origins::SECRET | Origins::SESSION);
        chosen |= party && clients;
        other |= (party || origins.has_owner() || origins.has(Origins::SESSION)) && !clients;
    };
    // What the variables in the key were made of is looked at too: `` `report:${callerKey}:${user}` `` with `callerKey = hash(token)`.
    let mut open = vec![key.expr];
    let mut seen: Vec<BindingId> = Vec::new();
    while let Some(expr) = open.pop() {
        walk::exprs_below(&unit.ir, expr, &mut see);
        let mut names = Vec::new();
        walk::exprs_below(&unit.ir, expr, &mut |below| {
            if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(below) {
                names.push(*id);
            }
        });
        for id in names {
            if seen.len() < 12 && !seen.contains(&id) && !unit.ir.is_module_level(id) {
                seen.push(id);
                open.extend(unit.index.sources(id).iter().filter(|source| source.path.is_empty()).take(4).map(|source| source.value));
            }
        }
    }
    chosen && !other
}

/// Whether a function of the project that is called keeps what it makes under what it is given as a key; each is looked at once.
fn keeps_by_key(project: &Project, call: At, known: &mut FxHashMap<Fun, bool>) -> bool {
    let Some(callee) = project.callee(call).filter(|callee| callee.certain) else { return false };
    let [target] = callee.targets.as_slice() else { return false };
    *known.entry(*target).or_insert_with(|| puts_by_key(project, *target))
}

fn puts_by_key(project: &Project, target: Fun) -> bool {
    project.puts_of(target).any(|access| {
        project.roots(access.key).iter().any(|root| project.parameter_of(access.at.module, *root).is_some_and(|(fun, ..)| fun == target))
    }) || asks_and_sets(project, target)
}

/// Whether a function asks a cache that is elsewhere, and sets in it what it was not found, under what it is given or what is made of it.
fn asks_and_sets(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let given = |key: ExprId| {
        let mut found = false;
        walk::exprs_below(&unit.ir, key, &mut |expr| {
            if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) {
                let own = |id: BindingId| project.parameter_of(fun.module, id).is_some_and(|(of, ..)| of == fun);
                let of_key = |value: ExprId| project.roots(At { module: fun.module, expr: value }).into_iter().any(own);
                let sources = unit.index.sources(*id).iter().filter(|source| source.function == fun.id);
                found |= own(*id) || sources.take(2).any(|source| of_key(source.value) || asked_of(unit, source.value).into_iter().any(of_key));
            }
        });
        found
    };
    let (mut asks, mut sets) = (false, false);
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return };
        let Some(key) = call.positional(0) else { return };
        let holder = project.last_written(At { module: fun.module, expr: *object }).unwrap_or_default();
        let cache = vocabulary::is_cache(holder) || vocabulary::words(holder).iter().any(|word| matches!(word.as_str(), "redis" | "kv" | "memcached"));
        if cache && given(key) {
            asks |= unit.ir.text(*property) == "get";
            sets |= matches!(unit.ir.text(*property), "set" | "setex" | "setEx" | "put");
        }
    });
    asks && sets
}

/// What a call is given.
fn asked_of(unit: &Unit, value: ExprId) -> Vec<ExprId> {
    match unit.ir.expr(value) {
        ExprKind::Call(call) => call.args.iter().map(|arg| arg.value).collect(),
        _ => Vec::new(),
    }
}

/// The key and the function of a call that makes what is not there.
fn key_and_maker(project: &Project, unit: &Unit, at: At, call: &crate::ir::Call) -> Option<(ExprId, FunctionId)> {
    let function = |expr: ExprId| match unit.ir.expr(expr) {
        ExprKind::Function(id) => Some(*id),
        _ => None,
    };
    if let [only] = &*call.args
        && let ExprKind::Object(properties) = unit.ir.expr(only.value)
    {
        let key = properties.iter().find_map(|own| match own.key {
            PropertyKey::Name(name) if matches!(unit.ir.text(name), "key" | "cacheKey" | "id") => Some(own.value),
            _ => None,
        })?;
        return Some((key, properties.iter().find_map(|own| function(own.value))?));
    }
    let key = call.positional(0).filter(|key| function(*key).is_none())?;
    let written = call.args.iter().find_map(|arg| function(arg.value));
    Some((key, written.or_else(|| given_loader(project, unit, at, call))?))
}

/// The function inside of this one that a call is given by its name, when what is called calls it with nothing to make the value.
fn given_loader(project: &Project, unit: &Unit, at: At, call: &crate::ir::Call) -> Option<FunctionId> {
    let callee = project.callee(at).filter(|callee| callee.certain)?;
    let [target] = callee.targets.as_slice() else { return None };
    let home = project.unit(target.module)?;
    let loads = |number: usize| {
        let own = home.ir.function(target.id).and_then(|own| own.params.get(number)?.pattern.as_binding());
        own.is_some_and(|own| {
            home.index.uses(own).iter().any(|used| match home.index.parent(*used) {
                Parent::Expr(up) => {
                    matches!(home.ir.expr(up), ExprKind::Call(call) if call.callee == *used && call.args.is_empty())
                }
                _ => false,
            })
        })
    };
    (0..call.args.len()).filter(|number| loads(*number)).find_map(|number| {
        let given = project.argument(at, *target, number)?;
        match unit.ir.expr(given.expr) {
            ExprKind::Name(NameRef::Binding(id)) => local_function(unit, *id),
            _ => None,
        }
    })
}



/// The function that a name inside of another function stands for: `async def load(): …`, `const run = () => …`.
fn local_function(unit: &Unit, id: BindingId) -> Option<FunctionId> {
    if unit.ir.is_module_level(id) {
        return None;
    }
    if let BindingKind::Function(own) = unit.ir.binding(id)?.kind {
        return Some(own);
    }
    match unit.index.sources(id) {
        [source] if source.path.is_empty() => match unit.ir.expr(source.value) {
            ExprKind::Function(own) => Some(*own),
            _ => None,
        },
        _ => None,
    }
}

/// What of the caller a function takes with it, by its name: `userId`, `accessToken`.
fn callers_in(project: &Project, at: At, maker: FunctionId) -> Option<String> {
    let unit = project.unit(at.module)?;
    let mut found = None;
    walk::function_exprs(&unit.ir, maker, &mut |expr| {
        let name = match unit.ir.expr(expr) {
            ExprKind::Name(NameRef::Binding(id)) if unit.ir.binding_function(*id) != maker && !unit.ir.is_module_level(*id) => {
                unit.ir.binding_name(*id)
            }
            ExprKind::Member { property, .. } => unit.ir.text(*property),
            _ => return,
        };
        let callers = vocabulary::is_owner(name) || vocabulary::is_credential(name);
        if callers && found.is_none() && !project.is_fixed(at.to(expr)) {
            found = Some(name.to_owned());
        }
    });
    found
}

/// Words of clients that are the process's own and no caller's.
const OWN: &[&str] = &[
    "db", "http", "redis", "cache", "sql", "pg", "prisma", "mongo", "database", "storage", "store", "s3", "knex", "pool", "session", "tokenizer",
    "httpx", "aiohttp", "axios", "fetch", "llm", "openai", "embedding", "model", "docker", "k8s",
];

/// Whether a parameter is a credential, or what holds one, that is not the process's own. Where the key is that of who the bearer is,
/// `USER_URL`, it is enough that it may be another one.
fn opens_own(project: &Project, unit: &Unit, write: &Access, client: BindingId) -> bool {
    let name = unit.ir.binding_name(client);
    let words = vocabulary::words(name);
    let bearers = vocabulary::words(project.snippet(write.key)).iter().any(|word| {
        matches!(word.as_str(), "user" | "me" | "self" | "whoami" | "profile" | "account" | "viewer" | "userinfo" | "identity")
    });
    let own = unit.index.uses(client).iter().any(|used| {
        let at = write.at.to(*used);
        project.origins(at).has(Origins::ENV) && (!bearers || project.is_fixed(at))
    });
    !own && !words.iter().any(|word| matches!(word.as_str(), "client" | "api" | "sdk"))
        && (vocabulary::is_credential(name) || vocabulary::is_user(name))
}

/// The parameter of a function that a stored value was fetched with: a client or a credential that the caller hands over.
fn client_of(project: &Project, write: &Access) -> Option<BindingId> {
    let value = write.value?;
    let unit = project.unit(value.module)?;
    let given = |id: BindingId| project.parameter_of(value.module, id).is_some_and(|(fun, ..)| fun == write.function);
    let mut found = None;
    let mut see = |root: ExprId| {
        walk::exprs_below(&unit.ir, root, &mut |expr| {
            let ExprKind::Await(inner) = unit.ir.expr(expr) else { return };
            let ExprKind::Call(call) = unit.ir.expr(*inner) else { return };
            let receiver = match unit.ir.expr(call.callee) {
                ExprKind::Member { object, .. } => Some(*object),
                _ => None,
            };
            for arg in call.args.iter().map(|arg| arg.value).chain(receiver) {
                if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(arg)
                    && given(*id)
                    && is_callers(unit.ir.binding_name(*id))
                {
                    found = found.or(Some(*id));
                }
            }
            found = found.or_else(|| call.args.iter().find_map(|arg| credential_in(unit, arg.value)).filter(|id| given(*id)));
        });
    };
    see(value.expr);
    for root in project.roots(value) {
        unit.index.sources(root).iter().take(4).for_each(|source| see(source.value));
        // `client = new Client()`, and then `await client.connect(url, token)`
        for used in unit.index.uses(root).iter().take(12).filter(|used| unit.index.function(**used) == write.function.id) {
            if let Some(call) = awaited_on(unit, *used) {
                see(call);
            }
        }
    }
    found
}

/// The awaited call of a method of a variable.
fn awaited_on(unit: &Unit, used: ExprId) -> Option<ExprId> {
    let mut here = used;
    for step in 0..3 {
        let crate::project::Parent::Expr(up) = unit.index.parent(here) else { return None };
        let fits = match (step, unit.ir.expr(up)) {
            (0, ExprKind::Member { object, .. }) => *object == here,
            (1, ExprKind::Call(call)) => call.callee == here,
            (2, ExprKind::Await(_)) => true,
            _ => false,
        };
        if !fits {
            return None;
        }
        here = up;
    }
    Some(here)
}

/// The variable that is, or holds, a credential inside of an argument: `{ headers: { authorization: `Bearer ${token}` } }`.
fn credential_in(unit: &Unit, arg: ExprId) -> Option<BindingId> {
    let mut found = None;
    walk::exprs_below(&unit.ir, arg, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) if expr != arg && is_secret(unit.ir.binding_name(*id)) => found = found.or(Some(*id)),
        ExprKind::Member { object, property, .. } if is_secret(unit.ir.text(*property)) => {
            let mut of = *object;
            while let ExprKind::Member { object, .. } = unit.ir.expr(of) {
                of = *object;
            }
            if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(of) {
                found = found.or(Some(*id));
            }
        }
        _ => {}
    });
    found
}

/// Whether a name is that of a credential, and not of what is asked for with one.
fn is_secret(name: &str) -> bool {
    let words = vocabulary::words(name);
    vocabulary::is_credential(name) && !words.iter().any(|word| OWN.contains(&word.as_str()) || matches!(word.as_str(), "page" | "next" | "cursor"))
}

/// Whether a parameter's name says that it is a client or a credential of the caller.
fn is_callers(name: &str) -> bool {
    let words = vocabulary::words(name);
    let client = words.last().is_some_and(|last| matches!(last.as_str(), "client" | "token" | "credentials" | "api" | "sdk"));
    (client || vocabulary::is_credential(name)) && !words.iter().any(|word| OWN.contains(&word.as_str()))
}

/// Whether a key has something of a variable: itself, or in what it was set to.
fn is_made_of(project: &Project, unit: &Unit, key: At, client: BindingId) -> bool {
    let roots = project.roots(key);
    let values = roots.iter().flat_map(|root| unit.index.sources(*root)).map(|source| source.value);
    let mut found = roots.contains(&client) && is_callers(unit.ir.binding_name(client));
    for value in values.chain([key.expr]) {
        walk::exprs_below(&unit.ir, value, &mut |expr| {
            found |= matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if *id == client)
                && !is_name_of_record(unit, expr, client);
        });
    }
    found
}

/// Whether a use of a record takes its name and nothing else, `upstream.name` beside `upstream.token`: two tenants may have one of that
/// name, with a credential each.
fn is_name_of_record(unit: &Unit, used: ExprId, record: BindingId) -> bool {
    const NAMES: &[&str] = &["name", "slug", "label", "host", "hostname", "url", "baseUrl", "base_url", "endpoint", "provider", "kind"];
    let Parent::Expr(up) = unit.index.parent(used) else { return false };
    !is_callers(unit.ir.binding_name(record))
        && matches!(unit.ir.expr(up), ExprKind::Member { object, property, .. }
            if *object == used && NAMES.contains(&unit.ir.text(*property)))
}

/// Whether what the cache gives is handed to a check together with the client: `mayRead(cached, client)`.
fn is_asked(unit: &Unit, accesses: &[Access], write: &Access, client: BindingId) -> bool {
    let mut read: Vec<BindingId> = Vec::new();
    for access in accesses.iter().filter(|access| access.value.is_none() && access.function == write.function) {
        if let Some(stmt) = unit.index.stmt_of(access.at.expr)
            && let crate::ir::StmtKind::Assign { target, .. } = unit.ir.stmt(stmt)
        {
            target.for_each_binding(&mut |id| read.push(id));
        }
    }
    let mut found = false;
    walk::function_exprs(&unit.ir, write.function.id, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let is = |wanted: &dyn Fn(BindingId) -> bool| {
            call.args.iter().any(|arg| matches!(unit.ir.expr(arg.value), ExprKind::Name(NameRef::Binding(id)) if wanted(*id)))
        };
        let at = At { module: write.at.module, expr };
        found |= at != write.at && is(&|id| read.contains(&id)) && is(&|id| id == client);
    });
    found
}
