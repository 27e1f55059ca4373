//! An MCP server at a URL, spoken to over streamable HTTP for one principal, with the tenant's credential.
//!
//! The connections are the tenant's own, go to public addresses only and follow no redirects, as those of HTTP tools. The
//! session that the server gives out stays in the link and is shown to nobody; so is every number of a request. There is no
//! stream for whatever the server wants to say: what it says while it answers is heard, within bounds.
//!
//! The caller's own token is not known in this module, so it cannot be passed on.

mod answer;
mod body;
mod events;
mod message;
mod outgoing;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, value::RawValue};
use tokio::sync::{Semaphore, watch};
use url::Url;

use super::{
    error::UpstreamError,
    link::{Link, Request},
};
use crate::{
    config::{Auth, Http},
    tools::http::{Credential, HttpToolError, Outgoing, Secrets, TenantClient, fixed_url},
};

/// How long messages may take that nobody waits for.
const FAREWELL: Duration = Duration::from_secs(5);
/// How many messages that nobody waits for may be on their way.
const FAREWELLS: usize = 8;
/// The longest name of a session.
const LONGEST_SESSION: usize = 1024;
const SESSION: &str = "mcp-session-id";

/// A server at a URL, as the configuration has it.
#[derive(Debug)]
pub(crate) struct HttpUpstream {
    url: Url,
    credential: Credential,
}

impl HttpUpstream {
    /// Checks what the configuration says.
    ///
    /// # Errors
    /// When the URL is not one that may be called, or `auth` is not one of the tenant's secrets.
    pub(crate) fn compile(url: &str, auth: Option<&Auth>, http: &Http) -> Result<Self, HttpToolError> {
        let url = fixed_url(url, http)?;
        let credential = auth.map(Credential::compile).transpose()?.unwrap_or_default();
        if let Some(name) = credential.headers().find(|name| outgoing::is_reserved(name)) {
            let key = format!("auth.headers.{name}");
            return Err(HttpToolError::Config {
                key,
                problem: "is a header of the protocol; remove it".to_owned(),
            });
        }
        Ok(Self { url, credential })
    }

    /// The names of the secrets that a tenant has to have.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.credential.secrets()
    }

    /// A link for one principal, on its tenant's connections and with its tenant's secrets. It makes no request yet.
    pub(crate) fn link(
        &self,
        client: Arc<TenantClient>,
        secrets: &Secrets<'_>,
    ) -> Result<HttpLink, UpstreamError> {
        let mut credential = HeaderMap::new();
        self.credential.apply(secrets, &mut credential).map_err(unreachable)?;
        Ok(HttpLink(Arc::new(Inner {
            client,
            url: self.url.clone(),
            credential,
            agreed: Mutex::new(Agreed::default()),
            next: AtomicU64::new(1),
            changed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            stopped: watch::Sender::new(false),
            farewells: Arc::new(Semaphore::new(FAREWELLS)),
        })))
    }
}

/// What an exchange that failed means for whoever calls the upstream.
fn unreachable(error: HttpToolError) -> UpstreamError {
    match error {
        HttpToolError::AddressRefused { host } => UpstreamError::AddressRefused(host),
        HttpToolError::Timeout => UpstreamError::TimedOut,
        HttpToolError::MissingSecret { name } | HttpToolError::UnusableSecret { name } => {
            UpstreamError::MissingSecret(name)
        }
        HttpToolError::UpstreamFailed { stage } => UpstreamError::Unreachable(stage.to_owned()),
        other => UpstreamError::Unreachable(other.to_string()),
    }
}

/// One principal's conversation with a server.
pub(crate) struct HttpLink(Arc<Inner>);

/// What the messages of a link share; those that nobody waits for outlive it for a moment.
struct Inner {
    client: Arc<TenantClient>,
    url: Url,
    /// Marked as sensitive, each.
    credential: HeaderMap,
    agreed: Mutex<Agreed>,
    /// The next request's number.
    next: AtomicU64,
    changed: AtomicBool,
    ended: AtomicBool,
    /// Whoever waits for an answer stops to do so when this is true.
    stopped: watch::Sender<bool>,
    farewells: Arc<Semaphore>,
}

#[derive(Default, Clone)]
struct Agreed {
    revision: Option<HeaderValue>,
    /// Requests say everything themselves (2026-07-28).
    stateless: bool,
    session: Option<HeaderValue>,
}

impl Inner {
    fn agreed(&self) -> MutexGuard<'_, Agreed> {
        self.agreed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is sent besides a message.
    fn headers(&self, agreed: &Agreed) -> HeaderMap {
        let mut headers = self.credential.clone();
        if let Some(session) = &agreed.session {
            headers.insert(SESSION, session.clone());
        }
        if let Some(revision) = &agreed.revision {
            headers.insert("mcp-protocol-version", revision.clone());
        }
        headers
    }

    /// Keeps the session that came with the answer to `initialize`; whatever other answers carry is not looked at.
    fn begin(&self, headers: &HeaderMap) -> Result<(), UpstreamError> {
        let mut given = headers.get_all(SESSION).iter();
        let session = given.next().cloned();
        let fits = session.as_ref().is_none_or(|value| {
            let bytes = value.as_bytes();
            (1..=LONGEST_SESSION).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
        });
        if !fits || given.next().is_some() {
            return Err(UpstreamError::Protocol("the name of its session is not one"));
        }
        self.agreed().session = session.map(|mut session| {
            session.set_sensitive(true);
            session
        });
        Ok(())
    }

