//! Functions that make the keys of a cache and put nothing of the caller into them: `cache_key(name)` beside code that knows its
//! callers; and keys that have only the beginning of a credential.

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{ExprId, ExprKind, Function, FunctionKind, NameRef, PropertyKey, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// What keys are made for.
const KEPT: &[&str] = &["cache", "cached", "redis", "memo", "lookup", "dedup", "pool"];

/// Names that say nothing of what is kept but are those of keys, in a class or file that is named for a cache.
const PLAIN: &[&str] =
    &["key", "make", "get", "build", "create", "generate", "compute", "for", "of", "to", "id"];

/// Words of what all callers have in common, or of parameters that may have the caller in them.
const ANYBODY: &[&str] = &[
    "args",
    "kwargs",
    "params",
    "parameters",
    "options",
    "opts",
    "filters",
    "filter",
    "request",
    "req",
    "body",
    "payload",
    "scope",
    "scopes",
    "namespace",
    "partition",
    "context",
    "ctx",
    "prefix",
    "owner",
    "func",
    "fn",
    "function",
    "method",
    "values",
    "parts",
    "lock",
    "rate",
    "limit",
    "limiter",
    "jwks",
    "model",
    "models",
    "embedding",
    "embeddings",
    "tokenizer",
    "schema",
    "translation",
    "locale",
    "version",
    "docs",
    "geo",
    "geocode",
    "weather",
    "price",
    "prices",
    "symbol",
    "package",
    "commit",
    "repo",
    "github",
    "npm",
    "pypi",
    "page",
    "html",
    "image",
    "icon",
    "asset",
    "font",
    "static",
    "ip",
    "nonce",
    "jti",
    "state",
    "pkce",
    "csrf",
    "hash",
    "digest",
    "sitemap",
    "robots",
    "dns",
    "domain",
    "ast",
    "parse",
    "compile",
    "sql",
    "public",
    "key",
    "keys",
    "cursor",
    "identity",
    "query",
    "text",
    "prompt",
    "inputs",
    "self",
    "data",
    "obj",
    "object",
    "item",
    "message",
    "messages",
    "segments",
];

/// Words of variables that say for whom a function works.
const WHOM: &[&str] = &["project", "organization", "organisation", "org", "tenant", "workspace", "account"];

/// Reports calls that make a key of what was asked alone, in a function that knows for whom it works: `cacheKeyOf({ model, messages })`
/// beside `project`.
fn made_without(project: &Project, report: &mut Report<'_>) {
    let likely = project.calls_named(|name| {
        let words = vocabulary::words(name);
        let has = |word: &str| words.iter().any(|own| own == word);
        has("cache") && has("key") && words.len() < 5
    });
    for (module, unit) in project.units() {
        for expr in likely.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let fun = project.function_of(at);
            let Some(ExprKind::Object(properties)) = call.positional(0).map(|first| unit.ir.expr(first))
            else {
                continue;
            };
            let says = |text: &str| {
                vocabulary::says_whose(text)
                    || vocabulary::words(text)
                        .iter()
                        .any(|word| WHOM.contains(&word.as_str()) || word == "user")
            };
            let mut said = false;
            for arg in &call.args {
                walk::exprs_below(&unit.ir, arg.value, &mut |own| match unit.ir.expr(own) {
                    ExprKind::Name(NameRef::Binding(id)) => said |= says(unit.ir.binding_name(*id)),
                    ExprKind::Member { property, .. } => said |= says(unit.ir.text(*property)),
                    _ => {}
                });
            }
            let open = properties.iter().any(|own| !matches!(own.key, PropertyKey::Name(_)));
            let Some(whom) = known_whom(unit, fun) else { continue };
            if properties.len() > 1 && !said && !open {
                report
                    .reached(
                        at,
                        format!("this key is made of what was asked alone, though `{whom}` is known here"),
                    )
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// A variable of a function that says for whom it works, and that it uses.
fn known_whom(unit: &Unit, fun: Fun) -> Option<&str> {
    let found = unit.ir.bindings().find(|(id, binding)| {
        let name = unit.ir.text(binding.name);
        WHOM.contains(&name) && unit.ir.binding_function(*id) == fun.id && unit.index.uses(*id).len() > 1
    });
    found.map(|(_, binding)| unit.ir.text(binding.name))
}

/// Reports such functions where they give the key.
pub(super) fn key_makers(project: &Project, report: &mut Report<'_>) {
    made_without(project, report);
    super::left_out_field::left_out_field(project, report);
    super::kept_by_helper::kept_by_helper(project, report);
    for (module, unit) in project.units() {
        for (id, function) in unit.ir.functions() {
            let fun = Fun { module, id };
            of_url(project, unit, fun, function, report);
            if let Some(owner) = left_out_by_maker(project, unit, fun, function) {
                let value = unit.index.returns(id).last().map(|expr| At { module, expr: *expr });
                if let Some(value) = value {
                    report
                        .reached(value, format!("this makes a key, is told `{owner}` and leaves it out"))
                        .severity(Severity::Medium)
                        .confidence(Confidence::Medium);
                }
                continue;
            }
            if !makes_keys(project, unit, fun, function) {
                continue;
            }
            for value in unit.index.returns(id).iter().take(4) {
                if let Some(cut) = cut_credential(project, unit, At { module, expr: *value }) {
                    report
                        .reached(cut, "this key has the beginning of a credential only, and those of two callers may begin alike")
                        .severity(Severity::Medium)
                        .confidence(Confidence::Medium);
                }
            }
            let cut = unit
                .index
                .returns(id)
                .iter()
                .take(4)
                .find_map(|value| cut_text(project, unit, At { module, expr: *value }));
            if let Some(cut) = cut {
                report
                    .reached(cut, "this key has the beginning of a text only, which is written otherwise and not hashed: what begins alike is found under one key")
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
                continue;
            }
            if !project.handlers_know_callers(module) || tells_apart(project, unit, fun, function) {
                continue;
            }
            let Some(value) = unit.index.returns(id).last().map(|expr| At { module, expr: *expr }) else {
                continue;
            };
            if project.is_fixed(value) || super::unscoped_cache_key::is_scoped(project, value) {
                continue;
            }
            report
                .reached(value, "this makes the key of a cache, and puts nothing of the caller into it")
                .severity(Severity::Low)
                .confidence(Confidence::Low);
        }
    }
}

/// The parameter that names an owner of a function that makes keys out of another one, where nothing is done with it:
/// `cacheKey(userId, name)` that gives `` `item:${name}` ``.
fn left_out_by_maker<'u>(
    project: &Project,
    unit: &'u Unit,
    fun: Fun,
    function: &Function,
) -> Option<&'u str> {
    let words = vocabulary::words(function.name.map_or("", |name| unit.ir.text(name)));
    let makes =
        words.last().is_some_and(|word| word == "key") || words.first().is_some_and(|word| word == "key");
    let value = unit.index.returns(fun.id).last()?;
    if !makes || words.iter().any(|word| matches!(word.as_str(), "public" | "global" | "shared" | "api")) {
        return None;
    }
    let owners = super::key_without_told::owners(unit, fun);
    let left = owners.iter().find(|id| unit.index.uses(**id).is_empty())?;
    // One owner is enough: `key(tenantId, userId)` may keep for the whole tenant.
    let other = owners.iter().any(|id| !unit.index.uses(*id).is_empty());
    let made = At { module: fun.module, expr: *value };
    let text =
        matches!(unit.ir.expr(*value), ExprKind::Template(_) | ExprKind::Call(_) | ExprKind::Binary { .. });
    (!other && text && !super::unscoped_cache_key::is_scoped(project, made))
        .then(|| unit.ir.binding_name(*left))
}

/// Parts of a request that may say who asks.
const SAYS_WHOSE: &[&str] = &["headers", "cookies", "session", "state", "scope", "META", "user", "auth"];

/// Reports a function that makes the keys of answers out of the address alone: `def request_key_builder(func, *, request, **kwargs)`.
fn of_url(project: &Project, unit: &Unit, fun: Fun, function: &Function, report: &mut Report<'_>) {
    let words = vocabulary::words(function.name.map_or("", |name| unit.ir.text(name)));
    let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(&word.as_str()));
    let request = function
        .params
        .iter()
        .filter_map(|own| own.name)
        .any(|name| matches!(unit.ir.text(name), "request" | "req"));
    if !(has(&["key"])
        && has(&[
            "builder",
            "cache",
            "maker",
            "generator",
            "make",
            "build",
            "url",
            "path",
            "request",
            "response",
        ])
        && request)
        || has(&["rate", "limit", "limiter", "public"])
    {
        return;
    }
    let (mut address, mut whose) = (false, false);
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let (text, member) = match unit.ir.expr(expr) {
            ExprKind::Member { property, .. } => (unit.ir.text(*property), true),
            ExprKind::Name(NameRef::Binding(id)) => (unit.ir.binding_name(*id), false),
            _ => return,
        };
        address |= matches!(
            text,
            "url" | "path" | "full_path" | "query_params" | "query_string" | "originalUrl" | "query"
        );
        // What dependencies found is among the arguments of the handler: `**kwargs`.
        let has_caller = if member { SAYS_WHOSE.contains(&text) } else { matches!(text, "args" | "kwargs") };
        // What all keys of one cache begin with.
        let beginning = !member && matches!(text, "namespace" | "prefix");
        whose |=
            has_caller || (vocabulary::says_whose(text) && !beginning) || vocabulary::is_credential(text);
    });
    let value = unit.index.returns(fun.id).last().map(|expr| At { module: fun.module, expr: *expr });
    if let (true, false, Some(value)) = (address && project.handlers_know_callers(fun.module), whose, value) {
        let said = "this makes the key of an answer out of the address alone, and callers who are told apart get other answers there";
        // What a cache is told to make its keys with is called by the cache, and by nobody else.
        let handed = function.binding.is_some_and(|own| !unit.index.uses(own).is_empty());
        let found = if handed && project.reach(fun).is_none() {
            report.at(value, said)
        } else {
            report.reached(value, said)
        };
        found.severity(Severity::Medium).confidence(Confidence::Medium);
    }
}

