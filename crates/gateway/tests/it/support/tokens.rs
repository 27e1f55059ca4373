//! Tokens of issuers that are in the configuration, so that each claim can be made wrong by itself.

use std::time::SystemTime;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A P-256 key.
pub(crate) struct Signer {
    kid: String,
    pair: EcdsaKeyPair,
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

impl Signer {
    pub(crate) fn new(kid: &str) -> Self {
        Self { kid: kid.to_owned(), pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap() }
    }

    pub(crate) fn key_set(&self) -> String {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let b64 = |bytes| URL_SAFE_NO_PAD.encode(bytes);
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": self.kid, "x": b64(x), "y": b64(y) }] })
            .to_string()
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        self.sign(&claims.to_string())
    }

    /// A token with a payload that need not be what JSON libraries write.
    pub(crate) fn sign(&self, payload: &str) -> String {
        self.sign_with(&json!({ "alg": "ES256", "kid": self.kid }).to_string(), payload)
    }

    pub(crate) fn sign_with(&self, header: &str, payload: &str) -> String {
        let b64 = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let message = format!("{}.{}", b64(header), b64(payload));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

/// Good claims.
pub(crate) fn claims(issuer: &str, audience: &str, tenant: &str) -> Value {
    json!({
        "iss": issuer, "aud": audience, "sub": "ann", "org_id": tenant,
        "iat": now() - 1, "exp": now() + 600,
    })
}

/// The claims with one of them set, or removed by `None`.
pub(crate) fn with(claims: &Value, name: &str, value: impl Into<Option<Value>>) -> Value {
    let mut claims = claims.clone();
    let map = claims.as_object_mut().unwrap();
    match value.into() {
        Some(value) => map.insert(name.to_owned(), value),
        None => map.remove(name),
    };
    claims
}
