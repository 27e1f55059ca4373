//! Attacks on the cache layer: a cached value is found only by the tenant that owns it.

pub(super) mod keys;
mod primed;
mod shared;

use super::Probe;

pub(super) static PROBES: &[&Probe] = &[&primed::PROBE, &keys::PROBE, &shared::PROBE];
