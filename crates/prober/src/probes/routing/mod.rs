//! Attacks on the routing layer: an answer, event or handle reaches only the caller it was made for.

mod ear;
mod echo;
mod handles;
mod left_behind;
mod origin;
mod overheard;
mod parsing;
mod same_ids;
mod sessions;
mod tasks;

use super::Probe;

pub(super) static PROBES: &[&Probe] = &[
    &handles::PROBE,
    &left_behind::PROBE,
    &origin::PROBE,
    &overheard::PROBE,
    &parsing::PROBE,
    &same_ids::PROBE,
    &sessions::PROBE,
    &tasks::PROBE,
];
