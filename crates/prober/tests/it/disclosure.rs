//! Disclosure: what refusals, lists and schemas tell.

use partywall_model::{Layer, Outcome};

use crate::support::{leaky, plain, verdict, writes};

leaky! {
    refusals_and_lists_that_tell_are_found(plain) = [
        ("not-yours", "DA-11"),
        ("list-names-tenants", "CT-01"),
        ("schema-names-tenants", "CT-02"),
        ("unlisted-callable", "CT-04"),
    ];
    names_that_are_taken_by_others_are_found(writes) = [("global-unique", "DA-09")];
    what_operators_see_is_found(plain) = [
        ("open-metrics", "OB-01"),
        ("tenant-baggage", "OB-02"),
        ("log-of-all", "OB-03"),
        ("log-lines", "OB-04"),
        ("log-denied-to-all", "OB-05"),
        ("usage-of-all", "OB-06"),
    ];
    registries_without_a_tenant_are_found(plain) = [("registry-by-list", "CT-03"), ("meta-tool-reaches-all", "CT-06")];
    what_one_registers_for_all_is_found(writes) = [("one-registry", "CT-05")];
    ids_that_take_longer_are_found(plain) = [("slow-foreign", "DA-12")];
}

/// What measures times: on a busy machine it is inconclusive.
pub(crate) const TIMED: [&str; 1] = ["DA-12"];

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_take_no_longer_are_not_found() {
    let disclosure = |plan: &mut partywall_prober::Plan| plan.layers = vec![Layer::Disclosure];
    let even = verdict("", "DA-12", disclosure).await;
    assert_ne!(even.verdict, Outcome::Leaked, "{}", even.reason);
    assert!(even.reason.contains("triples"), "{}", even.reason);
}

/// An unknown URI of another scheme is refused by whoever finds the way: that tells of nobody's resources.
#[tokio::test(flavor = "multi_thread")]
async fn another_scheme_is_no_unknown_resource() {
    let even = verdict("names-schemes", "DA-11", plain).await;
    assert_eq!(even.verdict, Outcome::Isolated, "{}", even.reason);
}
