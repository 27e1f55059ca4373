//! The nine places where two tenants could meet.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A place where two tenants could meet; the rows of the matrix, in this order for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// The tenant comes from a validated credential and from nothing else.
    Identity,
    /// The tenant travels with the request; code that runs without one is refused.
    Context,
    /// Memory that one tenant's request touched is never read by another's.
    State,
    /// The database itself, not the query's author, decides which rows exist.
    Data,
    /// A cached value is found only by the tenant that owns it.
    Cache,
    /// An upstream is called with the calling tenant's credential, built for that request.
    Credentials,
    /// An answer, event or handle reaches only the caller it was made for.
    Routing,
    /// One tenant's load does not change another's service.
    Capacity,
    /// Errors, logs, metrics and lists tell a tenant nothing about another.
    Disclosure,
}

impl Layer {
    /// Every layer, in the order of the matrix.
    pub const ALL: [Self; 9] = [
        Self::Identity,
        Self::Context,
        Self::State,
        Self::Data,
        Self::Cache,
        Self::Credentials,
        Self::Routing,
        Self::Capacity,
        Self::Disclosure,
    ];

    /// The layer's name as it stands in file names, findings and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Context => "context",
            Self::State => "state",
            Self::Data => "data",
            Self::Cache => "cache",
            Self::Credentials => "credentials",
            Self::Routing => "routing",
            Self::Capacity => "capacity",
            Self::Disclosure => "disclosure",
        }
    }

    /// What the layer promises, in one sentence.
    #[must_use]
    pub const fn promise(self) -> &'static str {
        match self {
            Self::Identity => "The tenant comes from a validated credential and from nothing else.",
            Self::Context => "The tenant travels with the request; code that runs without one is refused.",
            Self::State => "Memory that one tenant's request touched is never read by another's.",
            Self::Data => "The database itself, not the query's author, decides which rows exist.",
            Self::Cache => "A cached value is found only by the tenant that owns it.",
            Self::Credentials => {
                "An upstream is called with the calling tenant's credential, built for that request."
            }
            Self::Routing => "An answer, event or handle reaches only the caller it was made for.",
            Self::Capacity => "One tenant's load does not change another's service.",
            Self::Disclosure => "Errors, logs, metrics and lists tell a tenant nothing about another.",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no layer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a layer; the layers are identity, context, state, data, cache, credentials, routing, capacity, disclosure"
)]
pub struct UnknownLayer(String);

impl FromStr for Layer {
    type Err = UnknownLayer;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|layer| layer.name() == word).ok_or_else(|| UnknownLayer(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back() {
        for layer in Layer::ALL {
            assert_eq!(layer.name().parse(), Ok(layer));
        }
        assert!("caches".parse::<Layer>().is_err());
    }
}
