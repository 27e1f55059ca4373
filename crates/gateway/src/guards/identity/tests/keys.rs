//! The life of key sets: rotation, outages, limits, discovery.

use std::{path::Path, sync::Arc};

use http::HeaderMap;
use serde_json::{Value, json};

use super::support::{Hands, RESOURCE, Server, Signer, ask, bearer, claims, config, key_set};
use crate::guards::identity::Authenticator;

const ISSUER: &str = "https://login.example.com/";

fn guard_with(hands: &Hands, jwks: &str, algorithms: &str) -> Authenticator {
    let text = format!(
        "[server]\npublic_url = \"{RESOURCE}\"\n[[identity.issuer]]\nissuer = \"{ISSUER}\"\n\
         jwks = \"{jwks}\"\ntenant_claim = \"org_id\"\nalgorithms = {algorithms}\n"
    );
    Authenticator::new(&config(&text, Path::new(".")), hands.clock()).expect("a guard")
}

fn guard(hands: &Hands, server: &Server) -> Authenticator {
    guard_with(hands, &server.url("/jwks"), "[\"ES256\"]")
}

fn token(signer: &Signer) -> HeaderMap {
    bearer(&signer.token(&claims(ISSUER)))
}

async fn reason(guard: &Authenticator, headers: &HeaderMap) -> &'static str {
    ask(guard, headers).await.map_or_else(|denial| denial.reason(), |_| "accepted")
}

#[tokio::test]
async fn a_new_key_is_fetched_at_most_every_thirty_seconds() {
    let (hands, server) = (Hands::new(), Server::start());
    let (old, new) = (Signer::p256("old"), Signer::p256("new"));
    server.serve("/jwks", &key_set(&[&old]));
    let guard = guard(&hands, &server);
    assert_eq!(reason(&guard, &token(&old)).await, "accepted");
    assert_eq!(server.hits(), 1);

    server.serve("/jwks", &key_set(&[&old, &new]));
    hands.set(29);
    assert_eq!(reason(&guard, &token(&new)).await, "unknown-key", "too early");
    assert_eq!(server.hits(), 1);
    hands.set(30);
    assert_eq!(reason(&guard, &token(&new)).await, "accepted");
    assert_eq!(server.hits(), 2);
    for n in 0..20 {
        let made_up = token(&Signer::p256(&format!("made-up-{n}")));
        assert_eq!(reason(&guard, &made_up).await, "unknown-key");
    }
    assert_eq!(server.hits(), 2, "made-up keys make no requests");
    // An attempt that fails counts too.
    server.answer("/jwks", "500 Oops", "");
    hands.set(60);
    for _ in 0..3 {
        assert_eq!(reason(&guard, &token(&Signer::p256("other"))).await, "unknown-key");
    }
    assert_eq!(server.hits(), 3);
    assert_eq!(reason(&guard, &token(&new)).await, "accepted", "the keys are still good");
}

#[tokio::test]
async fn a_dropped_or_replaced_key_ends_the_tokens_it_verified() {
    let (hands, server) = (Hands::new(), Server::start());
    let (kept, dropped, replaced) = (Signer::p256("kept"), Signer::p256("dropped"), Signer::p256("replaced"));
    server.serve("/jwks", &key_set(&[&kept, &dropped, &replaced]));
    let guard = guard(&hands, &server);
    let tokens = [&kept, &dropped, &replaced].map(token);
    for headers in &tokens {
        assert_eq!(reason(&guard, headers).await, "accepted");
        assert!(guard.cached(headers).is_some());
    }
    server.serve("/jwks", &key_set(&[&kept, &Signer::p256("replaced")]));
    hands.set(599);
    assert!(tokens.iter().all(|headers| guard.cached(headers).is_some()), "the keys are fresh");
    hands.set(600);
    assert!(tokens.iter().all(|headers| guard.cached(headers).is_none()), "the keys must be fetched first");
    assert_eq!(reason(&guard, &tokens[1]).await, "unknown-key");
    assert_eq!(reason(&guard, &tokens[2]).await, "bad-signature");
    assert!(guard.cached(&tokens[0]).is_none(), "verified under the old set");
    assert_eq!(reason(&guard, &tokens[0]).await, "accepted");
    assert!(guard.cached(&tokens[0]).is_some());
    assert_eq!(server.hits(), 2);
}

