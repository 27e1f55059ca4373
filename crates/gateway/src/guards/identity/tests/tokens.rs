//! Verified tokens: how long they are remembered, and what a caller is told.

use http::HeaderMap;
use serde_json::{Value, json};

use super::support::{Hands, NOW, RESOURCE, Signer, ask, bearer, claims, config, key_set, with};
use crate::guards::identity::{Authenticator, IdentityDenial};

const ISSUER: &str = "https://login.example.com/";

fn guard(hands: &Hands, signer: &Signer) -> Authenticator {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("keys.json"), key_set(&[signer])).expect("written");
    let text = format!(
        "[server]\npublic_url = \"{RESOURCE}\"\n\
         [[identity.issuer]]\nissuer = \"{ISSUER}\"\njwks = \"keys.json\"\ntenant_claim = \"org_id\"\n\
         [[identity.issuer]]\nissuer = \"https://acme.example\"\njwks = \"keys.json\"\ntenant = \"acme\"\n"
    );
    Authenticator::new(&config(&text, dir.path()), hands.clock()).expect("a guard")
}

fn token(signer: &Signer, name: &str, value: Value) -> HeaderMap {
    bearer(&signer.token(&with(&claims(ISSUER), name, value)))
}

#[tokio::test]
async fn a_remembered_token_ends_with_its_expiry() {
    let (hands, signer) = (Hands::new(), Signer::p256("k"));
    let guard = guard(&hands, &signer);
    let headers = token(&signer, "exp", json!(NOW + 60));
    assert!(guard.cached(&headers).is_none(), "not verified yet");
    let verified = ask(&guard, &headers).await.expect("good");
    assert_eq!(verified.expires_at, NOW + 60, "ID-10: a stream can end with its token");
    hands.set(59);
    let cached = guard.cached(&headers).expect("still good");
    assert_eq!(cached.principal, verified.principal);
    hands.set(60);
    assert!(guard.cached(&headers).is_none());
    assert_eq!(ask(&guard, &headers).await.map(|v| v.expires_at), Err(IdentityDenial::Expired));
}

#[tokio::test]
async fn a_token_that_is_good_by_leeway_only_is_checked_each_time() {
    let (hands, signer) = (Hands::new(), Signer::p256("k"));
    let guard = guard(&hands, &signer);
    let headers = token(&signer, "nbf", json!(NOW + 20));
    assert!(ask(&guard, &headers).await.is_ok());
    assert!(guard.cached(&headers).is_none());
    hands.set(20);
    assert!(guard.cached(&headers).is_some());
}

#[tokio::test]
async fn forgotten_tokens_are_verified_again() {
    let (hands, signer) = (Hands::new(), Signer::p256("k"));
    let guard = guard(&hands, &signer);
    let headers = token(&signer, "x", json!(1));
    assert!(ask(&guard, &headers).await.is_ok());
    assert!(guard.cached(&headers).is_some());
    guard.forget_tokens();
    assert!(guard.cached(&headers).is_none());
    assert!(ask(&guard, &headers).await.is_ok());
    assert!(guard.cached(&headers).is_some());
}

#[tokio::test]
async fn principals_of_two_issuers_are_two() {
    let (hands, signer) = (Hands::new(), Signer::p256("k"));
    let guard = guard(&hands, &signer);
    let here = ask(&guard, &bearer(&signer.token(&claims(ISSUER)))).await.expect("good");
    let there = ask(&guard, &bearer(&signer.token(&claims("https://acme.example")))).await.expect("good");
    assert_eq!(here.principal.subject, there.principal.subject);
    assert_eq!(here.principal.tenant, there.principal.tenant);
    assert_ne!(here.principal, there.principal);
    assert_eq!(here.principal.scopes.iter().collect::<Vec<_>>(), ["desk:read"]);
}

#[test]
fn the_metadata_names_what_clients_need_and_no_tenant() {
    let guard = guard(&Hands::new(), &Signer::p256("k"));
    let read = |guard: &Authenticator| -> Value { serde_json::from_slice(&guard.metadata()).expect("JSON") };
    let plain = json!({
        "resource": RESOURCE,
        "authorization_servers": [ISSUER],
        "bearer_methods_supported": ["header"],
    });
    assert_eq!(read(&guard), plain, "the issuer of one tenant is not named");
    let guard = guard.with_scopes(vec!["desk".to_owned(), "offline_access".to_owned(), "a\"b".to_owned()]);
    assert_eq!(read(&guard), with(&plain, "scopes_supported", json!(["desk"])));
    assert_eq!(
        guard.metadata_paths(),
        ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"]
    );
}

#[test]
fn challenges_say_where_to_go_and_nothing_else() {
    let guard = guard(&Hands::new(), &Signer::p256("k"));
    let at = "Bearer resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource/mcp\"";
    assert_eq!(guard.challenge(&IdentityDenial::NoToken, None), at);
    assert_eq!(guard.challenge(&IdentityDenial::OtherScheme, Some("")), at);
    assert_eq!(
        guard.challenge(&IdentityDenial::NoToken, Some("desk offline_access")),
        format!("{at}, scope=\"desk\"")
    );
    for denial in [IdentityDenial::Signature, IdentityDenial::Unavailable, IdentityDenial::Tenant] {
        assert_eq!(
            guard.challenge(&denial, Some("a\"b desk:read desk:write")),
            format!("{at}, error=\"invalid_token\", scope=\"desk:read desk:write\"")
        );
    }
    assert_eq!(
        guard.insufficient_scope("desk:write"),
        format!("{at}, error=\"insufficient_scope\", scope=\"desk:write\"")
    );
}
