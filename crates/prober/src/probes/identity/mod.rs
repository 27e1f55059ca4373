//! Attacks on the identity layer: the tenant comes from a validated credential and from nothing else.

mod spoofed_tenant;

use super::Probe;

pub(super) static PROBES: &[&Probe] = &[&spoofed_tenant::PROBE];
