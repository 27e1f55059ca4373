//! Where a request can go.

use serde_json::json;

use super::{upstream::Upstream, *};

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Upstream::json(|_| "{}".to_owned());
    let location = other.url();
    for status in ["301 A", "302 B", "303 C", "307 D", "308 E"] {
        let location = location.clone();
        let upstream = Upstream::start(move |_, stream| {
            upstream::write_reply(stream, status, &format!("Location: {location}/steal\r\n"), "")
        });
        let bench =
            Bench::new(&by_id(&upstream, "auth = { bearer = \"secret:key\" }")).with_secret("key", "s3cr3t");
        assert_eq!(bench.call(json!({"id": "1"})).await, Err(HttpToolError::UpstreamRedirect));
        assert_eq!(upstream.requests().len(), 1);
    }
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn cookies_are_not_kept() {
    let upstream = Upstream::fixed("200 OK", "Content-Type: application/json\r\nSet-Cookie: sid=1\r\n", "{}");
    let bench = Bench::new(&by_id(&upstream, ""));
    for _ in 0..2 {
        bench.call(json!({"id": "1"})).await.expect("a call");
    }
    let requests = upstream.requests();
    assert!(requests.iter().all(|request| request.header("cookie").is_none()));
    assert_eq!(upstream.connections(), 1, "the tenant's connection is used again");
}

#[test]
fn private_literals_are_refused_at_load_time() {
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "10.0.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "１２７.0.0.1",
    ] {
        for scheme in ["https", "http"] {
            let text = format!("[[tool]]\nname = \"t\"\nhttp = {{ url = \"{scheme}://{host}/\" }}");
            let error = compile(&text).map(drop).expect_err(host).to_string();
            assert!(error.contains("`http.allow_private`"), "{host}: {error}");
        }
    }
    for (listed, url) in [
        ("127.0.0.1", "http://2130706433/"),
        ("127.0.0.1:81", "http://127.0.0.1:81/"),
        ("[::1]:81", "http://[0::1]:81/"),
        ("crm.internal", "http://crm.internal/"),
        ("crm.internal:80", "http://crm.internal/"),
    ] {
        let text = |url: &str| {
            format!(
                "[http]\nallow_private = [\"{listed}\"]\n[[tool]]\nname = \"t\"\nhttp = {{ url = \"{url}\" }}"
            )
        };
        assert!(compile(&text(url)).is_ok(), "{listed} {url}");
        assert!(compile(&text("http://127.0.0.2/")).is_err());
    }
    let other_port = "[http]\nallow_private = [\"crm.internal:81\"]\n[[tool]]\nname = \"t\"\nhttp = { url = \"https://crm.internal/\" }";
    let error = compile(other_port).map(drop).expect_err("another port").to_string();
    assert!(error.contains("add `crm.internal:443`"), "{error}");
}

#[tokio::test]
async fn a_name_that_resolves_to_a_private_address_is_refused() {
    let upstream = Upstream::json(|_| "{}".to_owned());
    let tool =
        format!("[[tool]]\nname = \"t\"\nhttp = {{ url = \"https://localhost:{}/\" }}", upstream.port());
    let (tool, shared) = compile(&tool).expect("names are judged when they are resolved");
    let refused = Bench {
        tool,
        client: TenantClient::new(&shared),
        ..Bench::new("http = { url = \"https://example.com/\" }")
    };
    let error = refused.call(json!({})).await.expect_err("a private address");
    assert_eq!(error, HttpToolError::AddressRefused { host: "localhost".to_owned() });
    assert_eq!(error.kind(), HttpErrorKind::Upstream);
    assert_eq!(upstream.connections(), 0);

    let listed = format!("http = {{ url = \"http://localhost:{}/\" }}", upstream.port());
    assert_eq!(Bench::new(&listed).call(json!({})).await, Ok("{}".to_owned()));
}

#[tokio::test]
async fn a_client_checks_addresses_itself() {
    let upstream = Upstream::json(|_| "{}".to_owned());
    let (tool, _) = compile(&config(&by_id(&upstream, ""))).expect("a good tool");
    let strict = HttpShared::new(&Http::default()).expect("shared parts");
    let bench = Bench {
        tool,
        client: TenantClient::new(&strict),
        ..Bench::new("http = { url = \"https://example.com/\" }")
    };
    let error = bench.call(json!({"id": "1"})).await.expect_err("a private address");
    assert_eq!(error, HttpToolError::AddressRefused { host: "127.0.0.1".to_owned() });
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_an_upstream_failure() {
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let bench = Bench::new(&format!("http = {{ url = \"http://127.0.0.1:{port}/\" }}"));
    let error = bench.call(json!({})).await.expect_err("nobody is there");
    assert_eq!(error, HttpToolError::UpstreamFailed { stage: "no connection" });
}
