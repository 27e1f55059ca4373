//! Tokens whose signature is good and whose claims are not (ID-02 to ID-16).

use serde_json::{Value, json};

use super::assert_refused;
use crate::support::{Ask, House, ISSUER, SECOND_ISSUER, claims, with};

/// The claims with one set.
fn set(claims: &Value, name: &str, value: Value) -> Value {
    with(claims, name, value)
}

/// Each row: the technique, and claims that differ from good ones in one thing.
fn rows(good: &Value, resource: &str) -> Vec<(&'static str, Value)> {
    let now = good["iat"].as_u64().unwrap() + 1;
    let base = resource.strip_suffix("/mcp").unwrap();
    let mut rows = Vec::new();
    let port = base.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    for audience in [
        json!("https://mcp.elsewhere.example/mcp"),
        json!(base),
        json!(format!("{resource}/")),
        json!(resource.replace(&port.to_string(), &(port ^ 1).to_string())),
        json!(resource.replace("http:", "HTTP:")),
        json!(resource.to_uppercase()),
        json!([resource, "https://mcp.elsewhere.example/mcp"]),
        json!([]),
        json!({ "0": resource }),
        json!(""),
        json!(null),
    ] {
        rows.push(("ID-06", set(good, "aud", audience)));
    }
    rows.push(("ID-06", with(good, "aud", None)));
    for issuer in [
        json!("https://login.test.example"),
        json!("https://login.test.example//"),
        json!("https://LOGIN.test.example/"),
        json!("https://login.test.example.evil.example/"),
        json!("https://lоgin.test.example/"),
        json!([ISSUER]),
        json!(""),
        json!(null),
        // Another issuer's name under this one's key.
        json!(SECOND_ISSUER),
        json!("urn:partywall:development"),
    ] {
        rows.push(("ID-07", set(good, "iss", issuer)));
    }
    rows.push(("ID-07", with(good, "iss", None)));
    for (name, value) in [
        ("exp", json!(now - 1)),
        ("exp", json!(now - 20)),
        ("exp", json!(0)),
        ("exp", json!((now + 600).to_string())),
        ("exp", json!((now + 600) as f64 + 0.5)),
        ("exp", json!(1e300)),
        ("exp", json!(-1)),
        ("exp", json!(now + 400 * 86_400)),
        ("exp", json!(null)),
        ("nbf", json!(now + 300)),
        ("nbf", json!("0")),
        ("iat", json!(now + 300)),
        ("iat", json!(1.5)),
    ] {
        rows.push(("ID-09", set(good, name, value)));
    }
    rows.push(("ID-09", with(good, "exp", None)));
    rows.extend(tenant_rows(good));
    for subject in [json!(null), json!(""), json!(7), json!(["ann"]), json!("ann\n"), json!("x".repeat(300))]
    {
        rows.push(("ID-08", set(good, "sub", subject)));
    }
    rows
}

/// What other programs write when they have no tenant, or mean all of them; one a line, which may be empty or blank.
const ABSENT: &str = "\n \nnull\nundefined\nNone\nnil\nNaN\n*\n%\ndefault\n0\n-\n.\n..\nfalse\nall\nany";

/// What reads, sorts or folds like `acme`.
const VARIANTS: [&str; 14] = [
    "ACME",
    "Acme",
    "ａcme",
    "acmé",
    "acme\u{301}",
    "ac\u{200b}me",
    "acme ",
    " acme",
    "acme.",
    "acme\0",
    "аcme",
    "acme\n",
    "acme\u{feff}",
    "acme\u{202e}",
];

/// What becomes two tenants, or another's key, where ids are joined or split.
const DELIMITED: &str =
    "acme:doc1 acme,globex acme/../globex acme|globex ../globex acme%2f acme'-- acme;globex acme\\globex";

fn tenant_rows(good: &Value) -> Vec<(&'static str, Value)> {
    let mut rows = Vec::new();
    let mut tenant = |technique, value| rows.push((technique, set(good, "org_id", value)));
    for wrong_type in [json!(1), json!(true), json!(null), json!(["acme"]), json!({ "id": "acme" })] {
        tenant("ID-11", wrong_type);
    }
    tenant("ID-11", json!("{\"id\":\"acme\"}"));
    for several in [json!(["acme", "globex"]), json!("acme globex")] {
        tenant("ID-12", several);
    }
    for absent in ABSENT.lines() {
        tenant("ID-14", json!(absent));
    }
    for variant in VARIANTS {
        tenant("ID-15", json!(variant));
    }
    for delimited in DELIMITED.split(' ') {
        tenant("ID-16", json!(delimited));
    }
    tenant("ID-15 unknown", json!("initech"));
    rows.push(("ID-13", with(good, "org_id", None)));
    // The tenant under another issuer's or product's name for it.
    let renamed = with(good, "org_id", None);
    for name in ["tenant", "tid", "org", "ORG_ID", "organization"] {
        rows.push(("ID-13", set(&renamed, name, json!("acme"))));
    }
    rows
}

#[tokio::test]
async fn id_06_to_16_a_signature_is_not_enough() {
    let house = House::open().await;
    let mut nobody = house.stranger();
    let good = claims(ISSUER, &house.resource(), "acme");
    let mut owner = house.caller_with("acme", house.signer.token(&good));
    let whoami = || Ask::call("whoami", &json!({}));
    let usual = nobody.ask(whoami().bearer("a.b.c")).await;
    for (technique, bad) in rows(&good, &house.resource()) {
        let answer = nobody.ask(whoami().bearer(&house.signer.token(&bad))).await;
        let shown = format!("{technique} {bad}");
        assert_refused(&shown, &answer);
        assert_eq!(answer.comparable(), usual.comparable(), "{shown}: no refusal says why");
    }
    assert_eq!(owner.whoami().await, json!({ "tenant": "acme", "subject": "ann" }), "the well-formed twin");
    let one_audience = with(&good, "aud", json!([house.resource()]));
    let mut owner = house.caller_with("acme", house.signer.token(&one_audience));
    assert_eq!(owner.whoami().await["tenant"], "acme");
}

