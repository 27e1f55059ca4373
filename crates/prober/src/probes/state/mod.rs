//! Attacks on the state layer: memory that one tenant's request touched is never read by another's.

mod interleaved;

use super::Probe;

pub(super) static PROBES: &[&Probe] = &[&interleaved::PROBE];
