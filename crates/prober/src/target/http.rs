//! Sending: one exchange with bounds, and streams that stay open while something else happens.

use std::sync::{Arc, Mutex, atomic::Ordering};

use ::http::{HeaderName, HeaderValue};
use bytes::Bytes;
use secrecy::ExposeSecret;
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use super::{
    MOST_BYTES, Target, ending,
    exchange::{self, Exchange, Failure, Reply, Request, Wait},
};

/// A client of its own, with its own connections; nothing is followed, kept or sent through a proxy. With TLS it speaks
/// the version of HTTP that the target chooses.
pub(super) fn client(target: &Target) -> Result<reqwest::Client, String> {
    if target.second() {
        return multiplexed(target);
    }
    plain(target, &["h2", "http/1.1"])?.build().map_err(|error| error.to_string())
}

/// A client that has one connection of HTTP/2 for everything.
pub(super) fn multiplexed(target: &Target) -> Result<reqwest::Client, String> {
    plain(target, &["h2"])?.http2_prior_knowledge().build().map_err(|error| error.to_string())
}

fn plain(target: &Target, versions: &[&str]) -> Result<reqwest::ClientBuilder, String> {
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(target.trust.of_one(versions)?)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(32)
        .connect_timeout(super::PATIENCE))
}

impl Target {
    /// Sends a request and reads its answer.
    pub(crate) async fn send(
        self: &Arc<Self>,
        http: &reqwest::Client,
        who: &str,
        request: Request,
    ) -> Exchange {
        let request = self.addressed(request);
        if !ending::begins(&request) {
            return self.send_here(http, who, request).await;
        }
        // Who waits for it may be stopped meanwhile, and nobody would know of the session: it is read to its end all the same.
        let (target, client, name, sent) = (Arc::clone(self), http.clone(), who.to_owned(), request.clone());
        let place = self.sessions.beginning();
        #[expect(clippy::disallowed_methods, reason = "there is no permit here: the prober is a client")]
        let task = tokio::spawn(async move {
            let exchange = target.send_here(&client, &name, sent).await;
            drop(place);
            exchange
        });
        task.await.unwrap_or_else(|_| Exchange {
            who: who.to_owned(),
            request,
            outcome: Err(Failure::Broken("it was stopped".to_owned())),
            took: std::time::Duration::ZERO,
        })
    }

    /// The request with its token where this target looks for it. A scheme that is written wrongly stays as it is.
    pub(super) fn addressed(&self, mut request: Request) -> Request {
        let Some(place) = &self.token_header else { return request };
        for (name, value) in &mut request.headers {
            if name.eq_ignore_ascii_case("authorization")
                && let Some(token) = value.strip_prefix("Bearer ")
            {
                *value = token.to_owned();
                name.clone_from(place);
            }
        }
        request
    }

    async fn send_here(&self, http: &reqwest::Client, who: &str, request: Request) -> Exchange {
        let Ok(_place) = self.places.acquire().await else {
            return Exchange {
                who: who.to_owned(),
                request,
                outcome: Err(Failure::Late),
                took: std::time::Duration::ZERO,
            };
        };
        let mut turn = 0;
        loop {
            turn += 1;
            let began = Instant::now();
            let outcome = if self.late() { Err(Failure::Late) } else { self.exchange(http, &request).await };
            let took = began.elapsed();
            match outcome.as_ref().ok().and_then(pause) {
                // A limit is the target's right, and waiting is what it asks for.
                Some(pause) if request.polite && turn <= 3 && pause < self.left() => {
                    tokio::time::sleep(pause).await
                }
                _ => {
                    let exchange = Exchange { who: who.to_owned(), request, outcome, took };
                    self.sessions.note(&exchange);
                    return exchange;
                }
            }
        }
    }

    async fn exchange(&self, http: &reqwest::Client, request: &Request) -> Result<Reply, Failure> {
        let patience = request.patience.min(self.patience);
        let end = Instant::now() + patience;
        let mut response = self.head(http, request, end).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        if status == 429 {
            self.limited.fetch_add(1, Ordering::Relaxed);
        }
        let stop = match request.wait {
            Wait::Answer => end,
            Wait::For(time) => (Instant::now() + time).min(end),
        };
        let (mut body, mut lookout) = (Vec::new(), exchange::Lookout::default());
        loop {
            // What is always ready is never waited for, and the time goes by all the same.
            let next = async {
                if Instant::now() < stop { response.chunk().await } else { std::future::pending().await }
            };
            match tokio::time::timeout_at(stop, next).await {
                Ok(Ok(Some(chunk))) if body.len() + chunk.len() > MOST_BYTES => {
                    return Err(Failure::TooLarge);
                }
                Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
                Ok(Ok(None)) => break,
                Ok(Err(error)) => return Err(Failure::Broken(reason(&error))),
                Err(_) if matches!(request.wait, Wait::For(_)) => break,
                Err(_) => return Err(Failure::Timeout),
            }
            if request.wait == Wait::Answer && lookout.answered(&headers, &body, &request.id) {
                break;
            }
        }
        Reply::read(status, headers, body)
    }

    /// Sends a request and reads the head of its answer.
    pub(super) async fn head(
        &self,
        http: &reqwest::Client,
        request: &Request,
        end: Instant,
    ) -> Result<reqwest::Response, Failure> {
        let ready = self.ready(http, request)?;
        self.turn().await;
        tokio::time::timeout_at(end, ready.send())
            .await
            .map_err(|_| Failure::Timeout)?
            .map_err(|e| failure(&e))
    }

