//! Why an existing MCP server did not answer.

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
