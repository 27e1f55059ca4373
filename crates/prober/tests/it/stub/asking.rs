//! A tool that asks its user before it answers, in both generations.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{App, app::Call, wire::Answer};

/// A call in a session that waits: the owner's session, the call's id, and the stream that its answer goes to.
struct Waiting {
    session: String,
    id: Value,
    sender: mpsc::Sender<String>,
}

/// States that were given out, sessions that can be asked, and calls that wait.
#[derive(Default)]
pub(crate) struct Asked {
    states: Mutex<BTreeMap<String, (String, Value)>>,
    capable: Mutex<BTreeSet<String>>,
    waiting: Mutex<BTreeMap<String, Waiting>>,
    current: Mutex<String>,
    unasked: Mutex<Option<String>>,
    /// Results of calls that were answered, by their arguments.
    kept: Mutex<BTreeMap<String, Value>>,
}

impl Asked {
    /// Notes that a session's client can be asked.
    pub(crate) fn can_be_asked(&self, session: &str) {
        self.capable.lock().unwrap().insert(session.to_owned());
    }
}

/// What a tenant is asked.
pub(crate) fn questions(tenant: &str) -> Value {
    json!({"confirm": {"method": "elicitation/create", "params": {"mode": "form",
        "message": format!("Read the report of {tenant} Incorporated?"),
        "requestedSchema": {"type": "object", "properties": {"note": {"type": "string"}}, "required": ["note"]}}}})
}

fn report(tenant: &str, note: &str) -> Value {
    let text = json!({"report": format!("Confirmed figures of {tenant}"), "note": note}).to_string();
    json!({"resultType": "complete", "content": [{"type": "text", "text": text}], "isError": false})
}

/// The tool without sessions.
pub(crate) async fn call(app: &App, call: &Call<'_>) -> Result<Value, (i64, String)> {
    let has = |defect| app.defects.has(defect);
    let can = call.params.pointer("/_meta/io.modelcontextprotocol~1clientCapabilities/elicitation");
    if !call.modern || can.is_none() {
        return Err((-32021, "The client cannot be asked".to_owned()));
    }
    let note = call.params.pointer("/inputResponses/confirm/content/note").and_then(Value::as_str);
    let Some(state) = call.params.get("requestState").and_then(Value::as_str) else {
        if let Some(note) = note.filter(|_| has("answers-by-key")) {
            *app.waiting.unasked.lock().unwrap() = Some(note.to_owned());
        }
        let kept = app.waiting.kept.lock().unwrap().get(&call.params["arguments"].to_string()).cloned();
        return Ok(match kept {
            Some(kept) => kept,
            None => ask(app, call).await,
        });
    };
    let arguments = call.params["arguments"].clone();
    let owner = if has("state-unsigned") {
        URL_SAFE_NO_PAD
            .decode(state)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
            .and_then(|state| state["tenant"].as_str().map(str::to_owned))
    } else {
        let known = app.waiting.states.lock().unwrap().get(state).cloned();
        known
            .filter(|(owner, _)| *owner == call.tenant || has("state-without-owner"))
            .filter(|(_, given)| *given == arguments || has("state-without-arguments"))
            .map(|(owner, _)| owner)
    };
    let Some(owner) = owner else { return Err((-32602, "Invalid request state".to_owned())) };
    let unasked = app.waiting.unasked.lock().unwrap().take();
    let result = report(&owner, &unasked.unwrap_or_else(|| note.unwrap_or_default().to_owned()));
    // What was cached would be found by the survey's own search too: only a word of the attack is kept.
    if has("keeps-what-was-answered") && result.to_string().contains("cnry-answered") {
        app.waiting.kept.lock().unwrap().insert(arguments.to_string(), result.clone());
    }
    Ok(result)
}

async fn ask(app: &App, call: &Call<'_>) -> Value {
    let mut tenant = call.tenant.clone();
    if app.defects.has("shared-question") {
        app.waiting.current.lock().unwrap().clone_from(&tenant);
        tokio::time::sleep(Duration::from_millis(2)).await;
        tenant.clone_from(&app.waiting.current.lock().unwrap());
    }
    let random: String = std::iter::repeat_with(fastrand::alphanumeric).take(40).collect();
    let state = if app.defects.has("state-with-secret") {
        URL_SAFE_NO_PAD.encode(json!({"api_key": "sk-live-0123456789", "n": random}).to_string())
    } else if app.defects.has("state-unsigned") {
        URL_SAFE_NO_PAD.encode(json!({"tenant": call.tenant, "n": random}).to_string())
    } else {
        random
    };
    let given = (call.tenant.clone(), call.params["arguments"].clone());
    app.waiting.states.lock().unwrap().insert(state.clone(), given);
    json!({"resultType": "input_required", "inputRequests": questions(&tenant), "requestState": state})
}

/// The tool in a session: the question goes out on the call's own stream, and the answer when its client has answered.
pub(crate) fn in_session(app: &App, call: &Call<'_>, message: &Value) -> Option<Answer> {
    if call.modern || call.params["name"] != "confirm_report" || super::tasks::asked_for(call) {
        return None;
    }
    let session = call.asked.header("mcp-session-id").unwrap_or_default().to_owned();
    if !app.waiting.capable.lock().unwrap().contains(&session) {
        return None;
    }
    let mut waiting = app.waiting.waiting.lock().unwrap();
    let random: String = std::iter::repeat_with(fastrand::alphanumeric).take(20).collect();
    let mut question = questions(&call.tenant)["confirm"].clone();
    question["jsonrpc"] = json!("2.0");
    question["id"] = json!(random);
    let (sender, receiver) = mpsc::channel(8);
    sender.try_send(format!("event: message\ndata: {question}\n\n")).unwrap();
    if app.defects.has("asks-everybody") {
        app.ears.tell(&question, |_, _| true);
    }
    waiting.insert(random, Waiting { session, id: message["id"].clone(), sender });
    Some(Answer::events(receiver))
}

/// Takes an answer to a question.
pub(crate) fn answered(app: &App, call: &Call<'_>, message: &Value) -> Answer {
    let session = call.asked.header("mcp-session-id").unwrap_or_default();
    let id = message["id"].as_str().unwrap_or_default();
    let mut waiting = app.waiting.waiting.lock().unwrap();
    let fits = waiting
        .get(id)
        .is_some_and(|waiting| waiting.session == session || app.defects.has("answers-without-owner"));
    if let Some(waiting) = fits.then(|| waiting.remove(id)).flatten() {
        let note = message.pointer("/result/content/note").and_then(Value::as_str).unwrap_or_default();
        let answer = json!({"jsonrpc": "2.0", "id": waiting.id, "result": report(&call.tenant, note)});
        // Who asked may have gone.
        let _gone = waiting.sender.try_send(format!("event: message\ndata: {answer}\n\n"));
    }
    Answer::empty(202)
}
