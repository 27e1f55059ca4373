//! What the target offers to one tenant.

use serde_json::{Value, json};

use super::verbs;
use crate::{
    arguments,
    facts::PLANTED,
    target::{Caller, Exchange},
};

/// The most pages of one list.
const PAGES: usize = 20;
/// The most entries of one list.
const ENTRIES: usize = 1_000;

/// Whether a tool changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It says that it only reads, or its name says nothing else.
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
    /// What it says of itself: whether it only reads.
    said: Option<bool>,
    /// Whether it says or looks as if it takes something away.
    pub(crate) destroys: bool,
}

impl Tool {
    /// Whether nothing but its name says that it reads.
    pub(crate) fn guessed(&self) -> bool {
        self.kind == Kind::Read && self.said.is_none()
    }

    /// Whether it does nothing but read: it says so, or its name does and is not that of a trial.
    pub(crate) fn only_reads(&self) -> bool {
        let trial =
            || words(&self.name).first().is_some_and(|first| ["preview", "peek"].contains(&first.as_str()));
        self.says_it_reads() || (self.guessed() && !trial())
    }

    /// Whether it says that it only reads.
    pub(crate) fn says_it_reads(&self) -> bool {
        self.said == Some(true)
    }

    /// The argument that takes SQL: one that is called so, or one for a query or command of which its own description, the tool's
    /// or the tool's name says that it is SQL. A tool that reads may speak of a database instead, for it is called in any case.
    pub(crate) fn takes_sql(&self) -> Option<&str> {
        let places = arguments::properties(&self.schema);
        places.into_iter().find_map(|(name, place, _)| {
            (arguments::is_kind(place, "string") && self.is_statement(name, place)).then_some(name)
        })
    }

    fn is_statement(&self, name: &str, place: &Value) -> bool {
        let called: Vec<String> = words(name);
        let flat = called.concat();
        let sql = |word: &String| word == "sql";
        if STATEMENTS.contains(&flat.as_str())
            || (called.iter().any(sql) && called.iter().all(|word| AROUND.contains(&word.as_str())))
        {
            return true;
        }
        if !["query", "q", "statement", "command", "code"].contains(&flat.as_str()) {
            return false;
        }
        let described = place.get("description").and_then(Value::as_str).unwrap_or_default();
        let about = self.description.to_ascii_lowercase();
        says_sql(described)
            || says_sql(&about)
            || words(&self.name).iter().any(sql)
            || (self.kind == Kind::Read
                && (about.contains("sql") || about.contains("database"))
                && !about.contains("graphql"))
    }

    /// Whether a tool that takes SQL may be sent statements that read: it need not say that it only reads, for a statement says
    /// that, but its name must say that it runs what it is given. One that does something else beside it, or says that it
    /// writes, is called with leave only.
    pub(crate) fn runs_sql(&self, writes: bool) -> bool {
        let named = || self.kind == Kind::Read || verbs::runs_statements(&self.name);
        !self.destroys && (writes || self.said == Some(true) || (self.said.is_none() && named()))
    }

    /// Whether it says that it writes.
    pub(crate) fn says_it_writes(&self) -> bool {
        self.said == Some(false)
    }
}

/// Whole names of arguments that take SQL, in one word.
const STATEMENTS: [&str; 5] = ["sql", "sqlquery", "sqlstatement", "sqltext", "rawsql"];

/// What may stand beside `sql` in the name of an argument that takes a statement. Beside anything else it names a product.
const AROUND: [&str; 12] = [
    "sql",
    "query",
    "queries",
    "statement",
    "statements",
    "stmt",
    "raw",
    "text",
    "string",
    "code",
    "command",
    "select",
];

