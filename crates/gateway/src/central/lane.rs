//! One connection and the thread that has it: work is done one after the other, each within its time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc as std_mpsc,
    },
    time::{Duration, Instant},
};

use futures_util::future::{Either, select};
use partywall_postgres::connect::{Connection, Connector};
use tokio::sync::mpsc;
use tokio_postgres::Client;

use super::{CentralError, LIMIT, Work, connect};

/// The most work that waits for a connection; more is refused.
const MOST_WAITING: usize = 256;
/// For so long after a failed attempt nobody tries to connect.
const PAUSE: Duration = Duration::from_millis(500);
/// How often a connection that has failed is made again while nobody has work for it, so that it is known when it can be.
const AGAIN: Duration = Duration::from_secs(1);
/// A connection that was not used for so long is asked whether it is there still: what is between may have forgotten it.
#[cfg(not(test))]
const IDLE: Duration = Duration::from_secs(20);
#[cfg(test)]
const IDLE: Duration = Duration::from_millis(300);
/// How long that may take.
const THERE: Duration = Duration::from_secs(1);

/// Work whose outcome is known to itself: what it is given is a connection, or why there is none. Whether the connection
/// may be used again. It knows by when it has to be done.
type Job = Box<dyn for<'c> FnOnce(Result<&'c mut Client, CentralError>) -> Work<'c, bool, ()> + Send>;

/// A connection of its own.
pub(super) struct Lane {
    jobs: mpsc::Sender<Job>,
    /// Whether the last attempt to connect, or the last use, went wrong.
    failing: Arc<AtomicBool>,
}

