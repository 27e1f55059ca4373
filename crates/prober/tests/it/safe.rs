//! A server that keeps its tenants apart: nothing is found, however often one looks.

use std::time::Duration;

use partywall_model::Outcome;

use crate::{
    stub::Stub,
    support::{plan, run},
};

/// Runs of all techniques against the safe stub; more of them by `PARTYWALL_RUNS`.
fn runs() -> usize {
    std::env::var("PARTYWALL_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(1)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaks_where_nothing_leaks() {
    for turn in 0..runs() {
        let stub = Stub::start(&[]).await;
        let mut plan = plan(&stub);
        plan.seed_run = turn as u64;
        // Whatever the machine is busy with, each technique must have its turn.
        plan.duration = Duration::from_secs(300);
        plan.allow_writes = turn % 2 == 0;
        let verdicts = run(&plan).await.unwrap();
        let odd: Vec<_> = verdicts
            .verdicts
            .iter()
            .filter(|verdict| matches!(verdict.verdict, Outcome::Leaked | Outcome::Inconclusive))
            .map(|verdict| format!("{} {}: {}", verdict.technique, verdict.verdict.name(), verdict.reason))
            .collect();
        assert!(odd.is_empty(), "{odd:#?}");
        let late =
            verdicts.verdicts.iter().any(|verdict| verdict.reason.contains("the time of the run was up"));
        assert!(!late, "300 seconds were not enough");
        assert!(verdicts.summary.isolated > 10, "{:?}", verdicts.summary);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quick_profile_never_says_isolated() {
    let stub = Stub::start(&[]).await;
    let mut plan = plan(&stub);
    plan.quick = true;
    let verdicts = run(&plan).await.unwrap();
    assert_eq!((verdicts.summary.isolated, verdicts.summary.leaked), (0, 0), "{:?}", verdicts.summary);
    assert!(verdicts.stats.seconds < 15.0, "{}", verdicts.stats.seconds);
}
