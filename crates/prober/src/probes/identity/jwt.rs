//! JSON web tokens in their parts, and tokens that are signed with the issuer's key.

use aws_lc_rs::signature;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use secrecy::{ExposeSecret, SecretString};
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

    /// How it is signed.
    fn algorithm(&self) -> Result<Algorithm, String> {
        let named = self.header.get("alg").and_then(Value::as_str).unwrap_or_default();
        named.parse().map_err(|_| format!("tokens signed with {named:?} cannot be made here"))
    }

    /// A token of these parts.
    pub(super) fn write(header: &Map<String, Value>, claims: &Map<String, Value>, signature: &str) -> String {
        let encode =
            |part: &Map<String, Value>| URL_SAFE_NO_PAD.encode(Value::Object(part.clone()).to_string());
        format!("{}.{}.{signature}", encode(header), encode(claims))
    }
}

/// Whether a key can sign tokens as this one is signed.
///
/// # Errors
///
/// Why it cannot, and what to do.
pub(crate) fn signs(key: &SecretString, token: &str) -> Result<(), String> {
    let own =
        Jwt::parse(token).ok_or("the tokens are no JSON web tokens, so no key makes others of their kind")?;
    encoding(own.algorithm()?, key).map(|_| ())
}

/// The key of a file, for an algorithm.
fn encoding(algorithm: Algorithm, key: &SecretString) -> Result<EncodingKey, String> {
    let text = key.expose_secret();
    let pem = text.as_bytes();
    let made = match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
            Some(EncodingKey::from_secret(pem.trim_ascii()))
        }
        Algorithm::ES256 | Algorithm::ES384 => {
            EncodingKey::from_ec_pem(pem).ok().or_else(|| elliptic(algorithm, text))
        }
        Algorithm::EdDSA => EncodingKey::from_ed_pem(pem).ok(),
        _ => EncodingKey::from_rsa_pem(pem).ok(),
    };
    made.ok_or_else(|| {
        format!(
            "the key of --issuer-key is none that signs {algorithm:?} in PEM, as the tokens are signed; an unencrypted private key \
             of that kind is written as PKCS#8 by `openssl pkcs8 -topk8 -nocrypt -in KEY -out KEY.pem`"
        )
    })
}

/// A key as `openssl ecparam -genkey` writes it (SEC1), with or without the parameters before it.
fn elliptic(algorithm: Algorithm, text: &str) -> Option<EncodingKey> {
    let (_, rest) = text.split_once("-----BEGIN EC PRIVATE KEY-----")?;
    let (body, _) = rest.split_once("-----END EC PRIVATE KEY-----")?;
    let body: String = body.split_ascii_whitespace().collect();
    let der = STANDARD.decode(body).ok()?;
    let curve = if algorithm == Algorithm::ES256 {
        &signature::ECDSA_P256_SHA256_FIXED_SIGNING
    } else {
        &signature::ECDSA_P384_SHA384_FIXED_SIGNING
    };
    let pair = signature::EcdsaKeyPair::from_private_key_der(curve, &der).ok()?;
    let whole = pair.to_pkcs8v1().ok()?;
    Some(EncodingKey::from_ec_der(whole.as_ref()))
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
        let algorithm = own.algorithm()?;
        let key = encoding(algorithm, key)?;
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

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        encoding::{AsDer as _, EcPrivateKeyRfc5915Der},
        signature::EcdsaKeyPair,
    };

    use super::*;

    /// A key as `openssl ecparam -genkey -name prime256v1` writes it, and the same as `openssl pkcs8 -topk8 -nocrypt` does.
    fn keys() -> [String; 2] {
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let old: EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().unwrap();
        let new = pair.to_pkcs8v1().unwrap();
        let pem = |label: &str, der: &[u8]| {
            let body = STANDARD.encode(der);
            let lines: Vec<&str> =
                body.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
            format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
        };
        // The object identifier of the curve stands before it.
        let curve = pem("EC PARAMETERS", &[6, 8, 42, 134, 72, 206, 61, 3, 1, 7]);
        [curve + &pem("EC PRIVATE KEY", old.as_ref()), pem("PRIVATE KEY", new.as_ref())]
    }

    fn token(algorithm: &str) -> String {
        let header = Map::from_iter([("alg".to_owned(), Value::from(algorithm))]);
        Jwt::write(&header, &Map::new(), "x")
    }

    #[test]
    fn keys_are_read_as_openssl_writes_them() {
        for key in keys() {
            assert_eq!(signs(&key.clone().into(), &token("ES256")), Ok(()), "{key}");
        }
        assert_eq!(signs(&"any words".into(), &token("HS256")), Ok(()));
    }

    #[test]
    fn a_key_that_signs_nothing_is_refused_with_what_to_do() {
        let [old, new] = keys();
        let cases = [("any words", "ES256"), (new.as_str(), "RS256"), (&old, "ES384"), (&old, "EdDSA")];
        for (key, algorithm) in cases {
            let why = signs(&key.to_owned().into(), &token(algorithm)).unwrap_err();
            assert!(why.contains(algorithm) && why.contains("openssl pkcs8"), "{why}");
        }
        assert!(signs(&new.clone().into(), "opaque").unwrap_err().contains("no JSON web tokens"));
        assert!(signs(&new.into(), &token("none")).is_err());
    }
}
