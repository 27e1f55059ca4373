//! Attacks on the disclosure layer.

use super::Probe;

pub(super) static PROBES: &[&Probe] = &[];
