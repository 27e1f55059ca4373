//! From verified claims to a principal, with nothing trimmed, coerced or guessed.

use std::sync::Arc;

use partywall_model::{Principal, Scopes, TenantId};
use serde_json::{Map, Value};

use super::{development, error::IdentityDenial, issuer::Issuer};
use crate::{admit::Incarnation, tenants::Issued};

/// The longest life of a token, in seconds: 366 days.
pub(super) const MAX_LIFE: u64 = 366 * 24 * 60 * 60;

/// The longest subject, in characters.
const MAX_SUBJECT: usize = 256;

/// What a token says once its signature is known to be good.
pub(super) struct Accepted {
    /// The caller.
    pub(super) principal: Principal,
    /// When the token ends.
    pub(super) expires_at: u64,
    /// Before this the token is only good by leeway.
    pub(super) not_before: u64,
    /// Which life of the tenant it was made for, as far as it says.
    pub(super) issued: Issued,
}

/// Checks every claim of a token whose signature is the issuer's.
pub(super) fn accept(
    issuer: &Issuer,
    claims: &Map<String, Value>,
    now: u64,
    leeway: u64,
) -> Result<Accepted, IdentityDenial> {
    if claims.get("iss").and_then(Value::as_str) != Some(&*issuer.name) {
        return Err(IdentityDenial::UnknownIssuer);
    }
    audience(issuer, claims.get("aud"))?;
    let expires_at = seconds(claims, "exp")?.ok_or(IdentityDenial::Times)?;
    let issued_at = seconds(claims, "iat")?;
    let not_before = seconds(claims, "nbf")?.max(issued_at).unwrap_or(0);
    // Leeway helps a token that came early, never one that has ended: streams and caches end it at `exp` too.
    if now >= expires_at {
        return Err(IdentityDenial::Expired);
    }
    if not_before > now.saturating_add(leeway) {
        return Err(IdentityDenial::NotYetValid);
    }
    if expires_at > now.saturating_add(MAX_LIFE) {
        return Err(IdentityDenial::ExpiresTooLate);
    }
    let principal = Principal {
        tenant: tenant(issuer, claims)?,
        issuer: Arc::clone(&issuer.name),
        subject: subject(claims)?.into(),
        scopes: scopes(claims)?,
    };
    Ok(Accepted { principal, expires_at, not_before, issued: issued(issuer, claims, issued_at, leeway)? })
}

/// What a token says about the life of its tenant: the development issuer names it; of others there is the time.
fn issued(
    issuer: &Issuer,
    claims: &Map<String, Value>,
    issued_at: Option<u64>,
    leeway: u64,
) -> Result<Issued, IdentityDenial> {
    // Its clock is this machine's.
    let ours = *issuer.name == *development::ISSUER;
    if ours && let Some(life) = seconds(claims, development::LIFE_CLAIM)? {
        return Ok(Issued::For(Incarnation(life)));
    }
    let leeway = if ours { 0 } else { leeway };
    Ok(issued_at.map_or(Issued::Unknown, |time| Issued::At { time, leeway }))
}

/// `aud` must be ours: the string, or an array of just it.
fn audience(issuer: &Issuer, aud: Option<&Value>) -> Result<(), IdentityDenial> {
    let ours = |value: &Value| value.as_str() == Some(&issuer.audience);
    let good = match aud {
        Some(Value::Array(all)) if issuer.allow_other_audiences => {
            all.iter().all(Value::is_string) && all.iter().any(ours)
        }
        Some(Value::Array(all)) => matches!(all.as_slice(), [only] if ours(only)),
        Some(one) => ours(one),
        None => false,
    };
    good.then_some(()).ok_or(IdentityDenial::Audience)
}

/// A time in whole seconds; a float or a string is refused, since readers round and parse them differently.
fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, IdentityDenial> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or(IdentityDenial::Times),
    }
}

fn subject(claims: &Map<String, Value>) -> Result<&str, IdentityDenial> {
    claims.get("sub").and_then(Value::as_str).filter(|sub| is_subject(sub)).ok_or(IdentityDenial::Subject)
}

/// Whether a text can name a caller.
pub(super) fn is_subject(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= MAX_SUBJECT && !text.chars().any(char::is_control)
}

/// The tenant from the one configured claim, or the issuer's own; if both are configured they must agree.
fn tenant(issuer: &Issuer, claims: &Map<String, Value>) -> Result<TenantId, IdentityDenial> {
    let rule = &issuer.tenant;
    let claimed = match &rule.claim {
        None => None,
        Some(name) => {
            let text = claims.get(name).and_then(Value::as_str).ok_or(IdentityDenial::Tenant)?;
            let tenant = match &rule.map {
                Some(map) => map.get(text).cloned(),
                None => TenantId::parse(text).ok(),
            };
            Some(tenant.ok_or(IdentityDenial::Tenant)?)
        }
    };
    match (claimed, &rule.fixed) {
        (Some(claimed), Some(fixed)) if claimed != *fixed => Err(IdentityDenial::Tenant),
        (Some(claimed), _) => Ok(claimed),
        (None, Some(fixed)) => Ok(fixed.clone()),
        (None, None) => Err(IdentityDenial::Tenant),
    }
}

/// Scopes from `scope` (RFC 8693) or `scp`; a token with both must mean the same by them.
fn scopes(claims: &Map<String, Value>) -> Result<Scopes, IdentityDenial> {
    let scope = match claims.get("scope") {
        None => None,
        Some(Value::String(text)) => Some(parse_scopes(text)?),
        Some(_) => return Err(IdentityDenial::Scopes),
    };
    let scp = match claims.get("scp") {
        None => None,
        Some(Value::String(text)) => Some(parse_scopes(text)?),
        Some(Value::Array(items)) => {
            let words: Option<Vec<&str>> =
                items.iter().map(|item| item.as_str().filter(|word| is_scope(word))).collect();
            Some(Scopes::parse(&words.ok_or(IdentityDenial::Scopes)?.join(" ")))
        }
        Some(_) => return Err(IdentityDenial::Scopes),
    };
    match (scope, scp) {
        (Some(a), Some(b)) if a != b => Err(IdentityDenial::Scopes),
        (a, b) => Ok(a.or(b).unwrap_or_default()),
    }
}

fn parse_scopes(text: &str) -> Result<Scopes, IdentityDenial> {
    if text.split(' ').all(|word| word.is_empty() || is_scope(word)) {
        Ok(Scopes::parse(text))
    } else {
        Err(IdentityDenial::Scopes)
    }
}

/// Whether a word is a scope (RFC 6749 section 3.3), which also makes it safe inside a quoted header parameter.
pub(super) fn is_scope(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}
