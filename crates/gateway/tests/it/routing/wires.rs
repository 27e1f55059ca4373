//! What happens on connections that break, are shared or are used for more than one caller (RT-14, RT-15).

use serde_json::json;

use super::slow;
use crate::support::{Ask, Conn, House, in_time, task};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rt_14_a_late_answer_reaches_nobody() {
    let house = House::open().await;
    let mut globex = house.caller("globex");
    let acme = house.caller("acme");
    let gate = house.gates.of("acme");
    for round in 1..=50 {
        let mut left = Conn::open(house.address).await;
        left.send(&slow("1", "late").bearer(&acme.token).bytes()).await;
        gate.came(round).await;
        if round % 2 == 0 {
            // Half of them end their side only.
            left.half_close().await;
        } else {
            drop(left);
        }
        gate.gone(round).await;
        let answer = globex.ask(Ask::call("whoami", &json!({}))).await;
        assert_eq!(answer.content()["tenant"], "globex", "{answer:?}");
    }
    // Nobody is left who could be let through.
    gate.open(50);
    assert_eq!(globex.whoami().await["tenant"], "globex");
}

/// One HTTP/2 connection carries both callers, as a proxy's would; one's streams are reset in the middle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rt_14_a_stream_that_was_reset_leaves_nothing_behind() {
    let house = House::open().await;
    let (acme, globex) = (house.caller("acme"), house.caller("globex"));
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let url = format!("http://{}/mcp", house.address);
    let post = |token: &str, ask: &Ask| {
        client
            .post(&url)
            .bearer_auth(token)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(ask.text())
    };
    let gate = house.gates.of("acme");
    for round in 1..=50 {
        let lost = task(post(&acme.token, &slow("1", "lost")).send());
        gate.came(round).await;
        let beside = post(&globex.token, &Ask::call("totals", &json!({}))).send();
        lost.abort();
        let beside = beside.await.unwrap();
        assert_eq!(beside.version(), reqwest::Version::HTTP_2);
        let body = beside.bytes().await.unwrap();
        globex.assert_own(&body);
        assert!(String::from_utf8_lossy(&body).contains("\"tickets\":11"), "{body:?}");
        gate.gone(round).await;
        let own = post(&acme.token, &Ask::call("whoami", &json!({}))).send().await.unwrap();
        let body = own.bytes().await.unwrap();
        acme.assert_own(&body);
        assert!(String::from_utf8_lossy(&body).contains("\"tenant\":\"acme\""), "{body:?}");
    }
}

/// Requests of two callers, sent ahead on one connection: the answers come in their order, each its caller's own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rt_15_pipelined_requests_keep_their_order() {
    let house = House::open().await;
    let callers = [house.caller("acme"), house.caller("globex")];
    for round in 1..=60 {
        let mut conn = Conn::open(house.address).await;
        let mut bytes = slow("0", "first").bearer(&callers[0].token).bytes();
        for n in 1..12 {
            let caller = &callers[n % 2];
            let tool = ["totals", "whoami", "get_ticket"][n % 3];
            let arguments = if tool == "get_ticket" { json!({ "id": 4 }) } else { json!({}) };
            bytes.extend(Ask::call(tool, &arguments).bearer(&caller.token).bytes());
        }
        conn.send(&bytes).await;
        house.gates.of("acme").came(round).await;
        house.gates.of("acme").open(1);
        for n in 0..12 {
            let caller = &callers[n % 2];
            let answer = in_time("a pipelined answer", conn.answer()).await.unwrap();
            caller.assert_own(&answer.raw());
            let content = answer.content();
            let own = house.canaries.text_of(&caller.tenant);
            match n % 3 {
                _ if n == 0 => assert_eq!(content["seen"]["tenant"], "acme"),
                0 => assert_eq!(content["amount"], house.canaries.number_of(&caller.tenant)),
                1 => assert_eq!(content["tenant"], caller.tenant),
                _ => assert!(content["body"].as_str().unwrap().contains(&own)),
            }
        }
    }
}

/// A request that is dropped at any byte leaves the connections of others alone (MX-01).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_end_anywhere_disturb_nobody() {
    let house = House::open().await;
    let mut globex = house.caller("globex");
    let whole = Ask::call("get_ticket", &json!({ "id": 4 })).bearer(&house.caller("acme").token).bytes();
    for end in (0..whole.len()).step_by(9) {
        let mut conn = Conn::open(house.address).await;
        conn.send(&whole[..end]).await;
        if end % 2 == 0 {
            conn.half_close().await;
        }
        drop(conn);
        assert_eq!(globex.whoami().await["tenant"], "globex");
    }
}
