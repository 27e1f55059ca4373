//! SQLite: one file per tenant; a statement cannot name rows of a file it cannot open.
//!
//! A declared statement is compiled once, at load time, against a database in memory that went through the same
//! migrations. At a call it runs on a connection to `tenants/<tenant>/<source>.sqlite`, chosen by the permit and by
//! nothing else, whose authorizer allows reading and changing rows of the migrated tables and denies the rest. Reads
//! have read-only connections; a write is one transaction. A read that was quick the last time runs on the caller's own
//! thread, within a fraction of a millisecond; everything else has a thread that may block.

mod authorize;
mod connection;
mod control;
mod execute;
mod files;
mod migrations;
mod pool;
mod source;
mod statement;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Instant};

use serde_json::Value;

use self::{
    connection::{Mode, when_free},
    control::{Control, Why},
    execute::on_the_spot,
    pool::{Key, Lease},
};
pub(super) use self::{source::Source, statement::Statement};
use super::{
    error::{DataError, ErrorKind},
    query::{QueryLimits, Rows, deadline_after},
};
use crate::admit::Permit;

impl Source {
    /// Runs a statement on the file of the permit's tenant, which is created and migrated when this is its first use.
    pub(super) async fn run(
        self: &Arc<Self>,
        permit: &Permit,
        statement: &Statement,
        args: &[(String, Value)],
        limits: QueryLimits,
    ) -> Result<Rows, DataError> {
        let deadline = deadline_after(limits.time);
        let values = statement.bind(args)?;
        #[cfg(test)]
        let permit = super::first_of("file-per-tenant", permit);
        let key = Key {
            tenant: permit.tenant().clone(),
            incarnation: permit.incarnation(),
            mode: match statement.writes() {
                true => Mode::Write,
                false => Mode::Read,
            },
        };
        let mut lease = self.pool.lease(key, deadline).await?;
        if !Self::is_current(&lease) {
            lease = open(self, lease, deadline).await?;
        }
        let brake = Brake::start(&lease, deadline)?;
        if let Some(rows) = lease.conn().and_then(|conn| on_the_spot(conn, statement, &values, limits)) {
            #[cfg(test)]
            self.on_the_spot.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            return Ok(rows);
        }
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
    let done = match statement.is_model() {
        false => execute::execute(conn, statement, values, limits),
        // Compiling may have to read the schema, for which the limit of the call before may be too low.
        true => conn
            .limit_values(limits.bytes)
            .and_then(|()| when_free(|| conn.control().check().is_ok(), || statement.written(conn, values)))
            .and_then(|written| execute::execute(conn, &written, &[], limits)),
    };
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
