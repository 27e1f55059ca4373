//! A tool that takes SQL: what a database with a policy on its tables would answer, for the statements that are tried.

use serde_json::{Value, json};

use super::{
    App,
    tools::{all, failed, said, tickets, tool},
};

const FAMILY: [&str; 11] = [
    "sql-sleep",
    "sql-setting",
    "sql-commit",
    "sql-role",
    "sql-update",
    "sql-view",
    "sql-residue",
    "sql-activity",
    "sql-files",
    "sql-errors",
    "sql-shadow",
];

/// The tools of this family.
pub(super) fn list(app: &App) -> Vec<Value> {
    if !app.defects.family(&FAMILY) {
        return Vec::new();
    }
    let mut run =
        tool("run_sql", "Runs SQL on the database.", json!({"sql": {"type": "string"}}), &["sql"], false);
    if !app.defects.has("sql-says-it-writes") {
        run["annotations"] = json!({});
    }
    vec![run]
}

/// The rows of a temporary table that stands before the real one, for everybody on the pooled session.
pub(super) fn shadowed(app: &App) -> Option<Vec<Value>> {
    let shelf = app.shelf.lock().unwrap();
    let owner = shelf.get("sql shadow")?.as_str()?;
    Some(rows(&tickets(owner)))
}

fn rows(tickets: &[(u64, &str)]) -> Vec<Value> {
    tickets.iter().map(|(id, title)| json!({"id": id, "title": title})).collect()
}

/// The name between quotes after a setting's.
fn set(sql: &str) -> Option<String> {
    let (_, after) = sql.split_once("app.tenant'")?;
    after.split('\'').nth(1).map(str::to_owned)
}

/// Runs a statement.
pub(super) fn call(
    app: &App,
    tenant: &str,
    name: &str,
    arguments: &Value,
) -> Option<Result<Value, (i64, String)>> {
    if name != "run_sql" || !app.defects.family(&FAMILY) {
        return None;
    }
    let sql = arguments.get("sql").and_then(Value::as_str).unwrap_or_default();
    Some(Ok(run(app, tenant, sql)))
}

fn run(app: &App, tenant: &str, sql: &str) -> Value {
    let has = |defect| app.defects.has(defect);
    let denied = || failed("permission denied");
    let mut shelf = app.shelf.lock().unwrap();
    if sql == "select 1 as one" {
        return said(&json!([{"one": 1}]));
    }
    if sql.starts_with("select 'cnry-") {
        shelf.insert(format!("sql ran {tenant}"), json!(sql));
        return said(&json!([{"mark": "noted"}]));
    }
    if sql.contains("information_schema.tables") {
        return said(&json!([{"t": "public.tickets"}, {"t": "public.ticket_overview"}]));
    }
    if sql.contains("from pg_policies") {
        return said(&json!([{"q": "(tenant = current_setting('app.tenant'::text))"}]));
    }
    if sql.contains("pg_stat_activity") {
        let ran = |(key, value): (&String, &Value)| {
            let owner = key.strip_prefix("sql ran ")?;
            (owner == tenant || has("sql-activity")).then(|| json!({"query": value}))
        };
        return said(&json!(shelf.iter().filter_map(ran).collect::<Vec<_>>()));
    }
    if sql.contains("pg_read_file('/etc/passwd')") && has("sql-files") {
        return said(&json!([{"f": "root:x:0:0:root:/root:/bin/sh"}]));
    }
    if has("sql-residue") && sql.ends_with("false) as x") {
        if let Some(name) = set(sql) {
            shelf.insert("sql tenant".to_owned(), json!(name));
        }
        return said(&json!([{"x": ""}]));
    }
    if sql == "reset all" || sql == "discard temp" {
        shelf.remove("sql tenant");
        shelf.remove("sql shadow");
        return said(&json!([]));
    }
    if has("sql-shadow") && sql.starts_with("create temp table tickets") {
        shelf.insert("sql shadow".to_owned(), json!(tenant));
        return said(&json!([]));
    }
    let writes = sql.starts_with("update ") || sql.contains("(update ");
    let several = sql.contains("; ");
    let sets = sql.contains("set_config(");
    let named = set(sql).filter(|_| has("sql-setting") && !sql.contains(", false)"));
    let leaves = (has("sql-commit") && sql.starts_with("commit;"))
        || (has("sql-role") && sql.starts_with("reset role;"))
        || (has("sql-update") && writes)
        || (has("sql-view") && sql.starts_with("select * from public.ticket_overview"));
    let seen = if leaves { all() } else { tickets(named.as_deref().unwrap_or(tenant)) };
    if sql.contains("cast(title as integer)") {
        let first = if has("sql-errors") { "Reactor leak" } else { tickets(tenant)[0].1 };
        return failed(&format!("invalid input syntax for type integer: {first:?}"));
    }
    if let Some((_, after)) = sql.split_once("as text) = '") {
        let value = after.split('\'').next().unwrap_or_default();
        let there = seen.iter().any(|(_, title)| *title == value);
        return if there { said(&json!([{"one": 1}])) } else { failed("division by zero") };
    }
    let reads = sql.contains("public.tickets") || sql.contains("public.ticket_overview");
    if (several && !leaves) || (sets && named.is_none()) || !reads || sql.starts_with("create") {
        return denied();
    }
    said(&json!(rows(&seen)))
}
