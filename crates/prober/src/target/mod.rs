//! The server under attack: raw JSON-RPC over HTTP, spoken rightly or wrongly, with bounds on everything that comes back.

mod caller;
mod ending;
mod exchange;
mod http;
mod link;
mod raw;
mod sse;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use secrecy::SecretString;
use tokio::{sync::Semaphore, time::Instant};
use url::Url;

pub(crate) use caller::{Caller, Era, TASKS, Transport, legacy};
pub(crate) use exchange::{Exchange, Failure, Reply, Request, Wait, is_stream};
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
    places: Semaphore,
    sent: AtomicU64,
    deadline: Instant,
    patience: Duration,
    /// Where requests are posted by the transport of 2024-11-05, once a stream has named it.
    post: OnceLock<link::Post>,
    sessions: ending::Begun,
}

impl Target {
    /// An endpoint that at most `concurrency` requests at a time are sent to, until the time is up.
    pub(crate) fn new(
        url: Url,
        headers: Vec<(String, SecretString)>,
        concurrency: usize,
        duration: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            url,
            headers,
            places: Semaphore::new(concurrency.clamp(1, 256)),
            sent: AtomicU64::new(0),
            deadline: Instant::now() + duration,
            patience: PATIENCE.min(duration),
            post: OnceLock::new(),
            sessions: ending::Begun::default(),
        })
    }

    /// How many requests were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
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
