//! Why the database of the state cannot be used. Passwords are in none of the messages.

use std::error::Error as _;

use partywall_postgres::{connect::ConnectError, url::UrlError};
use tokio_postgres::error::SqlState;

use super::Central;
use crate::config::ReferenceError;

/// Why tenants, secrets or audit logs cannot be reached in PostgreSQL.
#[derive(Debug, thiserror::Error)]
pub enum CentralError {
    /// The configuration names no database.
    #[error(
        "`server.state_url` is missing; with `server.state = \"postgres\"` it names the database, such as env:STATE_URL"
    )]
    NoUrl,
    /// The URL is not where the configuration says.
    #[error("server.state_url: {0}")]
    Reference(#[from] ReferenceError),
    /// It is no URL.
    #[error("server.state_url: {0}")]
    Url(#[from] UrlError),
    /// The server cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The last attempt failed a moment ago.
    #[error("{doing}: the database of the state could not be reached a moment ago; the log says why")]
    JustFailed {
        /// What was being done.
        doing: String,
    },
    /// It took too long.
    #[error("{doing}: no answer from the database of the state in time; it may or may not have been done")]
    Slow {
        /// What was being done.
        doing: String,
    },
    /// Somebody else is changing tenants.
    #[error(
        "{doing}: nothing was done, since somebody else is changing tenants and was not ready in time (adding many of them, \
         perhaps); run it again"
    )]
    Busy {
        /// What was to be done.
        doing: String,
    },
    /// Fewer connections can be made than a process has.
    #[error(
        "{made} connections to {at} were made and the next got none ({what}); a process that serves has {needed}, and a \
         command four: let each process have so many in the pooler that is between (default_pool_size), of the role \
         (CONNECTION LIMIT) and of the server (max_connections)"
    )]
    TooFew {
        /// The database.
        at: String,
        /// How many were made.
        made: usize,
        /// How many are needed.
        needed: usize,
        /// What was said.
        what: String,
    },
    /// The server said no.
    #[error("{doing}: {what}{advice}")]
    Sql {
        /// What was being done.
        doing: String,
        /// What the server said.
        what: String,
        /// What to do.
        advice: &'static str,
    },
    /// Row-level security does not bind the role.
    #[error(
        "the role `{0}` of server.state_url is a superuser or has BYPASSRLS, so nothing would keep tenants apart; create \
         one that is neither: CREATE ROLE partywall LOGIN; GRANT CREATE ON DATABASE … TO partywall"
    )]
    Unbound(String),
    /// A pooler is between that gives each transaction another session.
    #[error(
        "server.state_url leads to a pooler that gives each transaction or statement another session of the database, which \
         would be told of no change of a tenant; name the database itself, or a pooler in session mode"
    )]
    Pooled,
    /// It has not all characters.
    #[error(
        "the database of server.state_url has the encoding {0}, so it cannot keep every line of the audit log, and one that \
         it cannot keep would cost other tenants theirs; create one with all characters: CREATE DATABASE … ENCODING 'UTF8' \
         TEMPLATE template0"
    )]
    Encoding(String),
    /// A table is not under row-level security any more.
    #[error(
        "the table partywall.{0} is not under row-level security; run: ALTER TABLE partywall.{0} ENABLE ROW LEVEL \
         SECURITY; ALTER TABLE partywall.{0} FORCE ROW LEVEL SECURITY"
    )]
    NotForced(String),
    /// The tables are of another version.
    #[error(
        "the schema partywall has format {found}, this version knows {known}; use the version that made it"
    )]
    Format {
        /// What is there.
        found: i32,
        /// What is known.
        known: i32,
    },
    /// The system gives no thread.
    #[error("starting a thread: {0}")]
    Thread(#[from] std::io::Error),
}

impl CentralError {
    pub(crate) fn sql(doing: &str, error: &tokio_postgres::Error) -> Self {
        let advice = match error.code() {
            Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                "; let the role of server.state_url make a schema (GRANT CREATE ON DATABASE …), or give it the schema partywall"
            }
            Some(&SqlState::DISK_FULL | &SqlState::OUT_OF_MEMORY) => "; look after the database server",
            Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => "; the server is a standby: name the primary",
            Some(&SqlState::LOCK_NOT_AVAILABLE | &SqlState::QUERY_CANCELED) => {
                "; is the server busy, or does somebody hold a lock? try again"
            }
            _ => "",
        };
        let what = match error.as_db_error() {
            Some(said) => said.message().to_owned(),
            None => match error.source() {
                Some(cause) => format!("{error}: {cause}"),
                None => error.to_string(),
            },
        };
        Self::Sql { doing: doing.to_owned(), what, advice }
    }
    /// What it means that a connection could not be made when so many had been a moment before.
    pub(crate) fn after(self, made: usize) -> Self {
        let few = |at, what| Self::TooFew { at, made, needed: Central::CONNECTIONS, what };
        match self {
            Self::Connect(ConnectError::Slow { at, seconds }) if made > 0 => {
                few(at, format!("no answer within {seconds} s"))
            }
            // Said by a server or a pooler that is there.
            Self::Connect(ConnectError::Refused { at, what, error, .. })
                if made > 0 && error.code().is_some() =>
            {
                few(at, what)
            }
            other => other,
        }
    }
}
