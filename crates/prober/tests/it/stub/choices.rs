//! Rows that only some arguments show, tools that come late, many tools, and tools that do not say what they do.

use serde_json::{Value, json};

use super::{
    App,
    app::Call,
    tools::{all, failed, said, tickets, tool},
};

/// Names of tools that change something and do not say so.
pub(crate) const SILENT: [&str; 28] = [
    "deactivate_account",
    "terminate_account",
    "erase_history",
    "pay_balance",
    "transfer_balance",
    "archive_report",
    "submit_report",
    "find_and_update_ticket",
    "get_or_create_customer",
    "refresh_report",
    "fetch_and_store",
    "ban_profile",
    "unsubscribe_account",
    "wipe_account",
    "rotate_key",
    "finish",
    "account",
    "queryDBDelete",
    "getUserAPIReset",
    "get_lock",
    "lookup_do_charge",
    "find_fix_ticket",
    "list_item_for_sale",
    "get_rid_of_account",
    "get_next_message",
    "create_instance",
    "run_command",
    "send_campaign",
];

/// What some of them take, in words that a statement might be taken in, and what they say of themselves.
fn takes(name: &str) -> (&'static str, &'static str) {
    match name {
        "create_instance" => ("postgresql_version", "Creates an instance."),
        "run_command" => ("command", "Runs a shell command on the database host."),
        "send_campaign" => ("query", "Sends an e-mail to all contacts of the database that match."),
        _ => ("id", "Returns what there is."),
    }
}

/// How many tools there are where there are many.
const AREAS: usize = 20;

/// The arguments of the report, where one of these switches is on.
fn report(app: &App) -> Option<(Value, Vec<&'static str>)> {
    let has = |name: &str| app.defects.has(name);
    let ticket = json!({"type": "object", "required": ["ticket_id"], "properties": {"ticket_id": {"type": "integer"}}});
    let (mut properties, required) = match () {
        () if has("choice-shows-all") => {
            (json!({"kind": {"enum": ["none", "summary", "full"]}}), vec!["kind"])
        }
        () if has("scope-shows-all") || has("public-scope-shows-all") => {
            (json!({"scope": {"type": "string", "enum": ["mine", "all"]}}), vec![])
        }
        () if has("registry-shows-all") => (json!({"source": {"enum": ["mine", "registry"]}}), vec![]),
        () if has("template-shows-all") => (json!({"template": {"enum": ["short", "full"]}}), vec![]),
        () if has("page-shows-all") => {
            (json!({"page": {"type": "integer", "minimum": 1, "default": 1}}), vec![])
        }
        () if has("where-shows-all") => (json!({"where": {"type": "object"}}), vec![]),
        () if has("switch-shows-all") => (json!({"include_all": {"type": "boolean"}}), vec![]),
        () if has("choices") => {
            let places = json!({"scope": {"enum": ["mine", "all"]}, "include_all": {"type": "boolean"},
                "state": {"enum": ["a", "b", "c", "d", "e", "f", "g", "h"]}, "purge_first": {"type": "boolean"},
                "peek": {"type": "boolean", "default": true}, "order_action": {"enum": ["show", "refund"]}});
            (places, vec![])
        }
        () if has("nested-id") || has("nested") => (json!({"filter": ticket}), vec!["filter"]),
        () if has("listed-id") => {
            (json!({"items": {"type": "array", "minItems": 1, "items": ticket}}), vec!["items"])
        }
        () => return None,
    };
    if has("public-scope-shows-all") {
        properties["scope"]["enum"] = json!(["mine", "public"]);
    }
    Some((properties, required))
}

/// The tools of this family.
pub(super) fn list(app: &App) -> Vec<Value> {
    let has = |name: &str| app.defects.has(name);
    let silent = |name: &str| {
        let (takes, about) = takes(name);
        let kind = if takes == "id" { "integer" } else { "string" };
        json!({"name": name, "description": about,
            "inputSchema": {"type": "object", "properties": {takes: {"type": kind}}}})
    };
    let mut tools = Vec::new();
    if let Some((properties, required)) = report(app) {
        tools.push(tool("get_report", "Gets a report.", properties, &required, true));
    }
    if has("silent-tools") {
        tools.extend(SILENT.map(silent));
        tools.push(silent("list_widgets"));
        tools.push(tool("read_box", "Reads.", json!({"handle": {"type": "object"}}), &["handle"], true));
    }
    if (has("late-tool") || has("late-tool-of-all")) && app.shelf.lock().unwrap().contains_key("called") {
        tools.push(tool("get_late", "Gets what came late.", json!({}), &[], true));
    }
    if has("many-tools") || has("area-16") {
        for area in 1..=AREAS {
            tools.push(tool(&format!("get_area_{area}"), "Gets an area.", json!({}), &[], true));
        }
    }
    tools
}

