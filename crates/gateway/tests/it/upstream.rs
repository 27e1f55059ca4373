//! Existing MCP servers behind the gateway: real processes, and what each tenant sees of them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Ask, Caller, House, Plan, SECOND_ISSUER, in_time, tenant};

mod bounds;
mod lives;
mod served;

/// A table `[[upstream]]` for the test server in a mode, with more keys.
fn table(name: &str, mode: &str, more: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/upstream/server.py");
    format!(
        "\n[[upstream]]\nname = \"{name}\"\ncommand = [\"/usr/bin/python3\", \"{script}\", \"{mode}\", \"{{tenant_dir}}\"]\n\
         read = [\"{}\"]\n{more}\n",
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/upstream")
    )
}

async fn house(tools: String) -> House {
    House::with(Plan { tools, ..Plan::default() }).await
}

/// The text of a result, as JSON.
async fn told(caller: &mut Caller, tool: &str, args: Value) -> Value {
    let said = caller.call(tool, args).await.said();
    serde_json::from_str(&said).unwrap_or(Value::String(said))
}

async fn names(caller: &mut Caller) -> Vec<String> {
    let mut names = Vec::new();
    let mut params = json!({});
    loop {
        let page = caller.ask(Ask::legacy("tools/list", &params)).await.result();
        names.extend(
            page["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned()),
        );
        match page["nextCursor"].as_str() {
            Some(cursor) => params = json!({ "cursor": cursor }),
            None => return names,
        }
    }
}

async fn of(caller: &mut Caller, prefix: &str) -> Vec<String> {
    let names = names(caller).await;
    names.into_iter().filter_map(|name| name.strip_prefix(prefix).map(str::to_owned)).collect()
}

/// Whether processes with this mark in their command lines run; a mark is a tenant's folder, which no two tests share.
fn runs(mark: &Value) -> bool {
    let mark = mark.as_str().unwrap().as_bytes();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .any(|line| line.windows(mark.len()).any(|part| part == mark))
}

async fn until_gone(mark: &Value) {
    in_time("the processes end", async {
        while runs(mark) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

fn set_secret(house: &House, id: &str, name: &str, value: &str) {
    let stores = house.gateway.administration();
    let record = stores.registry.get(&tenant(id)).unwrap().unwrap();
    let name = partywall_gateway::guards::credentials::SecretName::parse(name).unwrap();
    stores.vault.set(&record, &name, value.to_owned().into()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_tenant_has_a_process_of_its_own() {
    let house =
        house(table("notes", "honest", "env = { KEY = \"secret:notes_key\", OF = \"{tenant}\" }")).await;
    set_secret(&house, "acme", "notes_key", "key-of-acme");
    set_secret(&house, "globex", "notes_key", "key-of-globex");
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    for _ in 0..2 {
        for caller in [&mut acme, &mut globex] {
            let note = format!("note of {}", caller.tenant);
            told(caller, "notes_remember", json!({ "note": note })).await;
        }
    }
    for caller in [&mut acme, &mut globex] {
        let id = caller.tenant.clone();
        let note = format!("note of {id}");
        assert_eq!(
            told(caller, "notes_recall", json!({})).await,
            json!([note, note]),
            "it remembers, its own"
        );
        assert_eq!(caller.call("notes_recall", json!({})).await.content()["notes"][0], note.as_str());
        let around = told(caller, "notes_surroundings", json!({})).await;
        assert_eq!(around["env"]["KEY"], format!("key-of-{id}"));
        assert_eq!(around["env"]["OF"], id.as_str());
        let cwd = around["cwd"].as_str().unwrap();
        assert!(cwd.contains(&format!("/tenants/{id}/upstreams/")) && cwd.ends_with("/notes"), "{cwd}");
        told(caller, "notes_write_file", json!({ "name": format!("{id}.txt"), "body": "x" })).await;
        assert_eq!(told(caller, "notes_files", json!({})).await, json!([format!("{id}.txt")]));
        // Neither the caller's token nor what the server itself was started with.
        let all = around.to_string();
        assert!(!all.contains(&caller.token), "the caller's token is not passed on");
        let known = ["KEY", "OF", "PATH", "HOME", "TMPDIR", "LANG", "PWD", "LC_CTYPE", "SHLVL", "_"];
        for name in around["env"].as_object().unwrap().keys() {
            assert!(known.contains(&name.as_str()), "{name}");
        }
    }
    let runs = [
        told(&mut acme, "notes_surroundings", json!({})).await,
        told(&mut globex, "notes_surroundings", json!({})).await,
    ];
    assert_ne!(runs[0]["run"], runs[1]["run"]);
    assert_eq!(house.metric("partywall_upstream_processes").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_each_tenants_own_and_in_order() {
    let tools = table("notes", "honest", "tools = [\"recall\", \"remember\"]\ntenants = [\"acme\"]")
        + &table("more", "honest", "")
        + &table("keyed", "honest", "env = { KEY = \"secret:none\" }");
    let house = house(tools).await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    assert_eq!(of(&mut acme, "notes_").await, ["remember", "recall"], "in the server's order");
    assert!(of(&mut globex, "notes_").await.is_empty());
    let hidden = globex.call("notes_recall", json!({})).await;
    let unknown = globex.call("nothing_recall", json!({})).await;
    assert_eq!(hidden.comparable(), unknown.comparable(), "what others have does not exist");
    let all = names(&mut acme).await;
    let at = |name: &str| all.iter().position(|known| known == name).unwrap();
    assert!(at("whoami") < at("notes_recall") && at("notes_recall") < at("more_remember"));
    assert_eq!(of(&mut globex, "more_").await.len(), 17);
    // What cannot be started is missing from the list, and says why when it is called.
    assert!(of(&mut acme, "keyed_").await.is_empty());
    let why = acme.call("keyed_recall", json!({})).await.tool_error();
    assert!(why.contains("credential `none`"), "{why}");
    let list = acme.ask(Ask::modern("tools/list", &json!({}))).await.result();
    assert_eq!((&list["ttlMs"], &list["cacheScope"]), (&json!(0), &json!("private")));
    // Nothing of one that is not there.
    let no_tool = acme.call("more_nothing", json!({})).await;
    assert_eq!(no_tool.comparable(), unknown.comparable());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_tools_are_left_out() {
    let house = house(table("h", "hostile", "")).await;
    let mut acme = house.caller("acme");
    let listed = of(&mut acme, "h_").await;
    for name in ["of_tenant", "of_deep", "of_elsewhere"] {
        assert!(!listed.contains(&name.to_owned()), "{name}");
    }
    assert_eq!(listed.iter().filter(|name| *name == "recall").count(), 1);
    assert!(listed.contains(&"icons".to_owned()));
    let list = acme.ask(Ask::legacy("tools/list", &json!({}))).await.text();
    assert!(!list.contains("icons\":[") && !list.contains("\"secret\":\"meta\""));
    let why = acme.call("h_recall", json!({ "tenant_id": "globex" })).await.tool_error();
    assert!(why.contains("There is no argument `tenant_id`"), "{why}");
    // An object that the schema leaves open takes names of its own, and none of a tenant.
    assert_eq!(told(&mut acme, "h_opened", json!({ "f": { "a": [1] } })).await, json!({ "f": { "a": [1] } }));
    for foreign in [json!({ "tenant_id": "globex" }), json!({ "a": [{ "workspace_id": "globex" }] })] {
        let why = acme.call("h_opened", json!({ "f": foreign })).await.tool_error();
        assert!(why.contains("There is no argument"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tool_is_one_that_clients_can_list() {
    let house = house(table("h", "hostile", "pin = { region = \"text:eu\" }")).await;
    let mut acme = house.caller("acme");
    let list = acme.ask(Ask::legacy("tools/list", &json!({}))).await.result();
    let tools = list["tools"].as_array().unwrap();
    assert!(tools.iter().all(|tool| tool["inputSchema"]["type"] == "object"), "{list}");
    let find = |name: &str| tools.iter().find(|tool| tool["name"] == name);
    assert!(find("h_of_text").is_none());
    assert!(find("h_of_nothing").is_some_and(|tool| tool.get("outputSchema").is_none()));
    // What cannot be taken from the caller is not offered, and what takes anything is given it.
    assert!(find("h_of_region").is_none());
    assert_eq!(told(&mut acme, "h_any_region", json!({ "a": 1 })).await, json!({ "a": 1, "region": "eu" }));
    let why = acme.call("h_any_region", json!({ "region": "us" })).await.tool_error();
    assert!(why.contains("There is no argument `region`"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pinned_arguments_are_the_gateways() {
    let pins = "pin = { who = \"tenant\" }";
    let more = "pin = { who = \"subject\", what = \"secret:word\" }";
    let mut house = house(table("one", "honest", pins)).await;
    let two = table("two", "honest", more);
    // A subject is somebody where one issuer alone names callers.
    assert!(house.reload(|text| text.to_owned() + &two).is_err());
    let second = format!(
        "[[identity.issuer]]\nissuer = \"{SECOND_ISSUER}\"\njwks = \"two.json\"\nalgorithms = [\"ES256\"]\n\
         tenant_claim = \"org_id\"\n"
    );
    house.reload(|text| text.replacen(&second, "", 1) + &two).unwrap();
    for id in ["acme", "globex"] {
        set_secret(&house, id, "word", &format!("word-of-{id}"));
        let mut caller = house.caller(id);
        let whom = told(&mut caller, "one_whom", json!({ "what": "x" })).await;
        assert_eq!(whom, json!({ "who": id, "what": "x" }));
        let whom = told(&mut caller, "two_whom", json!({})).await;
        assert_eq!(whom, json!({ "who": format!("user@{id}.example"), "what": format!("word-of-{id}") }));
        let why = caller.call("one_whom", json!({ "who": "globex" })).await.tool_error();
        assert!(why.contains("There is no argument `who`"), "{why}");
        let list = caller.ask(Ask::legacy("tools/list", &json!({}))).await.result();
        let whom = list["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == "one_whom").unwrap();
        assert_eq!(
            whom["inputSchema"]["properties"].as_object().unwrap().keys().collect::<Vec<_>>(),
            ["what"]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_errors_and_questions() {
    let house = house(table("t", "honest", "")).await;
    let mut acme = house.caller("acme");
    assert_eq!(acme.call("t_fail", json!({})).await.tool_error(), "it did not work");
    assert!(acme.call("t_strange", json!({})).await.tool_error().contains("cannot be passed on"));
    assert_eq!(told(&mut acme, "t_ask_client", json!({})).await, "asked");
    let why = acme.call("t_write_file", json!({ "name": "/proc/none", "body": "" })).await.tool_error();
    assert!(why.contains("Error"), "what it says is told its tenant: {why}");
    let lines = house.audit("acme").await;
    assert!(lines.iter().all(|line| !line.to_string().contains("/proc/none")), "and nobody else");
    let modern = acme.modern_call("t_recall", json!({})).await.result();
    assert_eq!(
        (&modern["resultType"], &modern["structuredContent"]["notes"]),
        (&json!("complete"), &json!([]))
    );
    let line = lines.iter().find(|line| line["tool"] == "t_fail").unwrap();
    assert_eq!(line["outcome"], "ok", "the tool answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_a_handshake_is_spoken_to_its_way() {
    let house = house(table("t", "stateless", "")).await;
    let mut acme = house.caller("acme");
    let around = told(&mut acme, "t_surroundings", json!({})).await;
    assert_eq!(around["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    assert_eq!(around["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"], json!({}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scopes_hold_before_anything_is_started() {
    let house = house(table("t", "honest", "scope = \"notes\"")).await;
    let mut without = house.caller_with("acme", house.token("acme", "a", "other"));
    assert!(of(&mut without, "t_").await.is_empty());
    assert_eq!(without.call("t_recall", json!({})).await.status, 403);
    assert_eq!(house.metric("partywall_upstream_processes").await, 0);
    let mut with = house.caller_with("acme", house.token("acme", "b", "notes"));
    assert_eq!(told(&mut with, "t_recall", json!({})).await, json!([]));
}
