//! Somebody who speaks to the target: a token, a generation of the protocol, connections of his own.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use ::http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::{
    FIRST, LEGACY, MODERN, Open, PATIENCE, Target,
    exchange::{Exchange, Failure, Request, Wait},
    http,
    link::Link,
};

/// The name of the extension with tasks.
pub(crate) const TASKS: &str = "io.modelcontextprotocol/tasks";

/// A generation of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Era {
    /// 2026-07-28.
    Modern,
    /// `initialize`; the revision that the target settled on.
    Legacy(String),
}

impl Era {
    /// The revision.
    pub(crate) fn revision(&self) -> &str {
        match self {
            Self::Modern => MODERN,
            Self::Legacy(revision) => revision,
        }
    }
}

/// How messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Streamable HTTP: an answer comes back on its request.
    Posts,
    /// HTTP+SSE, of 2024-11-05: all answers come on one stream beside the requests.
    Streams,
}

/// Somebody who speaks to the target.
pub(crate) struct Caller {
    /// How reports call him: the tenant, or the tenant and the user's number.
    pub(crate) name: String,
    /// The tenant that his token is of.
    pub(crate) tenant: String,
    token: Option<SecretString>,
    era: Era,
    transport: Transport,
    session: Mutex<Option<String>>,
    /// The stream of the session, where answers come on one.
    link: Mutex<Option<Arc<Link>>>,
    next: Arc<AtomicU64>,
    http: reqwest::Client,
    target: Arc<Target>,
}

impl Caller {
    /// Somebody with a token, or nobody without one.
    ///
    /// # Errors
    ///
    /// When the machine's roots of trust cannot be read.
    pub(crate) fn new(
        target: &Arc<Target>,
        name: &str,
        tenant: &str,
        token: Option<SecretString>,
        era: Era,
    ) -> Result<Self, String> {
        Ok(Self {
            name: name.to_owned(),
            tenant: tenant.to_owned(),
            token,
            era,
            transport: Transport::Posts,
            session: Mutex::new(None),
            link: Mutex::new(None),
            next: Arc::new(AtomicU64::new(1)),
            http: http::client(target)?,
            target: Arc::clone(target),
        })
    }

    /// The same tenant on other connections, without a session.
    pub(crate) fn afresh(&self) -> Self {
        Self {
            name: self.name.clone(),
            tenant: self.tenant.clone(),
            token: self.token.clone(),
            era: self.era.clone(),
            transport: self.transport,
            session: Mutex::new(None),
            link: Mutex::new(None),
            next: Arc::clone(&self.next),
            http: http::client(&self.target).unwrap_or_else(|_| self.http.clone()),
            target: Arc::clone(&self.target),
        }
    }

    /// Somebody else's token on this caller's connections and in this caller's session.
    pub(crate) fn disguised(&self, other: &Self) -> Self {
        Self {
            name: other.name.clone(),
            tenant: other.tenant.clone(),
            token: other.token.clone(),
            http: self.http.clone(),
            session: Mutex::new(self.session()),
            link: Mutex::new(self.link()),
            ..self.afresh()
        }
    }

    /// The same caller who speaks another generation.
    pub(crate) fn speaking(&self, era: Era) -> Self {
        Self { era, ..self.afresh() }
    }

    /// The same caller on one connection of HTTP/2, in the same session.
    pub(crate) fn multiplexed(&self) -> Self {
        Self {
            http: http::multiplexed(&self.target).unwrap_or_else(|_| self.http.clone()),
            session: Mutex::new(self.session()),
            ..self.afresh()
        }
    }

    /// The same connections in another generation, without a session.
    pub(crate) fn speaking_here(&self, era: Era) -> Self {
        Self { era, http: self.http.clone(), ..self.afresh() }
    }

    /// The same connections with another token, as it stands after `Bearer `. Where a session is a stream, which the first
    /// token opened, each request opens one of its own.
    pub(crate) fn with_token(&self, token: Option<String>) -> Self {
        let session = if self.streams() { None } else { self.session() };
        Self {
            token: token.map(SecretString::from),
            http: self.http.clone(),
            session: Mutex::new(session),
            ..self.afresh()
        }
    }

    /// The same tenant with another token, on connections of its own.
    pub(crate) fn with_secret(&self, token: SecretString) -> Self {
        Self { token: Some(token), ..self.afresh() }
    }

    /// The same caller by another transport, without a session.
    pub(crate) fn over(&self, transport: Transport) -> Self {
        let era = match transport {
            Transport::Posts => self.era.clone(),
            Transport::Streams => Era::Legacy(FIRST.to_owned()),
        };
        Self { transport, era, ..self.afresh() }
    }

    /// The same caller in the revision that the target settled on.
    pub(crate) fn settled(self, revision: String) -> Self {
        Self { era: Era::Legacy(revision), ..self }
    }

