//! Attacks on data (catalogue section 8): what is somebody else's is not there, and nothing tells the two apart.

mod oracles;

use serde_json::{Value, json};

use crate::support::{Ask, House, ONLY_GLOBEX, in_time};

/// Tools that take an id, the id of a thing that globex alone has, and one that nobody has.
fn id_tools() -> Vec<(&'static str, Value, Value)> {
    let comment = |id: i64| json!({ "ticket_id": id, "body": "mine now" });
    vec![
        ("get_ticket", json!({ "id": ONLY_GLOBEX }), json!({ "id": 4242 })),
        ("add_comment", comment(ONLY_GLOBEX), comment(4242)),
        ("link_ticket", json!({ "ticket_id": ONLY_GLOBEX }), json!({ "ticket_id": 4242 })),
        (
            "customer_profile",
            json!({ "customer_id": "late_theirs" }),
            json!({ "customer_id": "late_nobody" }),
        ),
        ("customer_page", json!({ "customer_id": "late_theirs" }), json!({ "customer_id": "late_nobody" })),
        ("read_export", json!({ "name": "theirs" }), json!({ "name": "nobody" })),
    ]
}

#[tokio::test]
async fn da_01_and_10_a_foreign_id_is_an_unknown_id() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    house.upstream.add("globex", "late_theirs");
    globex.call("save_export", json!({ "name": "theirs", "body": "x" })).await.content();
    for make in [Ask::call, Ask::modern_call] {
        for (tool, foreign, unknown) in id_tools() {
            let owner = globex.ask(make(tool, &foreign)).await;
            assert!(owner.is_ok(), "the owner can: {tool}: {owner:?}");
            let first = acme.ask(make(tool, &foreign)).await;
            let second = acme.ask(make(tool, &unknown)).await;
            assert!(!first.is_ok(), "{tool}: {first:?}");
            assert_eq!(first.comparable(), second.comparable(), "{tool}");
        }
    }
    // DA-10, integrity: the owner has its two comments and links, and nobody else's.
    let ticket = globex.call("get_ticket", json!({ "id": ONLY_GLOBEX })).await.content();
    assert_eq!(ticket["comments"], "agent: mine now\nagent: mine now");
    assert_eq!(acme.call("totals", json!({})).await.content()["comments"], 0);
}

#[tokio::test]
async fn da_02_neighbouring_ids_are_the_tenants_own() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    for id in (-3..=90).chain([i64::MAX, i64::MIN, 4_294_967_297]) {
        for (caller, has) in
            [(&mut acme, (1..=10).contains(&id)), (&mut globex, (1..=10).contains(&id) || id == 77)]
        {
            let answer = caller.call("get_ticket", json!({ "id": id })).await;
            assert_eq!(answer.is_ok(), has, "{id}: {answer:?}");
            if has {
                assert!(answer.text().contains(&house.canaries.text_of(&caller.tenant)));
            } else {
                assert_eq!(answer.tool_error(), "Not found.", "{id}");
            }
        }
    }
}

/// Enough tools that a list has two pages.
fn many_tools() -> String {
    (0..120).map(|n| format!("[[tool]]\nname = \"t{n}\"\nnative = \"whoami\"\n")).collect()
}

#[tokio::test]
async fn da_05_a_cursor_goes_on_for_its_owner_alone() {
    let house = House::with(crate::support::Plan { tools: many_tools(), ..Default::default() }).await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    let mut colleague = house.caller_with("acme", house.token("acme", "colleague", ""));
    for make in [Ask::legacy, Ask::modern] {
        let page = |cursor: &str| make("tools/list", &json!({ "cursor": cursor }));
        let first = globex.ask(make("tools/list", &json!({}))).await.result();
        let theirs = first["nextCursor"].as_str().unwrap().to_owned();
        let next = globex.ask(page(&theirs)).await;
        assert!(next.result()["tools"].as_array().unwrap().len() > 20, "the owner goes on");
        // The same caller with a token of other bytes is the same caller (SE-11).
        let mut again = house.caller_with("globex", house.token("globex", "user@globex.example", "other"));
        assert_eq!(again.ask(page(&theirs)).await.comparable(), next.comparable());
        let own = acme.ask(make("tools/list", &json!({}))).await.result()["nextCursor"].take();
        let own = own.as_str().unwrap().to_owned();
        let forged = acme.ask(page("AAAA")).await;
        assert_eq!(forged.code(), -32602);
        let half = own.len() / 2;
        let swapped = format!("{}{}", own.split_at(half).0, theirs.split_at(half).1);
        let (first_letter, cut) = own.split_at(1);
        let flipped = format!("{}{cut}", if first_letter == "A" { "B" } else { "A" });
        let long = "A".repeat(70_000);
        for bad in [
            &theirs,
            "",
            "0",
            "100",
            "MTAw",
            "null",
            cut,
            own.split_at(own.len() - 4).0,
            &format!("{own}="),
            &swapped,
            &flipped,
            &format!(" {own}"),
            &own.to_lowercase(),
            &long,
        ] {
            let answer = acme.ask(page(bad)).await;
            assert_eq!(answer.comparable(), forged.comparable(), "{bad}");
        }
        let other_user = colleague.ask(page(&own)).await;
        assert_eq!(
            other_user.comparable(),
            forged.comparable(),
            "a handle is its caller's, not the tenant's"
        );
        assert!(acme.ask(page(&own)).await.is_ok());
        // LC-03: a tenant that is made again does not go on where the earlier one stopped.
        house.remove("globex");
        house.canaries.bury("globex");
        house.add("globex");
        globex.token = house.caller("globex").token.clone();
        assert_eq!(globex.ask(page(&theirs)).await.comparable(), forged.comparable());
    }
}

