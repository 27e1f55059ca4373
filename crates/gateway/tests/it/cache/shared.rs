//! Replies that two gateways share in Redis, over HTTP.

use std::time::{Duration, Instant};

use serde_json::json;

use super::assert_owner;
use crate::support::{Ask, House, Plan};

const TOOL: &str = r#"
[[tool]]
name = "shared_profile"
description = "Kept for all processes."
http = { method = "GET", url = "http://127.0.0.1:8790/v1/customers/{customer_id}" }
auth = { bearer = "secret:crm_api_key" }
owner = { pointer = "/organization_id", equals = "tenant" }
cache = { ttl = "60s", shared = true }
args.customer_id = { type = "string", min_length = 1, max_length = 200 }
"#;

/// A house whose processes share replies, and those of no other test.
async fn house(redis: &str, lines: &str) -> House {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes).unwrap();
    let prefix = format!("test-{:016x}", u64::from_be_bytes(bytes));
    let shared = format!("[shared]\nredis = \"{redis}\"\nprefix = \"{prefix}\"\nreplicas = 1\n{lines}\n");
    House::with(Plan { tools: format!("{TOOL}{shared}"), ..Plan::default() }).await
}

async fn on_the_server() -> House {
    house(&variable("PARTYWALL_TEST_REDIS"), "timeout = \"1s\"").await
}

fn variable(name: &str) -> String {
    let value = std::env::var_os(name).and_then(|value| value.into_string().ok());
    value.unwrap_or_else(|| panic!("{name} is not set; run `cargo xtask test`, which sets it"))
}

fn profile(customer: &str) -> Ask {
    Ask::call("shared_profile", &json!({ "customer_id": customer }))
}

const HITS: &str = "partywall_shared_cache_reads_total{result=\"hit\"}";
const UNREADABLE: &str = "partywall_shared_cache_reads_total{result=\"unreadable\"}";

async fn two_gateways_share(house: House) {
    let twin = house.twin().await;
    for customer in ["cus_1", "cus_2"] {
        for id in ["acme", "globex"] {
            let (mut here, mut there) = (house.caller(id), house.caller_at(id, twin));
            let order = if customer == "cus_1" { [&mut here, &mut there] } else { [&mut there, &mut here] };
            for caller in order {
                let answer = caller.ask(profile(customer)).await;
                assert_owner(&answer, caller, &house);
            }
            assert_eq!(house.upstream.times(id, customer), 1, "{id}: one of the two asked");
        }
    }
    assert_eq!(house.metric(HITS).await, 2, "what the other one had asked for");
    assert_eq!(house.metric(UNREADABLE).await, 0);
    // A tool that does not say so shares nothing.
    for caller in [&mut house.caller("acme"), &mut house.caller_at("acme", twin)] {
        let ask = Ask::call("customer_profile", &json!({ "customer_id": "cus_3" }));
        assert_owner(&caller.ask(ask).await, caller, &house);
    }
    assert_eq!(house.upstream.times("acme", "cus_3"), 2);
}

#[tokio::test]
async fn two_gateways_share_what_one_of_them_asked_for() {
    two_gateways_share(on_the_server().await).await;
}

#[tokio::test]
async fn two_gateways_share_on_a_cluster() {
    let nodes = variable("PARTYWALL_TEST_REDIS_CLUSTER");
    two_gateways_share(house(&nodes, "timeout = \"1s\"\ncluster = true").await).await;
}

/// What is another tenant's, or not there, is not kept for anybody.
#[tokio::test]
async fn a_foreign_record_and_an_absence_are_not_shared() {
    let house = on_the_server().await;
    let twin = house.twin().await;
    for customer in ["stray_two", "late_two", "nobody", "forbidden"] {
        for caller in [&mut house.caller("acme"), &mut house.caller_at("acme", twin)] {
            assert_eq!(caller.ask(profile(customer)).await.tool_error(), "Not found.", "{customer}");
        }
        assert_eq!(house.upstream.times("acme", customer), 2, "{customer}: each asks");
    }
    assert_eq!(house.metric("partywall_shared_cache_writes_total{result=\"stored\"}").await, 0);
    house.upstream.be_honest();
    house.upstream.add("acme", "late_two");
    for customer in ["stray_two", "late_two"] {
        for caller in [&mut house.caller_at("acme", twin), &mut house.caller("acme")] {
            assert_owner(&caller.ask(profile(customer)).await, caller, &house);
        }
        assert_eq!(house.upstream.times("acme", customer), 3, "{customer}: and then one of the two");
    }
}

#[tokio::test]
async fn a_tenant_that_was_removed_and_added_again_meets_nothing_of_before() {
    let house = on_the_server().await;
    let twin = house.twin().await;
    let mut acme = house.caller("acme");
    assert_owner(&acme.ask(profile("cus_1")).await, &acme, &house);
    let mut before = house.caller_at("acme", twin);
    house.remove("acme");
    house.add("acme");
    let mut acme = house.caller("acme");
    assert_owner(&acme.ask(profile("cus_1")).await, &acme, &house);
    assert_eq!(house.upstream.times("acme", "cus_1"), 2, "asked for anew");
    assert_eq!(house.metric(HITS).await, 0);
    // The twin knows of no removal. It finds the first life's reply, which shows that it was still there; it has no key
    // of its own left that the service takes.
    assert!(before.ask(profile("cus_1")).await.is_ok());
    assert!(!before.ask(profile("cus_2")).await.is_ok());
}

#[tokio::test]
async fn without_redis_calls_go_on_in_time() {
    // Nobody listens there: the port was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let house = house(&format!("redis://127.0.0.1:{port}"), "timeout = \"300ms\"").await;
    let mut acme = house.caller("acme");
    let start = Instant::now();
    for n in 0..40 {
        let answer = acme.ask(profile(&format!("cus_{n}"))).await;
        assert_owner(&answer, &acme, &house);
    }
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    for _ in 0..3 {
        assert_owner(&acme.ask(profile("cus_1")).await, &acme, &house);
    }
    assert_eq!(house.upstream.times("acme", "cus_1"), 1, "the process' own cache is as before");
}
