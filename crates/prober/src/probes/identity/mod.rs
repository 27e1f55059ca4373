//! Attacks on the identity layer: the tenant comes from a validated credential and from nothing else.

mod consent;
pub(crate) mod ended_tenants;
mod forged_keys;
mod hostile_tokens;
mod jwt;
mod low_scope;
mod minted_tokens;
mod spoofed_tenant;

pub(crate) use jwt::signs;

use super::Probe;

pub(super) static PROBES: &[&Probe] = &[
    &consent::PROBE,
    &ended_tenants::PROBE,
    &forged_keys::PROBE,
    &hostile_tokens::PROBE,
    &low_scope::PROBE,
    &minted_tokens::PROBE,
    &spoofed_tenant::PROBE,
];
