//! Attacks on capacity (catalogue section 12, the basics): one tenant's load and malice are its own.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Answer, Ask, Conn, House, Plan, in_time, task};

mod connections;
mod queue;

const SMALL: &str = "requests_per_second = 1\nburst = 5\nconcurrent_requests = 3\n\
    [capacity.tenant.globex]\nrequests_per_second = 100000\nburst = 100000\nconcurrent_requests = 100\n";

#[track_caller]
fn assert_told_to_wait(answer: &Answer) {
    assert_eq!((answer.status, answer.code()), (429, 429), "{answer:?}");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=5).contains(&wait), "{wait}");
    assert_eq!(answer.json()["error"]["data"]["retryAfterSeconds"], wait);
}

#[tokio::test]
async fn qu_01_a_flood_is_its_senders() {
    let house = House::with(Plan { capacity: Some(SMALL), ..Plan::default() }).await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    let mut refused = 0;
    for n in 0..60 {
        // QU-05: another subject, header or id does not make another allowance.
        let mut other = house.caller_with("acme", house.token("acme", &format!("user{n}"), ""));
        let ask = Ask::call("whoami", &json!({})).header("X-Forwarded-For", &format!("10.0.0.{n}"));
        let answer = other.ask(ask).await;
        if n >= 5 && answer.status == 429 {
            assert_told_to_wait(&answer);
            refused += 1;
        } else {
            assert!(answer.is_ok(), "{n}: {answer:?}");
        }
        let answer = globex.call("whoami", json!({})).await;
        assert!(answer.is_ok(), "the neighbour is served meanwhile: {answer:?}");
        // QU-08: no counter tells about anybody's use.
        let head = answer.head.to_lowercase();
        assert!(!head.contains("ratelimit") && !head.contains("remaining"), "{head}");
    }
    assert!(refused >= 45, "{refused}");
    assert_told_to_wait(&acme.call("whoami", json!({})).await);
    let lines = house.audit("acme").await;
    let denied = lines.iter().filter(|line| line["layer"] == "capacity" && line["reason"] == "rate");
    let times: Vec<u64> = denied.map(|line| line["times"].as_u64().unwrap_or(1)).collect();
    assert_eq!(times.iter().sum::<u64>(), refused + 1, "none is lost: {times:?}");
    assert!(times.len() < 20, "a line stands for many: {times:?}");
    let acme = "partywall_requests_total{tenant=\"acme\",outcome=\"denied\",layer=\"capacity\"}";
    assert_eq!(house.metric(acme).await, refused + 1);
    assert!(house.audit("globex").await.iter().all(|line| line["outcome"] == "ok"));
}

#[tokio::test]
async fn a_batch_counts_as_its_messages() {
    let house = House::with(Plan { capacity: Some(SMALL), ..Plan::default() }).await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    let one = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    let replies = acme.ask(Ask::post(json!(vec![one; 20]).to_string())).await.json();
    let served = replies.as_array().unwrap().iter().filter(|reply| reply["result"].is_object()).count();
    assert!((5..=7).contains(&served), "{replies}");
    // A client waits for each id that it sent.
    assert!(replies.as_array().unwrap().iter().all(|reply| reply["id"] == 1), "{replies}");
    let silent = json!({ "jsonrpc": "2.0", "method": "notifications/x" });
    let answer = acme.ask(Ask::post(json!(vec![silent; 20]).to_string())).await;
    assert!([202, 429].contains(&answer.status), "a notification has no answer: {answer:?}");
    assert!(globex.call("whoami", json!({})).await.is_ok());
}

/// One request has the room of one reply, however many messages are in it.
#[tokio::test]
async fn qu_03_a_batch_has_the_room_of_one_reply() {
    const MOST: usize = 4096;
    let capacity = "requests_per_second = 100000\nburst = 100000\nreply_bytes = 4096\n";
    let house = House::with(Plan { capacity: Some(capacity), ..Plan::default() }).await;
    let mut acme = house.caller("acme");
    let call = |tool: &str, arguments: serde_json::Value| json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool, "arguments": arguments } });
    let label = |n: u32| call("add_label", json!({ "name": format!("label {n}") }));
    let small = json!({ "name": "x", "body": "y".repeat(400) });
    assert!(acme.call("save_export", small).await.is_ok());
    let read = call("read_export", json!({ "name": "x" }));
    let alone = acme.call("read_export", json!({ "name": "x" })).await.body.len();
    let mut messages = vec![label(1)];
    messages.extend(vec![read; 30]);
    messages.push(label(2));
    let answer = acme.ask(Ask::post(json!(messages).to_string())).await;
    let replies = answer.json();
    let replies = replies.as_array().unwrap();
    assert_eq!(replies.len(), 32, "each is answered");
    let refused = |reply: &&serde_json::Value| reply["result"]["isError"] == true;
    let told = replies.iter().filter(refused).count();
    assert!((25..31).contains(&told) && alone * (32 - told) <= MOST + alone, "{told} of {alone} bytes");
    assert!(replies.iter().filter(refused).all(|reply| reply.to_string().contains("too large")));
    assert!(answer.body.len() <= MOST + 32 * 200, "{}", answer.body.len());
    // A change that there was no room for was not made.
    assert!(refused(&replies.last().unwrap()));
    let labels = |audit: Vec<serde_json::Value>| {
        audit.iter().filter(|line| line["tool"] == "add_label" && line["outcome"] == "ok").count()
    };
    assert_eq!(labels(house.audit("acme").await), 1);
    assert!(acme.ask(Ask::post(label(2).to_string())).await.is_ok(), "it was not made before");
    assert!(
        acme.ask(Ask::post(json!([label(3), label(4)]).to_string())).await.json()[1]["result"].is_object()
    );
}

