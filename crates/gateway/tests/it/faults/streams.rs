//! Event streams that nobody reads.

use partywall_gateway::{Cx, Reply, Tool, ToolError, ToolMeta};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpSocket};

use crate::support::{Ask, House, Plan, in_time, task};

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

/// Says something for ever.
struct Chatter;

impl Tool for Chatter {
    type Args = Nothing;

    fn meta(&self) -> ToolMeta {
        ToolMeta::new("chatter", "Never ends.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, Nothing {}: Nothing) -> Result<Reply<'t>, ToolError> {
        let text = "x".repeat(64 * 1024);
        for n in 0_u32.. {
            cx.progress(f64::from(n), None, Some(&text)).await;
            tokio::task::yield_now().await;
        }
        Ok(cx.text("never".to_owned()))
    }
}

fn chatter(token: &str) -> Ask {
    let params = json!({ "name": "chatter", "arguments": {}, "_meta": { "progressToken": 1 } });
    Ask::legacy("tools/call", &params).bearer(token)
}

async fn house() -> House {
    House::with(Plan {
        server: "read_timeout = \"300ms\"\ncall_timeout = \"2s\"",
        capacity: Some("requests_per_second = 100000\nburst = 100000\nconcurrent_requests = 4\n"),
        native: Some(|builder| builder.tool(Chatter)),
        ..Plan::default()
    })
    .await
}

/// What the neighbour is told, on a new connection.
async fn totals(house: &House) -> String {
    house.caller("globex").call("totals", json!({})).await.comparable()
}

/// Waits until the tenant has all its places again.
async fn places_come_back(house: &House) {
    in_time("every call has ended", async {
        loop {
            let lines = house.audit("acme").await;
            if lines.iter().filter(|line| line["tool"] == "chatter").count() == 4 {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    in_time("the places come back", async {
        let gate = house.gates.of("acme");
        let asked = (0..4).map(|_| {
            let mut acme = house.caller("acme");
            task(async move {
                while acme.call("slow", json!({ "tag": "x" })).await.status != 200 {
                    tokio::task::yield_now().await;
                }
            })
        });
        let asked: Vec<_> = asked.collect();
        // Four at once: every place is taken anew.
        gate.came(4).await;
        gate.open(4);
        for call in asked {
            call.await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_nobody_reads_ends() {
    let house = house().await;
    let acme = house.caller("acme");
    let before = totals(&house).await;
    let mut unread = Vec::new();
    for _ in 0..4 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(house.address).await.unwrap();
        stream.write_all(&chatter(&acme.token).bytes()).await.unwrap();
        // The stream has begun.
        in_time("the head", stream.peek(&mut [0; 1])).await.unwrap();
        unread.push(stream);
    }
    assert_eq!(totals(&house).await, before);
    places_come_back(&house).await;
    assert_eq!(totals(&house).await, before);
    drop(unread);
}

/// The same on one HTTP/2 connection, whose streams are held back by the client's windows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_a_window_holds_back_ends() {
    let house = house().await;
    let acme = house.caller("acme");
    let before = totals(&house).await;
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .http2_initial_stream_window_size(1024)
        .no_proxy()
        .build()
        .unwrap();
    let mut unread = Vec::new();
    for _ in 0..4 {
        let post = client
            .post(format!("http://{}/mcp", house.address))
            .bearer_auth(&acme.token)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(chatter(&acme.token).text());
        unread.push(in_time("the head", post.send()).await.unwrap());
    }
    assert_eq!(totals(&house).await, before);
    places_come_back(&house).await;
    assert_eq!(totals(&house).await, before);
    drop(unread);
}
