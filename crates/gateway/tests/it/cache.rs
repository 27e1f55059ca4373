//! Attacks on caches (catalogue section 6): what was kept for one tenant is found by nobody else, whatever the key.

mod owner;
mod shared;

use serde_json::json;

use crate::support::{Answer, Ask, Caller, House, task};

fn profile(customer: &str) -> Ask {
    Ask::call("customer_profile", &json!({ "customer_id": customer }))
}

#[track_caller]
fn assert_owner(answer: &Answer, caller: &Caller, house: &House) {
    let content = answer.content();
    assert_eq!(content["organization_id"], caller.tenant, "{answer:?}");
    assert_eq!(content["note"], house.canaries.text_of(&caller.tenant), "{answer:?}");
}

#[tokio::test]
async fn ca_01_a_primed_cache_serves_its_owner_alone() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    for (round, first_is_acme) in [true, false].into_iter().enumerate() {
        let customer = format!("cus_{round}");
        let order = if first_is_acme { [&mut acme, &mut globex] } else { [&mut globex, &mut acme] };
        for caller in order {
            for _ in 0..3 {
                let answer = caller.ask(profile(&customer)).await;
                assert_owner(&answer, caller, &house);
            }
            // The positive control: it is a cache, and the owner's second call is answered from it.
            assert_eq!(house.upstream.times(&caller.tenant, &customer), 1, "{customer}");
        }
    }
    // The same with a cache that a tool fills by itself.
    for caller in [&mut acme, &mut globex, &mut house.caller("acme")] {
        let said = caller.call("cached_note", json!({ "key": "k" })).await.said();
        assert_eq!(said, format!("k {}", house.canaries.text_of(&caller.tenant)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ca_02_lists_are_not_mixed_up() {
    let house = House::open().await;
    let work: Vec<_> = (0..8)
        .map(|n| {
            let mut caller = house.caller(["acme", "globex"][n % 2]);
            task(async move {
                for round in 0..60 {
                    let ask = match round % 2 {
                        0 => Ask::legacy("tools/list", &json!({})),
                        _ => Ask::modern("tools/list", &json!({})),
                    };
                    let text = caller.ask(ask).await.text();
                    let acme = caller.tenant == "acme";
                    assert_eq!(text.contains("acme_notes"), acme, "{text}");
                    assert_eq!(text.contains("Notes that acme alone has."), acme);
                    assert_eq!(text.contains("globex_regional"), !acme);
                    assert_eq!(text.contains("Only globex has it."), !acme);
                }
            })
        })
        .collect();
    for caller in work {
        caller.await.unwrap();
    }
}

#[tokio::test]
async fn ca_03_and_08_what_is_the_same_for_all_names_nobody() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "x", "version": "1" } });
    for ask in [Ask::legacy("initialize", &hello), Ask::modern("server/discover", &json!({}))] {
        let first = acme.ask(ask.clone()).await;
        let second = globex.ask(ask).await;
        assert!(first.result()["instructions"].is_string());
        assert_eq!(first.comparable(), second.comparable());
        let text = first.text();
        assert!(!text.contains("acme") && !text.contains("globex"), "{text}");
    }
    for method in ["tools/list", "server/discover"] {
        let result = acme.ask(Ask::modern(method, &json!({}))).await.result();
        assert_eq!(result["cacheScope"], "private", "{method}");
    }
    // Results of calls are not to be cached at all.
    let result = acme.ask(Ask::modern_call("whoami", &json!({}))).await.result();
    assert!(result.get("cacheScope").is_none() && result.get("ttlMs").is_none(), "{result}");
}

#[tokio::test]
async fn ca_04_there_is_nothing_to_validate() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    let answer = acme.ask(profile("cus_1")).await;
    assert_owner(&answer, &acme, &house);
    for name in ["etag", "last-modified", "age", "x-cache", "expires", "set-cookie", "vary"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    for (name, value) in [
        ("If-None-Match", "\"one-for-all\""),
        ("If-None-Match", "*"),
        ("If-Modified-Since", "Mon, 23 Nov 2099 05:19:53 GMT"),
        ("If-Match", "\"other\""),
        ("Range", "bytes=0-3"),
        ("Cache-Control", "only-if-cached"),
    ] {
        let answer = globex.ask(profile("cus_1").header(name, value)).await;
        assert_owner(&answer, &globex, &house);
    }
}

