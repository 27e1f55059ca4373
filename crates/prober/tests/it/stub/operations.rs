//! What operators see: pages, logs, totals, a registry of tools, trace context, and how long an answer takes.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    App,
    app::Call,
    tools::{self, all, failed, said, tickets, tool},
};

const FAMILY: [&str; 11] = [
    "shared-remaining",
    "open-metrics",
    "tenant-baggage",
    "log-of-all",
    "log-lines",
    "log-denied-to-all",
    "usage-of-all",
    "registry-by-list",
    "one-registry",
    "meta-tool-reaches-all",
    "slow-foreign",
];

/// A page for operators.
pub(super) fn page(app: &App, path: &str) -> Option<Value> {
    let open = path == "/metrics" && app.defects.has("open-metrics");
    open.then(|| json!("calls{tenant=\"acme\"} 7\ncalls{tenant=\"globex\"} 9\n"))
}

/// The tenant that baggage names.
pub(super) fn in_baggage(baggage: &str) -> Option<String> {
    let name = baggage.split(',').find_map(|pair| pair.strip_prefix("tenant="))?;
    ["acme", "globex"].contains(&name).then(|| name.to_owned())
}

/// The tools of this family.
pub(super) fn list(app: &App, call: &Call<'_>) -> Vec<Value> {
    if !app.defects.family(&FAMILY) {
        return Vec::new();
    }
    app.shelf.lock().unwrap().insert("lister".to_owned(), json!(call.tenant));
    vec![
        tool("recent_log", "The tenant's log.", json!({}), &[], true),
        tool("usage", "Calls so far.", json!({}), &[], true),
        tool(
            "register_tool",
            "Adds a tool.",
            json!({"name": {"type": "string"}, "description": {"type": "string"}}),
            &["name", "description"],
            false,
        ),
        tool(
            "call_tool",
            "Calls another tool.",
            json!({"name": {"type": "string"}, "arguments": {"type": "object"}}),
            &["name"],
            true,
        ),
    ]
}

/// The tools that were added; they come last.
pub(super) fn added(app: &App, tenant: &str) -> Vec<Value> {
    let one = app.defects.has("one-registry");
    let shelf = app.shelf.lock().unwrap();
    let added = shelf.iter().filter_map(|(key, about)| {
        let (owner, name) = key.strip_prefix("added ")?.split_once(' ')?;
        (one || owner == tenant).then(|| tool(name, about.as_str().unwrap(), json!({}), &[], false))
    });
    added.take(8).collect()
}

/// Writes a call into the log and counts it.
pub(super) fn logged(app: &App, tenant: &str, call: &Call<'_>) {
    let name = call.params.get("name").and_then(Value::as_str).unwrap_or_default();
    let note = call.params.pointer("/arguments/note").and_then(Value::as_str).unwrap_or_default();
    let raw = app.defects.has("log-lines");
    let line = if raw { format!("tool={name} note={note}") } else { format!("tool={name:?} note={note:?}") };
    let mut log = app.log.lock().unwrap();
    log.push((tenant.to_owned(), line));
    let over = log.len().saturating_sub(400);
    log.drain(..over);
    drop(log);
    let payer = if app.defects.has("usage-of-all") { "everybody" } else { tenant };
    let mut shelf = app.shelf.lock().unwrap();
    let calls = shelf.entry(format!("calls {payer}")).or_insert(json!(0));
    *calls = json!(calls.as_u64().unwrap() + 1);
}

fn log(app: &App, tenant: &str) -> Vec<String> {
    let log = app.log.lock().unwrap();
    if app.defects.has("log-lines") {
        // One text for all, searched for lines that begin with the tenant.
        let text: String = log.iter().map(|(owner, line)| format!("tenant={owner} {line}\n")).collect();
        let start = format!("tenant={tenant} ");
        return text.lines().filter(|line| line.starts_with(&start)).map(str::to_owned).collect();
    }
    let all = app.defects.has("log-of-all");
    let denied = |line: &str| app.defects.has("log-denied-to-all") && line.contains("tool=\"cnry-");
    // The newest first, as logs are shown.
    log.iter()
        .rev()
        .filter(|(owner, line)| all || owner == tenant || denied(line))
        .map(|(owner, line)| format!("tenant={owner} {line}"))
        .collect()
}

/// What is left of a quota, for a header.
pub(super) fn remaining(app: &App, tenant: &str) -> Option<String> {
    let payer = if app.defects.has("shared-remaining") { "everybody" } else { tenant };
    let shelf = app.shelf.lock().unwrap();
    let all: u64 = shelf
        .iter()
        .filter(|(key, _)| {
            key.strip_prefix("calls ").is_some_and(|known| known == payer || payer == "everybody")
        })
        .filter_map(|(_, calls)| calls.as_u64())
        .sum();
    app.defects.family(&FAMILY).then(|| 1_000_000_u64.saturating_sub(all).to_string())
}

/// Calls a tool of this family.
pub(super) async fn call(
    app: &App,
    call: &Call<'_>,
    tenant: &str,
    (name, arguments): (&str, &Value),
) -> Option<Result<Value, (i64, String)>> {
    if !app.defects.family(&FAMILY) {
        return None;
    }
    let text = |key: &str| arguments.get(key).and_then(Value::as_str).unwrap_or_default();
    match name {
        "recent_log" => Some(Ok(said(&json!({"lines": log(app, tenant)})))),
        "usage" => {
            let payer = if app.defects.has("usage-of-all") { "everybody" } else { tenant };
            let calls = app.shelf.lock().unwrap().get(&format!("calls {payer}")).cloned();
            Some(Ok(said(&json!({"calls": calls}))))
        }
        "register_tool" => {
            let key = format!("added {tenant} {}", text("name"));
            app.shelf.lock().unwrap().insert(key, json!(text("description")));
            Some(Ok(said(&json!({"added": true}))))
        }
        "call_tool" => {
            let inner = text("name");
            if inner.ends_with("_report") && app.defects.has("meta-tool-reaches-all") {
                let owner = inner.trim_end_matches("_report");
                return Some(Ok(said(&json!({"report": format!("Figures of {owner} Inc")}))));
            }
            if inner == "call_tool" {
                return Some(Ok(failed("not itself")));
            }
            let params = json!({"name": inner, "arguments": arguments.get("arguments").cloned()});
            let inside = Call {
                tenant: tenant.to_owned(),
                asked: call.asked,
                method: call.method,
                params: &params,
                modern: call.modern,
            };
            Some(Box::pin(tools::call(app, &inside)).await)
        }
        _ => None,
    }
}

/// The tenant that listed last, where what can be called is made when it is listed.
pub(super) fn listed(app: &App) -> Option<String> {
    let by_list = app.defects.has("registry-by-list") && app.attacked();
    by_list.then(|| app.shelf.lock().unwrap()["lister"].as_str().unwrap().to_owned())
}

/// Finding a ticket first and comparing its owner afterwards takes longer.
pub(super) async fn delay(app: &App, tenant: &str, id: u64) {
    let theirs =
        all().iter().any(|(known, _)| *known == id) && !tickets(tenant).iter().any(|(known, _)| *known == id);
    if app.defects.has("slow-foreign") && theirs {
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
}