/// The templates of resources, which say what was read last.
pub(super) fn templates(app: &App, call: &Call<'_>) -> Value {
    let shelf = app.shelf.lock().unwrap();
    let last = shelf.get("called").and_then(Value::as_str).unwrap_or(&call.tenant);
    let about = if last == call.tenant {
        "Notes.".to_owned()
    } else {
        format!("Notes. Last: {}", tickets(last)[0].1)
    };
    json!({"resourceTemplates": [{"name": "note", "uriTemplate": "notes://{id}", "description": about}],
        "ttlMs": 0, "cacheScope": "private"})
}

/// Calls a tool of this family.
pub(super) fn call(app: &App, tenant: &str, name: &str, arguments: &Value) -> Option<Value> {
    let has = |name: &str| app.defects.has(name);
    let mut shelf = app.shelf.lock().unwrap();
    shelf.insert("called".to_owned(), json!(tenant));
    let rows = |rows: Vec<(u64, &str)>| {
        said(&rows.iter().map(|(id, title)| json!({"id": id, "title": title})).collect::<Value>())
    };
    match name {
        "get_report" => {
            report(app)?;
            let wide = (has("choice-shows-all") && arguments["kind"] == "full")
                || (has("scope-shows-all") && arguments["scope"] == "all")
                || (has("public-scope-shows-all") && arguments["scope"] == "public")
                || (has("registry-shows-all") && arguments["source"] == "registry")
                || (has("template-shows-all") && arguments["template"] == "full")
                || (has("page-shows-all") && arguments["page"].as_u64().is_some_and(|page| page > 1))
                || (has("where-shows-all")
                    && arguments["where"].as_object().is_some_and(|all| !all.is_empty()))
                || (has("switch-shows-all") && arguments["include_all"] == true);
            if arguments["purge_first"] == true
                || arguments["peek"] == false
                || arguments["order_action"] == "refund"
            {
                shelf.insert("purged".to_owned(), json!(true));
            }
            let inner = ["/filter/ticket_id", "/items/0/ticket_id"];
            let Some(id) = inner.iter().find_map(|place| arguments.pointer(place)) else {
                let kind = json!(["none", "summary", "full"]);
                let short = arguments["kind"] == kind[0];
                return Some(if short {
                    said(&json!([]))
                } else {
                    rows(if wide { all() } else { tickets(tenant) })
                });
            };
            let everybodys = has("nested-id") || has("listed-id");
            let known = if everybodys { all() } else { tickets(tenant) };
            let found: Vec<_> =
                tickets(tenant).into_iter().chain(known).filter(|(known, _)| id == *known).take(1).collect();
            Some(if found.is_empty() { failed(&format!("no ticket {id}")) } else { rows(found) })
        }
        "get_late" if has("late-tool-of-all") => Some(rows(all())),
        "get_late" if has("late-tool") => Some(rows(tickets(tenant))),
        "read_box" if has("silent-tools") => Some(failed("no such box")),
        _ if has("silent-tools") && (SILENT.contains(&name) || name == "list_widgets") => {
            shelf.insert(format!("silent {name}"), json!(tenant));
            Some(said(&json!({"done": name})))
        }
        _ => {
            let area: usize = name.strip_prefix("get_area_")?.parse().ok()?;
            let last = shelf.insert(format!("area {area}"), json!(tenant)).filter(|_| app.attacked());
            let owner = last.filter(|_| has("area-16") && area == 16).unwrap_or_else(|| json!(tenant));
            Some(said(
                &json!({"area": area, "note": format!("Confidential area {area} of {}", owner.as_str().unwrap())}),
            ))
        }
    }
}
