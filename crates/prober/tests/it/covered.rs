//! Each technique finds a leak in a test. That it finds nothing where nothing leaks is shown in `safe.rs`, and that it passes
//! nothing where nothing answers in `dead.rs`, for all techniques.

use std::collections::BTreeSet;

use crate::{
    asking, cache, capacity, context, credentials, data, disclosure, identity, listening, routing, sse,
    state, tenants,
};

/// The ids of all techniques.
pub(crate) fn techniques() -> BTreeSet<&'static str> {
    partywall_prober::probes()
        .iter()
        .flat_map(|probe| probe.techniques)
        .map(|technique| technique.id)
        .collect()
}

#[test]
fn each_technique_finds_a_leak_in_a_test() {
    let found: BTreeSet<&str> = [
        asking::LEAKY,
        cache::LEAKY,
        capacity::LEAKY,
        context::LEAKY,
        credentials::LEAKY,
        data::LEAKY,
        disclosure::LEAKY,
        identity::LEAKY,
        listening::LEAKY,
        routing::LEAKY,
        sse::LEAKY,
        state::LEAKY,
        tenants::LEAKY,
    ]
    .into_iter()
    .flatten()
    .copied()
    .collect();
    let all = techniques();
    let never: Vec<_> = all.difference(&found).collect();
    assert!(never.is_empty(), "no stub leaks in the way that these look for: {never:?}");
    let unknown: Vec<_> = found.difference(&all).collect();
    assert!(unknown.is_empty(), "these are no techniques: {unknown:?}");
}
