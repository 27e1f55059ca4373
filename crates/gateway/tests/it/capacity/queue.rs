//! Waiting for a place: in order, for a bounded time, and in turn with the other tenants.

use futures_util::future::select_all;
use serde_json::json;

use super::assert_told_to_wait;
use crate::support::{Answer, Ask, Caller, Conn, House, Plan, in_time, task};

const NARROW: &str = "requests_per_second = 100000\nburst = 100000\nconcurrent_requests = 1\n\
    queued_requests = 1\nqueue_timeout = \"60s\"\n";

fn calls(mut caller: Caller, tool: &'static str) -> tokio::task::JoinHandle<Answer> {
    task(async move { caller.call(tool, json!({ "tag": "x" })).await })
}

fn whoami(mut caller: Caller) -> tokio::task::JoinHandle<Answer> {
    task(async move { caller.call("whoami", json!({})).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_waits_for_its_tenants_earlier_one_and_a_full_queue_says_so() {
    let house = House::with(Plan { capacity: Some(NARROW), ..Plan::default() }).await;
    let slow = calls(house.caller("acme"), "slow");
    house.gates.of("acme").came(1).await;
    // One of the two has a place in the queue and the other has none.
    let (first, _, mut waiting) = select_all((0..2).map(|_| whoami(house.caller("acme")))).await;
    let refused = first.unwrap();
    assert_told_to_wait(&refused);
    let json = refused.json();
    assert_eq!(json["error"]["data"]["limit"], "concurrency");
    let said = json["error"]["message"].as_str().unwrap();
    assert!(said.contains("1 may run and 1 may wait") && said.contains("Wait 1 s"), "{said}");
    assert!(house.caller("globex").call("whoami", json!({})).await.is_ok(), "the neighbour does not wait");
    assert!(!waiting[0].is_finished());
    house.gates.of("acme").open(1);
    assert!(in_time("its turn", waiting.remove(0)).await.unwrap().is_ok());
    assert!(slow.await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waited_in_vain_is_told_and_who_hangs_up_leaves_the_queue() {
    let capacity = "requests_per_second = 100000\nburst = 100000\nconcurrent_requests = 1\n\
        queued_requests = 1\nqueue_timeout = \"60s\"\n[capacity.tenant.globex]\nqueue_timeout = \"1ms\"\n";
    let house = House::with(Plan { capacity: Some(capacity), ..Plan::default() }).await;
    let slow = [calls(house.caller("acme"), "slow"), calls(house.caller("globex"), "slow")];
    house.gates.of("acme").came(1).await;
    house.gates.of("globex").came(1).await;
    let late = house.caller("globex").call("whoami", json!({})).await;
    assert_told_to_wait(&late);
    assert_eq!(late.json()["error"]["data"]["limit"], "queue-timeout");
    // Whoever hangs up in the queue makes room in it at once. Without that the second could not wait.
    let ask = Ask::call("whoami", &json!({})).bearer(&house.caller("acme").token);
    for _ in 0..20 {
        let mut gone = Conn::open(house.address).await;
        gone.send(&ask.bytes()).await;
        drop(gone);
    }
    let mut last = Conn::open(house.address).await;
    let answer = task(async move {
        loop {
            let answer = last.ask(&ask).await;
            if answer.status == 200 {
                break answer;
            }
            // Somebody who hangs up is seen a moment later.
            tokio::task::yield_now().await;
        }
    });
    house.gates.of("acme").open(1);
    house.gates.of("globex").open(1);
    assert!(in_time("its turn", answer).await.unwrap().is_ok());
    for call in slow {
        assert!(call.await.unwrap().is_ok());
    }
    house.until("partywall_calls_in_flight", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn qu_01_a_full_server_lets_the_tenants_in_by_turns() {
    let capacity = "requests_per_second = 100000\nburst = 100000\nconcurrent_requests = 8\n\
        queued_requests = 40\nqueue_timeout = \"60s\"\n";
    let plan = Plan { capacity: Some(capacity), server: "concurrent_requests = 2", ..Plan::default() };
    let house = House::with(plan).await;
    house.add("initech");
    // Nobody has more than half of the places, so there is one for each of two.
    let _loud: Vec<_> = (0..20).map(|_| calls(house.caller("acme"), "slow")).collect();
    house.gates.of("acme").came(1).await;
    let globex = calls(house.caller("globex"), "slow");
    house.gates.of("globex").came(1).await;
    assert_eq!(house.metric("partywall_calls_in_flight").await, 2);
    // The server is full. Acme's flood waits in acme's own queue, so the next place is initech's.
    let initech = whoami(house.caller("initech"));
    house.until("partywall_calls_waiting", 1).await;
    house.gates.of("globex").open(1);
    assert!(in_time("its turn", initech).await.unwrap().is_ok());
    assert!(globex.await.unwrap().is_ok());
    assert_eq!(house.metric("partywall_calls_in_flight").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_held_back_and_then_put_out() {
    let capacity = "requests_per_second = 1\nburst = 1\n[capacity.tenant.globex]\nburst = 10000\n";
    // Longer than the test takes: what is held is not answered in it.
    let plan = Plan { capacity: Some(capacity), server: "refusal_delay = \"5s\"", ..Plan::default() };
    let house = House::with(plan).await;
    let mut globex = house.caller("globex");
    let floods: Vec<_> = (0..120)
        .map(|_| {
            let mut acme = house.caller("acme");
            Box::pin(async move {
                let ask = Ask::call("whoami", &json!({})).bearer(&acme.token);
                let conn = acme.connect().await;
                (conn.ask(&ask).await, std::mem::take(&mut conn.rest().await))
            })
        })
        .map(task)
        .collect();
    // Some are answered at once, some are held, and for more there is no room.
    let (mut rest, mut closed) = (floods, 0);
    while closed < 120 - 64 - 22 {
        let (done, _, others) = in_time("those that are put out", select_all(rest)).await;
        let (answer, more) = done.unwrap();
        assert_eq!(answer.status, 429, "{answer:?}");
        assert_eq!(answer.header("connection"), Some("close"), "the others stay open: {answer:?}");
        assert!(more.is_empty());
        (rest, closed) = (others, closed + 1);
        assert!(globex.call("whoami", json!({})).await.is_ok(), "the neighbour is served meanwhile");
    }
}
