//! Attacks on what is observed (catalogue section 13): metrics, logs and errors show a tenant nothing about another,
//! and every attempt stands in the log of whoever made it.

use serde_json::{Value, json};

use crate::support::{Ask, Caller, Conn, House, Plan, in_time, tenant};

const OPERATOR: [&str; 20] = [
    "/metrics",
    "/healthz",
    "/readyz",
    "/health",
    "/livez",
    "/debug",
    "/debug/pprof/",
    "/debug/vars",
    "/actuator",
    "/actuator/env",
    "/admin",
    "/admin/tenants",
    "/docs",
    "/openapi.json",
    "/sse",
    "/messages?sessionId=1",
    "/status",
    "/",
    "/server-info",
    "/.env",
];

/// A page that has its own name lead to the operator's address reads nothing there (XP-08).
#[tokio::test]
async fn xp_08_the_operator_is_not_asked_by_web_pages() {
    let house = House::open().await;
    assert!(house.caller("acme").call("whoami", json!({})).await.is_ok());
    let ask = |host: &str| Ask::new("GET", "/metrics").set("Host", host);
    let own = house.admin.to_string();
    for bad in [
        ask("evil.example"),
        ask("evil.example:8788").header("Origin", "http://evil.example"),
        ask(&own).header("Origin", "http://evil.example"),
        ask(&own).header("Origin", "http://localhost"),
        ask("evil.example").to("/healthz"),
    ] {
        let answer = Conn::open(house.admin).await.ask(&bad).await;
        assert_eq!(answer.status, 403, "{bad:?}");
        assert!(!answer.text().contains("acme") && !answer.text().contains("partywall_"), "{answer:?}");
    }
    for host in [&*own, "localhost", "10.0.0.7:8788", "[::1]"] {
        let answer = Conn::open(house.admin).await.ask(&ask(host)).await;
        assert!(answer.status == 200 && answer.text().contains("tenant=\"acme\""), "{host}: {answer:?}");
    }
}

#[tokio::test]
async fn ob_01_the_operators_pages_are_the_operators() {
    let house = House::open().await;
    let (mut nobody, mut acme) = (house.stranger(), house.caller("acme"));
    let mut usual: Option<String> = None;
    for path in OPERATOR {
        for method in ["GET", "POST"] {
            for caller in [&mut nobody, &mut acme] {
                let answer = caller.ask(Ask::new(method, path)).await;
                assert_eq!((answer.status, answer.body.len()), (404, 0), "{path}: {answer:?}");
                let seen = usual.get_or_insert_with(|| answer.comparable());
                assert_eq!(*seen, answer.comparable(), "{path}: the same for everybody");
            }
        }
    }
    acme.whoami().await;
    for (path, wanted) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = Conn::open(house.admin).await.ask(&Ask::new("GET", path)).await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, wanted),
            "the operator's own listener has it"
        );
    }
    // MCP is not served there.
    let there = Ask::call("whoami", &json!({})).bearer(&acme.token);
    assert_eq!(Conn::open(house.admin).await.ask(&there).await.status, 404);
}

async fn metrics(house: &House) -> String {
    Conn::open(house.admin).await.ask(&Ask::new("GET", "/metrics")).await.text()
}

#[tokio::test]
async fn ob_01_the_tenant_label_is_bounded_and_holds_nothing_else() {
    let house = House::open().await;
    let ids: Vec<_> = (0..260).map(|n| tenant(&format!("t{n}"))).collect();
    house.gateway.administration().registry.add_many(&ids).unwrap();
    for id in &ids {
        house.caller(id.as_str()).whoami().await;
    }
    // Callers choose these texts, and none becomes a label.
    let mut acme = house.caller("acme");
    for odd in ["evil_tool", "x\"} 1\nforged_total{a=\"", "tools/evil"] {
        acme.call(odd, json!({})).await;
        acme.ask(Ask::legacy(odd, &json!({}))).await;
        house.stranger().ask(Ask::new("GET", "/mcp").header("X-Tenant-Id", "forged")).await;
    }
    let text = metrics(&house).await;
    let labels: std::collections::BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.split_once("tenant=\"")?.1.split_once('"'))
        .map(|(label, _)| label)
        .collect();
    assert!((190..=201).contains(&labels.len()), "{}", labels.len());
    for odd in ["evil", "forged", "user@", "subject", &acme.token] {
        assert!(!text.contains(odd), "{odd}: {text}");
    }
}

#[tokio::test]
async fn ob_02_a_trace_is_no_thread_to_pull() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut numbers = Vec::new();
    for n in 0..20 {
        let caller = if n % 2 == 0 { &mut acme } else { &mut globex };
        let ask = Ask::call("customer_page", &json!({ "customer_id": "cus_1" }))
            .header("traceparent", trace)
            .header("baggage", "tenant=globex,user=root")
            .header("X-Request-Id", "chosen");
        let answer = caller.ask(ask).await;
        let number = answer.header("x-request-id").unwrap().to_owned();
        assert!(!answer.text().contains("4bf92f") && number != "chosen" && number.len() == 16, "{answer:?}");
        numbers.push(u64::from_str_radix(&number, 16).unwrap());
    }
    // The numbers count nobody's requests: no two neighbours are near each other.
    assert!(numbers.windows(2).all(|pair| pair[0].abs_diff(pair[1]) > 1 << 20), "{numbers:?}");
    for seen in house.upstream.seen("") {
        assert!(!seen.text.contains("4bf92f") && !seen.text.contains("baggage"), "{}", seen.text);
    }
}