/// Its token is still good, so it is nobody's business but its own, and the disk is everybody's.
#[tokio::test]
async fn a_suspended_tenants_flood_is_a_few_lines_that_add_up() {
    let house = House::open().await;
    let mut acme = house.caller("acme");
    assert!(acme.call("whoami", json!({})).await.is_ok());
    let acme_id = partywall_model::TenantId::parse("acme").unwrap();
    house.gateway.administration().registry.suspend(&acme_id).unwrap();
    let mut flood = Vec::new();
    for _ in 0..10 {
        let mut acme = house.caller("acme");
        flood.push(task(async move {
            for _ in 0..20 {
                // From the 21st refusal of a second on the answer is late, or the connection is closed after it.
                assert_eq!(acme.call("whoami", json!({})).await.status, 401);
            }
        }));
    }
    for caller in flood {
        caller.await.unwrap();
    }
    let lines = house.audit("acme").await;
    let denied: Vec<u64> = lines
        .iter()
        .filter(|line| line["reason"] == "suspended-tenant")
        .map(|line| line["times"].as_u64().unwrap_or(1))
        .collect();
    assert_eq!(denied.iter().sum::<u64>(), 200, "{denied:?}");
    assert!(denied.len() < 30, "a line stands for many: {denied:?}");
    assert!(lines.iter().all(|line| line["layer"] != "capacity"), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn qu_06_calls_in_flight_are_counted_for_each_tenant() {
    let house = House::with(Plan {
        capacity: Some(
            "requests_per_second = 100000\nburst = 100000\nconcurrent_requests = 3\nqueued_requests = 0\n",
        ),
        ..Plan::default()
    })
    .await;
    let mut waiting = Vec::new();
    for n in 0..3 {
        let mut acme = house.caller("acme");
        // QU-02: streams that nobody reads are calls in flight too.
        let params = json!({ "name": "slow", "arguments": { "tag": "x" }, "_meta": { "progressToken": n } });
        let ask =
            if n == 0 { Ask::legacy("tools/call", &params) } else { Ask::call("slow", &params["arguments"]) };
        waiting.push(task(async move { acme.ask(ask).await }));
    }
    house.gates.of("acme").came(3).await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    assert_told_to_wait(&acme.call("whoami", json!({})).await);
    for _ in 0..5 {
        assert!(globex.call("whoami", json!({})).await.is_ok());
    }
    house.gates.of("acme").open(3);
    for call in waiting {
        assert_eq!(call.await.unwrap().status, 200);
    }
    // What ended has given its place back; the server does so when it has written the last byte.
    let since = Instant::now();
    while acme.call("whoami", json!({})).await.status != 200 {
        assert!(since.elapsed() < Duration::from_secs(10), "the places come back");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn qu_03_large_and_deep_requests_end_early() {
    let house = House::with(Plan { server: "max_body_bytes = 20000", ..Plan::default() }).await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    let big = json!({ "query": "x".repeat(30_000) });
    let fits = json!({ "query": "x".repeat(200) });
    let answer = acme.ask(Ask::call("search_tickets", &big)).await;
    assert_eq!((answer.status, answer.code()), (413, -32600), "{answer:?}");
    acme.hang_up();
    assert!(acme.ask(Ask::call("search_tickets", &fits)).await.is_ok());
    // A length that is announced is refused before a byte of the body was sent.
    let mut conn = Conn::open(house.address).await;
    let announced = Ask::call("whoami", &json!({}))
        .bearer(&acme.token)
        .with_body("")
        .header("Content-Length", "99999999");
    conn.send(&announced.bytes()).await;
    assert_eq!(conn.answer().await.unwrap().status, 413);
    // One that is not announced is counted as it comes.
    let mut conn = Conn::open(house.address).await;
    let chunked = Ask::call("whoami", &json!({}))
        .bearer(&acme.token)
        .with_body("")
        .header("Transfer-Encoding", "chunked");
    conn.send(&chunked.bytes()).await;
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    for _ in 0..6 {
        conn.send(chunk.as_bytes()).await;
    }
    assert_eq!(conn.answer().await.unwrap().status, 413);
    // A stranger's body is not read at all.
    let mut conn = Conn::open(house.address).await;
    conn.send(&announced.clone().set("Authorization", "Bearer x").bytes()).await;
    assert_eq!(conn.answer().await.unwrap().status, 401);
    // A compressed body is not unpacked, whatever it would become.
    let packed =
        Ask::call("whoami", &json!({})).header("Content-Encoding", "gzip").with_body([0x1f, 0x8b, 8, 0]);
    assert_eq!(acme.ask(packed).await.status, 415);
    assert_eq!(globex.whoami().await["tenant"], "globex");
}

#[tokio::test]
async fn json_that_is_10_000_deep_is_refused() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    let depth = 10_000;
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(depth), close.repeat(depth));
    for value in [deep("[", "]"), deep("{\"a\":", "}")] {
        let call = |rest: &str| {
            Ask::post(format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"whoami",{rest}}}}}"#
            ))
        };
        let answer = acme.ask(call(&format!("\"arguments\":{{\"x\":{value}}}"))).await;
        assert_eq!(answer.code(), -32602, "{answer:?}");
        let answer =
            acme.ask(call(&format!("\"arguments\":{{}},\"inputResponses\":{{\"x\":{value}}}"))).await;
        assert!(!answer.is_ok(), "{answer:?}");
        // Where nobody looks at it, it does no harm.
        for rest in [format!("\"arguments\":{{}},\"other\":{value}"), format!("\"_meta\":{{\"x\":{value}}}")]
        {
            let answer = acme.ask(call(&rest)).await;
            assert!(answer.status == 200 || answer.status == 400, "{answer:?}");
        }
        let answer = acme.ask(Ask::post(value)).await;
        assert!(!answer.is_ok() && answer.text().contains("-32600"), "{answer:?}");
    }
    for caller in [&mut acme, &mut globex] {
        assert_eq!(caller.whoami().await["tenant"], caller.tenant);
    }
}

