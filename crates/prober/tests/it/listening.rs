//! Streams that stay open: what others' work brings on them.

use crate::support::{sensitive, sensitive_with};

#[tokio::test(flavor = "multi_thread")]
async fn what_others_hear_is_found() {
    sensitive(&[
        ("broadcast", "RT-16"),
        ("logs-to-all", "RT-05"),
        ("one-log-level", "RT-11"),
        ("one-stream", "SE-04"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn news_for_everybody_is_found() {
    sensitive_with(&[("news-to-all", "RT-06")], |plan| plan.allow_writes = true).await;
}