    /// Whether answers come on a stream beside the requests.
    pub(crate) const fn streams(&self) -> bool {
        matches!(self.transport, Transport::Streams)
    }

    fn link(&self) -> Option<Arc<Link>> {
        self.link.lock().ok().and_then(|link| link.clone())
    }

    /// What came on the caller's stream and answers nothing that was asked on it, where answers come on a stream.
    pub(crate) fn strays(&self) -> Vec<Value> {
        self.link().map(|link| link.strays()).unwrap_or_default()
    }

    /// The generation that he speaks.
    pub(crate) const fn era(&self) -> &Era {
        &self.era
    }

    /// The token, for requests that carry it in another place.
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_ref().map(ExposeSecret::expose_secret)
    }

    /// The session, in a legacy generation.
    pub(crate) fn session(&self) -> Option<String> {
        self.session.lock().ok().and_then(|session| session.clone())
    }

    /// Takes over a session id. Where answers come on a stream, it is the id only: the stream stays its owner's.
    pub(crate) fn set_session(&self, id: Option<String>) {
        if let Ok(mut session) = self.session.lock() {
            *session = id;
        }
    }

    /// The target.
    pub(crate) const fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// A request with the caller's token and session and nothing in it.
    pub(crate) fn bare(&self, verb: Method) -> Request {
        let mut headers = vec![("accept".to_owned(), "application/json, text/event-stream".to_owned())];
        if let Some(token) = self.token() {
            headers.push(("authorization".to_owned(), format!("Bearer {token}")));
        }
        if self.transport == Transport::Posts {
            if let Some(session) = self.session() {
                headers.push(("mcp-session-id".to_owned(), session));
            }
            headers.push(("mcp-protocol-version".to_owned(), self.era.revision().to_owned()));
        }
        Request {
            verb,
            url: None,
            headers,
            body: Vec::new(),
            id: Value::Null,
            wait: Wait::Answer,
            patience: PATIENCE,
            polite: true,
            left_out: None,
            held: None,
        }
    }

    /// A request for a method, with an id of its own and the headers that the generation asks for.
    pub(crate) fn request(&self, method: &str, params: Value) -> Request {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.request_as(json!(id), method, params)
    }

    /// The same with an id that the caller chooses.
    pub(crate) fn request_as(&self, id: Value, method: &str, params: Value) -> Request {
        let name = named(method, &params);
        let message =
            json!({"jsonrpc": "2.0", "id": id, "method": method, "params": self.params(method, params)});
        self.envelope(method, name.as_deref()).message(&message)
    }

    /// A notification.
    pub(crate) fn notification(&self, method: &str, params: Value) -> Request {
        let message = json!({"jsonrpc": "2.0", "method": method, "params": self.params(method, params)});
        self.envelope(method, None).message(&message)
    }

    fn envelope(&self, method: &str, name: Option<&str>) -> Request {
        let request = self.bare(Method::POST).header("content-type", "application/json");
        let request = if method == "initialize" {
            request.without("mcp-protocol-version").without("mcp-session-id")
        } else {
            request
        };
        match (&self.era, name) {
            (Era::Modern, Some(name)) => request.header("mcp-method", method).header("mcp-name", name),
            (Era::Modern, None) => request.header("mcp-method", method),
            (Era::Legacy(_), _) => request,
        }
    }

    fn params(&self, method: &str, params: Value) -> Value {
        let mut params = match params {
            Value::Object(params) => params,
            _ => Map::new(),
        };
        if self.era == Era::Modern {
            let meta = params.entry("_meta").or_insert_with(|| json!({}));
            if let Some(meta) = meta.as_object_mut() {
                meta.entry("io.modelcontextprotocol/protocolVersion").or_insert_with(|| json!(MODERN));
                meta.entry("io.modelcontextprotocol/clientInfo").or_insert_with(client_info);
                // What is about tasks is for clients that say that they know them.
                let tasks = method.starts_with("tasks/") || method == "subscriptions/listen";
                let capabilities = || if tasks { json!({"extensions": {TASKS: {}}}) } else { capabilities() };
                meta.entry("io.modelcontextprotocol/clientCapabilities").or_insert_with(capabilities);
            }
        }
        Value::Object(params)
    }

    /// Sends a request.
    pub(crate) async fn send(&self, request: Request) -> Exchange {
        if self.streams() && request.verb == Method::POST {
            return self.send_beside(request).await;
        }
        self.target.send(&self.http, &self.name, request).await
    }

    /// Sends a request whose answer comes back on it, whatever the transport of messages.
    pub(crate) async fn send_plainly(&self, request: Request) -> Exchange {
        self.target.send(&self.http, &self.name, request).await
    }

    /// Sends a request whose answer comes on a stream: on the caller's own; as a post alone in a session whose stream is
    /// another's; or, without a session, on a stream that is opened with the request's headers and address and closed
    /// again.
    async fn send_beside(&self, request: Request) -> Exchange {
        if request.url.is_none() {
            if let Some(link) = self.link() {
                return link.exchange(&self.target, &self.http, &self.name, request).await;
            }
            if let (Some(session), Some(post)) = (self.session(), self.target.post.get()) {
                let request = request.to(post.instead(&session));
                return self.target.send(&self.http, &self.name, request).await;
            }
        }
        let link = match self.connect(&request).await {
            Ok(link) => link,
            Err(exchange) => return exchange,
        };
        let plain = Request { url: None, ..request.clone() };
        let mut first = plain
            .message(&json!({"jsonrpc": "2.0", "id": "partywall-first", "method": "initialize",
            "params": self.hello(&capabilities())}));
        first.wait = Wait::Answer;
        let begun = link.exchange(&self.target, &self.http, &self.name, first.clone()).await;
        if begun.success().is_none() {
            return Exchange { request, ..begun };
        }
        let done = first.message(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        link.exchange(&self.target, &self.http, &self.name, done).await;
        let exchange = link.exchange(&self.target, &self.http, &self.name, request).await;
        link.close();
        exchange
    }

    /// Opens a stream with a request's headers; what came instead, as an answer to the request.
    async fn connect(&self, request: &Request) -> Result<Link, Exchange> {
        let began = tokio::time::Instant::now();
        Link::open(&self.target, &self.http, request).await.map_err(|instead| {
            // A stream that begins without naming an address is no answer.
            let none = || Failure::Broken("the answer is no stream that names an address".to_owned());
            let outcome = instead.and_then(|reply| if reply.status == 200 { Err(none()) } else { Ok(reply) });
            Exchange { who: self.name.clone(), request: request.clone(), outcome, took: began.elapsed() }
        })
    }

    /// The parameters of `initialize`.
    fn hello(&self, capabilities: &Value) -> Value {
        json!({"protocolVersion": self.era.revision(), "clientInfo": client_info(), "capabilities": capabilities})
    }

    /// Asks for a method.
    pub(crate) async fn ask(&self, method: &str, params: Value) -> Exchange {
        self.send(self.request(method, params)).await
    }

    /// Calls a tool.
    pub(crate) async fn call(&self, tool: &str, arguments: &Value) -> Exchange {
        self.ask("tools/call", json!({"name": tool, "arguments": arguments})).await
    }

    /// Opens a stream that is read in the background.
    pub(crate) fn open(&self, request: Request) -> Open {
        self.target.open(&self.http, &self.name, request)
    }

    /// Begins a session where the generation has them, and ends the one there was; the exchange of `initialize`.
    pub(crate) async fn begin(&self) -> Option<Exchange> {
        self.begin_with(&capabilities()).await
    }

    /// The same as a client that says what it can be asked.
    pub(crate) async fn begin_with(&self, capabilities: &Value) -> Option<Exchange> {
        let Era::Legacy(_) = &self.era else { return None };
        self.end().await;
        if self.streams() {
            let link = match self.connect(&self.bare(Method::GET)).await {
                Ok(link) => link,
                Err(exchange) => return Some(exchange),
            };
            self.set_session(Some(link.session()));
            if let Ok(mut held) = self.link.lock() {
                *held = Some(Arc::new(link));
            }
        }
        let exchange = self.ask("initialize", self.hello(capabilities)).await;
        if exchange.success().is_some() {
            if !self.streams() {
                let id = exchange.reply().and_then(|reply| reply.header("mcp-session-id")).map(str::to_owned);
                self.set_session(id);
            }
            self.send(self.notification("notifications/initialized", json!({}))).await;
        } else {
            self.end().await;
        }
        Some(exchange)
    }

    /// Ends the session.
    pub(crate) async fn end(&self) {
        if self.session().is_some() {
            if !self.streams() {
                self.send(self.bare(Method::DELETE)).await;
            }
            self.set_session(None);
        }
        if let Some(link) = self.link.lock().ok().and_then(|mut link| link.take()) {
            link.close();
        }
    }
}

/// The name that a request mirrors into its headers.
fn named(method: &str, params: &Value) -> Option<String> {
    let key = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        method if method.starts_with("tasks/") => "taskId",
        _ => return None,
    };
    params.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn client_info() -> Value {
    json!({"name": "partywall-probe", "version": env!("CARGO_PKG_VERSION")})
}

fn capabilities() -> Value {
    json!({})
}

/// The legacy generation that is asked for.
pub(crate) fn legacy() -> Era {
    Era::Legacy(LEGACY.to_owned())
}
