//! Attacks on state and races (catalogue section 7): memory that one tenant's call touched is never another's.
//!
//! ST-07 (a window between patching and restoring something global) needs hooks or callbacks, which the gateway has
//! none of. ST-08 (another replica) is that of any process: replicas share no memory.

use serde_json::{Value, json};

use crate::support::{Answer, Ask, Caller, Conn, House, task};

/// One step of a mixed load; the answer is checked to be the caller's own.
async fn step(caller: &mut Caller, seed: &mut u64) {
    // xorshift: any sequence will do, as long as it is the same each time.
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    for _ in 0..(*seed >> 32) % 4 {
        tokio::task::yield_now().await;
    }
    let tenant = caller.tenant.clone();
    match *seed % 8 {
        0..4 => assert_eq!(caller.whoami().await["tenant"], tenant),
        4 => {
            let content = caller.modern_call("whoami", json!({})).await.content();
            assert_eq!(content["tenant"], tenant);
        }
        5 => {
            let list = caller.ask(Ask::modern("tools/list", &json!({}))).await.text();
            assert_eq!(list.contains("acme_notes"), tenant == "acme");
        }
        6 => {
            let id = *seed >> 40 & 7;
            let ticket = caller.call("get_ticket", json!({ "id": id + 1 })).await.content();
            assert!(ticket["body"].as_str().unwrap().contains(&format!("cnry-{tenant}-")), "{ticket}");
        }
        _ => {
            let profile =
                caller.call("customer_profile", json!({ "customer_id": format!("cus_{}", *seed >> 40 & 3) }));
            assert_eq!(profile.await.content()["organization_id"], tenant);
        }
    }
}

/// Not one of 12,800 answers was another's. With none in n, the rate is below 3 in n at 95 % confidence (the rule of
/// three): below 1 in 4,200 here, while each of the races that are known from elsewhere shows once in tens of calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn st_01_interleaved_calls_stay_apart() {
    const CALLS: usize = 3200;
    let house = House::open().await;
    for in_flight in [2, 8, 32, 64] {
        let work: Vec<_> = (0..in_flight)
            .map(|n| {
                let mut caller = house.caller(["acme", "globex"][n % 2]);
                let mut seed = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                task(async move {
                    for _ in 0..CALLS / in_flight {
                        step(&mut caller, &mut seed).await;
                    }
                })
            })
            .collect();
        for caller in work {
            caller.await.unwrap();
        }
    }
}

