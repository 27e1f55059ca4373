//! The server's error codes, in our words. Its messages are dropped: they can hold a row's values.

use super::super::error::{ConstraintKind, DataError};

/// What an error response of the server says (PostgreSQL documentation, appendix A).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerError {
    /// Its SQLSTATE.
    pub(super) code: String,
    /// Its message, which may be shown only when it is about no row: when a statement is compiled.
    pub(super) message: String,
}

impl ServerError {
    /// Translates an error met while a tenant's statement ran.
    pub(super) fn at_run(&self, source: &str) -> DataError {
        let code = self.code.as_str();
        match code {
            // Cancelled by the server's own clock, which runs as ours does.
            "57014" => DataError::TimedOut,
            "23505" => DataError::Constraint(ConstraintKind::Unique),
            "23502" => DataError::Constraint(ConstraintKind::NotNull),
            "23503" | "23001" => DataError::Constraint(ConstraintKind::ForeignKey),
            "23514" => DataError::Constraint(ConstraintKind::Check),
            "P0001" => DataError::Constraint(ConstraintKind::Trigger),
            "40001" | "40P01" | "55P03" | "53300" => DataError::Busy,
            "53100" => DataError::Full,
            "25006" => DataError::Refused("it changes data, and the tool does not say `writes`".to_owned()),
            "42501" => DataError::Refused(
                "the role has no right to do it, or the row would belong to another tenant (SQLSTATE 42501)"
                    .to_owned(),
            ),
            "57P01" | "57P02" | "57P03" => DataError::Lost(source.to_owned()),
            _ if code.starts_with("08") => DataError::Lost(source.to_owned()),
            _ if code.starts_with("23") => DataError::Constraint(ConstraintKind::Other),
            _ if code.starts_with("54") => DataError::TooLarge,
            _ if code.starts_with("22") => DataError::Value(code.to_owned()),
            _ => DataError::Internal(format!("SQLSTATE {code}")),
        }
    }

    /// Translates an error met while a statement was compiled, when no rows were looked at.
    pub(super) fn at_load(&self) -> DataError {
        DataError::Configuration(format!("{} (SQLSTATE {})", self.message, self.code))
    }

    /// Whether what is prepared on the connection no longer fits the tables, or is gone; a new connection helps.
    pub(super) fn is_stale(&self) -> bool {
        matches!(self.code.as_str(), "0A000" | "26000")
    }
}

impl DataError {
    /// The same of a statement that a model wrote, which may read what kind of fault is its own. What is not there and what it has no
    /// right to is one: a neighbour's table is not told apart from none.
    pub(super) fn of_written(self) -> Self {
        let own = |code: &str| code.starts_with("42") || code.starts_with("3F");
        match self {
            Self::Internal(text) if text.strip_prefix("SQLSTATE ").is_some_and(own) => Self::not_understood(),
            Self::Refused(text) if text.ends_with("(SQLSTATE 42501)") => Self::not_understood(),
            Self::Value(_) => {
                Self::Written("a value does not fit its type, or cannot be worked out".to_owned())
            }
            other => other,
        }
    }

    fn not_understood() -> Self {
        Self::Written(
            "the database does not understand it: a table, column, function or type in it does not exist or is not \
             yours, or its syntax is wrong"
                .to_owned(),
        )
    }
}

/// Why an exchange with the server came to no end. The connection cannot be used again.
#[derive(Debug)]
pub(super) enum Broken {
    /// The connection ended.
    Ended(std::io::Error),
    /// The server said something that does not belong there.
    Protocol(&'static str),
    /// One message is larger than the limit.
    TooLarge,
    /// The server refused the connection.
    Refused(ServerError),
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        Self::Ended(error)
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ended(error) => write!(f, "{error}"),
            Self::Protocol(what) => f.write_str(what),
            Self::TooLarge => f.write_str("a message is larger than the limit"),
            Self::Refused(error) => write!(f, "{} (SQLSTATE {})", error.message, error.code),
        }
    }
}
