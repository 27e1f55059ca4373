//! One row for each technique of the identity layer; a refused token has a twin that differs in one aspect and is accepted.

use aws_lc_rs::hmac;
use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use serde_json::{Value, json};

use super::support::{
    Hands, NOW, RESOURCE, Server, Signer, ask, authorization, b64, bearer, claims, config, key_set, with,
};
use crate::guards::identity::Authenticator;

const LOGIN: &str = "https://login.example.com/";
const GLOBEX: &str = "https://id.globex.example";
const MAPPED: &str = "https://mapped.example.com";
const TYPED: &str = "https://typed.example.com";
const BOTH: &str = "https://both.example.com";
const SHARED: &str = "https://shared.example.com";

/// Techniques that cannot reach this guard, and why.
const ELSEWHERE: [(&str, &str); 4] = [
    ("ID-17", "tool arguments are no input of this guard"),
    ("ID-18", "tool arguments are no input of this guard"),
    ("ID-19", "`_meta` is no input of this guard"),
    (
        "ID-25",
        "the gateway is no OAuth proxy: it has no consent and no registration",
    ),
];

/// What must become of a request.
enum Then {
    /// Refused for this reason; the twin is accepted.
    Refused(&'static str, HeaderMap),
    /// Accepted as this tenant and subject.
    Is(&'static str, &'static str),
}

struct Row {
    id: &'static str,
    aspect: String,
    headers: HeaderMap,
    then: Then,
}

/// Everything the rows are made from.
struct World {
    login: Signer,
    login_rsa: Signer,
    login_ed: Signer,
    globex: Signer,
    attacker: Signer,
    listener: Server,
    rows: Vec<Row>,
}

impl World {
    fn good(&self) -> Value {
        claims(LOGIN)
    }

    fn refused(
        &mut self,
        id: &'static str,
        aspect: &str,
        headers: HeaderMap,
        reason: &'static str,
        twin: HeaderMap,
    ) {
        self.rows.push(Row {
            id,
            aspect: aspect.to_owned(),
            headers,
            then: Then::Refused(reason, twin),
        });
    }

    fn accepted(
        &mut self,
        id: &'static str,
        aspect: &str,
        headers: HeaderMap,
        tenant: &'static str,
        sub: &'static str,
    ) {
        self.rows.push(Row {
            id,
            aspect: aspect.to_owned(),
            headers,
            then: Then::Is(tenant, sub),
        });
    }

    /// A row in which only the claims differ from the good ones.
    fn claim(&mut self, id: &'static str, name: &str, value: Option<Value>, reason: &'static str) {
        let aspect = format!("{name} = {value:?}");
        let bad = bearer(&self.login.token(&with(&self.good(), name, value)));
        let twin = bearer(&self.login.token(&self.good()));
        self.refused(id, &aspect, bad, reason, twin);
    }

