//! Credentials: whose key an upstream saw, and secrets in answers.

use crate::support::{sensitive, sensitive_with};

#[tokio::test(flavor = "multi_thread")]
async fn shared_and_shown_credentials_are_found() {
    sensitive(&[("shared-key", "CR-01"), ("secret-in-errors", "CR-07")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_kept_warm_or_carried_along_are_found() {
    sensitive(&[
        ("last-credential", "CR-03"),
        ("warm-connection", "CR-02"),
        ("fetch-with-key", "CR-08"),
        ("fetch-with-token", "CR-10"),
    ])
    .await;
    sensitive_with(&[("one-shell", "CR-04")], |plan| plan.allow_writes = true).await;
    let selected = |plan: &mut partywall_prober::Plan| {
        plan.headers = vec![("x-region".to_owned(), "eu".to_owned().into())];
    };
    sensitive_with(&[("no-selector-is-first", "CR-05")], selected).await;
}
