//! What a server may send, and how long it may take.

use super::*;
use crate::support::task;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_much_is_refused_and_the_conversation_goes_on() {
    let house = house(table("t", "honest", "")).await;
    let mut acme = house.caller("acme");
    let pid = told(&mut acme, "t_surroundings", json!({})).await["run"].clone();
    for (tool, args) in [("t_huge", json!({})), ("t_big_result", json!({ "size": 2 << 20 }))] {
        let why = acme.call(tool, args).await.tool_error();
        assert!(why.contains("too large"), "{why}");
    }
    assert_eq!(told(&mut acme, "t_big_result", json!({ "size": 1000 })).await, "x".repeat(1000));
    assert_eq!(told(&mut acme, "t_flood", json!({})).await, "flooded");
    assert_eq!(told(&mut acme, "t_surroundings", json!({})).await["run"], pid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_hangs_ends_in_its_time_and_others_do_not_wait() {
    let house = house(table("t", "honest", "timeout = \"1s\"")).await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    told(&mut globex, "t_recall", json!({})).await;
    let hanging = task(async move {
        let why = acme.call("t_hang", json!({})).await.tool_error();
        (acme, why)
    });
    assert_eq!(told(&mut globex, "t_recall", json!({})).await, json!([]));
    let (mut acme, why) = hanging.await.unwrap();
    assert!(why.contains("took too long"), "{why}");
    assert_eq!(told(&mut acme, "t_recall", json!({})).await, json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_start_is_missing_and_nothing_else_is() {
    let tools = table("garbage", "garbage", "")
        + &table("dies", "dies", "env = { KEY = \"text\" }")
        + &table("silent", "silent", "limits = { start = \"1s\" }")
        + "\n[[upstream]]\nname = \"absent\"\ncommand = [\"/nowhere/at-all\"]\n"
        + &table("endless", "endless", "")
        + &table("t", "honest", "");
    let house = house(tools).await;
    let mut acme = house.caller("acme");
    let all = names(&mut acme).await;
    assert!(all.contains(&"whoami".to_owned()) && all.contains(&"t_recall".to_owned()));
    for name in ["garbage", "dies", "silent", "absent"] {
        assert!(!all.iter().any(|tool| tool.starts_with(name)), "{name}");
        let why = acme.call(&format!("{name}_recall"), json!({})).await.tool_error();
        assert!(!why.contains("nowhere"), "what the operator needs is not told: {why}");
    }
    assert_eq!(all.iter().filter(|tool| tool.starts_with("endless_")).count(), 17);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_changed_is_read_again() {
    let house = house(table("t", "honest", "")).await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    assert!(!of(&mut acme, "t_").await.contains(&"extra".to_owned()));
    assert!(!of(&mut globex, "t_").await.contains(&"extra".to_owned()));
    told(&mut acme, "t_grow", json!({})).await;
    in_time("the new tool is listed", async {
        while !of(&mut acme, "t_").await.contains(&"extra".to_owned()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(!of(&mut globex, "t_").await.contains(&"extra".to_owned()), "the other one's has not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_goes_to_whoever_asked() {
    let house = house(table("t", "honest", "")).await;
    let mut acme = house.caller("acme");
    let params = json!({ "name": "t_slow", "arguments": {}, "_meta": { "progressToken": "mine" } });
    let text = acme.ask(Ask::legacy("tools/call", &params)).await.text();
    assert_eq!(text.matches("notifications/progress").count(), 3, "{text}");
    assert!(text.contains("\"progressToken\":\"mine\"") && text.contains("done"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_are_no_more_processes_than_there_may_be() {
    let plan = Plan {
        tools: table("t", "more", ""),
        capacity: Some("requests_per_second = 1000000\nburst = 1000000\nupstream_processes = 1\n"),
        ..Plan::default()
    };
    let house = House::with(plan).await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    told(&mut acme, "t_recall", json!({})).await;
    let mut busy = house.caller("acme");
    let open = task(async move { told(&mut busy, "t_sleep", json!({ "seconds": 3 })).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    for _ in 0..3 {
        let why = globex.call("t_recall", json!({})).await.tool_error();
        assert!(why.contains("Try again"), "{why}");
    }
    assert_eq!(open.await.unwrap(), "slept");
    // What nobody uses gives its place to whoever needs one.
    for caller in [&mut globex, &mut acme] {
        assert_eq!(told(caller, "t_recall", json!({})).await, json!([]));
        assert_eq!(house.metric("partywall_upstream_processes").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_does_not_wait_twice_for_what_does_not_start() {
    let house = house(table("silent", "silent", "limits = { start = \"4s\" }")).await;
    let mut acme = house.caller("acme");
    let mut took = Vec::new();
    for pause in [0, 7] {
        tokio::time::sleep(Duration::from_secs(pause)).await;
        let began = std::time::Instant::now();
        assert!(names(&mut acme).await.contains(&"whoami".to_owned()));
        took.push(began.elapsed().as_secs_f64());
    }
    assert!(took[0] >= 3.5 && (1.5..3.5).contains(&took[1]), "{took:?}");
}