    /// Marks the conversation as over.
    fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Tells the server that the session is over, if there is one.
    fn part(self: &Arc<Self>) {
        let agreed = self.agreed().clone();
        if agreed.session.is_some() && !self.ended.swap(true, Ordering::Relaxed) {
            let headers = self.headers(&agreed);
            self.in_the_background(Method::DELETE, headers, None);
        }
    }

    /// Sends a message that nobody waits for, unless as many are on their way already.
    fn in_the_background(self: &Arc<Self>, method: Method, headers: HeaderMap, body: Option<String>) {
        let (Ok(place), Ok(runtime)) =
            (Arc::clone(&self.farewells).try_acquire_owned(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let inner = Arc::clone(self);
        drop(runtime.spawn(async move {
            let request = Outgoing { method, url: inner.url.clone(), headers, body };
            // What is answered is not looked at; whether it failed makes no difference any more.
            let _nobody_waits = tokio::time::timeout(FAREWELL, inner.client.send(request)).await;
            drop(place);
        }));
    }

    /// Posts a message that nobody waits for.
    fn say(self: &Arc<Self>, message: String) {
        let agreed = self.agreed().clone();
        let mut headers = self.headers(&agreed);
        outgoing::add_posted(&mut headers);
        self.in_the_background(Method::POST, headers, Some(message));
    }
}

impl HttpLink {
    /// Ends the conversation; whoever waits for an answer is told.
    pub(super) fn kill(&self) {
        self.0.part();
        self.0.end();
        self.0.stopped.send_replace(true);
    }
}

impl Drop for HttpLink {
    fn drop(&mut self) {
        self.0.part();
    }
}

/// A request that was sent; the server is told when nobody waits for its answer any more.
struct InFlight<'l> {
    inner: &'l Arc<Inner>,
    number: u64,
    /// Whether that has to be told: not when it was answered, and never of `initialize`. In the stateless revision it is told
    /// by closing the request.
    waited_for: bool,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if self.waited_for {
            self.inner.say(message::cancelled(self.number));
        }
    }
}

impl Link for HttpLink {
    async fn request(&self, request: Request<'_>) -> Result<Box<RawValue>, UpstreamError> {
        let inner = &self.0;
        if inner.ended.load(Ordering::Relaxed) {
            return Err(UpstreamError::Ended);
        }
        let agreed = inner.agreed().clone();
        let number = inner.next.fetch_add(1, Ordering::Relaxed);
        let outgoing = outgoing::request(inner, &agreed, number, &request)?;
        let is_first = request.method == "initialize";
        let mut in_flight = InFlight { inner, number, waited_for: !is_first && !agreed.stateless };
        let mut connected = true;
        let exchange = async {
            let response = inner.client.send(outgoing).await.map_err(|error| {
                connected = !error.is_before_sending();
                unreachable(error)
            })?;
            let headers = is_first.then(|| response.headers().clone());
            let expected = answer::Expected { inner, number, agreed: &agreed, room: request.room };
            let result = answer::read(response, &expected, request.progress).await?;
            if let Some(headers) = headers {
                inner.begin(&headers)?;
            }
            Ok(result)
        };
        let mut stopped = inner.stopped.subscribe();
        let exchange = async {
            tokio::select! {
                result = exchange => result,
                _stopped = stopped.wait_for(|stopped| *stopped) => Err(UpstreamError::Ended),
            }
        };
        let result = tokio::time::timeout_at(request.ends.into(), exchange).await;
        let result = result.unwrap_or(Err(UpstreamError::TimedOut));
        // What was answered, and what never arrived, needs no cancelling.
        in_flight.waited_for &= matches!(
            result,
            Err(UpstreamError::TimedOut | UpstreamError::TooLarge | UpstreamError::Protocol(_))
        );
        if connected && request.method == "tools/call" {
            result.map_err(UpstreamError::after_sending)
        } else {
            result
        }
    }

    async fn notify(&self, method: &'static str, params: Value, ends: Instant) -> Result<(), UpstreamError> {
        let inner = &self.0;
        if inner.ended.load(Ordering::Relaxed) {
            return Err(UpstreamError::Ended);
        }
        let agreed = inner.agreed().clone();
        let outgoing = outgoing::notification(inner, &agreed, method, params)?;
        let sent = tokio::time::timeout_at(ends.into(), inner.client.send(outgoing)).await;
        let response = sent.map_err(|_elapsed| UpstreamError::TimedOut)?.map_err(unreachable)?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(answer::refused(inner, &agreed, status)),
        }
    }

    fn agreed(&self, revision: &str) {
        let mut agreed = self.0.agreed();
        agreed.stateless = revision == crate::wire::headers::MODERN;
        // A revision is a date, whatever the server said.
        agreed.revision = HeaderValue::from_str(revision).ok();
    }

    fn tools_changed(&self) -> bool {
        self.0.changed.swap(false, Ordering::Relaxed)
    }

    fn ended(&self) -> bool {
        self.0.ended.load(Ordering::Relaxed)
    }
}
