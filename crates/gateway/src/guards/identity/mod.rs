//! Identity: the tenant comes from a validated credential and from nothing else.
//!
//! [`Authenticator`] takes a request's headers and gives a [`Principal`] or an [`IdentityDenial`]. It looks at the
//! `Authorization` header alone: no query, cookie, forwarding header, path or body can name a caller or a tenant.
//!
//! A token goes through, in this order: `token` takes it apart, `issuer` says what its issuer may do, `key_store` and
//! `keys` find the key and check the signature, `claims` reads the tenant. `challenge` tells the client where to get
//! a token, and the same for every bad one.

mod challenge;
mod claims;
mod development;
mod error;
mod issuer;
mod key_source;
mod key_store;
mod keys;
#[cfg(test)]
mod tests;
mod token;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_lc_rs::digest;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use jsonwebtoken::Algorithm;
use partywall_model::Principal;

use self::{
    challenge::Challenges,
    issuer::{Issuer, LazyClient},
    key_store::Snapshot,
    token::Parts,
};
pub use self::{
    development::DevelopmentIssuer,
    error::{IdentityDenial, IdentityError},
};
use crate::{clock::Clock, config::Config, tenants::Issued};

/// The most verified tokens that are remembered.
const CACHED_TOKENS: usize = 50_000;

/// The leeway when the configuration names none, and the most it may name, in seconds.
const DEFAULT_LEEWAY: u64 = 30;
const MAX_LEEWAY: u64 = 60;

/// The hash of a token; the token itself is not kept.
type TokenHash = [u8; 32];

/// Checks who is calling.
pub struct Authenticator {
    issuers: HashMap<Arc<str>, Arc<Issuer>>,
    challenges: Challenges,
    verified: quick_cache::sync::Cache<TokenHash, Arc<Remembered>>,
    /// Good tokens that were seen after their end: a wall clock that is set back does not bring them back to life.
    ended: quick_cache::sync::Cache<TokenHash, ()>,
    /// Goes up when all verified tokens are forgotten, so that a check under way then is not remembered either.
    epoch: AtomicU64,
    leeway: u64,
    clock: Clock,
}

/// A caller whose token is good.
#[derive(Debug, Clone)]
pub struct Verified {
    /// The caller.
    pub principal: Arc<Principal>,
    /// When the token ends, in seconds since 1970; nothing may be done with it from then on.
    pub expires_at: u64,
    /// What it says about the life of the tenant that it was made for.
    pub issued: Issued,
}

#[cfg(test)]
impl Verified {
    /// Who callers without a token would be, if there were such a thing.
    pub(crate) fn somebody() -> Self {
        let principal = Principal {
            tenant: partywall_model::TenantId::parse("acme").expect("a name"),
            issuer: "urn:nobody".into(),
            subject: "nobody".into(),
            scopes: partywall_model::Scopes::default(),
        };
        Self { principal: Arc::new(principal), expires_at: u64::MAX, issued: Issued::Unknown }
    }
}

/// A token that was verified, and what must still hold for that to count.
struct Remembered {
    verified: Verified,
    not_before: u64,
    issuer: Arc<Issuer>,
    generation: u64,
    epoch: u64,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("issuers", &self.issuers.len()).finish_non_exhaustive()
    }
}

impl Authenticator {
    /// Sets up the issuers of a configuration.
    ///
    /// Key files are read now; remote key sets are fetched when the first token needs them.
    ///
    /// # Errors
    /// When `[identity]` is not safe or not complete; the error names the key and what would be right.
    pub fn new(config: &Config, clock: Clock) -> Result<Self, IdentityError> {
        let identity = &config.identity;
        let leeway = identity.leeway.map_or(DEFAULT_LEEWAY, |leeway| {
            // Rounded up, so that 60.5 s is not taken for 60 s.
            leeway.as_secs() + u64::from(leeway.subsec_nanos() > 0)
        });
        if leeway > MAX_LEEWAY {
            return Err(IdentityError::Leeway { seconds: leeway });
        }
        if identity.issuers.is_empty() && !identity.development {
            return Err(IdentityError::NoIssuer);
        }
        let mut issuers = HashMap::new();
        let mut advertised = Vec::new();
        let mut http = LazyClient::default();
        for configured in &identity.issuers {
            let refuse = |problem: &str| IdentityError::Issuer {
                issuer: configured.issuer.clone(),
                key: "issuer",
                problem: problem.to_owned(),
            };
            if configured.issuer == development::ISSUER {
                return Err(refuse("is the name of the built-in issuer; set identity.development instead"));
            }
            let issuer = Issuer::from_config(configured, config, &mut http, &clock)?;
            if issuers.insert(Arc::clone(&issuer.name), Arc::new(issuer)).is_some() {
                return Err(refuse("is configured twice; keep one [[identity.issuer]] for it"));
            }
            if configured.advertise.unwrap_or(configured.tenant.is_none()) {
                advertised.push(configured.issuer.clone());
            }
        }
        if advertised.is_empty() && !identity.issuers.is_empty() {
            return Err(IdentityError::NothingAdvertised);
        }
        let challenges = Challenges::new(config.resource(), advertised)?;
        if identity.development {
            let listen = config.server.listen;
            if !listen.ip().is_loopback() {
                return Err(IdentityError::DevelopmentOffLoopback { listen });
            }
            let issuer = DevelopmentIssuer::open_or_create(&config.data_dir(), &config.resource())?;
            issuers.insert(development::ISSUER.into(), Arc::new(issuer.as_issuer(&clock)));
        }
        Ok(Self {
            issuers,
            challenges,
            verified: quick_cache::sync::Cache::new(CACHED_TOKENS),
            ended: quick_cache::sync::Cache::new(CACHED_TOKENS),
            epoch: AtomicU64::new(0),
            leeway,
            clock,
        })
    }

