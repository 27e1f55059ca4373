//! Signers, tokens, a clock that is set by hand, and a server of key sets.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
        KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair, RsaPublicKeyComponents,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use serde_json::{Value, json};

use crate::{
    clock::Clock,
    config::Config,
    guards::identity::{Authenticator, IdentityDenial, Verified},
};

/// The time at which tests begin.
pub(super) const NOW: u64 = 1_800_000_000;

pub(super) const RESOURCE: &str = "https://mcp.example.com/mcp";

/// A clock that stands still until it is set.
#[derive(Clone)]
pub(super) struct Hands(Arc<AtomicU64>);

impl Hands {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(NOW)))
    }

    pub(super) fn clock(&self) -> Clock {
        let hands = self.clone();
        Clock::from_fn(move || UNIX_EPOCH + Duration::from_secs(hands.0.load(Ordering::SeqCst)))
    }

    /// Seconds after [`NOW`].
    pub(super) fn set(&self, after: u64) {
        self.0.store(NOW + after, Ordering::SeqCst);
    }
}

enum Pair {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// A key that signs tokens.
pub(super) struct Signer {
    pub(super) kid: String,
    pair: Pair,
}

impl Signer {
    pub(super) fn p256(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        Self::with(kid, Pair::P256(pair))
    }

    pub(super) fn p384(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect("a key");
        Self::with(kid, Pair::P384(pair))
    }

    pub(super) fn ed25519(kid: &str) -> Self {
        Self::with(kid, Pair::Ed25519(Ed25519KeyPair::generate().expect("a key")))
    }

    pub(super) fn rsa(kid: &str) -> Self {
        Self::with(kid, Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key")))
    }

    fn with(kid: &str, pair: Pair) -> Self {
        Self { kid: kid.to_owned(), pair }
    }

    /// The public key's bytes: a point, an x or a modulus.
    pub(super) fn public(&self) -> Vec<u8> {
        match &self.pair {
            Pair::P256(pair) | Pair::P384(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Rsa(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    pub(super) fn jwk(&self) -> Value {
        let public = self.public();
        let ec = |curve: &str| {
            let (x, y) = public[1..].split_at(public.len() / 2);
            json!({"kty": "EC", "crv": curve, "kid": self.kid, "x": b64(x), "y": b64(y)})
        };
        match &self.pair {
            Pair::P256(_) => ec("P-256"),
            Pair::P384(_) => ec("P-384"),
            Pair::Ed25519(_) => json!({"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": b64(&public)}),
            Pair::Rsa(pair) => {
                let parts = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({"kty": "RSA", "kid": self.kid, "n": b64(&parts.n), "e": b64(&parts.e)})
            }
        }
    }

    /// The usual header for this key.
    pub(super) fn header(&self) -> Value {
        let algorithm = match self.pair {
            Pair::P256(_) => "ES256",
            Pair::P384(_) => "ES384",
            Pair::Ed25519(_) => "EdDSA",
            Pair::Rsa(_) => "RS256",
        };
        json!({"alg": algorithm, "kid": self.kid})
    }

    /// A token with the usual header.
    pub(super) fn token(&self, claims: &Value) -> String {
        self.sign(&self.header().to_string(), &claims.to_string())
    }

    /// A token with a header and a payload that need not be JSON.
    pub(super) fn sign(&self, header: &str, payload: &str) -> String {
        let message = format!("{}.{}", b64(header), b64(payload));
        let bytes = message.as_bytes();
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::P256(pair) | Pair::P384(pair) => {
                pair.sign(&random, bytes).expect("signed").as_ref().to_vec()
            }
            Pair::Ed25519(pair) => pair.sign(bytes).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let padding = if header.contains("PS256") { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, bytes, &mut signature).expect("signed");
                signature
            }
        };
        format!("{message}.{}", b64(signature))
    }
}

pub(super) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn key_set(signers: &[&Signer]) -> String {
    json!({"keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()}).to_string()
}

/// Claims that are good, for acme.
pub(super) fn claims(issuer: &str) -> Value {
    json!({
        "iss": issuer,
        "aud": RESOURCE,
        "sub": "ann",
        "org_id": "acme",
        "scope": "desk:read",
        "iat": NOW,
        "exp": NOW + 3600,
    })
}

/// The claims with one of them set, or removed by `None`.
pub(super) fn with(claims: &Value, name: &str, value: impl Into<Option<Value>>) -> Value {
    let mut claims = claims.clone();
    let map = claims.as_object_mut().expect("an object");
    match value.into() {
        Some(value) => map.insert(name.to_owned(), value),
        None => map.remove(name),
    };
    claims
}

/// Headers with this bearer token.
pub(super) fn bearer(token: &str) -> HeaderMap {
    authorization(&format!("Bearer {token}"))
}

/// Headers with this `Authorization`.
pub(super) fn authorization(value: &str) -> HeaderMap {
    HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(value).expect("a header value"))])
}

/// A configuration as text, without the checks of the whole file: the guard must stand without them.
pub(super) fn config(text: &str, base: &Path) -> Config {
    let mut config: Config = toml::from_str(text).expect("a configuration");
    config.base_dir = base.to_owned();
    config
}

/// Asks the guard; also checks that a denial shows nothing of the token.
pub(super) async fn ask(guard: &Authenticator, headers: &HeaderMap) -> Result<Verified, IdentityDenial> {
    let answer = guard.authenticate(headers).await;
    let shown = match &answer {
        Ok(verified) => format!("{verified:?}"),
        Err(denial) => format!("{denial:?} {denial} {:?} {}", guard.challenge(denial, None), denial.reason()),
    };
    for value in headers.get_all(AUTHORIZATION) {
        for word in String::from_utf8_lossy(value.as_bytes()).split([' ', '.', ',']) {
            assert!(word.len() < 12 || !shown.contains(word), "the token is shown: {shown}");
        }
    }
    answer
}

/// A server of small documents on loopback.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pages: Arc<Mutex<HashMap<String, (String, String)>>>,
    hits: Arc<AtomicU64>,
    delay: Arc<AtomicU64>,
}

impl Server {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = Self {
            address: listener.local_addr().expect("an address"),
            pages: Arc::default(),
            hits: Arc::default(),
            delay: Arc::default(),
        };
        let (pages, hits, delay) = (server.pages.clone(), server.hits.clone(), server.delay.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let first = lines.next().unwrap_or_default();
                lines.take_while(|line| !line.is_empty()).for_each(drop);
                hits.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(delay.load(Ordering::SeqCst)));
                let path = first.split(' ').nth(1).unwrap_or_default();
                let page = pages.lock().expect("the pages").get(path).cloned();
                let (status, body) = page.unwrap_or(("404 Not Found".to_owned(), String::new()));
                let head =
                    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}", body.len());
                let _ = write!(&stream, "{head}\r\n\r\n{body}");
            }
        });
        server
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn serve(&self, path: &str, body: &str) {
        self.answer(path, "200 OK", body);
    }

    /// `status` may go on with more header lines.
    pub(super) fn answer(&self, path: &str, status: &str, body: &str) {
        let page = (status.to_owned(), body.to_owned());
        self.pages.lock().expect("the pages").insert(path.to_owned(), page);
    }

    pub(super) fn hits(&self) -> u64 {
        self.hits.load(Ordering::SeqCst)
    }

    pub(super) fn slow_down(&self, milliseconds: u64) {
        self.delay.store(milliseconds, Ordering::SeqCst);
    }
}
