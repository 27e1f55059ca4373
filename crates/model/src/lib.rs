//! What isolation means, as types and nothing else.
//!
//! > Each tenant sees exactly what it would see if it were alone.
//!
//! A [`Layer`] is a place where two tenants could meet. Three faces look at each layer: the gateway keeps it
//! (*enforce*), the scanner finds source code that breaks it (*scan*), the prober tries to break it on a running
//! server (*probe*). A [`Coverage`] says what one face has for one layer, or why it has nothing. A [`TenantId`]
//! names the party that is kept apart; a [`Principal`] is an authenticated caller that acts in exactly one tenant.
//!
//! A [`Finding`] is what a rule reports, a [`Verdict`] what a probe came to.
//!
//! This crate does no I/O and knows no protocol.

mod coverage;
mod finding;
mod layer;
mod mapping;
mod page;
mod principal;
mod tenant;
mod verdict;

pub use coverage::{Check, Coverage, Face, Page};
pub use finding::{
    Allowed, Axis, COUNTED, Confidence, Document, Finding, GRADES, KNOWN, LayerStatus, Maps, NOT_ASSESSED,
    PARTLY, Related, Score, Severity, Skipped, Stats, Tool, fingerprint,
};
pub use layer::{Layer, UnknownLayer};
pub use mapping::{Criterion, SOC2};
pub use principal::{Principal, Scopes};
pub use tenant::{TenantId, TenantIdError};
pub use verdict::{Evidence, Outcome, Summary, Verdict, VerdictStats, Verdicts};