#[tokio::test]
async fn an_unchanged_set_keeps_the_tokens_it_verified() {
    let (hands, server) = (Hands::new(), Server::start());
    let signer = Signer::p256("k");
    server.serve("/jwks", &key_set(&[&signer]));
    let guard = guard(&hands, &server);
    let (first, second) = (token(&signer), bearer(&signer.token(&claims(ISSUER))));
    assert_eq!(reason(&guard, &first).await, "accepted");
    assert_eq!(reason(&guard, &second).await, "accepted");
    hands.set(700);
    assert_eq!(reason(&guard, &first).await, "accepted");
    assert!(guard.cached(&second).is_some(), "the first one had the keys fetched");
    assert_eq!(server.hits(), 2);
}

#[tokio::test]
async fn old_keys_outlive_an_outage_of_an_hour() {
    let (hands, server) = (Hands::new(), Server::start());
    let signer = Signer::p256("k");
    server.serve("/jwks", &key_set(&[&signer]));
    let guard = guard(&hands, &server);
    assert_eq!(reason(&guard, &token(&signer)).await, "accepted");
    server.answer("/jwks", "503 Away", "");
    hands.set(3599);
    let headers = bearer(&signer.token(&super::support::with(
        &claims(ISSUER),
        "exp",
        json!(super::support::NOW + 9999),
    )));
    assert_eq!(reason(&guard, &headers).await, "accepted");
    assert_eq!(reason(&guard, &headers).await, "accepted", "remembered, though the keys are old");
    assert_eq!(server.hits(), 2, "one attempt in thirty seconds");
    hands.set(3600);
    assert_eq!(reason(&guard, &headers).await, "keys-unavailable");
    assert!(guard.cached(&headers).is_none());
    server.serve("/jwks", &key_set(&[&signer]));
    hands.set(3700);
    assert_eq!(reason(&guard, &headers).await, "accepted");
}

#[tokio::test]
async fn without_keys_everybody_is_refused_and_few_attempts_are_made() {
    let (hands, server) = (Hands::new(), Server::start());
    let signer = Signer::p256("k");
    let guard = guard(&hands, &server);
    for _ in 0..5 {
        let denial = ask(&guard, &token(&signer)).await.map(|v| v.principal).expect_err("no keys");
        assert_eq!(denial.reason(), "keys-unavailable");
        assert!(denial.presented());
    }
    assert_eq!(server.hits(), 1);
    server.serve("/jwks", &key_set(&[&signer]));
    hands.set(5);
    assert_eq!(reason(&guard, &token(&signer)).await, "accepted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_that_come_together_or_hang_up_share_one_attempt() {
    let (hands, server) = (Hands::new(), Server::start());
    let signer = Signer::p256("k");
    server.serve("/jwks", &key_set(&[&signer]));
    server.slow_down(200);
    let guard = Arc::new(guard(&hands, &server));
    let headers = token(&signer);
    // The first caller begins the attempt and goes away.
    let first = guard.authenticate(&headers);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), first).await.is_err());
    let answers = futures_util::future::join_all((0..16).map(|_| guard.authenticate(&headers))).await;
    assert!(answers.iter().all(Result::is_ok), "the attempt went on");
    assert_eq!(server.hits(), 1);
}