async fn kept(caller: &mut Caller) -> String {
    let content = caller.call("remember", json!({})).await.content();
    content["kept"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn st_02_what_one_sets_the_other_does_not_read() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    let mark = house.canaries.text_of("acme");
    acme.call("remember", json!({ "text": mark })).await.content();
    assert_eq!(kept(&mut globex).await, "");
    globex.call("remember", json!({ "text": "globex" })).await.content();
    assert_eq!(kept(&mut acme).await, mark);
    // The positive control: it is kept between the tenant's calls and callers.
    assert_eq!(kept(&mut house.caller("acme")).await, mark);
    assert_eq!(kept(&mut globex).await, "globex");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn st_03_a_slow_call_ends_as_it_began() {
    let house = House::open().await;
    let mut acme = house.caller("acme");
    acme.call("remember", json!({ "text": "acme's" })).await.content();
    let waiting = task(async move {
        let answer = acme.call("slow", json!({ "tag": "between" })).await;
        (acme, answer)
    });
    house.gates.of("acme").came(1).await;
    let flood: Vec<_> = (0..8)
        .map(|n| {
            let mut globex = house.caller("globex");
            task(async move {
                for round in 0..40 {
                    let text = format!("globex {n} {round}");
                    globex.call("remember", json!({ "text": text })).await.content();
                    globex.call("slow", json!({ "tag": text })).await.content();
                }
            })
        })
        .collect();
    house.gates.of("globex").open(8 * 40);
    for caller in flood {
        caller.await.unwrap();
    }
    house.gates.of("acme").open(1);
    let (_, answer) = waiting.await.unwrap();
    let content = answer.content();
    assert_eq!(content["kept"], "acme's");
    for who in ["tenant", "before", "after"] {
        assert_eq!(content["seen"][who], "acme", "{answer:?}");
    }
}

/// Whoever comes first to a server that nobody used yet does not set anything up for those who follow.
#[tokio::test]
async fn st_04_the_first_caller_wins_nothing() {
    for order in [["acme", "globex"], ["globex", "acme"]] {
        let house = House::open().await;
        for tenant in order {
            let mut caller = house.caller(tenant);
            let mark = house.canaries.text_of(tenant);
            for (tool, arguments, field) in [
                ("customer_profile", json!({ "customer_id": "cus_1" }), "note"),
                ("totals", json!({}), "amount"),
                ("whoami", json!({}), "tenant"),
                ("ambient", json!({}), "direct"),
                ("key_length", json!({}), "length"),
            ] {
                let content = caller.call(tool, arguments).await.content();
                let wanted = match field {
                    "note" => json!(mark),
                    "amount" => json!(house.canaries.number_of(tenant)),
                    "length" => json!(32),
                    _ => json!(tenant),
                };
                assert_eq!(content[field], wanted, "{tool}");
            }
        }
        assert_eq!((house.upstream.times("acme", "cus_1"), house.upstream.times("globex", "cus_1")), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn st_05_without_a_context_there_is_no_tenant() {
    let house = House::open().await;
    let work: Vec<_> = (0..8)
        .map(|n| {
            let mut caller = house.caller(["acme", "globex"][n % 2]);
            task(async move {
                for _ in 0..50 {
                    let seen = caller.call("ambient", json!({})).await.content();
                    for place in ["direct", "timer", "scoped", "nested"] {
                        assert_eq!(seen[place], caller.tenant, "{place}");
                    }
                    // Outside the call nobody is the tenant: not the last one, and no default.
                    for place in ["blocking", "thread", "detached"] {
                        assert_eq!(seen[place], "none", "{place}");
                    }
                }
            })
        })
        .collect();
    for caller in work {
        caller.await.unwrap();
    }
}

#[tokio::test]
async fn st_06_the_same_name_is_another_thing() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    for name in ["export.csv", "1", "../globex/export.csv", "/tmp/export"] {
        for caller in [&mut acme, &mut globex] {
            let body = house.canaries.text_of(&caller.tenant);
            caller.call("save_export", json!({ "name": name, "body": body })).await.content();
        }
        for caller in [&mut acme, &mut globex] {
            let read = caller.call("read_export", json!({ "name": name })).await.content();
            assert_eq!(read["body"], house.canaries.text_of(&caller.tenant), "{name}");
        }
    }
    acme.call("save_export", json!({ "name": "mine alone", "body": "x" })).await.content();
    assert_eq!(globex.call("read_export", json!({ "name": "mine alone" })).await.tool_error(), "Not found.");
}

/// A call fails in the middle, on a connection that both use; the next one is served as if nothing had been.
#[tokio::test]
async fn st_09_a_failure_leaves_nothing_behind() {
    let house = House::open().await;
    let (acme, globex) = (house.caller("acme"), house.caller("globex"));
    let mut conn = Conn::open(house.address).await;
    let mut ask = async |caller: &Caller, ask: Ask| -> Answer {
        let answer = conn.ask(&ask.bearer(&caller.token)).await;
        caller.assert_own(&answer.raw());
        answer
    };
    for how in ["panic", "internal", "failed", "missing", "locked"] {
        for make in [Ask::call, Ask::modern_call] {
            let failed = ask(&acme, make("broken", &json!({ "how": how }))).await;
            let said = failed.tool_error();
            match how {
                "failed" => assert!(said.contains("broken for acme"), "{said}"),
                "missing" => assert_eq!(said, "Not found."),
                _ => assert_eq!(said, "The tool failed. The operator's log says why."),
            }
            let next = ask(&globex, make("ambient", &json!({}))).await.content();
            assert_eq!(next["direct"], "globex");
            let whoami = ask(&globex, make("whoami", &json!({}))).await.content();
            assert_eq!(whoami["tenant"], "globex");
            let theirs = ask(&globex, make("broken", &json!({ "how": how }))).await.tool_error();
            assert_eq!(
                theirs,
                said.replace("acme", "globex").replace(
                    &house.canaries.text_of("acme").replace("acme", "globex"),
                    &house.canaries.text_of("globex"),
                )
            );
        }
    }
}

#[tokio::test]
async fn st_10_odd_names_change_nothing_for_anybody() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    let before = globex.call("list_tickets", json!({})).await.comparable();
    let odd = [
        json!({ "__proto__": { "limit": 1, "tenant": "globex" } }),
        json!({ "constructor": { "prototype": { "limit": 1 } } }),
        json!({ "limit": { "__proto__": 1 } }),
        json!({ "toString": 1 }),
        json!({ "limit": 1, "hasOwnProperty": false }),
        json!({ "": 1 }),
    ];
    for arguments in odd {
        for tool in ["list_tickets", "whoami", "remember", "totals"] {
            let answer = acme.call(tool, arguments.clone()).await;
            assert!(!answer.tool_error().is_empty(), "{tool} {arguments}");
        }
    }
    assert_eq!(globex.call("list_tickets", json!({})).await.comparable(), before);
    // What one caller leaves out is the default, whatever another gave.
    let one = acme.call("list_tickets", json!({ "limit": 1 })).await.content();
    assert_eq!(one["rows"].as_array().map(Vec::len), Some(1));
    let all: Value = globex.call("list_tickets", json!({})).await.content();
    assert_eq!(all["rows"].as_array().map(Vec::len), Some(11));
}
