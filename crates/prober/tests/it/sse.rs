//! HTTP+SSE, the transport of 2024-11-05: the same attacks, with answers that come on a stream beside the requests.

use std::time::Duration;

use partywall_model::{Layer, Outcome};
use partywall_prober::Plan;

use crate::{
    stub::Stub,
    support::{leaky, plan, run, verdict},
};

fn beside(plan: &mut Plan) {
    plan.url.set_path("/sse");
}

leaky! {
    answers_that_go_to_everybody_are_found(beside) = [
        ("sse-broadcast", "RT-01"),
        ("sse-behind", "RT-01"),
        ("sse-broadcast", "RT-16"),
        ("sse-without-owner", "SE-01"),
        ("get-without-filter", "DA-01"),
        ("module-state", "ST-01"),
        ("unsigned-token", "ID-02"),
        ("default-tenant", "ID-01"),
        ("any-origin", "XP-08"),
        ("routes-by-id", "RT-01"),
    ];
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_are_shown_the_same_words_tell_whose_answer_it_is() {
    let shared = |plan: &mut Plan| {
        beside(plan);
        plan.seeds.clear();
    };
    for broadcast in ["sse-broadcast one-tenant", "sse-behind one-tenant"] {
        let leaky = verdict(broadcast, "RT-01", shared).await;
        assert_eq!(leaky.verdict, Outcome::Leaked, "{broadcast}: {}", leaky.reason);
        assert!(leaky.reason.contains("had the same id"), "{broadcast}: {}", leaky.reason);
    }
    let safe = verdict("one-tenant", "RT-01", shared).await;
    assert_eq!(safe.verdict, Outcome::Isolated, "{}", safe.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaks_where_each_stream_has_its_owner() {
    let stub = Stub::start(&[]).await;
    let mut plan = plan(&stub);
    beside(&mut plan);
    plan.allow_writes = true;
    plan.layers = vec![Layer::Context, Layer::State, Layer::Data, Layer::Routing, Layer::Disclosure];
    let verdicts = run(&plan).await.unwrap();
    assert_eq!(verdicts.protocols, ["2024-11-05"]);
    let odd: Vec<_> = verdicts
        .verdicts
        .iter()
        .filter(|verdict| matches!(verdict.verdict, Outcome::Leaked | Outcome::Inconclusive))
        .map(|verdict| format!("{} {}: {}", verdict.technique, verdict.verdict.name(), verdict.reason))
        .collect();
    assert!(odd.is_empty(), "{odd:#?}");
    assert!(verdicts.summary.isolated > 10, "{:?}", verdicts.summary);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_is_posted_to_another_origin() {
    let stub = Stub::start(&["sse-elsewhere"]).await;
    let mut plan = plan(&stub);
    beside(&mut plan);
    let error = run(&plan).await.unwrap_err().to_string();
    assert!(error.contains("another origin"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_falls_silent_is_never_isolated() {
    let stub = Stub::start(&["sse-silent"]).await;
    let mut plan = plan(&stub);
    beside(&mut plan);
    plan.duration = Duration::from_secs(4);
    plan.probes = ["ST-01", "RT-01", "RT-16"].map(str::to_owned).to_vec();
    let verdicts = run(&plan).await.unwrap();
    let isolated: Vec<_> = verdicts
        .verdicts
        .iter()
        .filter(|verdict| matches!(verdict.verdict, Outcome::Leaked | Outcome::Isolated))
        .map(|verdict| format!("{} {}: {}", verdict.technique, verdict.verdict.name(), verdict.reason))
        .collect();
    assert!(isolated.is_empty(), "{isolated:#?}");
}
