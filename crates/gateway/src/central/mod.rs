//! `server.state = "postgres"`: one database in which several gateway processes keep tenants, secrets and audit logs.
//!
//! Statements run on a few connections, each with a thread of its own, so that callers that cannot wait asynchronously
//! can use them too, and every use has a time limit. What belongs to a tenant lies under row-level security
//! (`schema.sql`): a transaction sees it after it has named the tenant ([`name_tenant`]).

mod error;
mod lane;
mod start;
#[cfg(test)]
pub(crate) mod tests;

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use partywall_postgres::{
    connect::{ConnectError, Connection, Connector},
    url::{DatabaseUrl, UrlError},
};
use secrecy::ExposeSecret as _;
use tokio_postgres::{Client, Transaction, error::SqlState, types::Type};

pub use self::error::CentralError;
use self::lane::Lane;
use crate::config::{Config, Environment, State};

/// How long one use of the database may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(5);
/// How long a change of a tenant may take, with the wait for whoever is changing others: many may be added just then.
pub(crate) const TURN: Duration = Duration::from_secs(60);
/// How long before we give up the server does.
const BEFORE: Duration = Duration::from_secs(1);

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// What the server itself holds a connection to, so that nothing of ours goes on there when we have given up: a statement,
/// and a wait for a lock.
pub(crate) const HELD: &str = "SET statement_timeout = '4s'; SET lock_timeout = '4s'";
/// A line of the audit log waits less for a lock, which can be one tenant's: the lines of others wait with it.
const HELD_FOR_LINES: &str = "SET statement_timeout = '4s'; SET lock_timeout = '1s'";
/// Whoever changes tenants or makes the schema does it alone: this lock has no other meaning.
const WRITERS: i64 = 0x7061_7274_7977_616c;

/// Work on a connection.
pub(crate) type Work<'c, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>;

/// The database, as one process uses it.
pub(crate) struct Central {
    connector: Connector,
    lanes: [Lane; Central::LANES],
    /// The audit log's own.
    audit: Lane,
    next: AtomicUsize,
}

impl Central {
    const LANES: usize = 4;
    /// How many connections a process that serves has: these, the audit log's, and that of whoever keeps the tenants.
    pub(crate) const CONNECTIONS: usize = Self::LANES + 2;

    /// Connects as the configuration says, and makes the tables when there are none; `None` when state is kept in
    /// files.
    ///
    /// # Errors
    /// The URL is none, the database cannot be reached, or it is one in which tenants would not be kept apart.
    pub(crate) fn open(
        config: &Config,
        environment: &Environment,
    ) -> Result<Option<Arc<Self>>, CentralError> {
        if config.server.state != State::Postgres {
            return Ok(None);
        }
        let reference = config.server.state_url.as_ref().ok_or(CentralError::NoUrl)?;
        let url = reference.resolve(&config.base_dir, environment)?;
        let url = DatabaseUrl::parse(url.expose_secret(), &config.base_dir)?;
        if reference.literal().is_some() && url.has_password() {
            return Err(UrlError::PasswordInTheOpen.into());
        }
        Self::connect(Connector::new(url)?).map(|central| Some(Arc::new(central)))
    }

    fn connect(connector: Connector) -> Result<Self, CentralError> {
        let lane = |name| Lane::start(name, &connector, HELD);
        let central = Self {
            lanes: [lane("state-1")?, lane("state-2")?, lane("state-3")?, lane("state-4")?],
            audit: Lane::start("state-audit", &connector, HELD_FOR_LINES)?,
            connector: connector.clone(),
            next: AtomicUsize::new(0),
        };
        central.run("checking the database of the state", move |client| {
            Box::pin(async move {
                start::same_session(client, &connector).await?;
                start::prepare(client).await
            })
        })?;
        Ok(central)
    }

    /// Makes every connection, so that a server that has not room for all of them is noticed at the start.
    pub(crate) fn open_all(&self) -> Result<(), CentralError> {
        for (made, lane) in self.lanes.iter().chain([&self.audit]).enumerate() {
            lane.run::<_, CentralError>(LIMIT, "connecting", |client| {
                Box::pin(async move { client.batch_execute("").await.map_err(failed) })
            })
            .map_err(|error| error.after(made))?;
        }
        Ok(())
    }

    /// Whether every connection was answered what it asked last.
    pub(crate) fn is_reachable(&self) -> bool {
        self.lanes.iter().chain([&self.audit]).all(Lane::is_reachable)
    }

