//! Tenants that are suspended, removed, made again, or not quite set up (catalogue section 14).

use serde_json::json;

use crate::support::{Ask, Caller, House, task, tenant};

mod late;

/// What nobody in particular is told.
async fn refusal(house: &House) -> String {
    let ask = Ask::call("whoami", &json!({})).bearer("a.b.c");
    house.stranger().ask(ask).await.comparable()
}

#[tokio::test]
async fn lc_01_a_suspension_holds_from_the_next_request_on() {
    let house = House::open().await;
    let registry = &house.gateway.administration().registry;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    let refusal = refusal(&house).await;
    for _ in 0..3 {
        // The token was verified before and is remembered; the connection is open already.
        assert_eq!(acme.whoami().await["tenant"], "acme");
        registry.suspend(&tenant("acme")).unwrap();
        for ask in [
            Ask::call("whoami", &json!({})),
            Ask::modern("server/discover", &json!({})),
            Ask::call("customer_profile", &json!({ "customer_id": "cus_1" })),
        ] {
            let answer = acme.ask(ask).await;
            assert_eq!(answer.comparable(), refusal, "a suspended tenant's token is like any bad one");
        }
        assert_eq!(acme.ask(Ask::new("GET", "/mcp")).await.status, 401);
        assert_eq!(globex.whoami().await["tenant"], "globex");
        registry.resume(&tenant("acme")).unwrap();
    }
    assert!(house.upstream.seen("").is_empty(), "nothing was called for a suspended tenant");
    let lines = house.audit("acme").await;
    let denied = lines.iter().filter(|line| line["outcome"] == "denied" && line["layer"] == "identity");
    // A line may stand for several.
    assert_eq!(denied.map(|line| line["times"].as_u64().unwrap_or(1)).sum::<u64>(), 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lc_01_a_removal_holds_on_open_connections() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    assert_eq!(acme.whoami().await["tenant"], "acme");
    let mut waiting = house.caller("acme");
    let open_call = task(async move { waiting.call("slow", json!({ "tag": "x" })).await });
    house.gates.of("acme").came(1).await;
    let refusal = refusal(&house).await;
    house.remove("acme");
    for _ in 0..2 {
        assert_eq!(acme.ask(Ask::call("whoami", &json!({}))).await.comparable(), refusal);
        acme.hang_up();
    }
    // A call that was admitted before ends; there is no second one.
    house.gates.of("acme").open(1);
    assert_eq!(open_call.await.unwrap().content()["seen"]["tenant"], "acme");
    assert_eq!(globex.call("totals", json!({})).await.content()["tickets"], 11);
    // An unknown tenant, with a token that is good in every other way, is the same.
    let mut unknown = house.caller_with("", house.token("initech", "pete", ""));
    assert_eq!(unknown.ask(Ask::call("whoami", &json!({}))).await.comparable(), refusal);
}

/// Fills everything that is kept for a tenant.
async fn furnish(house: &House, caller: &mut Caller) {
    let mark = house.canaries.text_of(&caller.tenant);
    caller.call("remember", json!({ "text": mark })).await.content();
    caller.call("save_export", json!({ "name": "old", "body": mark })).await.content();
    caller.call("add_comment", json!({ "ticket_id": 4, "body": mark })).await.content();
    caller.call("customer_profile", json!({ "customer_id": "cus_1" })).await.content();
    caller.call("cached_note", json!({ "key": "k" })).await.said();
    caller.call("my_profile", json!({})).await.content();
}

#[tokio::test]
async fn lc_03_a_tenant_that_is_made_again_begins_with_nothing() {
    let house = House::open().await;
    let mut acme = house.caller("acme");
    let mut globex = house.caller("globex");
    for life in 0..3 {
        // The connection is from the first life; the callers search for marks of earlier ones.
        furnish(&house, &mut acme).await;
        house.remove("acme");
        assert_eq!(acme.ask(Ask::call("whoami", &json!({}))).await.status, 401);
        house.canaries.bury("acme");
        if life == 1 {
            house.add_without_secret("acme");
        } else {
            house.add("acme");
        }
        // What was good in an earlier life is like any bad token, also where it was verified before.
        assert_eq!(acme.ask(Ask::call("whoami", &json!({}))).await.comparable(), refusal(&house).await);
        acme.token = house.token("acme", "user@acme.example", "");
        if life == 1 {
            let said = acme.call("customer_profile", json!({ "customer_id": "cus_1" })).await.tool_error();
            assert!(said.contains("crm_api_key"), "the old key and the old answer are gone: {said}");
            house.set_secret("acme");
        }
        assert_eq!(acme.call("remember", json!({})).await.content()["kept"], "", "state");
        assert_eq!(
            acme.call("read_export", json!({ "name": "old" })).await.tool_error(),
            "Not found.",
            "data"
        );
        let ticket = acme.call("get_ticket", json!({ "id": 4 })).await.content();
        assert_eq!(ticket["comments"], json!(null));
        let own = house.canaries.text_of("acme");
        let profile = acme.call("customer_profile", json!({ "customer_id": "cus_1" })).await.content();
        assert_eq!(profile["note"], own, "cache and secret");
        assert_eq!(acme.call("cached_note", json!({ "key": "k" })).await.said(), format!("k {own}"));
        assert_eq!(acme.call("my_profile", json!({})).await.content()["note"], own);
        let totals = acme.call("totals", json!({})).await.content();
        assert_eq!(
            (&totals["amount"], &totals["comments"]),
            (&json!(house.canaries.number_of("acme")), &json!(0))
        );
    }
    assert_eq!(globex.call("totals", json!({})).await.content()["tickets"], 11);
}

/// A tenant that lacks a secret is told which, in words that a model can act on; nobody else's is used (CR-03).
#[tokio::test]
async fn a_missing_secret_is_missed_by_its_tenant_alone() {
    let house = House::open().await;
    house.add_without_secret("initech");
    let (mut acme, mut initech) = (house.caller("acme"), house.caller("initech"));
    for caller in ["acme", "globex"] {
        let answer = house.caller(caller).call("customer_profile", json!({ "customer_id": "cus_1" })).await;
        assert!(answer.is_ok(), "{answer:?}");
    }
    let before = house.upstream.seen("").len();
    for make in [Ask::call, Ask::modern_call] {
        for (tool, arguments) in [
            ("customer_profile", json!({ "customer_id": "cus_1" })),
            ("customer_page", json!({ "customer_id": "cus_1" })),
            ("my_profile", json!({})),
            ("key_length", json!({})),
        ] {
            let said = initech.ask(make(tool, &arguments)).await.tool_error();
            assert!(said.contains("`crm_api_key`") && said.contains("administrator"), "{tool}: {said}");
        }
    }
    assert_eq!(house.upstream.seen("").len(), before, "nothing was asked for without a key");
    assert_eq!(initech.call("totals", json!({})).await.content()["tickets"], 10, "other tools go on working");
    house.set_secret("initech");
    let profile = initech.call("customer_profile", json!({ "customer_id": "cus_1" })).await.content();
    assert_eq!(profile["organization_id"], "initech");
    // CR-09: a key that was replaced is not used again.
    house.set_secret("acme");
    let page = acme.call("customer_page", json!({ "customer_id": "cus_1" })).await;
    assert!(page.is_ok(), "{page:?}");
}
