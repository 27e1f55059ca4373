//! Why an existing MCP server did not answer.

use crate::{admit::Permit, tools::ToolError};

/// Why an upstream did not answer. What the caller sees of it is decided where it becomes a `ToolError`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// The process cannot be started, or there is no connection; for the operator.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// The host is not one that may be called.
    #[error("the address of `{0}` is not public and not in `http.allow_private`")]
    AddressRefused(String),
    /// The upstream does not take the tenant's credential.
    #[error("the upstream refused the tenant's credential")]
    Unauthorized,
    /// It ended, or forgot the conversation; the next call begins another one.
    #[error("the conversation ended")]
    Ended,
    /// It does not know the conversation any more, so it has not taken the request.
    #[error("the upstream has forgotten the conversation")]
    Forgotten,
    /// It was handed a call and did not answer it, so nobody knows whether it was carried out.
    #[error("{0}, after a call was handed over")]
    Unanswered(Box<UpstreamError>),
    /// The tenant was suspended or removed, so nothing is started for it.
    #[error("the tenant was suspended or removed")]
    Gone,
    /// It took too long.
    #[error("the time limit was reached")]
    TimedOut,
    /// It sent more than may be read.
    #[error("the size limit was reached")]
    TooLarge,
    /// It has as much to do for this tenant as it may.
    #[error("the upstream is busy")]
    Busy,
    /// It does not speak MCP; for the operator.
    #[error("is no MCP server that can be served: {0}")]
    Protocol(&'static str),
    /// What it answered a call with has a kind of content that MCP does not have, or not yet.
    #[error("answered with a kind of content that is not known")]
    UnknownContent,
    /// It answered with an error of JSON-RPC.
    #[error("answered with error {code}")]
    Rpc {
        /// The code.
        code: i64,
        /// What it said, cut; for the tenant alone.
        message: String,
    },
    /// The tenant has no value for a secret that the upstream needs.
    #[error("the tenant has no secret `{0}`")]
    MissingSecret(String),
}

impl UpstreamError {
    /// Whether what was asked is asked in another conversation.
    pub(super) fn may_begin_again(&self, permit: &Permit) -> bool {
        matches!(self, Self::Forgotten) && permit.still().is_ok()
    }

    /// This of a call that was handed over: where no answer came, nobody knows what became of it.
    pub(super) fn after_sending(self) -> Self {
        match self {
            Self::Ended | Self::TimedOut | Self::Unreachable(_) => Self::Unanswered(Box::new(self)),
            other => other,
        }
    }

    /// What its caller's call comes to. `writes` says whether the tool may change something.
    pub(super) fn of_call(&self, permit: &Permit, upstream: &str, writes: bool) -> ToolError {
        match self {
            Self::Gone => ToolError::Ended,
            // Its process was stopped with the tenant.
            Self::Ended if permit.still().is_err() => ToolError::Ended,
            Self::Unanswered(why) if !writes => why.of_call(permit, upstream, writes),
            Self::Unanswered(_) => ToolError::failed(
                "The server behind this tool did not answer, so it is not known whether the call was carried out. Look \
                 at what it has changed before you repeat it.",
            ),
            Self::Unreachable(_)
            | Self::AddressRefused(_)
            | Self::Ended
            | Self::Forgotten
            | Self::Protocol(_) => ToolError::Upstream(format!("`{upstream}`: {self}")),
            Self::Unauthorized => ToolError::failed(
                "The service behind this tool refused the credential that is set up for you. Ask your administrator to \
                 correct it.",
            ),
            Self::UnknownContent => {
                ToolError::failed("The server behind this tool answered in a form that cannot be passed on.")
            }
            Self::TimedOut => ToolError::TimedOut,
            Self::TooLarge => ToolError::TooLarge,
            Self::Busy => ToolError::failed(
                "The server behind this tool has too much to do now. Try again in a moment.",
            ),
            Self::Rpc { message, .. } if message.is_empty() => {
                ToolError::failed("The server behind this tool answered with an error.")
            }
            // Its own process, or its own account, said so.
            Self::Rpc { message, .. } => ToolError::failed(message.clone()),
            Self::MissingSecret(name) => ToolError::MissingSecret(name.clone()),
        }
    }
}
