//! Attacks on the credentials layer.

use super::Probe;

pub(super) static PROBES: &[&Probe] = &[];
