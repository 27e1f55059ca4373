//! Tasks of both generations.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::{App, app::Call, asking, lasting, tools};

/// Whether a call is to be a task.
pub(crate) fn asked_for(call: &Call<'_>) -> bool {
    call.params.get("task").is_some() || (call.modern && knows_tasks(call))
}

/// Whether the client says that it knows tasks.
fn knows_tasks(call: &Call<'_>) -> bool {
    let extended = call.params.pointer(
        "/_meta/io.modelcontextprotocol~1clientCapabilities/extensions/io.modelcontextprotocol~1tasks",
    );
    extended.is_some()
}

/// Calls a tool as a task.
pub(crate) async fn begin(app: &App, call: &Call<'_>) -> Result<Value, (i64, String)> {
    let random: String = std::iter::repeat_with(fastrand::alphanumeric).take(24).collect();
    let id = match app.next.fetch_add(1, Ordering::Relaxed) {
        number if app.defects.has("counted-tasks") => format!("task-{number}"),
        _ => random,
    };
    let taken = app.tasks.lock().unwrap().values().filter(|(_, status, _)| *status == "working").count();
    if app.defects.has("shared-task-slots") && taken >= 40 {
        return Err((-32000, "Too many tasks".to_owned()));
    }
    let asks = call.params["name"] == "confirm_report";
    let (status, result) = if asks {
        ("input_required", json!({}))
    } else {
        ("working", lasting::background(app, call, tools::call(app, call).await?).await)
    };
    app.tasks.lock().unwrap().insert(id.clone(), (call.tenant.clone(), status, result));
    if call.modern {
        return Ok(json!({"resultType": "task", "taskId": id, "status": status, "ttlMs": 60_000}));
    }
    Ok(json!({"task": {"taskId": id, "status": status, "ttl": 60_000}}))
}

/// The result of the task that a call says it belongs to, with a defect.
pub(crate) fn related(app: &App, call: &Call<'_>) -> Option<Value> {
    let id = call.params.pointer("/_meta/io.modelcontextprotocol~1related-task/taskId")?.as_str()?;
    let tasks = app.tasks.lock().unwrap();
    app.defects.has("related-task-is-shown").then(|| tasks.get(id).map(|(_, _, result)| result.clone()))?
}

/// Answers a request about tasks.
pub(crate) fn answer(app: &App, call: &Call<'_>) -> Result<Value, (i64, String)> {
    if call.modern && !knows_tasks(call) {
        return Err((-32021, "Missing required client capability".to_owned()));
    }
    let shared = app.defects.has("tasks-without-owner");
    let mut tasks = app.tasks.lock().unwrap();
    let mine = |owner: &String| shared || *owner == call.tenant;
    let missing = || Err((-32601, "Method not found".to_owned()));
    if call.method == "tasks/list" && !call.modern {
        let list: Vec<Value> = tasks
            .iter()
            .filter(|(_, (owner, ..))| mine(owner))
            .map(|(id, (_, status, _))| json!({"taskId": id, "status": status}))
            .collect();
        return Ok(json!({"tasks": list}));
    }
    if (call.method == "tasks/result" && call.modern) || (call.method == "tasks/update" && !call.modern) {
        return missing();
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
        "tasks/get" if *status == "input_required" => {
            Ok(json!({"taskId": id, "status": status, "inputRequests": asking::questions(owner)}))
        }
        "tasks/get" => Ok(json!({"taskId": id, "status": status})),
        "tasks/result" => Ok(lasting::finished(app, result)),
        "tasks/update" => {
            *status = "completed";
            Ok(json!({}))
        }
        "tasks/cancel" => {
            *status = "cancelled";
            Ok(json!({"taskId": id, "status": "cancelled"}))
        }
        _ => missing(),
    }
}
