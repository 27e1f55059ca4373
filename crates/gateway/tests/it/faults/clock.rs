//! The system's clock is set forward and back: nothing that has ended comes back to life, and no wait becomes endless.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, UNIX_EPOCH},
};

use partywall_gateway::clock::Clock;
use serde_json::json;

use crate::support::{Ask, Caller, Conn, House, ISSUER, Plan, claims, in_time, task, with};

const HOUR: u64 = 3600;
const YEAR: u64 = 365 * 24 * HOUR;

/// A clock whose hand the test moves.
#[derive(Clone)]
struct Hand(Arc<AtomicU64>);

impl Hand {
    /// A clock that shows the time of now.
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(Clock::system().unix_seconds())))
    }

    fn clock(&self) -> Clock {
        let hand = self.clone();
        Clock::from_fn(move || UNIX_EPOCH + Duration::from_secs(hand.now()))
    }

    fn now(&self) -> u64 {
        self.0.load(SeqCst)
    }

    fn set(&self, seconds: u64) {
        self.0.store(seconds, SeqCst);
    }
}

async fn house(hand: &Hand, plan: Plan) -> House {
    House::with(Plan { clock: Some(hand.clock()), ..plan }).await
}

/// A caller whose token was made at one time and ends at another.
fn caller(house: &House, tenant: &str, from: u64, until: u64) -> Caller {
    let claims = with(&claims(ISSUER, &house.resource(), tenant), "iat", json!(from));
    house.caller_with(tenant, house.signer.token(&with(&claims, "exp", json!(until))))
}

async fn status(caller: &mut Caller) -> u16 {
    caller.call("whoami", json!({})).await.status
}

#[tokio::test]
async fn a_token_that_has_ended_stays_ended() {
    let hand = Hand::new();
    let start = hand.now();
    let house = house(&hand, Plan::default()).await;
    // One is known before it ends, one is first seen afterwards, and the neighbour's lasts.
    let mut known = caller(&house, "acme", start - 1, start + 600);
    let mut unknown = caller(&house, "acme", start - 1, start + 599);
    let mut lasting = caller(&house, "acme", start - 1, start + 2 * HOUR);
    let mut globex = caller(&house, "globex", start - 1, start + 2 * HOUR);
    assert_eq!(status(&mut known).await, 200);
    hand.set(start + 600);
    assert_eq!([status(&mut known).await, status(&mut unknown).await], [401, 401]);
    for back in [start + 599, start, start + 300] {
        hand.set(back);
        assert_eq!([status(&mut known).await, status(&mut unknown).await], [401, 401], "set back to {back}");
        assert_eq!([status(&mut lasting).await, status(&mut globex).await], [200, 200]);
    }
}

/// What is ready at once is not answered either when the token has ended since the head came (ID-09).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_ends_before_the_body_or_in_a_batch_has_ended() {
    let hand = Hand::new();
    let house = house(&hand, Plan::default()).await;
    let profile = json!({ "customer_id": "cus_1" });
    let asks = [
        Ask::call("whoami", &json!({})),
        Ask::call("customer_profile", &profile),
        Ask::legacy("tools/list", &json!({})),
    ];
    let until = |end: u64| caller(&house, "acme", hand.now() - 1, end);
    for ask in &asks {
        let end = hand.now() + 600;
        let mut acme = until(end);
        assert!(acme.call("customer_profile", profile.clone()).await.is_ok(), "it is cached");
        house.until("partywall_calls_in_flight", 0).await;
        let mut conn = Conn::open(house.address).await;
        let bytes = ask.clone().bearer(&acme.token).bytes();
        conn.send(&bytes[..bytes.len() - 1]).await;
        house.until("partywall_calls_in_flight", 1).await;
        hand.set(end);
        conn.send(b"}").await;
        let answer = in_time("the answer", conn.answer()).await.unwrap();
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    let end = hand.now() + 600;
    let slow = Ask::call("slow", &json!({ "tag": "x" }));
    let messages: Vec<String> = std::iter::once(&slow).chain(&asks).map(Ask::text).collect();
    let batch = Ask::post(format!("[{}]", messages.join(",")));
    let mut sender = until(end);
    let answer = task(async move { sender.ask(batch).await });
    house.gates.of("acme").came(1).await;
    hand.set(end);
    house.gates.of("acme").open(1);
    let answer = answer.await.unwrap().json();
    let codes: Vec<_> =
        answer.as_array().unwrap().iter().map(|reply| reply["error"]["code"].as_i64()).collect();
    assert_eq!(codes, [None, Some(401), Some(401), Some(401)], "{answer}");
}

