//! Why a tool did not answer.

use std::borrow::Cow;

use partywall_model::Layer;
use rmcp::model::ClientCapabilities;

use super::http::{HttpErrorKind, HttpToolError};
use crate::config::names_tenant;
use crate::guards::{
    data::{DataError, ErrorKind},
    disclosure::{Denial, Refused},
};

/// Why a tool did not answer. What the caller sees of it is decided in `guards::disclosure`.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// What was asked for does not exist, or belongs to somebody else: the two are one.
    #[error("not found")]
    NotFound,
    /// The arguments are not right; the text says what would be, and the model reads it.
    #[error("{0}")]
    Invalid(Cow<'static, str>),
    /// There is no such argument.
    #[error("There is no argument `{name}`; the arguments are: {known}.")]
    NoArgument {
        /// What the caller named, cut.
        name: String,
        /// The arguments that there are, with commas; `none` where there are none.
        known: String,
    },
    /// The tool cannot do it; the model reads the text.
    #[error("{0}")]
    Failed(Cow<'static, str>),
    /// The tenant has no value for a secret.
    #[error("the tenant has no secret `{0}`")]
    MissingSecret(String),
    /// The client did not declare what is needed to go on.
    #[error("the client lacks a capability")]
    MissingCapability(Box<ClientCapabilities>),
    /// The time limit was reached.
    #[error("the time limit was reached")]
    TimedOut,
    /// A size limit was reached.
    #[error("the size limit was reached")]
    TooLarge,
    /// The database is busy.
    #[error("the data source is busy")]
    Busy,
    /// The tenant's storage limit was reached.
    #[error("the storage limit was reached")]
    Full,
    /// The database server does not answer; by the name of its source.
    #[error("the database `{0}` cannot be reached")]
    Lost(String),
    /// The connection to a database ended while a change was being committed; by the name of its source.
    #[error("the database `{0}` did not say whether the change was made")]
    Uncertain(String),
    /// The service behind the tool failed; the text is for the operator.
    #[error("upstream: {0}")]
    Upstream(String),
    /// Something is wrong on our side; the text is for the operator.
    #[error("{0}")]
    Internal(String),
    /// The audit log cannot note that a change begins, so it did not begin.
    #[error("the audit log cannot be written, so the call was not started")]
    Unaudited,
    /// The call was carried out, and the audit log could not note how it ended.
    #[error("the call ended, and the audit log could not note how")]
    EndUnaudited,
    /// The tenant was suspended or removed since the call was admitted, so nothing was made for it, or its call was stopped.
    #[error("the tenant was suspended or removed since the call was admitted")]
    Ended,
    /// A guard said no.
    #[error("denied by {}: {}", .0.layer(), .0.reason())]
    Denied(Denial),
}

impl ToolError {
    /// The arguments are not right.
    pub fn invalid(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid(text.into())
    }

    /// The tool cannot do it.
    pub fn failed(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Failed(text.into())
    }

    /// What the audit log says of it: a text that was put together in the call can have parts of the arguments in it, or of rows,
    /// and is the caller's alone.
    pub(crate) fn for_log(&self) -> String {
        match self {
            // Who names a tenant is to be found there.
            Self::NoArgument { name, .. } if names_tenant(name) => format!("there is no argument `{name}`"),
            Self::NoArgument { .. } => "there is no argument of that name".to_owned(),
            Self::Invalid(Cow::Owned(_)) => "the arguments were not right".to_owned(),
            Self::Failed(Cow::Owned(_)) => "the tool could not do it".to_owned(),
            other => other.to_string(),
        }
    }

    /// There is no argument of a name that the caller chose.
    pub(crate) fn no_argument(name: &str, known: &str) -> Self {
        let known = if known.is_empty() { "none" } else { known };
        Self::NoArgument { name: name.chars().take(64).collect(), known: known.to_owned() }
    }

    /// Something is wrong on our side; the caller is told only that.
    pub fn internal(text: impl Into<String>) -> Self {
        Self::Internal(text.into())
    }
}

impl From<Denial> for ToolError {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<DataError> for ToolError {
    fn from(error: DataError) -> Self {
        match error.kind() {
            ErrorKind::TimedOut => Self::TimedOut,
            // Whose caller went away nobody is told of; what is left are tenants that are gone.
            ErrorKind::Ended | ErrorKind::Cancelled => Self::Ended,
            ErrorKind::TooLarge => Self::TooLarge,
            ErrorKind::Busy => Self::Busy,
            ErrorKind::Full => Self::Full,
            // The tenant's own data stand against it, so it may know.
            ErrorKind::Constraint(_) => {
                Self::failed("The data does not allow this change; nothing was written.")
            }
            ErrorKind::Argument => Self::invalid("An argument is out of range."),
            ErrorKind::Lost | ErrorKind::Unknown | ErrorKind::MissingSecret | ErrorKind::Written => {
                match error {
                    DataError::Lost(source) => Self::Lost(source),
                    DataError::Unknown(source) => Self::Uncertain(source),
                    DataError::Written(why) => Self::invalid(format!("The statement is not allowed: {why}.")),
                    DataError::MissingSecret(name) => Self::MissingSecret(name),
                    other => Self::Internal(other.to_string()),
                }
            }
            ErrorKind::Unavailable => Self::Internal(error.to_string()),
        }
    }
}

impl From<HttpToolError> for ToolError {
    fn from(error: HttpToolError) -> Self {
        match error.kind() {
            // A foreign owner is a denial: not found on the wire, named in the audit log.
            #[cfg(test)]
            HttpErrorKind::NotFound
                if error == HttpToolError::ForeignOwner && crate::removed::removed("one-refusal") =>
            {
                Self::invalid("This belongs to another company.")
            }
            HttpErrorKind::NotFound
                if matches!(error, HttpToolError::ForeignOwner | HttpToolError::Unowned(_)) =>
            {
                Denial::new(Layer::Cache, error.to_string(), Refused::NotFound).into()
            }
            HttpErrorKind::NotFound => Self::NotFound,
            HttpErrorKind::InvalidArgument => Self::invalid(format!("The {error}.")),
            HttpErrorKind::MissingSecret => match error {
                HttpToolError::MissingSecret { name } => Self::MissingSecret(name),
                other => Self::failed(other.to_string()),
            },
            HttpErrorKind::Upstream => Self::Upstream(error.to_string()),
            HttpErrorKind::Timeout => Self::TimedOut,
            HttpErrorKind::TooLarge => Self::TooLarge,
            HttpErrorKind::Config => Self::Internal(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tenant that is gone has not asked for too much.
    #[test]
    fn a_call_that_was_stopped_is_not_told_of_a_time_limit() {
        assert!(matches!(ToolError::from(DataError::Cancelled), ToolError::Ended));
        assert!(matches!(ToolError::from(DataError::TimedOut), ToolError::TimedOut));
    }
}
