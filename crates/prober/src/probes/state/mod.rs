//! Attacks on the state layer: memory that one tenant's request touched is never read by another's.

mod first;
mod interleaved;
pub(super) mod left;

use super::Probe;

pub(super) static PROBES: &[&Probe] = &[&interleaved::PROBE, &left::PROBE, &first::PROBE];
