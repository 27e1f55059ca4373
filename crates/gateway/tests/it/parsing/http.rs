//! HTTP itself: what is negotiated, where the endpoint is, who may call, and where a message ends (XP-05 to XP-08).

use serde_json::json;

use crate::support::{Ask, Conn, House, in_time};

fn whoami() -> Ask {
    Ask::call("whoami", &json!({}))
}

#[tokio::test]
async fn xp_06_content_is_negotiated_strictly() {
    let house = House::open().await;
    let mut acme = house.caller("acme");
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/json",
        "application/xml",
        "",
        "application/json-seq",
        "text/plain, application/json",
        "application/jsonx",
        "json",
    ] {
        let answer = acme.ask(whoami().set("Content-Type", kind)).await;
        assert_eq!((answer.status, answer.code()), (415, -32600), "{kind}: {answer:?}");
    }
    assert_eq!(acme.ask(whoami().without("Content-Type")).await.status, 415);
    for (first, second) in [("application/json", "text/plain"), ("text/plain", "application/json")] {
        let answer = acme.ask(whoami().set("Content-Type", first).header("Content-Type", second)).await;
        assert_eq!(answer.status, 415, "two types are none: {answer:?}");
    }
    for kind in ["application/json; charset=utf-16", "application/json; charset=\"ISO-8859-1\""] {
        assert_eq!(acme.ask(whoami().set("Content-Type", kind)).await.status, 415, "{kind}");
    }
    for coding in ["gzip", "br", "identity, gzip", ""] {
        let answer = acme.ask(whoami().header("Content-Encoding", coding)).await;
        assert_eq!((answer.status, answer.code()), (415, -32600), "{coding}: {answer:?}");
    }
    assert!(acme.ask(whoami().header("Content-Encoding", "identity")).await.is_ok());
    for accept in ["text/html", "text/event-stream", "image/*", ""] {
        let answer = acme.ask(whoami().set("Accept", accept)).await;
        assert_eq!((answer.status, answer.code()), (406, -32600), "{accept}: {answer:?}");
    }
    for kind in ["application/json", "Application/JSON; charset=utf-8", "application/json;charset=\"utf-8\""]
    {
        assert!(acme.ask(whoami().set("Content-Type", kind)).await.is_ok(), "{kind}");
    }
    for accept in [
        "application/json",
        "*/*",
        "application/*;q=0.1",
        "text/event-stream, application/json",
        "TEXT/HTML, */*",
    ] {
        let answer = acme.ask(whoami().set("Accept", accept)).await;
        assert_eq!(answer.header("content-type"), Some("application/json"), "{accept}: {answer:?}");
    }
    // Without a word about streams there is none, even where progress is asked for.
    let params = json!({ "name": "whoami", "arguments": {}, "_meta": { "progressToken": 1 } });
    let plain = acme.ask(Ask::legacy("tools/call", &params).set("Accept", "application/json")).await;
    assert_eq!(plain.content()["tenant"], "acme");
}

#[tokio::test]
async fn xp_07_there_is_one_endpoint_and_one_method() {
    let house = House::open().await;
    let mut acme = house.caller("acme");
    for target in [
        "/mcp/",
        "//mcp",
        "/./mcp",
        "/x/../mcp",
        "/mcp;x=1",
        "/mcp;jsessionid=1",
        "/%6dcp",
        "/mcp%00",
        "/mcp%2f",
        "/MCP",
        "/mcp.json",
        "/mcp/mcp",
        "/v1/mcp",
        "/sse",
        "/messages",
        "/message?sessionId=1",
        "/mcp%20",
        "/mcp%3Fx",
        "/.well-known/../mcp",
        "/api/tools/call",
        "/tools/call",
    ] {
        for method in ["POST", "GET"] {
            let mut ask = whoami().to(target);
            method.clone_into(&mut ask.method);
            let answer = acme.ask(ask).await;
            assert_eq!((answer.status, answer.body.len()), (404, 0), "{method} {target}: {answer:?}");
        }
    }
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "post", "POSTS", "TRACE", "QUERY"] {
        let mut ask = whoami();
        method.clone_into(&mut ask.method);
        let answer = acme.ask(ask).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{method}: {answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    for header in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
        let answer = acme.ask(Ask::new("GET", "/mcp").header(header, "POST")).await;
        assert_eq!(answer.status, 405, "{header}");
        assert!(acme.ask(whoami().header(header, "DELETE")).await.is_ok(), "{header}");
    }
    for target in ["/mcp", "/mcp?x=1", "/mcp?", "/mcp#x"] {
        let answer = acme.ask(whoami().to(target)).await;
        assert!(answer.is_ok() || (target.contains('#') && answer.status == 400), "{target}: {answer:?}");
    }
}

