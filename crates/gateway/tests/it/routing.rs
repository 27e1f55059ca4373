//! Attacks on routing (catalogue section 3): an answer, event or cancellation reaches the one it was made for.

mod wires;

use serde_json::{Value, json};

use crate::support::{Answer, Ask, Caller, Conn, House, task};

/// A request with an id that is written as given.
fn with_id(id: &str, method: &str, params: &Value) -> Ask {
    Ask::post(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#))
}

fn slow(id: &str, tag: &str) -> Ask {
    with_id(id, "tools/call", &json!({ "name": "slow", "arguments": { "tag": tag } }))
}

fn asynchronously(mut caller: Caller, ask: Ask) -> tokio::task::JoinHandle<(Caller, Answer)> {
    task(async move {
        let answer = caller.ask(ask).await;
        (caller, answer)
    })
}

/// Everybody uses the ids 0, 1 and 2 at the same time, and who is answered first changes from round to round.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rt_01_the_same_ids_at_the_same_time() {
    const ROUNDS: usize = 250;
    let house = House::open().await;
    let tenants = ["acme", "globex"];
    let mut callers: Vec<Caller> = (0..6).map(|n| house.caller(tenants[n % 2])).collect();
    for round in 1..=ROUNDS {
        let calls: Vec<_> = callers
            .drain(..)
            .enumerate()
            .map(|(n, caller)| {
                let tag = format!("{} {round} {n}", caller.tenant);
                asynchronously(caller, slow(&(n / 2).to_string(), &tag))
            })
            .collect();
        for name in tenants {
            house.gates.of(name).came(3 * round).await;
        }
        // All six wait now. One tenant's end first in even rounds, the other's in odd ones, and mixed in every third.
        let order = if round % 2 == 0 { tenants } else { ["globex", "acme"] };
        for (place, name) in order.iter().enumerate() {
            house.gates.of(name).open(3);
            if round % 3 != 0 && place == 0 {
                house.gates.of(name).gone(3 * round).await;
            }
        }
        for (n, call) in calls.into_iter().enumerate() {
            let (caller, answer) = call.await.unwrap();
            let seen = answer.content();
            assert_eq!(answer.json()["id"], n / 2, "{answer:?}");
            assert_eq!(seen["seen"]["tag"], format!("{} {round} {n}", caller.tenant), "{answer:?}");
            for who in ["tenant", "before", "after"] {
                assert_eq!(seen["seen"][who], caller.tenant, "{answer:?}");
            }
            callers.push(caller);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rt_02_the_same_id_and_other_methods() {
    let house = House::open().await;
    let mut callers: Vec<Caller> = ["acme", "globex", "acme", "globex"].map(|id| house.caller(id)).into();
    let methods: [(&str, Value, &str); 4] = [
        ("tools/call", json!({ "name": "totals", "arguments": {} }), "structuredContent"),
        ("tools/list", json!({}), "tools"),
        ("initialize", json!({ "protocolVersion": "2025-06-18" }), "serverInfo"),
        (
            "tools/call",
            json!({ "name": "customer_profile", "arguments": { "customer_id": "cus_1" } }),
            "content",
        ),
    ];
    for round in 0..200 {
        let calls: Vec<_> = callers
            .drain(..)
            .enumerate()
            .map(|(n, caller)| {
                let (method, params, _) = &methods[(n + round) % 4];
                asynchronously(caller, with_id("7", method, params))
            })
            .collect();
        for (n, call) in calls.into_iter().enumerate() {
            let (caller, answer) = call.await.unwrap();
            let field = methods[(n + round) % 4].2;
            assert!(answer.result().get(field).is_some(), "{field}: {answer:?}");
            let content = &answer.result()["structuredContent"];
            if let Some(owner) = content.get("organization_id") {
                assert_eq!(*owner, caller.tenant);
            }
            if let Some(amount) = content.get("amount") {
                assert_eq!(*amount, house.canaries.number_of(&caller.tenant));
            }
            callers.push(caller);
        }
    }
}

#[tokio::test]
async fn rt_03_an_id_comes_back_as_it_was_written_or_not_at_all() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    let params = json!({ "name": "whoami", "arguments": {} });
    let good = [
        "1",
        "\"1\"",
        "-1",
        "0",
        "-0",
        "9007199254740993",
        "\"\"",
        "\"\\u0031\"",
        "\"1.0\"",
        "\"null\"",
        "\" 1\"",
        "\"{}\"",
        "9223372036854775807",
        "\"\\ud83d\\ude00\"",
        "\"a\\\"b\"",
    ];
    for id in good {
        for caller in [&mut acme, &mut globex] {
            let answer = caller.ask(with_id(id, "tools/call", &params)).await;
            assert!(
                answer.text().starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"#)),
                "{id}: {answer:?}"
            );
            assert_eq!(answer.content()["tenant"], caller.tenant, "{id}");
        }
    }
    let long = format!("\"{}\"", "x".repeat(600));
    for id in ["1.0", "1e0", "1E0", "null", "{}", "[1]", "true", "99999999999999999999", "\"\\ud800\"", &long]
    {
        let answer = acme.ask(with_id(id, "tools/call", &params)).await;
        assert_eq!((answer.status, answer.code()), (400, -32600), "{id}: {answer:?}");
        assert_eq!(answer.json().get("id"), Some(&Value::Null), "{id}: {answer:?}");
    }
    // A message that could have been a request, and one that answers a request of ours, whose id would be ours.
    for (text, id) in [
        (r#"{"jsonrpc":"1.0","id":"a","method":"ping"}"#, json!("a")),
        (r#"{"id":7,"method":"ping"}"#, json!(7)),
        (r#"{"jsonrpc":"2.0","id":7}"#, json!(7)),
        (r#"{"jsonrpc":"2.0","id":1.5}"#, Value::Null),
        (r#"{"jsonrpc":"2.0","id":7,"result":{}}"#, Value::Null),
        (r#"{"jsonrpc":"2.0","id":7,"method":"ping","error":{}}"#, Value::Null),
        (r#"{"jsonrpc":"1.0","id":7,"id":8,"method":"ping"}"#, Value::Null),
    ] {
        let answer = acme.ask(Ask::post(text)).await;
        assert_eq!((answer.status, answer.code()), (400, -32600), "{text}: {answer:?}");
        assert_eq!(answer.json().get("id"), Some(&id), "{text}: {answer:?}");
    }
    for id in ["01", "+1", "0x1", "1_0", ".5", "NaN", "'1'", "1 2"] {
        let answer = acme.ask(with_id(id, "tools/call", &params)).await;
        assert_eq!((answer.status, answer.code()), (400, -32700), "{id}: {answer:?}");
    }
}

/// The events of a stream, as JSON.
fn events(answer: &Answer) -> Vec<Value> {
    let text = answer.text();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Everybody uses the same progress token, also as a text, and each stream has its own progress alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rt_04_the_same_progress_token() {
    let house = House::open().await;
    let mut came = 0;
    for token in [json!(1), json!("1"), json!(0), json!(""), json!(-7)] {
        for modern in [false, true] {
            came += 2;
            let mut calls = Vec::new();
            for (id, tag) in [("acme", "a"), ("globex", "g"), ("acme", "b"), ("globex", "h")] {
                let params = json!({ "name": "slow", "arguments": { "tag": tag }, "_meta": { "progressToken": token } });
                let mut ask = Ask::legacy("tools/call", &params);
                if modern {
                    let mut meta: Value = serde_json::from_str(crate::support::META).unwrap();
                    meta["progressToken"] = token.clone();
                    let mut body: Value = serde_json::from_str(&ask.text()).unwrap();
                    body["params"]["_meta"] = meta;
                    ask = Ask::modern_call("slow", &json!({})).with_body(body.to_string());
                }
                calls.push((tag, asynchronously(house.caller(id), ask)));
            }
            for name in ["acme", "globex"] {
                house.gates.of(name).came(came).await;
            }
            for name in ["globex", "acme"] {
                house.gates.of(name).open(2);
            }
            for (tag, call) in calls {
                let (caller, answer) = call.await.unwrap();
                assert_eq!(answer.header("content-type"), Some("text/event-stream"));
                let events = events(&answer);
                let (last, progress) = events.split_last().unwrap();
                let wanted =
                    [format!("{} begins {tag}", caller.tenant), format!("{} ends {tag}", caller.tenant)];
                assert_eq!(progress.len(), wanted.len(), "{answer:?}");
                for (event, wanted) in progress.iter().zip(&wanted) {
                    assert_eq!(event["params"]["progressToken"], token, "{answer:?}");
                    assert_eq!(event["params"]["message"], *wanted);
                }
                assert_eq!(last["result"]["structuredContent"]["seen"]["tenant"], caller.tenant);
            }
        }
    }
}

/// An upstream that writes for people breaks its lines, and an event ends at an empty one.
#[tokio::test]
async fn an_upstreams_line_breaks_do_not_break_events() {
    let house = House::open().await;
    let mut acme = house.caller("acme");
    // Asked for twice: what is kept has none either.
    for (tool, customer) in
        [("customer_profile", "pretty_1"), ("customer_profile", "pretty_1"), ("customer_page", "pretty_2")]
    {
        let arguments = json!({ "customer_id": customer });
        let params = json!({ "name": tool, "arguments": arguments, "_meta": { "progressToken": 1 } });
        let answer = acme.ask(Ask::legacy("tools/call", &params)).await;
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        let text = answer.text();
        let lines: Vec<&str> = text.split(['\n', '\r']).collect();
        assert_eq!(lines.len(), 4, "one event of two lines: {text:?}");
        let told = events(&answer).pop().unwrap()["result"]["structuredContent"].take();
        assert_eq!(told["id"], customer, "{text}");
        assert_eq!(told, acme.call(tool, arguments).await.content());
    }
    assert_eq!(house.upstream.times("acme", "pretty_1"), 1);
}

/// Nothing is offered that one caller could set for another or listen in on: levels, subscriptions, tasks, sampling.
#[tokio::test]
async fn rt_05_to_13_what_is_not_offered_does_not_exist() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    let methods = [
        ("RT-05", "logging/setLevel", json!({ "level": "debug" })),
        ("RT-06", "tools/subscribe", json!({})),
        ("RT-07", "resources/subscribe", json!({ "uri": "ticket://globex/4" })),
        ("RT-07", "subscriptions/listen", json!({ "resourceSubscriptions": ["ticket://globex/4"] })),
        ("RT-08", "subscriptions/listen", json!({ "toolsListChanged": true })),
        ("RT-09", "subscriptions/listen", json!({ "taskIds": ["1"] })),
        ("RT-11", "resources/unsubscribe", json!({ "uri": "ticket://globex/4" })),
        ("RT-13", "roots/list", json!({})),
        ("RT-13", "sampling/createMessage", json!({})),
        ("TK-01", "tasks/get", json!({ "taskId": "1" })),
        ("DA-14", "completion/complete", json!({ "ref": { "type": "ref/prompt", "name": "x" } })),
        ("DA-15", "prompts/get", json!({ "name": "globex" })),
        ("DA-03", "resources/read", json!({ "uri": "ticket://acme/../globex/4" })),
    ];
    for (technique, method, params) in methods {
        for make in [Ask::legacy, Ask::modern] {
            let ask = make(method, &params).set("Mcp-Name", "globex");
            let (first, second) = (acme.ask(ask.clone()).await, globex.ask(ask).await);
            assert!(!first.is_ok(), "{technique}: {first:?}");
            assert_eq!(first.comparable(), second.comparable(), "{technique}");
        }
        assert_eq!(acme.ask(Ask::legacy(method, &params)).await.code(), -32601, "{technique}");
    }
    // Nothing listens on a stream of its own, or answers what the server never asked.
    let reply = json!({ "jsonrpc": "2.0", "id": 1, "result": { "roots": [] } });
    assert_eq!(acme.ask(Ask::post(reply.to_string())).await.code(), -32600, "SE-05");
    assert_eq!(
        acme.ask(Ask::new("GET", "/mcp").header("Accept", "text/event-stream")).await.status,
        405,
        "SE-03"
    );
    assert!(globex.call("whoami", json!({})).await.is_ok());
}

/// SE-01, SE-02, SE-09, SE-16: there are no sessions, so none can be stolen, fixed or ended.
#[tokio::test]
async fn a_session_id_is_nobody() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    let hello = Ask::legacy("initialize", &json!({ "protocolVersion": "2025-11-25" }));
    let opened = globex.ask(hello.clone().header("Mcp-Session-Id", "chosen-by-acme")).await;
    assert!(opened.is_ok() && opened.header("mcp-session-id").is_none(), "{opened:?}");
    for session in ["chosen-by-acme", "0", "", "globex"] {
        let ask = Ask::call("whoami", &json!({})).header("Mcp-Session-Id", session);
        assert_eq!(acme.ask(ask).await.content()["tenant"], "acme");
        let modern = Ask::modern_call("whoami", &json!({})).header("Mcp-Session-Id", session);
        assert_eq!(acme.ask(modern).await.content()["tenant"], "acme");
        let delete = Ask::new("DELETE", "/mcp").header("Mcp-Session-Id", session);
        assert_eq!(acme.ask(delete).await.status, 405);
        let resume = Ask::new("GET", "/mcp").header("Mcp-Session-Id", session).header("Last-Event-ID", "1");
        assert_eq!(acme.ask(resume).await.status, 405, "SE-06");
    }
    // SE-12: the next request on the same connection may be anybody's.
    let mut conn = Conn::open(house.address).await;
    for (token, tenant) in [(&acme.token, "acme"), (&globex.token, "globex"), (&acme.token, "acme")] {
        let answer = conn.ask(&Ask::call("whoami", &json!({})).bearer(token)).await;
        assert_eq!(answer.content()["tenant"], tenant);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rt_10_a_foreign_call_cannot_be_cancelled() {
    let house = House::open().await;
    let mut acme = house.caller("acme");
    let call = asynchronously(house.caller("globex"), slow("42", "mine"));
    house.gates.of("globex").came(1).await;
    for id in ["42", "\"42\"", "1"] {
        let note = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"x"}}}}"#
        );
        let modern = Ask::post(note.clone())
            .header("MCP-Protocol-Version", "2026-07-28")
            .header("Mcp-Method", "notifications/cancelled");
        let session = Ask::post(note.clone()).header("Mcp-Session-Id", "of-globex");
        for ask in [Ask::post(note.clone()), modern, session] {
            let answer = acme.ask(ask).await;
            assert_eq!((answer.status, answer.body.len()), (202, 0), "{answer:?}");
        }
        assert_eq!(acme.ask(Ask::post(format!("[{note}]"))).await.status, 202);
    }
    house.gates.of("globex").open(1);
    let (_, answer) = call.await.unwrap();
    assert_eq!(answer.content()["seen"]["tag"], "mine");
    // The positive control: whoever made the call ends it by leaving.
    let mut globex = house.caller("globex");
    let ask = slow("42", "again").bearer(&globex.token);
    globex.connect().await.send(&ask.bytes()).await;
    house.gates.of("globex").came(2).await;
    globex.hang_up();
    house.gates.of("globex").gone(2).await;
}

#[tokio::test]
async fn rt_12_a_batch_is_answered_message_by_message() {
    let house = House::open().await;
    let (acme, globex) = (house.caller("acme"), house.caller("globex"));
    let message = |id: &str, tool: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{{}}}}}}"#
        )
    };
    let ids = ["1", "\"1\"", "1", "0", "2", "-1"];
    let batch = |tool: &str| {
        let all: Vec<String> = ids.iter().map(|id| message(id, tool)).collect();
        format!("[{}]", all.join(","))
    };
    // Both on one connection, one batch after the other, and several at once.
    let mut conn = Conn::open(house.address).await;
    for round in 0..40 {
        let order = if round % 2 == 0 { [&acme, &globex] } else { [&globex, &acme] };
        for caller in order {
            let ask =
                Ask::post(batch("whoami")).bearer(&caller.token).header("MCP-Protocol-Version", "2025-03-26");
            conn.send(&ask.bytes()).await;
        }
        for caller in order {
            let answer = conn.answer().await.unwrap();
            caller.assert_own(&answer.raw());
            let replies = answer.json();
            assert_eq!(replies.as_array().unwrap().len(), ids.len());
            for (reply, id) in replies.as_array().unwrap().iter().zip(ids) {
                assert_eq!(reply["id"].to_string(), id);
                assert_eq!(reply["result"]["structuredContent"]["tenant"], caller.tenant);
            }
        }
    }
    let mut acme = acme;
    let mixed = format!("[{},7,{},[],{{}}]", message("1", "whoami"), message("2", "no_such_tool"));
    let replies = acme.ask(Ask::post(mixed)).await.json();
    let codes: Vec<Option<i64>> =
        replies.as_array().unwrap().iter().map(|r| r["error"]["code"].as_i64()).collect();
    assert_eq!(codes, [None, Some(-32600), Some(-32602), Some(-32600), Some(-32600)], "{replies}");
    // A message within a batch is an object, whatever a list of the same values might mean to a lenient reader.
    let replies = acme.ask(Ask::post(r#"[["2.0",1,"tools/list"]]"#)).await.json();
    assert_eq!(replies[0]["error"]["code"], -32600, "{replies}");
    // Later revisions have no batches, and no batch is empty or endless.
    let late = Ask::post(batch("whoami")).header("MCP-Protocol-Version", "2025-06-18");
    assert_eq!(acme.ask(late).await.status, 400);
    let many = vec![message("1", "whoami"); 33];
    for bad in ["[]".to_owned(), format!("[{}]", many.join(",")), "[1,]".to_owned()] {
        assert_eq!(acme.ask(Ask::post(bad)).await.status, 400);
    }
    // A modern message does not get past its headers inside a batch.
    let params = json!({ "name": "whoami", "arguments": {}, "_meta": serde_json::from_str::<Value>(crate::support::META).unwrap() });
    let hidden = json!([{ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }]);
    let replies = acme.ask(Ask::post(hidden.to_string())).await.json();
    assert_eq!(replies[0]["error"]["code"], -32020, "{replies}");
}
