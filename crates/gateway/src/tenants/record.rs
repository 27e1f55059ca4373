//! What is known of a tenant, and why a tenant is not admitted or not changed.

use std::{fmt, io, path::PathBuf};

use partywall_model::TenantId;
use serde::Serialize;

use super::StoreError;
use crate::{admit::Incarnation, central::CentralError};

/// Whether a tenant may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TenantState {
    /// It may call.
    Active,
    /// It may not call until it is resumed.
    Suspended,
    /// Its removal has begun; it never calls again.
    Removing,
}

impl TenantState {
    /// The state in one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Removing => "removing",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Suspended, Self::Removing].into_iter().find(|state| state.as_str() == text)
    }
}

impl fmt::Display for TenantState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One tenant as the registry knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRecord {
    /// The tenant's id.
    pub id: TenantId,
    /// Which life of the id this is.
    pub incarnation: Incarnation,
    /// Whether it may call.
    pub state: TenantState,
    /// When it was added, in seconds since 1970.
    pub created_at: u64,
    /// Whether the id had a life before this one, as far as the registry knows.
    pub again: bool,
}

impl TenantRecord {
    pub(crate) fn life(&self) -> Life {
        Life::new(self.incarnation, self.created_at, self.again)
    }
}

/// One life of a tenant id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) incarnation: Incarnation,
    /// When it began, in seconds since 1970, if there was an earlier one.
    pub(crate) begun: Option<u64>,
}

/// What a credential says about the life of the tenant that it was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issued {
    /// Nothing.
    Unknown,
    /// When it was made.
    At {
        /// Seconds since 1970, by its issuer's clock.
        time: u64,
        /// How many seconds that clock and ours may differ.
        leeway: u64,
    },
    /// For which life it was made.
    For(Incarnation),
}

impl Life {
    /// The life of an id that began at a time, which may have been said by a clock that was behind: an incarnation is the
    /// time in microseconds or, where the clock was put back, one more than the last, so the life began no earlier.
    pub(crate) fn new(incarnation: Incarnation, created_at: u64, again: bool) -> Self {
        const MICROS: u64 = 1_000_000;
        Self { incarnation, begun: again.then_some(created_at.max(incarnation.0 / MICROS)) }
    }

    /// Whether a credential was certainly made for this life and not for an earlier one of the id.
    pub(crate) fn accepts(&self, issued: Issued) -> bool {
        match issued {
            Issued::For(life) => life == self.incarnation,
            // A second is as exact as the times are: one of the same second is in doubt.
            Issued::At { time, leeway } => self.begun.is_none_or(|begun| time > begun.saturating_add(leeway)),
            Issued::Unknown => self.begun.is_none(),
        }
    }
}

/// Why a tenant is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TenantDenial {
    /// There is no such tenant.
    #[error("there is no such tenant")]
    Unknown,
    /// The tenant is suspended.
    #[error("the tenant is suspended")]
    Suspended,
    /// The tenant is being removed.
    #[error("the tenant is being removed")]
    Removed,
    /// The registry could not be read, so nobody is admitted; the reason is in the log and in
    /// [`Registry::check`](super::Registry::check).
    #[error("the tenant registry cannot be read")]
    Unavailable,
}

impl TenantDenial {
    /// A stable word for the audit log.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Unknown => "unknown-tenant",
            Self::Suspended => "suspended-tenant",
            Self::Removed => "removed-tenant",
            Self::Unavailable => "registry-unavailable",
        }
    }
}

/// Why the registry could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The file failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database of the state failed.
    #[error(transparent)]
    Central(#[from] CentralError),
    /// The copy of the tenants in the database is too old to go by.
    #[error("the tenants in {at} were not seen for some seconds; the log says why")]
    NotKept {
        /// The database.
        at: String,
    },
    /// A server did not confirm a change.
    #[error(
        "the change was made, but {servers} servers have not confirmed that they have seen it; check that their clocks and \
         the database's run, and run the command again"
    )]
    NotSeen {
        /// How many.
        servers: i64,
    },
    /// A row in the database makes no sense.
    #[error("the row of {row} in partywall.tenant is damaged ({what}); restore it from a backup")]
    CentralRow {
        /// The row's tenant, as it stands there.
        row: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The change counter could not be read.
    #[error("reading the header of {path}: {cause}; restore the file from a backup", path = path.display())]
    Header {
        /// The registry's file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A row makes no sense.
    #[error("reading {path}: the row of {row} is damaged ({what}); restore the file from a backup", path = path.display())]
    Row {
        /// The registry's file.
        path: PathBuf,
        /// The row's tenant, as it stands there.
        row: String,
        /// What is wrong.
        what: &'static str,
    },
    /// Another request has just failed to read the file.
    #[error("reading {path} failed a moment ago, for another request", path = path.display())]
    JustFailed {
        /// The registry's file.
        path: PathBuf,
    },
    /// The id is taken.
    #[error("adding tenant `{0}`: it exists already; see `partywall tenant list`")]
    AlreadyExists(TenantId),
    /// The id is taken, in another spelling.
    #[error(
        "adding tenant `{id}`: it differs from tenant `{existing}` in upper and lower case only, which some file \
         systems cannot tell apart; choose another id"
    )]
    CaseTwin {
        /// The id that was asked for.
        id: TenantId,
        /// The one that is there.
        existing: TenantId,
    },
    /// The id is a word that stands for an absent value.
    #[error(
        "adding tenant `{0}`: programs write this word when they have no tenant, so it cannot be one; choose another id"
    )]
    Reserved(TenantId),
    /// The id's earlier life has not ended.
    #[error("tenant `{0}` is being removed; finish that first with `partywall tenant remove {0}`")]
    BeingRemoved(TenantId),
    /// The id's folder exists before the tenant does.
    #[error(
        "adding tenant `{id}`: {path} exists already, and a new tenant must not find an earlier one's files; \
         move the folder away and try again", path = path.display()
    )]
    LeftOver {
        /// The id.
        id: TenantId,
        /// Its folder.
        path: PathBuf,
    },
    /// The id was a tenant's before, and a database may still have that one's rows.
    #[error(
        "adding tenant `{id}`: it was removed before, and the database of source `{source_name}` may still have its rows, \
         which the new tenant would see; delete them there and add it with --reuse-rows, or choose another id"
    )]
    HadRows {
        /// The id.
        id: TenantId,
        /// The source.
        source_name: String,
    },
    /// The removal has not begun, or was of an earlier life of the id.
    #[error("tenant `{0}` is not being removed; start with `partywall tenant remove {0}`")]
    NotBeingRemoved(TenantId),
    /// There is no such tenant.
    #[error("there is no tenant `{0}`; see `partywall tenant list`")]
    NotFound(TenantId),
}
