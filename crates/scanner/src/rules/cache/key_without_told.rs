//! Keys without the owner whom both those who keep and those who ask are told: `kv.put("otp", code)` in `send(userId, code)`, and
//! `kv.get("otp")` in `verify(userId)`.

use std::collections::{BTreeMap, BTreeSet};

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{ArgKind, BinaryOp, BindingId, ExprId, ExprKind, FunctionId, NameRef, TemplatePart, walk},
    project::{At, Fun, Parent, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Methods that keep something under a key.
const PUTS: &[&str] = &[
    "set", "setex", "setEx", "psetex", "setnx", "put", "aset", "store", "setItem", "zadd", "zAdd", "rpush",
    "rPush", "lpush", "lPush", "sadd", "sAdd",
];

/// Methods that give what is kept under a key.
const GETS: &[&str] = &[
    "get",
    "aget",
    "getItem",
    "lrange",
    "lRange",
    "zrange",
    "zRange",
    "zrangebyscore",
    "zRangeByScore",
    "zrevrange",
    "smembers",
    "sMembers",
    "getdel",
    "getDel",
    "getex",
    "lookup",
    "fetch",
];

/// Words of what is kept by keys for all who ask.
const KEPT: &[&str] = &["redis", "kv", "valkey", "memcache", "memcached", "keyv", "ioredis"];

/// Words of keys under which everybody's is kept, as they say.
const OF_ALL: &[&str] = &["global", "shared", "public", "system", "everyone", "jwks"];

/// Last words of parts of a key that say only what kind of thing is kept.
const KINDS: &[&str] = &["type", "kind", "mode", "purpose", "category", "lang", "locale", "value"];

/// How many variables a value or a key is followed through.
const STEPS: u32 = 3;

/// How many texts and calls a use of a parameter is looked for in.
const UP: usize = 8;

/// A call that keeps something or asks for it under a key that has nothing of anybody.
struct Use<'p> {
    at: At,
    fun: Fun,
    unit: &'p Unit,
    /// What is kept; nothing where it is asked for.
    value: Option<ExprId>,
    /// The parameter by which the function is told for whom it works.
    owner: BindingId,
}

