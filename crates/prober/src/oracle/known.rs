//! Each oracle against what is known to leak, what is known not to, and what is no answer at all.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::{Judged, difference, judge, shift};
use crate::{
    Credential, Plan,
    canary::{Marks, Origin},
    facts::Facts,
    site::{Found, Party, Reading, Site, What},
    survey::Surface,
    target::{Caller, Era, Exchange, Failure, Reply, Request, Target},
    transcript::Redactor,
};

/// What stands in the data of `globex`, and nowhere else.
const FOREIGN: &str = "Reactor leak in hall 7";

/// What a tenant is shown alone.
pub(crate) fn alone(tenant: &str) -> Value {
    let (ticket, city) = match tenant {
        "acme" => ("Printer on fire again", "Lisbon"),
        _ => (FOREIGN, "Vienna"),
    };
    json!({"ticket": ticket, "city": city, "tenant": tenant, "open": 3, "kind": "incident",
        "company": if tenant == "acme" { "Globex" } else { "Hooli" }, "bills": bills(&[tenant])})
}

/// Rows that are too short to be known by a text.
fn bills(tenants: &[&str]) -> Value {
    let bill = |tenant: &&str| match *tenant {
        "acme" => json!({"payer": "Ann", "amount": 95_000}),
        "globex" => json!({"payer": "Bob", "amount": 71_000}),
        other => json!({"payer": other, "amount": 7}),
    };
    tenants.iter().map(bill).collect()
}

/// A site as a survey leaves it: two tenants, a value of each, one tool that both can read.
pub(crate) fn site() -> Site {
    let credential = |tenant: &str| Credential {
        tenant: tenant.to_owned(),
        token: format!("token-of-{tenant}-5e1f0c77").into(),
    };
    let tenants = ["acme", "globex"].map(credential);
    let plan = Plan::new("http://127.0.0.1:9/mcp".parse().unwrap(), tenants.to_vec());
    let target = Target::new(&plan);
    let parties = tenants.map(|Credential { tenant, token }| {
        let caller = || Caller::new(&target, &tenant, &tenant, Some(token.clone()), Era::Modern).unwrap();
        let (modern, surface) = (Some(caller()), Surface::default());
        Party { caller: caller(), modern, legacy: None, surface, ids: Vec::new(), tenant: tenant.clone() }
    });
    let mut marks = Marks::default();
    marks.add("acme", "Printer on fire again", Origin::Seed);
    marks.add("globex", FOREIGN, Origin::Seed);
    let what = What::Tool { name: "ticket".to_owned(), arguments: json!({}) };
    let alone = ["acme", "globex"].map(|tenant| (tenant.to_owned(), Facts::of(&alone(tenant))));
    Site {
        plan,
        target,
        parties,
        colleague: None,
        nobody: Vec::new(),
        marks,
        readings: vec![Reading { what, alone: alone.into() }],
        redactor: Redactor::default(),
        survey: Vec::new(),
        found: Found::default(),
        away: std::sync::Mutex::default(),
        named: std::sync::Mutex::default(),
        beyond: Vec::new(),
        reached: std::sync::Mutex::default(),
        kept: std::collections::BTreeSet::new(),
        unread: Vec::new(),
        early: crate::site::Early::default(),
    }
}

/// What `acme` asks, with the id 7.
pub(crate) fn asked(site: &Site) -> Request {
    let (method, params) = site.readings[0].what.message();
    site.parties[0].caller.request_as(json!(7), method, params)
}

/// An answer to it, with a status, one more header and a body.
pub(crate) fn answered(request: Request, status: u16, (name, value): (&str, &str), body: &str) -> Exchange {
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
    let reply = Reply::new(status, headers, Bytes::from(body.to_owned()));
    Exchange { who: "acme".to_owned(), request, outcome: Ok(reply), took: Duration::ZERO }
}

/// The same with a result.
fn told(site: &Site, result: &Value) -> Exchange {
    let message = json!({"jsonrpc": "2.0", "id": 7, "result": result});
    answered(asked(site), 200, JSON, &message.to_string())
}

/// No answer.
pub(crate) fn silent(request: Request, failure: Failure) -> Exchange {
    Exchange { who: "acme".to_owned(), request, outcome: Err(failure), took: Duration::ZERO }
}

const JSON: (&str, &str) = ("content-type", "application/json");
const STREAM: (&str, &str) = ("content-type", "text/event-stream");

