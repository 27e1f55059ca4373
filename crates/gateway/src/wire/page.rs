//! What a browser asks and has to be told before a web page of another origin may call: CORS.
//!
//! Only for origins that the door lets in. A page brings its token itself, so credentials that a browser adds by itself
//! are not asked for, and without a token a page learns what any stranger does.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
        ACCESS_CONTROL_REQUEST_METHOD, VARY,
    },
    request::Parts,
};

use super::{body::ReplyStream, reply::empty};
use crate::admit::RequestId;

/// The headers of a request that a client of MCP sends; besides them those that mirror arguments.
const HEADERS: [&str; 7] = [
    "accept",
    "authorization",
    "content-type",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
];
const MIRRORS: &str = "mcp-param-";
/// The most names of headers that are looked at.
const MOST: usize = 64;

/// The headers of a reply that a page may read: where to get a token, how long to wait, what to tell the operator.
const SHOWN: HeaderValue = HeaderValue::from_static("www-authenticate, retry-after, x-request-id");
/// How long a browser need not ask again, in seconds.
const AGAIN: HeaderValue = HeaderValue::from_static("7200");

/// The reply to a browser that asks whether a page may send a request; nothing for any other request.
pub(super) fn asked(parts: &Parts, method: &'static str, number: RequestId) -> Option<Response<ReplyStream>> {
    if parts.method != Method::OPTIONS || !parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        return None;
    }
    let mut response = empty(StatusCode::NO_CONTENT, number);
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(method));
    if let Ok(names) = HeaderValue::try_from(allowed(&parts.headers).join(", ")) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, AGAIN);
    Some(response)
}

/// Those of the headers that were asked for which a request may have.
fn allowed(headers: &HeaderMap) -> Vec<String> {
    let asked = headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter();
    let names = asked.flat_map(|value| value.to_str().unwrap_or_default().split(',')).take(MOST);
    let names = names.filter_map(|name| name.trim().parse::<HeaderName>().ok());
    let known = |name: &HeaderName| HEADERS.contains(&name.as_str()) || name.as_str().starts_with(MIRRORS);
    names.filter(known).map(|name| name.as_str().to_owned()).collect()
}

/// Lets the page that a request came from read the reply.
pub(super) fn show(mut response: Response<ReplyStream>, origin: HeaderValue) -> Response<ReplyStream> {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, SHOWN);
    headers.insert(VARY, HeaderValue::from_static("origin"));
    response
}
