//! Identity: each spoof is found where it works.

use partywall_model::Outcome;
use partywall_prober::Plan;

use crate::{
    stub::tokens::{KEY, token},
    support::{leaky, plain, safe, verdict, writes},
};

/// A plan with tokens that the stub's issuer signed, and its key.
fn minted(plan: &mut Plan) {
    for tenant in &mut plan.tenants {
        tenant.token = token(&tenant.tenant).into();
    }
    plan.issuer_key = Some(KEY.to_owned().into());
}

leaky! {
    spoofed_tenants_are_found(plain) = [
        ("tenant-argument", "ID-17"),
        ("tenant-nested", "ID-18"),
        ("tenant-meta", "ID-19"),
        ("tenant-header", "ID-20"),
        ("second-credential", "ID-21"),
        ("tenant-path", "ID-24"),
        ("unsigned-token", "ID-02"),
        ("token-prefix", "ID-28"),
        ("query-token", "ID-23"),
        ("public-key-is-a-secret", "ID-03"),
        ("key-id-is-a-file", "ID-04"),
        ("key-from-token", "ID-05"),
    ];
    signed_tokens_with_a_wrong_claim_are_found_to_be_believed(minted) = [
        ("any-audience", "ID-06"),
        ("any-issuer", "ID-07"),
        ("subject-is-tenant", "ID-08"),
        ("any-time", "ID-09"),
        ("objects-are-tenants", "ID-11"),
        ("last-tenant", "ID-12"),
        ("no-tenant-is-first", "ID-13"),
        ("blank-is-first", "ID-14"),
        ("folds-names", "ID-15"),
        ("splits-names", "ID-16"),
        ("any-audience", "ID-26"),
    ];
    tools_that_are_hidden_and_served_are_found(minted) = [("with-scopes scope-on-lists-only", "ID-27")];
    codes_without_consent_are_found(writes) = [
        ("with-clients no-consent", "ID-25"),
        ("with-clients any-callback", "ID-25"),
    ];
}

safe! {
    claims_that_are_checked_hold(minted) = [
        ("", "ID-06"),
        ("", "ID-07"),
        ("", "ID-08"),
        ("", "ID-09"),
        ("", "ID-11"),
        ("", "ID-12"),
        ("", "ID-13"),
        ("", "ID-14"),
        ("", "ID-15"),
        ("", "ID-16"),
        ("", "ID-26"),
        ("with-scopes", "ID-27"),
    ];
    codes_with_consent_hold(writes) = [("with-clients", "ID-25")];
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_issuers_key_nothing_is_judged() {
    let none = verdict("any-audience", "ID-06", plain).await;
    assert_eq!(none.verdict, Outcome::NotRun);
    assert!(none.reason.contains("--issuer-key"), "{}", none.reason);
    let wrong = verdict("any-audience", "ID-06", |plan| {
        minted(plan);
        plan.issuer_key = Some("another key".to_owned().into());
    })
    .await;
    assert_eq!(wrong.verdict, Outcome::Inconclusive, "{}", wrong.reason);
    assert!(wrong.reason.contains("is it the issuer's?"), "{}", wrong.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_tokens_are_not_shown() {
    let leaky = verdict("any-audience", "ID-06", minted).await;
    let shown = serde_json::to_string(&leaky).unwrap();
    assert!(shown.contains("[signature]"), "{shown}");
}