    /// Where it is, without credentials.
    pub(crate) fn at(&self) -> String {
        self.connector.url().to_string()
    }

    pub(crate) fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Runs work on some connection and waits for it on this thread, at most [`LIMIT`].
    pub(crate) fn run<T, E>(
        &self,
        doing: &str,
        work: impl for<'c> FnOnce(&'c mut Client) -> Work<'c, T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<CentralError> + Send + 'static,
    {
        self.run_within(LIMIT, doing, work)
    }

    /// The same for work that may take longer, because it is of many tenants.
    pub(crate) fn run_within<T, E>(
        &self,
        limit: Duration,
        doing: &str,
        work: impl for<'c> FnOnce(&'c mut Client) -> Work<'c, T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<CentralError> + Send + 'static,
    {
        let at = self.next.fetch_add(1, Relaxed) % Self::LANES;
        let [first, ..] = &self.lanes;
        let lane = self.lanes.get(at).unwrap_or(first);
        lane.run(limit, doing, move |client| Box::pin(long(client, limit, work)))
    }

    /// Has work done on the audit log's connection, in the order in which it was given; `missed` runs when it was not.
    pub(crate) fn audit<E: From<CentralError> + Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut Client) -> Work<'c, (), E> + Send + 'static,
        missed: impl FnOnce(E) + Send + 'static,
    ) {
        self.audit.send(work, missed);
    }
}

impl std::fmt::Debug for Central {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Central").field("at", &self.at()).finish_non_exhaustive()
    }
}

/// Makes a connection that the server holds to its times, itself within [`CONNECT`].
pub(crate) async fn connect(connector: &Connector, held: &str) -> Result<(Client, Connection), CentralError> {
    let made = tokio::time::timeout(CONNECT, async {
        let (client, mut connection) = connector.connect().await?;
        let ended = || CentralError::JustFailed { doing: "connecting".to_owned() };
        let set = tokio::select! {
            biased;
            set = client.batch_execute(held) => set,
            _ended = std::future::poll_fn(|cx| Pin::new(&mut connection).poll(cx)) => return Err(ended()),
        };
        set.map_err(|error| CentralError::sql("connecting", &error))?;
        Ok((client, connection))
    });
    made.await.unwrap_or_else(|_elapsed| {
        let (at, seconds) = (connector.url().to_string(), CONNECT.as_secs());
        Err(ConnectError::Slow { at, seconds }.into())
    })
}

/// Work that may take longer than a use of the database usually does.
async fn long<'c, T, E: From<CentralError>>(
    client: &'c mut Client,
    limit: Duration,
    work: impl for<'d> FnOnce(&'d mut Client) -> Work<'d, T, E>,
) -> Result<T, E> {
    if limit <= LIMIT {
        return work(client).await;
    }
    let failed = |error| E::from(CentralError::sql("changing the time limit", &error));
    let held = limit.saturating_sub(BEFORE).as_millis();
    let text = format!("SET statement_timeout = {held}; SET lock_timeout = {held}");
    client.batch_execute(&text).await.map_err(failed)?;
    let done = work(client).await;
    client.batch_execute(HELD).await.map_err(failed)?;
    done
}

/// Names the tenant whose rows the rest of the transaction sees.
pub(crate) async fn name_tenant(tx: &Transaction<'_>, tenant: &str) -> Result<(), tokio_postgres::Error> {
    let text = "SELECT set_config('partywall.tenant', $1, true)";
    tx.query_typed(text, &[(&tenant, Type::TEXT)]).await.map(|_row| ())
}

/// Keeps other writers out until the transaction ends, so that changes are numbered in the order of their commits.
pub(crate) async fn write_alone(tx: &Transaction<'_>, doing: &str) -> Result<(), CentralError> {
    match tx.execute("SELECT pg_advisory_xact_lock($1)", &[&WRITERS]).await {
        Ok(_row) => Ok(()),
        Err(error)
            if matches!(error.code(), Some(&SqlState::LOCK_NOT_AVAILABLE | &SqlState::QUERY_CANCELED)) =>
        {
            Err(CentralError::Busy { doing: doing.to_owned() })
        }
        Err(error) => Err(CentralError::sql(doing, &error)),
    }
}

fn failed(error: tokio_postgres::Error) -> CentralError {
    CentralError::sql("preparing the database of the state", &error)
}