#[tokio::test]
async fn leeway_is_for_small_steps_back() {
    let hand = Hand::new();
    let start = hand.now();
    let house = house(&hand, Plan::default()).await;
    let mut acme = caller(&house, "acme", start, start + HOUR);
    let steps = [
        (start, 200),
        (start - 20, 200),
        (start - 40, 401),
        (start - YEAR, 401),
        (1, 401),
        (start, 200),
        // Keys that were read long ago are read again, at once.
        (start + HOUR - 1, 200),
    ];
    for (now, expected) in steps {
        hand.set(now);
        assert_eq!(status(&mut acme).await, expected, "{now}, begun at {start}");
    }
    // Years ahead nothing of today is good, and nothing hangs or fails.
    hand.set(start + 500 * YEAR);
    assert_eq!(status(&mut acme).await, 401);
    let mut then = caller(&house, "acme", start + 500 * YEAR, start + 500 * YEAR + 60);
    assert_eq!(status(&mut then).await, 200);
}

#[tokio::test]
async fn what_is_cached_ends_by_the_time_that_passes() {
    let hand = Hand::new();
    let start = hand.now();
    let house = house(&hand, Plan::default()).await;
    let token = |now: u64| caller(&house, "acme", now - 1, now + HOUR);
    for (round, now) in [start, start - 10 * YEAR, start + 10 * YEAR, start].into_iter().enumerate() {
        hand.set(now);
        let mut acme = token(now + round as u64);
        let answer = acme.call("customer_profile", json!({ "customer_id": "cus_1" })).await;
        assert!(answer.is_ok(), "{answer:?}");
        assert_eq!(house.upstream.times("acme", "/cus_1"), 1, "no time has passed, whatever the clock says");
    }
}

#[tokio::test]
async fn limits_count_the_time_that_passes() {
    let hand = Hand::new();
    let start = hand.now();
    let capacity = "requests_per_second = 1\nburst = 3\nconcurrent_requests = 3\n\
        [capacity.tenant.globex]\nrequests_per_second = 100000\nburst = 100000\nconcurrent_requests = 100\n";
    let house = house(&hand, Plan { capacity: Some(capacity), ..Plan::default() }).await;
    let mut served = 0;
    for (n, now) in [start, start + YEAR, start, start - YEAR].into_iter().cycle().take(40).enumerate() {
        hand.set(now);
        let mut acme = caller(&house, "acme", now - 1, now + HOUR + n as u64);
        let answer = acme.call("whoami", json!({})).await;
        served += u32::from(answer.status == 200);
        if answer.status != 200 {
            assert_eq!(answer.header("retry-after"), Some("1"), "no wait grows with the clock: {answer:?}");
        }
        let mut globex = caller(&house, "globex", now - 1, now + HOUR + n as u64);
        assert_eq!(status(&mut globex).await, 200);
    }
    // One more for each second that the machine really took.
    assert!((3..20).contains(&served), "a year on the clock is no year: {served}");
}

#[tokio::test]
async fn a_handle_that_has_ended_stays_ended() {
    let hand = Hand::new();
    let start = hand.now();
    let tools = (0..120).map(|n| format!("[[tool]]\nname = \"t{n}\"\nnative = \"whoami\"\n")).collect();
    let house = house(&hand, Plan { tools, ..Plan::default() }).await;
    let mut acme = caller(&house, "acme", start - 1, start + 10 * HOUR);
    let list = |cursor: &str| Ask::legacy("tools/list", &json!({ "cursor": cursor }));
    let first = acme.ask(Ask::legacy("tools/list", &json!({}))).await.result();
    let old = first["nextCursor"].as_str().unwrap().to_owned();
    for (now, good) in [
        (start + HOUR - 1, true),
        (start, true),
        (start + HOUR, false),
        (start + HOUR - 1, false),
        (start, false),
    ] {
        hand.set(now);
        let answer = acme.ask(list(&old)).await;
        assert_eq!(answer.is_ok(), good, "{} s later: {answer:?}", now - start);
    }
    // A new one is good, also on a clock that was set back.
    let first = acme.ask(Ask::legacy("tools/list", &json!({}))).await.result();
    assert!(acme.ask(list(first["nextCursor"].as_str().unwrap())).await.is_ok());
}
