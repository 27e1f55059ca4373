//! Who signed the token, and with what.

use aws_lc_rs::hmac;
use serde_json::json;

use super::World;
use crate::guards::identity::tests::support::{b64, bearer, key_set, with};

/// ID-02 and 03: algorithms.
pub(super) fn algorithms(world: &mut World) {
    let payload = world.good().to_string();
    let twin = bearer(&world.login.token(&world.good()));
    for none in ["none", "None", "NONE", "nOnE", ""] {
        let header = b64(json!({"alg": none}).to_string());
        for signature in ["", "AA"] {
            let token = format!("{header}.{}.{signature}", b64(&payload));
            world.refused("ID-02", none, bearer(&token), "algorithm-not-allowed", twin.clone());
        }
    }
    let point = world.login.public();
    let secrets = [
        ("the point", point.clone()),
        ("the JWK", world.login.jwk().to_string().into_bytes()),
        ("the RSA key", world.login_rsa.public()),
        ("the key set", key_set(&[&world.login]).into_bytes()),
        ("nothing", Vec::new()),
    ];
    for (what, secret) in secrets {
        for kid in ["k1", "r1", "e1"] {
            let header = json!({"alg": "HS256", "kid": kid}).to_string();
            let message = format!("{}.{}", b64(header), b64(&payload));
            let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
            let token = format!("{message}.{}", b64(hmac::sign(&key, message.as_bytes())));
            world.refused("ID-03", what, bearer(&token), "algorithm-not-allowed", twin.clone());
        }
    }
    world.header("ID-03", json!({"alg": "RS256", "kid": "k1"}), "key-does-not-fit");
    world.header("ID-03", json!({"alg": "ES256", "kid": "r1"}), "key-does-not-fit");
    world.header("ID-03", json!({"alg": "ES384", "kid": "k1"}), "algorithm-not-allowed");
    world.header("ID-03", json!({"alg": "es256", "kid": "k1"}), "algorithm-not-allowed");
    world.header("ID-03", json!({"alg": ["ES256"], "kid": "k1"}), "malformed-token");
    world.header("ID-03", json!({"kid": "k1"}), "malformed-token");
    world.accepted("ID-03", "RS256", bearer(&world.login_rsa.token(&world.good())), "acme", "ann");
    world.accepted("ID-03", "EdDSA", bearer(&world.login_ed.token(&world.good())), "acme", "ann");
}

/// ID-04: key ids.
pub(super) fn key_ids(world: &mut World) {
    let payload = world.good().to_string();
    let twin = bearer(&world.login.token(&world.good()));
    for kid in
        ["../../../../dev/null", "x' OR '1'='1", "https://evil.example/k", "", "k1\0", "K1", "k1 ", "g1"]
    {
        world.header("ID-04", json!({"alg": "ES256", "kid": kid}), "unknown-key");
    }
    world.header("ID-04", json!({"alg": "ES256", "kid": ["k1"]}), "malformed-token");
    let other = world.globex.sign(&world.globex.header().to_string(), &payload);
    world.refused("ID-04", "another issuer's key", bearer(&other), "unknown-key", twin.clone());
    // The kid may be left out when only one key could be meant.
    let nameless = world.login.sign(r#"{"alg":"ES256"}"#, &payload);
    world.accepted("ID-04", "no kid, one key", bearer(&nameless), "acme", "ann");
}

/// ID-05: keys that the token brings along.
pub(super) fn embedded_keys(world: &mut World) {
    let payload = world.good().to_string();
    let url = world.listener.url("/jwks.json");
    world.listener.serve("/jwks.json", &key_set(&[&world.attacker]));
    for (name, value) in [
        ("jku", json!(url)),
        ("x5u", json!(url)),
        ("jwk", world.attacker.jwk()),
        ("x5c", json!([b64(world.attacker.public())])),
    ] {
        let header = with(&world.login.header(), name, value).to_string();
        let bad = bearer(&world.attacker.sign(&header, &payload));
        let twin = bearer(&world.login.sign(&header, &payload));
        world.refused("ID-05", name, bad, "bad-signature", twin);
    }
    for header in [
        json!({"alg": "ES256", "kid": "k1", "crit": ["b64"], "b64": false}),
        json!({"alg": "ES256", "kid": "k1", "crit": []}),
    ] {
        world.header("ID-05", header, "critical-header");
    }
}
