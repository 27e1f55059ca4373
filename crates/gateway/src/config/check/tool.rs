//! `[[tool]]`: what must hold of each tool, and of all of them together.

use std::collections::BTreeSet;

use partywall_model::TenantId;
use serde_json::Value;

use super::{Found, names};
use crate::{
    config::{ArgSpec, ArgType, CachePer, Config, HttpMethod, Issuer, RowsShape, State, ToolConfig},
    tools::http::HttpTool,
};

/// The most rows and characters that a tool may ask for.
const MOST_ROWS: u64 = 100_000;
const MOST_CHARS: usize = 1_000_000;

pub(super) fn check_tools(config: &Config, found: &mut Found) {
    for (i, tool) in config.tools.iter().enumerate() {
        found.at = Some(tool.span().start);
        let tool = tool.get_ref();
        let start = found.problems.len();
        let is_first = config.tools.iter().take(i).all(|other| other.get_ref().name != tool.name);
        found.say_unless(is_first, "name", "is the name of an earlier tool; names are unique");
        check_tool(tool, config, found);
        for problem in found.problems.iter_mut().skip(start) {
            problem.text = format!("tool `{}`: {}", tool.name, problem.text);
        }
    }
    found.at = None;
}

fn check_tool(tool: &ToolConfig, config: &Config, found: &mut Found) {
    found.say_unless(
        names::is_tool_name(&tool.name),
        "name",
        "must have 1 to 64 of the characters A-Z a-z 0-9 _ -",
    );
    if let Some(scope) = &tool.scope {
        found.say_unless(
            names::is_scope(scope),
            "scope",
            "must be one scope: visible ASCII characters without spaces, `\"` and `\\`",
        );
    }
    if let Some(timeout) = tool.timeout {
        found.duration("timeout", timeout);
    }
    check_args(tool, found);
    for tenant in tool.tenants.iter().flatten() {
        let valid = TenantId::parse(tenant).is_ok();
        found.say_unless(valid, "tenants", format!("`{tenant}` is no tenant id; correct it"));
    }
    let sql = tool.source.is_some() || tool.sql.is_some();
    if tool.native.is_some() {
        return check_native(tool, found);
    }
    match (sql, &tool.http) {
        (true, Some(_)) => {
            found.say("http", "a tool has either `source` and `sql`, or `http`; keep one of them")
        }
        (false, None) => found.say("sql", "is missing; write `source` and `sql`, or `http`, or `native`"),
        (true, None) => check_sql(tool, config, found),
        (false, Some(_)) => check_http_tool(tool, config, found),
    }
    check_cache(tool, config, found);
}

/// A native tool brings its own arguments and answers by itself.
fn check_native(tool: &ToolConfig, found: &mut Found) {
    let others = [
        ("sql", tool.sql.is_some()),
        ("source", tool.source.is_some()),
        ("writes", tool.writes),
        ("rows", tool.rows != RowsShape::Many),
        ("max_rows", tool.max_rows.is_some()),
        ("http", tool.http.is_some()),
        ("auth", tool.auth.is_some()),
        ("owner", tool.owner.is_some()),
        ("cache", tool.cache.is_some()),
        ("args", !tool.args.is_empty()),
    ];
    for (key, given) in others {
        found.say_unless(!given, key, "is not for native tools; remove it, or remove `native`");
    }
}

fn check_sql(tool: &ToolConfig, config: &Config, found: &mut Found) {
    match &tool.source {
        Some(source) => found.say_unless(
            config.data.contains_key(source),
            "source",
            format!("`{source}` names no database; add `[data.{source}]` or correct the name"),
        ),
        None => found.say("source", "is missing; name the `[data.NAME]` that the statement runs on"),
    }
    match &tool.sql {
        Some(sql) => found.say_unless(!sql.trim().is_empty(), "sql", "must be one statement"),
        None => found.say("sql", "is missing; write one statement with named parameters"),
    }
    if let Some(rows) = tool.max_rows {
        found.number("max_rows", rows, 1, MOST_ROWS);
    }
    found.say_unless(tool.auth.is_none(), "auth", "is for HTTP tools; remove it");
    found.say_unless(tool.owner.is_none(), "owner", "is for HTTP tools; remove it");
}

