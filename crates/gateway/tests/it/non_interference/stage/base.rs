//! The databases that histories are played on: files, and each mode of PostgreSQL.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use partywall_gateway::config::Environment;
use partywall_postgres::{Connector, DatabaseUrl};
use tokio_postgres::Client;
use url::Url;

use super::set::{background, tenant};

/// What keeps tenants' rows apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Kind {
    Files,
    Rls,
    Schema,
    Database,
}

/// The database server's part of a house.
pub(super) struct Base {
    kind: Kind,
    /// What the names of databases and roles begin with.
    name: String,
    /// Connections of the superuser: to the one database, or to that of each tenant.
    clients: Vec<Client>,
    url: String,
}

const OWN: &str = "
CREATE TABLE tickets (id bigint PRIMARY KEY, title text NOT NULL);
CREATE TABLE comments (id bigint PRIMARY KEY, ticket_id bigint NOT NULL REFERENCES tickets, body text NOT NULL);
GRANT SELECT, INSERT, UPDATE, DELETE ON tickets, comments TO ROLE;";

const SHARED: &str = "
CREATE TABLE tickets (
    tenant_id text NOT NULL DEFAULT nullif(current_setting('app.tenant', true), '') CHECK (tenant_id <> ''),
    id bigint NOT NULL, title text NOT NULL, PRIMARY KEY (tenant_id, id));
CREATE TABLE comments (
    tenant_id text NOT NULL DEFAULT nullif(current_setting('app.tenant', true), '') CHECK (tenant_id <> ''),
    id bigint NOT NULL, ticket_id bigint NOT NULL, body text NOT NULL, PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, ticket_id) REFERENCES tickets);
ALTER TABLE tickets ENABLE ROW LEVEL SECURITY;
ALTER TABLE tickets FORCE ROW LEVEL SECURITY;
ALTER TABLE comments ENABLE ROW LEVEL SECURITY;
ALTER TABLE comments FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON tickets TO ROLE USING (tenant_id = nullif(current_setting('app.tenant', true), ''));
CREATE POLICY own ON comments TO ROLE USING (tenant_id = nullif(current_setting('app.tenant', true), ''));
GRANT SELECT, INSERT, UPDATE, DELETE ON tickets, comments TO ROLE;";

fn superuser() -> Url {
    #[expect(clippy::disallowed_methods, reason = "where the server is, is the runner's choice")]
    let url = std::env::var("PARTYWALL_TEST_POSTGRES").expect(
        "PARTYWALL_TEST_POSTGRES is not set: run `cargo xtask test`, which starts a server, or set it to the URL of a \
         superuser of a PostgreSQL server for tests",
    );
    Url::parse(&url).unwrap()
}

async fn connect(database: &str) -> Client {
    let mut url = superuser();
    if !database.is_empty() {
        url.set_path(database);
    }
    let connector = Connector::new(DatabaseUrl::parse(url.as_str(), Path::new("/")).unwrap()).unwrap();
    let (client, connection) = connector.connect().await.unwrap();
    background(async move {
        let _ended = connection.await;
    });
    client
}

