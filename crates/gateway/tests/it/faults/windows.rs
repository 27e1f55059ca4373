//! HTTP/2 clients that read the socket and allow nothing of a reply to be sent.

use std::{sync::Arc, time::Duration};

use partywall_gateway::{Cx, Reply, Tool, ToolError, ToolMeta};
use reqwest::{Client, Response};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{Ask, House, Plan, in_time, task};

#[derive(Deserialize, JsonSchema)]
struct Size {
    bytes: u32,
}

/// Answers with so much.
struct Sized;

impl Tool for Sized {
    type Args = Size;

    fn meta(&self) -> ToolMeta {
        ToolMeta::new("sized", "Answers with so much.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, Size { bytes }: Size) -> Result<Reply<'t>, ToolError> {
        Ok(cx.text("x".repeat(bytes as usize)))
    }
}

/// Four places and no queue; what is not taken within two seconds is late.
async fn house(server: &'static str) -> House {
    House::with(Plan {
        server,
        capacity: Some(
            "requests_per_second = 100000\nburst = 100000\nconcurrent_requests = 4\nqueued_requests = 0\n\
             connections = 100\n",
        ),
        native: Some(|builder| builder.tool(Sized)),
        ..Plan::default()
    })
    .await
}

/// A client that lets so much of each reply be sent.
fn client(window: u32) -> Client {
    let client = Client::builder().http2_prior_knowledge().http2_initial_stream_window_size(window);
    client.no_proxy().build().unwrap()
}

/// Calls a tool; the head of the reply has come.
async fn call(
    client: &Client,
    house: &House,
    tenant: &str,
    tool: &str,
    arguments: Value,
    events: bool,
) -> reqwest::Result<Response> {
    let mut params = json!({ "name": tool, "arguments": arguments });
    if events {
        params["_meta"] = json!({ "progressToken": 1 });
    }
    let post = client
        .post(format!("http://{}/mcp", house.address))
        .bearer_auth(house.caller(tenant).token)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .body(Ask::legacy("tools/call", &params).text());
    in_time("the head", post.send()).await
}

async fn totals(house: &House) -> String {
    house.caller("globex").call("totals", json!({})).await.comparable()
}

async fn nothing_is_left(house: &House) {
    house.until("partywall_calls_in_flight", 0).await;
    house.until("partywall_connections", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_that_a_window_holds_back_keep_their_places_and_not_for_ever() {
    let house = house("read_timeout = \"2s\"").await;
    let before = totals(&house).await;
    for bytes in [1_000, 40_000, 200_000] {
        let client = client(0);
        let mut unread = Vec::new();
        for _ in 0..8 {
            let asked = call(&client, &house, "acme", "sized", json!({ "bytes": bytes }), false).await;
            unread.push(asked.unwrap());
        }
        let held = unread.iter().filter(|reply| reply.status() == 200).count();
        assert_eq!(held, 4, "what is held of {bytes} bytes each is as much as the calls in flight");
        for reply in unread {
            let read = in_time("the connection ends", reply.bytes()).await;
            assert!(read.is_err(), "nothing of it was sent");
        }
        assert_eq!(totals(&house).await, before);
        nothing_is_left(&house).await;
    }
    // Who takes what is sent gets all of it.
    let client = client(4096);
    for bytes in [1_000, 40_000, 200_000] {
        let reply = call(&client, &house, "acme", "sized", json!({ "bytes": bytes }), false).await.unwrap();
        let events = call(&client, &house, "acme", "sized", json!({ "bytes": bytes }), true).await.unwrap();
        let (reply, events) = (reply.text().await.unwrap(), events.text().await.unwrap());
        let all = "x".repeat(bytes as usize);
        assert!(reply.contains(&all) && events.contains(&all), "{bytes}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stream_that_a_window_holds_back_gives_its_seat_back() {
    let house = house("read_timeout = \"300ms\"\nmax_connections = 2").await;
    // Two calls, of which one has ended; their connections are all that there are.
    let (ended, running) = (client(0), client(0));
    let ended = call(&ended, &house, "acme", "sized", json!({ "bytes": 10 }), true).await.unwrap();
    let running = call(&running, &house, "acme", "slow", json!({ "tag": "x" }), true).await.unwrap();
    assert_eq!((ended.status().as_u16(), running.status().as_u16()), (200, 200));
    house.gates.of("acme").came(1).await;
    in_time("there is a seat for a newcomer", async {
        // A client of its own each time, and an end to each: the pool of one whose connections are closed at once may wait for a
        // connection that nobody makes.
        loop {
            let globex = client(65_535);
            let asked = call(&globex, &house, "globex", "totals", json!({}), false);
            match tokio::time::timeout(Duration::from_secs(5), asked).await {
                Ok(Ok(reply)) if reply.status() == 200 => break,
                _ => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    for reply in [ended, running] {
        assert!(in_time("the connection ends", reply.bytes()).await.is_err());
    }
    house.gates.of("acme").gone(1).await;
    nothing_is_left(&house).await;
}

/// A proxy has calls of several tenants on one connection. One that is not taken ends it, and the others are finished.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_tenant_leaves_unread_does_not_break_anothers_call_on_the_connection() {
    let house = Arc::new(house("read_timeout = \"300ms\"").await);
    let proxy = client(2_000);
    let gate = house.gates.of("globex");
    let work = {
        let (proxy, house) = (proxy.clone(), Arc::clone(&house));
        task(async move {
            let reply = call(&proxy, &house, "globex", "slow", json!({ "tag": "x" }), false).await;
            reply.unwrap().text().await.unwrap()
        })
    };
    gate.came(1).await;
    let unread = call(&proxy, &house, "acme", "sized", json!({ "bytes": 40_000 }), false).await.unwrap();
    // The connection takes no new calls any more: the proxy makes another one.
    in_time("another connection", async {
        while house.metric("partywall_connections").await < 2 {
            let more = call(&proxy, &house, "globex", "whoami", json!({}), false).await.unwrap();
            assert_eq!(more.status(), 200);
            let _all = more.bytes().await.unwrap();
        }
    })
    .await;
    gate.open(1);
    let told = in_time("the call is finished", work).await.unwrap();
    assert!(told.contains("\"tag\":\"x\""), "{told}");
    // Then the first one ends.
    house.until("partywall_connections", 1).await;
    assert!(in_time("an end", unread.bytes()).await.is_err());
    drop(proxy);
    nothing_is_left(&house).await;
}
