//! Attacks on the routing layer.

use super::Probe;

pub(super) static PROBES: &[&Probe] = &[];
