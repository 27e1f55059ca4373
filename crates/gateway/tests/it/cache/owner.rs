//! The upstream shows what belongs to somebody else: it is neither kept nor shown.

use serde_json::json;

use super::{assert_owner, profile};
use crate::support::{Ask, House, Plan};

/// What the audit log says where the wire says nothing.
const FOREIGN: &str = "Document does not belong to requesting tenant";

#[tokio::test]
async fn a_foreign_record_is_not_there() {
    let house = House::open().await;
    let mut acme = house.caller("acme");
    for make in [Ask::call, Ask::modern_call] {
        for tool in ["customer_profile", "customer_page"] {
            let ask = |customer: &str| make(tool, &json!({ "customer_id": customer }));
            let missing = acme.ask(ask("gone")).await;
            assert_eq!(missing.tool_error(), "Not found.");
            for foreign in ["stray", "twice", "list", "nobody", "forbidden", "cus_none_1"] {
                let answer = acme.ask(ask(foreign)).await;
                assert_eq!(answer.comparable(), missing.comparable(), "{tool} {foreign}");
            }
            assert!(acme.ask(ask("cus_1")).await.is_ok());
        }
    }
    let lines = house.audit("acme").await;
    let foreign = lines.iter().filter(|line| line["reason"] == FOREIGN);
    // Four customers, two tools, two revisions; none of them was answered from a cache.
    assert_eq!(foreign.clone().count(), 16, "{lines:#?}");
    for line in foreign {
        assert_eq!((&line["outcome"], &line["layer"]), (&json!("denied"), &json!("cache")), "{line}");
    }
    assert!(house.audit("globex").await.is_empty(), "the victim's log has no line of it");
}

/// That a record is there, and is large, is for its owner to know.
#[tokio::test]
async fn a_foreign_record_that_is_too_large_or_no_json_is_not_there() {
    let capacity = "requests_per_second = 100000\nburst = 100000\nreply_bytes = \"16KiB\"\n";
    let house = House::with(Plan { capacity: Some(capacity), ..Plan::default() }).await;
    let mut acme = house.caller("acme");
    for make in [Ask::call, Ask::modern_call] {
        for tool in ["customer_profile", "customer_page"] {
            let ask = |customer: &str| make(tool, &json!({ "customer_id": customer }));
            let missing = acme.ask(ask("gone")).await;
            for foreign in ["stray", "stray_large", "stray_page"] {
                let answer = acme.ask(ask(foreign)).await;
                assert_eq!(answer.comparable(), missing.comparable(), "{tool} {foreign}");
            }
            let said = acme.ask(ask("large")).await.tool_error();
            assert!(said.starts_with("The reply would be too large."), "{said}");
        }
    }
    let lines = house.audit("acme").await;
    for why in ["the upstream's reply is larger than 16384 bytes", "the upstream's reply is not JSON"] {
        let reason = format!("no owner is known of a reply that cannot be passed on: {why}");
        assert_eq!(lines.iter().filter(|line| line["reason"] == reason).count(), 4, "{lines:#?}");
    }
}

#[tokio::test]
async fn a_foreign_record_is_not_kept() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    for caller in [&mut acme, &mut globex] {
        for _ in 0..3 {
            assert_eq!(caller.ask(profile("stray_one")).await.tool_error(), "Not found.");
        }
    }
    assert_eq!(house.upstream.times("acme", "stray_one"), 3, "asked anew each time");
    // The service mends its ways; nothing of what it said before is left.
    house.upstream.be_honest();
    for caller in [&mut acme, &mut globex] {
        let answer = caller.ask(profile("stray_one")).await;
        assert_owner(&answer, caller, &house);
    }
}

/// A redirect is not followed, not even to the tenant's own record: it could carry the key elsewhere.
#[tokio::test]
async fn a_redirect_takes_no_key_along() {
    let house = House::open().await;
    let mut acme = house.caller("acme");
    let said = acme.ask(profile("moved")).await.tool_error();
    assert!(said.starts_with("The service behind this tool did not answer as expected."), "{said}");
    assert_eq!(house.upstream.seen("").len(), 1, "nothing was asked for after the redirect");
}

/// Nothing that a caller writes becomes another path, host or query at the upstream (DA-13).
#[tokio::test]
async fn da_13_an_argument_stays_in_its_place() {
    let house = House::open().await;
    let mut acme = house.caller("acme");
    let odd = [
        "../cus_1",
        "..",
        ".",
        "%2e%2e",
        "%2e%2e%2fcus_1",
        "a/b",
        "a\\b",
        "a?organization_id=globex",
        "a#b",
        "a;b=c",
        "a b",
        "a\u{0}b",
        "a\r\nX-Injected: 1",
        "@evil.example",
        "//evil.example",
        "http://evil.example/",
        "a%00b",
        "%252e%252e",
        "cus_1/../../../globex",
        "ａ",
        "\u{202e}cus_1",
        "cus_1\n",
        "*",
        "",
    ];
    for customer in odd {
        let before = house.upstream.seen("").len();
        let answer = acme.ask(profile(customer)).await;
        let seen = house.upstream.seen("");
        if let Some(request) = seen.get(before) {
            let segment = request.target.strip_prefix("/v1/customers/").unwrap();
            assert!(!segment.contains(['/', '\\', '?', '#', ' ']), "{customer:?}: {}", request.target);
            assert!(!request.text.to_lowercase().contains("x-injected"), "{}", request.text);
            assert_eq!(answer.content()["organization_id"], "acme", "{customer:?}");
        } else {
            let said = answer.tool_error();
            assert!(said.contains("customer_id"), "{customer:?}: {said}");
        }
    }
    let long = "x".repeat(65);
    assert!(acme.ask(profile(&long)).await.tool_error().contains("1 to 64 characters"));
    let answer = acme.ask(profile("cus_1")).await;
    assert_owner(&answer, &acme, &house);
}
