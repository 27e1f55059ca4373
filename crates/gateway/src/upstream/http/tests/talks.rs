//! What a link sends, and what it makes of answers.

use super::{
    server::{begin_events, event, is_closed},
    *,
};
use crate::turn::ProgressSink;

const JSON: &str = "Content-Type: application/json\r\n";
const EVENTS: &str = "Content-Type: text/event-stream; charset=utf-8\r\n";

#[tokio::test]
async fn an_answer_comes_as_json_or_as_one_of_several_events() {
    for (headers, in_events) in [(JSON, false), (EVENTS, true)] {
        let server = Server::saying(headers, move |asked| {
            let answer = asked.answer(&json!({ "content": [] }));
            let other = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": {} });
            if in_events {
                format!("id: 1\ndata:\n\n: hello\n\ndata: {other}\n\nid: 2\ndata: {answer}\n\n")
            } else {
                answer
            }
        });
        let link = link(&server);
        begin(&link).await;
        let result = link.request(call()).await.expect("an answer");
        assert_eq!(result.get(), r#"{"content":[]}"#);
        assert!(!link.tools_changed() && !link.ended());
    }
}

#[tokio::test]
async fn messages_carry_the_credential_the_session_and_the_revision() {
    let server = Server::saying(JSON, |asked| asked.answer(&json!({})));
    let link = link(&server);
    begin(&link).await;
    let soon = Instant::now() + Duration::from_secs(5);
    link.notify("notifications/initialized", json!({}), soon).await.expect("taken");
    link.request(call()).await.expect("an answer");
    let asked = server.asked();
    assert_eq!(asked.len(), 3);
    for (place, asked) in asked.iter().enumerate() {
        assert_eq!(asked.header("authorization"), Some("Bearer key of acme"));
        assert_eq!(asked.header("content-type"), Some("application/json"));
        assert_eq!(asked.header("accept"), Some("application/json, text/event-stream"));
        let (session, revision) =
            if place == 0 { (None, None) } else { (Some("session-1"), Some("2025-11-25")) };
        assert_eq!(asked.header("mcp-session-id"), session);
        assert_eq!(asked.header("mcp-protocol-version"), revision);
        assert_eq!(asked.header("mcp-method"), None);
    }
    assert_eq!(asked[0].body["id"], 1);
    assert_eq!(asked[1].body, json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    assert_eq!(
        asked[2].body,
        json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": { "name": "read", "arguments": {} } })
    );
}

#[tokio::test]
async fn in_the_stateless_revision_each_request_says_everything() {
    let server = Server::saying(JSON, |asked| asked.answer(&json!({})));
    let link = link(&server);
    link.agreed("2026-07-28");
    link.request(asking("tools/call", json!({ "name": "lies Datei ß" }))).await.expect("an answer");
    link.request(asking("tools/list", json!({}))).await.expect("an answer");
    let asked = server.asked();
    assert_eq!(asked[0].header("mcp-method"), Some("tools/call"));
    assert_eq!(asked[0].header("mcp-name"), Some("=?base64?bGllcyBEYXRlaSDDnw==?="));
    assert_eq!(asked[1].header("mcp-name"), None);
    for asked in &asked {
        assert_eq!(asked.header("mcp-protocol-version"), Some("2026-07-28"));
        let meta = &asked.body["params"]["_meta"];
        assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
        assert_eq!(meta["io.modelcontextprotocol/clientCapabilities"], json!({}));
        assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "partywall");
    }
}

#[tokio::test]
async fn progress_goes_to_whoever_asked_for_it() {
    let server = Server::talking(|asked, stream| {
        let token = asked.body["params"]["_meta"]["progressToken"].clone();
        let step = |token: &Value, done: i32| {
            json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progressToken": token, "progress": done, "total": 2, "message": "on it" } }).to_string()
        };
        let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" }).to_string();
        let _ = begin_events(stream)
            && event(stream, &step(&token, 1))
            && event(stream, &step(&json!(999), 5))
            && event(stream, &step(&json!("1"), 5))
            && event(stream, &changed)
            && event(stream, &step(&token, 2))
            && event(stream, &asked.answer(&json!({})));
        false
    });
    let link = link(&server);
    begin(&link).await;
    let (sink, mut steps) = ProgressSink::new();
    link.request(Request { progress: Some(&sink), ..call() }).await.expect("an answer");
    drop(sink);
    let mut done = Vec::new();
    while let Some(step) = steps.recv().await {
        assert_eq!((step.total, step.message.as_deref()), (Some(2.0), Some("on it")));
        done.push(step.done);
    }
    assert_eq!(done, [1.0, 2.0]);
    assert!(link.tools_changed());
    assert!(!link.tools_changed(), "told once");
}

#[tokio::test]
async fn a_server_that_asks_gets_an_answer_and_no_more() {
    let server = Server::talking(|asked, stream| {
        let _ = begin_events(stream)
            && event(stream, r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#)
            && event(stream, r#"{"jsonrpc":"2.0","id":1e999,"method":"sampling/createMessage","params":{}}"#)
            && event(stream, r#"{"jsonrpc":"2.0","id":{"a":1},"method":"ping"}"#)
            && event(stream, &asked.answer(&json!({})));
        false
    });
    let link = link(&server);
    begin(&link).await;
    link.request(call()).await.expect("an answer");
    let pong = until(&server, |asked| asked.body["id"] == "p").await;
    assert_eq!(pong.body["result"], json!({}));
    assert_eq!(pong.header("mcp-session-id"), Some("session-1"));
    // The number is none that fits into ours, so that this server cannot read the body.
    until(&server, |asked| asked.body.is_null()).await;
}

#[tokio::test]
async fn a_session_that_is_over_is_told_and_one_that_is_dropped_is_ended() {
    let server = Server::talking(|_, stream| reply(stream, "404 Not Found", "", ""));
    let gone = link(&server);
    begin(&gone).await;
    assert!(matches!(gone.request(call()).await, Err(UpstreamError::Forgotten)));
    assert!(gone.ended());
    let asked = server.asked().len();
    assert!(matches!(gone.request(call()).await, Err(UpstreamError::Ended)));
    drop(gone);

    let another = link(&server);
    begin(&another).await;
    assert!(!another.ended());
    drop(another);
    let deleted = until(&server, |asked| asked.verb == "DELETE").await;
    assert_eq!(deleted.header("mcp-session-id"), Some("session-1"));
    assert_eq!(deleted.header("authorization"), Some("Bearer key of acme"));
    assert_eq!(server.asked().len(), asked + 2, "nothing was sent on the one that was over");
}

#[tokio::test]
async fn a_bad_request_ends_the_session_unless_it_is_the_calls() {
    for (code, over) in [(-32000, true), (-32600, true), (-32602, false), (-32603, false)] {
        let server = Server::talking(move |asked, stream| {
            let error = json!({ "code": code, "message": "it is bad" });
            let error = json!({ "jsonrpc": "2.0", "id": asked.body["id"], "error": error });
            reply(stream, "400 Bad Request", JSON, &error.to_string())
        });
        let link = link(&server);
        begin(&link).await;
        let told = link.request(call()).await;
        assert!(matches!(told, Err(UpstreamError::Rpc { .. })), "{told:?}");
        assert_eq!(link.ended(), over, "{code}");
    }
}

#[tokio::test]
async fn statuses_say_what_is_the_matter() {
    for (status, expected) in [
        ("401 Unauthorized", "the upstream refused the tenant's credential"),
        ("403 Forbidden", "the upstream refused the tenant's credential"),
        ("404 Not Found", "is no MCP server that can be served: there is no MCP server at this URL"),
        ("429 Too Many Requests", "the upstream is busy"),
        ("503 Service Unavailable", "the upstream is busy"),
        (
            "500 Internal Server Error",
            "cannot be reached: it answered with status 500, after a call was handed over",
        ),
        ("202 Accepted", "is no MCP server that can be served: it took a request for a notification"),
    ] {
        let server = Server::start(move |_, stream| reply(stream, status, "", ""));
        let error = link(&server).request(call()).await.expect_err(status);
        assert_eq!(error.to_string(), expected);
    }
}

#[tokio::test]
async fn errors_are_passed_on_with_their_code() {
    for status in ["200 OK", "400 Bad Request"] {
        let server = Server::start(move |asked, stream| {
            let error = json!({ "jsonrpc": "2.0", "id": asked.body["id"], "error": { "code": -32602, "message": "é".repeat(5000) } });
            reply(stream, status, JSON, &error.to_string())
        });
        let Err(UpstreamError::Rpc { code, message }) = link(&server).request(call()).await else {
            panic!("no error")
        };
        assert_eq!((code, message.chars().count()), (-32602, 1000));
    }
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_closed_and_cancelled() {
    let (closed, is_told) = std::sync::mpsc::channel();
    let closed = Mutex::new(closed);
    let server = Server::talking(move |_, stream| {
        begin_events(stream);
        let _ = closed.lock().expect("a channel").send(is_closed(stream));
        false
    });
    let link = link(&server);
    begin(&link).await;
    let ends = Instant::now() + Duration::from_millis(200);
    let error = link.request(Request { ends, ..call() }).await.expect_err("late");
    assert!(matches!(error, UpstreamError::Unanswered(_)));
    let cancelled = until(&server, |asked| asked.method() == "notifications/cancelled").await;
    assert_eq!(cancelled.body["params"]["requestId"], 2);
    assert_eq!(cancelled.header("mcp-session-id"), Some("session-1"));
    assert!(is_told.recv_timeout(Duration::from_secs(6)).expect("told"));
}

#[tokio::test]
async fn a_request_whose_caller_goes_away_is_cancelled() {
    let server = Server::talking(|_, stream| {
        begin_events(stream);
        is_closed(stream);
        false
    });
    let link = link(&server);
    begin(&link).await;
    let gone = tokio::time::timeout(Duration::from_millis(200), link.request(call())).await;
    assert!(gone.is_err());
    let cancelled = until(&server, |asked| asked.method() == "notifications/cancelled").await;
    assert_eq!(cancelled.body["params"]["requestId"], 2);
}

/// One that was answered is not cancelled, nor is `initialize` ever, nor anything in the revision that closes the request.
#[tokio::test]
async fn nothing_else_is_cancelled() {
    let server = Server::start(|asked, stream| match asked.method() {
        "tools/list" => reply(stream, "200 OK", JSON, &asked.answer(&json!({}))),
        _ => {
            begin_events(stream);
            is_closed(stream);
            false
        }
    });
    let soon = || Instant::now() + Duration::from_millis(200);
    let link = link(&server);
    link.request(asking("tools/list", json!({}))).await.expect("an answer");
    link.request(Request { ends: soon(), ..asking("initialize", json!({})) }).await.expect_err("late");
    link.agreed("2026-07-28");
    link.request(Request { ends: soon(), ..call() }).await.expect_err("late");
    // Whatever was sent before this was answered has been read.
    link.request(asking("tools/list", json!({}))).await.expect("an answer");
    assert!(server.asked().iter().all(|asked| asked.method() != "notifications/cancelled"));
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn each_tenants_link_carries_its_own_credential_and_session() {
    let sessions = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::start(move |asked, stream| match asked.method() {
        "initialize" => {
            let session = sessions.fetch_add(1, Ordering::Relaxed);
            let headers = format!("{JSON}Mcp-Session-Id: of-{session}\r\n");
            reply(stream, "200 OK", &headers, &asked.answer(&json!({ "session": session })))
        }
        _ => {
            let seen = json!([asked.header("authorization"), asked.header("mcp-session-id")]);
            reply(stream, "200 OK", JSON, &asked.answer(&json!({ "seen": seen })))
        }
    });
    let links = ["acme", "globex"].map(|tenant| link_to(&server.url(), &format!("key of {tenant}")));
    let mut own = Vec::new();
    for link in &links {
        let begun = link.request(asking("initialize", json!({}))).await.expect("an answer");
        own.push(serde_json::from_str::<Value>(begun.get()).expect("JSON")["session"].clone());
    }
    let calls = (0..100).map(|turn| {
        let (link, place) = (&links[turn % 2], turn % 2);
        let expected =
            format!(r#"{{"seen":["Bearer key of {}","of-{}"]}}"#, ["acme", "globex"][place], own[place]);
        async move { assert_eq!(link.request(call()).await.expect("an answer").get(), expected) }
    });
    futures_util::future::join_all(calls).await;
}