#[tokio::test]
async fn xp_08_foreign_pages_and_names_are_turned_away() {
    let house = House::open().await;
    let (mut acme, mut nobody) = (house.caller("acme"), house.stranger());
    for origin in [
        "null",
        "http://evil.example",
        "https://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "*",
        "",
        "file://",
        "chrome-extension://abc",
        "http://localhost@evil.example",
        "http://evil.example:80",
        "localhost",
        "http://localhost/",
        "http://localhost, http://evil.example",
        "http://192.168.0.1",
    ] {
        for caller in [&mut acme, &mut nobody] {
            for ask in [
                whoami(),
                Ask::new("OPTIONS", "/mcp"),
                Ask::new("GET", "/.well-known/oauth-protected-resource"),
            ] {
                let answer = caller.ask(ask.header("Origin", origin)).await;
                assert_eq!((answer.status, answer.code()), (403, 403), "{origin}: {answer:?}");
                assert!(!answer.head.to_lowercase().contains("access-control"), "{answer:?}");
            }
        }
    }
    let twice = whoami().header("Origin", "http://localhost").header("Origin", "http://evil.example");
    assert_eq!(acme.ask(twice).await.status, 403);
    for origin in ["http://localhost:3000", "http://127.0.0.1:8787", "http://[::1]:1"] {
        assert!(acme.ask(whoami().header("Origin", origin)).await.is_ok(), "{origin}");
    }
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.2",
        "0.0.0.0",
        "169.254.169.254",
        "a@localhost",
        "",
    ] {
        for caller in [&mut acme, &mut nobody] {
            let answer = caller.ask(whoami().set("Host", host)).await;
            assert_eq!(answer.status, 403, "{host}: {answer:?}");
        }
    }
    for host in ["localhost", "127.0.0.1", "[::1]:80", &house.address.to_string()] {
        assert!(acme.ask(whoami().set("Host", host)).await.is_ok(), "{host}");
    }
}

/// Sends bytes that end one request for some readers and hide another; whatever is answered, the hidden one is not.
async fn smuggle(house: &House, what: &str, bytes: &[u8]) -> Vec<u16> {
    let mut conn = Conn::open(house.address).await;
    conn.send(bytes).await;
    conn.half_close().await;
    let mut statuses = Vec::new();
    while let Some(answer) = in_time(what, conn.answer()).await {
        assert!(!answer.text().contains("globex"), "{what}: {answer:?}");
        statuses.push(answer.status);
    }
    statuses
}

/// What it is, the headers that say how long the body is, and the body. `LENGTH` stands for the right length, `BODY`
/// for the message, `CHUNKED` for the message in one chunk; a second request follows in each case.
const ENDINGS: [(&str, &str, &str); 17] = [
    ("TE.CL", "Content-Length: 4\r\nTransfer-Encoding: chunked, identity", "CHUNKED"),
    ("TE twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "CHUNKED"),
    ("TE x", "Transfer-Encoding: xchunked", "CHUNKED"),
    ("TE not last", "Transfer-Encoding: chunked, gzip", "CHUNKED"),
    ("CL twice", "Content-Length: LENGTH\r\nContent-Length: 5", "BODY"),
    ("CL list", "Content-Length: LENGTH, 5", "BODY"),
    ("CL plus", "Content-Length: +LENGTH", "BODY"),
    ("CL minus", "Content-Length: -1", "BODY"),
    ("CL hex", "Content-Length: 0xLENGTH", "BODY"),
    ("CL huge", "Content-Length: 184467440737095516160", "BODY"),
    ("obs-fold", "X-Fold: a\r\n b\r\nContent-Length: LENGTH", "BODY"),
    ("space before the colon", "Content-Length : LENGTH", "BODY"),
    ("bare CR", "X-Bare: a\rContent-Length: 0\r\nContent-Length: LENGTH", "BODY"),
    ("NUL", "X-Nul: a\0b\r\nContent-Length: LENGTH", "BODY"),
    ("bad chunk length", "Transfer-Encoding: chunked", "-1\r\nBODY\r\n0\r\n\r\n"),
    ("huge chunk length", "Transfer-Encoding: chunked", "ffffffffffffffffff\r\nBODY"),
    ("chunk without an end", "Transfer-Encoding: chunked", "1\r\n{X"),
];

#[tokio::test]
async fn xp_05_a_request_ends_in_one_place() {
    let house = House::open().await;
    let (acme, globex) = (house.caller("acme"), house.caller("globex"));
    let hidden = String::from_utf8(whoami().bearer(&globex.token).bytes()).unwrap();
    let body = whoami().text();
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let request = |headers: &str, text: &str| {
        let headers = headers.replace("LENGTH", &body.len().to_string());
        let text = text.replace("CHUNKED", &chunked).replace("BODY", &body);
        format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Authorization: Bearer {}\r\n{headers}\r\n\r\n{text}",
            acme.token
        )
    };
    for (what, headers, text) in ENDINGS {
        let text = format!("{}{hidden}", request(headers, text));
        let statuses = smuggle(&house, what, text.as_bytes()).await;
        let refused = statuses.iter().all(|status| *status >= 400) && statuses.len() <= 1;
        assert!(refused, "{what}: {statuses:?}");
    }
    let version = request("Content-Length: LENGTH", "BODY").replace("HTTP/1.1", "HTTP/1.9");
    let statuses = smuggle(&house, "version", version.as_bytes()).await;
    assert!(statuses.iter().all(|status| *status >= 400), "{statuses:?}");
    // CL.TE: the chunks count (RFC 9112 section 6.3), the connection ends with the answer, nothing behind is read.
    let both = request("Content-Length: LENGTH\r\nTransfer-Encoding: chunked", "CHUNKED");
    let statuses = smuggle(&house, "CL.TE", format!("{both}{hidden}").as_bytes()).await;
    assert!(statuses.len() <= 1, "CL.TE: {statuses:?}");
    // The well-formed twins, and what follows them is the next request.
    let twins = [("Content-Length: LENGTH", "BODY"), ("Transfer-Encoding: chunked", "CHUNKED")];
    for (headers, text) in twins {
        let mut conn = Conn::open(house.address).await;
        let bytes = format!("{}{hidden}", request(headers, text));
        conn.send(bytes.as_bytes()).await;
        for tenant in ["acme", "globex"] {
            assert_eq!(conn.answer().await.unwrap().content()["tenant"], tenant);
        }
    }
}