/// What a caller can vary without varying the key.
#[tokio::test]
async fn ca_05_the_answer_depends_on_nothing_beside_the_key() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    let plain = || profile("cus_key");
    let body = |params: &str| {
        let start = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":"#;
        Ask::post(format!("{start}{params}}}"))
    };
    let variants = [
        plain(),
        plain().to("/mcp?customer_id=other&tenant=globex"),
        plain().header("X-Forwarded-Host", "evil.example"),
        plain().header("X-Original-URL", "/v1/customers/other"),
        plain().header("Accept-Language", "tlh").header("User-Agent", "poison"),
        body(r#"{"arguments":{"customer_id":"cus_key"},"name":"customer_profile","_meta":{"x":"poison"}}"#),
        body(r#"{"name":"customer_profile","arguments":{"customer_id":"cus_k\u0065y"}}"#),
        Ask::modern_call("customer_profile", &json!({ "customer_id": "cus_key" })),
    ];
    for ask in variants {
        for caller in [&mut acme, &mut globex] {
            let answer = caller.ask(ask.clone()).await;
            assert_owner(&answer, caller, &house);
        }
    }
    let seen = house.upstream.seen("cus_key");
    assert_eq!(seen.len(), 2, "once for each");
    assert_eq!(seen[0].method, "GET");
    for poison in ["poison", "evil.example", "x-original-url", "tlh", &acme.token, "x-request-id"] {
        assert!(!seen[0].text.contains(poison), "nothing of the caller's goes upstream: {}", seen[0].text);
    }
    // One number in two spellings is one number.
    for floor in ["5", "5.0", "5e0", "50e-1"] {
        let ask = body(&format!(r#"{{"name":"my_profile","arguments":{{"floor":{floor}}}}}"#));
        assert_eq!(acme.ask(ask).await.content()["organization_id"], "acme");
    }
    assert_eq!(house.upstream.times("acme", "/v1/me?floor=5"), 1);
}

/// What differs is another thing, however alike it looks.
#[tokio::test]
async fn ca_05_nothing_is_folded_or_trimmed_in_the_key() {
    let house = House::open().await;
    let mut acme = house.caller("acme");
    let alike = ["cus_kéy", "cus_ke\u{301}y", "CUS_KEY", "cus_key", "cus_key ", "cus key", "cus%20key"];
    for customer in alike {
        for _ in 0..2 {
            let content = acme.ask(profile(customer)).await.content();
            assert_eq!(content["organization_id"], "acme", "{customer}");
        }
    }
    assert_eq!(house.upstream.seen("").len(), alike.len());
}

#[tokio::test]
async fn ca_06_an_absence_is_not_kept() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    house.upstream.add("globex", "late_one");
    assert_eq!(acme.ask(profile("late_one")).await.tool_error(), "Not found.");
    let answer = globex.ask(profile("late_one")).await;
    assert_owner(&answer, &globex, &house);
    // And acme's own, once there is one.
    house.upstream.add("acme", "late_one");
    let answer = acme.ask(profile("late_one")).await;
    assert_owner(&answer, &acme, &house);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ca_07_callers_wait_for_their_own_tenants_answer() {
    const EACH: usize = 12;
    let house = House::open().await;
    for tool in ["customer_profile", "cached_note"] {
        let calls: Vec<_> = (0..2 * EACH)
            .map(|n| {
                let mut caller = house.caller(["acme", "globex"][n % 2]);
                let arguments = match tool {
                    "customer_profile" => json!({ "customer_id": "slow_1" }),
                    _ => json!({ "key": "slow 1" }),
                };
                task(async move {
                    let answer = caller.call(tool, arguments).await;
                    (caller, answer)
                })
            })
            .collect();
        for name in ["globex", "acme"] {
            let gate = if tool == "cached_note" { format!("note {name}") } else { format!("crm {name}") };
            house.gates.of(&gate).came(1).await;
            house.gates.of(&gate).open(1);
        }
        for call in calls {
            let (caller, answer) = call.await.unwrap();
            let own = house.canaries.text_of(&caller.tenant);
            assert!(answer.said().contains(&own), "{answer:?}");
        }
    }
    // One each: all of a tenant's callers were answered by one request with that tenant's key.
    assert_eq!((house.upstream.times("acme", "slow_1"), house.upstream.times("globex", "slow_1")), (1, 1));
}

/// The upstream's own headers invite clients to share: `public`, one validator for all, a cookie.
#[tokio::test]
async fn ca_12_the_client_shares_neither_answers_nor_connections() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    let page = || Ask::call("customer_page", &json!({ "customer_id": "cus_same" }));
    for _ in 0..5 {
        for caller in [&mut acme, &mut globex] {
            let answer = caller.ask(page()).await;
            assert_owner(&answer, caller, &house);
        }
    }
    let seen = house.upstream.seen("cus_same");
    assert_eq!(seen.len(), 10, "each call asks, with its own key");
    for (at, request) in seen.iter().enumerate() {
        assert_eq!(request.company, ["acme", "globex"][at % 2]);
        assert!(
            !request.text.contains("cookie") && !request.text.contains("if-none-match"),
            "{}",
            request.text
        );
    }
    let connections = |company| {
        let own = seen.iter().filter(move |request| request.company == company);
        own.map(|request| request.connection).collect::<std::collections::BTreeSet<_>>()
    };
    assert!(connections("acme").is_disjoint(&connections("globex")));
    // The positive control: connections are kept, by their owner.
    assert!(connections("acme").len() < 5);
}
