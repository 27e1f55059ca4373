//! JSON web tokens in their parts, and tokens that are signed with the issuer's key.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use secrecy::ExposeSecret;
use serde_json::{Map, Value};

use crate::site::{Party, Site};

/// A JSON web token in its parts.
pub(super) struct Jwt {
    pub(super) header: Map<String, Value>,
    pub(super) claims: Map<String, Value>,
    pub(super) signature: String,
}

impl Jwt {
    /// The parts of a token, if it is one.
    pub(super) fn parse(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (header, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let decode = |part: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?;
            serde_json::from_slice::<Map<String, Value>>(&bytes).ok()
        };
        Some(Self { header: decode(header)?, claims: decode(claims)?, signature: signature.to_owned() })
    }

    /// A token of these parts.
    pub(super) fn write(header: &Map<String, Value>, claims: &Map<String, Value>, signature: &str) -> String {
        let encode =
            |part: &Map<String, Value>| URL_SAFE_NO_PAD.encode(Value::Object(part.clone()).to_string());
        format!("{}.{}.{signature}", encode(header), encode(claims))
    }
}

/// What makes tokens that are signed as a tenant's own is.
pub(super) struct Mint {
    /// The tenant's own token.
    pub(super) own: Jwt,
    key: EncodingKey,
    algorithm: Algorithm,
}

impl Mint {
    /// The mint for a tenant's tokens.
    ///
    /// # Errors
    ///
    /// Why there is none: no key, no JSON web token, or a key of another kind.
    pub(super) fn new(site: &Site, party: &Party) -> Result<Self, String> {
        let Some(key) = &site.plan.issuer_key else {
            return Err("no key to sign tokens with was given; --issuer-key FILE gives one".to_owned());
        };
        let own = party.caller.token().and_then(Jwt::parse).ok_or("the tokens are no JSON web tokens")?;
        let named = own.header.get("alg").and_then(Value::as_str).unwrap_or_default();
        let algorithm: Algorithm =
            named.parse().map_err(|_| format!("tokens signed with {named:?} cannot be made here"))?;
        let key = key.expose_secret().as_bytes();
        let made = match named.get(..2) {
            Some("ES") => EncodingKey::from_ec_pem(key),
            Some("Ed") => EncodingKey::from_ed_pem(key),
            Some("HS") => Ok(EncodingKey::from_secret(key.trim_ascii())),
            _ => EncodingKey::from_rsa_pem(key),
        };
        let key = made.map_err(|_| format!("the key of --issuer-key is no key in PEM for {named}"))?;
        Ok(Self { own, key, algorithm })
    }

    /// A token with these claims, written as they stand.
    pub(super) fn sign(&self, header: &Map<String, Value>, claims: &str) -> Option<String> {
        let header = URL_SAFE_NO_PAD.encode(Value::Object(header.clone()).to_string());
        let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = crypto::sign(message.as_bytes(), &self.key, self.algorithm).ok()?;
        Some(format!("{message}.{signature}"))
    }
}

/// Claims that say who somebody is or how long, and not which tenant.
const PERSONAL: [&str; 14] = [
    "jti",
    "iat",
    "exp",
    "nbf",
    "auth_time",
    "email",
    "name",
    "sid",
    "nonce",
    "azp",
    "client_id",
    "iss",
    "aud",
    "preferred_username",
];

/// The claim that names the tenant: text that differs between the tokens of two tenants.
pub(super) fn tenant_claim(own: &Jwt, theirs: &Jwt) -> Option<String> {
    let differ: Vec<&String> = own
        .claims
        .iter()
        .filter(|(name, value)| {
            value.is_string()
                && !PERSONAL.contains(&name.as_str())
                && theirs.claims.get(*name).is_some_and(|other| other.is_string() && other != *value)
        })
        .map(|(name, _)| name)
        .collect();
    let named = |name: &&&String| {
        let name = name.to_ascii_lowercase();
        ["tenant", "org", "tid", "account", "workspace", "customer", "team"]
            .iter()
            .any(|word| name.contains(word))
    };
    differ
        .iter()
        .find(named)
        .or_else(|| differ.iter().find(|name| name.as_str() != "sub"))
        .or_else(|| differ.first())
        .map(|name| (*name).clone())
}
