//! The tools, over tickets of two tenants.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::{Value, json};

use super::{
    App, app::Call, caches, choices, content, disguised, lasting, naming, operations, rows, shares, sql,
    surveyed,
};

/// A tenant's tickets: the first two ids are the same for both.
pub(super) fn tickets(tenant: &str) -> Vec<(u64, &'static str)> {
    match tenant {
        "acme" => vec![
            (1, "Printer on fire"),
            (2, "Lost badge of Alice Ackermann"),
            (40, "Acme payroll export fails"),
        ],
        "globex" => {
            vec![(1, "Reactor leak"), (2, "New sign for Globex Plaza"), (41, "Globex merger rumours")]
        }
        _ => Vec::new(),
    }
}

pub(super) fn all() -> Vec<(u64, &'static str)> {
    let mut all = tickets("acme");
    all.extend(tickets("globex"));
    all
}

pub(super) fn tool(
    name: &str,
    description: &str,
    properties: Value,
    required: &[&str],
    reads: bool,
) -> Value {
    json!({"name": name, "description": description, "annotations": {"readOnlyHint": reads},
        "inputSchema": {"type": "object", "properties": properties, "required": required}})
}

/// The list of tools; each tenant has one of its own.
pub(crate) fn list(app: &App, call: &Call<'_>) -> Value {
    let key = "tools/list".to_owned();
    let caches = app.defects.has("list-cache") && app.listed.fetch_add(1, Ordering::Relaxed) >= 2;
    if caches && let Some(known) = app.cache.lock().unwrap().get(&key) {
        return known.clone();
    }
    let mut tools = vec![
        tool("whoami", "The caller's tenant.", json!({}), &[], true),
        tool(
            "list_tickets",
            "The newest tickets.",
            json!({"limit": {"type": "integer", "maximum": 50}}),
            &[],
            true,
        ),
        tool("get_ticket", "One ticket.", json!({"id": {"type": "integer"}}), &["id"], true),
        tool("list_notes", "Notes on tickets.", json!({}), &[], true),
        tool("add_note", "Adds a note.", json!({"text": {"type": "string"}}), &["text"], false),
    ];
    if app.defects.has("a-tool-hangs") {
        let topics = json!({"topic_id": {"type": "string"}});
        tools.push(tool("get_forecast", "The forecast.", topics, &[], true));
    }
    tools.push(tool("get_account", "The account at the upstream.", json!({}), &[], true));
    tools.push(tool(
        "create_project",
        "Creates a project.",
        json!({"name": {"type": "string"}}),
        &["name"],
        false,
    ));
    tools.push(tool(
        "confirm_report",
        "Reads a report after asking the user.",
        json!({"period": {"type": "string"}}),
        &["period"],
        true,
    ));
    let other = if call.tenant == "acme" { "globex" } else { "acme" };
    let about =
        if app.defects.has("list-names-tenants") { format!(" Also used by {other}.") } else { String::new() };
    let about = format!("Returns the tenant's own report.{about}");
    let period = if app.defects.has("schema-names-tenants") {
        json!({"of": {"type": "string", "enum": ["acme", "globex"]}})
    } else {
        json!({})
    };
    tools.extend(operations::list(app, call));
    tools.extend(caches::list(app));
    tools.extend(lasting::list(app));
    tools.extend(content::list(app));
    tools.extend(disguised::list(app));
    tools.extend(rows::list(app));
    tools.extend(sql::list(app));
    tools.extend(shares::list(app));
    tools.extend(choices::list(app));
    tools.extend(surveyed::list(app));
    tools.push(tool(&format!("{}_report", call.tenant), &about, period, &[], true));
    tools.extend(operations::added(app, &call.tenant));
    naming::listed(app, call, &mut tools);
    let scope = if app.defects.has("public-scope") { "public" } else { "private" };
    let list = json!({"tools": tools, "ttlMs": 0, "cacheScope": scope});
    if caches {
        app.cache.lock().unwrap().insert(key, list.clone());
    }
    list
}

pub(super) fn said(value: &Value) -> Value {
    json!({"content": [{"type": "text", "text": value.to_string()}], "isError": false})
}

pub(super) fn failed(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}], "isError": true})
}

