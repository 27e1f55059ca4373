//! Capacity: one tenant's load against another's service.

use partywall_model::{Layer, Outcome};

use crate::{
    stub::Stub,
    support::{plan, run, sensitive, sensitive_with, verdict},
};

#[tokio::test(flavor = "multi_thread")]
async fn one_limiter_for_all_is_found() {
    let named = |plan: &mut partywall_prober::Plan| plan.layers = vec![Layer::Capacity];
    let leaky = verdict(&["one-limiter"], "QU-01", named).await;
    assert_eq!(leaky.verdict, Outcome::Leaked, "{}", leaky.reason);
    let safe = verdict(&["limiter-per-tenant"], "QU-01", named).await;
    assert_eq!(safe.verdict, Outcome::Isolated, "{}", safe.reason);
    let unlimited = verdict(&[], "QU-01", named).await;
    assert_eq!(unlimited.verdict, Outcome::Inconclusive, "{}", unlimited.reason);
}

fn loads(plan: &mut partywall_prober::Plan) {
    plan.layers = vec![Layer::Capacity];
}

#[tokio::test(flavor = "multi_thread")]
async fn places_that_all_share_are_found() {
    let cases = [
        ("shared-stream-slots", "QU-02"),
        ("one-parser", "QU-03"),
        ("limiter-before-auth", "QU-04"),
        ("one-pool", "QU-06"),
        ("shared-task-slots", "QU-07"),
        ("sql-sleep", "DB-10"),
    ];
    sensitive_with(&cases, loads).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_that_are_counted_for_somebody_else_are_found() {
    sensitive_with(&[("limiter-by-address", "QU-05"), ("limiter-by-claim", "QU-05")], loads).await;
    sensitive(&[("shared-remaining", "QU-08")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn storms_that_reach_the_neighbour_are_found() {
    let cases = [
        ("leaves-behind", "MX-01"),
        ("leaves-behind", "MX-02"),
        ("small-session-table", "MX-05"),
        ("routes-by-id", "MX-07"),
    ];
    sensitive_with(&cases, loads).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn places_of_each_tenants_own_are_not_called_a_leak() {
    for (twin, technique) in
        [("stream-slots-per-tenant", "QU-02"), ("pool-per-tenant", "QU-06"), ("limiter-per-tenant", "QU-05")]
    {
        let safe = verdict(&[twin], technique, loads).await;
        assert_eq!(safe.verdict, Outcome::Isolated, "{technique} on {twin}: {}", safe.reason);
    }
    let stub = Stub::start(&[]).await;
    let mut plan = plan(&stub);
    loads(&mut plan);
    plan.probes = ["QU-02", "QU-03", "QU-04", "QU-07", "DB-10", "MX-01", "MX-02", "MX-05", "MX-07"]
        .map(str::to_owned)
        .to_vec();
    let verdicts = run(&plan).await.unwrap();
    for verdict in &verdicts.verdicts {
        assert_ne!(verdict.verdict, Outcome::Leaked, "{}: {}", verdict.technique, verdict.reason);
    }
    assert!(verdicts.summary.isolated >= 6, "{:#?}", verdicts.verdicts);
}
