//! The transport of 2024-11-05: a stream that stays open and brings every answer, and an address to post requests to.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex},
};

use ::http::{HeaderMap, HeaderValue, Method};
use bytes::Bytes;
use serde_json::Value;
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use url::Url;

use super::{
    MOST_BYTES, Target,
    exchange::{Exchange, Failure, Reply, Request, Wait},
    sse,
};

/// The most ids that are remembered to have been asked with.
const MOST_ASKED: usize = 50_000;
/// The most messages of one stream that answer nothing and are kept.
const MOST_STRAYS: usize = 64;
/// The most messages that one request is shown.
const MOST_SEEN: usize = 256;
/// The longest address to post to.
const LONGEST: usize = 2_048;

/// A session: the stream, which is read in the background until the link is dropped, and the address that belongs to it.
pub(crate) struct Link {
    endpoint: Url,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// Where requests are posted, and the part of that address which says in whose session.
#[derive(Debug, Clone)]
pub(super) struct Post {
    url: Url,
    session: String,
}

impl Post {
    fn of(url: &Url) -> Self {
        let session = url
            .query_pairs()
            .find(|(name, _)| name.to_ascii_lowercase().contains("session"))
            .or_else(|| url.query_pairs().next())
            .map(|(_, value)| value.into_owned())
            .or_else(|| url.path_segments()?.next_back().map(str::to_owned));
        Self { url: url.clone(), session: session.unwrap_or_default() }
    }

    /// The address for another session.
    pub(super) fn instead(&self, session: &str) -> Url {
        let mut url = self.url.clone();
        if self.url.query().is_some() {
            let pairs: Vec<(String, String)> = self
                .url
                .query_pairs()
                .map(|(name, value)| {
                    let value = if value == self.session { session.to_owned() } else { value.into_owned() };
                    (name.into_owned(), value)
                })
                .collect();
            url.query_pairs_mut().clear().extend_pairs(pairs);
        } else if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop().push(session);
        }
        url
    }
}

/// What a request waits for.
struct Waiter {
    id: Value,
    seen: Vec<Value>,
    done: Option<oneshot::Sender<()>>,
}

impl Waiter {
    fn take(&mut self, message: Value) {
        if self.seen.len() < MOST_SEEN {
            self.seen.push(message);
        }
    }
}

#[derive(Default)]
struct State {
    next: u64,
    waiters: BTreeMap<u64, Waiter>,
    asked: BTreeSet<String>,
    strays: VecDeque<Value>,
    ended: Option<Failure>,
}

#[derive(Default)]
struct Shared(Mutex<State>);

impl Shared {
    /// Waits for the answer to an id from now on.
    fn expect(&self, id: &Value) -> Option<(u64, oneshot::Receiver<()>)> {
        let mut state = self.0.lock().ok()?;
        if state.asked.len() < MOST_ASKED {
            state.asked.insert(id.to_string());
        }
        let (done, answer) = oneshot::channel();
        let ticket = state.next;
        state.next += 1;
        state.waiters.insert(ticket, Waiter { id: id.clone(), seen: Vec::new(), done: Some(done) });
        Some((ticket, answer))
    }

    /// Waits no longer; what came until now.
    fn forget(&self, ticket: u64) -> Vec<Value> {
        let waiter = self.0.lock().ok().and_then(|mut state| state.waiters.remove(&ticket));
        waiter.map(|waiter| waiter.seen).unwrap_or_default()
    }

    /// Gives a message to whoever waits for it. An answer to nothing that was asked here is shown to everybody who waits:
    /// it came on his stream.
    fn arrived(&self, message: Value) {
        let Ok(mut state) = self.0.lock() else { return };
        if let (None, Some(id)) = (message.get("method"), message.get("id")) {
            let alone = state.waiters.values().filter(|waiter| waiter.done.is_some()).count() == 1;
            // An error without an id answers the one request there is.
            let fits =
                |waiter: &&mut Waiter| waiter.done.is_some() && (waiter.id == *id || (id.is_null() && alone));
            if let Some(waiter) = state.waiters.values_mut().find(fits) {
                let done = waiter.done.take();
                waiter.take(message);
                // Who asked may have gone.
                let _gone = done.map(|done| done.send(()));
                return;
            }
            // A late answer to a request that was given up, or the second of two with one id.
            if id.is_null() || state.asked.len() >= MOST_ASKED || state.asked.contains(&id.to_string()) {
                return;
            }
        }
        for waiter in state.waiters.values_mut().filter(|waiter| waiter.done.is_some()) {
            waiter.take(message.clone());
        }
        state.strays.push_back(message);
        if state.strays.len() > MOST_STRAYS {
            state.strays.pop_front();
        }
    }

    fn end(&self, why: Failure) {
        if let Ok(mut state) = self.0.lock() {
            state.ended = Some(why);
            for waiter in state.waiters.values_mut() {
                waiter.done = None;
            }
        }
    }

