//! How answers find their way: streams with event ids, tables by request id, cancelling, rates.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use tokio::sync::mpsc;

use super::{App, app::Call, shares, wire::Answer};

/// An answer as an event stream whose event has an id; the event is kept.
pub(crate) fn event(app: &App, call: &Call<'_>, answer: &Value) -> Answer {
    let mut events = app.events.lock().unwrap();
    let id = events.len() as u64 + 1;
    events.push((id, call.tenant.clone(), answer.to_string()));
    let (sender, receiver) = mpsc::channel(1);
    sender.try_send(format!("id: {id}\ndata: {answer}\n\n")).unwrap();
    Answer::events(receiver)
}

/// A stream that stays open; one that is resumed begins with what its owner missed.
pub(crate) fn listen(app: &Arc<App>, call: &Call<'_>) -> Answer {
    let switches = ["shared-stream-slots", "stream-slots-per-tenant"];
    let Ok(place) = shares::take(app, &call.tenant, switches, 40) else { return Answer::empty(429) };
    let after = call.asked.header("last-event-id").and_then(|id| id.parse::<u64>().ok());
    let (sender, receiver) = mpsc::channel(1_024);
    sender.try_send(": open\n\n".to_owned()).unwrap();
    if let Some(after) = after {
        let shared = app.defects.has("events-without-owner");
        for (id, owner, data) in app.events.lock().unwrap().iter() {
            if *id >= after && (shared || *owner == call.tenant) {
                sender.try_send(format!("id: {id}\ndata: {data}\n\n")).unwrap();
            }
        }
    }
    if place.is_some() {
        // The stream ends when the client goes away.
        let (kept, sender) = (Arc::clone(app), sender.clone());
        tokio::spawn(async move {
            sender.closed().await;
            shares::give(&kept, place);
        });
    }
    if app.defects.has("asks-at-the-beginning") {
        let sender = sender.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(700)).await;
            // Who listened may have gone.
            let _gone = sender
                .try_send("data: {\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"roots/list\"}\n\n".to_owned());
        });
    }
    app.ears.open(app, call.asked.header("mcp-session-id").unwrap_or_default(), &call.tenant, None, sender);
    Answer::events(receiver)
}

/// Hears a notification.
pub(crate) fn notified(app: &App, call: &Call<'_>) {
    if call.method == "notifications/elicitation/complete" && app.defects.has("relays-notifications") {
        let message = serde_json::json!({"jsonrpc": "2.0", "method": call.method, "params": call.params});
        app.ears.tell(&message, |_, _| true);
    }
    if call.method == "notifications/cancelled" {
        let id = call.params.get("requestId").map(Value::to_string).unwrap_or_default();
        app.cancelled.lock().unwrap().insert((canceller(app, call), id));
    }
}

/// By what a cancellation and its request are known to belong together.
fn canceller(app: &App, call: &Call<'_>) -> String {
    if app.defects.has("cancel-by-id") {
        String::new()
    } else if app.defects.has("cancel-in-session") {
        call.asked.header("mcp-session-id").unwrap_or(&call.tenant).to_owned()
    } else {
        call.tenant.clone()
    }
}

/// What lies under the session's and the request's id when the answer goes out.
pub(crate) async fn by_session(
    app: &App,
    call: &Call<'_>,
    key: &str,
    result: Result<Value, (i64, String)>,
) -> Result<Value, (i64, String)> {
    let Some(session) = call.asked.header("mcp-session-id").filter(|_| app.defects.has("one-answer-an-id"))
    else {
        return result;
    };
    let key = format!("{session} {key}");
    let kept = match result {
        Ok(result) => serde_json::json!({"result": result}),
        Err((code, text)) => serde_json::json!({"code": code, "text": text}),
    };
    app.pending.lock().unwrap().insert(key.clone(), kept);
    tokio::time::sleep(Duration::from_millis(3)).await;
    let mut now = app.pending.lock().unwrap().get(&key).cloned().unwrap();
    match now.get_mut("result") {
        Some(result) => Ok(result.take()),
        None => Err((now["code"].as_i64().unwrap(), now["text"].as_str().unwrap().to_owned())),
    }
}

