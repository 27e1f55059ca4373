//! Resources in pages, templates, prompts, completions and links.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    App,
    app::Call,
    tools::{all, said, tickets, tool},
    wire::{Answer, Asked},
};

const FAMILY: [&str; 7] = [
    "uri-traversal",
    "uri-userinfo",
    "open-links",
    "cursor-names-tenant",
    "completion-without-filter",
    "prompt-without-filter",
    "names-schemes",
];

/// Whether a method belongs to this family.
pub(super) fn offers(app: &App, method: &str) -> bool {
    app.defects.family(&FAMILY)
        && [
            "resources/list",
            "resources/read",
            "resources/templates/list",
            "prompts/list",
            "prompts/get",
            "completion/complete",
        ]
        .contains(&method)
}

/// The tools of this family.
pub(super) fn list(app: &App) -> Vec<Value> {
    if !app.defects.family(&FAMILY) {
        return Vec::new();
    }
    vec![tool("list_attachments", "Links to files.", json!({}), &[], true)]
}

/// Calls a tool of this family.
pub(super) fn call(
    app: &App,
    call: &Call<'_>,
    tenant: &str,
    name: &str,
) -> Option<Result<Value, (i64, String)>> {
    if name != "list_attachments" || !app.defects.family(&FAMILY) {
        return None;
    }
    // Where the target is reached does not depend on what a caller writes into a header.
    let said_host = json!(call.asked.header("host").unwrap_or_default());
    let host = app.shelf.lock().unwrap().entry("host".to_owned()).or_insert(said_host).clone();
    let url = format!("http://{}/files/{tenant}/report.txt", host.as_str().unwrap());
    Some(Ok(said(&json!({"files": [{"name": "report.txt", "url": url}]}))))
}

/// A file behind a link.
pub(super) fn file(app: &App, tenant: Option<&str>, asked: &Asked) -> Option<Answer> {
    let owner = asked.path.strip_prefix("/files/")?.split('/').next()?;
    let mine = tenant == Some(owner) || app.defects.has("open-links");
    let known = app.defects.family(&FAMILY) && asked.verb == "GET" && mine && !tickets(owner).is_empty();
    if !known {
        return tenant.map(|_| Answer::empty(404));
    }
    Some(Answer::json(200, &json!({"report": format!("Attachment of the company that {owner} is")})))
}

/// Answers a request of this family.
pub(super) fn answer(app: &App, call: &Call<'_>) -> Result<Value, (i64, String)> {
    let tenant = &call.tenant;
    let text = |key: &str| call.params.get(key).and_then(Value::as_str).unwrap_or_default();
    match call.method {
        "resources/list" => page(app, tenant, call.params.get("cursor").and_then(Value::as_str)),
        "resources/templates/list" => Ok(json!({"resourceTemplates": [
            {"name": "note", "uriTemplate": "notes://{tenant}/{id}"}], "ttlMs": 0, "cacheScope": "private"})),
        "resources/read" => read(app, tenant, text("uri")).map_or_else(
            || Err((-32002, not_found(app, text("uri")))),
            |note| {
                Ok(json!({"contents": [{"uri": text("uri"), "text": note}], "ttlMs": 0, "cacheScope": "private"}))
            },
        ),
        "prompts/list" => Ok(json!({"prompts": [
            {"name": "summarise", "arguments": [{"name": "ticket", "required": true}]}], "ttlMs": 0,
            "cacheScope": "private"})),
        "prompts/get" => {
            let id = call.params.pointer("/arguments/ticket").and_then(Value::as_str).unwrap_or_default();
            let rows = if app.defects.has("prompt-without-filter") { all() } else { tickets(tenant) };
            let found = rows.into_iter().find(|(known, _)| known.to_string() == id);
            match found {
                Some((_, title)) => Ok(json!({"messages": [{"role": "user", "content":
                    {"type": "text", "text": format!("Summarise: {title}")}}]})),
                None => Err((-32602, "Invalid params".to_owned())),
            }
        }
        _ => {
            let start = call.params.pointer("/argument/value").and_then(Value::as_str).unwrap_or_default();
            let rows = if app.defects.has("completion-without-filter") { all() } else { tickets(tenant) };
            let values: Vec<&str> = rows
                .into_iter()
                .map(|(_, title)| title)
                .filter(|title| title.to_lowercase().starts_with(&start.to_lowercase()))
                .collect();
            Ok(json!({"completion": {"values": values, "hasMore": false}}))
        }
    }
}

/// Two resources and a cursor, or the third one. The cursor names its owner.
fn page(app: &App, tenant: &str, cursor: Option<&str>) -> Result<Value, (i64, String)> {
    let entry =
        |owner: &str, number: u32| json!({"uri": format!("notes://{owner}/{number}"), "name": "note"});
    let Some(cursor) = cursor else {
        let next = STANDARD.encode(format!("{tenant}:2"));
        return Ok(json!({"resources": [entry(tenant, 1), entry(tenant, 2)], "nextCursor": next, "ttlMs": 0,
            "cacheScope": "private"}));
    };
    let place =
        STANDARD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    match place.split_once(':') {
        Some((owner, "2")) if owner == tenant || app.defects.has("cursor-names-tenant") => {
            Ok(json!({"resources": [entry(owner, 3)], "ttlMs": 0, "cacheScope": "private"}))
        }
        _ => Err((-32602, "Invalid cursor".to_owned())),
    }
}

/// The refusal of what is not there, or not the caller's. Which servers there are may be told to everybody.
fn not_found(app: &App, uri: &str) -> String {
    let known = !app.defects.has("names-schemes") || uri.starts_with("notes://");
    if known { "Resource not found".to_owned() } else { "No template fits".to_owned() }
}

/// What a resource holds: the title of the ticket of its number.
fn read(app: &App, tenant: &str, uri: &str) -> Option<String> {
    let rest = uri.strip_prefix("notes://")?;
    let mut place = rest.to_owned();
    if app.defects.has("uri-traversal") && rest.starts_with(&format!("{tenant}/")) {
        let decoded = rest.replace("%2e", ".").replace("%2f", "/");
        let mut parts: Vec<&str> = Vec::new();
        for part in decoded.split('/') {
            if part == ".." {
                parts.pop();
            } else {
                parts.push(part);
            }
        }
        place = parts.join("/");
    } else if app.defects.has("uri-userinfo")
        && let Some((user, after)) = rest.split_once('@')
        && user == tenant
    {
        place = after.to_owned();
    } else if !rest.starts_with(&format!("{tenant}/")) {
        return None;
    }
    let (owner, number) = place.split_once('/')?;
    let index = number.parse::<usize>().ok()?.checked_sub(1)?;
    tickets(owner).get(index).map(|(_, title)| format!("Note on: {title}"))
}