impl Lane {
    pub(super) fn start(name: &str, connector: &Connector, held: &'static str) -> Result<Self, CentralError> {
        let (jobs, queue) = mpsc::channel(MOST_WAITING);
        let connector = connector.clone();
        let failing = Arc::new(AtomicBool::new(false));
        let fails = Arc::clone(&failing);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || runtime.block_on(serve(connector, held, queue, &fails)))?;
        Ok(Self { jobs, failing })
    }

    /// Whether the database answered what was asked last.
    pub(super) fn is_reachable(&self) -> bool {
        !self.failing.load(Relaxed)
    }

    /// Runs work and waits for it.
    pub(super) fn run<T, E>(
        &self,
        limit: Duration,
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
        let end = Instant::now() + limit;
        let job: Job = Box::new(move |client| {
            Box::pin(async move {
                let outcome = match client {
                    Ok(client) => within(end, &what, work(client)).await,
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
        answered.recv_timeout(limit + THERE).unwrap_or_else(|_gone| Err(E::from(slow())))
    }

    /// Has work done; `missed` is told when it was not, or may not have been.
    pub(super) fn send<E: From<CentralError> + Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut Client) -> Work<'c, (), E> + Send + 'static,
        missed: impl FnOnce(E) + Send + 'static,
    ) {
        let what = "writing the audit log";
        let end = Instant::now() + LIMIT;
        let job: Job = Box::new(move |client| {
            Box::pin(async move {
                let outcome = match client {
                    Ok(client) => within(end, what, work(client)).await,
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
async fn within<T, E: From<CentralError>>(end: Instant, doing: &str, work: Work<'_, T, E>) -> Outcome<T, E> {
    let slow = || Err(E::from(CentralError::Slow { doing: doing.to_owned() }));
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() {
        // Nothing was begun, so the connection is as it was.
        return Outcome { value: slow(), sound: true };
    }
    match tokio::time::timeout(left, work).await {
        Ok(value) => Outcome { sound: true, value },
        Err(_elapsed) => Outcome { value: slow(), sound: false },
    }
}

fn named(error: CentralError, doing: &str) -> CentralError {
    match error {
        CentralError::JustFailed { .. } => CentralError::JustFailed { doing: doing.to_owned() },
        other => other,
    }
}

/// Does work until nobody can give any, and connects when there is some.
async fn serve(
    connector: Connector,
    held: &'static str,
    mut queue: mpsc::Receiver<Job>,
    failing: &AtomicBool,
) {
    let mut failed_at: Option<Instant> = None;
    let mut first = None;
    loop {
        let job = match first.take() {
            Some(job) => Some(job),
            None => match next(&mut queue, failing.load(Relaxed)).await {
                Next::Work(job) => Some(job),
                Next::Look => None,
                Next::Never => return,
            },
        };
        let made = if failed_at.is_some_and(|at| at.elapsed() < PAUSE) {
            Err(CentralError::JustFailed { doing: String::new() })
        } else {
            connect(&connector, held).await
        };
        match made {
            Ok((client, connection)) => {
                failed_at = None;
                if failing.swap(false, Relaxed) {
                    tracing::warn!(at = %connector.url(), "the database of the state can be reached again");
                }
                match attend(client, connection, job, &mut queue).await {
                    Ended::ForGood => return,
                    Ended::Before(job) => first = Some(job),
                    Ended::HungUp => {}
                    Ended::NoAnswer => {
                        failed_at = Some(Instant::now());
                        if !failing.swap(true, Relaxed) {
                            tracing::error!(at = %connector.url(), "the database of the state does not answer in time");
                        }
                        turn_away(&mut queue).await;
                    }
                }
            }
            Err(error) => {
                if !matches!(error, CentralError::JustFailed { .. }) {
                    if !failing.swap(true, Relaxed) {
                        tracing::error!(%error, "the database of the state cannot be reached");
                    }
                    failed_at = Some(Instant::now());
                }
                if let Some(job) = job {
                    let _told = job(Err(error)).await;
                }
                turn_away(&mut queue).await;
            }
        }
    }
}

/// What is to be done next.
enum Next {
    Work(Job),
    /// To see whether there is a connection again.
    Look,
    /// There will be no more work.
    Never,
}

async fn next(queue: &mut mpsc::Receiver<Job>, failing: bool) -> Next {
    let given = match failing {
        false => Ok(queue.recv().await),
        true => tokio::time::timeout(AGAIN, queue.recv()).await,
    };
    match given {
        Ok(Some(job)) => Next::Work(job),
        Ok(None) => Next::Never,
        Err(_elapsed) => Next::Look,
    }
}

/// Tells those who wait that there is no connection: it would take each of them as long as whoever was before.
async fn turn_away(queue: &mut mpsc::Receiver<Job>) {
    for _ in 0..MOST_WAITING {
        let Ok(job) = queue.try_recv() else { return };
        let _told = job(Err(CentralError::JustFailed { doing: String::new() })).await;
    }
}

/// How a connection has ended.
enum Ended {
    /// There will be no more work.
    ForGood,
    /// The server has hung up, or work has left it in doubt.
    HungUp,
    /// Work had no answer in its time.
    NoAnswer,
    /// Before this work was begun.
    Before(Job),
}

/// Does work on one connection until it ends.
async fn attend(
    mut client: Client,
    connection: Connection,
    first: Option<Job>,
    queue: &mut mpsc::Receiver<Job>,
) -> Ended {
    let mut connection = Box::pin(connection);
    let mut next = first;
    loop {
        if let Some(job) = next.take() {
            let sound = match select(job(Ok(&mut client)), connection.as_mut()).await {
                Either::Left((sound, _)) => sound == Ok(true),
                // The server has hung up: the work learns it from its client at its next step.
                Either::Right((_ended, work)) => {
                    let _told = work.await;
                    return Ended::HungUp;
                }
            };
            if client.is_closed() {
                return Ended::HungUp;
            }
            if !sound {
                return Ended::NoAnswer;
            }
        }
        let since = Instant::now();
        let job = match select(Box::pin(queue.recv()), connection.as_mut()).await {
            Either::Left((Some(next), _)) => next,
            Either::Left((None, _)) => return Ended::ForGood,
            Either::Right((_ended, _waiting)) => return Ended::HungUp,
        };
        if since.elapsed() > IDLE {
            let there = tokio::time::timeout(THERE, client.simple_query(""));
            match select(Box::pin(there), connection.as_mut()).await {
                Either::Left((Ok(Ok(_)), _)) => {}
                _ => return Ended::Before(job),
            }
        }
        next = Some(job);
    }
}
