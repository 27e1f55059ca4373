//! The server under attack: raw JSON-RPC over HTTP, spoken rightly or wrongly, with bounds on everything that comes back.

mod caller;
mod ending;
mod exchange;
mod held;
mod http;
mod link;
mod raw;
mod sse;
mod tls;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use secrecy::SecretString;
use tokio::{
    sync::{Mutex, Semaphore},
    time::Instant,
};
use url::Url;

use crate::Plan;

pub(crate) use caller::{Caller, Era, TASKS, Transport, legacy};
pub(crate) use exchange::{Exchange, Failure, Reply, Request, Wait, is_stream};
pub(crate) use held::Gate;
pub(crate) use http::{Open, pause};
pub(crate) use raw::{Raw, whole, written};
pub(crate) use sse::events;

/// The revision without sessions.
pub(crate) const MODERN: &str = "2026-07-28";
/// The newest revision with `initialize`.
pub(crate) const LEGACY: &str = "2025-11-25";

/// The revision whose answers come on a stream beside the requests.
pub(crate) const FIRST: &str = "2024-11-05";

/// The most bytes that are read of one answer.
const MOST_BYTES: usize = 4 << 20;

/// How long an ordinary answer is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The endpoint, and what all requests to it share.
pub(crate) struct Target {
    pub(crate) url: Url,
    headers: Vec<(String, SecretString)>,
    /// The header that a token stands in by itself, where the target does not take it as `Authorization: Bearer`.
    token_header: Option<String>,
    places: Semaphore,
    sent: AtomicU64,
    /// How many requests were refused as too many.
    limited: AtomicU64,
    /// How long there must be between two requests, and when the next may go out.
    pace: Option<(Duration, Mutex<Instant>)>,
    /// Whether it speaks HTTP/2 only, without TLS.
    second: AtomicBool,
    deadline: Instant,
    patience: Duration,
    /// Where requests are posted by the transport of 2024-11-05, once a stream has named it.
    post: OnceLock<link::Post>,
    sessions: ending::Begun,
    trust: tls::Trust,
}

impl Target {
    /// The endpoint of a plan, which is attacked until the plan's time is up.
    pub(crate) fn new(plan: &Plan) -> Arc<Self> {
        let pace = plan.rate.map(|rate| (Duration::from_secs(1) / rate.get(), Mutex::new(Instant::now())));
        Arc::new(Self {
            url: plan.url.clone(),
            headers: plan.headers.clone(),
            token_header: plan.token_header.clone(),
            places: Semaphore::new(plan.concurrency.clamp(1, 256)),
            sent: AtomicU64::new(0),
            limited: AtomicU64::new(0),
            pace,
            second: AtomicBool::new(false),
            deadline: Instant::now() + plan.duration,
            patience: PATIENCE.min(plan.duration),
            post: OnceLock::new(),
            sessions: ending::Begun::default(),
            trust: tls::Trust::new(plan.authority.as_deref()),
        })
    }

    /// The header that a token stands in by itself, if it is another than `Authorization`.
    pub(crate) fn token_header(&self) -> Option<&str> {
        self.token_header.as_deref()
    }

    /// Whether the target speaks HTTP/2 only, without TLS: it was reached by that, and not otherwise.
    pub(crate) fn second(&self) -> bool {
        self.second.load(Ordering::Relaxed)
    }

    /// Speaks HTTP/2 without TLS from now on, or not any more.
    pub(crate) fn set_second(&self, only: bool) {
        self.second.store(only, Ordering::Relaxed);
    }

    /// Counts a request that is about to go out, and waits until it may.
    async fn turn(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        if let Some((least, next)) = &self.pace {
            let mut next = next.lock().await;
            tokio::time::sleep_until(*next).await;
            *next = Instant::now() + *least;
        }
    }

    /// How many requests were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// How many requests were refused as too many.
    pub(crate) fn limited(&self) -> u64 {
        self.limited.load(Ordering::Relaxed)
    }

    /// What is left of the time.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Whether the time is up.
    pub(crate) fn late(&self) -> bool {
        self.left().is_zero()
    }

    /// The endpoint's address with another path.
    pub(crate) fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(path);
        url.set_query(None);
        url
    }
}