/// Whether a function makes keys of a cache, as it says.
fn makes_keys(project: &Project, unit: &Unit, fun: Fun, function: &Function) -> bool {
    let Some(name) = function.name.map(|name| unit.ir.text(name)) else { return false };
    if function.kind == FunctionKind::Constructor || !name.to_ascii_lowercase().contains("key") {
        return false;
    }
    let words = vocabulary::words(name);
    let last = words.last().is_some_and(|word| word == "key")
        || (words.first().is_some_and(|word| word == "key") && words.len() > 1);
    if !last {
        return false;
    }
    let kept = words.iter().any(|word| KEPT.contains(&word.as_str()));
    let plain = words.iter().all(|word| PLAIN.contains(&word.as_str()));
    let file = unit.ir.path.rsplit('/').next().unwrap_or_default();
    let of_cache = || {
        let class = project.this_of(fun).map(|class| project.class_name(class)).unwrap_or_default();
        vocabulary::is_cache(class) || vocabulary::words(file).iter().any(|word| word == "cache")
    };
    kept || (plain && !vocabulary::is_credential(name) && of_cache())
}

/// Whether anything that a function is given, or that it is named for, says whose the value is, or is everybody's.
fn tells_apart(project: &Project, unit: &Unit, fun: Fun, function: &Function) -> bool {
    let tells = |name: &str| {
        vocabulary::says_whose(name)
            || vocabulary::words(name).iter().any(|word| {
                word != "key" && ANYBODY.contains(&word.as_str())
                    || matches!(word.as_str(), "user" | "tenant" | "org" | "account")
            })
    };
    let own = function.name.map(|name| unit.ir.text(name)).unwrap_or_default();
    let file = unit.ir.path.rsplit('/').next().unwrap_or_default();
    let class = project.this_of(fun).map(|class| project.class_name(class)).unwrap_or_default();
    let common = |name: &str| {
        vocabulary::words(name).iter().any(|word| {
            !matches!(word.as_str(), "key" | "keys" | "self" | "hash" | "identity")
                && ANYBODY.contains(&word.as_str())
        })
    };
    let given =
        function.params.iter().filter_map(|parameter| parameter.name).any(|name| tells(unit.ir.text(name)));
    let mut said = given || common(own) || common(class) || common(file);
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let text = match unit.ir.expr(expr) {
            ExprKind::Member { property, .. } => unit.ir.text(*property),
            ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
            // What a function says of itself is no part of the key.
            ExprKind::String(text) if !unit.ir.text(*text).contains(char::is_whitespace) => {
                unit.ir.text(*text)
            }
            _ => return,
        };
        said |= vocabulary::says_whose(text) || matches!(text, "headers" | "scope" | "namespace" | "prefix");
    });
    let has_params = function
        .params
        .iter()
        .any(|parameter| parameter.name.is_some_and(|name| !matches!(unit.ir.text(name), "self" | "cls")));
    let fields = || {
        unit.index.returns(fun.id).iter().any(|value| unit.ir.snippet(unit.ir.span(*value)).contains("self."))
    };
    said || !(has_params || fields())
}

