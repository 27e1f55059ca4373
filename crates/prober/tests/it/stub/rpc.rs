//! JSON-RPC: methods and their results.

use serde_json::{Value, json};

use super::{App, app::Call, tools, wire::Answer};

/// An error that answers a message.
pub(crate) fn error(message: &Value, code: i64, text: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": message.get("id"), "error": {"code": code, "message": text}})
}

/// Answers a POST.
pub(crate) async fn post(app: &App, call: &Call<'_>, message: &Value) -> Answer {
    if message.get("id").is_none() {
        return Answer::empty(202);
    }
    app.seen(call);
    let result = match call.method {
        "initialize" => return initialize(app, call, message),
        "server/discover" if call.modern && !app.defects.has("wrong-version") => Ok(json!({
            "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
            "serverInfo": {"name": "stub", "version": "1"}, "ttlMs": 0, "cacheScope": "private"})),
        "ping" => Ok(json!({})),
        "tools/list" => Ok(tools::list(app, call)),
        "tools/call" => tools::call(app, call).await,
        _ => Err((-32601, "Method not found".to_owned())),
    };
    match result {
        Ok(result) => {
            Answer::json(200, &json!({"jsonrpc": "2.0", "id": message.get("id"), "result": result}))
        }
        Err((code, text)) => {
            let status = if call.modern && code == -32601 { 404 } else { 200 };
            Answer::json(status, &error(message, code, &text))
        }
    }
}

fn initialize(app: &App, call: &Call<'_>, message: &Value) -> Answer {
    if app.defects.has("wrong-version") {
        return Answer::json(200, &error(message, -32602, "Unsupported protocol version"));
    }
    let result = json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
        "serverInfo": {"name": "stub", "version": "1"}});
    Answer::json(200, &json!({"jsonrpc": "2.0", "id": message.get("id"), "result": result}))
        .header("mcp-session-id", &app.begin(&call.tenant))
}
