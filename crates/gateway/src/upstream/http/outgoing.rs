//! The requests of a link, and what each revision wants in their headers.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::{Map, Value, json};

use super::{Agreed, Inner, message};
use crate::{
    tools::http::Outgoing,
    upstream::{error::UpstreamError, link::Request},
};

/// Whether a header belongs to the protocol, so that a credential must not stand in it.
pub(super) fn is_reserved(name: &HeaderName) -> bool {
    name.as_str().starts_with("mcp-") || [header::ACCEPT, header::CONTENT_TYPE, header::ORIGIN].contains(name)
}

/// The headers of every message.
pub(super) fn add_posted(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
}

/// A request with its number, which is also its progress token.
pub(super) fn request(
    inner: &Inner,
    agreed: &Agreed,
    number: u64,
    request: &Request<'_>,
) -> Result<Outgoing, UpstreamError> {
    let mut params = object(request.params.clone());
    if request.progress.is_some() {
        let meta = params.entry("_meta").or_insert_with(|| Value::Object(Map::new()));
        if let Some(meta) = meta.as_object_mut() {
            meta.insert("progressToken".to_owned(), json!(number));
        }
    }
    let headers = headers(inner, agreed, request.method, &mut params)?;
    Ok(posted(inner, headers, message::request(number, request.method, params)))
}

pub(super) fn notification(
    inner: &Inner,
    agreed: &Agreed,
    method: &'static str,
    params: Value,
) -> Result<Outgoing, UpstreamError> {
    let mut params = object(params);
    let headers = headers(inner, agreed, method, &mut params)?;
    Ok(posted(inner, headers, message::notification(method, params)))
}

fn posted(inner: &Inner, headers: HeaderMap, body: String) -> Outgoing {
    Outgoing { method: Method::POST, url: inner.url.clone(), headers, body: Some(body) }
}

fn object(params: Value) -> Map<String, Value> {
    match params {
        Value::Object(params) => params,
        _ => Map::new(),
    }
}

/// The headers of a message; in the stateless revision they say what it says, and it says who asks.
fn headers(
    inner: &Inner,
    agreed: &Agreed,
    method: &'static str,
    params: &mut Map<String, Value>,
) -> Result<HeaderMap, UpstreamError> {
    let mut headers = inner.headers(agreed);
    add_posted(&mut headers);
    if !agreed.stateless {
        return Ok(headers);
    }
    headers.insert("mcp-method", HeaderValue::from_static(method));
    let name = match method {
        "tools/call" | "prompts/get" => params.get("name"),
        "resources/read" => params.get("uri"),
        _ => None,
    };
    if let Some(name) = name.and_then(Value::as_str) {
        let value = HeaderValue::from_str(&header_text(name));
        headers.insert("mcp-name", value.map_err(|_| UpstreamError::Protocol("a name cannot be sent"))?);
    }
    let meta = params.entry("_meta").or_insert_with(|| Value::Object(Map::new()));
    let Some(meta) = meta.as_object_mut() else { return Ok(headers) };
    meta.insert("io.modelcontextprotocol/protocolVersion".to_owned(), json!(crate::wire::headers::MODERN));
    let client = json!({ "name": "partywall", "version": crate::VERSION });
    meta.insert("io.modelcontextprotocol/clientInfo".to_owned(), client);
    // It can do nothing for a server.
    meta.insert("io.modelcontextprotocol/clientCapabilities".to_owned(), json!({}));
    Ok(headers)
}

/// A text as it can stand in a header: as it is, or in Base64 between marks.
fn header_text(text: &str) -> String {
    let plain = !text.is_empty()
        && text.trim() == text
        && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
        && !text.starts_with("=?base64?");
    if plain { text.to_owned() } else { format!("=?base64?{}?=", STANDARD.encode(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_cannot_stand_in_a_header_are_encoded() {
        assert_eq!(header_text("list_files"), "list_files");
        assert_eq!(header_text("Jürgen"), "=?base64?SsO8cmdlbg==?=");
        for odd in ["", " a", "a\r\nX: y", "=?base64?YQ==?="] {
            assert!(header_text(odd).starts_with("=?base64?"), "{odd:?}");
            assert!(HeaderValue::from_str(&header_text(odd)).is_ok());
        }
    }
}
