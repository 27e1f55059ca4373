//! Servers at a URL: one conversation for each principal, with the tenant's credential.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use super::*;

/// A server that ends with the test.
struct Served(Child, u16);

impl Served {
    fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/upstream/served.py");
        let mut child = Command::new("/usr/bin/python3").arg(script).stdout(Stdio::piped()).spawn().unwrap();
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
