//! Which revision a request speaks, and whether its headers agree with its body (SEP-2243).

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Number, Value, json};

use super::{
    message::Params,
    reply::{RpcError, codes},
};
use crate::tools::Mirror;

/// The stateless revision.
pub(crate) const MODERN: &str = "2026-07-28";
/// The revisions with `initialize`, newest first.
pub(crate) const LEGACY: [&str; 3] = ["2025-11-25", "2025-06-18", "2025-03-26"];

/// Which generation of the protocol a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    /// 2026-07-28: each request says everything itself.
    Modern,
    /// 2025-03-26 to 2025-11-25, without protocol sessions.
    Legacy {
        /// Whether JSON-RPC batches exist (2025-03-26 only).
        batches: bool,
    },
}

/// A request that cannot be served as it is: the status and the error.
pub(crate) struct Mismatch {
    pub(crate) status: StatusCode,
    pub(crate) error: RpcError,
}

impl Mismatch {
    fn headers(text: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error: RpcError::new(codes::HEADER_MISMATCH, text) }
    }

    fn params(text: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error: RpcError::new(codes::INVALID_PARAMS, text) }
    }

    fn version(requested: &str) -> Self {
        let supported: Vec<&str> = std::iter::once(MODERN).chain(LEGACY).collect();
        let requested: String = requested.chars().take(64).collect();
        Self {
            status: StatusCode::BAD_REQUEST,
            error: RpcError {
                code: codes::UNSUPPORTED_VERSION,
                message: "Unsupported protocol version".into(),
                data: Some(json!({ "supported": supported, "requested": requested })),
            },
        }
    }
}

/// The one value of a header, if it is there.
fn one<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Mismatch> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match value.to_str() {
            Ok(text) => Ok(Some(text)),
            Err(_bytes) => Err(Mismatch::headers(format!("Header mismatch: {name} has invalid characters"))),
        },
        (Some(_), Some(_)) => Err(Mismatch::headers(format!("Header mismatch: {name} stands several times"))),
    }
}

/// The version header by itself: what is known before the body is read.
pub(crate) fn version(headers: &HeaderMap) -> Result<Option<&str>, Mismatch> {
    one(headers, "mcp-protocol-version")
}

/// Decides the era of one message by its header and its `_meta`; the two must agree.
pub(crate) fn era(version: Option<&str>, params: &Params<'_>) -> Result<Era, Mismatch> {
    let meta = params.meta.as_ref();
    let in_body = meta.and_then(|meta| meta.protocol_version.as_deref());
    match (version, in_body) {
        (header, Some(body)) if header != Some(body) => Err(Mismatch::headers(match header {
            None => "Header mismatch: the MCP-Protocol-Version header is missing",
            Some(_) => "Header mismatch: MCP-Protocol-Version does not match the version in _meta",
        })),
        (Some(MODERN), Some(_)) => match meta.and_then(|meta| meta.client_capabilities) {
            Some(capabilities) if capabilities.get().starts_with('{') => Ok(Era::Modern),
            _ => Err(Mismatch::params(
                "Invalid params: _meta lacks io.modelcontextprotocol/clientCapabilities, which must be an object",
            )),
        },
        (Some(MODERN), None) => {
            Err(Mismatch::params("Invalid params: _meta lacks io.modelcontextprotocol/protocolVersion"))
        }
        (Some(other), _) if LEGACY.contains(&other) => Ok(Era::Legacy { batches: other == "2025-03-26" }),
        // Revisions before 2025-06-18 have no version header.
        (None, None) => Ok(Era::Legacy { batches: true }),
        (Some(other), _) => Err(Mismatch::version(other)),
        (None, Some(_)) => {
            Err(Mismatch::headers("Header mismatch: the MCP-Protocol-Version header is missing"))
        }
    }
}