/// Calls a tool.
pub(crate) async fn call(app: &App, call: &Call<'_>) -> Result<Value, (i64, String)> {
    let name = call.params.get("name").and_then(Value::as_str).unwrap_or_default();
    let arguments = call.params.get("arguments").cloned().unwrap_or_default();
    if name == "get_forecast" {
        std::future::pending::<()>().await;
    }
    if app.defects.has("stalls-once") {
        stalled(app).await;
    }
    let tenant = remembered(app, call).await;
    if naming::hidden(app, call, name) && !app.defects.has("scope-on-lists-only") {
        return Err((-32602, format!("Unknown tool: {name}")));
    }
    let name = if app.defects.has("prefix-is-tenant") { name.rsplit("__").next().unwrap() } else { name };
    operations::logged(app, &tenant, call);
    if app.defects.has("reads-nothing") && tenant == "globex" {
        return Ok(failed("come back later"));
    }
    if let Some(known) = caches::known(app, call).or_else(|| surveyed::kept(app, call)) {
        return Ok(known);
    }
    let switches = ["one-pool", "pool-per-tenant"];
    let Ok(place) = shares::take(app, &tenant, switches, 6) else {
        return Ok(failed("no connection is free"));
    };
    let result = answer(app, call, (name, &arguments), tenant).await;
    shares::give(app, place);
    lasting::after(app, call, &result);
    caches::keep(app, call, &result);
    surveyed::after(app, call, result)
}

/// What a tool of one of the families answers.
async fn of_a_family(
    app: &App,
    call: &Call<'_>,
    (name, arguments): (&str, &Value),
    tenant: &str,
) -> Option<Result<Value, (i64, String)>> {
    let plain = choices::call(app, tenant, name, arguments)
        .map(Ok)
        .or_else(|| caches::call(app, tenant, name, arguments))
        .or_else(|| lasting::call(app, tenant, name, arguments))
        .or_else(|| content::call(app, call, tenant, name))
        .or_else(|| rows::call(app, tenant, name, arguments))
        .or_else(|| surveyed::call(app, tenant, name, arguments))
        .or_else(|| disguised::call(app, tenant, name))
        .or_else(|| sql::call(app, tenant, name, arguments));
    if plain.is_some() {
        return plain;
    }
    match shares::call(app, call, tenant, (name, arguments)).await {
        Some(result) => Some(result),
        None => operations::call(app, call, tenant, (name, arguments)).await,
    }
}

async fn answer(
    app: &App,
    call: &Call<'_>,
    (name, arguments): (&str, &Value),
    tenant: String,
) -> Result<Value, (i64, String)> {
    if let Some(result) = of_a_family(app, call, (name, arguments), &tenant).await {
        return result;
    }
    match name {
        "region_report" if app.defects.has("with-regions") => {
            Ok(said(&json!({"region": arguments["region"], "of": tenant})))
        }
        "whoami" => Ok(said(&json!({"tenant": tenant}))),
        "list_tickets" => {
            if let Some(rows) = sql::shadowed(app) {
                return Ok(said(&json!({"tickets": rows})));
            }
            let rows = if app.defects.has("list-without-filter") { all() } else { tickets(&tenant) };
            let rows: Vec<Value> = rows.iter().map(|(id, title)| json!({"id": id, "title": title})).collect();
            Ok(said(&json!({"tickets": rows})))
        }
        "get_ticket" => {
            let id = arguments.get("id").and_then(Value::as_u64).unwrap_or(0);
            if let Some(rows) = of_any_id(app, arguments) {
                return Ok(rows);
            }
            operations::delay(app, &tenant, id).await;
            Ok(ticket(app, &tenant, id))
        }
        "list_notes" => Ok(notes(app, &tenant)),
        "add_note" => {
            let text = arguments.get("text").and_then(Value::as_str).unwrap_or_default().to_owned();
            let text =
                if app.defects.has("keeps-all-that-it-is-given") { arguments.to_string() } else { text };
            let owner = rows::owner(app, &tenant, arguments);
            app.notes.lock().unwrap().entry(owner).or_default().push(text);
            Ok(said(&json!({"added": true})))
        }
        "get_account" => {
            let fresh = format!("fp-{tenant}-77");
            if let Some(kept) = shares::warm(app, &tenant).or_else(|| caches::upstream(app, call, &fresh)) {
                return Ok(said(&json!({"fingerprint": kept})));
            }
            let owner = if app.defects.has("shared-key") { "operator" } else { &tenant };
            Ok(said(&json!({"fingerprint": format!("fp-{owner}-77")})))
        }
        "create_project" => {
            let name = arguments.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            let owner = if app.defects.has("global-unique") { String::new() } else { tenant };
            let fresh = app.names.lock().unwrap().insert((owner, name));
            if fresh { Ok(said(&json!({"created": true}))) } else { Ok(failed("that name is taken")) }
        }
        "acme_report" | "globex_report" if app.defects.has("unlisted-callable") => {
            Ok(said(&json!({"report": format!("Figures of {} Inc", name.trim_end_matches("_report"))})))
        }
        name if name == format!("{tenant}_report") => {
            Ok(said(&json!({"report": format!("Figures of {tenant} Inc")})))
        }
        _ if app.defects.has("secret-in-errors") => {
            let token = call.asked.header("authorization").unwrap_or_default();
            Err((-32602, format!("Unknown tool: {name} (asked with {token})")))
        }
        _ => Err((-32602, format!("Unknown tool: {name}"))),
    }
}

