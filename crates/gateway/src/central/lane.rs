//! One connection and the thread that has it: work is done one after the other, each within its time.

use std::{
    sync::mpsc as std_mpsc,
    time::{Duration, Instant},
};

use futures_util::future::{Either, select};
use partywall_postgres::connect::{Connection, Connector};
use tokio::sync::mpsc;
use tokio_postgres::Client;

use super::{CentralError, LIMIT, Work};

/// The most work that waits for a connection; more is refused.
const MOST_WAITING: usize = 256;
/// For so long after a failed attempt nobody tries to connect.
const PAUSE: Duration = Duration::from_millis(500);

/// Work whose outcome is known to itself: what it is given is a connection, or why there is none. Whether the connection
/// may be used again.
type Job = Box<dyn for<'c> FnOnce(Result<&'c mut Client, CentralError>) -> Work<'c, bool, ()> + Send>;

/// A connection of its own.
pub(super) struct Lane {
    jobs: mpsc::Sender<Job>,
}

impl Lane {
    pub(super) fn start(name: &str, connector: &Connector) -> Result<Self, CentralError> {
        let (jobs, queue) = mpsc::channel(MOST_WAITING);
        let connector = connector.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || runtime.block_on(serve(connector, queue)))?;
        Ok(Self { jobs })
    }

    /// Runs work and waits for it.
    pub(super) fn run<T, E>(
        &self,
        doing: &str,
        work: impl for<'c> FnOnce(&'c mut Client) -> Work<'c, T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<CentralError> + Send + 'static,
    {
        let (answer, answered) = std_mpsc::sync_channel(1);
        let what = doing.to_owned();
        let slow = || CentralError::Slow { doing: doing.to_owned() };
        let job: Job = Box::new(move |client| {
            Box::pin(async move {
                let outcome = match client {
                    Ok(client) => within(&what, work(client)).await,
                    Err(error) => Outcome { value: Err(E::from(named(error, &what))), sound: false },
                };
                // Whoever waited may have given up.
                let _gone = answer.send(outcome.value);
                Ok(outcome.sound)
            })
        });
        if self.jobs.try_send(job).is_err() {
            return Err(E::from(slow()));
        }
        answered.recv_timeout(LIMIT * 2).unwrap_or_else(|_gone| Err(E::from(slow())))
    }

    /// Has work done; `missed` is told when it was not, or may not have been.
    pub(super) fn send<E: From<CentralError> + Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut Client) -> Work<'c, (), E> + Send + 'static,
        missed: impl FnOnce(E) + Send + 'static,
    ) {
        let what = "writing the audit log";
        let job: Job = Box::new(move |client| {
            Box::pin(async move {
                let outcome = match client {
                    Ok(client) => within(what, work(client)).await,
                    Err(error) => Outcome { value: Err(E::from(named(error, what))), sound: false },
                };
                if let Err(error) = outcome.value {
                    missed(error);
                }
                Ok(outcome.sound)
            })
        });
        if let Err(unsent) = self.jobs.try_send(job) {
            // Told through the work itself, which knows whom.
            let job = unsent.into_inner();
            let refused = CentralError::Slow { doing: what.to_owned() };
            let _told = futures_util::FutureExt::now_or_never(job(Err(refused)));
        }
    }
}

/// What became of work, and whether the connection is as it was.
struct Outcome<T, E> {
    value: Result<T, E>,
    sound: bool,
}

/// An error in the middle leaves a transaction that its guard has rolled back; a lapse of time leaves nobody knows what.
async fn within<T, E: From<CentralError>>(doing: &str, work: Work<'_, T, E>) -> Outcome<T, E> {
    match tokio::time::timeout(LIMIT, work).await {
        Ok(value) => Outcome { sound: true, value },
        Err(_elapsed) => {
            Outcome { value: Err(E::from(CentralError::Slow { doing: doing.to_owned() })), sound: false }
        }
    }
}

fn named(error: CentralError, doing: &str) -> CentralError {
    match error {
        CentralError::JustFailed { .. } => CentralError::JustFailed { doing: doing.to_owned() },
        other => other,
    }
}

/// Does work until nobody can give any, and connects when there is some.
async fn serve(connector: Connector, mut queue: mpsc::Receiver<Job>) {
    let mut failed_at: Option<Instant> = None;
    let mut first = None;
    loop {
        let Some(job) = (match first.take() {
            Some(job) => Some(job),
            None => queue.recv().await,
        }) else {
            return;
        };
        let made = if failed_at.is_some_and(|at| at.elapsed() < PAUSE) {
            Err(CentralError::JustFailed { doing: String::new() })
        } else {
            connector.connect().await.map_err(CentralError::from)
        };
        match made {
            Ok((client, connection)) => {
                if failed_at.take().is_some() {
                    tracing::info!(at = %connector.url(), "the database of the state can be reached again");
                }
                let Some(next) = attend(client, connection, job, &mut queue).await else { return };
                first = next;
            }
            Err(error) => {
                if !matches!(error, CentralError::JustFailed { .. }) {
                    if failed_at.is_none() {
                        tracing::error!(%error, "the database of the state cannot be reached");
                    }
                    failed_at = Some(Instant::now());
                }
                let _told = job(Err(error)).await;
            }
        }
    }
}

/// Does work on one connection until it ends. `None` when there will be no more work; else the work that came when the
/// connection had just ended.
async fn attend(
    mut client: Client,
    connection: Connection,
    first: Job,
    queue: &mut mpsc::Receiver<Job>,
) -> Option<Option<Job>> {
    let mut connection = Box::pin(connection);
    let mut job = first;
    loop {
        let sound = match select(job(Ok(&mut client)), connection.as_mut()).await {
            Either::Left((sound, _)) => sound == Ok(true),
            // The server has hung up: the work learns it from its client at its next step.
            Either::Right((_ended, work)) => {
                let _told = work.await;
                false
            }
        };
        if !sound || client.is_closed() {
            return Some(None);
        }
        job = match select(Box::pin(queue.recv()), connection.as_mut()).await {
            Either::Left((next, _)) => next?,
            Either::Right((_ended, _waiting)) => return Some(None),
        };
    }
}
