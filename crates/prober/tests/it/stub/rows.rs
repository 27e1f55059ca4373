//! More ways to rows: several ids at once, the past, counts, a query language, and whose a row is.

use serde_json::{Value, json};

use super::{
    App,
    tools::{all, failed, said, tickets, tool},
};

const FAMILY: [&str; 5] =
    ["first-id-only", "history-without-filter", "global-count", "owner-field", "alias-without-filter"];

/// The tools of this family.
pub(super) fn list(app: &App) -> Vec<Value> {
    if !app.defects.family(&FAMILY) {
        return Vec::new();
    }
    let ids = json!({"ids": {"type": "array", "items": {"type": "integer"}}});
    vec![
        tool("get_tickets", "Several tickets.", ids, &["ids"], true),
        tool("ticket_history", "A ticket's past.", json!({"id": {"type": "integer"}}), &["id"], true),
        tool("stats", "How many notes there are.", json!({}), &[], true),
        tool("graphql", "Answers GraphQL.", json!({"query": {"type": "string"}}), &["query"], true),
    ]
}

/// Whose a new note is.
pub(super) fn owner(app: &App, tenant: &str, arguments: &Value) -> String {
    let named = arguments.get("tenant_id").and_then(Value::as_str).filter(|_| app.defects.has("owner-field"));
    named.unwrap_or(tenant).to_owned()
}

fn row(tenant: &str, id: u64, everybodys: bool) -> Option<(u64, &'static str)> {
    let rows = if everybodys { all() } else { tickets(tenant) };
    rows.into_iter().find(|(known, _)| *known == id)
}

/// Calls a tool of this family.
pub(super) fn call(
    app: &App,
    tenant: &str,
    name: &str,
    arguments: &Value,
) -> Option<Result<Value, (i64, String)>> {
    if !app.defects.family(&FAMILY) {
        return None;
    }
    let has = |defect| app.defects.has(defect);
    Some(Ok(match name {
        "get_tickets" => {
            let ids = arguments.get("ids").and_then(Value::as_array).cloned().unwrap_or_default();
            let shown: Vec<Value> = ids
                .iter()
                .enumerate()
                .map(|(place, id)| {
                    let found = row(tenant, id.as_u64().unwrap_or(0), has("first-id-only") && place > 0);
                    found.map_or(Value::Null, |(id, title)| json!({"id": id, "title": title}))
                })
                .collect();
            said(&json!({"tickets": shown}))
        }
        "ticket_history" => {
            let id = arguments.get("id").and_then(Value::as_u64).unwrap_or(0);
            match row(tenant, id, has("history-without-filter")) {
                Some((id, title)) => {
                    said(&json!({"id": id, "versions": [{"was": format!("{title} (draft)"), "then": title}]}))
                }
                None => failed(&format!("no ticket {id}")),
            }
        }
        "stats" => {
            let notes = app.notes.lock().unwrap();
            let count: usize = notes
                .iter()
                .filter(|(owner, _)| *owner == tenant || has("global-count"))
                .map(|(_, notes)| notes.len())
                .sum();
            said(&json!({"notes": count}))
        }
        "graphql" => graphql(tenant, arguments, has("alias-without-filter")),
        _ => return None,
    }))
}

fn graphql(tenant: &str, arguments: &Value, aliases: bool) -> Value {
    let query = arguments.get("query").and_then(Value::as_str).unwrap_or_default();
    if query.contains("__schema") {
        return said(&json!({"data": {"__schema": {"queryType": {"fields": [
            {"name": "ticket", "args": [{"name": "id"}], "type": {"kind": "OBJECT", "name": "Ticket"}}]},
            "types": [{"name": "Ticket", "fields": [{"name": "id", "type": {"kind": "SCALAR"}},
                {"name": "title", "type": {"kind": "SCALAR"}}]}]}}}));
    }
    let mut data = serde_json::Map::new();
    for (place, part) in query.split("ticket(id:").skip(1).enumerate() {
        let id = part.split(')').next().and_then(|id| id.parse().ok()).unwrap_or(0);
        // Only the first field is compared with the tenant.
        let found = row(tenant, id, aliases && place > 0);
        let found = found.map_or(Value::Null, |(id, title)| json!({"id": id, "title": title}));
        data.insert(format!("field{place}"), found);
    }
    said(&json!({"data": data}))
}