/// Reports what is kept under such keys, once a function and key.
pub(super) fn key_without_told(project: &Project, report: &mut Report<'_>) {
    let mut by_key: BTreeMap<String, Vec<Use<'_>>> = BTreeMap::new();
    let likely = project.calls_named(|name| PUTS.contains(&name) || GETS.contains(&name));
    for (module, unit) in project.units() {
        for expr in likely.among(module) {
            if let Some((key, found)) = use_of(project, unit, At { module, expr: *expr }) {
                by_key.entry(key).or_default().push(found);
            }
        }
    }
    for uses in by_key.into_values() {
        let mut told: BTreeSet<Fun> = BTreeSet::new();
        for put in uses.iter().filter(|used| used.value.is_some()) {
            let asked =
                uses.iter().filter(|used| used.value.is_none()).find(|get| is_for_one(project, put, get));
            let Some(get) = asked.filter(|_| told.insert(put.fun)) else { continue };
            let (here, there) = (put.unit.ir.binding_name(put.owner), project.function_name(get.fun));
            report
                .reached(
                    put.at,
                    format!("what is kept here for `{here}` is what `{there}` gives to everybody: the key has nothing of whose it is"),
                )
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// A call that keeps or asks under a key of nobody, in a function that is told an owner and says it neither in the key nor beside it.
fn use_of<'p>(project: &'p Project, unit: &'p Unit, at: At) -> Option<(String, Use<'p>)> {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
    let fun = project.function_of(at);
    let owner = told_owner(unit, fun)?;
    let key = call.positional(0)?;
    let method = unit.ir.text(*property);
    let puts = PUTS.contains(&method);
    let value = match method {
        "setex" | "setEx" | "psetex" => call.positional(2),
        _ => call.positional(1),
    };
    // `cache.get(key, null)`; what is put has a value.
    let value = if puts { Some(value?) } else { None };
    let says = |arg: &crate::ir::Arg| owners(unit, fun).iter().any(|id| touches(unit, arg.value, *id, STEPS));
    if call.args.iter().any(says) || !is_kept_by_key(project, unit, at.to(*object), STEPS) {
        return None;
    }
    let key = form_of(project, unit, at.to(key))?;
    Some((key, Use { at, fun, unit, value, owner }))
}

/// The first parameter of a function that names an owner.
pub(crate) fn told_owner(unit: &Unit, fun: Fun) -> Option<BindingId> {
    owners(unit, fun).into_iter().next()
}

/// The parameters of a function that name an owner: `userId`, `{ tenantId }`.
pub(crate) fn owners(unit: &Unit, fun: Fun) -> Vec<BindingId> {
    let mut found = Vec::new();
    let Some(function) = unit.ir.function(fun.id).filter(|_| fun.id != FunctionId::MODULE) else {
        return found;
    };
    for parameter in &function.params {
        parameter.pattern.for_each_binding(&mut |id| {
            if vocabulary::is_owner(unit.ir.binding_name(id)) {
                found.push(id);
            }
        });
    }
    found
}

/// Whether an object keeps things by keys for all who ask: by its name, by what it was set to, by its type, or as a map that outlives a
/// request.
pub(crate) fn is_kept_by_key(project: &Project, unit: &Unit, at: At, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    let kept = |name: &str| {
        vocabulary::is_cache(name) || vocabulary::words(name).iter().any(|word| KEPT.contains(&word.as_str()))
    };
    match unit.ir.expr(at.expr) {
        ExprKind::Name(NameRef::Binding(id)) => {
            let binding = unit.ir.binding(*id);
            let typed = binding.and_then(|own| own.type_text).is_some_and(|text| kept(unit.ir.text(text)));
            kept(unit.ir.binding_name(*id))
                || typed
                || project.store(at).is_some()
                || unit.index.sources(*id).iter().take(2).any(|source| {
                    // `r = await get_redis()`, `pipe = r.pipeline()`
                    source.path.is_empty() && is_kept_by_key(project, unit, at.to(source.value), steps)
                })
        }
        ExprKind::Await(value) => is_kept_by_key(project, unit, at.to(*value), steps),
        ExprKind::Call(call) => match unit.ir.expr(call.callee) {
            ExprKind::Member { object, property, .. } => {
                kept(unit.ir.text(*property))
                    || (matches!(unit.ir.text(*property), "pipeline" | "multi")
                        && is_kept_by_key(project, unit, at.to(*object), steps))
            }
            ExprKind::Name(NameRef::Binding(id)) => kept(unit.ir.binding_name(*id)),
            _ => false,
        },
        // `env.LIMITS.get(key)` of a worker's settings is a namespace of keys.
        ExprKind::Member { object, property, .. } => {
            kept(unit.ir.text(*property))
                || project.store(at).is_some()
                || (project.last_written(at.to(*object)) == Some("env")
                    && !unit.ir.text(*property).contains(char::is_lowercase))
        }
        _ => false,
    }
}

/// A key of nobody as a text: written out, made of what the code sets, or of what says only a kind. Nothing where anything else is in it.
fn form_of(project: &Project, unit: &Unit, key: At) -> Option<String> {
    let mut form = Form { project, unit, text: String::new(), own: false };
    form.add(key, STEPS)?;
    let of_all = vocabulary::words(&form.text).iter().any(|word| OF_ALL.contains(&word.as_str()));
    let place = if form.own { unit.ir.path.as_str() } else { "" };
    (!of_all && !form.text.is_empty()).then(|| format!("{} {place}", form.text))
}

struct Form<'p> {
    project: &'p Project,
    unit: &'p Unit,
    text: String,
    /// Whether it has names of the file in it.
    own: bool,
}

impl Form<'_> {
    fn add(&mut self, at: At, steps: u32) -> Option<()> {
        let unit = self.unit;
        match unit.ir.expr(at.expr) {
            ExprKind::String(text) => self.text.push_str(unit.ir.text(*text)),
            ExprKind::Template(parts) => {
                for part in parts {
                    match part {
                        TemplatePart::Text(text) => self.text.push_str(unit.ir.text(*text)),
                        TemplatePart::Value(value) => self.add(at.to(*value), steps)?,
                    }
                }
            }
            ExprKind::Binary { op: BinaryOp::Add, left, right } => {
                self.add(at.to(*left), steps)?;
                self.add(at.to(*right), steps)?;
            }
            kind => {
                if let ExprKind::Name(NameRef::Binding(id)) = kind
                    && !unit.ir.is_module_level(*id)
                    && let [source] = unit.index.sources(*id)
                    && source.path.is_empty()
                {
                    return self.add(at.to(source.value), steps.checked_sub(1)?);
                }
                let name = match kind {
                    ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
                    ExprKind::Member { property, .. } => unit.ir.text(*property),
                    _ => return None,
                };
                let says_kind =
                    || vocabulary::words(name).last().is_some_and(|last| KINDS.contains(&last.as_str()));
                if !self.project.is_fixed(at) && !says_kind() {
                    return None;
                }
                self.own = true;
                self.text.push_str(self.project.snippet(at));
            }
        }
        Some(())
    }
}