/// A part of a key that is cut out of a credential: `token[:10]`, `token.slice(0, 8)`; by a variable too.
fn cut_credential(project: &Project, unit: &Unit, value: At) -> Option<At> {
    let mut found = None;
    let mut values = vec![value.expr];
    walk::exprs_below(&unit.ir, value.expr, &mut |expr| {
        if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) {
            values.extend(unit.index.sources(*id).iter().map(|source| source.value));
        }
    });
    for own in values.into_iter().take(16) {
        walk::exprs_below(&unit.ir, own, &mut |expr| {
            if found.is_none() && is_cut(project, unit, value.to(expr)) {
                found = Some(value.to(expr));
            }
        });
    }
    found
}

/// A part of a key that is cut out of a text in another alphabet: `Buffer.from(path).toString("base64").slice(0, 16)`. Of a digest every
/// part hangs on all of the text; of this only on its beginning.
fn cut_text(project: &Project, unit: &Unit, value: At) -> Option<At> {
    let mut values = vec![value.expr];
    walk::exprs_below(&unit.ir, value.expr, &mut |expr| {
        if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) {
            values.extend(unit.index.sources(*id).iter().map(|source| source.value));
        }
    });
    let mut found = None;
    for own in values.into_iter().take(16) {
        walk::exprs_below(&unit.ir, own, &mut |expr| {
            let cut = cut_of(unit, expr).filter(|of| is_encoded(project, unit, value.to(*of)));
            if cut.is_some() && found.is_none() && !project.is_fixed(value.to(expr)) {
                found = Some(value.to(expr));
            }
        });
    }
    found
}

