//! The connections of one tenant to its upstreams.
//!
//! No two tenants share a client, so no connection that carried one tenant's credential ever carries another's. A
//! client follows no redirects, keeps no cookies and heeds no proxy of the environment. Names are resolved through a
//! resolver that drops every address that is not public; since that happens at each connect, a name that changes its
//! mind later (DNS rebinding) gains nothing.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::{ClientConfig, RootCertStore, client::Resumption, crypto::aws_lc_rs};
use rustls_platform_verifier::Verifier;

use super::{
    HttpToolError,
    address::{self, AllowList},
};
use crate::config;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_PER_HOST: usize = 4;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const TLS_SESSIONS: usize = 16;

/// What all tenants' clients are made from; nothing in it depends on a tenant or changes with use.
#[derive(Debug)]
pub struct HttpShared {
    resolver: Arc<PublicOnly>,
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
            resolver: Arc::new(PublicOnly(Arc::new(allow))),
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
    let mut config = match Verifier::new(Arc::clone(&provider)) {
        Ok(verifier) => {
            builder()?.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
        }
        Err(_) => {
            tracing::warn!("no certificate store was found; upstreams with `https` cannot be called");
            builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The connections of one tenant.
pub(crate) struct TenantClient {
    client: reqwest::Client,
    allow: Arc<AllowList>,
}

impl TenantClient {
    /// Makes a client with no connections yet.
    pub(crate) fn new(shared: &HttpShared) -> Result<Self, HttpToolError> {
        let mut tls = shared.tls.clone();
        // A session that one tenant's connection began is not resumed by another's.
        tls.resumption = Resumption::in_memory_sessions(TLS_SESSIONS);
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(shared.connect_timeout)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .dns_resolver(Arc::clone(&shared.resolver))
            .tls_backend_preconfigured(tls)
            .build()
            .map_err(|_| HttpToolError::Client("TLS cannot be set up"))?;
        Ok(Self { client, allow: Arc::clone(&shared.resolver.0) })
    }

    /// Sends a request and gives the head of the reply.
    pub(super) async fn send(&self, request: reqwest::Request) -> Result<reqwest::Response, HttpToolError> {
        let refused = || HttpToolError::AddressRefused {
            host: request.url().host_str().unwrap_or_default().to_owned(),
        };
        // The resolver is not asked about literal addresses.
        if !self.allow.permits(request.url()) {
            return Err(refused());
        }
        let (refusal, tls) = (refused(), request.url().scheme() == "https");
        self.client.execute(request).await.map_err(|error| {
            if is_refusal(&error) {
                refusal
            } else if error.is_timeout() {
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

/// A name that has no public address.
#[derive(Debug, thiserror::Error)]
#[error("the name has no public address")]
struct NotPublic;

fn is_refusal(error: &reqwest::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.is::<NotPublic>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Resolves names to their public addresses, and listed names to all of theirs.
#[derive(Debug)]
struct PublicOnly(Arc<AllowList>);

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let allow = Arc::clone(&self.0);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let any = !found.is_empty();
            let listed = allow.lists_host(name.as_str());
            let usable: Vec<SocketAddr> =
                found.into_iter().filter(|address| listed || address::is_public(address.ip())).collect();
            if any && usable.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(usable.into_iter()) as Addrs)
        })
    }
}
