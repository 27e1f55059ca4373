//! What outlives a call: settings, files, a context that is not cleared, objects that arguments reach, work in the background.

use serde_json::{Value, json};

use super::{
    App,
    app::Call,
    tools::{self, failed, said, tool},
};

const FAMILY: [&str; 7] = [
    "global-setting",
    "one-directory",
    "error-leaves-context",
    "prototype",
    "first-caller-wins",
    "task-loses-context",
    "worker-identity",
];

/// The tools of this family.
pub(super) fn list(app: &App) -> Vec<Value> {
    if !app.defects.family(&FAMILY) {
        return Vec::new();
    }
    let text = |names: &[&str]| -> Value {
        names
            .iter()
            .map(|name| ((*name).to_owned(), json!({"type": "string"})))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    vec![
        tool("set_language", "Sets the language.", text(&["language"]), &["language"], false),
        tool("get_settings", "The settings.", json!({}), &[], true),
        tool("save_file", "Writes a file.", text(&["name", "content"]), &["name", "content"], false),
        tool("read_file", "Reads a file.", text(&["name"]), &["name"], true),
    ]
}

/// Calls a tool of this family.
pub(super) fn call(
    app: &App,
    tenant: &str,
    name: &str,
    arguments: &Value,
) -> Option<Result<Value, (i64, String)>> {
    if !app.defects.family(&FAMILY) {
        return None;
    }
    let text = |key: &str| arguments.get(key).and_then(Value::as_str).unwrap_or_default();
    let place = |shared: &str| if app.defects.has(shared) { "" } else { tenant };
    let setting = format!("language {}", place("global-setting"));
    let file = format!("file {} {}", place("one-directory"), text("name"));
    let mut shelf = app.shelf.lock().unwrap();
    Some(Ok(match name {
        "set_language" => {
            shelf.insert(setting, json!(text("language")));
            said(&json!({"set": true}))
        }
        "get_settings" => said(&json!({"language": shelf.get(&setting)})),
        "save_file" => {
            shelf.insert(file, json!(text("content")));
            said(&json!({"saved": true}))
        }
        "read_file" => match shelf.get(&file) {
            Some(content) => said(&json!({"content": content})),
            None => failed("no such file"),
        },
        _ => return None,
    }))
}

/// The tenant that something which outlives a call says.
pub(super) fn kept(app: &App, call: &Call<'_>) -> Option<String> {
    let has = |defect| app.defects.has(defect);
    if has("task-loses-context") && call.params.get("task").is_none() {
        app.current.lock().unwrap().clone_from(&call.tenant);
    }
    let mut shelf = app.shelf.lock().unwrap();
    let text = |value: Value| value.as_str().map(str::to_owned);
    if has("error-leaves-context") {
        return shelf.remove("left").and_then(text);
    }
    if has("prototype") {
        if let Some(name) = call.params.pointer("/arguments/__proto__/tenant_id") {
            shelf.insert("prototype".to_owned(), name.clone());
            return None;
        }
        return shelf.get("prototype").cloned().and_then(text);
    }
    if has("sql-residue") {
        return shelf.get("sql tenant").cloned().and_then(text);
    }
    if has("first-caller-wins") {
        return text(shelf.entry("first".to_owned()).or_insert(json!(call.tenant)).clone());
    }
    if has("worker-identity") && app.attacked() {
        let worker = format!("worker {}", call.asked.connection % 3);
        return text(shelf.entry(worker).or_insert(json!(call.tenant)).clone());
    }
    None
}

/// What a call that failed leaves.
pub(super) fn after(app: &App, call: &Call<'_>, result: &Result<Value, (i64, String)>) {
    let broken = result.as_ref().map_or(true, |result| result["isError"] == json!(true));
    if broken && app.defects.has("error-leaves-context") {
        app.shelf.lock().unwrap().insert("left".to_owned(), json!(call.tenant));
    }
}

/// The result of a task: of the tenant that began it, or of each, for whoever is current when it is asked for.
pub(super) async fn background(app: &App, call: &Call<'_>, result: Value) -> Value {
    if !app.defects.has("task-loses-context") {
        return result;
    }
    let mut all = serde_json::Map::new();
    for tenant in ["acme", "globex"] {
        let one = Call {
            tenant: tenant.to_owned(),
            asked: call.asked,
            method: call.method,
            params: call.params,
            modern: call.modern,
        };
        all.insert(tenant.to_owned(), tools::call(app, &one).await.unwrap_or_default());
    }
    json!({"each": all})
}

/// The result as it is given out.
pub(super) fn finished(app: &App, result: &Value) -> Value {
    match result.get("each") {
        Some(each) => each[app.current.lock().unwrap().as_str()].clone(),
        None => result.clone(),
    }
}
