//! Attacks on the credentials layer: an upstream is called with the calling tenant's credential, built for that request.

mod carried;
mod secrets;
mod upstream;
mod warm;

use super::Probe;

pub(super) static PROBES: &[&Probe] = &[&secrets::PROBE, &upstream::PROBE, &warm::PROBE, &carried::PROBE];
