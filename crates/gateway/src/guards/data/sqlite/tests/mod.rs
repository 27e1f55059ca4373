//! What the data guard promises, on real files in a temporary folder.

mod escapes;
mod files;
mod load;
mod model;
mod queries;
mod spot;
mod stop;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use partywall_model::TenantId;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    admit::{Incarnation, Permit},
    config::Config,
    guards::data::{DataError, ErrorKind, Outside, QueryLimits, Rows, Sources, Statement},
};

pub(super) const TICKETS: &str = "
    CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE tickets (
        id INTEGER PRIMARY KEY, title TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'closed')),
        customer INTEGER REFERENCES customers(id), slug TEXT UNIQUE);
    CREATE VIEW open_tickets AS SELECT id, title FROM tickets WHERE status = 'open';
    CREATE TABLE log (id INTEGER PRIMARY KEY AUTOINCREMENT, ticket INTEGER, what TEXT);
    CREATE TRIGGER tickets_log AFTER INSERT ON tickets BEGIN
        INSERT INTO log (ticket, what) VALUES (new.id, 'created');
    END;
    CREATE VIRTUAL TABLE places USING rtree(id, west, east);
    CREATE VIRTUAL TABLE search USING fts5(title);
    CREATE TRIGGER tickets_search AFTER INSERT ON tickets BEGIN
        INSERT INTO search (rowid, title) VALUES (new.id, new.title);
    END;";

/// A data folder with one source, `desk`.
pub(super) struct Lab {
    pub(super) dir: TempDir,
    pub(super) settings: String,
}

impl Lab {
    pub(super) fn new() -> Self {
        Self::with("")
    }

    pub(super) fn with(settings: &str) -> Self {
        // In memory where the system has such a folder: waiting for a disk is not what is tested.
        let memory = std::path::Path::new("/dev/shm");
        let dir = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
        let dir = dir.expect("a folder");
        let lab = Self { dir, settings: settings.to_owned() };
        lab.migration("001_tickets.sql", TICKETS);
        lab
    }

    pub(super) fn migration(&self, name: &str, sql: &str) {
        let folder = self.dir.path().join("migrations");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(name), sql).expect("written");
    }

    pub(super) fn try_open(&self) -> Result<Arc<Sources>, DataError> {
        self.try_open_with(&Outside::default())
    }

    pub(super) fn open_with(&self, outside: &Outside) -> Arc<Sources> {
        self.try_open_with(outside).expect("sources")
    }

    fn try_open_with(&self, outside: &Outside) -> Result<Arc<Sources>, DataError> {
        let text =
            format!("[data.desk]\ndriver = \"sqlite\"\nmigrations = \"migrations\"\n{}\n", self.settings);
        let config = Config::parse(&text, "p.toml", self.dir.path()).expect("a configuration");
        Sources::new(&config, outside)
    }

    pub(super) fn open(&self) -> Arc<Sources> {
        self.try_open().expect("sources")
    }

    pub(super) fn tenants(&self) -> PathBuf {
        self.dir.path().join("data/tenants")
    }

    pub(super) fn file(&self, tenant: &str) -> PathBuf {
        self.tenants().join(tenant).join("desk.sqlite")
    }
}

pub(super) fn limits() -> QueryLimits {
    QueryLimits { time: Duration::from_secs(30), rows: 1000, bytes: 1 << 20 }
}

pub(super) fn args(value: Value) -> Vec<(String, Value)> {
    match value {
        Value::Object(map) => map.into_iter().collect(),
        _ => Vec::new(),
    }
}

pub(super) async fn run(
    sources: &Arc<Sources>,
    tenant: &str,
    statement: &Statement,
    given: Value,
) -> Result<Rows, DataError> {
    let permit = Permit::for_test(tenant, 1);
    sources.run(&permit, statement, &args(given), limits()).await
}

/// Runs a statement that must compile and succeed, and parses its rows.
pub(super) async fn rows(sources: &Arc<Sources>, tenant: &str, sql: &str) -> Value {
    let statement = sources.compile("desk", sql, &[], false).expect("compiles");
    let rows = run(sources, tenant, &statement, json!({})).await.expect("runs");
    serde_json::from_str(&rows.json).expect("JSON")
}

pub(super) fn insert(sources: &Arc<Sources>) -> Statement {
    let sql = "INSERT INTO tickets (id, title) VALUES (:id, :title) RETURNING id, title";
    sources.compile("desk", sql, &["id", "title"], true).expect("compiles")
}

pub(super) fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).expect("a tenant id")
}

/// How many files of a folder this process holds open; other tests open others meanwhile.
pub(super) fn descriptors(folder: &Path) -> usize {
    let open = fs::read_dir("/proc/self/fd").expect("the system lists open files");
    open.flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter(|to| to.starts_with(folder))
        .count()
}

pub(super) fn mode_of(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}
