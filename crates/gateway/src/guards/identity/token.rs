//! From the `Authorization` header to the parts of a compact JWS; nothing in here is verified yet.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, header::AUTHORIZATION};
use serde_json::{Map, Value};

use super::error::IdentityDenial;
use crate::strict_json::{self, NotStrict};

/// The longest token that is read.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Finds the one bearer token of a request.
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, IdentityDenial> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(IdentityDenial::NoToken)?;
    // Of two credentials a proxy before us may have checked the other one.
    if values.next().is_some() {
        return Err(IdentityDenial::SeveralCredentials);
    }
    let bytes = value.as_bytes();
    let scheme_end = bytes.iter().position(|b| *b == b' ').unwrap_or(bytes.len());
    let (scheme, rest) = bytes.split_at(scheme_end);
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(IdentityDenial::OtherScheme);
    }
    let token = rest.strip_prefix(b" ").unwrap_or_default();
    if token.len() > MAX_TOKEN_BYTES {
        return Err(IdentityDenial::TooLong);
    }
    // A second space, a comma, padding and control characters all fail here.
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if token.is_empty() || !token.iter().all(allowed) {
        return Err(IdentityDenial::Malformed);
    }
    std::str::from_utf8(token).map_err(|_| IdentityDenial::Malformed)
}

/// A token taken apart.
pub(super) struct Parts<'a> {
    /// What was signed.
    pub(super) message: &'a [u8],
    /// The signature's bytes.
    pub(super) signature: Vec<u8>,
    /// The `alg` header.
    pub(super) algorithm: String,
    /// The `kid` header.
    pub(super) key_id: Option<String>,
    /// The `typ` header.
    pub(super) token_type: Option<String>,
    /// The claims.
    pub(super) claims: Map<String, Value>,
}

impl<'a> Parts<'a> {
    /// Takes a compact JWS apart. `jku`, `x5u`, `jwk` and `x5c` headers are not even read.
    pub(super) fn split(token: &'a str) -> Result<Self, IdentityDenial> {
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(IdentityDenial::Malformed);
        };
        let (message, _) = token.rsplit_once('.').ok_or(IdentityDenial::Malformed)?;
        let header = decode_object(header)?;
        let claims = decode_object(payload)?;
        if header.contains_key("crit") {
            return Err(IdentityDenial::CriticalHeader);
        }
        Ok(Self {
            message: message.as_bytes(),
            signature: decode(signature)?,
            algorithm: text(&header, "alg")?.ok_or(IdentityDenial::Malformed)?,
            key_id: text(&header, "kid")?,
            token_type: text(&header, "typ")?,
            claims,
        })
    }
}

/// Decodes base64url without padding; a text with stray trailing bits has a twin and is refused.
fn decode(part: &str) -> Result<Vec<u8>, IdentityDenial> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| IdentityDenial::Malformed)
}

fn decode_object(part: &str) -> Result<Map<String, Value>, IdentityDenial> {
    strict_json::object(&decode(part)?).map_err(|why| match why {
        NotStrict::DuplicateKey => IdentityDenial::DuplicateKey,
        NotStrict::Syntax => IdentityDenial::Malformed,
    })
}

fn text(header: &Map<String, Value>, key: &str) -> Result<Option<String>, IdentityDenial> {
    match header.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(IdentityDenial::Malformed),
    }
}
