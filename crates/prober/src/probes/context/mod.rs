//! Attacks on the context layer: the tenant travels with the request; code that runs without one is refused.

mod no_tenant;

use super::Probe;

pub(super) static PROBES: &[&Probe] = &[&no_tenant::PROBE];
