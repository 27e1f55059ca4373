//! A key set: which key may verify which token.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, crypto::aws_lc::DEFAULT_PROVIDER};
use serde_json::{Map, Value};

use super::error::IdentityDenial;
use crate::strict_json;

/// The most keys a set may hold.
const MAX_KEYS: usize = 100;

/// The algorithms an issuer may use; none of them is symmetric, so a public key can never be a secret.
pub(super) const ALGORITHMS: [(&str, Algorithm); 9] = [
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
];

/// The algorithm of that exact name.
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    ALGORITHMS.iter().find_map(|(known, algorithm)| (*known == name).then_some(*algorithm))
}

/// The public part of a key.
#[derive(Clone, PartialEq, Eq)]
enum Material {
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

/// One key that may verify signatures.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key {
    id: Option<String>,
    algorithm: Option<Algorithm>,
    material: Material,
}

impl Key {
    /// A P-256 key from its uncompressed point.
    pub(super) fn p256(id: &str, point: &[u8]) -> Self {
        Self {
            id: Some(id.to_owned()),
            algorithm: Some(Algorithm::ES256),
            material: Material::P256(point.to_vec()),
        }
    }

    /// Reads a JWK; `None` for one that is of no use here: symmetric, private, for encryption, or of an unknown kind.
    fn from_jwk(jwk: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        // A published private key vouches for nobody.
        if jwk.contains_key("d") || jwk.get("use").is_some_and(|use_| use_ != "sig") {
            return None;
        }
        if let Some(operations) = jwk.get("key_ops") {
            operations.as_array()?.iter().find(|op| *op == "verify")?;
        }
        let point = |size: usize| {
            let (x, y) = (bytes("x")?, bytes("y")?);
            (x.len() == size && y.len() == size).then(|| [&[4], x.as_slice(), y.as_slice()].concat())
        };
        let material = match (text("kty")?, text("crv")) {
            ("EC", Some("P-256")) => Material::P256(point(32)?),
            ("EC", Some("P-384")) => Material::P384(point(48)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes("x").filter(|x| x.len() == 32)?),
            ("RSA", _) => Material::Rsa { n: bytes("n")?, e: bytes("e")? },
            _ => return None,
        };
        let algorithm = match jwk.get("alg") {
            None => None,
            // RFC 9864 renamed it.
            Some(name) if name == "Ed25519" => Some(Algorithm::EdDSA),
            Some(name) => Some(algorithm(name.as_str()?)?),
        };
        let id = match jwk.get("kid") {
            None => None,
            Some(id) => Some(id.as_str()?.to_owned()),
        };
        Some(Self { id, algorithm, material })
    }

    /// Whether the key is one for this algorithm.
    fn fits(&self, algorithm: Algorithm) -> bool {
        let kind = match algorithm {
            Algorithm::ES256 => matches!(self.material, Material::P256(_)),
            Algorithm::ES384 => matches!(self.material, Material::P384(_)),
            Algorithm::EdDSA => matches!(self.material, Material::Ed25519(_)),
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512 => matches!(self.material, Material::Rsa { .. }),
            _ => false,
        };
        kind && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// Whether the signature is this key's.
    pub(super) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &Vec<u8>) -> bool {
        if !self.fits(algorithm) {
            return false;
        }
        let key = match &self.material {
            Material::P256(point) | Material::P384(point) => DecodingKey::from_ec_der(point),
            Material::Ed25519(x) => DecodingKey::from_ed_der(x),
            Material::Rsa { n, e } => DecodingKey::from_rsa_raw_components(n, e),
        };
        // The provider is named, so that nothing depends on what else in the process installed one.
        (DEFAULT_PROVIDER.verifier_factory)(&algorithm, &key)
            .is_ok_and(|verifier| verifier.verify(message, signature).is_ok())
    }
}

/// The keys of one issuer.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct KeySet(Vec<Key>);

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySet({} keys)", self.0.len())
    }
}

impl KeySet {
    /// A set of one key.
    pub(super) fn of(key: Key) -> Self {
        Self(vec![key])
    }

    /// Reads a JWK set; keys of no use here are left out.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let set = strict_json::object(text).map_err(|_| "is no JSON object".to_owned())?;
        let keys = set
            .get("keys")
            .and_then(Value::as_array)
            .ok_or_else(|| "has no array `keys`, so it is no JWK set".to_owned())?;
        if keys.len() > MAX_KEYS {
            return Err(format!("has {} keys; at most {MAX_KEYS} are read", keys.len()));
        }
        Ok(Self(keys.iter().filter_map(|key| Key::from_jwk(key.as_object()?)).collect()))
    }

    /// Whether there is no usable key.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one key that a token can mean; `kid` is compared with the set's and used for nothing else.
    pub(super) fn find(&self, algorithm: Algorithm, id: Option<&str>) -> Result<&Key, IdentityDenial> {
        let named = || self.0.iter().filter(|key| id.is_none_or(|id| key.id.as_deref() == Some(id)));
        let mut fitting = named().filter(|key| key.fits(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (Some(_), Some(_)) => Err(IdentityDenial::AmbiguousKey),
            (None, _) if id.is_some() && named().next().is_some() => Err(IdentityDenial::KeyMismatch),
            (None, _) => Err(IdentityDenial::UnknownKey),
        }
    }
}
