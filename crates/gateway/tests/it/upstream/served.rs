//! Servers at a URL: one conversation for each principal, with the tenant's credential.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use super::*;
use crate::support::task;

/// A server that ends with the test.
struct Served(Child, u16);

impl Served {
    fn start() -> Self {
        Self::with("")
    }

    fn with(mode: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/upstream/served.py");
        let mut child =
            Command::new("/usr/bin/python3").args([script, mode]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self(child, line.trim().parse().unwrap())
    }

    /// A house with this server behind it.
    async fn house(&self) -> House {
        let at = format!("127.0.0.1:{}", self.1);
        let table = format!(
            "\n[[upstream]]\nname = \"s\"\nurl = \"http://{at}/mcp\"\nauth = {{ bearer = \"secret:s_key\" }}\n"
        );
        let mut house = House::open().await;
        let allowed = format!("allow_private = [\"{at}\", ");
        house.reload(|text| text.replacen("allow_private = [", &allowed, 1) + &table).unwrap();
        house
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_principal_has_a_conversation_with_its_tenants_credential() {
    let served = Served::start();
    let house = served.house().await;
    for id in ["acme", "globex"] {
        set_secret(&house, id, "s_key", &format!("key-of-{id}"));
    }
    let other = house.caller_with("acme", house.token("acme", "other@acme.example", ""));
    let mut callers = [house.caller("acme"), house.caller("globex"), other];
    for round in 1..3 {
        for (number, caller) in callers.iter_mut().enumerate() {
            assert_eq!(of(caller, "s_").await, ["note"]);
            let note = format!("note of {number}");
            let told = told(caller, "s_note", json!({ "note": note })).await;
            assert_eq!(
                told["headers"]["authorization"],
                format!("Bearer key-of-{}", caller.tenant),
                "{told}"
            );
            assert!(!told.to_string().contains(&caller.token));
            assert_eq!(told["notes"], json!(vec![note; round]), "nobody else's notes");
        }
    }
    // A key that was changed takes another conversation.
    set_secret(&house, "acme", "s_key", "key-of-acme-2");
    let told = told(&mut callers[0], "s_note", json!({ "note": "new" })).await;
    assert_eq!(
        (&told["headers"]["authorization"], &told["notes"]),
        (&json!("Bearer key-of-acme-2"), &json!(["new"]))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_that_is_refused_or_missing_is_said_to_its_tenant() {
    let served = Served::start();
    let house = served.house().await;
    set_secret(&house, "acme", "s_key", "wrong");
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    assert!(acme.call("s_note", json!({})).await.tool_error().contains("refused the credential"));
    assert!(globex.call("s_note", json!({})).await.tool_error().contains("credential `s_key`"));
    assert!(of(&mut acme, "s_").await.is_empty());
    set_secret(&house, "acme", "s_key", "key-of-acme");
    assert_eq!(of(&mut acme, "s_").await, ["note"], "the right one is tried at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_has_forgotten_a_conversation_gets_another_one() {
    let served = Served::with("more");
    let house = served.house().await;
    set_secret(&house, "acme", "s_key", "key-of-acme");
    let mut acme = house.caller("acme");
    for round in 0..3 {
        told(&mut acme, "s_note", json!({ "note": "lost" })).await;
        assert_eq!(told(&mut acme, "s_forget", json!({ "note": "404" })).await, "forgotten");
        // A status that says that nothing was taken: the call is made in the next conversation, and once.
        let after = told(&mut acme, "s_note", json!({ "note": format!("a{round}") })).await;
        assert_eq!(after["notes"], json!([format!("a{round}")]), "{after}");
        assert_eq!(told(&mut acme, "s_forget", json!({ "note": "400" })).await, "forgotten");
        let why = acme.call("s_note", json!({ "note": "b" })).await.tool_error();
        assert!(why.contains("Try again"), "{why}");
        let after = told(&mut acme, "s_note", json!({ "note": format!("c{round}") })).await;
        assert_eq!(after["notes"], json!([format!("c{round}")]), "{after}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_suspended_while_a_call_runs_is_not_told_its_answer() {
    let served = Served::with("more");
    let house = served.house().await;
    set_secret(&house, "acme", "s_key", "key-of-acme");
    let registry = &house.gateway.administration().registry;
    // The first is answered before anybody looks after what runs; the second is not waited for.
    for seconds in ["0.3", "8"] {
        let mut acme = house.caller("acme");
        assert_eq!(told(&mut acme, "s_slow", json!({ "note": "0" })).await, "done at last");
        let began = std::time::Instant::now();
        let open = task(async move { acme.call("s_slow", json!({ "note": seconds })).await });
        tokio::time::sleep(Duration::from_millis(150)).await;
        registry.suspend(&tenant("acme")).unwrap();
        let answer = open.await.unwrap();
        assert_eq!(answer.status, 401, "{}", answer.text());
        assert!(!answer.text().contains("done at last"));
        assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
        registry.resume(&tenant("acme")).unwrap();
    }
}