/// The answer that shows a tenant what it is shown alone, with some fields otherwise.
fn with(changes: &[(&str, Value)]) -> Value {
    let mut result = alone("acme");
    for (name, value) in changes {
        result[*name] = value.clone();
    }
    result
}

/// Answers to `acme` that show something of `globex`.
pub(crate) fn leaks(site: &Site) -> Vec<(&'static str, Exchange)> {
    let own = || json!({"jsonrpc": "2.0", "id": 7, "result": alone("acme")}).to_string();
    let refused = |text: &str| json!({"jsonrpc": "2.0", "id": 7, "error": {"code": -32602, "message": text}});
    let packed = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, FOREIGN);
    vec![
        ("the other's whole answer", told(site, &alone("globex"))),
        ("his value in a field of its own", told(site, &with(&[("note", json!(FOREIGN))]))),
        ("his value in another spelling", told(site, &with(&[("note", json!(packed))]))),
        ("his value deep in a text that is JSON", {
            told(site, &with(&[("note", json!(json!({"a": [{"b": FOREIGN}]}).to_string()))]))
        }),
        ("his value as the name of a field", told(site, &with(&[("by", json!({FOREIGN: 1}))]))),
        ("his value in a header", answered(asked(site), 200, ("x-last", FOREIGN), &own())),
        ("his value in a refusal", answered(asked(site), 200, JSON, &refused(FOREIGN).to_string())),
        ("his value on a page of errors", answered(asked(site), 500, ("x-a", "b"), FOREIGN)),
        ("his value before the answer", {
            let body = format!(": {FOREIGN}\n\nevent: message\ndata: {}\n\n", own());
            answered(asked(site), 200, STREAM, &body)
        }),
        ("a text of his that nobody named, in the place of one's own", {
            told(site, &with(&[("city", json!("Vienna"))]))
        }),
        ("his short row beside one's own", told(site, &with(&[("bills", bills(&["acme", "globex"]))]))),
        ("his short row before one's own", told(site, &with(&[("bills", bills(&["globex", "acme"]))]))),
        ("his name as the owner", told(site, &with(&[("tenant", json!("globex"))]))),
        ("his name as the owner of one more row", {
            told(site, &with(&[("rows", json!([{"tenant_id": "globex", "n": 1}]))]))
        }),
    ]
}

/// Answers to `acme` in which nothing is anybody else's.
pub(crate) fn innocent(site: &Site) -> Vec<(&'static str, Exchange)> {
    let own = json!({"jsonrpc": "2.0", "id": 7, "result": alone("acme")}).to_string();
    let echoing = asked(site).header("x-note", FOREIGN);
    let echoed = json!({"jsonrpc": "2.0", "id": 7, "result": with(&[("note", json!(FOREIGN))])});
    vec![
        ("what one is shown alone", told(site, &alone("acme"))),
        ("the same and more", told(site, &with(&[("at", json!("2026-11-28T01:02:03Z"))]))),
        ("the same on a stream", {
            answered(asked(site), 200, STREAM, &format!("id: 5\nevent: message\ndata: {own}\n\n"))
        }),
        ("what was sent, repeated", answered(echoing, 200, JSON, &echoed.to_string())),
        ("a number that is the other's too", told(site, &with(&[("count", json!(3))]))),
        ("a row that the run wrote", told(site, &with(&[("bills", bills(&["acme", "cnry-1"]))]))),
        ("the other's name where one's own data names a company", {
            told(site, &with(&[("rows", json!([{"company": "Globex", "n": 1}]))]))
        }),
        ("a word that everybody uses", told(site, &with(&[("state", json!("incident"))]))),
    ]
}

/// What is no answer: nobody is shown anything, and nobody is refused anything.
pub(crate) fn dead(site: &Site) -> Vec<(&'static str, Exchange)> {
    let page = |status, body| answered(asked(site), status, ("content-type", "text/html"), body);
    let other = json!({"jsonrpc": "2.0", "id": 999, "result": alone("acme")}).to_string();
    vec![
        ("nothing in time", silent(asked(site), Failure::Timeout)),
        ("no connection", silent(asked(site), Failure::Connect("refused".to_owned()))),
        ("an end in the middle", silent(asked(site), Failure::Broken("reset".to_owned()))),
        ("too much", silent(asked(site), Failure::TooLarge)),
        ("an unknown coding", silent(asked(site), Failure::Coded("br".to_owned()))),
        ("the end of the run", silent(asked(site), Failure::Late)),
        ("a page", page(200, "<html>Back soon</html>")),
        ("an empty answer", answered(asked(site), 200, JSON, "")),
        ("half of an answer", answered(asked(site), 200, JSON, "{\"jsonrpc\": \"2.0\", \"id\": 7, \"res")),
        ("an answer to another id", answered(asked(site), 200, JSON, &other)),
        ("an error of the server", page(500, "Internal Server Error")),
        ("too many", page(429, "")),
        ("nobody is let in", page(401, "")),
        ("another address", answered(asked(site), 307, ("location", "/elsewhere"), "")),
    ]
}

