//! Attacks on the identity layer: the tenant comes from a validated credential and from nothing else.

mod hostile_tokens;
mod jwt;
mod minted_tokens;
mod spoofed_tenant;

use super::Probe;

pub(super) static PROBES: &[&Probe] =
    &[&hostile_tokens::PROBE, &minted_tokens::PROBE, &spoofed_tenant::PROBE];
