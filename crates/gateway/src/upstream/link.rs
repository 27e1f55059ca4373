//! What carries messages to an upstream and its answers back.

use std::time::Instant;

use serde_json::{Value, value::RawValue};

use super::error::UpstreamError;
use crate::turn::ProgressSink;

/// One request to an upstream.
pub(crate) struct Request<'r> {
    /// The method.
    pub(crate) method: &'static str,
    /// The parameters, an object, without a progress token.
    pub(crate) params: Value,
    /// When the answer must be there; the upstream is told when it is not (`notifications/cancelled`), and when the caller goes
    /// away before.
    pub(crate) ends: Instant,
    /// The most bytes of the answer.
    pub(crate) room: usize,
    /// Where progress goes, if the caller asked for it.
    pub(crate) progress: Option<&'r ProgressSink>,
}

/// A way to one upstream, for one tenant.
///
/// A link matches answers to requests; it does not know what they mean. Whatever an upstream asks of a client (sampling,
/// elicitation, roots) is refused, `ping` is answered, and everything has a bound.
pub(crate) trait Link: Send + Sync {
    /// Sends a request and waits for its `result`.
    async fn request(&self, request: Request<'_>) -> Result<Box<RawValue>, UpstreamError>;

    /// Sends a notification.
    async fn notify(&self, method: &'static str, params: Value, ends: Instant) -> Result<(), UpstreamError>;

    /// Which revision was agreed on by `initialize`, for what follows.
    fn agreed(&self, revision: &str);

    /// Whether `notifications/tools/list_changed` came since this was asked last.
    fn tools_changed(&self) -> bool;

    /// Whether the conversation is over, so that another link has to be made.
    fn ended(&self) -> bool;
}