    fn ready(&self, http: &reqwest::Client, request: &Request) -> Result<reqwest::RequestBuilder, Failure> {
        let url = request.url.clone().unwrap_or_else(|| self.url.clone());
        let mut ready = http.request(request.verb.clone(), url);
        let left_out =
            |name: &str| request.left_out.as_deref().is_some_and(|left| left.eq_ignore_ascii_case(name));
        let common = self.headers.iter().filter(|(name, _)| !left_out(name));
        let common = common.map(|(name, value)| (name.as_str(), value.expose_secret()));
        let own = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        if !request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("accept-encoding")) {
            // Where nothing is said, any coding would be right.
            ready = ready.header("accept-encoding", "identity");
        }
        for (name, value) in common.chain(own) {
            let name = HeaderName::try_from(name)
                .map_err(|_| Failure::Unsendable(format!("{name:?} is no header name")))?;
            let mut value = HeaderValue::try_from(value)
                .map_err(|_| Failure::Unsendable(format!("the value of {name} cannot stand in a header")))?;
            value.set_sensitive(true);
            ready = ready.header(name, value);
        }
        Ok(match &request.held {
            // What comes in pieces would go out without its length.
            Some(gate) => {
                ready.header("content-length", request.body.len()).body(gate.body(request.body.clone()))
            }
            None if request.body.is_empty() => ready,
            None => ready.body(request.body.clone()),
        })
    }

    /// Opens a stream that is read in the background until it is dropped, or the run's time is up.
    pub(crate) fn open(self: &Arc<Self>, http: &reqwest::Client, who: &str, request: Request) -> Open {
        let request = self.addressed(request);
        let (status, seen) = watch::channel(None);
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (target, http, sink, sent) =
            (Arc::clone(self), http.clone(), Arc::clone(&bytes), request.clone());
        #[expect(clippy::disallowed_methods, reason = "there is no permit here: the prober is a client")]
        let task = tokio::spawn(async move {
            let left = target.left();
            let read = target.read_on(&http, &sent, &status, &sink);
            let _late = tokio::time::timeout(left, read).await;
            // Whoever waits for the answer's head must not wait for ever.
            status.send_if_modified(|state| state.is_none() && state.replace(0).is_none());
        });
        Open { who: who.to_owned(), request, status: seen, bytes, task }
    }

    async fn read_on(
        &self,
        http: &reqwest::Client,
        request: &Request,
        status: &watch::Sender<Option<u16>>,
        sink: &Mutex<Vec<u8>>,
    ) {
        let Ok(ready) = self.ready(http, request) else { return };
        self.turn().await;
        let Ok(mut response) = ready.send().await else { return };
        status.send_replace(Some(response.status().as_u16()));
        while let Ok(Some(chunk)) = response.chunk().await {
            let Ok(mut bytes) = sink.lock() else { return };
            if bytes.len() + chunk.len() > MOST_BYTES {
                return;
            }
            bytes.extend_from_slice(&chunk);
        }
    }
}

/// A stream that is being read.
pub(crate) struct Open {
    /// Whose it is.
    pub(crate) who: String,
    /// What opened it.
    pub(crate) request: Request,
    status: watch::Receiver<Option<u16>>,
    bytes: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Open {
    /// The status, when the head of the answer has come; 0 when it never will.
    pub(crate) async fn status(&mut self) -> u16 {
        let seen = tokio::time::timeout(super::PATIENCE, self.status.wait_for(Option::is_some)).await;
        match seen {
            Ok(Ok(status)) => status.unwrap_or(0),
            _ => 0,
        }
    }

    /// The status, 0 when there is none yet.
    pub(crate) fn status_now(&self) -> u16 {
        self.status.borrow().unwrap_or(0)
    }

    /// What has come so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().map(|bytes| bytes.clone()).unwrap_or_default()
    }

    /// Whether nothing more will come.
    pub(crate) fn ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Ends it; what came, as an exchange of an event stream.
    pub(crate) fn close(self) -> Exchange {
        let status = self.status.borrow().unwrap_or(0);
        let mut headers = ::http::HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("text/event-stream"));
        let outcome = match status {
            0 => Err(Failure::Broken("no answer".to_owned())),
            status => Ok(Reply::new(status, headers, Bytes::from(self.bytes()))),
        };
        Exchange {
            who: self.who.clone(),
            request: self.request.clone(),
            outcome,
            took: std::time::Duration::ZERO,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How long a target asks to wait, if it asks and the time is short.
pub(crate) fn pause(reply: &Reply) -> Option<std::time::Duration> {
    let asks = matches!(reply.status, 429 | 503);
    let seconds = reply.header("retry-after")?.trim().parse::<u64>().ok()?;
    (asks && seconds <= 5).then(|| std::time::Duration::from_secs(seconds.max(1)))
}

fn failure(error: &reqwest::Error) -> Failure {
    if error.is_connect() {
        Failure::Connect(reason(error))
    } else if error.is_timeout() {
        Failure::Timeout
    } else if error.is_builder() {
        Failure::Unsendable(reason(error))
    } else {
        Failure::Broken(reason(error))
    }
}

/// The innermost cause, without the address: it may hold a token in its query.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    if std::ptr::addr_eq(std::ptr::from_ref(cause), std::ptr::from_ref(error)) {
        return "the exchange failed".to_owned();
    }
    cause.to_string()
}
