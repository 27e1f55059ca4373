//! What an operator does while the server runs: another configuration, stopping, waiting for tenants to go idle.

use std::time::Duration;

use serde_json::json;

use crate::support::{Ask, Conn, House, Plan, task, tenant};

const MORE: &str =
    "\n[[tool]]\nname = \"later\"\nsource = \"desk\"\nrows = \"one\"\nsql = \"SELECT 1 AS one\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_configuration_is_served_from_the_next_request_on() {
    let mut house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    acme.call("remember", json!({ "text": "kept" })).await.content();
    acme.call("customer_profile", json!({ "customer_id": "cus_1" })).await.content();
    let asked = house.upstream.seen("").len();
    assert!(!acme.call("later", json!({})).await.is_ok());
    let mut slow = house.caller("acme");
    let slow = task(async move { slow.call("slow", json!({ "tag": "x" })).await });
    house.gates.of("acme").came(1).await;
    house
        .reload(|text| {
            format!("{text}[capacity.tenant.acme]\nconcurrent_requests = 1\nqueued_requests = 0\n{MORE}")
        })
        .unwrap();
    // The call that is in flight counts against the new limit, and ends as it began.
    let refused = acme.call("whoami", json!({})).await;
    assert_eq!((refused.status, refused.code()), (429, 429));
    assert_eq!(globex.call("later", json!({})).await.content()["one"], 1, "on a connection that was open");
    house.gates.of("acme").open(1);
    assert!(slow.await.unwrap().is_ok());
    house.until("partywall_calls_in_flight", 0).await;
    assert_eq!(acme.call("later", json!({})).await.content()["one"], 1);
    assert_eq!(acme.call("remember", json!({})).await.content()["kept"], "kept");
    assert_eq!(house.upstream.seen("").len(), asked);
    acme.call("customer_profile", json!({ "customer_id": "cus_1" })).await.content();
    assert_eq!(house.upstream.seen("").len(), asked + 1, "a reply of the old configuration is not found");
    assert_eq!(house.operator("/readyz").await.status, 200);
    assert_eq!(house.metric("partywall_reloads_total{result=\"ok\"}").await, 1);
    assert_eq!(house.metric("partywall_config_revision").await, 2);
}

type Edit<'e> = &'e dyn Fn(&str) -> String;

