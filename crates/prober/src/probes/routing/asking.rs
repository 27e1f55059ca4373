//! Calls that the target answers with questions: which ones, what it asks, and how it is answered.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{
    ear::{Ear, method},
    echo::word,
};
use crate::{
    arguments::{self, is_kind},
    site::{Party, Site, What},
    survey::Kind,
    target::{Caller, Exchange, Open, Wait, events},
};

/// The most calls that are tried in search of one that asks.
const MOST: usize = 48;
/// How long an answer of such a call is waited for.
const SEARCHED: Duration = Duration::from_secs(3);
/// How long a new session is left alone before its calls are watched.
const SETTLED: Duration = Duration::from_millis(500);
/// How long a call that does not end is watched for a question.
const WATCHED: Duration = Duration::from_millis(400);

/// What a client says that it can be asked.
pub(super) fn capabilities() -> Value {
    json!({"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {"listChanged": true}})
}

/// What may ask: everything that a tenant can read, and tools that write where writing is allowed.
pub(super) fn candidates(site: &Site, party: &Party) -> Vec<What> {
    let may = |kind: Kind| kind == Kind::Read || site.plan.allow_writes;
    let mut all: Vec<What> = party
        .surface
        .tools
        .iter()
        .chain(&party.surface.hanging)
        .filter(|tool| may(tool.kind) && !tool.destroys)
        .filter_map(|tool| {
            let arguments = arguments::sets(&tool.schema, &party.ids, &tool.name).into_iter().next()?;
            Some(What::Tool { name: tool.name.clone(), arguments })
        })
        .collect();
    // What is read without a question needs none: those come last.
    let read =
        |what: &What| site.readings_of(&party.tenant).any(|(reading, _)| reading.what.name() == what.name());
    all.sort_by_key(read);
    let others = party.surface.resources.iter().take(4).map(|uri| What::Resource(uri.clone()));
    all.extend(others);
    all.truncate(MOST);
    all
}

/// A call that waits for answers, without a session.
pub(in crate::probes) struct Flow {
    pub(in crate::probes) what: What,
    pub(in crate::probes) state: Option<String>,
    pub(in crate::probes) questions: Map<String, Value>,
    pub(in crate::probes) exchange: Exchange,
}

pub(in crate::probes) const NO_QUESTIONS: &str =
    "no call of the target asks the client anything (2026-07-28)";
pub(in crate::probes) const NO_STATE: &str =
    "no call of the target asks the client something and gives a state to come back with (2026-07-28)";

impl Flow {
    /// Asks for something as a client that can be asked; nothing if the target has no question.
    pub(in crate::probes) async fn begin(caller: &Caller, what: &What) -> Option<Self> {
        let exchange = ask(caller, what, json!({})).await;
        let result = exchange.success()?;
        if result.get("resultType").and_then(Value::as_str) != Some("input_required") {
            return None;
        }
        let state = result.get("requestState").and_then(Value::as_str).map(str::to_owned);
        let questions = result.get("inputRequests").and_then(Value::as_object).cloned().unwrap_or_default();
        Some(Self { what: what.clone(), state, questions, exchange })
    }

    /// A call of a tenant's that asks, and gives a state if that is wanted; one that comes to its end before any other.
    pub(in crate::probes) async fn find(
        site: &Site,
        party: &Party,
        caller: &Caller,
        stated: bool,
    ) -> Option<Self> {
        let wanted = if stated { "a question with a state" } else { "a question" };
        if let Some(before) = site.found.before(caller, wanted) {
            return Self::begin(caller, &before?).await;
        }
        let mut found = None;
        for what in candidates(site, party) {
            if site.target.late() {
                break;
            }
            let Some(flow) = Self::begin(caller, &what).await else { continue };
            if stated && flow.state.is_none() {
                continue;
            }
            let done = flow.go_on(caller, flow.state.as_deref(), flow.answers(&word())).await;
            if completed(&done) {
                found = Some(what);
                break;
            }
            found = found.or(Some(what));
        }
        site.found.remember(caller, wanted, found.clone());
        Self::begin(caller, &found?).await
    }

    /// Answers to all questions, with a word where any text may stand.
    pub(in crate::probes) fn answers(&self, word: &str) -> Value {
        let answered = self.questions.iter().map(|(key, question)| (key.clone(), answer(question, word)));
        Value::Object(answered.collect())
    }

    /// The same call once more, with a state and answers.
    pub(in crate::probes) async fn go_on(
        &self,
        caller: &Caller,
        state: Option<&str>,
        answers: Value,
    ) -> Exchange {
        let mut more = json!({"inputResponses": answers});
        if let (Some(more), Some(state)) = (more.as_object_mut(), state) {
            more.insert("requestState".to_owned(), json!(state));
        }
        ask(caller, &self.what, more).await
    }
}

/// Asks for something as a client that can be asked.
pub(in crate::probes) async fn ask(caller: &Caller, what: &What, more: Value) -> Exchange {
    let (method, mut params) = what.message();
    if let (Some(params), Value::Object(more)) = (params.as_object_mut(), more) {
        params.extend(more);
        params.insert("_meta".to_owned(), meta());
    }
    caller.send(caller.request(method, params).patience(SEARCHED)).await
}

/// Metadata of a client that can be asked.
pub(super) fn meta() -> Value {
    json!({"io.modelcontextprotocol/clientCapabilities": capabilities()})
}

/// Whether a call has come to its end, and did what was asked.
pub(in crate::probes) fn completed(exchange: &Exchange) -> bool {
    exchange.success().is_some_and(|result| {
        result.get("resultType").and_then(Value::as_str).is_none_or(|kind| kind == "complete")
    })
}

/// An answer to one question.
pub(super) fn answer(question: &Value, word: &str) -> Value {
    match method(question) {
        "roots/list" => json!({"roots": []}),
        "sampling/createMessage" => {
            json!({"role": "assistant", "content": {"type": "text", "text": word}, "model": "partywall-probe",
                "stopReason": "endTurn"})
        }
        _ => {
            let schema = question.pointer("/params/requestedSchema").cloned().unwrap_or_default();
            let mut given = Map::new();
            for (name, place, _) in arguments::properties(&schema) {
                let free = ["enum", "const", "format", "pattern", "oneOf"];
                if is_kind(place, "string") && free.iter().all(|key| place.get(key).is_none()) {
                    given.insert(name.to_owned(), json!(word));
                } else if is_kind(place, "boolean") {
                    given.insert(name.to_owned(), json!(true));
                }
            }
            json!({"action": "accept", "content": arguments::object(&schema, &given, 3)})
        }
    }
}

/// Whether a message asks the client something.
pub(super) fn is_question(message: &Value) -> bool {
    message.get("id").is_some()
        && matches!(method(message), "elicitation/create" | "sampling/createMessage" | "roots/list")
}

/// A call in a session that waits for the client's answer.
pub(super) struct Waiting {
    pub(super) question: Value,
    /// The id of the call.
    pub(super) id: Value,
    /// The call's own stream, where it is apart.
    open: Option<Open>,
}

pub(super) const NOTHING_ASKED: &str = "no call of the target asks the client of a session anything";

impl Waiting {
    /// The first call of a tenant's that makes the target ask.
    pub(super) async fn find(site: &Site, party: &Party, ear: &Ear) -> Option<Self> {
        let wanted = "a question in a session";
        // What a new session is asked by itself is no call's question.
        tokio::time::sleep(SETTLED).await;
        let before = site.found.before(&ear.caller, wanted);
        let all =
            before.clone().map_or_else(|| candidates(site, party), |before| before.into_iter().collect());
        for what in all {
            if site.target.late() {
                return None;
            }
            let known = ear.heard().len();
            let request = what.request(&ear.caller).once();
            let id = request.id.clone();
            if ear.caller.streams() {
                let exchange = ear.caller.send(request.wait(Wait::For(WATCHED))).await;
                let asked = exchange.reply()?.messages.iter().find(|message| is_question(message)).cloned();
                if let Some(question) = asked {
                    site.found.remember(&ear.caller, wanted, Some(what));
                    return Some(Self { question, id, open: None });
                }
                continue;
            }
            let open = ear.caller.open(request);
            let end = Instant::now() + WATCHED;
            while Instant::now() < end {
                let came = messages(&open);
                let heard = ear.heard();
                let asked = came.iter().chain(heard.iter().skip(known)).find(|message| is_question(message));
                if let Some(question) = asked {
                    site.found.remember(&ear.caller, wanted, Some(what));
                    return Some(Self { question: question.clone(), id, open: Some(open) });
                }
                if open.ended() || came.iter().any(|message| answers(message, &id)) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        if before.is_none() {
            site.found.remember(&ear.caller, wanted, None);
        }
        None
    }

    /// Whether the call has been answered, after some time at the most.
    pub(super) async fn answered(&self, time: Duration) -> bool {
        let Some(open) = &self.open else { return false };
        let end = Instant::now() + time;
        loop {
            if messages(open).iter().any(|message| answers(message, &self.id)) {
                return true;
            }
            if Instant::now() > end {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The answer to the question, as a message.
    pub(super) fn reply(&self, word: &str) -> Value {
        json!({"jsonrpc": "2.0", "id": self.question.get("id"), "result": answer(&self.question, word)})
    }
}

fn answers(message: &Value, id: &Value) -> bool {
    message.get("method").is_none() && message.get("id") == Some(id)
}

fn messages(open: &Open) -> Vec<Value> {
    let bytes = open.bytes();
    let stream = events(&bytes).into_iter().filter_map(|event| serde_json::from_str(&event.data).ok());
    stream.chain(serde_json::from_slice(&bytes).ok()).collect()
}
