//! What is left open at the target: sessions that were begun, until somebody ends them.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

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

    fn take(&self) -> BTreeMap<String, Request> {
        self.ends.lock().map(|mut begun| std::mem::take(&mut *begun)).unwrap_or_default()
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
        let Ok(http) = http::client() else { return };
        let until = Instant::now() + PATIENCE;
        let mut beginning = self.sessions.beginning.subscribe();
        let _late = tokio::time::timeout_at(until, beginning.wait_for(|number| *number == 0)).await;
        let left = self.sessions.take();
        let ends = stream::iter(left.into_values()).for_each_concurrent(AT_ONCE, |end| {
            let http = &http;
            async move {
                // A target that does not end it has been asked to.
                let _answer = self.head(http, &end, until).await;
            }
        });
        let _late = tokio::time::timeout_at(until, ends).await;
    }
}
