//! `partywall demo`, as a newcomer meets it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Running, fails, run};

struct Demo {
    running: Running,
    url: String,
    tokens: Value,
    tools: Vec<String>,
}

fn demo(folder: &std::path::Path) -> Demo {
    let mut running = Running::start(folder, &["demo", "--port", "0", "--json", "--dir", "d"]);
    let ready: Value = serde_json::from_str(&running.line()).unwrap();
    let tools =
        ready["tools"].as_array().unwrap().iter().map(|tool| tool.as_str().unwrap().to_owned()).collect();
    Demo { running, url: ready["url"].as_str().unwrap().to_owned(), tokens: ready["tokens"].clone(), tools }
}

async fn call(demo: &Demo, tenant: &str, tool: &str, arguments: Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": tool, "arguments": arguments } });
    let response = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap()
        .post(&demo.url)
        .header("Authorization", format!("Bearer {}", demo.tokens[tenant].as_str().unwrap()))
        .header("Content-Type", "application/json")
        .header("Accept", "application/json, text/event-stream")
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

#[tokio::test]
async fn two_companies_are_served_and_neither_sees_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let demo = demo(folder.path());
    let expected =
        ["list_tickets", "get_ticket", "search_tickets", "add_comment", "customer_profile", "whoami"];
    assert_eq!(demo.tools, expected);
    for (tenant, other) in [("acme", "globex"), ("globex", "acme")] {
        let calls = [
            ("list_tickets", json!({})),
            ("get_ticket", json!({ "id": 4 })),
            ("search_tickets", json!({ "query": "e" })),
            ("add_comment", json!({ "ticket_id": 2, "body": format!("from {tenant}") })),
            ("get_ticket", json!({ "id": 2 })),
            ("customer_profile", json!({ "customer_id": "cus_1001" })),
            ("whoami", json!({})),
        ];
        for (tool, arguments) in calls {
            let reply = call(&demo, tenant, tool, arguments).await;
            let text = reply.to_string().to_lowercase();
            assert!(reply["result"]["structuredContent"].is_object(), "{tool}: {text}");
            assert!(!text.contains(other), "{tenant} {tool}: {text}");
        }
        let whoami = call(&demo, tenant, "whoami", json!({})).await;
        assert_eq!(whoami["result"]["structuredContent"]["tenant"], tenant);
        let profile = call(&demo, tenant, "customer_profile", json!({ "customer_id": "cus_1001" })).await;
        assert_eq!(profile["result"]["structuredContent"]["organization_id"], tenant);
    }
    demo.running.signal("-HUP");
    let whoami = call(&demo, "acme", "whoami", json!({})).await;
    assert_eq!(whoami["result"]["structuredContent"]["tenant"], "acme", "SIGHUP ends nothing");
    let (status, _) = demo.running.stop("-INT");
    assert_eq!(status, Some(0));
}

#[tokio::test]
async fn the_folder_is_used_again_also_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let first = demo(folder.path());
    let comment = json!({ "ticket_id": 3, "body": "still here" });
    assert!(call(&first, "acme", "add_comment", comment).await["result"]["structuredContent"].is_object());
    assert_eq!(first.running.stop("-KILL").0, None);
    let second = demo(folder.path());
    let ticket = call(&second, "acme", "get_ticket", json!({ "id": 3 })).await;
    assert!(ticket.to_string().contains("still here"), "{ticket}");
    assert!(
        !call(&second, "globex", "get_ticket", json!({ "id": 3 })).await.to_string().contains("still here")
    );
}