/// What a browser sends before a page may send `whoami`.
fn preflight(origin: &str, headers: &str) -> Ask {
    Ask::new("OPTIONS", "/mcp")
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", headers)
}

/// A page of an origin that is let in may ask, call and read, and learns without a token what any stranger does; one of
/// another origin is told nothing (`xp_08`). With `page::show` or `page::asked` left out this fails.
#[tokio::test]
async fn a_page_of_an_origin_that_is_let_in_may_call_and_read() {
    const APP: &str = "https://app.example.com";
    let server = "allowed_origins = [\"https://app.example.com\"]\n";
    let house = House::with(crate::support::Plan { server, ..Default::default() }).await;
    let (mut acme, mut nobody) = (house.caller("acme"), house.stranger());
    for origin in [APP, "http://localhost:6274"] {
        let asked = "authorization,content-type,mcp-protocol-version, X-Tenant-Id, mcp-param-region, cookie";
        let answer = nobody.ask(preflight(origin, asked)).await;
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin), "{answer:?}");
        assert_eq!(answer.header("access-control-allow-methods"), Some("POST"), "{answer:?}");
        let allowed = "authorization, content-type, mcp-protocol-version, mcp-param-region";
        assert_eq!(answer.header("access-control-allow-headers"), Some(allowed), "{answer:?}");
        assert_eq!(answer.header("access-control-allow-credentials"), None, "{answer:?}");
        assert_eq!(answer.header("vary"), Some("origin"), "{answer:?}");

        let answer = acme.ask(whoami().header("Origin", origin)).await;
        assert_eq!(answer.content()["tenant"], "acme");
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin), "{answer:?}");
        let answer = nobody.ask(whoami().header("Origin", origin)).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (401, Some(origin)));
        let shown = answer.header("access-control-expose-headers").unwrap_or_default();
        assert!(shown.contains("www-authenticate") && shown.contains("retry-after"), "{answer:?}");
        let metadata = Ask::new("GET", "/.well-known/oauth-protected-resource").header("Origin", origin);
        let answer = nobody.ask(metadata).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some(origin)));
    }
    for origin in ["https://other.example.com", "null", "https://app.example.com.evil.example"] {
        let answer = nobody.ask(preflight(origin, "authorization")).await;
        assert_eq!(answer.status, 403, "{origin}: {answer:?}");
        assert!(!answer.head.to_lowercase().contains("access-control"), "{answer:?}");
    }
    // Nothing changes for who is no page.
    let answer = acme.ask(whoami()).await;
    assert!(answer.is_ok() && !answer.head.to_lowercase().contains("access-control"), "{answer:?}");
    let plain = Ask::new("OPTIONS", "/mcp").header("Origin", APP);
    assert_eq!(nobody.ask(plain).await.status, 401, "not the question of a browser");
}

/// Many clients send the body after the head. A request that is refused by its head does not cost such a client the
/// connection, and one whose body is too long for that is told so.
#[tokio::test]
async fn a_refused_request_leaves_the_connection_open_when_its_body_comes_later() {
    let house = House::open().await;
    let mut conn = Conn::open(house.address).await;
    let bad = whoami().bearer("bad").bytes();
    let end = bad.windows(4).position(|part| part == b"\r\n\r\n").unwrap() + 4;
    for round in 0..100 {
        conn.send(&bad[..end]).await;
        tokio::task::yield_now().await;
        conn.send(&bad[end..]).await;
        let answer =
            conn.answer().await.unwrap_or_else(|| panic!("round {round}: the connection was closed"));
        assert_eq!((answer.status, answer.header("connection")), (401, None), "{round}: {answer:?}");
    }
    let ask = whoami().bearer(&house.caller("acme").token);
    assert_eq!(conn.ask(&ask).await.content()["tenant"], "acme");
    let long = whoami().bearer("bad").header("Content-Length", "1000000").with_body("x").bytes();
    conn.send(&long).await;
    let answer = conn.answer().await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (401, Some("close")), "{answer:?}");
    assert!(conn.rest().await.is_empty());
}
