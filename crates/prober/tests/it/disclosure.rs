//! Disclosure: what refusals, lists and schemas tell.

use partywall_model::{Layer, Outcome};

use crate::support::{sensitive, sensitive_with, verdict};

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

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_see_is_found() {
    sensitive(&[
        ("open-metrics", "OB-01"),
        ("tenant-baggage", "OB-02"),
        ("log-of-all", "OB-03"),
        ("log-lines", "OB-04"),
        ("log-denied-to-all", "OB-05"),
        ("usage-of-all", "OB-06"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn registries_without_a_tenant_are_found() {
    sensitive(&[("registry-by-list", "CT-03"), ("meta-tool-reaches-all", "CT-06")]).await;
    sensitive_with(&[("one-registry", "CT-05")], |plan| plan.allow_writes = true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_take_longer_are_found_and_only_when_asked_for() {
    sensitive(&[("slow-foreign", "DA-12")]).await;
    let disclosure = |plan: &mut partywall_prober::Plan| plan.layers = vec![Layer::Disclosure];
    let even = verdict(&[], "DA-12", disclosure).await;
    assert_ne!(even.verdict, Outcome::Leaked, "{}", even.reason);
    assert!(even.reason.contains("triples"), "{}", even.reason);
}
