//! Tenants, secrets and audit logs in a real PostgreSQL database, used by several processes' worth of stores.

mod audit;
mod poolers;
mod quiet;
mod secrets;
mod tenants;
mod turns;

use std::{
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use partywall_model::TenantId;
use partywall_postgres::{connect::drive, url::DatabaseUrl};
use tokio_postgres::SimpleQueryMessage;
use url::Url;

use super::*;
use crate::{
    config::Config,
    gateway::{OpenError, Stores},
    guards::credentials::MasterKey,
};

/// The URL of a superuser.
fn superuser() -> String {
    #[expect(clippy::disallowed_methods, reason = "where the server is, is the runner's choice")]
    let url = std::env::var("PARTYWALL_TEST_POSTGRES");
    url.expect(
        "PARTYWALL_TEST_POSTGRES is not set: run `cargo xtask test`, which starts a server, or set it to the URL of a \
         superuser of a PostgreSQL server for tests, such as postgres://postgres@127.0.0.1:5432/postgres",
    )
}

/// Runs SQL on a connection of its own; the values of the rows.
fn sql(url: &str, text: &str) -> Vec<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let url = DatabaseUrl::parse(url, Path::new("/")).expect("a URL");
        let (client, connection) =
            Connector::new(url).expect("a connector").connect().await.expect("connects");
        let messages = drive(connection, client.simple_query(text)).await.expect("stays connected");
        let messages = messages.unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let row = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|i| row.get(i).unwrap_or("NULL").to_owned()).collect())
            }
            _ => None,
        };
        messages.iter().filter_map(row).collect()
    })
}

/// A database and a role of its own.
pub(crate) struct Base {
    name: String,
    /// The superuser's URL of the database.
    admin: String,
    folder: tempfile::TempDir,
}

impl Base {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// A database that is made with some options.
    fn with(options: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("pws_{}_{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let root = superuser();
        sql(&root, &format!("CREATE ROLE {name} LOGIN PASSWORD 'state pass'"));
        sql(&root, &format!("CREATE DATABASE {name} {options}"));
        sql(&root, &format!("GRANT CREATE ON DATABASE {name} TO {name}"));
        let mut url = Url::parse(&root).expect("a URL");
        url.set_path(&name);
        Self { name, admin: url.into(), folder: tempfile::tempdir().expect("a folder") }
    }

    /// Runs SQL as the superuser, whom nothing binds.
    fn sql(&self, text: &str) -> Vec<Vec<String>> {
        sql(&self.admin, text)
    }

    /// Runs SQL as the gateway's role.
    fn sql_as_role(&self, text: &str) -> Vec<Vec<String>> {
        sql(&self.url(), text)
    }

    fn url(&self) -> String {
        let mut url = Url::parse(&self.admin).expect("a URL");
        url.set_username(&self.name).expect("a host");
        url.set_password(Some("state pass")).expect("a host");
        url.into()
    }

    fn config(&self) -> Config {
        let text =
            "[server]\nstate = \"postgres\"\nstate_url = \"env:STATE\"\n[identity]\ndevelopment = true\n";
        Config::parse(text, "p.toml", self.folder.path()).expect("a configuration")
    }

    fn environment(&self) -> Environment {
        let url = self.url();
        Environment::from_fn(move |name| (name == "STATE").then(|| url.clone()))
    }

    fn try_stores(&self, master: MasterKey) -> Result<Stores, OpenError> {
        Stores::open(&self.config(), &self.environment(), Some(master))
    }

    /// The stores as one process has them; all have the same master key.
    fn stores(&self) -> Stores {
        self.try_stores(master(7)).expect("stores")
    }

    fn central(&self) -> Arc<Central> {
        Central::open(&self.config(), &self.environment()).expect("a database").expect("one is configured")
    }

    /// Nobody gets in any more, and whoever is in is thrown out.
    fn shut(&self) {
        self.sql(&format!("ALTER ROLE {} NOLOGIN", self.name));
        self.sql(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}'",
            self.name
        ));
    }

    fn open_again(&self) {
        self.sql(&format!("ALTER ROLE {} LOGIN", self.name));
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        // What a failed test leaves behind goes with the server.
        if !std::thread::panicking() {
            let root = superuser();
            sql(&root, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
            sql(&root, &format!("DROP ROLE {}", self.name));
        }
    }
}

/// The database behind somebody who passes connections on.
fn through(base: &Base, address: SocketAddr) -> Result<Central, CentralError> {
    let mut url = Url::parse(&base.url()).expect("a URL");
    url.set_host(Some("127.0.0.1")).expect("a host");
    url.set_port(Some(address.port())).expect("a host");
    let url = DatabaseUrl::parse(url.as_str(), Path::new("/")).expect("a URL");
    Central::connect(Connector::new(url).expect("a connector"))
}

fn master(digit: u8) -> MasterKey {
    MasterKey::from_text(digit.to_string().repeat(64).into()).expect("a key")
}

fn id(text: &str) -> TenantId {
    TenantId::parse(text).expect("a tenant id")
}

#[test]
fn a_role_that_row_level_security_does_not_bind_is_refused() {
    let base = Base::new();
    base.sql(&format!("ALTER ROLE {} BYPASSRLS", base.name));
    let refused =
        Central::open(&base.config(), &base.environment()).expect_err("it could see all").to_string();
    assert!(refused.contains("BYPASSRLS") && refused.contains(&base.name), "{refused}");
    base.sql(&format!("ALTER ROLE {} NOBYPASSRLS", base.name));
    base.central();
}

/// It has not all characters, so that a line of one tenant could be one that it cannot keep.
#[test]
fn a_database_of_another_encoding_is_refused() {
    let base = Base::with("ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    let refused = Central::open(&base.config(), &base.environment()).expect_err("it is LATIN1").to_string();
    assert!(refused.contains("LATIN1") && refused.contains("ENCODING 'UTF8'"), "{refused}");
}

#[test]
fn tables_that_lost_their_policies_force_are_refused() {
    let base = Base::new();
    base.central();
    base.sql("ALTER TABLE partywall.secret NO FORCE ROW LEVEL SECURITY");
    let refused = Central::open(&base.config(), &base.environment()).expect_err("it is open").to_string();
    assert!(
        refused.contains("partywall.secret") && refused.contains("FORCE ROW LEVEL SECURITY"),
        "{refused}"
    );
    base.sql("ALTER TABLE partywall.secret FORCE ROW LEVEL SECURITY");
    base.central();
}

#[test]
fn processes_that_start_together_make_the_tables_once() {
    let base = Base::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| base.stores());
        }
    });
    assert_eq!(base.sql("SELECT count(*) FROM partywall.format"), [["1"]]);
}

#[test]
fn errors_name_the_database_and_never_the_password() {
    let base = Base::new();
    base.shut();
    let error = Central::open(&base.config(), &base.environment()).expect_err("nobody gets in").to_string();
    assert!(error.contains(&base.name), "{error}");
    assert!(!error.contains("state pass") && !error.contains("state%20pass"), "{error}");
    base.open_again();
}