#[tokio::test]
async fn the_audit_log_is_shown_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let demo = demo(here);
    assert!(
        fails(here, &["audit", "tail", "--config", "d/partywall.toml", "--tenant", "acme"], "")
            .contains("a log begins with the first request")
    );
    for tenant in ["acme", "globex"] {
        for tool in ["whoami", "list_tickets"] {
            call(&demo, tenant, tool, json!({})).await;
        }
        call(&demo, tenant, "add_comment", json!({ "ticket_id": 2, "body": "x" })).await;
    }
    let audit = |more: &[&str]| run(here, &[&["audit", "--config", "d/partywall.toml"], more].concat(), "");
    let text = |output: std::process::Output| String::from_utf8(output.stdout).unwrap();
    let tail = text(audit(&["tail", "--tenant", "acme", "-n", "2"]));
    let words: Vec<Vec<&str>> = tail.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words.len(), 2, "{tail}");
    assert_eq!((words[0][1], words[0][3], words[0][7]), ("acme", "started", "add_comment"), "{tail}");
    assert_eq!((words[1][3], words[1][7]), ("ok", "add_comment"), "{tail}");
    assert_eq!(text(audit(&["tail", "--json", "-n", "100"])).lines().count(), 8);

    let verified = audit(&["verify"]);
    assert_eq!(verified.status.code(), Some(0));
    assert_eq!(text(verified).lines().filter(|line| line.contains("lines 1 to 4, head ")).count(), 2);
    let log = here.join("d/data/audit/acme.jsonl");
    let tampered = std::fs::read_to_string(&log).unwrap().replacen("whoami", "whoamx", 1);
    std::fs::write(&log, tampered).unwrap();
    let verified = audit(&["verify", "--json"]);
    assert_eq!(verified.status.code(), Some(1));
    let reports: Vec<Value> =
        text(verified).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&reports[0]["verdict"], &reports[0]["at"]), (&json!("damaged"), &json!(2)), "{reports:?}");
    assert_eq!((&reports[1]["log"], &reports[1]["verdict"]), (&json!("globex"), &json!("whole")));
    assert_eq!(audit(&["verify", "--tenant", "globex"]).status.code(), Some(0));
    assert_eq!(audit(&["verify", "--tenant", "nobody"]).status.code(), Some(2));
}

/// What somebody wrote himself is not written over, with the name of the demo's file or in place of it.
#[test]
fn a_configuration_of_ones_own_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("mine");
    for text in ["hello", "[server]\nlisten = \"127.0.0.1:8787\"\n"] {
        std::fs::create_dir_all(&own).unwrap();
        std::fs::write(own.join("partywall.toml"), text).unwrap();
        let error = fails(folder.path(), &["demo", "--port", "0", "--dir", "mine"], "");
        assert!(error.contains("would write over it"), "{error}");
        assert_eq!(std::fs::read_to_string(own.join("partywall.toml")).unwrap(), text);
        assert!(!own.join("migrations").exists() && !own.join("data").exists());
    }
    // The demo's own, with a line of somebody's in it.
    let first = demo(folder.path());
    assert_eq!(first.running.stop("-INT").0, Some(0));
    let file = folder.path().join("d/partywall.toml");
    let text = std::fs::read_to_string(&file).unwrap() + "\n# mine\n";
    std::fs::write(&file, &text).unwrap();
    fails(folder.path(), &["demo", "--port", "0", "--dir", "d"], "");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn a_foreign_folder_and_a_taken_port_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mine")).unwrap();
    std::fs::write(folder.path().join("mine/thesis.txt"), "text").unwrap();
    let error = fails(folder.path(), &["demo", "--port", "0", "--dir", "mine"], "");
    assert!(error.contains("choose another folder with --dir"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path().join("mine")).unwrap().count(), 1);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let error = fails(folder.path(), &["demo", "--port", &port], "");
    assert!(error.contains("--port 0"), "{error}");
}

#[test]
fn without_json_it_prints_what_a_newcomer_can_paste() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = Running::start(folder.path(), &["demo", "--port", "0", "--dir", "d"]);
    let mut text = String::new();
    while !text.contains("partywall probe") {
        let line = running.line();
        assert!(!line.is_empty(), "{text}");
        text.push_str(&line);
    }
    for part in ["── acme ──", "── globex ──", "curl -s http://127.0.0.1:", "mcpServers"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert_eq!(running.stop("-TERM").0, Some(0));
    assert_eq!(run(folder.path(), &["demo", "--port", "x"], "").status.code(), Some(2));
}