    fn ended(&self) -> Option<Failure> {
        self.0
            .lock()
            .map_or(Some(Failure::Broken("the stream ended".to_owned())), |state| state.ended.clone())
    }
}

impl Link {
    /// Opens a stream with a request's headers and reads the address that it begins with; or the answer that is no such
    /// stream.
    pub(super) async fn open(
        target: &Arc<Target>,
        http: &reqwest::Client,
        request: &Request,
    ) -> Result<Self, Result<Reply, Failure>> {
        let end = Instant::now() + request.patience.min(target.patience);
        if target.late() {
            return Err(Err(Failure::Late));
        }
        let get = target.addressed(opening(request));
        let response = target.head(http, &get, end).await.map_err(Err)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        if status != 200 || !super::exchange::is_stream(&headers) {
            return Err(refusal(response, status, headers, end).await);
        }
        let (first, named) = oneshot::channel();
        let shared = Arc::new(Shared::default());
        let (sink, whole) = (Arc::clone(&shared), Arc::clone(target));
        #[expect(clippy::disallowed_methods, reason = "there is no permit here: the prober is a client")]
        let task = tokio::spawn(async move {
            let read = tokio::time::timeout(whole.left(), read_on(response, first, &sink)).await;
            sink.end(read.unwrap_or(Failure::Late));
        });
        // From here on dropping it ends the task.
        let mut link = Self { endpoint: get.url.unwrap_or_else(|| target.url.clone()), shared, task };
        let named = match timeout_at(end, named).await {
            Ok(Ok(named)) => named,
            Ok(Err(_)) => {
                return Err(Err(Failure::Broken("the stream ended before it named an address".into())));
            }
            Err(_) => return Err(Err(Failure::Timeout)),
        };
        link.endpoint = address(&link.endpoint, &named).map_err(|why| Err(Failure::Unsendable(why)))?;
        let post = Post::of(&link.endpoint);
        target.post.get_or_init(|| post);
        Ok(link)
    }

    /// The id of the session, as it stands in the address.
    pub(super) fn session(&self) -> String {
        Post::of(&self.endpoint).session
    }

    /// Posts a request and waits for its answer on the stream. What else comes on the stream in the meantime and answers
    /// no other request of this link's stands before the answer.
    pub(super) async fn exchange(
        &self,
        target: &Arc<Target>,
        http: &reqwest::Client,
        who: &str,
        request: Request,
    ) -> Exchange {
        let began = Instant::now();
        let end = began + request.patience.min(target.patience);
        let request = request.to(self.endpoint.clone());
        if let Some(ended) = self.shared.ended() {
            return Exchange { who: who.to_owned(), request, outcome: Err(ended), took: began.elapsed() };
        }
        let waiting = if request.id.is_null() { None } else { self.shared.expect(&request.id) };
        let mut exchange = target.send(http, who, request).await;
        if let Some((ticket, answer)) = waiting {
            let accepted = exchange
                .reply()
                .is_some_and(|reply| (200..300).contains(&reply.status) && exchange.answer().is_none());
            if accepted {
                let stop = match exchange.request.wait {
                    Wait::Answer => end,
                    Wait::For(time) => (began + time).min(end),
                };
                let came = timeout_at(stop, answer).await;
                let seen = self.shared.forget(ticket);
                let enough = matches!(exchange.request.wait, Wait::For(_));
                match came {
                    Ok(Ok(())) => brought(&mut exchange, &seen),
                    // What came under another id is an answer to somebody, and is shown as it came.
                    Err(_) if enough || seen.iter().any(|one| one.get("method").is_none()) => {
                        brought(&mut exchange, &seen);
                    }
                    Err(_) => exchange.outcome = Err(Failure::Timeout),
                    Ok(Err(_)) => {
                        let why = self.shared.ended();
                        exchange.outcome =
                            Err(why.unwrap_or_else(|| Failure::Broken("the stream ended".to_owned())));
                    }
                }
            } else {
                self.shared.forget(ticket);
            }
            exchange.took = began.elapsed();
        }
        exchange
    }

    /// What came on the stream and answers nothing that was asked on it: notifications, requests, and what is another's.
    pub(super) fn strays(&self) -> Vec<Value> {
        self.shared.0.lock().map(|state| state.strays.iter().cloned().collect()).unwrap_or_default()
    }

