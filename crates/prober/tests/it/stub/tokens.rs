//! Tokens that are signed: how a good server reads them, and how bad ones do.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use serde_json::{Value, json};

use super::Defects;

/// The issuer's key.
pub(crate) const KEY: &str = "the stub's issuer signs with this and with nothing else";
const AUDIENCE: &str = "https://stub.example/mcp";
const ISSUER: &str = "https://login.example/";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A tenant's token as the issuer makes it.
pub(crate) fn token(tenant: &str) -> String {
    let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": format!("{tenant}-user"), "tenant": tenant,
        "exp": now() + 3_600});
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(&json!({"alg": "HS256", "typ": "JWT"})), encode(&claims));
    let key = EncodingKey::from_secret(KEY.as_bytes());
    let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

/// A public key of the issuer's, as it is published.
pub(crate) fn keys() -> Value {
    json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "1", "x": "8tfdUEnT_I7Mlw-5TWhxnM9Kj1k2fA2Tteu-7B5K3ys",
        "y": "rfZBa4Yo23EtHcy3_Sw8L-JBlefhnx_a8ClgXVF5Z2M"}]})
}

const PEM: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8tfdUEnT/I7Mlw+5TWhxnM9Kj1k2
fA2Tteu+7B5K3yut9kFrhijbcS0dzLf9LDwv4kGV5+GfH9rwKWBdUXlnYw==
-----END PUBLIC KEY-----
";

/// The tenant of a token that is signed with a key that anybody has.
pub(crate) fn forged(defects: &Defects, token: &str) -> Option<String> {
    let (message, signature) = token.rsplit_once('.')?;
    let part = |at: usize| -> Option<Value> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(message.split('.').nth(at)?).ok()?).ok()
    };
    let header = part(0)?;
    let (key, algorithm) = if defects.has("key-from-token") {
        let jwk = serde_json::from_value(header.get("jwk")?.clone()).ok()?;
        (DecodingKey::from_jwk(&jwk).ok()?, Algorithm::ES256)
    } else if defects.has("key-id-is-a-file") {
        let file = header.get("kid")?.as_str()?.ends_with("dev/null");
        (file.then(|| DecodingKey::from_secret(b""))?, Algorithm::HS256)
    } else if defects.has("public-key-is-a-secret") {
        (DecodingKey::from_secret(PEM.as_bytes()), Algorithm::HS256)
    } else {
        return None;
    };
    let good = crypto::verify(signature, message.as_bytes(), &key, algorithm).unwrap_or(false);
    let claims = part(1)?;
    good.then(|| claims.get("tenant")?.as_str().map(str::to_owned))?
}

/// The tenant that a signed token is of.
pub(crate) fn tenant_of(defects: &Defects, token: &str) -> Option<String> {
    let (message, signature) = token.rsplit_once('.')?;
    let key = DecodingKey::from_secret(KEY.as_bytes());
    if !crypto::verify(signature, message.as_bytes(), &key, Algorithm::HS256).unwrap_or(false) {
        return None;
    }
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(message.split('.').nth(1)?).ok()?).ok()?;
    let claims: Value = serde_json::from_str(&text).ok()?;
    let claim = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let good = (claim("aud") == AUDIENCE || defects.has("any-audience"))
        && (claim("iss") == ISSUER || defects.has("any-issuer"))
        && (claims["exp"].as_u64().is_some_and(|exp| exp > now()) || defects.has("any-time"))
        && (claims["nbf"].as_u64().is_none_or(|nbf| nbf <= now()) || defects.has("any-time"));
    if !good {
        return None;
    }
    if defects.has("subject-is-tenant") {
        return claim("sub").split('-').next().map(str::to_owned);
    }
    tenant(defects, &text, claims.get("tenant"))
}

fn tenant(defects: &Defects, text: &str, claim: Option<&Value>) -> Option<String> {
    let has = |defect| defects.has(defect);
    if text.matches("\"tenant\":").count() > 1 && !has("last-tenant") {
        return None;
    }
    let known = |name: &str| ["acme", "globex"].contains(&name).then(|| name.to_owned());
    match claim {
        None => has("no-tenant-is-first").then(|| "acme".to_owned()),
        Some(Value::String(name)) if name.trim().is_empty() => {
            has("blank-is-first").then(|| "acme".to_owned())
        }
        Some(Value::String(name)) if has("folds-names") => {
            known(name.trim().to_lowercase().trim_end_matches('.'))
        }
        Some(Value::String(name)) if has("splits-names") => name.rsplit([',', ':', '|', '/']).find_map(known),
        Some(Value::String(name)) => known(name),
        Some(Value::Object(fields)) if has("objects-are-tenants") => {
            fields.get("id")?.as_str().and_then(known)
        }
        Some(_) => None,
    }
}
