//! What the target offers to one tenant.

use serde_json::{Value, json};

use crate::{
    arguments,
    target::{Caller, Exchange},
};

/// The most pages of one list.
const PAGES: usize = 20;
/// The most entries of one list.
const ENTRIES: usize = 1_000;

/// Whether a tool changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It says or looks as if it only reads.
    Read,
    /// It says or looks as if it writes.
    Write,
    /// It does not say.
    Unclear,
}

/// A tool.
#[derive(Debug, Clone)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) schema: Value,
    pub(crate) kind: Kind,
    /// Whether it says or looks as if it takes something away.
    pub(crate) destroys: bool,
}

/// What one tenant is offered.
#[derive(Default)]
pub(crate) struct Surface {
    pub(crate) tools: Vec<Tool>,
    /// Tools that gave no answer in time: they are called only in search of what asks its client something.
    pub(crate) hanging: Vec<Tool>,
    pub(crate) resources: Vec<String>,
    pub(crate) templates: Vec<String>,
    pub(crate) prompts: Vec<Value>,
    /// The result of the handshake.
    pub(crate) server: Value,
    /// The exchanges of all lists, with their methods.
    pub(crate) lists: Vec<(&'static str, Exchange)>,
}

impl Surface {
    /// Puts the tools of some names aside.
    pub(crate) fn put_aside(&mut self, hang: impl Fn(&str) -> bool) {
        let all = std::mem::take(&mut self.tools);
        (self.hanging, self.tools) = all.into_iter().partition(|tool| hang(&tool.name));
    }

    /// A tool by name.
    pub(crate) fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name)
    }
}

/// Lists everything.
pub(super) async fn discover(caller: &Caller) -> Surface {
    let mut surface = Surface::default();
    let handshake = match caller.begin().await {
        Some(exchange) => exchange,
        None => caller.ask("server/discover", json!({})).await,
    };
    surface.server = handshake.success().cloned().unwrap_or_default();
    surface.lists.push(("handshake", handshake));
    for (method, key) in [
        ("tools/list", "tools"),
        ("resources/list", "resources"),
        ("resources/templates/list", "resourceTemplates"),
        ("prompts/list", "prompts"),
    ] {
        let entries = pages(caller, method, key, &mut surface.lists).await;
        match key {
            "tools" => surface.tools = entries.into_iter().filter_map(tool).collect(),
            "resources" => surface.resources = texts(&entries, "uri"),
            "resourceTemplates" => surface.templates = texts(&entries, "uriTemplate"),
            _ => surface.prompts = entries,
        }
    }
    surface
}

async fn pages(
    caller: &Caller,
    method: &'static str,
    key: &str,
    lists: &mut Vec<(&'static str, Exchange)>,
) -> Vec<Value> {
    let mut entries = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..PAGES {
        let params = cursor.as_ref().map_or_else(|| json!({}), |cursor| json!({"cursor": cursor}));
        let exchange = caller.ask(method, params).await;
        let result = exchange.success().cloned().unwrap_or_default();
        lists.push((method, exchange));
        entries.extend(result.get(key).and_then(Value::as_array).cloned().unwrap_or_default());
        entries.truncate(ENTRIES);
        let next = result.get("nextCursor").and_then(Value::as_str).map(str::to_owned);
        if next.is_none() || next == cursor || entries.len() >= ENTRIES {
            break;
        }
        cursor = next;
    }
    entries
}

fn texts(entries: &[Value], key: &str) -> Vec<String> {
    entries.iter().filter_map(|entry| entry.get(key).and_then(Value::as_str)).map(str::to_owned).collect()
}

fn tool(raw: Value) -> Option<Tool> {
    let name = raw.get("name")?.as_str()?.to_owned();
    let schema = raw.get("inputSchema").map(arguments::resolved).unwrap_or_default();
    let hint = |key: &str| raw.get("annotations").and_then(|hints| hints.get(key)).and_then(Value::as_bool);
    let description = raw.get("description").and_then(Value::as_str).unwrap_or_default();
    let guessed = guess(&name, description);
    let kind = match hint("readOnlyHint") {
        Some(true) => Kind::Read,
        Some(false) => Kind::Write,
        None => guessed,
    };
    let destroys = hint("destructiveHint") == Some(true) && hint("readOnlyHint") != Some(true)
        || words(&name).iter().any(|word| DESTROYS.contains(&word.as_str()));
    Some(Tool { name, description: description.to_owned(), schema, kind, destroys })
}

const DESTROYS: [&str; 12] = [
    "delete", "remove", "drop", "purge", "clear", "reset", "revoke", "cancel", "wipe", "destroy", "kill",
    "truncate",
];

const WRITES: [&str; 38] = [
    "add", "create", "update", "set", "put", "post", "write", "insert", "upsert", "save", "store", "send",
    "move", "rename", "upload", "import", "execute", "run", "exec", "invoke", "start", "stop", "assign",
    "approve", "close", "open", "register", "enable", "disable", "publish", "edit", "patch", "append",
    "remember", "switch", "select", "merge", "schedule",
];

const READS: [&str; 38] = [
    "get",
    "list",
    "search",
    "find",
    "read",
    "fetch",
    "show",
    "describe",
    "query",
    "lookup",
    "count",
    "view",
    "check",
    "whoami",
    "me",
    "status",
    "info",
    "profile",
    "summary",
    "summarize",
    "report",
    "history",
    "stats",
    "health",
    "ping",
    "echo",
    "export",
    "preview",
    "compare",
    "load",
    "current",
    "recent",
    "usage",
    "browse",
    "account",
    "details",
    "overview",
    "balance",
];

/// Whether a tool that says nothing writes. Words that write count first: a tool that is not called is told of, and a
/// tool that was called by mistake cannot be taken back.
fn guess(name: &str, description: &str) -> Kind {
    let parts = words(name);
    let any = |list: &[&str]| parts.iter().any(|word| list.contains(&word.as_str()));
    let leads = parts.first().is_some_and(|first| READS.contains(&first.as_str()));
    if any(&DESTROYS) || (any(&WRITES) && !leads) {
        return Kind::Write;
    }
    if any(&READS) {
        return Kind::Read;
    }
    let first = words(description.split_whitespace().next().unwrap_or_default());
    let reads =
        ["returns", "return", "gets", "lists", "shows", "reads", "finds", "searches", "fetches", "tells"];
    match first.first() {
        Some(word) if reads.contains(&word.as_str()) || READS.contains(&word.as_str()) => Kind::Read,
        _ => Kind::Unclear,
    }
}

/// The words of a name in any of the usual spellings.
pub(crate) fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut lower = false;
    for letter in name.chars() {
        if (!letter.is_alphanumeric() || (letter.is_uppercase() && lower)) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase());
        }
        lower = letter.is_lowercase();
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_that_may_write_are_not_taken_for_readers() {
        for name in
            ["add_comment", "deleteTicket", "run_sql", "set-preference", "export_delete", "tickets.create"]
        {
            assert_eq!(guess(name, ""), Kind::Write, "{name}");
        }
        for name in ["list_tickets", "getTicket", "whoami", "customer_profile", "search", "get_settings"] {
            assert_eq!(guess(name, ""), Kind::Read, "{name}");
        }
        assert_eq!(guess("frobnicate", "Frobs it."), Kind::Unclear);
        assert_eq!(guess("tickets", "Returns the newest tickets."), Kind::Read);
        let said = tool(json!({"name": "list_and_mark", "annotations": {"readOnlyHint": false}})).unwrap();
        assert_eq!(said.kind, Kind::Write);
    }
}
