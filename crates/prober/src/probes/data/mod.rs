//! Attacks on the data layer: the database itself, not the query's author, decides which rows exist.

mod foreign_ids;
mod unfiltered_lists;

use super::Probe;

pub(super) static PROBES: &[&Probe] = &[&foreign_ids::PROBE, &unfiltered_lists::PROBE];
