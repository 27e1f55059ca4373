//! Streams that stay open: what others' work brings on them.

use partywall_model::Outcome;

use crate::support::{sensitive, sensitive_with, verdict};

#[tokio::test(flavor = "multi_thread")]
async fn what_others_hear_is_found() {
    sensitive(&[
        ("broadcast", "RT-16"),
        ("logs-to-all", "RT-05"),
        ("one-log-level", "RT-11"),
        ("one-stream", "SE-04"),
        ("listens-by-id", "RT-08"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn news_for_everybody_is_found() {
    sensitive_with(&[("news-to-all", "RT-06")], |plan| plan.allow_writes = true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_to_what_is_anothers_are_found() {
    let leaky = verdict(&["with-resources", "subscribes-anybody"], "RT-07", |_| {}).await;
    assert_eq!(leaky.verdict, Outcome::Leaked, "{}", leaky.reason);
    let safe = verdict(&["with-resources"], "RT-07", |_| {}).await;
    assert_eq!(safe.verdict, Outcome::Isolated, "{}", safe.reason);
}
