//! One row for each technique of the identity layer; a refused token has a twin that differs in one aspect and is accepted.

mod claims;
mod request;
mod signature;
mod tenant;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::support::{self, Hands, RESOURCE, Server, Signer, ask, bearer, config, key_set, with};
use crate::guards::identity::Authenticator;

const LOGIN: &str = "https://login.example.com/";
const GLOBEX: &str = "https://id.globex.example";
const EMPTIED: &str = "https://emptied.example.com";
const MAPPED: &str = "https://mapped.example.com";
const TYPED: &str = "https://typed.example.com";
const BOTH: &str = "https://both.example.com";
const SHARED: &str = "https://shared.example.com";

/// Techniques that cannot reach this guard, and why.
const ELSEWHERE: [(&str, &str); 4] = [
    ("ID-17", "tool arguments are no input of this guard"),
    ("ID-18", "tool arguments are no input of this guard"),
    ("ID-19", "`_meta` is no input of this guard"),
    ("ID-25", "the gateway is no OAuth proxy: it has no consent and no registration"),
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
        support::claims(LOGIN)
    }

    fn refused(
        &mut self,
        id: &'static str,
        aspect: &str,
        headers: HeaderMap,
        reason: &'static str,
        twin: HeaderMap,
    ) {
        self.rows.push(Row { id, aspect: aspect.to_owned(), headers, then: Then::Refused(reason, twin) });
    }

    fn accepted(
        &mut self,
        id: &'static str,
        aspect: &str,
        headers: HeaderMap,
        tenant: &'static str,
        sub: &'static str,
    ) {
        self.rows.push(Row { id, aspect: aspect.to_owned(), headers, then: Then::Is(tenant, sub) });
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

fn configuration() -> String {
    format!(
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
        issuer = "{EMPTIED}"
        jwks = "login.json"
        tenant_claim = "org_id"
        tenant_map = {{}}
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
    )
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
    file("login.json", key_set(&[&world.login, &world.login_rsa, &world.login_ed]));
    file("globex.json", key_set(&[&world.globex]));
    let guard =
        Authenticator::new(&config(&configuration(), dir.path()), Hands::new().clock()).expect("a guard");

    for rows in [
        request::credentials,
        signature::algorithms,
        signature::key_ids,
        signature::embedded_keys,
        claims::audiences,
        claims::issuers,
        claims::times,
        tenant::tenant_types,
        tenant::tenant_words,
        request::side_channels,
        request::second_credentials,
        claims::token_kinds,
        request::forms,
        request::lengths,
    ] {
        rows(&mut world);
    }

    let mut ids: Vec<&str> = world.rows.iter().map(|row| row.id).collect();
    ids.extend(ELSEWHERE.map(|(id, _)| id));
    ids.sort_unstable();
    ids.dedup();
    let all: Vec<String> = (1..=28).map(|n| format!("ID-{n:02}")).collect();
    assert_eq!(ids, all, "each technique has a row or a reason");

    for row in &world.rows {
        check(&guard, row).await;
    }
    assert_eq!(world.listener.hits(), 0, "ID-05: a header made the guard fetch something");
}

async fn check(guard: &Authenticator, row: &Row) {
    let name = format!("{} {}", row.id, row.aspect);
    let answer = ask(guard, &row.headers).await;
    match &row.then {
        Then::Is(tenant, subject) => {
            let principal = answer.unwrap_or_else(|why| panic!("{name}: refused, {why}")).principal;
            assert_eq!(principal.tenant.as_str(), *tenant, "{name}");
            assert_eq!(&*principal.subject, *subject, "{name}");
        }
        Then::Refused(reason, twin) => {
            let denial = answer.map(|v| v.principal).expect_err(&name);
            assert_eq!(denial.reason(), *reason, "{name}");
            assert!(guard.cached(&row.headers).is_none(), "{name}: remembered");
            let error = if denial.presented() { ", error=\"invalid_token\"" } else { "" };
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