/// A tenant's notes.
fn notes(app: &App, tenant: &str) -> Value {
    let notes = app.notes.lock().unwrap();
    let shared = app.defects.has("list-without-filter");
    let shown: Vec<&String> =
        notes.iter().filter(|(owner, _)| shared || **owner == tenant).flat_map(|(_, notes)| notes).collect();
    let mut answer = json!({"notes": shown});
    if app.defects.has("says-how-many") {
        answer["count"] = json!(shown.len());
    }
    if app.defects.has("says-the-time") {
        answer["at"] = json!(clock(tenant));
    }
    said(&answer)
}

/// Stands still once, when many call at once, for longer than anybody waits.
async fn stalled(app: &App) {
    let waiting = app.crowd.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(4)).await;
    if waiting > 4 {
        app.still.get_or_init(std::time::Instant::now);
    }
    if let Some(since) = app.still.get() {
        tokio::time::sleep(Duration::from_millis(5_400).saturating_sub(since.elapsed())).await;
    }
    app.crowd.fetch_sub(1, Ordering::Relaxed);
}

/// The time of day at a tenant's place.
fn clock(tenant: &str) -> String {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let hour = (now / 3600 + u64::from(tenant == "acme")) % 12 + 1;
    format!("Read at {hour}:{:02}:{:02}", now / 60 % 60, now % 60)
}

/// Everybody's tickets, where a request without an id is one for all of them.
fn of_any_id(app: &App, arguments: &Value) -> Option<Value> {
    let odd = arguments.get("id").is_none_or(|id| id.as_str() == Some("*"));
    let rows = || all().iter().map(|(id, title)| json!({"id": id, "title": title})).collect::<Vec<_>>();
    (odd && app.defects.has("no-id-is-every-id")).then(|| said(&json!({"tickets": rows()})))
}

/// The tenant as the handler knows it after some work: from the call, or from a variable that all calls share.
async fn remembered(app: &App, call: &Call<'_>) -> String {
    if let Some(tenant) = lasting::kept(app, call).or_else(|| operations::listed(app)) {
        return tenant;
    }
    if !app.defects.has("module-state") {
        return call.tenant.clone();
    }
    app.current.lock().unwrap().clone_from(&call.tenant);
    // Some work during which other calls run.
    tokio::time::sleep(Duration::from_millis(2)).await;
    app.current.lock().unwrap().clone()
}

fn ticket(app: &App, tenant: &str, id: u64) -> Value {
    let key = format!("ticket:{id}");
    if caches::denied(app, id) {
        return failed(&format!("no ticket {id}"));
    }
    if app.defects.has("cache-by-id")
        && let Some(known) = app.cache.lock().unwrap().get(&key)
    {
        return known.clone();
    }
    let mine = tickets(tenant).into_iter().find(|(known, _)| *known == id);
    let found = mine.or_else(|| {
        all().into_iter().find(|(known, _)| *known == id && app.defects.has("get-without-filter"))
    });
    match found {
        Some((id, title)) => {
            let answer = said(&json!({"id": id, "title": title}));
            if app.defects.has("cache-by-id") {
                app.cache.lock().unwrap().insert(key, answer.clone());
            }
            answer
        }
        None if caches::deny(app, id) => failed(&format!("no ticket {id}")),
        None if app.defects.has("not-yours") && all().iter().any(|(known, _)| *known == id) => {
            failed(&format!("ticket {id} is not yours"))
        }
        None => failed(&format!("no ticket {id}")),
    }
}
