//! Attacks on the cache layer: a cached value is found only by the tenant that owns it.

mod primed;

use super::Probe;

pub(super) static PROBES: &[&Probe] = &[&primed::PROBE];