/// What the caller gets after some work: his result, or what lies under his request's id.
pub(crate) async fn delivered(
    app: &App,
    call: &Call<'_>,
    key: &str,
    result: Value,
) -> Result<Value, (i64, String)> {
    if app.defects.has("slow-in-a-crowd") {
        crowd().await;
    }
    let by_progress = call.params.pointer("/_meta/progressToken").map(Value::to_string);
    let key = match by_progress {
        Some(token) if app.defects.has("routes-by-progress") => Some(token),
        _ if app.defects.has("routes-by-id") => Some(key.to_owned()),
        _ => None,
    };
    if let Some(key) = &key {
        app.pending.lock().unwrap().insert(key.clone(), result.clone());
    }
    let leaves = app.defects.has("leaves-behind") && call.method == "tools/call";
    if leaves {
        // As on a pooled connection: what was not read to its end is what the next one reads.
        let left = app.pending.lock().unwrap().remove("left");
        app.pending.lock().unwrap().insert("left".to_owned(), result.clone());
        tokio::time::sleep(Duration::from_millis(2)).await;
        app.pending.lock().unwrap().remove("left");
        return Ok(left.unwrap_or(result));
    }
    let flight = format!("flight {} {}", call.params["name"], call.params["arguments"]);
    if app.defects.has("single-flight") && call.method == "tools/call" {
        // Whoever asks for the same meanwhile waits for this answer.
        if let Some(known) = app.pending.lock().unwrap().get(&flight) {
            return Ok(known.clone());
        }
        app.pending.lock().unwrap().insert(flight.clone(), result.clone());
        tokio::time::sleep(Duration::from_millis(4)).await;
        app.pending.lock().unwrap().remove(&flight);
    }
    if call.method == "tools/call" {
        let slow = ["cancel-in-session", "slow-calls"].into_iter().any(|name| app.defects.has(name));
        let long = if slow { 80 } else { 2 };
        tokio::time::sleep(Duration::from_millis(long)).await;
        let id = call.asked.body.as_ref();
        let id = serde_json::from_slice::<Value>(id)
            .ok()
            .and_then(|message| message.get("id").map(Value::to_string));
        if app.cancelled.lock().unwrap().remove(&(canceller(app, call), id.unwrap_or_default())) {
            return Err((-32800, "Request cancelled".to_owned()));
        }
    }
    match key {
        Some(key) => Ok(app.pending.lock().unwrap().get(&key).cloned().unwrap_or(result)),
        None => Ok(result),
    }
}

/// Whether a call is over the limit of this second: everybody's, or the tenant's.
pub(crate) fn over(app: &App, call: &Call<'_>) -> bool {
    let named = |header: &str| call.asked.header(header).unwrap_or(&call.tenant);
    let payer = if app.defects.has("limiter-by-address") {
        named("x-forwarded-for")
    } else if app.defects.has("limiter-by-claim") {
        named("x-tenant-id")
    } else if app.defects.has("one-limiter") {
        "everybody"
    } else if app.defects.has("limiter-per-tenant") {
        &call.tenant
    } else {
        return false;
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut rates = app.rates.lock().unwrap();
    let rate = rates.entry(payer.to_owned()).or_default();
    if rate.0 != now {
        *rate = (now, 0);
    }
    rate.1 += 1;
    rate.1 > 60
}

/// A server that is overtaxed by several calls at once, whatever their ids are.
async fn crowd() {
    static CROWD: AtomicUsize = AtomicUsize::new(0);
    let others = CROWD.fetch_add(1, Ordering::SeqCst);
    tokio::time::sleep(if others > 1 { Duration::from_secs(6) } else { Duration::from_millis(2) }).await;
    CROWD.fetch_sub(1, Ordering::SeqCst);
}
