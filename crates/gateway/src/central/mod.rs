//! `server.state = "postgres"`: one database in which several gateway processes keep tenants, secrets and audit logs.
//!
//! Statements run on a few connections, each with a thread of its own, so that callers that cannot wait asynchronously
//! can use them too, and every use has a time limit. What belongs to a tenant lies under row-level security
//! (`schema.sql`): a transaction sees it after it has named the tenant ([`name_tenant`]).

mod error;
mod lane;
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
    connect::Connector,
    url::{DatabaseUrl, UrlError},
};
use secrecy::ExposeSecret as _;
use tokio_postgres::{Client, Transaction};

pub use self::error::CentralError;
use self::lane::Lane;
use crate::config::{Config, Environment, State};

/// How long one use of the database may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(5);

const SCHEMA: &str = include_str!("schema.sql");
const SPELLING: &str = include_str!("spelling.sql");
/// What `partywall.format` says when the schema is this one.
const FORMAT: i32 = 1;
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
        let lane = |name| Lane::start(name, &connector);
        let central = Self {
            lanes: [lane("state-1")?, lane("state-2")?, lane("state-3")?, lane("state-4")?],
            audit: lane("state-audit")?,
            connector: connector.clone(),
            next: AtomicUsize::new(0),
        };
        central.run("checking the database of the state", |client| Box::pin(prepare(client)))?;
        Ok(central)
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
        let at = self.next.fetch_add(1, Relaxed) % Self::LANES;
        let [first, ..] = &self.lanes;
        self.lanes.get(at).unwrap_or(first).run(doing, work)
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

/// Names the tenant whose rows the rest of the transaction sees.
pub(crate) async fn name_tenant(tx: &Transaction<'_>, tenant: &str) -> Result<(), tokio_postgres::Error> {
    tx.execute("SELECT set_config('partywall.tenant', $1, true)", &[&tenant]).await.map(|_row| ())
}

/// Keeps other writers out until the transaction ends, so that changes are numbered in the order of their commits.
pub(crate) async fn write_alone(tx: &Transaction<'_>) -> Result<(), tokio_postgres::Error> {
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&WRITERS]).await.map(|_row| ())
}

/// Refuses a role that sees the rows of all tenants, and a database that cannot keep every text.
async fn look(client: &Client) -> Result<(), CentralError> {
    let row = client
        .query_one(
            "SELECT rolsuper OR rolbypassrls, current_user::text, pg_catalog.current_setting('server_encoding')
             FROM pg_catalog.pg_roles WHERE rolname = current_user",
            &[],
        )
        .await
        .map_err(failed)?;
    if row.get::<_, bool>(0) {
        return Err(CentralError::Unbound(row.get(1)));
    }
    match row.get::<_, String>(2) {
        encoding if encoding == "UTF8" => Ok(()),
        encoding => Err(CentralError::Encoding(encoding)),
    }
}

fn failed(error: tokio_postgres::Error) -> CentralError {
    CentralError::sql("preparing the database of the state", &error)
}

async fn prepare(client: &mut Client) -> Result<(), CentralError> {
    look(client).await?;
    let tx = client.transaction().await.map_err(failed)?;
    write_alone(&tx).await.map_err(failed)?;
    let there: bool = tx
        .query_one("SELECT pg_catalog.to_regclass('partywall.format') IS NOT NULL", &[])
        .await
        .map_err(failed)?
        .get(0);
    if !there {
        tx.batch_execute(SCHEMA).await.map_err(failed)?;
    }
    let found: i32 = tx.query_one("SELECT version FROM partywall.format", &[]).await.map_err(failed)?.get(0);
    if found != FORMAT {
        return Err(CentralError::Format { found, known: FORMAT });
    }
    let spelling: bool = tx
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_policy
             WHERE polname = 'in_any_spelling' AND polrelid = 'partywall.shredded'::regclass)",
            &[],
        )
        .await
        .map_err(failed)?
        .get(0);
    if !spelling {
        tx.batch_execute(SPELLING).await.map_err(failed)?;
    }
    let open = tx
        .query(
            "SELECT c.relname::text FROM pg_catalog.pg_class AS c
             WHERE c.relnamespace = 'partywall'::regnamespace
               AND c.relname IN ('tenant_key', 'secret', 'shredded', 'audit')
               AND NOT (c.relrowsecurity AND c.relforcerowsecurity)",
            &[],
        )
        .await
        .map_err(failed)?;
    if let Some(row) = open.first() {
        return Err(CentralError::NotForced(row.get(0)));
    }
    tx.commit().await.map_err(failed)
}
