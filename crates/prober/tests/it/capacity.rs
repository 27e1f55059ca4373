//! Capacity: one tenant's load against another's service.

use partywall_model::Outcome;

use crate::{
    stub::Stub,
    support::{leaky, loads, plain, plan, run, safe, verdict},
};

leaky! {
    one_limiter_for_all_is_found(loads) = [("one-limiter", "QU-01")];
    places_that_all_share_are_found(loads) = [
        ("shared-stream-slots", "QU-02"),
        ("one-parser", "QU-03"),
        ("limiter-before-auth", "QU-04"),
        ("one-pool", "QU-06"),
        ("shared-task-slots", "QU-07"),
        ("sql-sleep", "DB-10"),
    ];
    quotas_that_are_counted_for_somebody_else_are_found(loads) = [
        ("limiter-by-address", "QU-05"),
        ("limiter-by-claim", "QU-05"),
    ];
    numbers_that_others_use_up_are_found(plain) = [("shared-remaining", "QU-08")];
    storms_that_reach_the_neighbour_are_found(loads) = [
        ("leaves-behind", "MX-01"),
        ("leaves-behind", "MX-02"),
        ("small-session-table", "MX-05"),
        ("routes-by-id", "MX-07"),
    ];
}

safe! {
    places_of_each_tenants_own_are_not_called_a_leak(loads) = [
        ("limiter-per-tenant", "QU-01"),
        ("stream-slots-per-tenant", "QU-02"),
        ("limiter-per-tenant", "QU-05"),
        ("pool-per-tenant", "QU-06"),
    ];
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_without_limits_is_not_judged() {
    let unlimited = verdict("", "QU-01", loads).await;
    assert_eq!(unlimited.verdict, Outcome::Inconclusive, "{}", unlimited.reason);
}

/// What runs under load on the plain stub. A busy machine makes some of it inconclusive.
pub(crate) const LOADS: [&str; 9] =
    ["QU-02", "QU-03", "QU-04", "QU-07", "DB-10", "MX-01", "MX-02", "MX-05", "MX-07"];

#[tokio::test(flavor = "multi_thread")]
async fn load_on_the_safe_stub_is_not_called_a_leak() {
    let stub = Stub::start(&[]).await;
    let mut plan = plan(&stub);
    loads(&mut plan);
    plan.probes = LOADS.map(str::to_owned).to_vec();
    let verdicts = run(&plan).await.unwrap();
    for verdict in &verdicts.verdicts {
        assert_ne!(verdict.verdict, Outcome::Leaked, "{}: {}", verdict.technique, verdict.reason);
    }
    assert!(verdicts.summary.isolated >= 6, "{:#?}", verdicts.verdicts);
}