impl Base {
    pub(super) async fn new(kind: Kind) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("pwh_{}_{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let mut base = Self { kind, name: name.clone(), clients: Vec::new(), url: String::new() };
        if kind == Kind::Files {
            return base;
        }
        let root = connect("").await;
        root.batch_execute(&format!("CREATE ROLE {name}_app LOGIN PASSWORD 'app'")).await.unwrap();
        root.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let mut url = superuser();
        url.set_path(&name);
        url.set_username(&format!("{name}_app")).unwrap();
        url.set_password(Some("app")).unwrap();
        base.url = url.into();
        let main = connect(&name).await;
        let script = match kind {
            Kind::Rls => SHARED.replace("ROLE", &format!("{name}_app")),
            Kind::Schema => "CREATE SCHEMA template; SET search_path = template;".to_owned() + OWN,
            _ => OWN.to_owned(),
        };
        let script = script.replace(" TO ROLE", &format!(" TO {name}_app"));
        main.batch_execute(&script).await.unwrap();
        if kind == Kind::Schema {
            main.batch_execute(&format!("GRANT USAGE ON SCHEMA template TO {name}_app")).await.unwrap();
        }
        if kind != Kind::Rls {
            for number in 0..super::TENANTS {
                base.add(&root, &main, number).await;
            }
        }
        if kind != Kind::Database {
            base.clients = vec![main];
        }
        base
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// A role for a tenant, and its tables.
    async fn add(&mut self, root: &Client, main: &Client, number: usize) {
        let role = format!("{}_{}", self.name, tenant(number));
        root.batch_execute(&format!("CREATE ROLE {role} LOGIN")).await.unwrap();
        let tables = OWN.replace(" TO ROLE", &format!(" TO {role}"));
        if self.kind == Kind::Schema {
            let schema = format!("of_{}", tenant(number));
            let script = format!(
                "CREATE SCHEMA {schema}; GRANT USAGE ON SCHEMA {schema} TO {role}; SET search_path = {schema}; {tables}"
            );
            main.batch_execute(&script).await.unwrap();
        } else {
            root.batch_execute(&format!("CREATE DATABASE {role}")).await.unwrap();
            let client = connect(&role).await;
            client.batch_execute(&tables).await.unwrap();
            self.clients.push(client);
        }
    }

    /// Fresh rows, and a fresh password for the tenant's role, if it has one.
    pub(super) async fn furnish(&self, number: usize, password: &str) {
        let id = tenant(number);
        let role = format!("{}_{id}", self.name);
        let (client, begin, columns, value, those) = match self.kind {
            Kind::Files => return,
            Kind::Rls => (
                &self.clients[0],
                String::new(),
                "tenant_id, id, title",
                format!("'{id}', "),
                format!("WHERE tenant_id = '{id}'"),
            ),
            Kind::Schema => (
                &self.clients[0],
                format!("SET search_path = of_{id}; ALTER ROLE {role} PASSWORD '{password}';"),
                "id, title",
                String::new(),
                String::new(),
            ),
            Kind::Database => (
                &self.clients[number],
                format!("ALTER ROLE {role} PASSWORD '{password}';"),
                "id, title",
                String::new(),
                String::new(),
            ),
        };
        let script = format!(
            "{begin} DELETE FROM comments {those}; DELETE FROM tickets {those};
             INSERT INTO tickets ({columns})
                 SELECT {value} n, 'ticket ' || n || ' of {id}: a story' FROM generate_series(1, 4) n;"
        );
        client.batch_execute(&script).await.unwrap();
    }

    /// The configuration for this kind.
    pub(super) fn configure(&self, text: &str) -> String {
        let files = "driver = \"sqlite\"\nmigrations = \"migrations\"\n";
        assert!(text.contains(files));
        let own =
            format!("role = \"{}_{{tenant}}\"\npassword = \"secret:db\"\nmax_connections = 8\n", self.name);
        let keys = match self.kind {
            Kind::Files => return text.to_owned(),
            Kind::Rls => "isolation = \"rls\"\nmax_connections = 8\n".to_owned(),
            Kind::Schema => {
                format!("isolation = \"schema\"\nschema = \"of_{{tenant}}\"\ntemplate = \"template\"\n{own}")
            }
            Kind::Database => {
                format!("isolation = \"database\"\ndatabase = \"{}_{{tenant}}\"\n{own}", self.name)
            }
        };
        let mut text = text.replace(files, &format!("driver = \"postgres\"\nurl = \"env:DB\"\n{keys}"));
        for (sqlite, postgres) in [
            ("GROUP BY t.id ORDER", "GROUP BY t.id, t.title ORDER"),
            ("group_concat(body, '|')", "string_agg(body, '|' ORDER BY id)"),
            ("instr(", "strpos("),
            // A sequence would count all tenants' rows, and tell each of them.
            (
                "INSERT INTO comments (ticket_id, body) SELECT id, :body",
                "INSERT INTO comments (id, ticket_id, body) SELECT (SELECT coalesce(max(id), 0) + 1 FROM comments), id, :body",
            ),
            ("hex(zeroblob(2000))", "repeat('0', 4000)"),
        ] {
            assert!(text.contains(sqlite), "{sqlite}");
            text = text.replace(sqlite, postgres);
        }
        text
    }

    pub(super) fn environment(&self) -> Environment {
        let url = self.url.clone();
        Environment::from_fn(move |name| (name == "DB").then(|| url.clone()))
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        if self.kind == Kind::Files {
            return;
        }
        let name = self.name.clone();
        let cleaning = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let root = connect("").await;
                for (list, drop, after) in [
                    (
                        "SELECT datname::text FROM pg_database WHERE starts_with(datname, $1)",
                        "DATABASE",
                        "WITH (FORCE)",
                    ),
                    ("SELECT rolname::text FROM pg_roles WHERE starts_with(rolname, $1)", "ROLE", ""),
                ] {
                    for row in root.query(list, &[&name]).await.unwrap() {
                        let found: String = row.get(0);
                        // With its underscore or alone, so that another house's is not taken for this one's.
                        if found == name || found.starts_with(&format!("{name}_")) {
                            root.batch_execute(&format!("DROP {drop} {found} {after}")).await.unwrap();
                        }
                    }
                }
            });
        });
        let _cleaned = cleaning.join();
    }
}
