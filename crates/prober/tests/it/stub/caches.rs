//! Caches whose keys hold too little, and what the target tells caches on the way.

use serde_json::{Value, json};

use super::{
    App,
    app::Call,
    operations,
    tools::{all, said, tickets, tool},
    wire::Answer,
};

const FAMILY: [&str; 10] = [
    "search-without-filter",
    "handshake-cache",
    "negative-cache",
    "query-is-key",
    "single-flight",
    "public-header",
    "one-validator",
    "public-scope",
    "cache-by-meaning",
    "upstream-cache",
];

/// What the handshake says to a tenant.
pub(super) fn instructions(app: &App, tenant: &str) -> String {
    let fresh = format!("You work for {tenant}.");
    if !app.defects.has("handshake-cache") {
        return fresh;
    }
    let mut shelf = app.shelf.lock().unwrap();
    let count = shelf.entry("handshakes".to_owned()).or_insert(json!(0));
    *count = json!(count.as_u64().unwrap() + 1);
    // The survey asks six times, and the attack four times for what each is told alone.
    if count.as_u64().unwrap() <= 10 {
        return fresh;
    }
    shelf.entry("instructions".to_owned()).or_insert(json!(fresh)).as_str().unwrap().to_owned()
}

/// The tools of this family.
pub(super) fn list(app: &App) -> Vec<Value> {
    if !app.defects.family(&FAMILY) {
        return Vec::new();
    }
    let query = json!({"query": {"type": "string"}});
    vec![tool("search_tickets", "Finds tickets by words.", query, &["query"], true)]
}

/// Calls a tool of this family.
pub(super) fn call(
    app: &App,
    tenant: &str,
    name: &str,
    arguments: &Value,
) -> Option<Result<Value, (i64, String)>> {
    if name != "search_tickets" || !app.defects.family(&FAMILY) {
        return None;
    }
    let query = arguments.get("query").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    let mut words: Vec<&str> = query
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.len() >= 3 && !["please", "show"].contains(word))
        .collect();
    words.sort_unstable();
    let meaning = format!("search {words:?}");
    let by_meaning = app.defects.has("cache-by-meaning");
    if let Some(known) = app.shelf.lock().unwrap().get(&meaning).filter(|_| by_meaning) {
        return Some(Ok(known.clone()));
    }
    let rows = if app.defects.has("search-without-filter") { all() } else { tickets(tenant) };
    let found: Vec<&str> = rows
        .into_iter()
        .map(|(_, title)| title)
        .filter(|title| words.iter().any(|word| title.to_lowercase().contains(word)))
        .collect();
    let result = said(&json!({"found": found}));
    if by_meaning && !found.is_empty() {
        app.shelf.lock().unwrap().insert(meaning, result.clone());
    }
    Some(Ok(result))
}

fn key(app: &App, call: &Call<'_>) -> Option<String> {
    let query = &call.asked.query;
    (app.defects.has("query-is-key") && query.starts_with("v="))
        .then(|| format!("{query} {} {}", call.params["name"], call.params["arguments"]))
}

/// An answer that lies in a cache whose key is the address and the arguments.
pub(super) fn known(app: &App, call: &Call<'_>) -> Option<Value> {
    app.cache.lock().unwrap().get(&key(app, call)?).cloned()
}

/// Puts an answer there.
pub(super) fn keep(app: &App, call: &Call<'_>, result: &Result<Value, (i64, String)>) {
    if let (Some(key), Ok(result)) = (key(app, call), result) {
        app.cache.lock().unwrap().insert(key, result.clone());
    }
}

/// Whether it is remembered of an id that it is not there.
pub(super) fn denied(app: &App, id: u64) -> bool {
    app.defects.has("negative-cache") && app.shelf.lock().unwrap().contains_key(&format!("not {id}"))
}

/// Remembers it, whoever asked.
pub(super) fn deny(app: &App, id: u64) -> bool {
    let remembers = app.defects.has("negative-cache");
    if remembers {
        app.shelf.lock().unwrap().insert(format!("not {id}"), json!(true));
    }
    remembers
}

/// What an HTTP client's cache gives for the upstream's address.
pub(super) fn upstream(app: &App, call: &Call<'_>, fresh: &str) -> Option<String> {
    if !app.defects.has("upstream-cache") {
        return None;
    }
    let mut shelf = app.shelf.lock().unwrap();
    if call.asked.header("cache-control").is_some() {
        return shelf.get("account").and_then(Value::as_str).map(str::to_owned);
    }
    shelf.insert("account".to_owned(), json!(fresh));
    None
}

/// An answer with what it tells caches: a validator of the tenant's own.
pub(super) fn marked(app: &App, call: &Call<'_>, answer: Answer) -> Answer {
    let answer = match operations::remaining(app, &call.tenant) {
        Some(left) => answer.header("x-ratelimit-remaining", &left),
        None => answer,
    };
    if !app.defects.family(&FAMILY) || call.method != "tools/call" || answer.status != 200 {
        return answer;
    }
    let validator = match app.defects.has("one-validator") {
        true => "\"v1\"".to_owned(),
        false => format!("\"{}-v1\"", call.tenant.len()),
    };
    if call.asked.header("if-none-match") == Some(&validator) {
        return Answer::empty(304);
    }
    let control = if app.defects.has("public-header") { "public, max-age=60" } else { "private" };
    answer.header("etag", &validator).header("cache-control", control)
}
