//! Streams that stay open: who listens, and what each is sent.

use std::{collections::BTreeMap, sync::Mutex};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{App, app::Call, wire::Answer};

/// A stream that is open.
struct Ear {
    session: String,
    tenant: String,
    /// The id of the request that opened it, where there are no sessions, and what it asked for.
    asked: Option<(Value, Value)>,
    sender: mpsc::Sender<String>,
}

/// All streams that are open, and the log levels of sessions.
#[derive(Default)]
pub(crate) struct Ears {
    all: Mutex<Vec<Ear>>,
    levels: Mutex<BTreeMap<String, String>>,
}

impl Ears {
    /// Keeps a stream open until its client goes away.
    pub(crate) fn open(
        &self,
        app: &App,
        session: &str,
        tenant: &str,
        asked: Option<(Value, Value)>,
        sender: mpsc::Sender<String>,
    ) {
        let mut all = self.all.lock().unwrap();
        let same = |ear: &Ear| match (&ear.asked, &asked) {
            (Some((one, _)), Some((other, _))) => one == other && app.defects.has("listens-by-id"),
            _ => app.defects.has("one-stream"),
        };
        all.retain(|ear| !ear.sender.is_closed() && !same(ear));
        all.push(Ear { session: session.to_owned(), tenant: tenant.to_owned(), asked, sender });
    }

    /// Sends a message to the streams that are for it.
    pub(crate) fn tell(&self, message: &Value, fits: impl Fn(&str, &str) -> bool) {
        for ear in self.all.lock().unwrap().iter().filter(|ear| fits(&ear.session, &ear.tenant)) {
            let mut message = message.clone();
            if let Some((id, _)) = &ear.asked {
                message["params"]["_meta"] = json!({"io.modelcontextprotocol/subscriptionId": id});
            }
            // Who does not read misses it.
            let _full = ear.sender.try_send(format!("event: message\ndata: {message}\n\n"));
        }
    }

    /// The same to everybody, a second later.
    fn tell_late(&self, message: &Value) {
        let senders: Vec<_> = self.all.lock().unwrap().iter().map(|ear| ear.sender.clone()).collect();
        let event = format!("event: message\ndata: {message}\n\n");
        tokio::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            for sender in senders {
                let _gone = sender.try_send(event.clone());
            }
        });
    }

    fn level(&self, app: &App, session: &str) -> String {
        let key = if app.defects.has("one-log-level") { "" } else { session };
        self.levels.lock().unwrap().get(key).cloned().unwrap_or_default()
    }
}

fn session<'a>(call: &'a Call<'_>) -> &'a str {
    call.asked.header("mcp-session-id").unwrap_or_default()
}

/// Answers requests about listening and logging.
pub(crate) fn answer(app: &App, call: &Call<'_>, message: &Value) -> Option<Answer> {
    match call.method {
        "logging/setLevel" if !call.modern => {
            let key = if app.defects.has("one-log-level") { "" } else { session(call) };
            let level = call.params["level"].as_str().unwrap_or_default();
            app.ears.levels.lock().unwrap().insert(key.to_owned(), level.to_owned());
            Some(Answer::json(200, &json!({"jsonrpc": "2.0", "id": message["id"], "result": {}})))
        }
        "resources/list" if app.defects.has("with-resources") => {
            let uri = format!("note://{}/plan", call.tenant);
            let result =
                json!({"resources": [{"uri": uri, "name": "plan"}], "ttlMs": 0, "cacheScope": "private"});
            Some(Answer::json(200, &json!({"jsonrpc": "2.0", "id": message["id"], "result": result})))
        }
        "resources/subscribe" | "resources/unsubscribe" if app.defects.has("with-resources") => {
            if subscribes(app, call, call.params["uri"].as_str().unwrap_or_default()) {
                Some(Answer::json(200, &json!({"jsonrpc": "2.0", "id": message["id"], "result": {}})))
            } else {
                Some(Answer::json(200, &super::rpc::error(message, -32602, "Unknown resource")))
            }
        }
        "subscriptions/listen" if call.modern => {
            let (sender, receiver) = mpsc::channel(1_024);
            let mut agreed = call.params["notifications"].clone();
            if let Some(ids) = agreed.get("taskIds").cloned() {
                let tasks = app.tasks.lock().unwrap();
                let may = |id: &&Value| {
                    let task = id.as_str().and_then(|id| tasks.get(id));
                    task.is_some_and(|(owner, ..)| {
                        *owner == call.tenant || app.defects.has("tasks-without-owner")
                    })
                };
                agreed["taskIds"] = ids.as_array().unwrap().iter().filter(may).cloned().collect();
            }
            if let Some(uris) = agreed.get("resourceSubscriptions").cloned() {
                let may = |uri: &&Value| subscribes(app, call, uri.as_str().unwrap_or_default());
                agreed["resourceSubscriptions"] =
                    uris.as_array().unwrap().iter().filter(may).cloned().collect();
            }
            let told = json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {
                "_meta": {"io.modelcontextprotocol/subscriptionId": message["id"]},
                "notifications": agreed}});
            sender.try_send(format!("event: message\ndata: {told}\n\n")).unwrap();
            let asked = Some((message["id"].clone(), call.params["notifications"].clone()));
            app.ears.open(app, "", &call.tenant, asked, sender);
            Some(Answer::events(receiver))
        }
        _ => None,
    }
}

/// Tells what a call has changed to whom it concerns, and an answer to whom it does not concern.
pub(crate) fn heard(app: &App, call: &Call<'_>, answer: &Value) {
    if app.defects.has("broadcast") {
        app.ears.tell(answer, |_, _| true);
    }
    if app.defects.has("late-broadcast") {
        app.ears.tell_late(answer);
    }
    if call.method == "tools/call" && call.params["name"] == "add_note" {
        let news = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {}});
        app.ears.tell(&news, |_, tenant| tenant == call.tenant || app.defects.has("news-to-all"));
    }
}

/// Logs a call, for the session that it came in.
pub(crate) fn log(app: &App, call: &Call<'_>) {
    if call.modern || call.method != "tools/call" || app.ears.level(app, session(call)) != "debug" {
        return;
    }
    let line = json!({"jsonrpc": "2.0", "method": "notifications/message",
        "params": {"level": "debug", "data": "a tool was called"}});
    app.ears.tell(&line, |known, _| known == session(call) || app.defects.has("logs-to-all"));
}

/// Whether the caller may hear of a resource: its own, or with a defect anybody's.
fn subscribes(app: &App, call: &Call<'_>, uri: &str) -> bool {
    ["acme", "globex"]
        .iter()
        .filter(|tenant| **tenant == call.tenant || app.defects.has("subscribes-anybody"))
        .any(|tenant| uri == format!("note://{tenant}/plan"))
}