fn check_http_tool(tool: &ToolConfig, config: &Config, found: &mut Found) {
    found.say_unless(!tool.writes, "writes", "is for SQL tools; remove it");
    found.say_unless(tool.rows == RowsShape::Many, "rows", "is for SQL tools; remove it");
    found.say_unless(tool.max_rows.is_none(), "max_rows", "is for SQL tools; remove it");
    if let Err(error) = HttpTool::compile(tool, &config.http) {
        found.problems.push(super::Problem { at: found.at, text: error.to_string() });
    }
    // A subject is somebody at one issuer; a reply says nothing of issuers.
    if tool.owner.as_ref().is_some_and(|owner| owner.equals == "subject")
        && let Some((one, other)) = of_one_tenant(&config.identity.issuers)
    {
        found.say(
            "owner.equals",
            format!(
                "is \"subject\", and `{}` and `{}` may both name callers of one tenant, so that two callers are the \
                 same subject; write \"tenant\" or \"secret:NAME\", or give each issuer tenants of its own with \
                 `tenant` or `tenant_map`",
                one.issuer, other.issuer
            ),
        );
    }
}

/// Two issuers whose tokens may be of the same tenant.
pub(super) fn of_one_tenant(issuers: &[Issuer]) -> Option<(&Issuer, &Issuer)> {
    // `None` is every tenant.
    let tenants = |issuer: &Issuer| -> Option<BTreeSet<String>> {
        match (&issuer.tenant, &issuer.tenant_map) {
            (Some(tenant), _) => Some(BTreeSet::from([tenant.clone()])),
            (None, Some(map)) => Some(map.values().cloned().collect()),
            (None, None) => None,
        }
    };
    let meet = |one: &Issuer, other: &Issuer| match (tenants(one), tenants(other)) {
        (Some(one), Some(other)) => !one.is_disjoint(&other),
        (Some(some), None) | (None, Some(some)) => !some.is_empty(),
        (None, None) => true,
    };
    let mut pairs = issuers
        .iter()
        .enumerate()
        .flat_map(|(at, one)| issuers.iter().skip(at + 1).map(move |other| (one, other)));
    pairs.find(|(one, other)| meet(one, other))
}

fn check_cache(tool: &ToolConfig, config: &Config, found: &mut Found) {
    let Some(cache) = &tool.cache else { return };
    found.duration("cache.ttl", cache.ttl);
    if let Some(size) = cache.max_bytes {
        found.number("cache.max_bytes", size.0, 1, 1 << 30);
    }
    let reads = tool.http.as_ref().map_or(!tool.writes, |http| http.method == HttpMethod::Get);
    found.say_unless(reads, "cache", "a tool that changes something cannot be cached; remove it");
    // A reply that was checked to be one caller's must not be found by the next.
    let by_subject = tool.owner.as_ref().is_some_and(|owner| owner.equals == "subject");
    found.say_unless(
        !by_subject || cache.per == CachePer::Subject,
        "cache.per",
        "must be \"subject\", since `owner.equals` is \"subject\"",
    );
    if cache.shared {
        found.say_unless(
            config.shared.is_some(),
            "cache.shared",
            "needs the table `[shared]`, which says where; add it, or remove the key",
        );
        // With registries of their own, two processes could give two tenants the same id and life.
        found.say_unless(
            config.server.state == State::Postgres || config.server.master_key.is_none(),
            "cache.shared",
            "needs tenants that all processes agree about; write `server.state = \"postgres\"`, or remove \
             `server.master_key`, so that only processes with this data folder share",
        );
    }
}