#[tokio::test]
async fn a_configuration_that_is_not_good_changes_nothing() {
    let mut house = House::open().await;
    let mut acme = house.caller("acme");
    let column = MORE.replace("1 AS one", "no_such_column FROM tickets");
    let cases: [(Edit<'_>, &str); 6] = [
        (&|text| text.replace("[capacity]", "[capacity]\nburst_size = 3"), "burst_size"),
        (&|text| format!("{text}{column}"), "no_such_column"),
        (&|text| text.replace("admin_listen = \"127.0.0.1:0\"", "admin_listen = \"127.0.0.1:1\""), "restart"),
        (&|text| text.replacen("[server]", "[server]\nmax_connections = 77", 1), "`server.max_connections`"),
        (&|text| text.replace("data_dir = \"data\"", "data_dir = \"elsewhere\""), "`server.data_dir`"),
        (
            &|text| text.replacen("[server]", "[server]\nmaster_key = \"file:partywall.toml\"", 1),
            "`server.master_key`",
        ),
    ];
    for (edit, wanted) in cases {
        let error = house.reload(edit).unwrap_err().to_string();
        assert!(error.contains(wanted), "{wanted}: {error}");
        assert_eq!(acme.whoami().await["tenant"], "acme");
        assert!(!acme.call("later", json!({})).await.is_ok());
    }
    assert_eq!(house.operator("/readyz").await.status, 200);
    assert_eq!(house.metric("partywall_config_revision").await, 1);
    assert!(!house.path().join("elsewhere").exists());
}

/// A file that cannot be read or parsed is counted too, and one that is good again is taken.
#[tokio::test]
async fn a_file_is_read_again() {
    let house = House::open().await;
    let file = house.path().join("partywall.toml");
    let error = house.gateway.reload_file(&file).unwrap_err().to_string();
    assert!(error.contains("partywall.toml"), "{error}");
    std::fs::write(&file, "[server]\nlisten = 3\n").unwrap();
    let error = house.gateway.reload_file(&file).unwrap_err().to_string();
    assert!(error.contains("partywall.toml:2: "), "{error}");
    assert_eq!(house.metric("partywall_reloads_total{result=\"error\"}").await, 2);
    std::fs::write(&file, house.text()).unwrap();
    house.gateway.reload_file(&file).unwrap();
    assert_eq!(house.caller("acme").whoami().await["tenant"], "acme");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_says_so_and_lets_calls_end() {
    let mut house = House::open().await;
    let mut calls = Vec::new();
    for progress in [json!({}), json!({ "progressToken": 1 })] {
        let mut acme = house.caller("acme");
        let params = json!({ "name": "slow", "arguments": { "tag": "x" }, "_meta": progress });
        calls.push(task(async move { acme.ask(Ask::legacy("tools/call", &params)).await }));
    }
    house.gates.of("acme").came(2).await;
    let mut idle = Conn::open(house.address).await;
    idle.ask(&Ask::call("whoami", &json!({})).bearer(&house.caller("globex").token)).await;
    assert_eq!(house.operator("/readyz").await.status, 200);
    let stopped = house.stop();
    assert!(idle.rest().await.is_empty(), "an idle connection ends");
    let answer = house.operator("/readyz").await;
    assert_eq!((answer.status, answer.text()), (503, "draining\n".to_owned()));
    assert_eq!(house.operator("/healthz").await.status, 200);
    assert!(tokio::net::TcpStream::connect(house.address).await.is_err(), "nobody new is let in");
    house.gates.of("acme").open(2);
    for call in calls {
        let answer = call.await.unwrap();
        assert!(answer.status == 200 && answer.text().contains("structuredContent"), "{answer:?}");
    }
    stopped.await;
    assert_eq!(house.audit("acme").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_end_of_the_drain_time_calls_are_stopped() {
    let mut house = House::with(Plan { server: "drain_timeout = \"50ms\"", ..Plan::default() }).await;
    let mut acme = house.caller("acme");
    let call = task(async move {
        let ask = Ask::call("slow", &json!({ "tag": "x" })).bearer(&acme.token);
        let conn = acme.connect().await;
        conn.send(&ask.bytes()).await;
        conn.rest().await
    });
    house.gates.of("acme").came(1).await;
    house.stop().await;
    assert!(call.await.unwrap().is_empty());
    house.gates.of("acme").gone(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_idle_is_let_go_and_what_is_busy_stays() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    for caller in [&mut acme, &mut globex] {
        caller.call("remember", json!({ "text": "kept" })).await.content();
        caller.call("totals", json!({})).await.content();
    }
    house.until("partywall_calls_in_flight", 0).await;
    let files = || house.gateway.administration().sources.open_files();
    assert!(files() > 0);
    assert_eq!(house.gateway.drop_idle(Duration::from_secs(3600)), 0);
    assert!(files() > 0 && house.gateway.resident_tenants() == 2);
    let mut slow = house.caller("globex");
    let slow = task(async move { slow.call("slow", json!({ "tag": "x" })).await });
    house.gates.of("globex").came(1).await;
    // Whether a call that has ended is still being put away is not to be told from outside; soon it is.
    while house.gateway.resident_tenants() > 1 {
        house.gateway.drop_idle(Duration::ZERO);
    }
    assert_eq!(files(), 0);
    house.gates.of("globex").open(1);
    assert_eq!(slow.await.unwrap().content()["kept"], "kept", "the one that was busy kept everything");
    assert_eq!(acme.call("remember", json!({})).await.content()["kept"], "");
    assert_eq!(acme.call("totals", json!({})).await.content()["tickets"], 10);
    assert!(house.gateway.administration().registry.get(&tenant("acme")).unwrap().is_some());
}

#[tokio::test]
async fn shared_limits_come_and_go_with_the_configuration() {
    let redis = std::env::var_os("PARTYWALL_TEST_REDIS").and_then(|url| url.into_string().ok());
    let redis = redis.expect(
        "PARTYWALL_TEST_REDIS is not set; run `cargo xtask test`, or start a redis-server and give its URL",
    );
    let mut house = House::open().await;
    let mut acme = house.caller("acme");
    acme.whoami().await;
    let is_shared = async |house: &House| {
        house.operator("/metrics").await.text().contains("partywall_shared_limits_reachable")
    };
    assert!(!is_shared(&house).await);
    let prefix = format!("it-{}", std::process::id());
    let shared = |redis: &str| {
        format!("\n[shared]\nreplicas = 2\ntimeout = \"1s\"\nprefix = \"{prefix}\"\nredis = \"{redis}\"\n")
    };
    let error = house.reload(|text| format!("{text}{}", shared("env:URL"))).unwrap_err().to_string();
    assert!(error.contains("env:URL stands for nothing"), "{error}");
    assert!(!is_shared(&house).await, "a configuration that is not good changes nothing");
    house.reload(|text| format!("{text}{}", shared(&redis))).unwrap();
    acme.whoami().await;
    let answered = "partywall_shared_limits_questions_total{result=\"answered\"}";
    assert_eq!(house.metric(answered).await, 1);
    assert_eq!(house.metric("partywall_shared_limits_local_calls_total").await, 0);
    // What has not changed keeps its connection and its counts.
    house.reload(|text| text.replace("replicas", "# the same\nreplicas")).unwrap();
    assert_eq!(house.metric(answered).await, 1);
    assert_eq!(house.operator("/readyz").await.status, 200);
    house.reload(|text| text.split("\n[shared]").next().unwrap().to_owned()).unwrap();
    assert!(!is_shared(&house).await);
    acme.whoami().await;
}
