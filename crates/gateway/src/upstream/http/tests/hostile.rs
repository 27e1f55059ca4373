//! Servers that mean no good.

use std::io::Write as _;

use super::{
    server::{begin_events, event},
    *,
};

const JSON: &str = "Content-Type: application/json\r\n";

#[tokio::test]
async fn answers_that_are_too_large_are_not_read() {
    let large = "x".repeat(70_000);
    let body = large.clone();
    let as_json = Server::saying(JSON, move |asked| asked.answer(&json!({ "text": body })));
    let body = large.clone();
    let as_line = Server::talking(move |_, stream| {
        begin_events(stream);
        // Without an end, but for that of the connection.
        while stream.write_all(body.as_bytes()).is_ok() {}
        false
    });
    let as_lines = Server::talking(move |_, stream| {
        begin_events(stream);
        while stream
            .write_all(b"data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n")
            .is_ok()
        {}
        false
    });
    let as_events = Server::talking(|_, stream| {
        begin_events(stream);
        while event(stream, r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info"}}"#)
        {
        }
        false
    });
    let as_comments = Server::talking(|_, stream| {
        begin_events(stream);
        while stream.write_all(b": still here, and for ever\n").is_ok() {}
        false
    });
    for server in [as_json, as_line, as_lines, as_events, as_comments] {
        let link = link(&server);
        begin(&link).await;
        assert!(matches!(link.request(call()).await, Err(UpstreamError::TooLarge)));
    }
}

#[tokio::test]
async fn a_stream_without_an_end_ends_with_the_time() {
    let server = Server::talking(|_, stream| {
        begin_events(stream);
        while stream.write_all(b": still here\n\n").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    });
    let link = link(&server);
    begin(&link).await;
    let started = Instant::now();
    let ends = started + Duration::from_millis(300);
    assert!(matches!(link.request(Request { ends, ..call() }).await, Err(UpstreamError::Unanswered(_))));
    assert!(started.elapsed() < Duration::from_secs(3));
}

/// Requests without an end are answered a few times; a slow server does not make them pile up.
#[tokio::test]
async fn a_server_that_asks_without_an_end_is_answered_a_few_times() {
    let server = Server::talking(|asked, stream| {
        begin_events(stream);
        for id in 0..500 {
            event(stream, &format!(r#"{{"jsonrpc":"2.0","id":"s{id}","method":"ping"}}"#));
        }
        event(stream, &asked.answer(&json!({})));
        false
    });
    let link = link(&server);
    begin(&link).await;
    link.request(call()).await.expect("an answer");
    until(&server, |asked| asked.body["id"] == "s0").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(server.asked().len() <= 2 + 16, "{}", server.asked().len());
}

#[tokio::test]
async fn answers_to_other_requests_are_dropped() {
    // In a stream, where the right one comes after them.
    let server = Server::talking(|asked, stream| {
        let own = asked.body["id"].as_u64().expect("a number");
        begin_events(stream);
        for id in [json!(own + 1), json!(own.to_string()), json!(0), Value::Null, json!([own])] {
            event(stream, &json!({ "jsonrpc": "2.0", "id": id, "result": { "of": "another" } }).to_string());
        }
        event(stream, &asked.answer(&json!({ "of": "mine" })));
        false
    });
    let begun = link(&server);
    begin(&begun).await;
    assert_eq!(begun.request(call()).await.expect("an answer").get(), r#"{"of":"mine"}"#);

    // By itself.
    let server = Server::saying(JSON, |_| json!({ "jsonrpc": "2.0", "id": 77, "result": {} }).to_string());
    let begun = link(&server);
    begin(&begun).await;
    assert!(matches!(begun.request(call()).await, Err(UpstreamError::Protocol(_))));
}

#[tokio::test]
async fn what_is_no_answer_is_none() {
    for text in [
        "",
        "null",
        "[]",
        "{}",
        "no JSON",
        "[\"2.0\",1,null,null,{}]",
        r#"{"jsonrpc":"1.0","id":2,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":2,"result":[]}"#,
        r#"{"jsonrpc":"2.0","id":2,"result":null}"#,
        r#"{"jsonrpc":"2.0","id":2}"#,
        r#"{"jsonrpc":"2.0","id":2,"result":{},"error":{"code":1,"message":"both"}}"#,
        r#"{"jsonrpc":"2.0","id":2,"result":{"a":1},"result":{"a":2}}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":2,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":2,"error":"text"}"#,
    ] {
        for in_events in [false, true] {
            let headers = if in_events { "Content-Type: text/event-stream\r\n" } else { JSON };
            let server = Server::saying(headers, move |_| {
                if in_events { format!("data: {text}\n\n") } else { text.to_owned() }
            });
            let link = link(&server);
            begin(&link).await;
            let error = link.request(call()).await.expect_err(text);
            assert!(
                matches!(error, UpstreamError::Protocol(_) | UpstreamError::Unanswered(_)),
                "{text}: {error}"
            );
        }
    }
}

#[tokio::test]
async fn other_kinds_of_answers_and_compressed_ones_are_none() {
    for headers in
        ["", "Content-Type: text/html\r\n", "Content-Type: application/json\r\nContent-Encoding: gzip\r\n"]
    {
        let server = Server::saying(headers, |asked| asked.answer(&json!({})));
        let link = link(&server);
        begin(&link).await;
        assert!(matches!(link.request(call()).await, Err(UpstreamError::Protocol(_))), "{headers}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_told() {
    let server = Server::talking(|_, stream| {
        begin_events(stream);
        event(stream, r#"{"jsonrpc":"2.0","method":"notifications/message"}"#);
        false
    });
    let link = link(&server);
    begin(&link).await;
    assert!(matches!(link.request(call()).await, Err(UpstreamError::Unanswered(_))));
    assert!(!link.ended(), "the session may go on");
}

/// The credential goes to the host that the configuration names, and to no other.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Server::start(|_, stream| reply(stream, "200 OK", "", ""));
    let location = other.url();
    let server = Server::talking(move |_, stream| {
        reply(stream, "307 Temporary Redirect", &format!("Location: {location}\r\n"), "")
    });
    let link = link(&server);
    begin(&link).await;
    let error = link.request(call()).await.expect_err("a redirect");
    assert!(error.to_string().contains("redirect"), "{error}");
    assert!(other.asked().is_empty());
}

/// A server cannot move a link to a session of its choice once it has begun one.
#[tokio::test]
async fn the_session_is_the_one_that_it_began_with() {
    let headers = "Content-Type: application/json\r\nMcp-Session-Id: of-another\r\n";
    let server = Server::saying(headers, |asked| asked.answer(&json!({})));
    let link = link(&server);
    begin(&link).await;
    link.request(call()).await.expect("an answer");
    link.request(call()).await.expect("an answer");
    let asked = server.asked();
    assert_eq!(asked[2].header("mcp-session-id"), Some("session-1"));
}

#[tokio::test]
async fn names_of_sessions_that_are_none_are_refused() {
    let long = "x".repeat(2000);
    for headers in [
        "Mcp-Session-Id: a b\r\n".to_owned(),
        "Mcp-Session-Id: \r\n".to_owned(),
        "Mcp-Session-Id: a\r\nMcp-Session-Id: b\r\n".to_owned(),
        "Mcp-Session-Id: \u{e4}\r\n".to_owned(),
        format!("Mcp-Session-Id: {long}\r\n"),
    ] {
        let sent = format!("{JSON}{headers}");
        let server =
            Server::start(move |asked, stream| reply(stream, "200 OK", &sent, &asked.answer(&json!({}))));
        let error = link(&server).request(asking("initialize", json!({}))).await.expect_err("no session");
        assert!(matches!(error, UpstreamError::Protocol(_)), "{headers}");
    }
}

#[tokio::test]
async fn addresses_that_are_not_public_are_refused() {
    let server = Server::saying(JSON, |asked| asked.answer(&json!({})));
    let closed = Http::default();
    for url in [server.url(), "https://169.254.169.254/mcp".to_owned(), "https://[::1]/mcp".to_owned()] {
        let error = HttpUpstream::compile(&url, None, &closed).expect_err("a private address");
        assert!(error.to_string().starts_with("`url`"), "{error}");
    }
    // A name is judged when it is resolved, at each connection.
    let upstream = HttpUpstream::compile("https://localhost/mcp", None, &closed).expect("a name");
    let client = Arc::new(TenantClient::new(&HttpShared::new(&closed).expect("shared parts")));
    let link = upstream.link(client, &[]).expect("a link");
    let error = link.request(call()).await.expect_err("loopback");
    assert!(matches!(&error, UpstreamError::AddressRefused(host) if host == "localhost"), "{error}");
    assert!(server.asked().is_empty());
}

#[test]
fn what_the_configuration_must_not_say_is_told() {
    let refused = |url: &str, auth: Option<&Auth>| {
        HttpUpstream::compile(url, auth, &http()).expect_err(url).to_string()
    };
    assert!(refused("ftp://example.com/", None).contains("`url`"));
    assert!(refused("http://example.com/mcp", None).contains("https"));
    assert!(refused("https://user@example.com/mcp", None).contains("user name"));
    assert!(refused("https://example.com/{tenant}", None).contains("nothing is filled into it"));
    assert!(refused("https://example.com/mcp?key=x", None).contains("must end with the path"));
    let header =
        |name: &str| Auth { headers: [(name.to_owned(), "secret:key".to_owned())].into(), ..Auth::default() };
    for name in ["Mcp-Session-Id", "Accept", "Content-Type"] {
        assert!(
            refused("https://example.com/mcp", Some(&header(name))).contains("header of the protocol"),
            "{name}"
        );
    }
    let upstream =
        HttpUpstream::compile("https://example.com/mcp", Some(&header("X-Api-Key")), &http()).expect("good");
    assert_eq!(upstream.secrets().collect::<Vec<_>>(), ["key"]);
}

#[test]
fn a_tenant_without_the_secret_has_no_link() {
    let upstream = HttpUpstream::compile("https://example.com/mcp", Some(&bearer()), &http()).expect("good");
    let client = || Arc::new(TenantClient::new(&HttpShared::new(&http()).expect("shared parts")));
    let error = upstream.link(client(), &[]).map(drop).expect_err("no secret");
    assert!(matches!(error, UpstreamError::MissingSecret(name) if name == "key"));
    let broken = SecretString::from("a\r\nX-Other: b");
    let error = upstream.link(client(), &[("key", &broken)]).map(drop).expect_err("no header");
    assert!(!error.to_string().contains("X-Other"));
}
