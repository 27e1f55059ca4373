//! Attacks on the credentials layer: an upstream is called with the calling tenant's credential, built for that request.

mod secrets;
mod upstream;

use super::Probe;

pub(super) static PROBES: &[&Probe] = &[&secrets::PROBE, &upstream::PROBE];