#[tokio::test]
async fn answers_that_are_no_key_set_change_nothing() {
    let signer = Signer::p256("k");
    let good = key_set(&[&signer]);
    let many: Vec<Value> = (0..101).map(|_| signer.jwk()).collect();
    let elsewhere = Server::start();
    elsewhere.serve("/jwks", &good);
    let redirect = format!("302 Found\r\nlocation: {}", elsewhere.url("/jwks"));
    let padded = format!("{good}{}", " ".repeat(256 * 1024));
    for (what, status, body) in [
        ("a redirect", redirect.as_str(), ""),
        ("not found", "404 Not Found", good.as_str()),
        ("no JSON", "200 OK", "<html>"),
        ("no keys", "200 OK", "{}"),
        ("no array", "200 OK", r#"{"keys":{}}"#),
        ("too large", "200 OK", &padded),
        ("too many keys", "200 OK", &json!({ "keys": many }).to_string()),
    ] {
        let (hands, server) = (Hands::new(), Server::start());
        let guard = guard(&hands, &server);
        server.answer("/jwks", status, body);
        assert_eq!(reason(&guard, &token(&signer)).await, "keys-unavailable", "{what}");
        server.serve("/jwks", &good);
        hands.set(30);
        assert_eq!(reason(&guard, &token(&signer)).await, "accepted", "{what}: the twin");
    }
    assert_eq!(elsewhere.hits(), 0, "a redirect was followed");
}

#[tokio::test]
async fn keys_for_other_uses_verify_nothing() {
    let signer = Signer::p256("k");
    let jwk = |name: &str, value: Value| super::support::with(&signer.jwk(), name, value);
    let large = Signer::p384("k");
    for (what, key, then) in [
        ("plain", signer.jwk(), "accepted"),
        ("for signatures", jwk("use", json!("sig")), "accepted"),
        ("to verify", jwk("key_ops", json!(["verify"])), "accepted"),
        ("its algorithm", jwk("alg", json!("ES256")), "accepted"),
        ("another algorithm", jwk("alg", json!("ES384")), "key-does-not-fit"),
        ("an unknown algorithm", jwk("alg", json!("ES256K")), "unknown-key"),
        ("for encryption", jwk("use", json!("enc")), "unknown-key"),
        ("to sign", jwk("key_ops", json!(["sign"])), "unknown-key"),
        ("private", jwk("d", json!("AA")), "unknown-key"),
        ("another curve's name", jwk("crv", json!("P-384")), "unknown-key"),
        ("another curve", large.jwk(), "key-does-not-fit"),
        ("a short point", jwk("x", json!("AA")), "unknown-key"),
        ("symmetric", json!({"kty": "oct", "kid": "k", "k": "AAAA"}), "unknown-key"),
    ] {
        let (hands, server) = (Hands::new(), Server::start());
        server.serve("/jwks", &json!({ "keys": [key] }).to_string());
        assert_eq!(reason(&guard(&hands, &server), &token(&signer)).await, then, "{what}");
    }
}

#[tokio::test]
async fn a_token_without_kid_needs_a_set_with_one_fitting_key() {
    let (one, two, other) = (Signer::p256("1"), Signer::p256("2"), Signer::ed25519("3"));
    let nameless = bearer(&one.sign(r#"{"alg":"ES256"}"#, &claims(ISSUER).to_string()));
    let same = Signer::p256("1");
    for (set, headers, then) in [
        (key_set(&[&one, &other]), &nameless, "accepted"),
        (key_set(&[&one, &two]), &nameless, "ambiguous-key"),
        (key_set(&[&other]), &nameless, "unknown-key"),
        (key_set(&[&one, &same]), &token(&one), "ambiguous-key"),
    ] {
        let (hands, server) = (Hands::new(), Server::start());
        server.serve("/jwks", &set);
        assert_eq!(reason(&guard(&hands, &server), headers).await, then, "{set}");
    }
}

#[tokio::test]
async fn every_asymmetric_algorithm_is_verified_and_only_as_itself() {
    let (rsa, large, ed) = (Signer::rsa("k"), Signer::p384("k"), Signer::ed25519("k"));
    let payload = claims(ISSUER).to_string();
    for (algorithm, signer) in [("RS256", &rsa), ("PS256", &rsa), ("ES384", &large), ("EdDSA", &ed)] {
        let (hands, server) = (Hands::new(), Server::start());
        server.serve("/jwks", &key_set(&[signer]));
        let header = json!({"alg": algorithm, "kid": "k"}).to_string();
        let headers = bearer(&signer.sign(&header, &payload));
        let guard = guard_with(&hands, &server.url("/jwks"), &format!("[\"{algorithm}\"]"));
        assert_eq!(reason(&guard, &headers).await, "accepted", "{algorithm}");
        let strict = guard_with(&hands, &server.url("/jwks"), "[\"ES256\"]");
        assert_eq!(reason(&strict, &headers).await, "algorithm-not-allowed", "{algorithm}");
    }
}

#[tokio::test]
async fn a_key_file_is_read_at_start_and_again_for_a_new_key() {
    let (hands, dir) = (Hands::new(), tempfile::tempdir().expect("a folder"));
    let path = dir.path().join("keys.json");
    let (old, new) = (Signer::p256("old"), Signer::p256("new"));
    std::fs::write(&path, key_set(&[&old])).expect("written");
    let guard = guard_with(&hands, path.to_str().expect("text"), "[\"ES256\"]");
    assert_eq!(reason(&guard, &token(&old)).await, "accepted");
    std::fs::write(&path, key_set(&[&new])).expect("written");
    assert_eq!(reason(&guard, &token(&new)).await, "unknown-key", "too early");
    hands.set(30);
    assert_eq!(reason(&guard, &token(&new)).await, "accepted");
    assert!(guard.cached(&token(&old)).is_none());
    assert_eq!(reason(&guard, &token(&old)).await, "unknown-key");
}

#[tokio::test]
async fn discovery_takes_metadata_of_that_issuer_only() {
    const OAUTH: &str = "/.well-known/oauth-authorization-server/realm";
    const OPENID: &str = "/realm/.well-known/openid-configuration";
    let signer = Signer::p256("k");
    let server = Server::start();
    let issuer = server.url("/realm");
    server.serve("/keys", &key_set(&[&signer]));
    let metadata = |issuer: &str, jwks: &str| json!({"issuer": issuer, "jwks_uri": jwks}).to_string();
    let good = metadata(&issuer, &server.url("/keys"));
    let slash = metadata(&format!("{issuer}/"), &server.url("/keys"));
    let plain = metadata(&issuer, "http://keys.example.com/keys");
    let missing = json!({ "issuer": issuer }).to_string();
    for (what, oauth, openid, then) in [
        ("RFC 8414", Some(&good), None, "accepted"),
        ("OpenID Connect", None, Some(&good), "accepted"),
        ("the second when the first is another issuer's", Some(&slash), Some(&good), "accepted"),
        ("another issuer", Some(&slash), None, "keys-unavailable"),
        ("another issuer, OpenID", None, Some(&slash), "keys-unavailable"),
        ("keys over plain http", Some(&plain), None, "keys-unavailable"),
        ("no key set", Some(&missing), None, "keys-unavailable"),
        ("nothing", None, None, "keys-unavailable"),
    ] {
        for (path, page) in [(OAUTH, oauth), (OPENID, openid)] {
            match page {
                Some(page) => server.serve(path, page),
                None => server.answer(path, "404 Not Found", ""),
            }
        }
        let text = format!(
            "[server]\npublic_url = \"{RESOURCE}\"\n[[identity.issuer]]\nissuer = \"{issuer}\"\ntenant_claim = \"org_id\"\n"
        );
        let guard =
            Authenticator::new(&config(&text, Path::new(".")), Hands::new().clock()).expect("a guard");
        let headers = bearer(&signer.token(&claims(&issuer)));
        assert_eq!(reason(&guard, &headers).await, then, "{what}");
    }
}
