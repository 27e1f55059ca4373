//! A tenant who listens: a session of its own and the stream on which notifications and requests come.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::{
    arguments::{self, Role, role},
    site::Party,
    survey::Kind,
    target::{Caller, Exchange, Open, Reply, events},
};

/// How long a stream is listened to when nothing is to be heard.
const A_WHILE: Duration = Duration::from_millis(150);
/// How long a stream's head and first message are waited for.
const OPENING: Duration = Duration::from_secs(2);
/// The most tools that are written through.
const MOST_WRITES: usize = 6;

/// A tenant who listens.
pub(super) struct Ear {
    /// The one who listens; in its session.
    pub(super) caller: Caller,
    open: Option<Open>,
}

/// The target's part of listening that is missing.
pub(super) const DEAF: &str = "the target opens no stream for a session to listen on";
/// The same without sessions.
pub(super) const NO_LISTEN: &str = "the target does not acknowledge subscriptions/listen";

impl Ear {
    /// Somebody who listens and hears nothing.
    #[cfg(test)]
    pub(super) fn deaf(caller: Caller) -> Self {
        Self { caller, open: None }
    }

    /// Begins a session as a client that can be asked `capabilities`, and listens on its stream.
    pub(super) async fn legacy(party: &Party, capabilities: &Value) -> Result<Self, &'static str> {
        let Some(base) = &party.legacy else { return Err("the target speaks no revision with sessions") };
        let caller = base.afresh();
        if caller.begin_with(capabilities).await.is_none_or(|begun| begun.success().is_none()) {
            return Err("no session could be begun");
        }
        if caller.streams() {
            return Ok(Self { caller, open: None });
        }
        let mut open = caller.open(caller.bare(Method::GET).set("accept", "text/event-stream"));
        if tokio::time::timeout(OPENING, open.status()).await != Ok(200) {
            caller.end().await;
            return Err(DEAF);
        }
        Ok(Self { caller, open: Some(open) })
    }

    /// Listens without a session for what the filter names; the target must acknowledge it.
    pub(super) async fn modern(party: &Party, id: &Value, filter: &Value) -> Result<Self, &'static str> {
        let Some(base) = &party.modern else { return Err("the target does not speak 2026-07-28") };
        let caller = base.afresh();
        let mut open = caller.open(caller.request_as(
            id.clone(),
            "subscriptions/listen",
            json!({"notifications": filter}),
        ));
        if tokio::time::timeout(OPENING, open.status()).await != Ok(200) {
            return Err(NO_LISTEN);
        }
        let ear = Self { caller, open: Some(open) };
        let told = |message: &Value| method(message) == "notifications/subscriptions/acknowledged";
        if ear.hears(OPENING, told).await.is_none() {
            return Err(NO_LISTEN);
        }
        Ok(ear)
    }

    /// What came so far.
    pub(super) fn heard(&self) -> Vec<Value> {
        match &self.open {
            None => self.caller.strays(),
            Some(open) => events(&open.bytes())
                .into_iter()
                .filter_map(|event| serde_json::from_str(&event.data).ok())
                .collect(),
        }
    }

    /// What came after the first `known` messages, after some time.
    pub(super) async fn since(&self, known: usize) -> Vec<Value> {
        tokio::time::sleep(A_WHILE).await;
        self.heard().into_iter().skip(known).collect()
    }

    /// The first message of a kind, if it comes in time.
    pub(super) async fn hears(&self, time: Duration, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        let end = Instant::now() + time;
        loop {
            if let Some(found) = self.heard().into_iter().find(|message| wanted(message)) {
                return Some(found);
            }
            if Instant::now() > end || self.caller.target().late() {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether the stream has ended.
    pub(super) fn ended(&self) -> bool {
        self.open.as_ref().is_some_and(Open::ended)
    }

    /// What came, as the answer to the request that opened the stream.
    pub(super) fn told(&self) -> Exchange {
        let body: String =
            self.heard().iter().map(|message| format!("event: message\ndata: {message}\n\n")).collect();
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("text/event-stream"));
        let request = match &self.open {
            Some(open) => open.request.clone(),
            None => self.caller.bare(Method::GET),
        };
        Exchange {
            who: self.caller.name.clone(),
            request,
            outcome: Ok(Reply::new(200, headers, body.into())),
            took: Duration::ZERO,
        }
    }

    /// Ends the stream and the session.
    pub(super) async fn close(self) {
        drop(self.open);
        self.caller.end().await;
    }
}

/// A message's method, or nothing.
pub(super) fn method(message: &Value) -> &str {
    message.get("method").and_then(Value::as_str).unwrap_or_default()
}

/// Writes through the tools that write and take nothing away, so that the target has something to tell; how many wrote.
pub(super) async fn stir(caller: &Caller, party: &Party) -> usize {
    let tools = party.surface.tools.iter().filter(|tool| tool.kind == Kind::Write && !tool.destroys);
    let mut wrote = 0;
    for tool in tools.take(MOST_WRITES) {
        let mut given = Map::new();
        for (name, place, required) in arguments::properties(&tool.schema) {
            match role(name) {
                Role::Id if required => {
                    let fitting = arguments::fitting(&tool.schema, name, &party.ids, &tool.name);
                    if let Some(id) = fitting.into_iter().next() {
                        given.insert(name.to_owned(), id);
                    }
                }
                Role::Tenant if required => {
                    given.insert(name.to_owned(), json!(party.tenant));
                }
                Role::Other | Role::Search if required && arguments::is_kind(place, "string") => {
                    given.insert(name.to_owned(), json!(format!("cnry-stir-{:012x}", fastrand::u64(..))));
                }
                _ => {}
            }
        }
        let arguments = arguments::object(&tool.schema, &given, 4);
        wrote += usize::from(caller.call(&tool.name, &arguments).await.success().is_some());
    }
    wrote
}
