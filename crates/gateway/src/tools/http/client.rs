//! The connections of one tenant to its upstreams.
//!
//! No two tenants share a client, so no connection that carried one tenant's credential ever carries another's. A
//! client follows no redirects, keeps no cookies and heeds no proxy of the environment. Names are resolved through a
//! resolver that drops every address that is not public; since that happens at each connect, a name that changes its
//! mind later (DNS rebinding) gains nothing. A look-up takes a thread for as long as the system likes, so a tenant has few
//! of them.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    sync::Arc,
    time::Duration,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::{ClientConfig, RootCertStore, client::Resumption, crypto::aws_lc_rs};
use rustls_platform_verifier::Verifier;
use tokio::sync::Semaphore;

use super::{
    HttpToolError,
    address::{self, AllowList},
};
use crate::config;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_PER_HOST: usize = 4;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const TLS_SESSIONS: usize = 16;
/// Look-ups of names of one tenant at a time. The system's own resolver may take half a minute for a name whose servers do
/// not answer, whatever the call's time is, and the threads are those that statements of all tenants run on.
const LOOK_UPS: usize = 8;

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
            .dns_resolver(Arc::new(PublicOnly::new(&shared.allow, system)))
            .tls_backend_preconfigured(tls)
            .build()
            .map_err(|_| HttpToolError::Client("TLS cannot be set up"))?;
        Ok(Self { client, allow: Arc::clone(&shared.allow) })
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

/// Asks the system for a name's addresses; it may take long.
type LookUp = fn(&str) -> io::Result<Vec<SocketAddr>>;

fn system(name: &str) -> io::Result<Vec<SocketAddr>> {
    Ok((name, 0).to_socket_addrs()?.collect())
}

/// Resolves one tenant's names to their public addresses, and listed names to all of theirs.
#[derive(Debug)]
struct PublicOnly {
    allow: Arc<AllowList>,
    seats: Arc<Semaphore>,
    look_up: LookUp,
}

impl PublicOnly {
    fn new(allow: &Arc<AllowList>, look_up: LookUp) -> Self {
        Self { allow: Arc::clone(allow), seats: Arc::new(Semaphore::new(LOOK_UPS)), look_up }
    }
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let (allow, seats, look_up) = (Arc::clone(&self.allow), Arc::clone(&self.seats), self.look_up);
        Box::pin(async move {
            let listed = allow.lists_host(name.as_str());
            let seat = seats.acquire_owned().await?;
            let found = tokio::task::spawn_blocking(move || {
                // Given back when the system has answered, whether or not the call still waits.
                let _seat = seat;
                look_up(name.as_str())
            })
            .await??;
            let any = !found.is_empty();
            let usable: Vec<SocketAddr> =
                found.into_iter().filter(|address| listed || address::is_public(address.ip())).collect();
            if any && usable.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(usable.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use super::*;

    static ASKED: AtomicUsize = AtomicUsize::new(0);
    static ANSWERS: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

    /// A system whose name servers do not answer.
    fn silent(_name: &str) -> io::Result<Vec<SocketAddr>> {
        ASKED.fetch_add(1, SeqCst);
        let answers = ANSWERS.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Ends by itself, so that a test that fails ends too.
        let most = Duration::from_secs(20);
        drop(ANSWERS.1.wait_timeout_while(answers, most, |answers| !*answers));
        Ok(vec![SocketAddr::from(([8, 8, 8, 8], 0))])
    }

    fn quick(_name: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(vec![SocketAddr::from(([8, 8, 8, 8], 0)), SocketAddr::from(([10, 0, 0, 1], 0))])
    }

    fn ask(resolver: &PublicOnly) -> Resolving {
        resolver.resolve("api.example.com".parse().expect("a name"))
    }

    /// Calls that gave up leave their look-ups behind. (Without the seats each of them has a thread.)
    #[tokio::test]
    async fn a_tenants_look_ups_hold_few_threads_however_many_calls_gave_up() {
        let allow = Arc::new(AllowList::parse(&[]).expect("a list"));
        let (acme, globex) = (PublicOnly::new(&allow, silent), PublicOnly::new(&allow, quick));
        let mut calls: Vec<Resolving> = (0..100).map(|_| ask(&acme)).collect();
        while ASKED.load(SeqCst) < LOOK_UPS {
            for call in &mut calls {
                assert!(futures_util::poll!(call).is_pending());
            }
            tokio::task::yield_now().await;
        }
        drop(calls);
        let mut late = ask(&acme);
        for _ in 0..100 {
            assert!(futures_util::poll!(&mut late).is_pending());
            tokio::task::yield_now().await;
        }
        assert_eq!(ASKED.load(SeqCst), LOOK_UPS);
        // The neighbour's names are found, and only what is public of them.
        let found: Vec<SocketAddr> = ask(&globex).await.expect("found").collect();
        assert_eq!(found, [SocketAddr::from(([8, 8, 8, 8], 0))]);
        *ANSWERS.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        ANSWERS.1.notify_all();
        assert_eq!(late.await.expect("found").count(), 1);
    }
}
