//! Attacks on the disclosure layer: errors, logs, metrics and lists tell a tenant nothing about another.

mod catalogue;
pub(super) mod existence;
mod logs;
mod operations;
mod registry;
mod timing;
mod usage;

use super::Probe;

pub(super) static PROBES: &[&Probe] = &[
    &catalogue::PROBE,
    &existence::PROBE,
    &timing::PROBE,
    &registry::PROBE,
    &operations::PROBE,
    &logs::PROBE,
    &usage::PROBE,
];
