//! Whose credential a request carries, and whose reply comes back.

use std::sync::Arc;

use serde_json::json;

use super::{upstream::Upstream, *};

const BEARER: &str = "auth = { bearer = \"secret:key\" }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_tenants_carry_their_own_credentials_on_their_own_connections() {
    let upstream = Upstream::json(|request| {
        let key = request.header("authorization").unwrap_or_default();
        format!("{{\"owner\":\"{}\"}}", key.trim_start_matches("Bearer key-of-"))
    });
    let owned = format!("{BEARER}\nowner = {{ pointer = \"/owner\", equals = \"tenant\" }}");
    let (tool, shared) = compile(&config(&by_id(&upstream, &owned))).expect("a good tool");
    let tool = Arc::new(tool);
    let mut calls = Vec::new();
    for tenant in ["acme", "globex"] {
        let client = Arc::new(TenantClient::new(&shared));
        for n in 0..20 {
            let (tool, client) = (Arc::clone(&tool), Arc::clone(&client));
            calls.push(async move {
                let secret = SecretString::from(format!("key-of-{tenant}"));
                let args = serde_json::from_value(json!({"id": format!("{tenant}-{n}")})).expect("arguments");
                let limits = CallLimits { time: Duration::from_secs(5), reply_bytes: 1 << 10 };
                let permit = Permit::for_test(tenant, 1);
                let reply = tool.call(&permit, &client, &args, &[("key", &secret)], limits).await;
                assert_eq!(reply.expect("a reply").body, format!("{{\"owner\":\"{tenant}\"}}"));
            });
        }
    }
    futures_util::future::join_all(calls).await;

    let requests = upstream.requests();
    assert_eq!(requests.len(), 40);
    for request in &requests {
        let tenant = if request.path.contains("acme") { "acme" } else { "globex" };
        assert_eq!(request.header("authorization"), Some(format!("Bearer key-of-{tenant}").as_str()));
        let shared_connection = requests
            .iter()
            .any(|other| other.connection == request.connection && !other.path.contains(tenant));
        assert!(!shared_connection, "a connection served two tenants");
    }
}

#[tokio::test]
async fn a_missing_or_unusable_secret_makes_no_request() {
    let upstream = Upstream::json(|_| "{}".to_owned());
    let bench = Bench::new(&by_id(&upstream, BEARER)).with_secret("other", "x");
    let error = bench.call(json!({"id": "1"})).await.expect_err("no secret");
    assert_eq!(error.kind(), HttpErrorKind::MissingSecret);
    assert!(error.to_string().contains("`key` is not set for this tenant"), "{error}");

    for bad in ["", "s3cr3t\r\nX: y", "s3cr3t\n", "s3cr3tю", "s3cr3t\0"] {
        let bench = Bench::new(&by_id(&upstream, BEARER)).with_secret("key", bad);
        let error = bench.call(json!({"id": "1"})).await.expect_err("a bad secret");
        assert_eq!(error, HttpToolError::UnusableSecret { name: "key".to_owned() });
        assert!(!format!("{error} {error:?}").contains("s3cr3t"));
    }
    assert_eq!(upstream.connections(), 0);

    let bench = Bench::new(&by_id(&upstream, BEARER)).with_secret("key", "s3cr3t");
    bench.call(json!({"id": "1"})).await.expect("a call");
    let request = upstream.requests().pop().expect("a request");
    assert_eq!(request.header("authorization"), Some("Bearer s3cr3t"));
}

#[tokio::test]
async fn secrets_may_go_into_named_headers() {
    let upstream = Upstream::json(|_| "{}".to_owned());
    let auth = "auth = { headers = { X-Api-Key = \"secret:key\", Authorization = \"secret:basic\" } }";
    let bench =
        Bench::new(&by_id(&upstream, auth)).with_secret("key", "k1").with_secret("basic", "Basic eDp5");
    assert_eq!(bench.tool.secrets(), ["basic", "key"]);
    bench.call(json!({"id": "1"})).await.expect("a call");
    let request = upstream.requests().pop().expect("a request");
    assert_eq!(request.header("x-api-key"), Some("k1"));
    assert_eq!(request.header("authorization"), Some("Basic eDp5"));
}

