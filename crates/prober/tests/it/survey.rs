//! The survey reads as one tenant and then as the other: what it meets by that is no tenant's own, and what stands rightly in
//! both tenants' answers is no leak.

use std::time::Duration;

use partywall_model::{Outcome, Verdict};
use partywall_prober::Pauses;

use crate::{
    stub::Stub,
    support::{plan, run, verdict},
};

/// The verdicts of some techniques where nobody has named a value.
async fn unnamed(defect: &'static str, techniques: &[&str], seconds: u64) -> Vec<Verdict> {
    let stub = Stub::start(&[defect]).await;
    let mut plan = plan(&stub);
    plan.seeds.clear();
    plan.pauses = Pauses::default();
    plan.duration = Duration::from_secs(seconds);
    plan.probes = techniques.iter().map(|id| (*id).to_owned()).collect();
    run(&plan).await.unwrap().verdicts
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaks_in_the_survey_already_is_found_without_seeds() {
    for defect in ["short-cache", "last-callers-rows"] {
        for verdict in unnamed(defect, &["ST-04", "CA-01", "ST-01"], 600).await {
            let (id, why) = (&verdict.technique, &verdict.reason);
            assert_eq!(verdict.verdict, Outcome::Leaked, "{id} on {defect}: {why}");
            assert!(id != "ST-04" || why.contains("right after"), "{defect}: {why}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_time_to_read_again_what_was_met_is_doubted() {
    for verdict in unnamed("short-cache", &["ST-04", "CA-01", "ST-01"], 20).await {
        let (id, why) = (&verdict.technique, &verdict.reason);
        assert_ne!(verdict.verdict, Outcome::Isolated, "{id}: {why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_in_addition_are_found_though_no_value_in_them_tells() {
    for defect in ["rows-in-addition", "rows-in-addition-early"] {
        let found = verdict(defect, "CA-01", |_| {}).await;
        assert_eq!(found.verdict, Outcome::Leaked, "{defect}: {}", found.reason);
        assert!(found.reason.contains("payer"), "{defect}: {}", found.reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_rightly_in_both_tenants_answers_is_no_leak() {
    let techniques = ["DA-01", "DA-11", "CA-06", "ID-17", "CA-01", "ST-04"];
    for (safe, doubted) in [
        ("same-for-every-id", &[][..]),
        ("ignores-the-tenant-named", &["ID-17", "CA-01", "ST-04"]),
        ("a-customer-has-its-name", &[]),
        ("catalogue", &["DA-01", "DA-11", "CA-06"]),
    ] {
        for verdict in unnamed(safe, &techniques, 600).await {
            let (id, why) = (verdict.technique.as_str(), &verdict.reason);
            let wanted = if doubted.contains(&id) { Outcome::Inconclusive } else { Outcome::Isolated };
            assert_eq!(verdict.verdict, wanted, "{id} on {safe}: {why}");
            assert!(wanted == Outcome::Isolated || why.contains("--seed"), "{id} on {safe}: {why}");
        }
    }
}

/// Each text of a long answer is looked up, and the answers are not read once more for each.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_in_which_one_thing_changes_is_surveyed_in_time() {
    let stub = Stub::start(&["long-with-a-banner"]).await;
    let mut plan = plan(&stub);
    plan.seeds.clear();
    plan.probes = vec!["DA-06".to_owned()];
    let verdicts = run(&plan).await.unwrap();
    assert_ne!(verdicts.verdicts[0].verdict, Outcome::Leaked, "{}", verdicts.verdicts[0].reason);
    assert!(verdicts.stats.seconds < 90.0, "{}", verdicts.stats.seconds);
}