/// Whether a parameter is in an expression, or in what a variable in it was set to.
pub(crate) fn touches(unit: &Unit, expr: ExprId, id: BindingId, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    let mut found = false;
    walk::exprs_below(&unit.ir, expr, &mut |below| {
        if let ExprKind::Name(NameRef::Binding(own)) = unit.ir.expr(below) {
            found = found
                || *own == id
                || (!unit.ir.is_module_level(*own)
                    && unit
                        .index
                        .sources(*own)
                        .iter()
                        .take(4)
                        .any(|source| touches(unit, source.value, id, steps)));
        }
    });
    found
}

/// Names of what a function is handed to work with, and that is nobody's.
const TOOLS: &[&str] = &[
    "db",
    "kv",
    "redis",
    "cache",
    "client",
    "env",
    "ctx",
    "context",
    "logger",
    "conn",
    "connection",
    "session",
    "self",
    "ttl",
];

/// Whether what one function keeps is one's own, and what another asks for under the same key is too.
fn is_for_one(project: &Project, put: &Use<'_>, get: &Use<'_>) -> bool {
    if put.fun == get.fun {
        return false;
    }
    let unused = !is_used(project, get.unit, get.fun, get.owner);
    // Where the other one does something else with the owner, what is kept has to be what was brought.
    unused || put.value.is_some_and(|value| is_brought(put.unit, put.fun, value))
}

/// Whether a value has something in it that the function was handed, or is a secret by its name.
fn is_brought(unit: &Unit, fun: Fun, value: ExprId) -> bool {
    let Some(function) = unit.ir.function(fun.id) else { return false };
    let mut found = false;
    for parameter in &function.params {
        parameter.pattern.for_each_binding(&mut |id| {
            let words = vocabulary::words(unit.ir.binding_name(id));
            let tool =
                words.iter().any(|word| TOOLS.contains(&word.as_str()) || KEPT.contains(&word.as_str()));
            found |= !tool && touches(unit, value, id, STEPS);
        });
    }
    found
}

/// Whether a function does anything with a parameter but writing it down in a log or into the text of an error.
fn is_used(project: &Project, unit: &Unit, fun: Fun, id: BindingId) -> bool {
    unit.index.uses(id).iter().any(|used| {
        let mut here = *used;
        for _ in 0..UP {
            let Parent::Expr(up) = unit.index.parent(here) else { return true };
            if let ExprKind::Call(call) = unit.ir.expr(up)
                && call.callee != here
            {
                let at = At { module: fun.module, expr: call.callee };
                return !is_said_only(project, at)
                    && !matches!(call.args.first().map(|arg| &arg.kind), Some(ArgKind::Spread));
            }
            here = up;
        }
        true
    })
}

/// Whether what is called writes a log or makes an error.
fn is_said_only(project: &Project, callee: At) -> bool {
    let path = project.written(callee);
    let last = path.last().map_or("", |name| name.as_str());
    let logs = path.iter().any(|name| {
        vocabulary::words(name.as_str())
            .iter()
            .any(|word| matches!(word.as_str(), "log" | "logger" | "logging" | "console"))
    });
    logs || last == "print" || last.ends_with("Error") || last.ends_with("Exception")
}
