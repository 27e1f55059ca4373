//! Upstreams of HTTP tools that answer wrongly, too much, too slowly or never.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    house::{FAULTY, House, Plan},
    neighbour::Neighbour,
    upstream::Upstream,
};

/// So many callers at once meet each fault.
const CALLERS: usize = 16;

/// A reply of the upstream may be 1 MiB, and its text stands in ours twice.
const MOST_MIB: u64 = 80;

const SLOW: &str = "The call took too long and was stopped. Ask for less, or try again later.";
const WRONG: &str = "The service behind this tool did not answer as expected. Try again later.";
const LARGE: &str = "The reply would be too large. Ask for less, for example with a lower limit.";

#[test]
fn an_upstream_that_answers_wrongly_fails_its_call_and_nothing_else() {
    let upstream = Upstream::start();
    let house = House::open(&Plan { upstream: Some(upstream.address), ..Plan::default() });
    let neighbour = Neighbour::of(&house, true);
    let faults = [
        ("hang", SLOW),
        ("hang-in-body", SLOW),
        ("drip-head", SLOW),
        ("drip-body", SLOW),
        ("endless-interim", SLOW),
        ("length-too-long", WRONG),
        ("length-absurd", WRONG),
        ("length-twice", WRONG),
        ("circle", WRONG),
        ("reset", WRONG),
        ("garbage", WRONG),
        ("nothing", WRONG),
        ("deep", WRONG),
        ("endless-headers", WRONG),
        ("endless-header", WRONG),
        ("endless-chunk-size", WRONG),
        ("endless-body", LARGE),
    ];
    for (how, expected) in faults {
        let before = upstream.asked();
        house.growth(&format!("upstream {how} × {CALLERS}"), MOST_MIB, || {
            neighbour.is_undisturbed_during(&house, |_| meet(&house, how, expected));
        });
        let asked = upstream.asked() - before;
        assert!(
            asked <= CALLERS * 2,
            "{how}: {asked} requests; redirects are not followed, nor tried for ever"
        );
    }
    // What an upstream sends beyond the length it announced is nobody's reply.
    for _ in 0..3 {
        let answer = house.call(FAULTY, "broken", &json!({ "how": "length-too-short" }));
        assert!(answer.is_ok() && !answer.body.contains("smuggled"), "{answer:?}");
        let next = house.call(FAULTY, "customer_now", &json!({ "customer_id": "c1" }));
        assert!(next.is_ok() && next.body.contains(FAULTY), "{next:?}");
    }
    neighbour.is_undisturbed(&house);
}

fn meet(house: &House, how: &str, expected: &str) {
    thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                let since = Instant::now();
                let answer = match how {
                    "reset" => {
                        let text = "x".repeat(500_000);
                        house.call(FAULTY, "broken_post", &json!({ "how": how, "text": text }))
                    }
                    _ => house.call(FAULTY, "broken", &json!({ "how": how })),
                };
                assert_eq!(answer.tool_error(), expected, "{how}");
                assert!(since.elapsed() < Duration::from_secs(10), "{how}: the tool has one second");
            });
        }
    });
}