#[tokio::test]
async fn id_12_a_claim_that_stands_twice_is_no_claim() {
    let house = House::open().await;
    let mut nobody = house.stranger();
    let good = claims(ISSUER, &house.resource(), "acme").to_string();
    let more = |extra: &str| format!("{},{extra}}}", good.strip_suffix('}').unwrap());
    for payload in [
        more(r#""org_id":"globex""#),
        more(r#""org_id":"acme""#),
        more(r#""org\u005fid":"globex""#),
        more(r#""sub":"root""#),
        more(r#""x":{"a":1,"a":2}"#),
        format!("{good} "),
        format!("\u{feff}{good}"),
        format!("{good}{good}"),
    ] {
        let token = house.signer.sign(&payload);
        let answer = nobody.ask(Ask::call("whoami", &json!({})).bearer(&token)).await;
        if payload.ends_with(' ') {
            // White space after the object is JSON.
            assert_eq!(answer.status, 200);
        } else {
            assert_refused(&payload, &answer);
        }
    }
    // Two claims that could be the tenant: the configured one counts.
    let mut owner = house.caller_with("acme", house.signer.sign(&more(r#""tenant":"globex""#)));
    assert_eq!(owner.whoami().await["tenant"], "acme");
}

#[tokio::test]
async fn id_02_to_05_keys_come_from_the_configuration_alone() {
    let house = House::open().await;
    let mut nobody = house.stranger();
    let good = claims(ISSUER, &house.resource(), "globex").to_string();
    let hit = house.upstream.address;
    let key = house.second_signer.key_set();
    let jwk = serde_json::from_str::<Value>(&key).unwrap()["keys"][0].take();
    let headers = [
        ("ID-02", json!({ "alg": "none" })),
        ("ID-02", json!({ "alg": "None", "kid": "one" })),
        ("ID-03", json!({ "alg": "HS256", "kid": "one" })),
        ("ID-03", json!({ "alg": "ES384", "kid": "one" })),
        ("ID-04", json!({ "alg": "ES256", "kid": "../two" })),
        ("ID-04", json!({ "alg": "ES256", "kid": "one' OR '1'='1" })),
        ("ID-04", json!({ "alg": "ES256", "kid": "two" })),
        ("ID-04", json!({ "alg": "ES256", "kid": "" })),
        ("ID-05", json!({ "alg": "ES256", "kid": "one", "jwk": jwk })),
        ("ID-05", json!({ "alg": "ES256", "kid": "two", "jku": format!("http://{hit}/keys") })),
        ("ID-05", json!({ "alg": "ES256", "kid": "two", "x5u": format!("http://{hit}/keys") })),
        ("ID-28", json!({ "alg": "ES256", "kid": "one", "crit": ["exp"], "exp": 1 })),
    ];
    for (technique, header) in headers {
        // Signed by a key that is good for another issuer, and by none.
        let signed = house.second_signer.sign_with(&header.to_string(), &good);
        let unsigned = format!("{}.", signed.rsplit_once('.').unwrap().0);
        for token in [signed, unsigned] {
            let answer = nobody.ask(Ask::call("whoami", &json!({})).bearer(&token)).await;
            assert_refused(&format!("{technique} {header}"), &answer);
        }
    }
    assert!(house.upstream.seen("/keys").is_empty(), "nobody fetches keys from where a token says");
    let mut owner = house.caller_with("globex", house.signer.sign(&good));
    assert_eq!(owner.whoami().await["tenant"], "globex");
}

/// Two issuers may call two people by one name; nothing of one is the other's.
#[tokio::test]
async fn id_08_one_subject_at_two_issuers_is_two_callers() {
    let house = House::open().await;
    let resource = house.resource();
    let first = house.signer.token(&claims(ISSUER, &resource, "acme"));
    let second = house.second_signer.token(&claims(SECOND_ISSUER, &resource, "acme"));
    let foreign = house.second_signer.token(&claims(SECOND_ISSUER, &resource, "globex"));
    let (mut first, mut second) = (house.caller_with("acme", first), house.caller_with("acme", second));
    let mut foreign = house.caller_with("globex", foreign);
    for caller in [&mut first, &mut second, &mut foreign] {
        assert_eq!(caller.whoami().await["subject"], "ann");
        for _ in 0..3 {
            let own = caller.call("my_profile", json!({})).await.content();
            assert_eq!(own["organization_id"], caller.tenant);
        }
    }
    // One call for each of the three, since each has a reply of its own.
    assert_eq!(house.upstream.times("acme", "/v1/me"), 2);
    assert_eq!(house.upstream.times("globex", "/v1/me"), 1);
    // The first issuer's tokens under the second issuer's key, and the reverse.
    let mut nobody = house.stranger();
    for token in [
        house.second_signer.token(&claims(ISSUER, &resource, "acme")),
        house.signer.token(&claims(SECOND_ISSUER, &resource, "acme")),
    ] {
        assert_refused("ID-07", &nobody.ask(Ask::call("whoami", &json!({})).bearer(&token)).await);
    }
}
