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
