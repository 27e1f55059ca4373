//! State: what one call leaves behind for another.

use partywall_model::Outcome;

use crate::support::{sensitive, verdict};

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