#[tokio::test]
async fn slow_and_many_headers_end_early() {
    let house = House::with(Plan { server: "read_timeout = \"300ms\"", ..Plan::default() }).await;
    let (acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    let ask = Ask::call("whoami", &json!({})).bearer(&acme.token);
    // The head is there and the body does not come.
    let mut slow = Conn::open(house.address).await;
    slow.send(&ask.clone().with_body("{").header("Content-Length", "100").bytes()).await;
    // The head does not end.
    let mut slower = Conn::open(house.address).await;
    slower.send(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await;
    let answer = in_time("the time is up", slow.answer()).await.unwrap();
    assert_eq!((answer.status, answer.code()), (408, -32600));
    let rest = in_time("the connection is closed", slower.rest()).await;
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&rest));
    // Too many headers, and too large ones.
    let many = (0..100).fold(ask.clone(), |ask, n| ask.header(&format!("X-{n}"), "1"));
    let large = ask.clone().header("X-Large", &"x".repeat(100_000));
    for bad in [many, large] {
        let mut conn = Conn::open(house.address).await;
        conn.send(&bad.bytes()).await;
        let status = in_time("the answer", conn.answer()).await.map(|answer| answer.status);
        assert!(matches!(status, Some(431) | None), "{status:?}");
    }
    // The positive control: as many as are usual, and the neighbour.
    let usual = (0..40).fold(ask, |ask, n| ask.header(&format!("X-{n}"), "1"));
    assert!(Conn::open(house.address).await.ask(&usual).await.is_ok());
    assert_eq!(globex.whoami().await["tenant"], "globex");
}

#[tokio::test]
async fn a_panic_is_one_calls() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    for round in 0..20 {
        let modern = round % 2 == 0;
        let arguments = json!({ "how": "panic" });
        let ask =
            if modern { Ask::modern_call("broken", &arguments) } else { Ask::call("broken", &arguments) };
        assert_eq!(acme.ask(ask).await.tool_error(), "The tool failed. The operator's log says why.");
        assert_eq!(acme.whoami().await["tenant"], "acme", "the next call on the same connection");
        assert_eq!(globex.whoami().await["tenant"], "globex");
    }
    // In a stream too.
    let params =
        json!({ "name": "broken", "arguments": { "how": "panic" }, "_meta": { "progressToken": 1 } });
    let answer = acme.ask(Ask::legacy("tools/call", &params)).await;
    assert!(answer.text().contains("\"isError\":true"), "{answer:?}");
}

/// More people at the door than there are places: those inside go on, and whoever leaves makes room (QU-04).
#[tokio::test]
async fn garbage_takes_nobodys_place() {
    let house = House::open().await;
    let (mut nobody, mut globex) = (house.stranger(), house.caller("globex"));
    for n in 0..300 {
        let ask = Ask::legacy("initialize", &json!({})).header("Authorization", &format!("Bearer a.b.{n}"));
        assert_eq!(nobody.ask(ask).await.status, 401);
    }
    assert_eq!(globex.whoami().await["tenant"], "globex");
    assert_eq!(house.gateway.resident_tenants(), 1, "strangers are nobody's guests");
    assert!(house.audit("acme").await.is_empty());
}