    /// Names the scopes that the metadata offers to clients.
    #[must_use]
    pub fn with_scopes(mut self, scopes: Vec<String>) -> Self {
        self.challenges.set_scopes(&scopes);
        self
    }

    /// Checks the request's one bearer token; may wait for the issuer's keys.
    ///
    /// # Errors
    /// Whenever there is any doubt.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Verified, IdentityDenial> {
        let token = token::bearer(headers)?;
        let hash = hash(token);
        if let Some(verified) = self.remembered(&hash, |issuer| issuer.keys.fresh_generation()) {
            return Ok(verified);
        }
        if self.ended.get(&hash).is_some() {
            return Err(IdentityDenial::Expired);
        }
        let epoch = self.epoch.load(Ordering::Acquire);
        let parts = Parts::split(token)?;
        let issuer = parts
            .claims
            .get("iss")
            .and_then(|iss| self.issuers.get(iss.as_str()?))
            .ok_or(IdentityDenial::UnknownIssuer)?;
        let algorithm = keys::algorithm(&parts.algorithm)
            .filter(|algorithm| issuer.algorithms.contains(algorithm))
            .ok_or(IdentityDenial::Algorithm)?;
        if !issuer.accepts_type(parts.token_type.as_deref()) {
            return Err(IdentityDenial::TokenType);
        }
        let keys = issuer.keys.current().await?;
        // In an outage of the issuer the keys are old but still used, and so is what they verified.
        if let Some(verified) = self.remembered(&hash, |_| Some(keys.generation)) {
            return Ok(verified);
        }
        let generation = verify_signature(issuer, algorithm, &parts, keys).await?;
        let accepted = claims::accept(issuer, &parts.claims, self.clock.unix_seconds(), self.leeway);
        if accepted.as_ref().is_err_and(|denial| *denial == IdentityDenial::Expired) {
            // Its issuer has signed it, so strangers cannot fill the memory of these.
            self.ended.insert(hash, ());
        }
        let accepted = accepted?;
        let verified = Verified {
            principal: Arc::new(accepted.principal),
            expires_at: accepted.expires_at,
            issued: accepted.issued,
        };
        let remembered = Remembered {
            verified: verified.clone(),
            not_before: accepted.not_before,
            issuer: Arc::clone(issuer),
            generation,
            epoch,
        };
        self.verified.insert(hash, Arc::new(remembered));
        Ok(verified)
    }

    /// Looks the token up among those verified before; never waits.
    #[must_use]
    pub fn cached(&self, headers: &HeaderMap) -> Option<Verified> {
        let hash = hash(token::bearer(headers).ok()?);
        self.remembered(&hash, |issuer| issuer.keys.fresh_generation())
    }

    /// The protected resource metadata (RFC 9728), the same for everybody.
    #[must_use]
    pub fn metadata(&self) -> Bytes {
        self.challenges.metadata()
    }

    /// The paths at which the metadata is to be served.
    #[must_use]
    pub fn metadata_paths(&self) -> [&str; 2] {
        self.challenges.paths()
    }

    /// The `WWW-Authenticate` value of a 401; the same for every token that is not accepted.
    #[must_use]
    pub fn challenge(&self, denial: &IdentityDenial, scope: Option<&str>) -> HeaderValue {
        let error = denial.presented().then_some("invalid_token");
        self.challenges.header(error, scope)
    }

    /// The challenge for a token that is good but whose tenant is not served: the same as for any bad token.
    #[must_use]
    pub fn rejected(&self) -> HeaderValue {
        self.challenges.header(Some("invalid_token"), None)
    }

    /// The `WWW-Authenticate` value of a 403 for a caller that lacks a scope.
    #[must_use]
    pub fn insufficient_scope(&self, scope: &str) -> HeaderValue {
        self.challenges.header(Some("insufficient_scope"), Some(scope))
    }

    /// Forgets every verified token, so that each is checked in full again.
    pub fn forget_tokens(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.verified.clear();
    }

    /// A token verified before, if it still counts.
    fn remembered(
        &self,
        hash: &TokenHash,
        generation: impl FnOnce(&Issuer) -> Option<u64>,
    ) -> Option<Verified> {
        let entry = self.verified.get(hash)?;
        let now = self.clock.unix_seconds();
        if now >= entry.verified.expires_at {
            self.ended.insert(*hash, ());
            drop(self.verified.remove(hash));
            return None;
        }
        let counts = now >= entry.not_before
            && entry.epoch == self.epoch.load(Ordering::Acquire)
            && generation(&entry.issuer) == Some(entry.generation);
        counts.then(|| entry.verified.clone())
    }
}

/// Checks a token's signature; gives the generation of the key set it was checked with.
async fn verify_signature(
    issuer: &Issuer,
    algorithm: Algorithm,
    parts: &Parts<'_>,
    mut keys: Snapshot,
) -> Result<u64, IdentityDenial> {
    let id = parts.key_id.as_deref();
    if keys.set.find(algorithm, id) == Err(IdentityDenial::UnknownKey) {
        // Perhaps the issuer has a new key.
        keys = issuer.keys.newer_than(&keys).await.ok_or(IdentityDenial::UnknownKey)?;
    }
    let key = keys.set.find(algorithm, id)?;
    #[cfg(test)]
    if crate::removed::removed("verified-token") {
        return Ok(keys.generation);
    }
    if key.verify(algorithm, parts.message, &parts.signature) {
        Ok(keys.generation)
    } else {
        Err(IdentityDenial::Signature)
    }
}

fn hash(token: &str) -> TokenHash {
    let mut hash = TokenHash::default();
    hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    hash
}