/// Checks `Mcp-Method` and `Mcp-Name` against the body (2026-07-28).
pub(crate) fn check_standard(headers: &HeaderMap, method: &str, name: Option<&str>) -> Result<(), Mismatch> {
    match one(headers, "mcp-method")? {
        Some(header) if header == method => {}
        Some(_) => {
            return Err(Mismatch::headers(
                "Header mismatch: Mcp-Method does not match the method in the body",
            ));
        }
        None => {
            return Err(Mismatch::headers("Header mismatch: the Mcp-Method header is missing"));
        }
    }
    let header = one(headers, "mcp-name")?;
    // Other methods that have a name (`prompts/get`) or a URI (`resources/read`) are not served, and answered so.
    if method != "tools/call" {
        return Ok(());
    }
    let Some(header) = header else {
        return Err(Mismatch::headers("Header mismatch: the Mcp-Name header is missing"));
    };
    match (decoded(header), name) {
        (Some(header), Some(name)) if header == name => Ok(()),
        _ => Err(Mismatch::headers("Header mismatch: Mcp-Name does not match the name in the body")),
    }
}

/// Checks the mirrored arguments of a tool against its `Mcp-Param-*` headers (2026-07-28).
pub(crate) fn check_mirrors(
    headers: &HeaderMap,
    mirrors: &[Mirror],
    arguments: &Map<String, Value>,
) -> Result<(), Mismatch> {
    for mirror in mirrors {
        let header = one(headers, &mirror.header)?;
        let value = at_path(arguments, &mirror.path).filter(|value| !value.is_null());
        let agrees = match (header, value) {
            (None, None) => true,
            (Some(header), Some(value)) => decoded(header).is_some_and(|header| same(&header, value)),
            _ => false,
        };
        if !agrees {
            return Err(Mismatch::headers(format!(
                "Header mismatch: {} does not match the argument in the body",
                mirror.header
            )));
        }
    }
    Ok(())
}

fn at_path<'v>(arguments: &'v Map<String, Value>, path: &[String]) -> Option<&'v Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(arguments.get(first)?, |value, name| value.get(name))
}

fn same(header: &str, value: &Value) -> bool {
    match value {
        Value::String(text) => header == text,
        Value::Bool(flag) => header == if *flag { "true" } else { "false" },
        // Numerically, as the specification asks: 42.0 and 42 are equal.
        Value::Number(number) => same_number(header, number),
        _ => false,
    }
}

fn same_number(header: &str, number: &Number) -> bool {
    /// From here on a float may stand for several integers.
    const INEXACT: f64 = 9_007_199_254_740_992.0;
    let whole = match header.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|digit| digit == b'0') => whole,
        _ => header,
    };
    match (whole.parse::<i128>(), number.as_i128()) {
        (Ok(a), Some(b)) => a == b,
        _ => {
            header.parse::<f64>().ok().zip(number.as_f64()).is_some_and(|(a, b)| a.abs() < INEXACT && a == b)
        }
    }
}

