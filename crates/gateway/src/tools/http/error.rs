//! Why an HTTP tool cannot be used or a call of it failed.
//!
//! No variant has room for a secret, a query string or anything an upstream said, so none can reach a log or a caller.

/// Why an HTTP tool cannot be used, or why a call of it failed. The text is for the audit log and for operators; what
/// the caller is told follows from [`HttpToolError::kind`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpToolError {
    /// The configuration cannot be used.
    #[error("`{key}`: {problem}")]
    Config {
        /// The key, from the tool's table on.
        key: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The client for upstream calls could not be made.
    #[error("cannot prepare upstream connections: {0}")]
    Client(&'static str),
    /// An argument cannot be sent.
    #[error("argument `{argument}` {problem}")]
    InvalidArgument {
        /// The argument's name.
        argument: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The tenant has no value for a secret; no request was made.
    #[error(
        "the secret `{name}` is not set for this tenant; ask an administrator to set it, then call again"
    )]
    MissingSecret {
        /// The secret's name.
        name: String,
    },
    /// The tenant's value of a secret cannot be used; no request was made.
    #[error(
        "the secret `{name}` of this tenant is empty or holds characters that cannot stand in a header; set it again"
    )]
    UnusableSecret {
        /// The secret's name.
        name: String,
    },
    /// The upstream has no such thing.
    #[error("the upstream has no such thing")]
    NotFound,
    /// The reply belongs to somebody else, or does not say whose it is.
    #[error("Document does not belong to requesting tenant")]
    ForeignOwner,
    /// The reply cannot be passed on, and its owner was not met in what was read of it.
    #[error("no owner is known of a reply that cannot be passed on: {0}")]
    Unowned(Box<HttpToolError>),
    /// The upstream did not accept the credential (401) or the request (403).
    #[error("the upstream refused the tenant's credential with status {status}")]
    UpstreamRefused {
        /// The status.
        status: u16,
    },
    /// The upstream answered with a redirect, which is never followed.
    #[error("the upstream answered with a redirect, which is not followed")]
    UpstreamRedirect,
    /// The upstream answered with another status.
    #[error("the upstream answered with status {status}")]
    UpstreamStatus {
        /// The status.
        status: u16,
    },
    /// The reply is not JSON.
    #[error("the upstream's reply is not JSON")]
    UpstreamNotJson,
    /// The exchange failed.
    #[error("the upstream call failed: {stage}")]
    UpstreamFailed {
        /// Which part of it.
        stage: &'static str,
    },
    /// The host is, or resolves to, an address that tools may not reach.
    #[error("`{host}` is not a public address; to reach it, list it in `http.allow_private`")]
    AddressRefused {
        /// The host, as configured.
        host: String,
    },
    /// The call took longer than it may.
    #[error("the upstream did not answer in time")]
    Timeout,
    /// The reply is larger than it may be.
    #[error("the upstream's reply is larger than {limit} bytes")]
    TooLarge {
        /// The limit that applied.
        limit: usize,
    },
}

/// What a caller may be told about a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpErrorKind {
    /// There is no such thing, or none for this caller: one and the same reply.
    NotFound,
    /// The arguments are wrong; the error's text says how and may be shown.
    InvalidArgument,
    /// The upstream failed; the caller is told no more.
    Upstream,
    /// The upstream was too slow.
    Timeout,
    /// The tenant's secret is missing or unusable; the error's text may be shown.
    MissingSecret,
    /// The reply is too large; the error's text may be shown.
    TooLarge,
    /// The server's configuration is at fault; the caller is told no more.
    Config,
}

impl HttpToolError {
    /// Whether nothing of the request can have arrived.
    pub(crate) fn is_before_sending(&self) -> bool {
        match self {
            Self::Timeout => false,
            Self::UpstreamFailed { stage } => *stage != "no valid answer",
            _ => true,
        }
    }

    /// What a caller may be told.
    ///
    /// A 403 counts as not found: upstreams answer it for things that exist and belong to others, so a caller that
    /// could tell it from a 404 could ask which ids are in use.
    #[must_use]
    pub fn kind(&self) -> HttpErrorKind {
        match self {
            Self::NotFound
            | Self::ForeignOwner
            | Self::Unowned(_)
            | Self::UpstreamRefused { status: 403 } => HttpErrorKind::NotFound,
            Self::InvalidArgument { .. } => HttpErrorKind::InvalidArgument,
            Self::MissingSecret { .. } | Self::UnusableSecret { .. } => HttpErrorKind::MissingSecret,
            Self::UpstreamRefused { .. }
            | Self::UpstreamRedirect
            | Self::UpstreamStatus { .. }
            | Self::UpstreamNotJson
            | Self::UpstreamFailed { .. }
            | Self::AddressRefused { .. } => HttpErrorKind::Upstream,
            Self::Timeout => HttpErrorKind::Timeout,
            Self::TooLarge { .. } => HttpErrorKind::TooLarge,
            Self::Config { .. } | Self::Client(_) => HttpErrorKind::Config,
        }
    }

    /// A configuration error.
    pub(super) fn config(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Config { key: key.into(), problem: problem.into() }
    }

    /// An argument that cannot be sent.
    pub(super) fn argument(argument: &str, problem: &'static str) -> Self {
        Self::InvalidArgument { argument: argument.to_owned(), problem }
    }
}
