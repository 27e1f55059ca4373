//! What was admitted and has not begun: a request whose body comes late, and the messages of a batch behind a slow one.

use serde_json::{Value, json};

use crate::support::{Answer, Ask, Caller, Conn, House, in_time, task, tenant};

/// A request of which the last byte is missing.
struct Held(Conn);

impl Held {
    /// The server has read the head, and admitted the request.
    async fn send(house: &House, caller: &Caller, ask: Ask) -> Self {
        // What was answered before gives its place back a moment later.
        house.until("partywall_calls_in_flight", 0).await;
        let mut conn = Conn::open(house.address).await;
        let bytes = ask.bearer(&caller.token).bytes();
        conn.send(&bytes[..bytes.len() - 1]).await;
        house.until("partywall_calls_in_flight", 1).await;
        Self(conn)
    }

    async fn end(mut self) -> Answer {
        self.0.send(b"}").await;
        in_time("the answer", self.0.answer()).await.unwrap()
    }
}

fn comment() -> Ask {
    Ask::call("add_comment", &json!({ "ticket_id": 4, "body": "late" }))
}

async fn comments(caller: &mut Caller) -> Value {
    caller.call("totals", json!({})).await.content()["comments"].clone()
}

fn folder(house: &House, id: &str) -> std::path::PathBuf {
    house.gateway.config().data_dir().join("tenants").join(id)
}

/// One request of several calls.
fn batch(calls: &[(&str, Value)]) -> Ask {
    let messages = calls.iter().enumerate().map(|(n, (tool, arguments))| {
        json!({ "jsonrpc": "2.0", "id": n, "method": "tools/call", "params": { "name": tool, "arguments": arguments } })
    });
    Ask::post(json!(messages.collect::<Vec<_>>()).to_string())
}

fn codes(answer: &Answer) -> Vec<Option<i64>> {
    answer.json().as_array().unwrap().iter().map(|reply| reply["error"]["code"].as_i64()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lc_01_a_suspension_holds_for_a_call_whose_body_comes_later() {
    let house = House::open().await;
    let registry = &house.gateway.administration().registry;
    let mut acme = house.caller("acme");
    let held = Held::send(&house, &acme, comment()).await;
    registry.suspend(&tenant("acme")).unwrap();
    let answer = held.end().await;
    assert_eq!((answer.status, answer.code()), (401, 401), "{answer:?}");
    assert!(answer.header("www-authenticate").is_some(), "as any bad token: {answer:?}");
    registry.resume(&tenant("acme")).unwrap();
    assert_eq!(comments(&mut acme).await, 0, "nothing was written");
    // The well-formed twin, with nothing in between.
    assert!(Held::send(&house, &acme, comment()).await.end().await.is_ok());
    assert_eq!(comments(&mut acme).await, 1);
    let lines = house.audit("acme").await;
    assert!(lines.iter().any(|line| line["reason"] == "suspended-tenant"), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lc_03_a_late_call_of_an_earlier_life_makes_nothing() {
    let house = House::open().await;
    for ask in [comment(), Ask::call("list_tickets", &json!({}))] {
        let acme = house.caller("acme");
        // Removed and not added again: the folder stays away.
        let held = Held::send(&house, &acme, ask.clone()).await;
        house.remove("acme");
        assert_eq!(held.end().await.status, 401);
        assert!(!folder(&house, "acme").exists());
        // Removed and added, and nobody has used the new one.
        house.add_without_secret("acme");
        let acme = house.caller("acme");
        let held = Held::send(&house, &acme, ask).await;
        house.remove("acme");
        let stores = house.gateway.administration();
        stores.registry.add(&tenant("acme")).unwrap();
        assert_eq!(held.end().await.status, 401);
        let mut new = house.caller("acme");
        assert_eq!(comments(&mut new).await, 0, "the new life is served");
        assert!(new.call("add_label", json!({ "name": "first" })).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lc_01_a_suspension_holds_for_the_rest_of_a_batch() {
    let house = House::open().await;
    let registry = &house.gateway.administration().registry;
    let mut acme = house.caller("acme");
    let calls = [
        ("slow", json!({ "tag": "x" })),
        ("add_comment", json!({ "ticket_id": 4, "body": "late" })),
        ("customer_page", json!({ "customer_id": "cus_1" })),
        ("whoami", json!({})),
    ];
    let gate = house.gates.of("acme");
    let mut sender = house.caller("acme");
    let ask = batch(&calls);
    let answer = task(async move { sender.ask(ask).await });
    gate.came(1).await;
    registry.suspend(&tenant("acme")).unwrap();
    gate.open(1);
    let answer = answer.await.unwrap();
    assert_eq!(codes(&answer), [None, Some(401), Some(401), Some(401)], "{answer:?}");
    let ids: Vec<i64> =
        answer.json().as_array().unwrap().iter().filter_map(|reply| reply["id"].as_i64()).collect();
    assert_eq!(ids, [0, 1, 2, 3], "each is answered");
    assert!(house.upstream.seen("").is_empty(), "nothing was called with the tenant's key");
    registry.resume(&tenant("acme")).unwrap();
    assert_eq!(comments(&mut acme).await, 0);
    let denied = house.audit("acme").await;
    let denied = denied.iter().filter(|line| line["reason"] == "suspended-tenant");
    assert_eq!(denied.map(|line| line["times"].as_u64().unwrap_or(1)).sum::<u64>(), 3);
    // Without a suspension all of it is done.
    gate.open(1);
    let answer = acme.ask(batch(&calls)).await;
    assert_eq!(codes(&answer), [None; 4], "{answer:?}");
    assert_eq!(comments(&mut acme).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lc_05_a_removal_holds_for_the_rest_of_a_batch() {
    let house = House::open().await;
    let gate = house.gates.of("acme");
    let mut sender = house.caller("acme");
    let ask = batch(&[
        ("slow", json!({ "tag": "x" })),
        ("add_comment", json!({ "ticket_id": 4, "body": "late" })),
        ("list_tickets", json!({})),
    ]);
    let answer = task(async move { sender.ask(ask).await });
    gate.came(1).await;
    house.remove("acme");
    gate.open(1);
    let answer = answer.await.unwrap();
    assert_eq!(codes(&answer), [None, Some(401), Some(401)], "{answer:?}");
    assert!(!folder(&house, "acme").exists());
    house.add("acme");
    assert_eq!(comments(&mut house.caller("acme")).await, 0);
}
