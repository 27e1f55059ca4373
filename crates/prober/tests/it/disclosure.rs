//! Disclosure: what refusals, lists and schemas tell.

use crate::support::{sensitive, sensitive_with};

#[tokio::test(flavor = "multi_thread")]
async fn refusals_and_lists_that_tell_are_found() {
    sensitive(&[
        ("not-yours", "DA-11"),
        ("list-names-tenants", "CT-01"),
        ("schema-names-tenants", "CT-02"),
        ("unlisted-callable", "CT-04"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_taken_by_others_are_found() {
    sensitive_with(&[("global-unique", "DA-09")], |plan| plan.allow_writes = true).await;
}