    /// Ends it.
    pub(super) fn close(&self) {
        self.task.abort();
        self.shared.end(Failure::Broken("the stream was closed".to_owned()));
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The request that opens a stream: with the headers of the one that is to be sent on it.
fn opening(request: &Request) -> Request {
    let mut get = request.clone().verb(Method::GET).body(Vec::new()).set("accept", "text/event-stream");
    get = get.without("content-type").without("mcp-session-id");
    get.id = Value::Null;
    get
}

async fn refusal(
    mut response: reqwest::Response,
    status: u16,
    headers: HeaderMap,
    end: Instant,
) -> Result<Reply, Failure> {
    let mut body = Vec::new();
    loop {
        match timeout_at(end, response.chunk()).await {
            Ok(Ok(Some(chunk))) if body.len() + chunk.len() > MOST_BYTES => return Err(Failure::TooLarge),
            Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
            Ok(Ok(None)) => return Ok(Reply::new(status, headers, Bytes::from(body))),
            Ok(Err(_)) => return Err(Failure::Broken("the answer ended in the middle".to_owned())),
            Err(_) => return Err(Failure::Timeout),
        }
    }
}

/// Reads a stream until it ends; why it did.
async fn read_on(mut response: reqwest::Response, first: oneshot::Sender<String>, sink: &Shared) -> Failure {
    let mut first = Some(first);
    let mut buffer = Vec::new();
    loop {
        // The end of an event may have begun in the piece before.
        let from = buffer.len().saturating_sub(3);
        match response.chunk().await {
            Ok(Some(chunk)) if buffer.len() + chunk.len() > MOST_BYTES => return Failure::TooLarge,
            Ok(Some(chunk)) => buffer.extend_from_slice(&chunk),
            Ok(None) => return Failure::Broken("the stream ended".to_owned()),
            Err(_) => return Failure::Broken("the stream broke".to_owned()),
        }
        for event in sse::take(&mut buffer, from) {
            if event.name.as_deref() == Some("endpoint") {
                // Only the first one counts; who opened it may have gone.
                let _gone = first.take().map(|first| first.send(event.data));
            } else if let Ok(message) = serde_json::from_str::<Value>(&event.data) {
                match message {
                    Value::Array(several) => several.into_iter().for_each(|one| sink.arrived(one)),
                    one => sink.arrived(one),
                }
            }
        }
    }
}

/// The address that a stream names. One of another origin would be sent the token.
fn address(stream: &Url, named: &str) -> Result<Url, String> {
    if named.len() > LONGEST {
        return Err("the address that the stream names is longer than 2048 letters".to_owned());
    }
    let url = stream.join(named.trim()).map_err(|_| "the stream names no address to post to".to_owned())?;
    if url.origin() != stream.origin() {
        return Err("the stream names an address of another origin to post to".to_owned());
    }
    Ok(url)
}

/// Puts what came on the stream into an exchange, as the body of an event stream.
fn brought(exchange: &mut Exchange, seen: &[Value]) {
    let Ok(reply) = &mut exchange.outcome else { return };
    let body: String = seen.iter().map(|message| format!("event: message\ndata: {message}\n\n")).collect();
    let mut headers = std::mem::take(&mut reply.headers);
    headers.insert("content-type", HeaderValue::from_static("text/event-stream"));
    headers.remove("content-length");
    *reply = Reply::new(200, headers, Bytes::from(body));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_token_is_sent_to_the_streams_own_origin_only() {
        let stream: Url = "http://127.0.0.1:8000/sse?x=1".parse().unwrap();
        assert_eq!(
            address(&stream, "/message?sessionId=7").unwrap().as_str(),
            "http://127.0.0.1:8000/message?sessionId=7"
        );
        assert!(address(&stream, "http://127.0.0.1:8000/m").is_ok());
        for other in
            ["http://evil.example/m", "//evil.example/m", "https://127.0.0.1:8000/m", "http://127.0.0.1:1/m"]
        {
            assert!(address(&stream, other).unwrap_err().contains("another origin"), "{other}");
        }
        assert!(address(&stream, &"a".repeat(3_000)).is_err());
    }

    #[test]
    fn an_address_can_be_made_for_another_session() {
        let post = Post::of(&"http://h/message?a=1&sessionId=ab-1".parse().unwrap());
        assert_eq!(post.session, "ab-1");
        assert_eq!(post.instead("x/2").as_str(), "http://h/message?a=1&sessionId=x%2F2");
        let post = Post::of(&"http://h/messages/ab-1".parse().unwrap());
        assert_eq!((post.session.as_str(), post.instead("c").as_str()), ("ab-1", "http://h/messages/c"));
    }

    #[test]
    fn each_answer_goes_to_who_asked_and_what_nobody_asked_is_a_stray() {
        let shared = Shared::default();
        let (one, _) = shared.expect(&json!(1)).unwrap();
        let (two, mut answered) = shared.expect(&json!("1")).unwrap();
        shared.arrived(json!({"jsonrpc": "2.0", "id": "1", "result": {}}));
        assert!(answered.try_recv().is_ok());
        shared.arrived(json!({"jsonrpc": "2.0", "id": 9, "result": {"foreign": true}}));
        // A second answer to what was answered is dropped.
        shared.arrived(json!({"jsonrpc": "2.0", "id": "1", "result": {}}));
        assert_eq!(shared.forget(two).len(), 1);
        assert_eq!(shared.forget(one), [json!({"jsonrpc": "2.0", "id": 9, "result": {"foreign": true}})]);
        assert_eq!(shared.0.lock().unwrap().strays.len(), 1);
    }
}