/// Whether a value is a text that is written in another alphabet, and not hashed.
fn is_encoded(project: &Project, unit: &Unit, at: At) -> bool {
    let text = unit.ir.snippet(unit.ir.span(at.expr));
    let hashed = ["hash", "digest", "hmac", "sha", "md5", "subtle"]
        .iter()
        .any(|word| text.to_ascii_lowercase().contains(word));
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    let name = project.last_written(at.to(call.callee)).unwrap_or_default();
    let alphabet = call.positional(0).is_some_and(
        |first| matches!(unit.ir.expr(first), ExprKind::String(text) if matches!(unit.ir.text(*text), "base64" | "base64url" | "hex")),
    );
    let encodes = matches!(name, "btoa" | "b64encode" | "urlsafe_b64encode" | "encodeURIComponent")
        || (name == "toString" && alphabet);
    // `base64.b64encode(path.encode()).decode()[:16]`
    let decoded = name == "decode" && text.contains("b64encode(");
    // A variable may hold a digest: `createHash` of another statement.
    let of_digest = project.roots(at).iter().any(|id| {
        unit.index.sources(*id).iter().any(|source| {
            let text = unit.ir.snippet(unit.ir.span(source.value)).to_ascii_lowercase();
            ["hash", "digest", "hmac", "random", "subtle"].iter().any(|word| text.contains(word))
        })
    });
    (encodes || decoded) && !hashed && !of_digest
}

/// What a call or an index takes the beginning of: `text.slice(0, 16)`, `text[:16]`.
fn cut_of(unit: &Unit, expr: ExprId) -> Option<ExprId> {
    match unit.ir.expr(expr) {
        ExprKind::Call(call) => match unit.ir.expr(call.callee) {
            ExprKind::Member { object, property, .. } => {
                let from_start = matches!(unit.ir.expr(call.positional(0)?), ExprKind::Number(text) if unit.ir.text(*text) == "0");
                let cuts = matches!(unit.ir.text(*property), "slice" | "substring" | "substr");
                (cuts && from_start && call.args.len() == 2).then_some(*object)
            }
            _ => None,
        },
        ExprKind::Index { object, index, .. } => {
            matches!(unit.ir.expr(*index), ExprKind::Sequence(parts) if parts.len() == 1).then_some(*object)
        }
        _ => None,
    }
}

fn is_cut(project: &Project, unit: &Unit, at: At) -> bool {
    let of = match unit.ir.expr(at.expr) {
        ExprKind::Call(call) => match unit.ir.expr(call.callee) {
            ExprKind::Member { object, property, .. }
                if matches!(unit.ir.text(*property), "slice" | "substring" | "substr") =>
            {
                *object
            }
            _ => return false,
        },
        // `token[:10]`
        ExprKind::Index { object, index, .. } if matches!(unit.ir.expr(*index), ExprKind::Sequence(parts) if parts.len() == 1) => {
            *object
        }
        _ => return false,
    };
    let name = project.last_written(at.to(of)).unwrap_or_default();
    let hashed = vocabulary::words(name)
        .iter()
        .any(|word| matches!(word.as_str(), "hash" | "digest" | "hashed" | "fingerprint"));
    vocabulary::is_credential(name) && !hashed
}