#[tokio::test]
async fn non_interference_canaries_and_owners_tell_leaks_from_the_rest() {
    let site = site();
    let said = |exchange: &Exchange| judge(&site, "acme", &site.readings[0], exchange);
    for (what, exchange) in leaks(&site) {
        let judged = said(&exchange);
        assert!(matches!(judged, Judged::Foreign(_)), "{what}: {judged:?}");
    }
    for (what, exchange) in innocent(&site) {
        let judged = said(&exchange);
        assert!(matches!(judged, Judged::Own), "{what}: {judged:?}");
    }
    for (what, exchange) in dead(&site) {
        let judged = said(&exchange);
        assert!(matches!(judged, Judged::Failed(_)), "{what}: {judged:?}");
    }
    // What says something else, and nothing of the other's, is neither.
    let more = with(&[("bills", bills(&["acme", "Zoe"]))]);
    for result in [json!({}), json!({"ticket": "Printer on fire again"}), with(&[("open", json!(4))]), more] {
        let judged = said(&told(&site, &result));
        assert!(matches!(judged, Judged::Changed(_)), "{result}: {judged:?}");
    }
}

#[tokio::test]
async fn the_same_answers_are_no_leak_to_their_owner() {
    let site = site();
    for (what, exchange) in leaks(&site) {
        let marks = site.marks.foreign("globex", FOREIGN.as_bytes(), b"");
        assert_eq!(marks, None, "{what}");
        let own = exchange.result() == Some(&alone("globex"));
        let judged = judge(&site, "globex", &site.readings[0], &exchange);
        assert_eq!(matches!(judged, Judged::Own), own, "{what}: {judged:?}");
    }
}

#[tokio::test]
async fn the_twin_that_nobody_has_tells_what_is_there() {
    let site = site();
    let refusal = |status, code: i64, text: &str, header| {
        let body = json!({"jsonrpc": "2.0", "id": 7, "error": {"code": code, "message": text}}).to_string();
        answered(asked(&site), status, header, &body)
    };
    let tells = |foreign: &Exchange, unknown: &Exchange| {
        difference(foreign, &json!("T-4711"), unknown, &json!("T-9042")).is_some()
    };
    let unknown = || refusal(404, -32002, "no ticket T-9042", JSON);
    for (what, foreign) in [
        ("a status", refusal(403, -32002, "no ticket T-4711", JSON)),
        ("a code", refusal(404, -32003, "no ticket T-4711", JSON)),
        ("a text", refusal(404, -32002, "ticket T-4711 is not yours", JSON)),
        ("a length", refusal(404, -32002, "no ticket T-4711.", JSON)),
        ("a header", refusal(404, -32002, "no ticket T-4711", ("x-owner", "a"))),
        ("an answer against none", silent(asked(&site), Failure::Timeout)),
    ] {
        assert!(tells(&foreign, &unknown()) && tells(&unknown(), &foreign), "{what}");
    }
    assert!(!tells(&refusal(404, -32002, "no ticket T-4711", JSON), &unknown()), "the id only");
    let late = || silent(asked(&site), Failure::Timeout);
    assert!(!tells(&late(), &late()), "nothing against nothing");
}

#[tokio::test]
async fn counters_are_read_where_there_are_any() {
    let site = site();
    let numbers = shift::in_answer(&told(&site, &json!({"used": 12, "text": "5", "name": "x"})));
    assert_eq!(numbers.values().copied().collect::<Vec<_>>(), [5, 12]);
    let limits = answered(asked(&site), 200, ("x-ratelimit-remaining", "41;w=60"), "");
    assert_eq!(shift::in_headers(&limits).values().copied().collect::<Vec<_>>(), [41, 60]);
    for (what, exchange) in dead(&site) {
        let numbers = [shift::in_answer(&exchange), shift::in_headers(&exchange)];
        assert!(numbers.iter().all(shift::Numbers::is_empty), "{what}: {numbers:?}");
        assert_eq!(shift::follows(&vec![shift::Numbers::new(); 6]), Err(()), "{what}");
    }
}
