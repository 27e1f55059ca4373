//! Tasks of the revisions that have sessions.

use serde_json::{Value, json};

use super::{App, app::Call, lasting, tools};

/// Calls a tool as a task.
pub(crate) async fn begin(app: &App, call: &Call<'_>) -> Result<Value, (i64, String)> {
    let taken = app.tasks.lock().unwrap().values().filter(|(_, status, _)| *status == "working").count();
    if app.defects.has("shared-task-slots") && taken >= 40 {
        return Err((-32000, "Too many tasks".to_owned()));
    }
    let result = tools::call(app, call).await?;
    let result = lasting::background(app, call, result).await;
    let id: String = std::iter::repeat_with(fastrand::alphanumeric).take(24).collect();
    app.tasks.lock().unwrap().insert(id.clone(), (call.tenant.clone(), "working", result));
    Ok(json!({"task": {"taskId": id, "status": "working", "ttl": 60_000}}))
}

/// Answers a request about tasks.
pub(crate) fn answer(app: &App, call: &Call<'_>) -> Result<Value, (i64, String)> {
    let shared = app.defects.has("tasks-without-owner");
    let mut tasks = app.tasks.lock().unwrap();
    let mine = |owner: &String| shared || *owner == call.tenant;
    if call.method == "tasks/list" {
        let list: Vec<Value> = tasks
            .iter()
            .filter(|(_, (owner, ..))| mine(owner))
            .map(|(id, (_, status, _))| json!({"taskId": id, "status": status}))
            .collect();
        return Ok(json!({"tasks": list}));
    }
    let id = call.params.get("taskId").and_then(Value::as_str).unwrap_or_default();
    let unknown = || Err((-32602, "Unknown task".to_owned()));
    let Some((owner, status, result)) = tasks.get_mut(id) else { return unknown() };
    if !mine(owner) {
        if app.defects.has("task-not-yours") {
            return Err((-32602, "This task is not yours".to_owned()));
        }
        return unknown();
    }
    match call.method {
        "tasks/get" => Ok(json!({"taskId": id, "status": status})),
        "tasks/result" => Ok(lasting::finished(app, result)),
        "tasks/cancel" => {
            *status = "cancelled";
            Ok(json!({"taskId": id, "status": "cancelled"}))
        }
        _ => Err((-32601, "Method not found".to_owned())),
    }
}