/// All files that the gateway wrote for people to read.
fn logs(house: &House) -> Vec<(String, String)> {
    let read = |entry: std::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(entry.path()).unwrap())
    };
    let entries = std::fs::read_dir(house.audit_folder()).unwrap().map(|entry| read(entry.unwrap()));
    entries.filter(|(name, _)| name.ends_with(".jsonl")).collect()
}

#[tokio::test]
async fn ob_03_logs_hold_no_secrets_and_nobody_elses_lines() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    for caller in [&mut acme, &mut globex] {
        for customer in ["cus_1", "stray", "moved", "gone"] {
            caller.call("customer_profile", json!({ "customer_id": customer })).await;
        }
        for how in ["panic", "internal", "failed"] {
            caller.call("broken", json!({ "how": how })).await;
        }
        caller.call("add_comment", json!({ "ticket_id": 4, "body": "private words" })).await;
        caller.ask(Ask::call("whoami", &json!({})).to("/mcp?access_token=hidden")).await;
    }
    for (name, text) in logs(&house) {
        let owner = name.strip_suffix(".jsonl").unwrap();
        house.canaries.assert_own(owner, text.as_bytes());
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["tenant"].as_str().unwrap_or("-unattributed"), owner, "{line}");
        }
        for secret in [&acme.token, &globex.token, "Bearer", "private words", "hidden"] {
            assert!(!text.contains(secret), "{name}: {text}");
        }
    }
    for seen in house.upstream.seen("") {
        assert!(
            !seen.text.contains(&acme.token) && !seen.text.contains(&globex.token),
            "CR-10: {}",
            seen.text
        );
    }
    assert_eq!(logs(&house).len(), 2);
}

#[tokio::test]
async fn ob_04_a_field_starts_no_line() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    globex.whoami().await;
    let before = house.audit("globex").await;
    let forged = r#"{"at":1,"tenant":"globex","outcome":"ok"}"#;
    for odd in [
        "a\nb",
        "a\r\nb",
        "\u{1b}[2J\u{1b}[31m",
        forged,
        &format!("x\n{forged}"),
        &format!("\"}}\n{forged}\n"),
        "\u{2028}",
        "\u{202e}evil",
        "\u{9b}31m\u{7f}",
        "\u{0}",
        &"x".repeat(10_000),
    ] {
        acme.call(odd, json!({})).await;
        acme.ask(Ask::legacy(odd, &json!({}))).await;
        acme.call("get_ticket", json!({ odd: 1 })).await;
        // A header cannot hold a line break at all; what it can hold is cut off from the log.
        let mut other = house.caller_with("acme", house.token("acme", "eve{\"tenant\":\"globex\"}", ""));
        other.call("no_such_tool", json!({})).await;
    }
    let lines = house.audit("acme").await;
    assert!(lines.iter().all(|line| line["tenant"] == "acme"), "{lines:#?}");
    for (name, text) in logs(&house) {
        let printable = |c: char| c == '\n' || !(c.is_control() || matches!(c, '\u{2028}'..='\u{202e}'));
        assert!(text.chars().all(printable), "{name} has control characters");
        assert!(text.lines().all(|line| line.len() < 2000), "{name} has endless lines");
    }
    assert_eq!(house.audit("globex").await, before, "the neighbour's log is as it was");
}

