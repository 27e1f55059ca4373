//! A connection to Redis or Valkey: made again when it is lost, never waited for longer than a call may wait, and
//! with a bounded number of questions under way. The limits have one and the shared replies another, so that large
//! replies do not hold up the limits.

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
    AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, RedisResult, ServerErrorKind,
    aio::MultiplexedConnection, cluster::ClusterClient, cluster_async::ClusterConnection,
};
use tokio::sync::{Notify, Semaphore};

use super::{
    health::{Health, Words},
    trouble::Trouble,
};

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

/// A program that the server runs, and the hash by which it knows it.
pub(in crate::guards) struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    pub(in crate::guards) fn new(text: &'static str) -> Self {
        let digest = &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY;
        Self { text, hash: hex::encode(aws_lc_rs::digest::digest(digest, text.as_bytes())) }
    }
}

pub(in crate::guards) struct Link {
    target: Target,
    timeout: Duration,
    made: Mutex<Option<Made>>,
    connecting: AtomicBool,
    connected: Notify,
    places: Semaphore,
    pub(in crate::guards) health: Health,
}

impl Link {
    pub(super) fn new(target: Target, timeout: Duration, words: &'static Words) -> Arc<Self> {
        Arc::new(Self {
            target,
            timeout,
            made: Mutex::default(),
            connecting: AtomicBool::new(false),
            connected: Notify::new(),
            places: Semaphore::new(MOST_QUESTIONS),
            health: Health::new(words),
        })
    }

    /// Asks; nothing when there is no answer in time.
    pub(in crate::guards) async fn ask<T>(
        self: &Arc<Self>,
        question: impl Future<Output = Result<T, Trouble>>,
    ) -> Option<T> {
        let asked = tokio::time::timeout(self.timeout, async {
            let _place = self.places.try_acquire().map_err(|_none| Trouble::Busy)?;
            question.await
        })
        .await;
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

    /// One command, as a question for [`Link::ask`].
    pub(in crate::guards) async fn command<T: FromRedisValue>(
        self: &Arc<Self>,
        command: &Cmd,
    ) -> Result<T, Trouble> {
        Ok(self.connection().await.ask(command).await?)
    }

    /// One run of a script, as a question for [`Link::ask`]; `fill` adds the number of keys, the keys and the arguments.
    pub(in crate::guards) async fn run<T: FromRedisValue>(
        self: &Arc<Self>,
        script: &Script,
        fill: impl Fn(&mut Cmd),
    ) -> Result<T, Trouble> {
        let mut connection = self.connection().await;
        let command = |name: &str, script: &str| {
            let mut command = redis::cmd(name);
            fill(command.arg(script));
            command
        };
        match connection.ask(&command("EVALSHA", &script.hash)).await {
            // A server that was started again, or another node, knows it from the next line on.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                Ok(connection.ask(&command("EVAL", script.text)).await?)
            }
            answer => Ok(answer?),
        }
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
    pub(in crate::guards) fn connect(self: &Arc<Self>) {
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

    /// Why there is no connection, if one cannot be made.
    #[cfg(test)]
    pub(super) async fn refusal(&self) -> Option<String> {
        self.target.connect(self.timeout).await.err().map(|why| Trouble::from(why).to_string())
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
    async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
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
