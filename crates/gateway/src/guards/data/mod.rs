//! Data: one SQLite file per tenant; a statement cannot name rows of a file it cannot open.
//!
//! A declared statement is compiled once, at load time, against a database in memory that went through the same
//! migrations. At a call it runs on a connection to `tenants/<tenant>/<source>.sqlite`, chosen by the permit and by
//! nothing else, whose authorizer allows reading and changing rows of the migrated tables and denies the rest. Reads
//! have read-only connections; a write is one transaction.

mod authorize;
mod connection;
mod control;
mod error;
mod execute;
mod files;
mod migrations;
mod pool;
mod renew;
mod source;
mod statement;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use partywall_model::TenantId;
use serde_json::Value;

pub use error::{ConstraintKind, DataError, ErrorKind};
pub use execute::{QueryLimits, Rows};
pub use statement::Statement;

use self::{
    connection::{Mode, deadline_after},
    control::{Control, Why},
    pool::{Key, Lease},
    source::Source,
};
use crate::{
    admit::{Incarnation, Permit},
    config::{Config, Driver},
};

/// How long administration waits for a free file.
const ADMIN_WAIT: Duration = Duration::from_secs(30);

/// All `[data.NAME]` of a configuration.
pub struct Sources(BTreeMap<String, Arc<Source>>);

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Sources {
    /// Reads the migrations and tries them on a database in memory; touches no tenant's file.
    ///
    /// # Errors
    /// When a source's name, limits or migrations are not as they should be.
    pub fn new(config: &Config) -> Result<Arc<Self>, DataError> {
        let data_dir = config.data_dir();
        let mut sources = BTreeMap::new();
        for (name, settings) in &config.data {
            let Driver::Sqlite = settings.driver;
            let source = Source::new(name, settings, &config.base_dir, &data_dir)?;
            sources.insert(name.clone(), Arc::new(source));
        }
        Ok(Arc::new(Self(sources)))
    }

    fn source(&self, name: &str) -> Result<&Arc<Source>, DataError> {
        self.0.get(name).ok_or_else(|| {
            DataError::Configuration(format!("there is no source `{name}`; add `[data.{name}]`"))
        })
    }

    /// Compiles a statement at load time, so that a wrong table or column is an error of the configuration.
    ///
    /// # Errors
    /// When it is not exactly one statement, its parameters are not exactly `params` (written `:name`), it does not fit
    /// `writes`, or it asks for anything but reading and changing rows of the migrated tables.
    pub fn compile(
        &self,
        source: &str,
        sql: &str,
        params: &[&str],
        writes: bool,
    ) -> Result<Statement, DataError> {
        self.source(source)?.compile(sql, params, writes)
    }

    /// Runs a statement on the file of the permit's tenant, which is created and migrated when this is its first use.
    ///
    /// Dropping the future stops the statement and rolls a write back, unless its commit has begun.
    ///
    /// # Errors
    /// See [`DataError`]; after any of them a write has had no effect.
    pub async fn run(
        self: &Arc<Self>,
        permit: &Permit,
        statement: &Statement,
        args: &[(String, Value)],
        limits: QueryLimits,
    ) -> Result<Rows, DataError> {
        let deadline = deadline_after(limits.time);
        let source = self.source(statement.source())?;
        let values = statement.bind(args)?;
        let key = Key {
            tenant: permit.tenant().clone(),
            incarnation: permit.incarnation(),
            mode: match statement.writes() {
                true => Mode::Write,
                false => Mode::Read,
            },
        };
        let mut lease = source.pool.lease(key, deadline).await?;
        if !source.is_current(&lease) {
            lease = open(source, lease, deadline).await?;
        }
        let brake = Brake::start(&lease, deadline)?;
        let statement = statement.clone();
        let mut work = tokio::task::spawn_blocking(move || work(lease, &statement, &values, limits));
        let done = match tokio::time::timeout_at(deadline.into(), &mut work).await {
            Ok(done) => done,
            Err(_) => {
                // The answer must say what happened to a write, so it is waited for.
                brake.stop(Why::Time);
                work.await
            }
        };
        done.map_err(|_| DataError::Internal("the statement's thread ended early".to_owned()))?
    }

    /// Creates, migrates and seeds a tenant's file; for administration, which has a thread to block. The seed runs once
    /// in a file's life, in one transaction, and may change rows only.
    ///
    /// # Errors
    /// See [`DataError`]; the seed has had no effect then.
    pub fn setup(
        &self,
        tenant: &TenantId,
        incarnation: Incarnation,
        source: &str,
        seed_sql: &str,
    ) -> Result<(), DataError> {
        if seed_sql.contains('\0') {
            return Err(DataError::Refused("the seed contains a NUL character".to_owned()));
        }
        let source = self.source(source)?;
        let key = Key { tenant: tenant.clone(), incarnation, mode: Mode::Write };
        let lease = source.pool.lease_blocking(key, deadline_after(ADMIN_WAIT))?;
        source.seed(lease, seed_sql)
    }

    /// Closes a tenant's files and stops its statements, because it was removed or begins another life.
    pub fn forget(&self, tenant: &TenantId) {
        for source in self.0.values() {
            source.pool.forget(tenant);
        }
    }

    /// How many database files are open or being opened.
    #[must_use]
    pub fn open_files(&self) -> usize {
        self.0.values().map(|source| source.pool.open_files()).sum()
    }
}

/// Opens a lease's file on a thread that may block. When time runs out the thread goes on, so that a tenant's first use
/// ends at some time, and gives the file to the next call.
async fn open(source: &Arc<Source>, lease: Lease, deadline: Instant) -> Result<Lease, DataError> {
    let source = Arc::clone(source);
    let opening = tokio::task::spawn_blocking(move || source.open(lease, deadline));
    match tokio::time::timeout_at(deadline.into(), opening).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(_)) => Err(DataError::Internal("the opening thread ended early".to_owned())),
        Err(_) => Err(DataError::TimedOut),
    }
}

fn work(
    mut lease: Lease,
    statement: &Statement,
    values: &[rusqlite::types::Value],
    limits: QueryLimits,
) -> Result<Rows, DataError> {
    let Some(conn) = lease.conn() else {
        return Err(DataError::Internal("a lease without its file".to_owned()));
    };
    let done = execute::execute(conn, statement, values, limits);
    if matches!(&done, Err(error) if error.kind() == ErrorKind::Unavailable) {
        // What was cached of a damaged file must not outlive its repair.
        lease.close();
    }
    done
}

/// Stops a call's statement when the call's future is dropped.
struct Brake {
    control: Arc<Control>,
    call: u64,
}

impl Brake {
    fn start(lease: &Lease, deadline: Instant) -> Result<Self, DataError> {
        let conn = lease.conn().ok_or_else(|| DataError::Internal("a lease without its file".to_owned()))?;
        let control = Arc::clone(conn.control());
        control.start(lease.call(), deadline);
        Ok(Self { control, call: lease.call() })
    }

    fn stop(&self, why: Why) {
        self.control.stop(self.call, why);
    }
}

impl Drop for Brake {
    fn drop(&mut self) {
        // Nothing happens when the call is over: it is named, and another may have the connection by now.
        self.stop(Why::Cancelled);
    }
}
