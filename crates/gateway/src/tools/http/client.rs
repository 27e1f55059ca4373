//! The connections of one tenant to its upstreams.
//!
//! No two tenants share a client, so no connection that carried one tenant's credential ever carries another's. A
//! client follows no redirects, keeps no cookies and heeds no proxy of the environment. Names are resolved through a
//! resolver that drops every address that is not public; since that happens at each connect, a name that changes its
//! mind later (DNS rebinding) gains nothing.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{
    HttpToolError,
    address::{self, AllowList},
};
use crate::config;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_PER_HOST: usize = 4;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// What all tenants' clients are made from; nothing in it depends on a tenant or changes with use.
#[derive(Debug)]
pub struct HttpShared {
    resolver: Arc<PublicOnly>,
    connect_timeout: Duration,
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
        })
    }
}

/// The connections of one tenant.
pub(crate) struct TenantClient {
    client: reqwest::Client,
    allow: Arc<AllowList>,
}

impl TenantClient {
    /// Makes a client with no connections yet.
    pub(crate) fn new(shared: &HttpShared) -> Result<Self, HttpToolError> {
        let builder = || {
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .referer(false)
                .connect_timeout(shared.connect_timeout)
                .pool_max_idle_per_host(IDLE_PER_HOST)
                .pool_idle_timeout(IDLE_TIMEOUT)
                .dns_resolver(Arc::clone(&shared.resolver))
        };
        // Without a certificate store, plain `http` upstreams can still be called; `https` ones are not trusted.
        let client = builder()
            .build()
            .or_else(|_| builder().tls_certs_only([]).build())
            .map_err(|_| HttpToolError::Client("TLS cannot be set up"))?;
        Ok(Self {
            client,
            allow: Arc::clone(&shared.resolver.0),
        })
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
                HttpToolError::UpstreamFailed {
                    stage: "no connection, or its certificate is not trusted",
                }
            } else if error.is_connect() {
                HttpToolError::UpstreamFailed {
                    stage: "no connection",
                }
            } else {
                HttpToolError::UpstreamFailed {
                    stage: "no valid answer",
                }
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
            let usable: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| listed || address::is_public(address.ip()))
                .collect();
            if any && usable.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(usable.into_iter()) as Addrs)
        })
    }
}
