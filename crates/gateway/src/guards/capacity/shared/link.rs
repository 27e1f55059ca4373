//! The connection to Redis or Valkey: made again when it is lost, never waited for longer than a call may wait, and
//! with a bounded number of questions under way.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{AcqRel, Release},
        },
    },
    time::{Duration, Instant},
};

use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind,
    aio::MultiplexedConnection, cluster::ClusterClient, cluster_async::ClusterConnection,
};
use tokio::sync::{Notify, Semaphore};

use super::{
    health::Health,
    lease::{Answer, Question, Terms},
};

/// One question to a bucket.
const SCRIPT: &str = include_str!("take.lua");
/// Questions under way at once, of all tenants. Who finds none free goes alone.
const MOST_QUESTIONS: usize = 256;
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(1);
/// Between attempts to connect, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_millis(500);
/// A connection that gave no answer for so long is made anew.
const SILENCE: Duration = Duration::from_secs(2);

/// Where to connect.
pub(super) enum Target {
    One(Box<redis::Client>),
    Cluster(Box<ClusterClient>),
}

#[derive(Clone)]
enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// A connection and when it was made.
#[derive(Clone)]
struct Made {
    connection: Connection,
    at: Instant,
}

pub(super) struct Link {
    target: Target,
    timeout: Duration,
    /// The script's hash, by which Redis knows it.
    hash: String,
    made: Mutex<Option<Made>>,
    connecting: AtomicBool,
    connected: Notify,
    places: Semaphore,
    pub(super) health: Health,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("no answer in time")]
    Late,
    #[error("too many questions are under way")]
    Busy,
    #[error("it answers what was not asked")]
    Strange,
    #[error("{}", described(.0))]
    Redis(#[from] RedisError),
}

/// What kind of error it is; without what the server wrote, which might be anything.
fn described(error: &RedisError) -> String {
    let code = error.code().map(|code| format!(" {code}")).unwrap_or_default();
    let what = match error.kind() {
        ErrorKind::Io if error.is_connection_refusal() => "connection refused",
        ErrorKind::Io if error.is_timeout() => "no answer in time",
        _ => error.category(),
    };
    format!("{what}{code}")
}

impl Link {
    pub(super) fn new(target: Target, timeout: Duration) -> Arc<Self> {
        let digest = &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY;
        let hash = hex::encode(aws_lc_rs::digest::digest(digest, SCRIPT.as_bytes()));
        Arc::new(Self {
            target,
            timeout,
            hash,
            made: Mutex::default(),
            connecting: AtomicBool::new(false),
            connected: Notify::new(),
            places: Semaphore::new(MOST_QUESTIONS),
            health: Health::default(),
        })
    }

    /// Asks a bucket; nothing when there is no answer in time.
    pub(super) async fn ask(self: &Arc<Self>, key: &str, terms: Terms, question: Question) -> Option<Answer> {
        let asked = tokio::time::timeout(self.timeout, self.try_ask(key, terms, question)).await;
        let now = Instant::now();
        match asked.unwrap_or(Err(Trouble::Late)) {
            Ok(answer) => {
                self.health.answered(now);
                Some(answer)
            }
            Err(why) => {
                self.health.failed(now, &why.to_string());
                self.renew_if_broken(&why, now);
                None
            }
        }
    }

    async fn try_ask(
        self: &Arc<Self>,
        key: &str,
        terms: Terms,
        question: Question,
    ) -> Result<Answer, Trouble> {
        let _place = self.places.try_acquire().map_err(|_none| Trouble::Busy)?;
        let mut connection = self.connection().await;
        let command = |name: &str, script: &str| {
            let mut command = redis::cmd(name);
            command.arg(script).arg(1).arg(key).arg(terms.per_second).arg(terms.burst);
            command.arg(question.want).arg(question.back).arg(question.owed);
            command
        };
        let (taken, wait) = match connection.ask(&command("EVALSHA", &self.hash)).await {
            // A server that was started again, or another node, knows it from the next line on.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                connection.ask(&command("EVAL", SCRIPT)).await?
            }
            answer => answer?,
        };
        if taken > question.want {
            return Err(Trouble::Strange);
        }
        Ok(Answer { taken, wait: Duration::from_micros(wait) })
    }

    fn made(&self) -> Option<Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The connection, once there is one.
    async fn connection(self: &Arc<Self>) -> Connection {
        loop {
            let connected = self.connected.notified();
            if let Some(made) = self.made() {
                return made.connection;
            }
            self.connect();
            connected.await;
        }
    }

    /// Makes a connection anew that is broken, or that gave nobody an answer for a while.
    fn renew_if_broken(self: &Arc<Self>, why: &Trouble, now: Instant) {
        let Some(made) = self.made() else { return };
        let broken = match (&made.connection, why) {
            (Connection::One(_), Trouble::Redis(error)) => error.is_unrecoverable_error(),
            // A cluster's own connection looks after those to its nodes.
            _ => false,
        };
        if !broken && !self.health.is_silent(made.at, now, SILENCE) {
            return;
        }
        let mut held = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_some_and(|held| held.at == made.at) {
            *held = None;
        }
        drop(held);
        self.connect();
    }

    /// Sees to it that there is a connection, or will be one.
    pub(super) fn connect(self: &Arc<Self>) {
        if self.made().is_some() || self.connecting.swap(true, AcqRel) {
            return;
        }
        let weak = Arc::downgrade(self);
        background(async move {
            let mut pause = FIRST_PAUSE;
            while let Some(link) = weak.upgrade() {
                if link.try_connect().await {
                    return;
                }
                // Who lets go of the link ends this.
                drop(link);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LAST_PAUSE);
            }
        });
    }

    async fn try_connect(&self) -> bool {
        let made = tokio::time::timeout(CONNECT, self.target.connect(self.timeout)).await;
        match made.map_err(|_late| Trouble::Late).and_then(|made| made.map_err(Trouble::from)) {
            Ok(connection) => {
                let made = Made { connection, at: Instant::now() };
                *self.made.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
                self.connecting.store(false, Release);
                self.connected.notify_waiters();
                true
            }
            Err(why) => {
                self.health.failed(Instant::now(), &why.to_string());
                false
            }
        }
    }
}

impl Target {
    async fn connect(&self, timeout: Duration) -> RedisResult<Connection> {
        match self {
            Self::One(client) => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(CONNECT))
                    .set_response_timeout(Some(timeout.max(CONNECT)));
                client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::One)
            }
            Self::Cluster(client) => client.get_async_connection().await.map(Connection::Cluster),
        }
    }
}

impl Connection {
    async fn ask(&mut self, command: &Cmd) -> RedisResult<(u32, u64)> {
        match self {
            Self::One(connection) => command.query_async(connection).await,
            Self::Cluster(connection) => command.query_async(connection).await,
        }
    }
}

/// Starts a task that belongs to no tenant's call.
pub(super) fn background(task: impl Future<Output = ()> + Send + 'static) {
    #[expect(
        clippy::disallowed_methods,
        reason = "a question serves all waiting calls of its tenant and outlives each; it reads nothing of any of them"
    )]
    drop(tokio::spawn(task));
}
