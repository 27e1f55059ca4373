//! Upstreams that answer too much, too slowly, or something else.

use std::{
    io::Write,
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Instant,
};

use serde_json::json;

use super::{
    upstream::{Request, Upstream},
    *,
};

const JSON_HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";

async fn outcome(upstream: &Upstream, time: Duration, reply_bytes: usize) -> Result<String, HttpToolError> {
    let mut bench =
        Bench::new(&by_id(upstream, "auth = { bearer = \"secret:key\" }")).with_secret("key", "s3cr3t");
    bench.limits = CallLimits { time, reply_bytes };
    bench.call(json!({"id": "q1"})).await
}

async fn answer(upstream: &Upstream) -> Result<String, HttpToolError> {
    outcome(upstream, Duration::from_secs(5), 1 << 10).await
}

/// Writes small pieces of a list for ever, or until the other side hangs up.
fn drip(stream: &mut TcpStream, head: &str, piece: &str, pause: Duration) -> bool {
    let mut sent = stream.write_all(head.as_bytes());
    while sent.is_ok() {
        thread::sleep(pause);
        sent = stream.write_all(piece.as_bytes());
    }
    false
}

#[tokio::test]
async fn a_reply_is_counted_whatever_it_announces() {
    let exact = format!("\"{}\"", "x".repeat((1 << 10) - 2));
    let over = format!("\"{}\"", "x".repeat((1 << 10) - 1));
    let too_large = Err(HttpToolError::TooLarge { limit: 1 << 10 });
    for (body, expected) in [(exact.clone(), Ok(exact)), (over, too_large.clone())] {
        let announced = Upstream::json({
            let body = body.clone();
            move |_| body.clone()
        });
        assert_eq!(answer(&announced).await, expected);
        let chunked = Upstream::start(move |_: &Request, stream| {
            let text = format!(
                "{JSON_HEAD}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                body.len()
            );
            stream.write_all(text.as_bytes()).is_ok()
        });
        assert_eq!(answer(&chunked).await, expected);
    }
    let endless = Upstream::start(|_, stream| {
        let head = format!("{JSON_HEAD}Transfer-Encoding: chunked\r\n\r\n");
        drip(
            stream,
            &head,
            "40\r\n[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\r\n",
            Duration::ZERO,
        )
    });
    assert_eq!(answer(&endless).await, too_large);
}

#[tokio::test]
async fn the_configured_limit_holds_besides_the_callers() {
    let upstream = Upstream::json(|_| format!("\"{}\"", "x".repeat(100)));
    let text = config(&by_id(&upstream, "")).replacen("[http]", "[http]\nmax_reply_bytes = 64", 1);
    let (tool, shared) = compile(&text).expect("a good tool");
    let bench = Bench { tool, client: TenantClient::new(&shared), ..Bench::new(&by_id(&upstream, "")) };
    assert_eq!(bench.call(json!({"id": "1"})).await, Err(HttpToolError::TooLarge { limit: 64 }));
}

#[tokio::test]
async fn a_lying_length_breaks_the_reply() {
    let short = Upstream::start(|_, stream| {
        let text = format!("{JSON_HEAD}Content-Length: 500\r\n\r\n{{}}");
        stream.write_all(text.as_bytes()).is_ok_and(|()| false)
    });
    let error = answer(&short).await.expect_err("it broke off");
    assert_eq!(error.kind(), HttpErrorKind::Upstream);

    let long = Upstream::start(|_, stream| {
        let text = format!("{JSON_HEAD}Content-Length: 2\r\n\r\n{{}}{{\"smuggled\":1}}");
        stream.write_all(text.as_bytes()).is_ok()
    });
    assert_eq!(answer(&long).await, Ok("{}".to_owned()));

    let huge = Upstream::start(|_, stream| {
        let text = format!("{JSON_HEAD}Content-Length: 18446744073709551615\r\n\r\n{{}}");
        stream.write_all(text.as_bytes()).is_ok()
    });
    assert!(answer(&huge).await.is_err());
}

#[tokio::test]
async fn the_time_limit_covers_the_whole_exchange() {
    let time = Duration::from_millis(300);
    let silent = Upstream::start(|_, _| {
        thread::sleep(Duration::from_secs(3));
        false
    });
    let dripping_head =
        Upstream::start(|_, stream| drip(stream, JSON_HEAD, "X-A: b\r\n", Duration::from_millis(20)));
    let dripping_body = Upstream::start(|_, stream| {
        let head = format!("{JSON_HEAD}Content-Length: 1000\r\n\r\n[");
        drip(stream, &head, " ", Duration::from_millis(20))
    });
    for upstream in [silent, dripping_head, dripping_body] {
        let start = Instant::now();
        assert_eq!(outcome(&upstream, time, 1 << 20).await, Err(HttpToolError::Timeout));
        assert!(start.elapsed() < Duration::from_secs(2));
    }
    let slow = Upstream::start(|_, stream| {
        thread::sleep(Duration::from_millis(50));
        stream.write_all(format!("{JSON_HEAD}Content-Length: 2\r\n\r\n{{}}").as_bytes()).is_ok()
    });
    assert_eq!(outcome(&slow, Duration::from_secs(5), 1 << 20).await, Ok("{}".to_owned()));
}