/// A refused attempt: what it is, the request, and what its line says.
type Attempt = (&'static str, Ask, &'static str, &'static str);

/// What a guard or a tool refuses.
fn attempts(their_cursor: &str) -> Vec<Attempt> {
    let call = |tool, arguments: Value| Ask::call(tool, &arguments);
    let (error, denied) = ("error", "denied");
    let handle = "handle-does-not-open";
    let foreign = "Document does not belong to requesting tenant";
    let state = json!({ "name": "whoami", "arguments": {}, "requestState": their_cursor });
    let cursor = json!({ "cursor": their_cursor });
    let (theirs, stray) = (json!({ "customer_id": "late_theirs" }), json!({ "customer_id": "stray" }));
    let named = json!({ "id": 1, "tenant_id": "globex" });
    vec![
        ("CT-04 hidden tool", call("globex_admin", json!({})), error, "Unknown tool"),
        ("DA-01 foreign id", call("get_ticket", json!({ "id": 77 })), error, "not found"),
        ("DA-01 foreign record", call("customer_profile", theirs), error, "not found"),
        ("CA owner", call("customer_profile", stray), denied, foreign),
        ("ID-17 argument", call("get_ticket", named), error, "no argument"),
        ("ID-27 scope", call("close_books", json!({})), denied, "insufficient-scope"),
        ("DA-05 cursor", Ask::legacy("tools/list", &cursor), denied, handle),
        ("MR-01 state", Ask::modern("tools/call", &state), denied, handle),
    ]
}

/// What is refused before it is known which tool is meant, or whether one is.
fn malformed() -> Vec<Attempt> {
    let modern = || Ask::modern_call("regional", &json!({ "region": "eu" }));
    let twice = r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"ping"}"#;
    let reply = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    let (batch, id) = ("[]", r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#);
    let rows: [(&str, Ask, &str); 13] = [
        ("XP-01 method", modern().set("Mcp-Method", "tools/list"), "Header mismatch"),
        ("XP-01 name", modern().set("Mcp-Name", "whoami"), "Header mismatch"),
        ("XP-02 parameter", modern().header("Mcp-Param-Region", "us"), "Header mismatch"),
        ("XP-01 version", modern().set("MCP-Protocol-Version", "2025-11-25"), "Header mismatch"),
        ("XP-01 versions", modern().header("MCP-Protocol-Version", "x"), "several times"),
        ("RT method", Ask::legacy("tasks/get", &json!({ "taskId": "1" })), "Method not found"),
        ("SE-02 session", Ask::new("DELETE", "/mcp").header("Mcp-Session-Id", "x"), "not POST"),
        ("XP-04 parse", Ask::post("{"), "JSON"),
        ("XP-04 twice", Ask::post(twice), "JSON-RPC"),
        ("XP-06 type", Ask::post("{}").set("Content-Type", "text/plain"), "Content-Type"),
        ("SE-05 reply", Ask::post(reply), "no method"),
        ("RT-12 batch", Ask::post(batch), "1 to 32"),
        ("RT-03 id", Ask::post(id), "The id"),
    ];
    rows.into_iter().map(|(technique, ask, reason)| (technique, ask, "error", reason)).collect()
}

#[tokio::test]
async fn ob_05_every_attempt_is_in_the_attackers_own_log() {
    let many: String =
        (0..120).map(|n| format!("[[tool]]\nname = \"t{n}\"\nnative = \"whoami\"\n")).collect();
    let house = House::with(Plan { tools: many, ..Plan::default() }).await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    let list = globex.ask(Ask::legacy("tools/list", &json!({}))).await.result();
    let cursor = list["nextCursor"].as_str().unwrap();
    let theirs = house.audit("globex").await;
    house.upstream.add("globex", "late_theirs");
    for (technique, ask, outcome, reason) in attempts(cursor).into_iter().chain(malformed()) {
        let before = house.audit("acme").await.len();
        let answer = acme.ask(ask).await;
        assert!(!answer.is_ok(), "{technique}: {answer:?}");
        let lines = house.audit("acme").await;
        let new = &lines[before..];
        assert_eq!(new.len(), 1, "{technique}: one line for one request: {new:#?}");
        let line = &new[0];
        assert_eq!(line["outcome"], outcome, "{technique}: {line}");
        assert!(line["reason"].as_str().unwrap().contains(reason), "{technique}: {line}");
        assert_eq!(
            (&line["tenant"], &line["subject"]),
            (&json!("acme"), &json!("user@acme.example")),
            "{technique}"
        );
        assert_eq!(line["request"], answer.header("x-request-id").unwrap(), "{technique}");
    }
    assert_eq!(house.audit("globex").await, theirs, "the victim's log has nothing of it");
    // Without a good token nobody can be named, and nobody is.
    let strangers = [
        Ask::call("whoami", &json!({})),
        Ask::call("whoami", &json!({})).bearer("a.b.c").header("X-Tenant-Id", "globex"),
        Ask::call("whoami", &json!({})).set("Host", "evil.example"),
    ];
    for ask in strangers {
        house.stranger().ask(ask).await;
    }
    let lines = house.audit("-unattributed").await;
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(
        lines.iter().all(|line| line["outcome"] == "denied" && line.get("tenant").is_none()),
        "{lines:#?}"
    );
    assert_eq!(house.audit("globex").await, theirs);
}

/// Whoever leaves before the answer was still here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ob_05_hanging_up_leaves_a_line() {
    let house = House::open().await;
    let mut acme: Caller = house.caller("acme");
    for (n, progress) in [false, true].into_iter().enumerate() {
        let mut params = json!({ "name": "slow", "arguments": { "tag": "x" } });
        if progress {
            params["_meta"] = json!({ "progressToken": 1 });
        }
        let ask = Ask::legacy("tools/call", &params).bearer(&acme.token);
        acme.connect().await.send(&ask.bytes()).await;
        house.gates.of("acme").came(n + 1).await;
        acme.hang_up();
        house.gates.of("acme").gone(n + 1).await;
        // The tool is gone now; its line is written in the same breath, on the server's thread.
        let lines = in_time("the line", async {
            loop {
                let lines = house.audit("acme").await;
                if lines.len() > n {
                    break lines;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(
            (&lines[n]["tool"], &lines[n]["outcome"]),
            (&json!("slow"), &json!("error")),
            "{lines:#?}"
        );
    }
}
