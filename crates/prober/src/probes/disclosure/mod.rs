//! Attacks on the disclosure layer: errors, logs, metrics and lists tell a tenant nothing about another.

mod catalogue;
mod existence;

use super::Probe;

pub(super) static PROBES: &[&Probe] = &[&catalogue::PROBE, &existence::PROBE];