    /// A row in which only the header differs.
    fn header(&mut self, id: &'static str, header: Value, reason: &'static str) {
        let bad = bearer(&self.login.sign(&header.to_string(), &self.good().to_string()));
        let twin = bearer(&self.login.token(&self.good()));
        self.refused(id, &header.to_string(), bad, reason, twin);
    }
}

fn plus(mut headers: HeaderMap, more: &[(&str, &str)]) -> HeaderMap {
    for (name, value) in more {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        headers.append(name, HeaderValue::from_str(value).expect("a header value"));
    }
    headers
}

#[tokio::test]
async fn every_identity_technique_is_refused_or_changes_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut world = World {
        login: Signer::p256("k1"),
        login_rsa: Signer::rsa("r1"),
        login_ed: Signer::ed25519("e1"),
        globex: Signer::p256("g1"),
        attacker: Signer::p256("k1"),
        listener: Server::start(),
        rows: Vec::new(),
    };
    let file = |name: &str, text: String| std::fs::write(dir.path().join(name), text).expect("a key file");
    file(
        "login.json",
        key_set(&[&world.login, &world.login_rsa, &world.login_ed]),
    );
    file("globex.json", key_set(&[&world.globex]));
    let text = format!(
        r#"
        [server]
        public_url = "{RESOURCE}"
        [[identity.issuer]]
        issuer = "{LOGIN}"
        jwks = "login.json"
        algorithms = ["ES256", "RS256", "EdDSA"]
        tenant_claim = "org_id"
        [[identity.issuer]]
        issuer = "{GLOBEX}"
        jwks = "globex.json"
        tenant = "globex"
        [[identity.issuer]]
        issuer = "{MAPPED}"
        jwks = "login.json"
        tenant_claim = "org_id"
        tenant_map = {{ "org-1" = "acme", "a:b" = "globex" }}
        [[identity.issuer]]
        issuer = "{TYPED}"
        jwks = "login.json"
        tenant_claim = "org_id"
        token_type = "at+jwt"
        [[identity.issuer]]
        issuer = "{BOTH}"
        jwks = "login.json"
        tenant_claim = "org_id"
        tenant = "acme"
        [[identity.issuer]]
        issuer = "{SHARED}"
        jwks = "login.json"
        tenant_claim = "org_id"
        allow_other_audiences = true
        "#
    );
    let guard = Authenticator::new(&config(&text, dir.path()), Hands::new().clock()).expect("a guard");

    credentials(&mut world);
    algorithms_and_keys(&mut world);
    audiences_and_issuers(&mut world);
    times(&mut world);
    tenants(&mut world);
    side_channels(&mut world);
    token_kinds(&mut world);
    forms(&mut world);

    let mut ids: Vec<&str> = world.rows.iter().map(|row| row.id).collect();
    ids.extend(ELSEWHERE.map(|(id, _)| id));
    ids.sort_unstable();
    ids.dedup();
    let all: Vec<String> = (1..=28).map(|n| format!("ID-{n:02}")).collect();
    assert_eq!(ids, all, "each technique has a row or a reason");

    for row in &world.rows {
        check(&guard, row).await;
    }
    assert_eq!(
        world.listener.hits(),
        0,
        "ID-05: a header made the guard fetch something"
    );
}

async fn check(guard: &Authenticator, row: &Row) {
    let name = format!("{} {}", row.id, row.aspect);
    let answer = ask(guard, &row.headers).await;
    match &row.then {
        Then::Is(tenant, subject) => {
            let principal = answer
                .unwrap_or_else(|why| panic!("{name}: refused, {why}"))
                .principal;
            assert_eq!(principal.tenant.as_str(), *tenant, "{name}");
            assert_eq!(&*principal.subject, *subject, "{name}");
        }
        Then::Refused(reason, twin) => {
            let denial = answer.map(|v| v.principal).expect_err(&name);
            assert_eq!(denial.reason(), *reason, "{name}");
            assert!(guard.cached(&row.headers).is_none(), "{name}: remembered");
            let error = if denial.presented() {
                ", error=\"invalid_token\""
            } else {
                ""
            };
            let challenge = format!(
                "Bearer resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource/mcp\"{error}, scope=\"desk\""
            );
            assert_eq!(guard.challenge(&denial, Some("desk")), challenge, "{name}");
            if let Err(why) = ask(guard, twin).await {
                panic!("{name}: the twin is refused too, {why}");
            }
        }
    }
}

