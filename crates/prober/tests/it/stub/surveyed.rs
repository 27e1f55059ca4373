//! What the survey meets: answers that are kept for some time for whoever asks, rows that come in addition, and data in which
//! something of the other tenant's, or of everybody's, stands rightly.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::{
    App,
    app::Call,
    tools::{failed, said, tickets, tool},
};

/// How long the cache keeps an answer.
const KEPT: u128 = 500;

const BILLS: [&str; 2] = ["rows-in-addition", "rows-in-addition-early"];

/// The tools of this family.
pub(super) fn list(app: &App) -> Vec<Value> {
    let has = |defect: &str| app.defects.has(defect);
    let mut tools = Vec::new();
    let mut add = |is: bool, name: &str, properties: Value, required: &[&str]| {
        if is {
            tools.push(tool(name, "Reads.", properties, required, true));
        }
    };
    add(BILLS.iter().any(|name| has(name)), "list_bills", json!({}), &[]);
    add(has("long-with-a-banner"), "list_events", json!({}), &[]);
    add(has("same-for-every-id"), "list_comments", json!({"ticket_id": {"type": "integer"}}), &["ticket_id"]);
    let (organization, workspace) =
        (json!({"organization": {}}), json!({"workspace_id": {"type": "string"}}));
    add(has("ignores-the-tenant-named"), "list_alerts", organization, &[]);
    add(has("ignores-the-tenant-named"), "list_plans", workspace, &[]);
    add(has("a-customer-has-its-name"), "list_customers", json!({}), &[]);
    add(has("catalogue"), "list_orders", json!({}), &[]);
    add(has("catalogue"), "get_product", json!({"product_id": {"type": "string"}}), &["product_id"]);
    tools
}

fn bills(tenant: &str) -> Vec<Value> {
    let (payer, amount) = if tenant == "acme" { ("Ann", 95_000) } else { ("Bob", 71_000) };
    vec![json!({"payer": payer, "amount": amount}), json!({"payer": "Kim", "amount": 880})]
}

/// Hundreds of rows, and a banner that is one of two without a rule.
fn events(app: &App, tenant: &str) -> Value {
    let turn = app.next.fetch_add(1, Ordering::Relaxed);
    let banner = ["Our webinar starts on Monday", "Join the conference in June"];
    let row = |number: u64| json!({"id": number, "title": format!("Event number {number} of the company {tenant}")});
    let first = if tenant == "acme" { 1_000 } else { 900_000 };
    let rows: Vec<Value> = (first..first + 400).map(row).collect();
    json!({"events": rows, "banner": banner[usize::from((turn / 3 + turn / 5).is_multiple_of(2))]})
}

/// Calls a tool of this family.
pub(super) fn call(
    app: &App,
    tenant: &str,
    name: &str,
    arguments: &Value,
) -> Option<Result<Value, (i64, String)>> {
    let acme = tenant == "acme";
    Some(Ok(match name {
        "list_bills" => {
            let last = app.shelf.lock().unwrap().insert("biller".to_owned(), json!(tenant));
            let other = last.and_then(|last| last.as_str().map(str::to_owned)).filter(|last| last != tenant);
            let leaks = app.attacked() || app.defects.has("rows-in-addition-early");
            let more = other.filter(|_| leaks).map(|other| bills(&other)).unwrap_or_default();
            let rows = [bills(tenant), more].concat();
            said(&json!({"bills": rows}))
        }
        "list_events" => said(&events(app, tenant)),
        "list_comments" => said(&json!({"comments": [], "total": 0})),
        "list_alerts" => said(&json!({"alerts": [], "total": 0})),
        "list_plans" => said(&json!([{"plan": "Basic for small teams", "price": 9}])),
        "list_customers" => said(&json!([{"company": if acme { "Globex" } else { "Hooli" }, "seats": 4}])),
        "list_orders" => said(&json!([{"product_id": if acme { "P-9001" } else { "P-7002" }}])),
        "get_product" => match arguments["product_id"].as_str().unwrap_or_default() {
            "P-9001" => said(&json!({"product_id": "P-9001", "name": "Laser printer LX 9001"})),
            "P-7002" => said(&json!({"product_id": "P-7002", "name": "Reactor valve RV 7002"})),
            other => failed(&format!("no product {other}")),
        },
        _ => return None,
    }))
}

fn key(call: &Call<'_>) -> String {
    format!("kept {} {}", call.params["name"], call.params["arguments"])
}

fn now() -> u128 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()
}

/// An answer that was given to somebody a moment ago.
pub(super) fn kept(app: &App, call: &Call<'_>) -> Option<Value> {
    if !app.defects.has("short-cache") {
        return None;
    }
    let kept = app.shelf.lock().unwrap().get(&key(call)).cloned()?;
    let at: u128 = kept["at"].as_str().unwrap().parse().unwrap();
    (now() < at + KEPT).then(|| kept["answer"].clone())
}

/// Keeps an answer, and puts the last caller's rows beside it.
pub(super) fn after(
    app: &App,
    call: &Call<'_>,
    result: Result<Value, (i64, String)>,
) -> Result<Value, (i64, String)> {
    if app.defects.has("short-cache")
        && let Ok(answer) = &result
    {
        let kept = json!({"at": now().to_string(), "answer": answer});
        app.shelf.lock().unwrap().insert(key(call), kept);
    }
    if !app.defects.has("last-callers-rows") {
        return result;
    }
    let last = app.shelf.lock().unwrap().insert("last caller".to_owned(), json!(call.tenant));
    let other = last.and_then(|last| last.as_str().map(str::to_owned)).filter(|last| *last != call.tenant);
    let rows: Vec<Value> = other
        .map(|other| tickets(&other))
        .unwrap_or_default()
        .iter()
        .map(|(id, title)| json!([id, title]))
        .collect();
    result.map(|mut answer| {
        answer["structuredContent"] = json!({"related": rows});
        answer
    })
}
