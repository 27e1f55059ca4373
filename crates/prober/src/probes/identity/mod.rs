//! Attacks on the identity layer: the tenant comes from a validated credential and from nothing else.

mod forged_keys;
mod hostile_tokens;
mod jwt;
mod minted_tokens;
mod spoofed_tenant;

use super::Probe;

pub(super) static PROBES: &[&Probe] =
    &[&forged_keys::PROBE, &hostile_tokens::PROBE, &minted_tokens::PROBE, &spoofed_tenant::PROBE];
