//! What arguments can and cannot do to a request.

use serde_json::json;

use super::{upstream::Upstream, *};

#[tokio::test]
async fn a_path_argument_stays_within_its_segment() {
    let upstream = Upstream::json(|_| "{}".to_owned());
    let bench = Bench::new(&by_id(&upstream, ""));
    bench.call(json!({"id": "plain"})).await.expect("a plain call");
    let plain = upstream.requests().pop().expect("a request");

    let long = "x".repeat(10_000);
    for (value, sent) in [
        ("a/b", "a%2Fb"),
        ("//evil.com/", "%2F%2Fevil.com%2F"),
        ("?x=1", "%3Fx%3D1"),
        ("#f", "%23f"),
        ("@evil.com", "%40evil.com"),
        ("\\", "%5C"),
        ("a b", "a%20b"),
        ("50%", "50%25"),
        ("%2F", "%252F"),
        ("ключ", "%D0%BA%D0%BB%D1%8E%D1%87"),
        ("{id}", "%7Bid%7D"),
        ("a..b", "a..b"),
        (":8080", "%3A8080"),
        (&long, &long),
    ] {
        bench.call(json!({"id": value})).await.expect(value);
        let request = upstream.requests().pop().expect("a request");
        assert_eq!(request.path, format!("/v1/items/{sent}"));
        assert_eq!(request.headers.len(), plain.headers.len());
        assert_eq!(request.header("host"), plain.header("host"));
    }

    let before = upstream.requests().len();
    for value in ["", ".", "..", "../x", "..\\x", "%2e%2e", "%252e", "\r\nX: y", "a\0", "..;/x"] {
        let error = bench.call(json!({"id": value})).await.expect_err(value);
        assert_eq!(error.kind(), HttpErrorKind::InvalidArgument, "{value:?}");
    }
    let too_long = "ж".repeat(10_000);
    for value in [json!(too_long), json!(7), json!(["a"]), json!({"a": 1}), json!(null), json!(true)] {
        let error = bench.call(json!({"id": value})).await.expect_err("a bad value");
        assert_eq!(error.kind(), HttpErrorKind::InvalidArgument);
    }
    assert_eq!(upstream.requests().len(), before, "none of these was sent");
}

#[tokio::test]
async fn a_literal_and_a_value_make_no_path_step_together() {
    let upstream = Upstream::json(|_| "{}".to_owned());
    let bench = Bench::new(&format!(
        "http = {{ url = \"{}/a/.{{id}}/{{n}}.json\" }}\nargs.id = {{ type = \"string\" }}\nargs.n = {{ type = \"integer\" }}",
        upstream.url()
    ));
    assert!(bench.call(json!({"id": ".", "n": 1})).await.is_err());
    bench.call(json!({"id": "x", "n": -1})).await.expect("a good call");
    let paths: Vec<String> = upstream.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/a/.x/-1.json"]);
}

#[tokio::test]
async fn query_values_are_encoded_and_absent_ones_left_out() {
    let upstream = Upstream::json(|_| "{}".to_owned());
    let bench = Bench::new(&format!(
        r#"http = {{ url = "{}/s", query = {{ q = "text:{{q}}", p = "{{a}}-{{b}}", fixed = "{{{{1}}}}" }} }}
           args.q = {{ type = "string", optional = true }}
           args.a = {{ type = "integer", default = 5 }}
           args.b = {{ type = "boolean", optional = true }}"#,
        upstream.url()
    ));
    for (args, path) in [
        (json!({}), "/s?fixed=%7B1%7D&p=5-"),
        (
            json!({"q": "a&admin=1#x=ю", "b": true}),
            "/s?fixed=%7B1%7D&p=5-true&q=text%3Aa%26admin%3D1%23x%3D%D1%8E",
        ),
        (json!({"q": "\r\nX: y", "a": null}), "/s?fixed=%7B1%7D&p=5-&q=text%3A%0D%0AX%3A+y"),
    ] {
        bench.call(args).await.expect("a call");
        assert_eq!(upstream.requests().pop().expect("a request").path, path);
    }
}

#[tokio::test]
async fn a_header_value_cannot_end_its_line() {
    let upstream = Upstream::json(|_| "{}".to_owned());
    let bench = Bench::new(&format!(
        r#"http = {{ url = "{}/", headers = {{ X-Note = "n={{note}}", X-Fixed = "1", Accept = "text/json" }} }}
           args.note = {{ type = "string", optional = true }}"#,
        upstream.url()
    ));
    for bad in ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0", "a\tb", "ю", "\u{7f}", " ", "a "] {
        let error = bench.call(json!({"note": bad})).await.expect_err(bad);
        assert_eq!(error.kind(), HttpErrorKind::InvalidArgument, "{bad:?}");
    }
    assert_eq!(upstream.connections(), 0);

    bench.call(json!({"note": "a: b;c"})).await.expect("a good value");
    bench.call(json!({})).await.expect("no value");
    let requests = upstream.requests();
    assert_eq!(requests[0].header("x-note"), Some("n=a: b;c"));
    assert_eq!(requests[1].header("x-note"), None);
    assert_eq!(requests[1].header("x-fixed"), Some("1"));
    assert_eq!(requests[1].header("accept"), Some("text/json"));
}

