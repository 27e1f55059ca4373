//! Disclosure: errors, logs, metrics and lists tell a tenant nothing about another.
//!
//! A guard's "no" is a [`Denial`]: which layer, why, and which of a few kinds of reply the caller gets. What the
//! caller sees is made in `refusal` and nowhere else; why stands in the audit log alone.

pub(crate) mod audit;
pub(crate) mod metrics;
pub(crate) mod refusal;

use std::{borrow::Cow, fmt, time::Duration};

use http::HeaderValue;
use partywall_model::Layer;

use super::capacity::Over;

/// A guard's "no".
#[derive(Debug, Clone)]
pub struct Denial {
    layer: Layer,
    reason: Cow<'static, str>,
    refused: Refused,
    stranger: bool,
}

/// What the caller is told; as little as it needs to go on.
#[derive(Clone)]
pub(crate) enum Refused {
    /// There is no credential, or it is not good. The challenge says where to get one.
    Unauthenticated(HeaderValue),
    /// The credential is good and does not allow this.
    Scope(HeaderValue),
    /// Too much at once; the time after which one more call is admitted, and of what there is too much.
    TooMany(Duration, Over),
    /// The thing does not exist, as far as the caller is concerned.
    NotFound,
    /// A handle does not open.
    Handle,
    /// The request came by a name or from a web page that is not ours.
    Door,
    /// The server could not tell, and so did not go on.
    Failed,
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unauthenticated(_) => "Unauthenticated",
            Self::Scope(_) => "Scope",
            Self::TooMany(..) => "TooMany",
            Self::NotFound => "NotFound",
            Self::Handle => "Handle",
            Self::Door => "Door",
            Self::Failed => "Failed",
        })
    }
}

impl Denial {
    pub(crate) fn new(layer: Layer, reason: impl Into<Cow<'static, str>>, refused: Refused) -> Self {
        Self { layer, reason: reason.into(), refused, stranger: false }
    }

    /// The denied caller belongs to no tenant that exists, so nothing of it goes into a tenant's log.
    pub(crate) fn into_stranger(mut self) -> Self {
        self.stranger = true;
        self
    }

    pub(crate) fn is_to_stranger(&self) -> bool {
        self.stranger
    }

    /// The layer that said no.
    #[must_use]
    pub fn layer(&self) -> Layer {
        self.layer
    }

    /// Why, for the audit log.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The reason as a word of the program, of which there are few.
    pub(crate) fn word(&self) -> &'static str {
        match self.reason {
            Cow::Borrowed(word) => word,
            Cow::Owned(_) => "denied",
        }
    }

    pub(crate) fn refused(&self) -> &Refused {
        &self.refused
    }
}
