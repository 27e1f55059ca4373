//! One issuer as configured, checked once so that a request only compares.

use std::{collections::BTreeMap, sync::Arc};

use jsonwebtoken::Algorithm;
use partywall_model::TenantId;
use url::Url;

use super::{
    error::IdentityError,
    key_source::{self, KeySource},
    key_store::KeyStore,
    keys,
};
use crate::{clock::Clock, config};

/// An issuer whose tokens are accepted.
pub(super) struct Issuer {
    /// The exact `iss`.
    pub(super) name: Arc<str>,
    /// What its tokens may be signed with.
    pub(super) algorithms: Vec<Algorithm>,
    /// The exact `aud`.
    pub(super) audience: String,
    /// Whether `aud` may name others too.
    pub(super) allow_other_audiences: bool,
    /// The required `typ`, without `application/`.
    pub(super) token_type: Option<String>,
    /// How the tenant is found.
    pub(super) tenant: TenantRule,
    /// Its keys.
    pub(super) keys: Arc<KeyStore>,
}

/// How the tenant of a token is found.
pub(super) struct TenantRule {
    /// The claim that names it.
    pub(super) claim: Option<String>,
    /// The tenant that all tokens belong to.
    pub(super) fixed: Option<TenantId>,
    /// Claim values and their tenants; nothing else is accepted then.
    pub(super) map: Option<BTreeMap<String, TenantId>>,
}

impl Issuer {
    /// Checks one `[[identity.issuer]]`.
    pub(super) fn from_config(
        issuer: &config::Issuer,
        config: &config::Config,
        http: &mut LazyClient,
        clock: &Clock,
    ) -> Result<Self, IdentityError> {
        let refuse =
            |key, problem: String| IdentityError::Issuer { issuer: issuer.issuer.clone(), key, problem };
        if issuer.issuer.is_empty() {
            return Err(refuse("issuer", "is empty; write the exact `iss` of its tokens".to_owned()));
        }
        let algorithms = algorithms(&issuer.algorithms).map_err(|problem| refuse("algorithms", problem))?;
        let tenant = TenantRule::from_config(issuer).map_err(|(key, problem)| refuse(key, problem))?;
        let audience = issuer.audience.clone().unwrap_or_else(|| config.resource());
        if audience.is_empty() {
            return Err(refuse("audience", "is empty; leave it out to use server.public_url".to_owned()));
        }
        let place = key_source::place(issuer, &config.base_dir).map_err(|problem| refuse("jwks", problem))?;
        let source = match place {
            key_source::Place::File(path) => KeySource::File(path),
            key_source::Place::Url(url) => KeySource::Url(http.get()?, url),
            key_source::Place::Discovery(url) => {
                KeySource::Discovery { http: http.get()?, issuer: issuer.issuer.clone(), url }
            }
        };
        let keys = KeyStore::new(&issuer.issuer, source, clock.clone())
            .map_err(|problem| refuse("jwks", problem))?;
        Ok(Self {
            name: issuer.issuer.as_str().into(),
            algorithms,
            audience,
            allow_other_audiences: issuer.allow_other_audiences,
            token_type: issuer.token_type.as_deref().map(|typ| media_type(typ).to_owned()),
            tenant,
            keys,
        })
    }

    /// Whether a token's `typ` is the required one, if one is.
    pub(super) fn accepts_type(&self, typ: Option<&str>) -> bool {
        self.token_type
            .as_deref()
            .is_none_or(|wanted| typ.is_some_and(|typ| media_type(typ).eq_ignore_ascii_case(wanted)))
    }
}

/// A media type without the `application/` that RFC 7515 lets a token leave out.
fn media_type(text: &str) -> &str {
    const PREFIX: &str = "application/";
    match text.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => rest,
        _ => text,
    }
}

fn algorithms(names: &[String]) -> Result<Vec<Algorithm>, String> {
    let known = keys::ALGORITHMS.map(|(name, _)| name).join(", ");
    if names.is_empty() {
        return Err(format!("is empty; name at least one of {known}"));
    }
    names
        .iter()
        .map(|name| {
            keys::algorithm(name).ok_or_else(|| {
                let why = if name.starts_with("HS") {
                    "is symmetric: whoever can check a token could make one"
                } else if name.eq_ignore_ascii_case("none") {
                    "means unsigned tokens"
                } else {
                    "is not known"
                };
                format!("`{name}` {why}; use one or more of {known}")
            })
        })
        .collect()
}

impl TenantRule {
    fn from_config(issuer: &config::Issuer) -> Result<Self, (&'static str, String)> {
        if issuer.tenant_claim.is_none() && issuer.tenant.is_none() {
            return Err((
                "tenant_claim",
                "is missing; name the claim that holds the tenant, or set `tenant` if the issuer serves one tenant"
                    .to_owned(),
            ));
        }
        if issuer.tenant_claim.as_deref() == Some("") {
            return Err(("tenant_claim", "is empty; name the claim that holds the tenant".to_owned()));
        }
        if issuer.tenant_claim.is_none() && issuer.tenant_map.is_some() {
            return Err(("tenant_map", "needs `tenant_claim`, the claim whose values it lists".to_owned()));
        }
        let parse = |key, text: &str| {
            TenantId::parse(text)
                .map_err(|why| (key, format!("`{}` is no tenant id: {why}", text.escape_debug())))
        };
        let fixed = issuer.tenant.as_deref().map(|id| parse("tenant", id)).transpose()?;
        let tenants = |map: &BTreeMap<String, String>| {
            map.iter()
                .map(|(value, id)| parse("tenant_map", id).map(|id| (value.clone(), id)))
                .collect::<Result<BTreeMap<_, _>, _>>()
        };
        // An empty list lists nobody, and is not the same as none.
        let map = issuer.tenant_map.as_ref().map(tenants).transpose()?;
        Ok(Self { claim: issuer.tenant_claim.clone(), fixed, map })
    }
}

/// An HTTP client made when the first issuer needs one, so that a server without remote issuers needs no TLS roots.
#[derive(Default)]
pub(super) struct LazyClient(Option<reqwest::Client>);

impl LazyClient {
    fn get(&mut self) -> Result<reqwest::Client, IdentityError> {
        if let Some(client) = &self.0 {
            return Ok(client.clone());
        }
        let client = key_source::client().map_err(|error| IdentityError::HttpClient(error.to_string()))?;
        Ok(self.0.insert(client).clone())
    }
}

/// Whether a URL may be fetched or named: `https`, or `http` to this machine.
pub(super) fn is_safe(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.has_host(),
        "http" => match url.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        },
        _ => false,
    }
}
