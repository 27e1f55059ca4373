//! Data: foreign ids and lists without a filter.

use partywall_model::Outcome;

use crate::support::{sensitive, verdict};

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_others_are_found() {
    sensitive(&[
        ("get-without-filter", "DA-01"),
        ("get-without-filter", "DA-02"),
        ("list-without-filter", "DA-06"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_seeds_values_are_learned() {
    let found = verdict(&["get-without-filter"], "DA-01", |plan| plan.seeds.clear()).await;
    assert_eq!(found.verdict, Outcome::Leaked, "{}", found.reason);
    let safe = verdict(&[], "DA-01", |plan| plan.seeds.clear()).await;
    assert_eq!(safe.verdict, Outcome::Isolated, "{}", safe.reason);
    // Where both see everything from the beginning, nobody knows what is whose: that is no pass.
    let blind =
        verdict(&["list-without-filter", "get-without-filter"], "DA-06", |plan| plan.seeds.clear()).await;
    assert_eq!(blind.verdict, Outcome::Inconclusive, "{}", blind.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_values_are_found_and_told_of() {
    let found = verdict(&["list-without-filter"], "DA-06", |plan| {
        plan.seeds.clear();
        plan.allow_writes = true;
    })
    .await;
    assert_eq!(found.verdict, Outcome::Leaked, "{}", found.reason);
    assert!(found.evidence[0].foreign.starts_with("cnry-"), "{:?}", found.evidence[0].foreign);
}
