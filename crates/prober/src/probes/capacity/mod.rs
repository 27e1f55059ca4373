//! Attacks on the capacity layer: one tenant's load does not change another's service.

mod flood;

use super::Probe;

pub(super) static PROBES: &[&Probe] = &[&flood::PROBE];
