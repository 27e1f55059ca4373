//! A server that keeps its tenants apart: nothing is found, however often one looks.

use std::{collections::BTreeSet, ops::Range};

use futures_util::{StreamExt as _, stream};
use partywall_model::{Outcome, Verdicts};

use crate::{
    capacity,
    covered::techniques,
    credentials, disclosure, identity, listening, routing,
    stub::Stub,
    support::{plan, run},
    tenants,
};

/// Runs of all techniques against the safe stub; more of them by `PARTYWALL_RUNS`, beginning with the number of
/// `PARTYWALL_FIRST`.
fn runs() -> Range<usize> {
    let number =
        |name: &str, usual| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let first = number("PARTYWALL_FIRST", 0);
    first..first + number("PARTYWALL_RUNS", 1)
}

/// How many runs go on at a time: most of a run is waiting.
const AT_ONCE: usize = 3;

/// No run may say *leaked*, and a single one may doubt nothing either. Among many at once, on a machine that does other things
/// too, some load test finds it too slow to judge: that is printed.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaks_where_nothing_leaks() {
    let runs = runs();
    let odd: Vec<_> = stream::iter(runs.clone()).map(one_run).buffer_unordered(AT_ONCE).concat().await;
    let leaked: Vec<_> = odd.iter().filter(|(outcome, _)| *outcome == Outcome::Leaked).collect();
    assert!(leaked.is_empty(), "{leaked:#?}");
    assert!(runs.len() > 1 || odd.is_empty(), "{odd:#?}");
    println!("{} runs, nothing leaked; {} verdicts inconclusive: {odd:#?}", runs.len(), odd.len());
}

/// What one run says that is neither isolated nor left out.
async fn one_run(turn: usize) -> Vec<(Outcome, String)> {
    let stub = Stub::start(&[]).await;
    let mut plan = plan(&stub);
    plan.seed_run = turn as u64;
    plan.allow_writes = turn.is_multiple_of(2);
    let verdicts = run(&plan).await.unwrap();
    let late = verdicts.verdicts.iter().any(|verdict| verdict.reason.contains("the time of the run was up"));
    assert!(!late, "the time of the plan was not enough");
    assert!(verdicts.summary.isolated > 10, "{:?}", verdicts.summary);
    assert_eq!(stub.sessions(), 0, "sessions were left open");
    assert_eq!(verdicts.incomplete, Vec::<String>::new());
    let odd: Vec<_> = verdicts
        .verdicts
        .iter()
        .filter(|verdict| matches!(verdict.verdict, Outcome::Leaked | Outcome::Inconclusive))
        .map(|verdict| (verdict.verdict, format!("run {turn}: {}: {}", verdict.technique, verdict.reason)))
        .collect();
    if plan.allow_writes && odd.is_empty() {
        each_technique_holds_somewhere(&verdicts);
    }
    odd
}

/// What found nothing to try on the plain stub is tried on one that has it, in a test of its layer.
fn each_technique_holds_somewhere(verdicts: &Verdicts) {
    let isolated = verdicts.verdicts.iter().filter(|verdict| verdict.verdict == Outcome::Isolated);
    let mut held: BTreeSet<&str> = isolated.map(|verdict| verdict.technique.as_str()).collect();
    let apart =
        [capacity::SAFE, credentials::SAFE, identity::SAFE, listening::SAFE, routing::SAFE, tenants::SAFE];
    held.extend(apart.into_iter().flatten());
    held.extend(capacity::LOADS.iter().chain(&disclosure::TIMED));
    let all = techniques();
    let never: Vec<_> = all.iter().filter(|id| !held.contains(*id)).collect();
    assert!(never.is_empty(), "no test shows that these find nothing where nothing leaks: {never:?}");
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