/// Whether a description says that something is SQL, as a word of its own.
fn says_sql(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let names = ["sql", "postgresql", "mysql", "sqlite", "tsql"];
    text.split(|letter: char| !letter.is_alphanumeric()).any(|word| names.contains(&word))
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

    /// Whether a tool of this name was listed.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.tools.iter().chain(&self.hanging).any(|tool| tool.name == name)
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

/// The tools that are listed now.
pub(crate) async fn tools(caller: &Caller) -> Vec<Tool> {
    let entries = pages(caller, "tools/list", "tools", &mut Vec::new()).await;
    // What the run itself has added is none of the target's.
    let own = |entry: &Value| entry.to_string().contains(PLANTED);
    entries.into_iter().filter(|entry| !own(entry)).filter_map(tool).collect()
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
    let said = hint("readOnlyHint");
    let kind = match said {
        Some(true) => Kind::Read,
        Some(false) => Kind::Write,
        None => verbs::guess(&name),
    };
    let destroys = hint("destructiveHint") == Some(true) && said != Some(true) || verbs::destroys(&name);
    Some(Tool { name, description: description.to_owned(), schema, kind, said, destroys })
}

/// The words of a name in any of the usual spellings; `DBDelete` are two, `URLs` is one.
pub(crate) fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut words = Vec::new();
    let mut word = String::new();
    let mut before: Option<char> = None;
    for (at, letter) in letters.iter().enumerate() {
        let after = |by: usize| letters.get(at + by).copied();
        // The last capital of several begins the next word, unless only the `s` of a plural follows.
        let plural = after(1) == Some('s') && after(2).is_none_or(|next| !next.is_lowercase());
        let next = after(1).is_some_and(char::is_lowercase) && !plural;
        let begins = letter.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase() || before.is_numeric() || (before.is_uppercase() && next)
            });
        if (!letter.is_alphanumeric() || begins) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase());
        }
        before = Some(*letter);
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
    fn what_a_tool_says_of_itself_counts_before_its_name() {
        let of = |raw: Value| tool(raw).unwrap();
        let said = of(json!({"name": "list_and_mark", "annotations": {"readOnlyHint": false}}));
        assert_eq!((said.kind, said.guessed()), (Kind::Write, false));
        let said = of(json!({"name": "customer_profile", "annotations": {"readOnlyHint": true}}));
        assert_eq!((said.kind, said.guessed()), (Kind::Read, false));
        let silent = of(json!({"name": "list_tickets", "description": "Deletes nothing."}));
        assert_eq!((silent.kind, silent.guessed()), (Kind::Read, true));
        // A description says what a reader should think.
        let silent = of(json!({"name": "tickets", "description": "Returns the newest tickets."}));
        assert_eq!((silent.kind, silent.guessed()), (Kind::Unclear, false));
        let silent = of(json!({"name": "rotate_key", "description": "Returns a new key."}));
        assert_eq!(silent.kind, Kind::Write);
    }

    #[test]
    fn who_takes_sql_is_known_and_whether_it_may_be_asked() {
        let sql = |hints: Value| {
            let schema = json!({"properties": {"sql": {"type": "string"}}});
            tool(json!({"name": "run_sql", "annotations": hints, "inputSchema": schema})).unwrap()
        };
        assert_eq!(sql(json!({})).takes_sql(), Some("sql"));
        assert!(sql(json!({})).runs_sql(false) && sql(json!({"readOnlyHint": true})).runs_sql(false));
        let writes = sql(json!({"readOnlyHint": false, "destructiveHint": false}));
        assert!(!writes.runs_sql(false) && writes.runs_sql(true));
        assert!(!sql(json!({"destructiveHint": true})).runs_sql(true));
        assert!(tool(json!({"name": "list_tickets"})).unwrap().takes_sql().is_none());
    }

    #[test]
    fn what_is_named_after_a_database_or_does_more_than_run_a_statement_is_sent_none() {
        let of = |name: &str, place: &str, about: &str, described: &str| {
            let schema = json!({"properties": {place: {"type": "string", "description": described}}});
            tool(json!({"name": name, "description": about, "inputSchema": schema})).unwrap()
        };
        let sent = |tool: &Tool| tool.takes_sql().is_some() && tool.runs_sql(false);
        for (name, place, about, described) in [
            ("create_instance", "postgresql_version", "Creates an instance", ""),
            ("restore_backup", "mysql_host", "", ""),
            ("deploy_service", "cloudsql_tier", "", ""),
            ("resize_instance", "sql_tier", "", ""),
            ("run_command", "command", "Runs a shell command on the database host", ""),
            ("send_campaign", "query", "Sends an e-mail to all contacts of the database that match", ""),
            ("send_campaign", "query", "", "The SQL that chooses the contacts"),
            ("bulk_mail", "sql", "", ""),
            ("apply_migration", "query", "", "The SQL to apply"),
            ("frobnicate", "query", "", "SQL that says which"),
            ("frobnicate", "query", "Runs SQL and does more", ""),
            ("run_campaign", "query", "", "The SQL that chooses what it is about"),
            ("run_payroll", "sql", "", ""),
            ("exec_billing", "statement", "", "SQL"),
            ("database_mailing", "sql", "", ""),
        ] {
            assert!(!sent(&of(name, place, about, described)), "{name} {place}");
        }
        for (name, place, about, described) in [
            ("execute_sql", "query", "", ""),
            ("queryPostgreSQL", "q", "", ""),
            ("run_query", "query", "", "The SQL to run"),
            ("query", "sql", "", ""),
            ("query_database", "query", "Queries the database", ""),
            ("db_query", "sqlQuery", "", ""),
            ("bigquery", "raw_sql", "", ""),
            (
                "run_query",
                "query",
                "Executes a SQL query against the PostgreSQL database and returns the rows",
                "",
            ),
            ("postgres_execute", "statement", "Executes a SQL query and returns the rows", ""),
            ("run_custom_sql_query", "query", "", ""),
            ("duckdb-sql", "q", "", ""),
        ] {
            assert!(sent(&of(name, place, about, described)), "{name} {place}");
        }
        assert!(of("bulk_mail", "sql", "", "").runs_sql(true));
        // That it takes SQL is told also of one that is not called.
        assert_eq!(of("frobnicate", "query", "Runs SQL and does more", "").takes_sql(), Some("query"));
    }

    #[test]
    fn names_are_split_into_their_words() {
        for (name, wanted) in [
            ("queryDBDelete", "query db delete"),
            ("getUserAPIReset", "get user api reset"),
            ("FetchURL", "fetch url"),
            ("getURLs", "get urls"),
            ("list2Delete", "list2 delete"),
            ("get-open_tickets", "get open tickets"),
        ] {
            assert_eq!(words(name).join(" "), wanted, "{name}");
        }
    }
}
