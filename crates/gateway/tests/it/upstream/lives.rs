//! How long processes live, and what ends them.

use super::*;
use crate::support::task;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_is_one_tenants_and_the_next_call_starts_another_process() {
    let house = house(table("t", "honest", "")).await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    told(&mut globex, "t_remember", json!({ "note": "kept" })).await;
    let before = told(&mut acme, "t_surroundings", json!({})).await["run"].clone();
    let why = acme.call("t_crash", json!({})).await.tool_error();
    assert!(why.contains("not known whether the call was carried out"), "{why}");
    let after = told(&mut acme, "t_surroundings", json!({})).await["run"].clone();
    assert_ne!(before, after);
    // One that ends again and again is waited for, and nobody else waits.
    let mut refused = 0;
    for _ in 0..4 {
        let why = acme.call("t_crash", json!({})).await.tool_error();
        refused += usize::from(why.contains("as expected") || why.contains("not known whether"));
    }
    assert_eq!(refused, 4);
    assert_eq!(told(&mut globex, "t_recall", json!({})).await, json!(["kept"]));
    assert!(
        house.metric("partywall_upstream_events_total{event=\"started\"}").await <= 4,
        "it is not started each time"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suspension_and_removal_end_all_that_was_started() {
    let house = house(table("t", "honest", "")).await;
    let registry = &house.gateway.administration().registry;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    let theirs = told(&mut globex, "t_spawn", json!({})).await["mark"].clone();
    let pids = told(&mut acme, "t_spawn", json!({})).await["mark"].clone();
    assert!(runs(&pids) && runs(&theirs));
    let mut waiting = house.caller("acme");
    let open = task(async move { waiting.call("t_hang", json!({})).await });
    registry.suspend(&tenant("acme")).unwrap();
    until_gone(&pids).await;
    assert!(!open.await.unwrap().is_ok(), "whoever waited is told no more");
    registry.resume(&tenant("acme")).unwrap();
    told(&mut acme, "t_write_file", json!({ "name": "left.txt", "body": "x" })).await;
    let pids = told(&mut acme, "t_spawn", json!({})).await["mark"].clone();
    house.remove("acme");
    until_gone(&pids).await;
    house.add("acme");
    let mut anew = house.caller("acme");
    assert_eq!(told(&mut anew, "t_files", json!({})).await, json!([]), "a new life finds nothing");
    assert_eq!(told(&mut anew, "t_recall", json!({})).await, json!([]));
    assert!(runs(&theirs), "the other tenant's go on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_processes_and_those_that_are_not_declared_any_more_end() {
    let mut house =
        house(table("quick", "honest", "limits = { idle = \"1s\" }") + &table("t", "honest", "")).await;
    let mut acme = house.caller("acme");
    let quick = told(&mut acme, "quick_surroundings", json!({})).await["argv"][2].clone();
    let around = told(&mut acme, "t_surroundings", json!({})).await;
    let (kept, kept_mark) = (around["run"].clone(), around["argv"][2].clone());
    until_gone(&quick).await;
    assert!(runs(&kept_mark));
    // Another configuration in which it is the same.
    house.reload(|text| text.replace("idle = \"1s\"", "idle = \"2s\"")).unwrap();
    assert_eq!(told(&mut acme, "t_surroundings", json!({})).await["run"], kept);
    house
        .reload(|text| text.replace("[[upstream]]\nname = \"t\"", "[[upstream]]\nname = \"other\""))
        .unwrap();
    until_gone(&kept_mark).await;
    assert_eq!(told(&mut acme, "other_recall", json!({})).await, json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_secret_starts_another_process() {
    let house = house(table("t", "honest", "env = { KEY = \"secret:k\" }")).await;
    set_secret(&house, "acme", "k", "first");
    let mut acme = house.caller("acme");
    let first = told(&mut acme, "t_surroundings", json!({})).await;
    set_secret(&house, "acme", "k", "second");
    let second = told(&mut acme, "t_surroundings", json!({})).await;
    assert_eq!((&first["env"]["KEY"], &second["env"]["KEY"]), (&json!("first"), &json!("second")));
    assert_ne!(first["run"], second["run"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_is_started_however_many_ask_at_once() {
    let house = house(table("t", "slow-start", "")).await;
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let mut caller = house.caller("acme");
            task(async move { told(&mut caller, "t_surroundings", json!({})).await["run"].clone() })
        })
        .collect();
    let mut pids = Vec::new();
    for call in calls {
        pids.push(call.await.unwrap());
    }
    pids.dedup();
    assert_eq!(pids.len(), 1);
    assert_eq!(house.metric("partywall_upstream_events_total{event=\"started\"}").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_server_stops_so_do_they() {
    let mut house = house(table("t", "honest", "")).await;
    let mut acme = house.caller("acme");
    let pids = told(&mut acme, "t_spawn", json!({})).await["mark"].clone();
    acme.hang_up();
    house.stop().await;
    until_gone(&pids).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_replaced_goes_on_for_the_calls_that_run_on_it() {
    let mut house = house(table("t", "more", "env = { KEY = \"secret:k\" }")).await;
    set_secret(&house, "acme", "k", "first");
    let mut acme = house.caller("acme");
    let mut runs = vec![told(&mut acme, "t_surroundings", json!({})).await["run"].clone()];
    let mut open = Vec::new();
    let mut start = |house: &House| {
        let mut caller = house.caller("acme");
        open.push(task(async move { told(&mut caller, "t_sleep", json!({ "seconds": 4 })).await }));
    };
    start(&house);
    tokio::time::sleep(Duration::from_millis(500)).await;
    set_secret(&house, "acme", "k", "second");
    runs.push(told(&mut acme, "t_surroundings", json!({})).await["run"].clone());
    start(&house);
    tokio::time::sleep(Duration::from_millis(500)).await;
    house.reload(|text| text.replace("env = {", "limits = { idle = \"9m\" }\nenv = {")).unwrap();
    runs.push(told(&mut acme, "t_surroundings", json!({})).await["run"].clone());
    assert!(runs[0] != runs[1] && runs[1] != runs[2], "{runs:?}");
    assert_eq!(house.metric("partywall_upstream_processes").await, 3);
    for call in open {
        assert_eq!(call.await.unwrap(), "slept");
    }
    in_time("those that nobody uses end", async {
        while house.metric("partywall_upstream_processes").await > 1 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    // And with the tenant ends whatever it still has.
    let mark = told(&mut acme, "t_surroundings", json!({})).await["argv"][2].clone();
    let mut caller = house.caller("acme");
    let open = task(async move { caller.call("t_sleep", json!({ "seconds": 60 })).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    set_secret(&house, "acme", "k", "third");
    told(&mut acme, "t_recall", json!({})).await;
    house.gateway.administration().registry.suspend(&tenant("acme")).unwrap();
    until_gone(&mark).await;
    assert_eq!(open.await.unwrap().status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_without_an_answer_is_not_said_to_be_undone() {
    let house = house(table("t", "more", "timeout = \"1s\"")).await;
    let mut acme = house.caller("acme");
    let why = acme.call("t_sleep", json!({ "seconds": 5 })).await.tool_error();
    assert!(why.contains("not known whether") && !why.contains("Try again"), "{why}");
    let why = acme.call("t_hang", json!({})).await.tool_error();
    assert!(why.contains("took too long"), "what only reads may be tried again: {why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_calls_do_not_end_a_process_that_is_there_still() {
    let house = house(table("t", "more", "timeout = \"1s\"")).await;
    let mut acme = house.caller("acme");
    let run = told(&mut acme, "t_surroundings", json!({})).await["run"].clone();
    for _ in 0..3 {
        assert!(acme.call("t_hang", json!({})).await.tool_error().contains("took too long"));
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(told(&mut acme, "t_surroundings", json!({})).await["run"], run);
    for tool in ["t_deaf", "t_recall", "t_recall"] {
        assert!(acme.call(tool, json!({})).await.tool_error().contains("took too long"));
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = told(&mut acme, "t_surroundings", json!({})).await["run"].clone();
    assert!(after.is_string() && after != run, "{after}");
}
