//! State: what one call leaves behind for another.

use partywall_model::Outcome;

use crate::support::{sensitive, sensitive_with, verdict};

#[tokio::test(flavor = "multi_thread")]
async fn shared_memory_is_found() {
    sensitive(&[("module-state", "ST-01"), ("module-state", "ST-03")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_race_says_how_often_and_shows_the_pair() {
    let found = verdict(&["module-state"], "ST-01", |plan| plan.seed_run = 7).await;
    assert_eq!(found.verdict, Outcome::Leaked);
    assert!(found.reason.contains("were foreign") && found.reason.contains("was shown"), "{}", found.reason);
    assert!(found.replay.contains("--probe ST-01 --seed-run 7"), "{}", found.replay);
    assert!(found.evidence.len() >= 2, "{:?}", found.evidence);
    assert!(!found.evidence[0].foreign.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_outlives_a_call_is_found() {
    sensitive(&[
        ("error-leaves-context", "ST-09"),
        ("first-caller-wins", "ST-04"),
        ("task-loses-context", "ST-05"),
        ("worker-identity", "ST-08"),
    ])
    .await;
    let writes = |plan: &mut partywall_prober::Plan| plan.allow_writes = true;
    sensitive_with(
        &[("global-setting", "ST-02"), ("one-directory", "ST-06"), ("prototype", "ST-10")],
        writes,
    )
    .await;
    let reads = verdict(&["global-setting"], "ST-02", |_| {}).await;
    assert_eq!(reads.verdict, Outcome::NotRun, "{}", reads.reason);
}
