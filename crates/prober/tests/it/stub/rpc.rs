//! JSON-RPC: methods and their results.

use serde_json::{Value, json};

use super::{
    App, app::Call, asking, caches, choices, content, disguised, listening, streams, tasks, tools,
    wire::Answer,
};

/// An error that answers a message.
pub(crate) fn error(message: &Value, code: i64, text: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": message.get("id"), "error": {"code": code, "message": text}})
}

/// Answers a POST.
pub(crate) async fn post(app: &App, call: &Call<'_>, message: &Value) -> Answer {
    let Some(id) = message.get("id") else {
        streams::notified(app, call);
        return Answer::empty(202);
    };
    if call.method == "initialize" {
        return initialize(app, call, message);
    }
    if call.method.is_empty() {
        return asking::answered(app, call, message);
    }
    if streams::over(app, call) {
        return Answer::json(429, &error(message, -32000, "Too many calls"));
    }
    if let Some(answer) = listening::answer(app, call, message) {
        return answer;
    }
    if let Some(answer) = asking::in_session(app, call, message) {
        return answer;
    }
    if let Some(answer) = disguised::answer(app, call, id) {
        return answer;
    }
    match value(app, call, id).await {
        Ok(_) if app.defects.has("one-id-for-all") => {
            Answer::json(200, &json!({"jsonrpc": "2.0", "id": "0", "result": {}}))
        }
        Ok(result) => {
            let answer = json!({"jsonrpc": "2.0", "id": id, "result": result});
            listening::heard(app, call, &answer);
            if call.modern || call.method != "tools/call" || call.params.get("task").is_some() {
                Answer::json(200, &answer)
            } else {
                streams::event(app, call, &answer)
            }
        }
        Err((code, text)) => {
            let status = if call.modern && code == -32601 { 404 } else { 200 };
            Answer::json(status, &error(message, code, &text))
        }
    }
}

/// The result of a request.
pub(crate) async fn value(app: &App, call: &Call<'_>, id: &Value) -> Result<Value, (i64, String)> {
    app.seen(call);
    listening::log(app, call);
    let key = id.to_string().replace('"', "");
    let result = match call.method {
        "server/discover" if call.modern && !app.defects.has("wrong-version") => Ok(json!({
            "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
            "serverInfo": {"name": "stub", "version": "1"}, "instructions": caches::instructions(app, &call.tenant),
            "ttlMs": 0, "cacheScope": "private"})),
        "ping" => Ok(json!({})),
        "tools/list" => Ok(tools::list(app, call)),
        "tools/call" if tasks::asked_for(call) => tasks::begin(app, call).await,
        "tools/call" if call.params["name"] == "confirm_report" => asking::call(app, call).await,
        "tools/call" => match tasks::related(app, call) {
            Some(other) => Ok(other),
            None => tools::call(app, call).await,
        },
        "resources/templates/list" if app.defects.has("template-names-rows") => {
            Ok(choices::templates(app, call))
        }
        method if content::offers(app, method) => content::answer(app, call),
        method if method.starts_with("tasks/") => tasks::answer(app, call),
        _ => Err((-32601, "Method not found".to_owned())),
    };
    match streams::by_session(app, call, &key, result).await {
        Ok(result) => streams::delivered(app, call, &key, result).await,
        Err(error) => Err(error),
    }
}

/// Answers several calls in one body.
pub(crate) async fn batch(app: &App, call: &Call<'_>, messages: &Value) -> Answer {
    let mut answers = Vec::new();
    for message in messages.as_array().unwrap() {
        let params = &message["params"];
        let one = Call {
            tenant: call.tenant.clone(),
            asked: call.asked,
            method: "tools/call",
            params,
            modern: false,
        };
        let key = format!("batch {}", message["id"]);
        let known = app.pending.lock().unwrap().get(&key).cloned();
        let result = match known.filter(|_| app.defects.has("batch-by-id")) {
            Some(known) => Ok(known),
            None => tools::call(app, &one).await,
        };
        answers.push(match result {
            Ok(result) => {
                app.pending.lock().unwrap().insert(key, result.clone());
                json!({"jsonrpc": "2.0", "id": message["id"], "result": result})
            }
            Err((code, text)) => error(message, code, &text),
        });
    }
    Answer::json(200, &Value::Array(answers))
}

fn initialize(app: &App, call: &Call<'_>, message: &Value) -> Answer {
    if app.defects.has("wrong-version") && app.defects.has("secret-in-errors") {
        let token = call.asked.header("authorization").unwrap_or_default();
        return Answer::json(200, &error(message, -32602, &format!("Not for {token}")));
    }
    if app.defects.has("wrong-version") {
        return Answer::json(200, &error(message, -32602, "Unsupported protocol version"));
    }
    let result = welcome(app, call, "2025-11-25");
    let session = app.begin(&call.tenant, call.asked);
    if call.params.pointer("/capabilities/elicitation").is_some() {
        app.waiting.can_be_asked(&session);
    }
    let id = if app.defects.has("one-id-for-all") { json!("0") } else { message["id"].clone() };
    Answer::json(200, &json!({"jsonrpc": "2.0", "id": id, "result": result}))
        .header("mcp-session-id", &session)
}

/// The result of `initialize`.
pub(crate) fn welcome(app: &App, call: &Call<'_>, revision: &str) -> Value {
    json!({"protocolVersion": revision, "capabilities": {"tools": {}, "logging": {}, "tasks": {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}},
        "serverInfo": {"name": "stub", "version": "1"}, "instructions": caches::instructions(app, &call.tenant)})
}