#[tokio::test]
async fn a_body_keeps_its_structure() {
    let upstream = Upstream::json(|_| "{}".to_owned());
    let bench = Bench::new(&format!(
        r#"args.text = {{ type = "string" }}
           args.n = {{ type = "number" }}
           args.gone = {{ type = "string", optional = true }}
           [tool.http]
           method = "POST"
           url = "{}/b"
           body = {{ t = "{{text}}", s = "<{{text}}>", n = "{{n}}", list = ["{{gone}}", "{{n}}"], gone = "{{gone}}", k = true }}"#,
        upstream.url()
    ));
    let text = "\",\"role\":\"admin\n{n}";
    bench.call(json!({"text": text, "n": 1.5, "ignored": 1})).await.expect("a call");
    let request = upstream.requests().pop().expect("a request");
    assert_eq!(request.method, "POST");
    assert_eq!(request.header("content-type"), Some("application/json"));
    let body: Value = serde_json::from_str(&request.body).expect("JSON");
    assert_eq!(body, json!({"t": text, "s": format!("<{text}>"), "n": 1.5, "list": [1.5], "k": true}));
}

#[test]
fn templates_are_checked_at_load_time() {
    let args = "args.id = { type = \"string\" }";
    for (url, fragment) in [
        ("ftp://example.com/{id}", "must start with `https://`"),
        ("HTTPS://example.com/{id}", "must start with `https://`"),
        ("https://{id}.example.com/", "fixed"),
        ("https://example.com:{id}/", "fixed"),
        ("https://{id}@example.com/", "fixed"),
        ("https://user:pass@example.com/{id}", "fixed"),
        ("https:///{id}", "must name a host"),
        ("https://", "must name a host"),
        ("https://example.com/{id}?x=1", "http.query"),
        ("https://example.com/{id}#f", "http.query"),
        ("https://example.com\\\\{id}", "backslashes"),
        ("https://example.com/a b/{id}", "spaces"),
        ("https://example.com/../{id}", "normal form"),
        ("https://example.com/%2e/{id}", "normal form"),
        ("https://example.com/é/{id}", "normal form"),
        ("https://example.com/{{x}}/{id}", "normal form"),
        ("https://example.com/{other}", "declare `args.other`"),
        ("https://example.com/{i/d}", "not closed"),
        ("https://example.com/{id", "not closed"),
        ("https://example.com/id}", "closes nothing"),
        ("https://example.com/x", "`args.id`: is not used"),
        ("https://exa mple.com/{id}", "spaces"),
        ("https://example.com:99999/{id}", "is no URL"),
        ("http://example.com/{id}", "must start with `https://`"),
    ] {
        let error = compile_error(&format!("http = {{ url = \"{url}\" }}\n{args}"));
        assert!(error.contains(fragment), "{url}: {error}");
    }
    for url in
        ["https://example.com/{id}", "https://example.com:8443/a/%7B/{id}.json/", "https://8.8.8.8/{id}"]
    {
        let good = compile(&config(&format!("http = {{ url = \"{url}\" }}\n{args}")));
        assert!(good.is_ok(), "{url}");
    }
}

#[test]
fn headers_and_bodies_are_checked_at_load_time() {
    for (http, fragment) in [
        ("headers = { Authorization = \"Bearer x\" }", "auth = {"),
        ("headers = { authorization = \"Bearer x\" }", "auth = {"),
        ("headers = { Host = \"x\" }", "remove the header"),
        ("headers = { Content-Length = \"1\" }", "remove the header"),
        ("headers = { Transfer-Encoding = \"chunked\" }", "remove the header"),
        ("headers = { Connection = \"close\" }", "remove the header"),
        ("headers = { Cookie = \"a=b\" }", "remove the header"),
        ("headers = { Proxy-Authorization = \"x\" }", "remove the header"),
        ("headers = { \"a b\" = \"x\" }", "no header name"),
        ("headers = { X-A = \"a\\r\\nb\" }", "visible ASCII"),
        ("headers = { X-A = \"1\", x-a = \"2\" }", "twice"),
        ("headers = { X-A = \"{nope}\" }", "declare `args.nope`"),
        ("query = { a = \"{nope}\" }", "`http.query.a`"),
        ("body = { a = 1 }", "GET request has no body"),
        ("method = \"POST\", body = { a = [\"{nope}\"] }", "`http.body.a[0]`"),
    ] {
        let error = compile_error(&format!("http = {{ url = \"https://example.com/\", {http} }}"));
        assert!(error.contains(fragment), "{http}: {error}");
    }
    let error = compile_error(
        "http = { url = \"https://example.com/{a}\" }\nargs.a = { type = \"string\", optional = true }",
    );
    assert!(error.contains("must be required or have a default"), "{error}");
}
