//! Attacks on the capacity layer: one tenant's load does not change another's service.

mod flood;
mod measure;
mod quota;
mod shares;
mod storms;

use super::Probe;

pub(super) static PROBES: &[&Probe] = &[&flood::PROBE, &quota::PROBE, &shares::PROBE, &storms::PROBE];