/// A header value with the Base64 sentinel (`=?base64?…?=`) undone; `None` when it is not valid.
fn decoded(header: &str) -> Option<Cow<'_, str>> {
    match header.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        None => Some(Cow::Borrowed(header)),
        Some(encoded) => {
            let bytes = STANDARD.decode(encoded).ok()?;
            String::from_utf8(bytes).ok().map(Cow::Owned)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn era_of(version: Option<&str>, params: &str) -> Result<Era, i64> {
        era(version, &serde_json::from_str(params).unwrap()).map_err(|mismatch| mismatch.error.code)
    }

    const META: &str = r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}"#;

    #[test]
    fn header_and_body_decide_the_era_together() {
        assert_eq!(era_of(Some(MODERN), META), Ok(Era::Modern));
        assert_eq!(era_of(Some("2025-11-25"), "{}"), Ok(Era::Legacy { batches: false }));
        assert_eq!(era_of(None, "{}"), Ok(Era::Legacy { batches: true }));
        assert_eq!(era_of(Some(MODERN), "{}"), Err(codes::INVALID_PARAMS));
        assert_eq!(era_of(None, META), Err(codes::HEADER_MISMATCH));
        assert_eq!(era_of(Some("2025-11-25"), META), Err(codes::HEADER_MISMATCH));
        assert_eq!(era_of(Some("1999-01-01"), "{}"), Err(codes::UNSUPPORTED_VERSION));
        let unknown = META.replace("2026-07-28", "v999");
        assert_eq!(era_of(Some("v999"), &unknown), Err(codes::UNSUPPORTED_VERSION));
        let bare = r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;
        assert_eq!(era_of(Some(MODERN), bare), Err(codes::INVALID_PARAMS));
    }

    #[test]
    fn the_name_header_is_decoded_before_it_is_compared() {
        let ok = |value: &str, name: &str| {
            check_standard(
                &headers(&[("mcp-method", "tools/call"), ("mcp-name", value)]),
                "tools/call",
                Some(name),
            )
            .is_ok()
        };
        assert!(ok("whoami", "whoami"));
        assert!(ok("=?base64?d2hvYW1p?=", "whoami"));
        assert!(!ok("=?BASE64?d2hvYW1p?=", "whoami"));
        assert!(!ok("=?base64?d2hvYW1p", "whoami"));
        assert!(!ok("=?base64?####?=", "whoami"));
        assert!(!ok("=?base64?/w==?=", "whoami"));
        assert!(!ok("WhoAmI", "whoami"));
        let twice = headers(&[("mcp-method", "tools/call"), ("mcp-name", "a"), ("mcp-name", "b")]);
        assert!(check_standard(&twice, "tools/call", Some("b")).is_err());
        assert!(check_standard(&headers(&[("mcp-method", "tools/list")]), "tools/call", Some("a")).is_err());
        assert!(check_standard(&headers(&[("mcp-method", "tools/list")]), "tools/list", None).is_ok());
        let read = headers(&[("mcp-method", "resources/read"), ("mcp-name", "test://a")]);
        assert!(
            check_standard(&read, "resources/read", None).is_ok(),
            "what is not served is told so, not its headers"
        );
    }

    #[test]
    fn mirrored_arguments_agree_with_their_headers() {
        let mirrors =
            [Mirror { header: "mcp-param-region".into(), path: vec!["where".into(), "region".into()] }];
        let ok = |pairs: &[(&'static str, &str)], body: &str| {
            let arguments = crate::strict_json::object(body.as_bytes()).unwrap();
            check_mirrors(&headers(pairs), &mirrors, &arguments).is_ok()
        };
        assert!(ok(&[("mcp-param-region", "eu")], r#"{"where":{"region":"eu"}}"#));
        assert!(ok(&[("mcp-param-region", "42.0")], r#"{"where":{"region":42}}"#));
        assert!(ok(&[], r#"{"where":{"region":null}}"#));
        assert!(ok(&[], "{}"));
        // As floats these would be one.
        assert!(!ok(
            &[("mcp-param-region", "9007199254740992.0")],
            r#"{"where":{"region":9007199254740993}}"#
        ));
        assert!(!ok(
            &[("mcp-param-region", "9.007199254740992e15")],
            r#"{"where":{"region":9007199254740993}}"#
        ));
        assert!(!ok(
            &[("mcp-param-region", "18446744073709551616")],
            r#"{"where":{"region":18446744073709551615}}"#
        ));
        assert!(ok(
            &[("mcp-param-region", "9007199254740993.00")],
            r#"{"where":{"region":9007199254740993}}"#
        ));
        assert!(ok(&[("mcp-param-region", "4.2e1")], r#"{"where":{"region":42}}"#));
        assert!(ok(&[("mcp-param-region", "-0.0")], r#"{"where":{"region":0}}"#));
        assert!(!ok(&[("mcp-param-region", "us")], r#"{"where":{"region":"eu"}}"#));
        assert!(!ok(&[], r#"{"where":{"region":"eu"}}"#));
        assert!(!ok(&[("mcp-param-region", "eu")], "{}"));
    }
}