/// ID-01, 20 to 23: no credential, or one in the wrong place.
fn credentials(world: &mut World) {
    let token = world.login.token(&world.good());
    let twin = bearer(&token);
    world.refused("ID-01", "no header", HeaderMap::new(), "no-token", twin.clone());
    world.refused(
        "ID-01",
        "another scheme",
        authorization("Basic YTpi"),
        "other-scheme",
        twin.clone(),
    );
    world.refused(
        "ID-01",
        "no scheme",
        authorization(&token),
        "other-scheme",
        twin.clone(),
    );
    let query = plus(
        HeaderMap::new(),
        &[("referer", "https://mcp.example.com/mcp?access_token=x")],
    );
    world.refused(
        "ID-23",
        "token in the query only",
        query,
        "no-token",
        twin.clone(),
    );
    let both = plus(
        twin.clone(),
        &[("referer", "https://mcp.example.com/mcp?access_token=x")],
    );
    world.accepted("ID-23", "another token in the query", both, "acme", "ann");
    for value in ["", "0", "false"] {
        let headers = plus(HeaderMap::new(), &[("x-user", value)]);
        world.refused(
            "ID-22",
            "an empty identity header",
            headers,
            "no-token",
            twin.clone(),
        );
    }
    world.refused(
        "ID-22",
        "an empty authorization",
        authorization(""),
        "other-scheme",
        twin.clone(),
    );
    world.refused(
        "ID-22",
        "an empty bearer",
        authorization("Bearer "),
        "malformed-token",
        twin,
    );
}

