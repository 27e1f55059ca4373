//! What a run is asked to do.

use std::{collections::BTreeMap, num::NonZeroU32, str::FromStr, time::Duration};

use partywall_model::Layer;
use secrecy::SecretString;
use url::Url;

use crate::errand::Errands;

/// Somebody whom the target lets in: a name and a bearer token.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The tenant's name, as reports show it.
    pub tenant: String,
    /// The token. It is sent to the target and nowhere else.
    pub token: SecretString,
}

/// Which generation of the protocol is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Every generation that the target speaks; the newest first.
    #[default]
    Auto,
    /// 2026-07-28: no sessions.
    Modern,
    /// 2025-11-25 and what it negotiates down to: `initialize` and session ids.
    Legacy,
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "auto" => Ok(Self::Auto),
            crate::target::MODERN => Ok(Self::Modern),
            crate::target::LEGACY => Ok(Self::Legacy),
            _ => Err(format!(
                "there is no protocol {word:?}; there are auto, {} and {}",
                crate::target::MODERN,
                crate::target::LEGACY
            )),
        }
    }
}

/// How long the survey waits where waiting tells something.
#[derive(Debug, Clone, Copy)]
pub struct Pauses {
    /// How long nobody asks before a tenant is taken to be alone: most caches of answers that are kept by mistake are of
    /// seconds.
    pub alone: Duration,
    /// What every clock with seconds has moved on in.
    pub clock: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { alone: Duration::from_secs(3), clock: Duration::from_millis(1_100) }
    }
}

/// One run: the target, who attacks it, with what and how long.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The MCP endpoint.
    pub url: Url,
    /// Two tenants or more; the first two attack each other.
    pub tenants: Vec<Credential>,
    /// More users of tenants that stand in `tenants`, by the tenant's name.
    pub users: Vec<Credential>,
    /// Texts that stand in a tenant's data already and nowhere else, by tenant.
    pub seeds: BTreeMap<String, Vec<String>>,
    /// Whether tools that write may be called.
    pub allow_writes: bool,
    /// Only these layers; all but the load tests when empty. Load tests run only if `capacity` is named.
    pub layers: Vec<Layer>,
    /// Only these probes or techniques; all when empty.
    pub probes: Vec<String>,
    /// The generation of the protocol.
    pub protocol: Protocol,
    /// The most time for the whole run. What has not begun then is `not-run`.
    pub duration: Duration,
    /// The most requests at a time.
    pub concurrency: usize,
    /// The most requests a second; as many as come when absent.
    pub rate: Option<NonZeroU32>,
    /// The header that a token stands in by itself; `Authorization`, after `Bearer`, when absent.
    pub token_header: Option<String>,
    /// Certificates in PEM of an authority that is believed beside those of the machine, for targets that speak TLS.
    pub authority: Option<Vec<u8>>,
    /// Headers that every request carries.
    pub headers: Vec<(String, SecretString)>,
    /// A private key in PEM with which the target's tokens are signed, for hostile tokens.
    pub issuer_key: Option<SecretString>,
    /// Commands that suspend tenants and make them anew, if there are any.
    pub errands: Errands,
    /// The seed of all chance in the run: the same seed makes the same schedules.
    pub seed_run: u64,
    /// How long one race goes on.
    pub racing: Duration,
    /// How long the survey waits.
    pub pauses: Pauses,
    /// Only the techniques that most incidents on record would have been found by.
    pub quick: bool,
}

impl Plan {
    /// A plan with the usual limits.
    #[must_use]
    pub fn new(url: Url, tenants: Vec<Credential>) -> Self {
        Self {
            url,
            tenants,
            users: Vec::new(),
            seeds: BTreeMap::new(),
            allow_writes: false,
            layers: Vec::new(),
            probes: Vec::new(),
            protocol: Protocol::Auto,
            duration: Duration::from_secs(60),
            concurrency: 16,
            rate: None,
            token_header: None,
            authority: None,
            headers: Vec::new(),
            issuer_key: None,
            errands: Errands::default(),
            seed_run: 1,
            racing: Duration::from_secs(10),
            pauses: Pauses::default(),
            quick: false,
        }
    }
}
