//! Attacks on the routing layer: an answer, event or handle reaches only the caller it was made for.

pub(crate) mod all_along;
pub(super) mod asking;
mod ear;
mod echo;
mod handles;
mod in_session;
mod left_behind;
mod naming;
mod one_connection;
mod origin;
mod outlived;
mod overheard;
mod parsing;
mod questions;
mod same_ids;
mod sessions;
mod states;
mod subscriptions;
mod task_handles;
mod tasks;
mod twins;

use super::Probe;

pub(super) static PROBES: &[&Probe] = &[
    &handles::PROBE,
    &left_behind::PROBE,
    &origin::PROBE,
    &overheard::PROBE,
    &naming::PROBE,
    &one_connection::PROBE,
    &parsing::PROBE,
    &questions::PROBE,
    &same_ids::PROBE,
    &sessions::PROBE,
    &states::PROBE,
    &subscriptions::PROBE,
    &task_handles::PROBE,
    &tasks::PROBE,
    // It revokes the second user's token: whatever needs that comes before.
    &outlived::PROBE,
];