/// Everybody's calls go on while one upstream sends what is skipped. (With the client's usual buffer it reads 50 MB at a
/// time.)
#[tokio::test]
async fn an_upstream_that_never_stops_lets_others_have_their_turn() {
    let sent = Arc::new(AtomicUsize::new(0));
    let upstream = Upstream::start({
        let sent = Arc::clone(&sent);
        let block = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(1000);
        move |_, stream| {
            while stream.write_all(block.as_bytes()).is_ok() {
                sent.fetch_add(block.len(), SeqCst);
            }
            false
        }
    });
    let others = async {
        let (mut before, mut most) = (0, 0);
        while sent.load(SeqCst) < 100 << 20 {
            let now = sent.load(SeqCst);
            most = most.max(now - before);
            before = now;
            tokio::task::yield_now().await;
        }
        most
    };
    tokio::select! {
        biased;
        most = others => assert!(most < 16 << 20, "{most} bytes were read before anybody had a turn"),
        answer = outcome(&upstream, Duration::from_secs(60), 1 << 10) => panic!("{answer:?}"),
    }
}

/// That a foreign thing is there shows no more when its reply stalls or breaks off than when it comes whole.
#[tokio::test]
async fn how_a_reply_ends_is_told_to_its_owner() {
    for stalls in [true, false] {
        let upstream = Upstream::start(move |request: &Request, stream| {
            let begun = match request.path.rsplit('/').next().unwrap_or_default() {
                "unsaid" => "{",
                "own" => r#"{"org":"acme","x":["#,
                "both" => r#"{"org":"acme","org":"globex","x":["#,
                _ => r#"{"org":"globex","x":["#,
            };
            let head = format!("{JSON_HEAD}Content-Length: 1000\r\n\r\n{begun}");
            match stalls {
                true => drip(stream, &head, " ", Duration::from_millis(20)),
                false => stream.write_all(head.as_bytes()).is_ok_and(|()| false),
            }
        });
        let mut bench = Bench::new(&by_id(&upstream, "owner = { pointer = \"/org\", equals = \"tenant\" }"));
        bench.limits.time = Duration::from_millis(300);
        for id in ["globex", "unsaid", "both"] {
            let error = bench.call(json!({ "id": id })).await.expect_err(id);
            assert_eq!(error.kind(), HttpErrorKind::NotFound, "{id}: {error}");
        }
        let told = if stalls { HttpErrorKind::Timeout } else { HttpErrorKind::Upstream };
        let error = bench.call(json!({ "id": "own" })).await.expect_err("it does not end");
        assert_eq!(error.kind(), told, "its own: {error}");
    }
}

#[tokio::test]
async fn statuses_become_errors_without_the_upstreams_words() {
    const JSON: &str = "Content-Type: application/json\r\n";
    for (status, expected, kind) in [
        ("404 Not Found", HttpToolError::NotFound, HttpErrorKind::NotFound),
        ("410 Gone", HttpToolError::NotFound, HttpErrorKind::NotFound),
        ("401 No", HttpToolError::UpstreamRefused { status: 401 }, HttpErrorKind::Upstream),
        ("403 No", HttpToolError::UpstreamRefused { status: 403 }, HttpErrorKind::NotFound),
        ("429 Slow", HttpToolError::UpstreamStatus { status: 429 }, HttpErrorKind::Upstream),
        ("500 Oops", HttpToolError::UpstreamStatus { status: 500 }, HttpErrorKind::Upstream),
        ("304 Same", HttpToolError::UpstreamRedirect, HttpErrorKind::Upstream),
    ] {
        let upstream = Upstream::fixed(status, JSON, r#"{"error":"c4n4ry s3cr3t"}"#);
        let error = answer(&upstream).await.expect_err(status);
        assert_eq!(error, expected);
        assert_eq!(error.kind(), kind);
        let text = format!("{error} {error:?}");
        assert!(!text.contains("c4n4ry") && !text.contains("s3cr3t") && !text.contains("q1"), "{text}");
    }
    let nothing = Upstream::fixed("204 No Content", "", "");
    assert_eq!(answer(&nothing).await, Ok("null".to_owned()));
}

#[tokio::test]
async fn only_json_comes_back() {
    for (headers, body) in [
        ("Content-Type: text/html\r\n", "{}"),
        ("Content-Type: application/json\r\n", "<p>c4n4ry</p>"),
        ("Content-Type: application/json\r\n", "{\"a\":1"),
        ("Content-Type: application/json\r\nContent-Encoding: gzip\r\n", "{}"),
        ("", "c4n4ry"),
    ] {
        let error = answer(&Upstream::fixed("200 OK", headers, body)).await.expect_err(body);
        assert_eq!(error, HttpToolError::UpstreamNotJson);
        assert!(!error.to_string().contains("c4n4ry"));
    }
    for headers in
        ["", "Content-Type: application/hal+json\r\n", "Content-Type: application/json;charset=utf-8\r\n"]
    {
        assert_eq!(answer(&Upstream::fixed("200 OK", headers, "[1]")).await, Ok("[1]".to_owned()));
    }
}

#[tokio::test]
async fn what_is_no_http_is_an_upstream_failure() {
    let garbage =
        Upstream::start(|_, stream| stream.write_all(b"SSH-2.0-x s3cr3t\r\n\r\n").is_ok_and(|()| false));
    let error = answer(&garbage).await.expect_err("no HTTP");
    assert_eq!(error.kind(), HttpErrorKind::Upstream);
    assert!(!format!("{error} {error:?}").contains("s3cr3t"));
}
