//! The audit log over HTTP: there before the reply, and what happens when it cannot be written.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use partywall_gateway::audit::{Verdict, verify};
use serde_json::{Value, json};

use crate::support::{Ask, Conn, House};

/// A small disk; unmounted at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn over(folder: &Path) -> Self {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k,mode=700", "none"])
            .arg(folder)
            .status()
            .unwrap();
        assert!(mount.success(), "this test mounts a small tmpfs, which needs root or CAP_SYS_ADMIN");
        Self(folder.to_owned())
    }

    /// Leaves no byte.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut size = 1 << 20;
        let mut bytes = Vec::new();
        while size > 0 {
            bytes.resize(bytes.len() + size, 0);
            if fs::write(&path, &bytes).is_err() {
                bytes.truncate(bytes.len() - size);
                size /= 2;
            }
        }
        // The last attempt may have been one that failed; what it left fills the disk all the same.
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _best_effort = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn comment(text: &str) -> Value {
    json!({ "ticket_id": 4, "body": text })
}

/// How many comments of this text a tenant has.
fn comments(house: &House, tenant: &str, text: &str) -> i64 {
    let path = house.gateway.config().data_dir().join(format!("tenants/{tenant}/desk.sqlite"));
    let count = "SELECT count(*) FROM comments WHERE body = ?1";
    rusqlite::Connection::open(path).unwrap().query_row(count, [text], |row| row.get(0)).unwrap()
}

fn lines(house: &House, tenant: &str) -> Vec<Value> {
    let text = fs::read_to_string(house.audit_folder().join(format!("{tenant}.jsonl"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a caller wrote stands in no line, also where the answer quotes it.
#[tokio::test]
async fn no_argument_gets_into_the_log() {
    let mut house = House::open().await;
    let model =
        "[[tool]]\nname = \"ask\"\nsource = \"desk\"\nsql = \"@model\"\nargs.sql = { type = \"string\" }\n";
    house.reload(|text| format!("{text}\n{model}")).unwrap();
    let mut acme = house.caller("acme");
    for (tool, arguments) in [
        ("get_ticket", json!({ "id": "canary-1" })),
        ("get_ticket", json!({ "id": 1, "canary-2": "canary-3" })),
        ("remember", json!({ "text": { "canary-4": 1 } })),
        ("ask", json!({ "sql": "SELECT canary_5 FROM tickets WHERE title = 'canary-6'" })),
    ] {
        assert!(!acme.call(tool, arguments).await.is_ok(), "{tool}");
    }
    let all = lines(&house, "acme");
    assert!(all.len() >= 4, "{all:?}");
    assert!(!format!("{all:?}").contains("canary"), "{all:?}");
}

#[tokio::test]
async fn an_answered_request_has_its_line_and_a_change_has_one_before_it() {
    let house = House::open().await;
    let mut acme = house.caller("acme");
    for n in 1..=3 {
        let answer = acme.call("whoami", json!({})).await;
        let all = lines(&house, "acme");
        assert_eq!(all.len(), n);
        assert_eq!(all[n - 1]["request"], answer.header("x-request-id").unwrap());
    }
    let answer = acme.call("add_comment", comment("noted")).await;
    let all = lines(&house, "acme");
    let of_call: Vec<&Value> =
        all.iter().filter(|line| line["request"] == answer.header("x-request-id").unwrap()).collect();
    assert_eq!(of_call.iter().map(|line| &line["outcome"]).collect::<Vec<_>>(), ["started", "ok"]);
    assert!(!fs::read_to_string(house.audit_folder().join("acme.jsonl")).unwrap().contains("noted"));
}

#[tokio::test]
async fn a_full_disk_refuses_changes_and_serves_reads() {
    let house = House::open().await;
    let disk = SmallDisk::over(&house.audit_folder());
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    assert!(acme.call("add_comment", comment("before")).await.is_ok());
    let theirs = globex.call("list_tickets", json!({})).await.text();
    let filler = disk.fill();

    let mut rounds = 0;
    let mut refused = 0;
    // What is left of the last block takes a few lines more.
    while refused < 3 {
        let text = format!("x{rounds}");
        let answer = acme.call("add_comment", comment(&text)).await;
        if answer.text().contains("The audit log cannot be written now, so nothing was changed") {
            refused += 1;
            assert_eq!(comments(&house, "acme", &text), 0);
        } else {
            assert!(answer.is_ok() || answer.text().contains("could not note how it ended"), "{answer:?}");
            assert_eq!(comments(&house, "acme", &text), 1, "it is said to have been carried out: {answer:?}");
            assert_eq!(refused, 0, "once full, full: {answer:?}");
        }
        rounds += 1;
        assert!(acme.call("list_tickets", json!({})).await.is_ok());
        assert!(rounds < 200);
    }
    acme.call("add_comment", comment("not there")).await;
    assert_eq!((comments(&house, "acme", "before"), comments(&house, "acme", "not there")), (1, 0));
    assert_eq!(globex.call("list_tickets", json!({})).await.text(), theirs);
    assert_eq!(verify(&house.gateway.config().data_dir(), "acme").unwrap().verdict, Verdict::Whole);

    fs::remove_file(filler).unwrap();
    let answer = acme.call("add_comment", comment("after")).await;
    assert!(answer.is_ok() && !answer.text().contains("audit"), "{answer:?}");
    let report = verify(&house.gateway.config().data_dir(), "acme").unwrap();
    assert_eq!(report.verdict, Verdict::Whole);
    // Every request has its line or is among those that the log says it lacks.
    let ended = |line: &&Value| line["outcome"] != "started" && line["method"] == "tools/call";
    let noted = lines(&house, "acme").iter().filter(ended).count() as u64;
    assert_eq!(noted + report.lost, 1 + 2 * rounds + 2, "{report:?}");
    assert!(report.lost >= 7, "three refused changes, their three reads and one more change: {report:?}");
    let metrics = Conn::open(house.admin).await.ask(&Ask::new("GET", "/metrics")).await.text();
    assert!(metrics.contains(&format!("partywall_audit_lost_lines_total {}\n", report.lost)), "{metrics}");
}

#[tokio::test]
async fn a_tenants_damaged_log_is_its_own_affair() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    acme.call("whoami", json!({})).await;
    globex.call("whoami", json!({})).await;
    let path = house.audit_folder().join("acme.jsonl");
    fs::write(&path, "").unwrap();
    let answer = acme.call("add_comment", comment("x")).await;
    assert!(answer.text().contains("The audit log cannot be written now"), "{answer:?}");
    assert!(acme.call("list_tickets", json!({})).await.is_ok());
    assert!(globex.call("add_comment", comment("y")).await.is_ok());
    let data_dir = house.gateway.config().data_dir();
    assert_ne!(verify(&data_dir, "acme").unwrap().verdict, Verdict::Whole);
    assert_eq!(verify(&data_dir, "globex").unwrap().verdict, Verdict::Whole);
}
