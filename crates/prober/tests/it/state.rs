//! State: what one call leaves behind for another.

use partywall_model::Outcome;

use crate::support::{leaky, plain, verdict, writes};

leaky! {
    shared_memory_is_found(plain) = [("module-state", "ST-01"), ("module-state", "ST-03")];
    what_outlives_a_call_is_found(plain) = [
        ("error-leaves-context", "ST-09"),
        ("first-caller-wins", "ST-04"),
        ("task-loses-context", "ST-05"),
        ("worker-identity", "ST-08"),
    ];
    what_is_set_for_all_is_found(writes) = [
        ("global-setting", "ST-02"),
        ("one-directory", "ST-06"),
        ("prototype", "ST-10"),
    ];
}

#[tokio::test(flavor = "multi_thread")]
async fn a_race_says_how_often_and_shows_the_pair() {
    let found = verdict("module-state", "ST-01", |plan| plan.seed_run = 7).await;
    assert_eq!(found.verdict, Outcome::Leaked);
    assert!(found.reason.contains("were foreign") && found.reason.contains("was shown"), "{}", found.reason);
    assert!(found.replay.contains("--probe ST-01 --seed-run 7"), "{}", found.replay);
    assert!(found.reason.contains("alone they met in"), "{}", found.reason);
    assert!(found.evidence.len() >= 2, "{:?}", found.evidence);
    assert!(!found.evidence[0].foreign.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_set_without_leave() {
    let reads = verdict("global-setting", "ST-02", plain).await;
    assert_eq!(reads.verdict, Outcome::NotRun, "{}", reads.reason);
}