/// ID-02 to 05: the signature and its key.
fn algorithms_and_keys(world: &mut World) {
    let payload = world.good().to_string();
    let twin = bearer(&world.login.token(&world.good()));
    for none in ["none", "None", "NONE", "nOnE", ""] {
        let header = b64(json!({"alg": none}).to_string());
        for signature in ["", "AA"] {
            let token = format!("{header}.{}.{signature}", b64(&payload));
            world.refused(
                "ID-02",
                none,
                bearer(&token),
                "algorithm-not-allowed",
                twin.clone(),
            );
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
            world.refused(
                "ID-03",
                what,
                bearer(&token),
                "algorithm-not-allowed",
                twin.clone(),
            );
        }
    }
    world.header("ID-03", json!({"alg": "RS256", "kid": "k1"}), "key-does-not-fit");
    world.header("ID-03", json!({"alg": "ES256", "kid": "r1"}), "key-does-not-fit");
    world.header(
        "ID-03",
        json!({"alg": "ES384", "kid": "k1"}),
        "algorithm-not-allowed",
    );
    world.header(
        "ID-03",
        json!({"alg": "es256", "kid": "k1"}),
        "algorithm-not-allowed",
    );
    world.header("ID-03", json!({"alg": ["ES256"], "kid": "k1"}), "malformed-token");
    world.header("ID-03", json!({"kid": "k1"}), "malformed-token");
    world.accepted(
        "ID-03",
        "RS256",
        bearer(&world.login_rsa.token(&world.good())),
        "acme",
        "ann",
    );
    world.accepted(
        "ID-03",
        "EdDSA",
        bearer(&world.login_ed.token(&world.good())),
        "acme",
        "ann",
    );

    for kid in [
        "../../../../dev/null",
        "x' OR '1'='1",
        "https://evil.example/k",
        "",
        "k1\0",
        "K1",
        "k1 ",
        "g1",
    ] {
        world.header("ID-04", json!({"alg": "ES256", "kid": kid}), "unknown-key");
    }
    world.header("ID-04", json!({"alg": "ES256", "kid": ["k1"]}), "malformed-token");
    let other = world.globex.sign(&world.globex.header().to_string(), &payload);
    world.refused(
        "ID-04",
        "another issuer's key",
        bearer(&other),
        "unknown-key",
        twin.clone(),
    );
    // The kid may be left out when only one key could be meant.
    let nameless = world.login.sign(r#"{"alg":"ES256"}"#, &payload);
    world.accepted("ID-04", "no kid, one key", bearer(&nameless), "acme", "ann");

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

/// ID-06 to 08: for whom and by whom.
fn audiences_and_issuers(world: &mut World) {
    for aud in [
        json!("https://other.example.com/mcp"),
        json!("https://mcp.example.com"),
        json!("https://mcp.example.com/mcp/"),
        json!("https://mcp.example.com/mcp2"),
        json!("https://mcp.example.com:443/mcp"),
        json!("https://MCP.example.com/mcp"),
        json!("http://mcp.example.com/mcp"),
        json!([RESOURCE, "https://other.example.com/mcp"]),
        json!([[RESOURCE]]),
        json!([]),
        json!(null),
        json!({ RESOURCE: true }),
    ] {
        world.claim("ID-06", "aud", Some(aud), "wrong-audience");
    }
    world.claim("ID-06", "aud", None, "wrong-audience");
    let alone = world.login.token(&with(&world.good(), "aud", json!([RESOURCE])));
    world.accepted("ID-06", "an array of just ours", bearer(&alone), "acme", "ann");
    let shared = |aud: Value| with(&claims(SHARED), "aud", aud);
    let twin = bearer(
        &world
            .login
            .token(&shared(json!(["https://other.example.com", RESOURCE]))),
    );
    for aud in [
        json!(["https://other.example.com"]),
        json!([RESOURCE, 1]),
        json!([]),
    ] {
        let bad = bearer(&world.login.token(&shared(aud)));
        world.refused(
            "ID-06",
            "others allowed, ours missing",
            bad,
            "wrong-audience",
            twin.clone(),
        );
    }

    for iss in [
        json!("https://login.example.com"),
        json!("https://LOGIN.example.com/"),
        json!("https://login.example.com/ "),
        json!("https://login.example.com.evil.example/"),
        json!("urn:partywall:development"),
        json!([LOGIN]),
        json!(null),
    ] {
        world.claim("ID-07", "iss", Some(iss), "unknown-issuer");
    }
    world.claim("ID-07", "iss", None, "unknown-issuer");
    let crossed = bearer(&world.login.token(&claims(GLOBEX)));
    let twin = bearer(&world.globex.token(&claims(GLOBEX)));
    world.refused(
        "ID-07",
        "signed by another issuer",
        crossed,
        "unknown-key",
        twin.clone(),
    );

    let here = bearer(&world.login.token(&world.good()));
    world.accepted("ID-08", "the same subject here", here, "acme", "ann");
    // It names acme in the claim that another issuer uses, and is globex all the same.
    world.accepted("ID-08", "the same subject there", twin, "globex", "ann");
    for sub in [
        json!(""),
        json!(7),
        json!(null),
        json!("a\u{0}b"),
        json!("a\nb"),
        json!("x".repeat(257)),
    ] {
        world.claim("ID-08", "sub", Some(sub), "bad-subject");
    }
    world.claim("ID-08", "sub", None, "bad-subject");
}

/// ID-09 and 10: when.
fn times(world: &mut World) {
    const YEAR: u64 = 366 * 24 * 3600;
    for (name, value, reason) in [
        ("exp", json!(NOW), "expired"),
        ("exp", json!(NOW - 1), "expired"),
        ("exp", json!(0), "expired"),
        ("exp", json!(NOW + YEAR + 1), "expires-too-late"),
        ("exp", json!(u64::MAX), "expires-too-late"),
        ("exp", json!((NOW + 60).to_string()), "bad-times"),
        ("exp", json!(NOW as f64 + 60.0), "bad-times"),
        ("exp", json!(-1), "bad-times"),
        ("exp", json!(null), "bad-times"),
        ("exp", json!([NOW + 60]), "bad-times"),
        ("nbf", json!(NOW + 31), "not-yet-valid"),
        ("nbf", json!("0"), "bad-times"),
        ("nbf", json!(null), "bad-times"),
        ("iat", json!(NOW + 31), "not-yet-valid"),
        ("iat", json!(1.5), "bad-times"),
    ] {
        world.claim("ID-09", name, Some(value), reason);
    }
    world.claim("ID-09", "exp", None, "bad-times");
    for (name, value) in [
        ("exp", NOW + 1),
        ("exp", NOW + YEAR),
        ("nbf", NOW + 30),
        ("iat", NOW + 30),
        ("iat", 0),
    ] {
        let token = world.login.token(&with(&world.good(), name, json!(value)));
        world.accepted(
            "ID-09",
            &format!("{name} = {value}"),
            bearer(&token),
            "acme",
            "ann",
        );
    }
    let last = bearer(&world.login.token(&with(&world.good(), "exp", json!(NOW + 1))));
    let ended = bearer(&world.login.token(&with(&world.good(), "exp", json!(NOW))));
    world.refused("ID-10", "no leeway after the end", ended, "expired", last);
}

/// ID-11 to 16: in which tenant.
fn tenants(world: &mut World) {
    for value in [
        json!(1),
        json!(true),
        json!({"id": "acme"}),
        json!("{\"id\":\"acme\"}"),
        json!("\"acme\""),
        json!(null),
        json!(1.0),
    ] {
        world.claim("ID-11", "org_id", Some(value), "bad-tenant");
    }
    for value in [json!(["acme"]), json!(["acme", "globex"]), json!([])] {
        world.claim("ID-12", "org_id", Some(value), "bad-tenant");
    }
    let twin = bearer(&world.login.token(&world.good()));
    let header = world.login.header().to_string();
    let payload = world.good().to_string();
    for (what, more) in [
        ("the tenant twice", r#","org_id":"globex"}"#),
        ("the tenant twice, escaped", r#","\u006frg_id":"globex"}"#),
        ("the same tenant twice", r#","org_id":"acme"}"#),
        ("the audience twice", r#","aud":"x"}"#),
        ("twice inside", r#","x":{"a":[{"b":1,"b":2}]}}"#),
    ] {
        let twice = format!("{}{more}", payload.strip_suffix('}').expect("an object"));
        let bad = bearer(&world.login.sign(&header, &twice));
        world.refused("ID-12", what, bad, "duplicate-json-key", twin.clone());
    }
    let twice = bearer(
        &world
            .login
            .sign(r#"{"alg":"none","alg":"ES256","kid":"k1"}"#, &payload),
    );
    world.refused(
        "ID-12",
        "the algorithm twice",
        twice,
        "duplicate-json-key",
        twin.clone(),
    );
    let two_names = with(
        &with(&world.good(), "tenant", json!("globex")),
        "tenant_id",
        json!("globex"),
    );
    world.accepted(
        "ID-12",
        "other claims name globex",
        bearer(&world.login.token(&two_names)),
        "acme",
        "ann",
    );
    let differ = bearer(&world.login.token(&with(&claims(BOTH), "org_id", json!("globex"))));
    let agree = bearer(&world.login.token(&claims(BOTH)));
    world.refused(
        "ID-12",
        "the claim and the issuer's tenant disagree",
        differ,
        "bad-tenant",
        agree.clone(),
    );

    world.claim("ID-13", "org_id", None, "bad-tenant");
    let missing = bearer(&world.login.token(&with(&claims(BOTH), "org_id", None)));
    world.refused(
        "ID-13",
        "missing where the issuer's tenant is known",
        missing,
        "bad-tenant",
        agree,
    );

    for value in ["", " ", "null", "undefined", "None", "*", "%", ".", "..", "-"] {
        world.claim("ID-14", "org_id", Some(json!(value)), "bad-tenant");
    }
    // Words without a special meaning here: tenants of that very name, if there are such.
    for value in ["default", "0"] {
        let token = world.login.token(&with(&world.good(), "org_id", json!(value)));
        world.accepted("ID-14", value, bearer(&token), value, "ann");
    }
    for value in [
        "acme ",
        " acme",
        "acme\0",
        "аcme",
        "ａｃｍｅ",
        "ac\u{200b}me",
        "acmé",
        "acme\u{301}",
        "acme\n",
    ] {
        world.claim("ID-15", "org_id", Some(json!(value)), "bad-tenant");
    }
    for value in ["ACME", "acme."] {
        let token = world.login.token(&with(&world.good(), "org_id", json!(value)));
        world.accepted("ID-15", "a tenant of its own", bearer(&token), value, "ann");
    }
    for value in ["a:doc1", "a,b", "a/../b", "a|b", "a\\b", "a;b"] {
        world.claim("ID-16", "org_id", Some(json!(value)), "bad-tenant");
    }
    let mapped = |value: &str| with(&claims(MAPPED), "org_id", json!(value));
    let listed = bearer(&world.login.token(&mapped("org-1")));
    world.accepted("ID-16", "listed", listed.clone(), "acme", "ann");
    world.accepted(
        "ID-16",
        "listed with a colon",
        bearer(&world.login.token(&mapped("a:b"))),
        "globex",
        "ann",
    );
    for value in ["acme", "globex", "ORG-1", "org-2", ""] {
        let bad = bearer(&world.login.token(&mapped(value)));
        world.refused("ID-14", "not in the list", bad, "bad-tenant", listed.clone());
    }
}

/// ID-20, 21 and 24: what else a request says about who it is.
fn side_channels(world: &mut World) {
    let good = bearer(&world.login.token(&world.good()));
    let theirs = world.globex.token(&claims(GLOBEX));
    for name in [
        "x-tenant-id",
        "x_tenant_id",
        "x-org",
        "x-user",
        "x-forwarded-user",
        "x-forwarded-email",
        "x-original-url",
        "forwarded",
        "x-real-ip",
        "x-ms-client-principal",
    ] {
        let alone = plus(HeaderMap::new(), &[(name, "globex"), (name, "globex")]);
        world.refused("ID-20", name, alone, "no-token", good.clone());
        world.accepted(
            "ID-20",
            name,
            plus(good.clone(), &[(name, "globex")]),
            "acme",
            "ann",
        );
    }
    for name in [
        "x-api-key",
        "cookie",
        "x-access-token",
        "proxy-authorization",
        "x-authorization",
    ] {
        let value = format!("Bearer {theirs}");
        world.accepted(
            "ID-21",
            name,
            plus(good.clone(), &[(name, &value)]),
            "acme",
            "ann",
        );
        world.refused(
            "ID-21",
            name,
            plus(HeaderMap::new(), &[(name, &value)]),
            "no-token",
            good.clone(),
        );
    }
    let second = [(AUTHORIZATION.as_str(), &*format!("Bearer {theirs}"))];
    world.refused(
        "ID-21",
        "two tokens",
        plus(good.clone(), &second),
        "several-credentials",
        good.clone(),
    );
    let reversed = plus(
        plus(HeaderMap::new(), &second),
        &[("authorization", good["authorization"].to_str().expect("text"))],
    );
    world.refused(
        "ID-21",
        "two tokens, reversed",
        reversed,
        "several-credentials",
        good.clone(),
    );
    let same = plus(
        good.clone(),
        &[("authorization", good["authorization"].to_str().expect("text"))],
    );
    world.refused(
        "ID-21",
        "one token twice",
        same,
        "several-credentials",
        good.clone(),
    );
    let joined = format!(
        "{}, Bearer {theirs}",
        good["authorization"].to_str().expect("text")
    );
    world.refused(
        "ID-21",
        "two in one header",
        authorization(&joined),
        "malformed-token",
        good.clone(),
    );
    let hosts = [
        ("host", "globex.example.com"),
        ("x-forwarded-host", "globex.example.com"),
    ];
    world.accepted("ID-24", "host", plus(good, &hosts), "acme", "ann");
}

/// ID-26 and 27: a token of another kind, or with other rights.
fn token_kinds(world: &mut World) {
    let twin = bearer(&world.login.token(&world.good()));
    let id_token = with(&world.good(), "aud", json!("client-1"));
    world.refused(
        "ID-26",
        "an ID token",
        bearer(&world.login.token(&id_token)),
        "wrong-audience",
        twin.clone(),
    );
    let opaque = bearer("v1.MDAwMDAwMDAwMDAw");
    world.refused("ID-26", "a refresh token", opaque, "malformed-token", twin);
    let typed = |typ: Option<&str>| {
        let header = with(&world.login.header(), "typ", typ.map(|typ| json!(typ)));
        bearer(&world.login.sign(&header.to_string(), &claims(TYPED).to_string()))
    };
    let good = typed(Some("at+jwt"));
    let rows: Vec<_> = [
        Some("JWT"),
        Some("application/jwt"),
        Some(""),
        Some("at+jwtx"),
        None,
    ]
    .map(|typ| (format!("typ {typ:?}"), typed(typ)))
    .into();
    let fine = ["AT+JWT", "application/at+jwt", "Application/At+Jwt"].map(|typ| typed(Some(typ)));
    for (aspect, bad) in rows {
        world.refused("ID-26", &aspect, bad, "wrong-token-type", good.clone());
    }
    for headers in fine {
        world.accepted("ID-26", "spelled otherwise", headers, "acme", "ann");
    }
    for (name, value) in [
        ("scope", json!(["desk:admin"])),
        ("scope", json!(7)),
        ("scope", json!(null)),
        ("scope", json!("desk\nadmin")),
        ("scp", json!({"desk": "admin"})),
        ("scp", json!(["desk:read", 7])),
        ("scp", json!(["desk:read desk:admin"])),
        ("scp", json!(["desk:admin"])),
        ("scp", json!("desk:admin")),
    ] {
        world.claim("ID-27", name, Some(value), "bad-scopes");
    }
    for scp in [json!("desk:read"), json!(["desk:read"])] {
        let token = world.login.token(&with(&world.good(), "scp", scp));
        world.accepted("ID-27", "scope and scp agree", bearer(&token), "acme", "ann");
    }
}

/// ID-28: tokens that one parser reads and another does not.
fn forms(world: &mut World) {
    let token = world.login.token(&world.good());
    let twin = bearer(&token);
    for scheme in ["bearer", "BEARER", "bEaReR"] {
        world.accepted(
            "ID-28",
            scheme,
            authorization(&format!("{scheme} {token}")),
            "acme",
            "ann",
        );
    }
    let (message, signature) = token.rsplit_once('.').expect("parts");
    let short = &signature[..signature.len() - 1];
    let malformed = [
        ("two spaces", format!("Bearer  {token}")),
        ("a space behind", format!("Bearer {token} ")),
        ("a tab", format!("Bearer \t{token}")),
        ("garbage behind", format!("Bearer {token} x")),
        ("padding", format!("Bearer {token}=")),
        ("a comma", format!("Bearer {token},")),
        ("quotes", format!("Bearer \"{token}\"")),
        ("a fourth part", format!("Bearer {token}.x")),
        ("an empty fourth part", format!("Bearer {token}.")),
        ("a JWE", "Bearer e30.AA.AA.AA.AA".to_owned()),
        ("two parts", format!("Bearer {message}")),
        ("a dot before", format!("Bearer .{token}")),
        ("plain base64", format!("Bearer {message}.{signature}+/")),
        ("cut off", format!("Bearer {message}.{short}")),
        (
            "no object",
            format!("Bearer {}.{}.{signature}", b64("[]"), b64("{}")),
        ),
        (
            "something behind the object",
            format!("Bearer {}.{}.{signature}", b64("{} {}"), b64("{}")),
        ),
    ];
    for (aspect, value) in malformed {
        world.refused(
            "ID-28",
            aspect,
            authorization(&value),
            "malformed-token",
            twin.clone(),
        );
    }
    let none = authorization(&format!("Bearer {message}."));
    world.refused("ID-28", "no signature", none, "bad-signature", twin.clone());
    let behind = authorization(&format!("Bearer {message}.{signature}AAAA"));
    world.refused(
        "ID-28",
        "a longer signature",
        behind,
        "bad-signature",
        twin.clone(),
    );
    world.refused(
        "ID-28",
        "a tab for the space",
        authorization(&format!("Bearer\t{token}")),
        "other-scheme",
        twin,
    );
    // 8 KiB are read, and one byte more is not.
    let long = |pad: usize| {
        world
            .login
            .token(&with(&world.good(), "pad", json!("x".repeat(pad))))
    };
    let pad = (5500..).find(|pad| long(pad + 1).len() > 8192).expect("a length");
    let (fits, over) = (long(pad), long(pad + 1));
    assert!(fits.len() <= 8192 && over.len() <= 8194);
    world.refused(
        "ID-28",
        "too long",
        bearer(&over),
        "token-too-long",
        bearer(&fits),
    );
}
