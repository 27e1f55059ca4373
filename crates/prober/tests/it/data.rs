//! Data: foreign ids and lists without a filter.

use partywall_model::Outcome;

use crate::{
    stub::Stub,
    support::{leaky, plain, plan, run, verdict, writes},
};

leaky! {
    rows_of_others_are_found(plain) = [
        ("get-without-filter", "DA-01"),
        ("get-without-filter", "DA-02"),
        ("list-without-filter", "DA-06"),
        ("no-id-is-every-id", "DA-13"),
    ];
    resources_links_and_prompts_of_others_are_found(plain) = [
        ("uri-traversal", "DA-03"),
        ("uri-userinfo", "DA-04"),
        ("cursor-names-tenant", "DA-05"),
        ("completion-without-filter", "DA-14"),
        ("prompt-without-filter", "DA-15"),
        ("open-links", "DA-16"),
    ];
    searches_lists_of_ids_and_the_past_of_others_are_found(plain) = [
        ("search-without-filter", "DA-17"),
        ("first-id-only", "DA-18"),
        ("history-without-filter", "DA-19"),
        ("alias-without-filter", "DA-20"),
    ];
    rows_that_are_written_for_others_or_counted_are_found(writes) = [
        ("owner-field", "DA-07"),
        ("global-count", "DA-08"),
    ];
    statements_that_leave_the_tenant_are_found(plain) = [
        ("sql-setting", "DB-01"),
        ("sql-view", "DB-05"),
        ("sql-activity", "DB-07"),
        ("sql-files", "DB-08"),
        ("sql-errors", "DB-09"),
    ];
    statements_that_change_what_others_see_are_found(writes) = [
        ("sql-commit", "DB-02"),
        ("sql-role", "DB-03"),
        ("sql-update", "DB-04"),
        ("sql-residue", "DB-06"),
        ("sql-shadow", "DB-11"),
    ];
}

#[tokio::test(flavor = "multi_thread")]
async fn without_seeds_values_are_learned() {
    let found = verdict("get-without-filter", "DA-01", |plan| plan.seeds.clear()).await;
    assert_eq!(found.verdict, Outcome::Leaked, "{}", found.reason);
    let safe = verdict("", "DA-01", |plan| plan.seeds.clear()).await;
    assert_eq!(safe.verdict, Outcome::Isolated, "{}", safe.reason);
    // Where both see everything from the beginning, nobody knows what is whose: that is no pass.
    let blind = verdict("list-without-filter get-without-filter", "DA-06", |plan| plan.seeds.clear()).await;
    assert_eq!(blind.verdict, Outcome::Inconclusive, "{}", blind.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_values_are_found_and_told_of() {
    let found = verdict("list-without-filter", "DA-06", |plan| {
        plan.seeds.clear();
        plan.allow_writes = true;
    })
    .await;
    assert_eq!(found.verdict, Outcome::Leaked, "{}", found.reason);
    assert!(found.evidence[0].foreign.starts_with("cnry-"), "{:?}", found.evidence[0].foreign);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_write_need_leave() {
    let reads = verdict("sql-commit", "DB-02", plain).await;
    assert_eq!(reads.verdict, Outcome::NotRun, "{}", reads.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tenant_wrote_of_another_itself_is_no_leak() {
    let stub = Stub::start(&["keeps-all-that-it-is-given"]).await;
    let mut plan = plan(&stub);
    plan.allow_writes = true;
    plan.probes = ["DA-07", "DA-08", "CA-01", "CA-05", "RT-14"].map(str::to_owned).to_vec();
    let verdicts = run(&plan).await.unwrap();
    assert_eq!(verdicts.summary.leaked, 0, "{:#?}", verdicts.verdicts);
    let assigned = verdicts.verdicts.iter().find(|verdict| verdict.technique == "DA-07").unwrap();
    assert_eq!(assigned.verdict, Outcome::Isolated, "{}", assigned.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_run_itself_wrote_is_no_change_that_others_made() {
    let stub = Stub::start(&["says-how-many"]).await;
    let mut plan = plan(&stub);
    plan.allow_writes = true;
    plan.probes = ["DA-07", "CA-07", "RT-01"].map(str::to_owned).to_vec();
    let verdicts = run(&plan).await.unwrap().verdicts;
    for verdict in verdicts.iter().filter(|verdict| verdict.technique != "DA-07") {
        assert_eq!(verdict.verdict, Outcome::Isolated, "{}: {}", verdict.technique, verdict.reason);
    }
    assert_ne!(verdicts[0].verdict, Outcome::NotRun, "what writes ran first: {}", verdicts[0].reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_day_tells_nobody_apart() {
    let stub = Stub::start(&["says-the-time"]).await;
    let mut plan = plan(&stub);
    plan.probes = ["ID-28", "CA-07", "RT-01"].map(str::to_owned).to_vec();
    for verdict in run(&plan).await.unwrap().verdicts {
        assert_eq!(verdict.verdict, Outcome::Isolated, "{}: {}", verdict.technique, verdict.reason);
    }
}