#[test]
fn a_credential_is_sensitive_in_debug_output() {
    let bench = Bench::new("http = { url = \"https://example.com/\" }\nauth = { bearer = \"secret:key\" }");
    let secret = SecretString::from("s3cr3t");
    let request = bench.tool.request(&Map::new(), &[("key", &secret)]).expect("a request");
    assert!(!format!("{request:?}").contains("s3cr3t"));
    assert_eq!(request.headers["authorization"], "Bearer s3cr3t");
}

#[test]
fn auth_is_checked_at_load_time() {
    for (auth, fragment) in [
        ("{}", "is empty"),
        ("{ bearer = \"secret:a\", headers = { X-K = \"secret:b\" } }", "keep one"),
        ("{ bearer = \"sk-live-1234\" }", "`auth.bearer`: must be `secret:NAME`"),
        ("{ bearer = \"secret:\" }", "secret:NAME"),
        ("{ bearer = \"secret:a/b\" }", "secret:NAME"),
        ("{ headers = { Host = \"secret:a\" } }", "remove the header"),
        ("{ headers = { X-K = \"secret:a\", x-k = \"secret:b\" } }", "twice"),
        ("{ headers = { X-Note = \"secret:a\" } }", "sent by `auth` already"),
    ] {
        let error = compile_error(&format!(
            "http = {{ url = \"https://example.com/\", headers = {{ x-note = \"1\" }} }}\nauth = {auth}"
        ));
        assert!(error.contains(fragment), "{auth}: {error}");
        assert!(!error.contains("sk-live"), "{error}");
    }
}

#[tokio::test]
async fn a_foreign_document_is_refused() {
    let upstream = Upstream::json(|request| match request.path.as_str() {
        "/v1/items/list" => r#"[{"org":"acme"},{"org":"globex","canary":"c4n4ry"}]"#.to_owned(),
        path => format!(r#"{{"org":"{}","canary":"c4n4ry"}}"#, path.trim_start_matches("/v1/items/")),
    });
    let owner = |pointer: &str, equals: &str| {
        by_id(&upstream, &format!("owner = {{ pointer = \"{pointer}\", equals = \"{equals}\" }}"))
    };
    let by_tenant = Bench::new(&owner("/org", "tenant"));
    assert!(by_tenant.call(json!({"id": "acme"})).await.expect("our own").contains("c4n4ry"));
    let foreign = by_tenant.call(json!({"id": "globex"})).await.expect_err("a foreign one");
    assert_eq!(foreign.to_string(), "Document does not belong to requesting tenant");
    assert_eq!(foreign.kind(), HttpErrorKind::NotFound);
    let unowned = Bench::new(&owner("/owner", "tenant")).call(json!({"id": "acme"})).await;
    assert_eq!(unowned, Err(HttpToolError::ForeignOwner));
    let mixed = Bench::new(&owner("/*/org", "tenant")).call(json!({"id": "list"})).await;
    assert_eq!(mixed, Err(HttpToolError::ForeignOwner));

    let by_subject = Bench::new(&owner("/org", "subject"));
    assert!(by_subject.call(json!({"id": "tester"})).await.is_ok());
    assert_eq!(by_subject.call(json!({"id": "acme"})).await, Err(HttpToolError::ForeignOwner));

    let by_secret = Bench::new(&owner("/org", "secret:crm_org"));
    assert_eq!(by_secret.tool.secrets(), ["crm_org"]);
    let error = by_secret.call(json!({"id": "o-1"})).await.expect_err("no secret");
    assert_eq!(error.kind(), HttpErrorKind::MissingSecret);
    let by_secret = by_secret.with_secret("crm_org", "o-1");
    assert!(by_secret.call(json!({"id": "o-1"})).await.is_ok());
    assert_eq!(by_secret.call(json!({"id": "o-2"})).await, Err(HttpToolError::ForeignOwner));
}