fn check_args(tool: &ToolConfig, found: &mut Found) {
    let mut headers: Vec<String> = Vec::new();
    for (name, spec) in &tool.args {
        let key = format!("args.{name}");
        found.say_unless(
            names::is_arg_name(name),
            &key,
            "an argument's name has 1 to 64 of the characters A-Z a-z 0-9 _ and starts with no digit",
        );
        found.say_unless(!names::names_tenant(name), &key, names::NAMES_TENANT);
        check_bounds(spec, &key, found);
        check_values(spec, &key, found);
        let Some(header) = &spec.header else { continue };
        let key = format!("{key}.header");
        found.say_unless(
            names::is_header_token(header),
            &key,
            format!("`{header}` cannot be part of a header's name; write letters, digits and dashes"),
        );
        found.say_unless(!names::names_tenant(header), &key, names::NAMES_TENANT);
        found.say_unless(
            spec.kind != ArgType::Number,
            &key,
            "a `number` has no exact spelling for a header; use `integer` or `string`, or remove it",
        );
        let folded = header.to_ascii_lowercase();
        found.say_unless(
            !headers.contains(&folded),
            &key,
            format!("`{header}` is the header of another argument; headers are unique"),
        );
        headers.push(folded);
    }
}

fn check_bounds(spec: &ArgSpec, key: &str, found: &mut Found) {
    let numeric = matches!(spec.kind, ArgType::Integer | ArgType::Number);
    for (name, bound) in [("minimum", spec.minimum), ("maximum", spec.maximum)] {
        let Some(bound) = bound else { continue };
        let key = format!("{key}.{name}");
        found.say_unless(numeric, &key, "is for `integer` and `number`; remove it");
        found.say_unless(bound.is_finite(), &key, "must be a finite number");
    }
    if let (Some(least), Some(most)) = (spec.minimum, spec.maximum) {
        found.say_unless(least <= most, &format!("{key}.minimum"), "is above `maximum`");
    }
    for (name, bound) in [("min_length", spec.min_length), ("max_length", spec.max_length)] {
        let Some(bound) = bound else { continue };
        let key = format!("{key}.{name}");
        found.say_unless(spec.kind == ArgType::String, &key, "is for `string`; remove it");
        found.say_unless(bound <= MOST_CHARS, &key, format!("must be at most {MOST_CHARS}"));
    }
    let most = spec.max_length.unwrap_or(DEFAULT_CHARS);
    found.say_unless(
        spec.min_length.is_none_or(|least| least <= most),
        &format!("{key}.min_length"),
        format!("is above `max_length`, which is {most}"),
    );
}

/// The `max_length` of an argument that says nothing else.
const DEFAULT_CHARS: usize = 10_000;

fn check_values(spec: &ArgSpec, key: &str, found: &mut Found) {
    if let Some(allowed) = &spec.allowed {
        let key = format!("{key}.enum");
        found.say_unless(!allowed.is_empty(), &key, "must have at least one value");
        for value in allowed {
            if let Some(problem) = misfit(value, spec) {
                found.say(&key, format!("{value} {problem}"));
            }
        }
    }
    if let Some(default) = &spec.default {
        let key = format!("{key}.default");
        if let Some(problem) = misfit(default, spec) {
            found.say(&key, format!("{default} {problem}"));
        }
        let listed = spec.allowed.as_ref().is_none_or(|allowed| allowed.contains(default));
        found.say_unless(listed, &key, format!("{default} is not among the values of `enum`"));
    }
}

/// Why a value cannot be one of the argument, if so.
fn misfit(value: &Value, spec: &ArgSpec) -> Option<&'static str> {
    let fits = match spec.kind {
        ArgType::String => value.is_string(),
        ArgType::Integer => value.is_i64() || value.is_u64(),
        ArgType::Number => value.is_number(),
        ArgType::Boolean => value.is_boolean(),
    };
    if !fits {
        return Some("is not of the argument's `type`");
    }
    if let Some(number) = value.as_f64() {
        if spec.minimum.is_some_and(|least| number < least) {
            return Some("is below `minimum`");
        }
        if spec.maximum.is_some_and(|most| number > most) {
            return Some("is above `maximum`");
        }
    }
    if let Some(text) = value.as_str() {
        let length = text.chars().count();
        if spec.min_length.is_some_and(|least| length < least) {
            return Some("is shorter than `min_length`");
        }
        if length > spec.max_length.unwrap_or(DEFAULT_CHARS) {
            return Some("is longer than `max_length`");
        }
    }
    None
}
