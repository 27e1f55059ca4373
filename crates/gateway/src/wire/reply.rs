//! Writing JSON-RPC replies.

use std::{borrow::Cow, fmt::Write};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use serde::Serialize;
use serde_json::Value;

use super::{body::ReplyStream, message::Id};
use crate::{admit::RequestId, guards::disclosure::refusal::Refusal};

/// The error codes that are sent.
pub(crate) mod codes {
    pub(crate) const PARSE: i64 = -32700;
    pub(crate) const INVALID_REQUEST: i64 = -32600;
    pub(crate) const METHOD_NOT_FOUND: i64 = -32601;
    pub(crate) const INVALID_PARAMS: i64 = -32602;
    pub(crate) const INTERNAL: i64 = -32603;
    /// The headers do not agree with the body (2026-07-28).
    pub(crate) const HEADER_MISMATCH: i64 = -32020;
    /// The client did not declare a capability that is needed (2026-07-28).
    pub(crate) const MISSING_CAPABILITY: i64 = -32021;
    /// The revision is not served (2026-07-28).
    pub(crate) const UNSUPPORTED_VERSION: i64 = -32022;
    // Outside the range that JSON-RPC reserves, where MCP says applications may have codes of their own; the numbers
    // are those of HTTP.
    pub(crate) const UNAUTHENTICATED: i64 = 401;
    pub(crate) const FORBIDDEN: i64 = 403;
    pub(crate) const TOO_MANY: i64 = 429;
}

/// A JSON-RPC error.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RpcError {
    pub(crate) code: i64,
    pub(crate) message: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Value>,
}

impl RpcError {
    pub(crate) fn new(code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), data: None }
    }
}

/// The name of the header that carries the request's number, for the operator.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// One outgoing message and the status it goes with.
pub(crate) struct Outgoing {
    pub(crate) status: StatusCode,
    pub(crate) header: Option<(HeaderName, HeaderValue)>,
    pub(crate) text: String,
}

impl Outgoing {
    /// A result; `result` is a JSON object as text.
    pub(crate) fn result(id: Id<'_>, result: &str) -> Self {
        let mut text = String::with_capacity(result.len() + 64);
        // Writing to a String does not fail.
        let _written = write!(text, "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}");
        Self { status: StatusCode::OK, header: None, text }
    }

    /// An error.
    pub(crate) fn error(id: Option<Id<'_>>, status: StatusCode, error: &RpcError) -> Self {
        let error = serde_json::to_string(error).unwrap_or_else(|_error| {
            format!("{{\"code\":{},\"message\":\"The server failed.\"}}", codes::INTERNAL)
        });
        // `null` where the id is not known (JSON-RPC 2.0, section 5); clients do not take an error without one.
        let id = id.map_or_else(|| "null".to_owned(), |id| id.to_string());
        let text = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{error}}}");
        Self { status, header: None, text }
    }

    /// A refusal.
    pub(crate) fn refusal(id: Option<Id<'_>>, refusal: Refusal) -> Self {
        let mut outgoing = Self::error(id, refusal.status, &refusal.error);
        outgoing.header = refusal.header;
        outgoing
    }

    pub(crate) fn into_response(self, request: RequestId) -> Response<ReplyStream> {
        let mut response = Response::new(ReplyStream::full(Bytes::from(self.text)));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        response.headers_mut().extend(self.header.map(|(name, value)| (Some(name), value)));
        stamped(response, request)
    }
}

/// A reply without a body.
pub(crate) fn empty(status: StatusCode, request: RequestId) -> Response<ReplyStream> {
    let mut response = Response::new(ReplyStream::full(Bytes::new()));
    *response.status_mut() = status;
    stamped(response, request)
}

/// A reply that is a stream of events.
pub(crate) fn events(stream: ReplyStream, request: RequestId) -> Response<ReplyStream> {
    let mut response = Response::new(stream);
    response.headers_mut().insert(CONTENT_TYPE, EVENTS);
    // Tells proxies not to hold events back.
    response
        .headers_mut()
        .insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    stamped(response, request)
}

fn stamped(mut response: Response<ReplyStream>, request: RequestId) -> Response<ReplyStream> {
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    if let Ok(value) = HeaderValue::try_from(request.to_string()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}
