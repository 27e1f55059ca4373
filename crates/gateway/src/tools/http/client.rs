//! The connections of one tenant to its upstreams.
//!
//! No two tenants share a client, so no connection that carried one tenant's credential ever carries another's. A
//! client follows no redirects, keeps no cookies and heeds no proxy of the environment. Names are resolved through a
//! resolver that drops every address that is not public; since that happens at each connect, a name that changes its
//! mind later (DNS rebinding) gains nothing. A look-up takes a thread for as long as the system likes, so a tenant has few
//! of them.

use std::{
    error::Error as StdError,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{Client, Error, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, client::Resumption, crypto::aws_lc_rs};
use rustls_platform_verifier::Verifier;
use tokio::{net::TcpStream, time::error::Elapsed};
use tower_service::Service;
use url::Url;

use super::{
    HttpToolError,
    address::AllowList,
    resolver::{self, NotPublic, PublicOnly},
};
use crate::config;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_PER_HOST: usize = 4;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may be silent before it is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const TLS_SESSIONS: usize = 16;
/// A reply's head may be so large, as in Node's own client; and no more is read at a time.
///
/// The client reads on while there is something to read, and only a count of reads (tokio's) makes it stop for others. With
/// the buffer of up to 400 KB that is usual, an upstream that sends interim replies without an end had each of its
/// connections hold a thread of all tenants for as long as 50 MB take.
const MAX_HEAD: usize = 16 * 1024;

/// What all tenants' clients are made from; nothing in it depends on a tenant or changes with use.
#[derive(Debug)]
pub struct HttpShared {
    allow: Arc<AllowList>,
    connect_timeout: Duration,
    tls: ClientConfig,
}

impl HttpShared {
    /// Prepares the shared parts.
    ///
    /// # Errors
    /// When `http.allow_private` holds something that is no host.
    pub fn new(http: &config::Http) -> Result<Self, HttpToolError> {
        let allow = AllowList::parse(&http.allow_private)?;
        Ok(Self {
            allow: Arc::new(allow),
            connect_timeout: http.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
            tls: tls_config().map_err(|_| HttpToolError::Client("TLS cannot be set up"))?,
        })
    }
}

/// The TLS settings that all clients start from. The certificate store is read once, since that takes milliseconds and
/// much memory. Without one, plain `http` upstreams can still be called; `https` ones are not trusted.
fn tls_config() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        || ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    Ok(match Verifier::new(Arc::clone(&provider)) {
        Ok(verifier) => {
            builder()?.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
        }
        Err(_) => {
            tracing::warn!("no certificate store was found; upstreams with `https` cannot be called");
            builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
        }
    })
}

/// A request as a tool makes it.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<String>,
}

impl Outgoing {
    fn into_request(self) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(self.url.as_str())
            .body(Full::from(self.body.unwrap_or_default()))?;
        *request.headers_mut() = self.headers;
        Ok(request)
    }
}

/// The connections of one tenant.
pub(crate) struct TenantClient {
    client: Client<Connector, Full<Bytes>>,
    allow: Arc<AllowList>,
}

impl TenantClient {
    /// Makes a client with no connections yet.
    pub(crate) fn new(shared: &HttpShared) -> Self {
        let connector = Connector::new(shared);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .http1_max_buf_size(MAX_HEAD)
            .build(connector);
        Self { client, allow: Arc::clone(&shared.allow) }
    }

    /// Sends a request and gives the head of the reply.
    pub(crate) async fn send(&self, request: Outgoing) -> Result<Response<Incoming>, HttpToolError> {
        let url = &request.url;
        let refused = HttpToolError::AddressRefused { host: url.host_str().unwrap_or_default().to_owned() };
        // The resolver is not asked about literal addresses.
        if !self.allow.permits(url) {
            return Err(refused);
        }
        let tls = url.scheme() == "https";
        let unsent = |_| HttpToolError::UpstreamFailed { stage: "the request cannot be written" };
        self.client.request(request.into_request().map_err(unsent)?).await.map_err(|error: Error| {
            if is_caused_by::<NotPublic>(&error) {
                refused
            } else if is_late(&error) {
                HttpToolError::Timeout
            } else if error.is_connect() && tls {
                HttpToolError::UpstreamFailed { stage: "no connection, or its certificate is not trusted" }
            } else if error.is_connect() {
                HttpToolError::UpstreamFailed { stage: "no connection" }
            } else {
                HttpToolError::UpstreamFailed { stage: "no valid answer" }
            }
        })
    }
}

fn causes<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(error.source(), |error| (*error).source())
}

fn is_caused_by<E: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(<dyn StdError>::is::<E>)
}

/// Whether the time for a connection was up: that of all of it, or of one address, which the system's error tells.
fn is_late(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|cause| {
        let system = cause.downcast_ref::<io::Error>();
        cause.is::<Elapsed>() || system.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
    })
}

/// Makes connections to public and listed addresses, with TLS where the URL says so, within a time.
#[derive(Clone)]
struct Connector {
    inner: HttpsConnector<HttpConnector<PublicOnly>>,
    /// From the look-up of the name to the end of the handshake.
    limit: Duration,
}

impl Connector {
    fn new(shared: &HttpShared) -> Self {
        let mut tls = shared.tls.clone();
        // A session that one tenant's connection began is not resumed by another's.
        tls.resumption = Resumption::in_memory_sessions(TLS_SESSIONS);
        let mut plain = HttpConnector::new_with_resolver(PublicOnly::new(&shared.allow, resolver::system));
        plain.enforce_http(false);
        plain.set_nodelay(true);
        plain.set_keepalive(Some(KEEP_ALIVE));
        plain.set_keepalive_interval(Some(KEEP_ALIVE));
        plain.set_keepalive_retries(Some(3));
        // Divided among the addresses of a name.
        plain.set_connect_timeout(Some(shared.connect_timeout));
        let inner = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(plain);
        Self { inner, limit: shared.connect_timeout }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = Box<dyn StdError + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(self.limit, self.inner.call(uri));
        Box::pin(async move { connecting.await? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no connection")]
    struct Connecting(#[source] io::Error);

    /// The time of one address ends in an error of the system, whose own cause stands behind it.
    #[test]
    fn a_connection_that_takes_too_long_is_late_whoever_notices() {
        let of = |kind| Connecting(io::Error::new(kind, "tcp"));
        assert!(is_late(&of(io::ErrorKind::TimedOut)));
        assert!(!is_late(&of(io::ErrorKind::ConnectionRefused)));
    }
}