#[tokio::test]
async fn da_06_no_filter_opens_a_list() {
    let house = House::open().await;
    let mut acme = house.caller("acme");
    let limits = [
        json!(-1),
        json!(0),
        json!(101),
        json!(1_000_000),
        json!(1e300),
        json!(-0.5),
        json!("100"),
        json!([1]),
    ];
    for limit in limits {
        let answer = acme.call("list_tickets", json!({ "limit": limit })).await;
        assert!(answer.tool_error().starts_with("The argument `limit`"), "{limit}: {answer:?}");
    }
    for status in ["", "*", "%", "OPEN", "open' OR '1'='1", "tenant", "all"] {
        let answer = acme.call("list_tickets", json!({ "status": status })).await;
        assert!(answer.tool_error().starts_with("The argument `status`"), "{status}");
    }
    for (arguments, rows) in
        [(json!({}), 10), (json!({ "status": null, "limit": null }), 10), (json!({ "status": "closed" }), 0)]
    {
        let content = acme.call("list_tickets", arguments.clone()).await.content();
        assert_eq!(content["rows"].as_array().unwrap().len(), rows, "{arguments}");
    }
    for query in
        ["%", "*", "' OR 1=1 --", "\\", "_", "') UNION SELECT * FROM invoices --", "globex", "Ticket 77"]
    {
        let content = acme.call("search_tickets", json!({ "query": query })).await.content();
        assert_eq!(content["rows"], json!([]), "{query}");
    }
}

#[tokio::test]
async fn da_07_a_write_takes_no_more_than_it_declares() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    let before = globex.call("get_ticket", json!({ "id": 4 })).await.comparable();
    for extra in
        ["id", "author", "owner", "tenant_id", "created_at", "ticket", "comment_id", "rowid", "body "]
    {
        let mut arguments = json!({ "ticket_id": 4, "body": "hello" });
        arguments[extra] = json!("globex");
        let answer = acme.call("add_comment", arguments).await;
        assert!(answer.tool_error().starts_with("There is no argument"), "{extra}: {answer:?}");
    }
    assert_eq!(acme.call("totals", json!({})).await.content()["comments"], 0, "nothing of it was written");
    for body in ["'); DROP TABLE tickets; --", "x', 'root'), (4, 'y", "\u{0}", "{\"tenant\":\"globex\"}"] {
        let answer = acme.call("add_comment", json!({ "ticket_id": 4, "body": body })).await;
        assert!(answer.is_ok(), "text is text: {answer:?}");
    }
    assert!(acme.call("add_comment", json!({ "ticket_id": 4, "body": "hello" })).await.is_ok());
    assert_eq!(acme.call("totals", json!({})).await.content()["comments"], 5);
    assert_eq!(globex.call("get_ticket", json!({ "id": 4 })).await.comparable(), before);
}

#[tokio::test]
async fn da_08_sums_and_searches_do_not_move() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    let before = acme.call("totals", json!({})).await;
    assert_eq!(before.content()["amount"], house.canaries.number_of("acme"));
    let theirs = house.canaries.number_of("globex").to_string();
    let search = |text: &str| Ask::call("search_tickets", &json!({ "query": text }));
    let nothing = acme.ask(search("999999999999")).await;
    for n in 0..20 {
        let body = format!("{n} {}", house.canaries.text_of("globex"));
        globex.call("add_comment", json!({ "ticket_id": 4, "body": body })).await.content();
        assert_eq!(acme.call("totals", json!({})).await.comparable(), before.comparable());
        assert_eq!(acme.ask(search(&theirs)).await.comparable(), nothing.comparable());
    }
    assert_eq!(globex.call("totals", json!({})).await.content()["comments"], 20, "the owner's do");
    let found = globex.ask(search(&theirs)).await.content();
    assert_eq!(found["rows"].as_array().unwrap().len(), 11);
}

#[tokio::test]
async fn da_09_a_name_that_is_taken_elsewhere_is_free() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    for name in ["urgent".to_owned(), house.canaries.text_of("globex")] {
        if !name.contains("globex") {
            assert!(globex.call("add_label", json!({ "name": name })).await.is_ok());
        }
        // What the caller itself sends comes back; it is not found out.
        let ask = Ask::call("add_label", &json!({ "name": name })).bearer(&acme.token);
        let mut conn = crate::support::Conn::open(house.address).await;
        let answer = in_time("the answer", conn.ask(&ask)).await;
        assert!(answer.is_ok(), "{answer:?}");
        // The positive control: within a tenant the name is taken.
        let again = conn.ask(&ask).await;
        assert_eq!(again.tool_error(), "The data does not allow this change; nothing was written.");
        let theirs = globex.call("add_label", json!({ "name": name })).await;
        assert_eq!(theirs.comparable(), again.comparable());
    }
    assert!(acme.call("add_label", json!({ "name": "free" })).await.is_ok());
}
