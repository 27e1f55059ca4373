//! What can go wrong with a tenant's data, in words for operators; a row's values never appear in them.

use rusqlite::{ErrorCode, ffi};

/// Why data could not be read, written or set up.
///
/// The text is for operators and logs. What goes to the wire is made from [`DataError::kind`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// The statement ran longer than it may; a write was rolled back.
    #[error("the statement ran longer than its time limit")]
    TimedOut,
    /// The caller went away, or the tenant was forgotten; a write was rolled back.
    #[error("the statement was cancelled")]
    Cancelled,
    /// The tenant was suspended or removed, or begins another life, since the call was admitted; nothing was made.
    #[error("the tenant was suspended or removed since the call was admitted")]
    Ended,
    /// The rows, or one value, are larger than the limit; a write was rolled back.
    #[error("the result or a value in it is larger than the limit")]
    TooLarge,
    /// No connection, or no write lock, came free in time.
    #[error("the tenant's database stayed busy for the whole time limit")]
    Busy,
    /// The database refused the change; the write was rolled back.
    #[error("a constraint of the schema refused the change ({0:?})")]
    Constraint(ConstraintKind),
    /// The file is as large as it may become, or the disk is full; the write was rolled back.
    #[error("the tenant's database file has reached its largest size, or the disk is full")]
    Full,
    /// The file is damaged or no database.
    #[error("the tenant's database file is damaged or is not a database")]
    Corrupt,
    /// An argument cannot be bound.
    #[error(
        "the argument `{0}` is not a text, a number in range, a boolean or null, or no such parameter exists"
    )]
    Argument(String),
    /// The statement asks for something that declared statements may not do.
    #[error("the statement is not allowed: {0}")]
    Refused(String),
    /// The configuration, a migration or the tenant's schema is not what it should be.
    #[error("{0}")]
    Configuration(String),
    /// The tenant's folder or file is missing, unsafe or not accessible.
    #[error("{0}")]
    Storage(String),
    /// An argument's value is none of the type that the database has for it, by PostgreSQL's code (class 22).
    #[error("the database cannot take an argument's value (SQLSTATE {0})")]
    Value(String),
    /// The database server cannot be reached; nothing was changed.
    #[error("the database server of source `{0}` cannot be reached; see that it runs, and what the log says")]
    Lost(String),
    /// The connection ended while a change was being committed; whether it was made is not known.
    #[error("the connection to source `{0}` ended during a commit; the change may have been made or not")]
    Unknown(String),
    /// The tenant has no value for a secret that its database needs.
    #[error("the tenant has no secret `{0}`, which holds the password of its database role")]
    MissingSecret(String),
    /// A statement that a model wrote asks for something that it may not, or cannot be read.
    #[error("the statement is not allowed: {0}")]
    Written(String),
    /// Anything else, by the database's name for it.
    #[error("the database failed: {0}")]
    Internal(String),
}

/// What a caller may learn about a [`DataError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// It took too long.
    TimedOut,
    /// Nobody waits for the answer any more.
    Cancelled,
    /// The tenant is served no more, or not in this life.
    Ended,
    /// The answer is too large; asking for less may work.
    TooLarge,
    /// Trying again later may work.
    Busy,
    /// The caller's own data forbid the change.
    Constraint(ConstraintKind),
    /// The caller's own storage is used up.
    Full,
    /// An argument is unusable.
    Argument,
    /// The database server does not answer; trying again later may work.
    Lost,
    /// Nobody knows whether the change was made.
    Unknown,
    /// The tenant's own credential for its database is missing.
    MissingSecret,
    /// The caller wrote a statement that is not allowed.
    Written,
    /// Something that only the operator can mend; the caller learns nothing about it.
    Unavailable,
}

/// Which kind of constraint refused a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConstraintKind {
    /// A value that must be unique exists.
    Unique,
    /// A value is missing.
    NotNull,
    /// The row that is referred to does not exist, or is still referred to.
    ForeignKey,
    /// A condition of the schema does not hold.
    Check,
    /// A trigger refused the change.
    Trigger,
    /// Another one.
    Other,
}

impl DataError {
    /// What may be told to the caller.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::TimedOut => ErrorKind::TimedOut,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Ended => ErrorKind::Ended,
            Self::TooLarge => ErrorKind::TooLarge,
            Self::Busy => ErrorKind::Busy,
            Self::Constraint(kind) => ErrorKind::Constraint(*kind),
            Self::Full => ErrorKind::Full,
            Self::Argument(_) | Self::Value(_) => ErrorKind::Argument,
            Self::Written(_) => ErrorKind::Written,
            Self::Lost(_) => ErrorKind::Lost,
            Self::Unknown(_) => ErrorKind::Unknown,
            Self::MissingSecret(_) => ErrorKind::MissingSecret,
            Self::Corrupt
            | Self::Refused(_)
            | Self::Configuration(_)
            | Self::Storage(_)
            | Self::Internal(_) => ErrorKind::Unavailable,
        }
    }

    /// Translates an error met on a tenant's SQLite file. SQLite's own message is dropped, because a trigger's `RAISE` can put
    /// a row's values into it; only the result code is kept.
    pub(super) fn at_run(error: &rusqlite::Error) -> Self {
        let (code, message) = match error {
            rusqlite::Error::SqliteFailure(code, message) => (*code, message.as_deref().unwrap_or_default()),
            rusqlite::Error::SqlInputError { error, msg, .. } => (*error, msg.as_str()),
            _ => return Self::Internal("an unexpected answer of the database library".to_owned()),
        };
        match code.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy,
            ErrorCode::DiskFull => Self::Full,
            // The memory that a file's connections share is a file too, and found no room.
            ErrorCode::SystemIoFailure if code.extended_code == ffi::SQLITE_IOERR_SHMSIZE => Self::Full,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Corrupt,
            ErrorCode::TooBig => Self::TooLarge,
            ErrorCode::OperationInterrupted => Self::Cancelled,
            ErrorCode::AuthorizationForStatementDenied => {
                Self::Refused("the authorizer denied it".to_owned())
            }
            ErrorCode::ConstraintViolation => Self::Constraint(constraint(code.extended_code)),
            // The pattern limit has no result code of its own.
            _ if message.starts_with("LIKE or GLOB pattern too complex") => Self::TooLarge,
            _ => Self::Internal(format!("{} ({})", ffi::code_to_str(code.extended_code), code.extended_code)),
        }
    }

    /// Translates an error met on the in-memory database, which holds no rows, so that the message may be shown.
    pub(super) fn at_load(error: &rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::MultipleStatement => {
                Self::Refused("exactly one statement is allowed".to_owned())
            }
            rusqlite::Error::SqliteFailure(code, _) | rusqlite::Error::SqlInputError { error: code, .. }
                if code.code == ErrorCode::AuthorizationForStatementDenied =>
            {
                Self::Refused(error.to_string())
            }
            other => Self::Configuration(other.to_string()),
        }
    }
}

fn constraint(extended: std::ffi::c_int) -> ConstraintKind {
    match extended {
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
            ConstraintKind::Unique
        }
        ffi::SQLITE_CONSTRAINT_NOTNULL => ConstraintKind::NotNull,
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => ConstraintKind::ForeignKey,
        ffi::SQLITE_CONSTRAINT_CHECK | ffi::SQLITE_CONSTRAINT_DATATYPE => ConstraintKind::Check,
        ffi::SQLITE_CONSTRAINT_TRIGGER => ConstraintKind::Trigger,
        _ => ConstraintKind::Other,
    }
}
