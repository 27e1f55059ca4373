//! Attacks on the capacity layer.

use super::Probe;

pub(super) static PROBES: &[&Probe] = &[];
