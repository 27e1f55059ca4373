//! Names, headers and scopes that choose what is called, and pages beside the endpoint.

use std::sync::atomic::Ordering;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{
    App,
    app::Call,
    wire::{Answer, Asked},
};

/// The tenant in a tool's prefix.
pub(crate) fn prefix(message: &Value) -> Option<String> {
    let name = message.pointer("/params/name")?.as_str()?;
    name.rsplit("__").nth(1).map(str::to_owned)
}

/// Whether the header that repeats an argument says what the argument says.
pub(crate) fn repeated(asked: &Asked, params: &Value) -> bool {
    params["name"] != "region_report"
        || asked.header("mcp-param-region") == params.pointer("/arguments/region").and_then(Value::as_str)
}

/// Whether a token grants nothing.
fn low(call: &Call<'_>) -> bool {
    let claims = call
        .asked
        .header("authorization")
        .and_then(|token| URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok())
        .and_then(|claims| serde_json::from_slice::<Value>(&claims).ok())
        .unwrap_or_default();
    claims.get("scope").is_some_and(|scope| scope == "")
}

/// Whether a tool is hidden from the caller.
pub(crate) fn hidden(app: &App, call: &Call<'_>, name: &str) -> bool {
    app.defects.has("with-scopes") && name == "list_notes" && low(call)
}

/// Adds and takes away what only some switches list.
pub(crate) fn listed(app: &App, call: &Call<'_>, tools: &mut Vec<Value>) {
    if app.defects.has("with-regions") {
        tools.push(json!({"name": "region_report", "description": "Reads the report of a region.",
            "annotations": {"readOnlyHint": true}, "inputSchema": {"type": "object", "required": ["region"],
            "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}}));
    }
    tools.retain(|tool| !hidden(app, call, tool["name"].as_str().unwrap_or_default()));
}

/// Pages beside the endpoint: what the server is doing, and an authorization server for clients.
pub(crate) fn page(app: &App, asked: &Asked, message: &Value) -> Option<Answer> {
    match (asked.verb.as_str(), asked.path.as_str()) {
        ("GET", "/metrics") if app.defects.has("sessions-in-metrics") => {
            let sessions: Vec<String> = app.sessions.lock().unwrap().keys().cloned().collect();
            Some(Answer::json(200, &json!({"sessions": sessions})))
        }
        ("POST", "/register") if app.defects.has("with-clients") => {
            let id = format!("client-{}", app.next.fetch_add(1, Ordering::Relaxed));
            let uris = message["redirect_uris"].clone();
            app.cache.lock().unwrap().insert(id.clone(), uris.clone());
            Some(Answer::json(201, &json!({"client_id": id, "redirect_uris": uris})))
        }
        ("GET", "/authorize") if app.defects.has("with-clients") => Some(authorize(app, asked)),
        _ => None,
    }
}

fn authorize(app: &App, asked: &Asked) -> Answer {
    let given: std::collections::BTreeMap<String, String> =
        url::form_urlencoded::parse(asked.query.as_bytes()).into_owned().collect();
    let registered = app.cache.lock().unwrap().get(&given["client_id"]).cloned().unwrap_or_default();
    let right = registered.as_array().is_some_and(|all| all.contains(&json!(given["redirect_uri"])));
    if right && app.defects.has("no-consent") {
        return Answer::empty(302).header("location", &format!("{}?code=c-1", given["redirect_uri"]));
    }
    if !right && app.defects.has("any-callback") {
        return Answer::empty(302).header("location", &format!("{}?error=denied", given["redirect_uri"]));
    }
    // A page that asks for consent, or an error.
    Answer::empty(if right { 200 } else { 400 })
}
