//! What is left open at the target: sessions that were begun, until somebody ends them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::Duration,
};

use ::http::Method;
use futures_util::{StreamExt as _, stream};
use tokio::{sync::watch, time::Instant};

use super::{
    Target,
    exchange::{Exchange, Request, Wait},
    http,
};

/// The most sessions that are remembered at a time; a technique that begins more of them ends its own.
const MOST: usize = 4_096;
/// How long the target has to end them.
const PATIENCE: Duration = Duration::from_secs(3);
/// How many are ended at a time.
const AT_ONCE: usize = 8;
/// The header with a session's id.
const SESSION: &str = "mcp-session-id";

/// Sessions that were begun and not ended.
#[derive(Default)]
pub(super) struct Begun {
    /// The request that ends each.
    ends: Mutex<BTreeMap<String, Request>>,
    /// How many are just being begun.
    beginning: watch::Sender<usize>,
}

/// One that is just being begun, until it is dropped.
pub(super) struct Beginning(watch::Sender<usize>);

impl Drop for Beginning {
    fn drop(&mut self) {
        self.0.send_modify(|number| *number = number.saturating_sub(1));
    }
}

/// Whether a request begins a session, if the target gives out any.
pub(super) fn begins(request: &Request) -> bool {
    request.verb == Method::POST && String::from_utf8_lossy(&request.body).contains("\"initialize\"")
}

impl Begun {
    /// Notes that a session is being begun.
    pub(super) fn beginning(&self) -> Beginning {
        self.beginning.send_modify(|number| *number += 1);
        Beginning(self.beginning.clone())
    }

    /// Notes a session that an exchange began or ended.
    pub(super) fn note(&self, exchange: &Exchange) {
        let (request, Some(reply)) = (&exchange.request, exchange.reply()) else { return };
        let Ok(mut begun) = self.ends.lock() else { return };
        if request.verb == Method::DELETE {
            // One that is not there, or that cannot be ended, need not be ended again.
            if matches!(reply.status, 200..300 | 404 | 405)
                && let Some((_, session)) = request.headers.iter().find(|(name, _)| name == SESSION)
            {
                begun.remove(session);
            }
        } else if let Some(session) = reply.header(SESSION)
            && begun.len() < MOST
            && begins(request)
        {
            begun.insert(session.to_owned(), end_of(request, session));
        }
    }

    /// Forgets all but some; how each of the others is ended.
    fn take(&self, keep: &BTreeSet<String>) -> BTreeMap<String, Request> {
        let Ok(mut begun) = self.ends.lock() else { return BTreeMap::new() };
        let (kept, left) = std::mem::take(&mut *begun).into_iter().partition(|(id, _)| keep.contains(id));
        *begun = kept;
        left
    }
}

/// What ends the session that a request began.
fn end_of(request: &Request, session: &str) -> Request {
    let mut end = request.clone().once().verb(Method::DELETE).set(SESSION, session).without("content-type");
    end.body.clear();
    end.wait = Wait::Answer;
    end
}

impl Target {
    /// Ends the sessions that nobody ended: of techniques that were stopped in the middle, and those that an attack began.
    /// The time of the run may be up.
    pub(crate) async fn finish(&self) {
        let Ok(http) = http::client(self) else { return };
        let until = Instant::now() + PATIENCE;
        let mut beginning = self.sessions.beginning.subscribe();
        let _late = tokio::time::timeout_at(until, beginning.wait_for(|number| *number == 0)).await;
        self.end_all(&http, self.sessions.take(&BTreeSet::new()), until).await;
    }

    /// Ends the sessions that a probe began and left open; how many there were.
    pub(crate) async fn tidy(&self, keep: &BTreeSet<String>) -> usize {
        let left = self.sessions.take(keep);
        let number = left.len();
        if number > 0
            && let Ok(http) = http::client(self)
        {
            self.end_all(&http, left, Instant::now() + PATIENCE).await;
        }
        number
    }

    async fn end_all(&self, http: &reqwest::Client, left: BTreeMap<String, Request>, until: Instant) {
        let ends = stream::iter(left.into_values()).for_each_concurrent(AT_ONCE, |end| async move {
            // A target that does not end it has been asked to.
            let _answer = self.head(http, &end, until).await;
        });
        let _late = tokio::time::timeout_at(until, ends).await;
    }
}
