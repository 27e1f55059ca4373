//! A database of its own for each test, with the roles and tables that the test is about.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use partywall_postgres::{Connector, DatabaseUrl, drive};
use tokio_postgres::SimpleQueryMessage;
use url::Url;

use crate::{
    config::{Config, Environment},
    guards::data::{DataError, Outside, Sources},
};

/// Shared tables with policies, as `docs/postgres.md` recommends them.
const SHARED: &str = "
    CREATE TABLE tickets (
        tenant_id text NOT NULL DEFAULT nullif(current_setting('app.tenant', true), '') CHECK (tenant_id <> ''),
        id bigint NOT NULL, title text NOT NULL,
        status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'closed')),
        slug text, PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, slug));
    ALTER TABLE tickets ENABLE ROW LEVEL SECURITY;
    ALTER TABLE tickets FORCE ROW LEVEL SECURITY;
    CREATE POLICY own ON tickets TO APP USING (tenant_id = nullif(current_setting('app.tenant', true), ''));
    CREATE SEQUENCE seen;
    GRANT SELECT, INSERT, UPDATE, DELETE ON tickets TO APP;
    GRANT USAGE, SELECT ON SEQUENCE seen TO APP;
    INSERT INTO tickets (tenant_id, id, title)
        SELECT tenant, n, 'ticket ' || n || ' of ' || tenant
        FROM unnest(ARRAY['acme', 'globex']) tenant, generate_series(1, 10) n;";

/// The URL of a superuser.
pub(super) fn superuser() -> String {
    #[expect(clippy::disallowed_methods, reason = "where the server is, is the runner's choice")]
    let url = std::env::var("PARTYWALL_TEST_POSTGRES");
    url.expect(
        "PARTYWALL_TEST_POSTGRES is not set: run `cargo xtask test`, which starts a server, or set it to the URL of a \
         superuser of a PostgreSQL server for tests, such as postgres://postgres@127.0.0.1:5432/postgres",
    )
}

/// Runs SQL as the superuser; the values of the last rows.
pub(super) async fn admin(url: &str, sql: &str) -> Vec<Vec<String>> {
    let url = DatabaseUrl::parse(url, Path::new("/")).expect("a URL");
    let (client, connection) = Connector::new(url).expect("a connector").connect().await.expect("connects");
    let messages = drive(connection, client.simple_query(sql)).await.expect("stays connected");
    let messages = messages.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|i| row.get(i).unwrap_or("NULL").to_owned()).collect())
        }
        _ => None,
    };
    messages.iter().filter_map(row).collect()
}

/// A database and its roles.
pub(crate) struct Lab {
    /// What the names of the database and of every role begin with.
    pub(crate) name: String,
    /// The superuser's URL of the database.
    pub(crate) admin: String,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) settings: String,
    /// Another address for the gateway to go to.
    pub(super) address: Option<std::net::SocketAddr>,
}

impl Lab {
    /// An empty database, and a role `NAME_app` that may connect.
    pub(super) async fn empty(settings: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("pw_{}_{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let root = superuser();
        admin(&root, &format!("CREATE ROLE {name}_app LOGIN PASSWORD 'app pass'")).await;
        admin(&root, &format!("CREATE DATABASE {name}")).await;
        let mut url = Url::parse(&root).expect("a URL");
        url.set_path(&name);
        let folder = tempfile::tempdir().expect("a folder");
        Self { name, admin: url.into(), folder, settings: settings.to_owned(), address: None }
    }

    /// Shared tables with policies.
    pub(crate) async fn rls() -> Self {
        Self::rls_with("").await
    }

    pub(super) async fn rls_with(settings: &str) -> Self {
        let lab = Self::empty(&format!("isolation = \"rls\"\n{settings}")).await;
        lab.sql(&SHARED.replace("APP", &format!("{}_app", lab.name))).await;
        lab
    }

    pub(super) async fn sql(&self, sql: &str) -> Vec<Vec<String>> {
        admin(&self.admin, sql).await
    }

    /// The URL of the role that the gateway has.
    pub(crate) fn url(&self) -> String {
        let mut url = Url::parse(&self.admin).expect("a URL");
        url.set_username(&format!("{}_app", self.name)).expect("a host");
        url.set_password(Some("app pass")).expect("a host");
        if let Some(address) = self.address {
            url.set_ip_host(address.ip()).expect("a host");
            url.set_port(Some(address.port())).expect("a host");
        }
        url.into()
    }

    pub(super) fn try_open(&self, outside: Outside) -> Result<Arc<Sources>, DataError> {
        let text = format!("[data.desk]\ndriver = \"postgres\"\nurl = \"env:DB\"\n{}\n", self.settings);
        let config = Config::parse(&text, "p.toml", self.folder.path()).expect("a configuration");
        let url = self.url();
        let environment = Environment::from_fn(move |name| (name == "DB").then(|| url.clone()));
        let sources = Sources::new(&config, &Outside { environment, ..outside })?;
        sources.verify()?;
        Ok(sources)
    }

    pub(super) fn open(&self) -> Arc<Sources> {
        self.try_open(Outside::default()).expect("sources")
    }

    /// How many connections the gateway's role has on the server.
    pub(super) async fn connections(&self) -> usize {
        let sql =
            format!("SELECT count(*) FROM pg_stat_activity WHERE starts_with(usename, '{}_')", self.name);
        self.sql(&sql).await[0][0].parse().expect("a number")
    }

    /// Waits until the server runs no statement for the gateway.
    pub(super) async fn until_quiet(&self) {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE starts_with(usename, '{}_') AND state <> 'idle'",
            self.name
        );
        let quiet = async {
            while self.sql(&sql).await[0][0] != "0" {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), quiet).await.expect("the server is quiet");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let (name, root) = (self.name.clone(), superuser());
        let cleaning = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let list = format!("SELECT datname FROM pg_database WHERE starts_with(datname, '{name}')");
                for row in admin(&root, &list).await {
                    admin(&root, &format!("DROP DATABASE \"{}\" WITH (FORCE)", row[0])).await;
                }
                let list = format!("SELECT rolname FROM pg_roles WHERE starts_with(rolname, '{name}_')");
                for row in admin(&root, &list).await {
                    admin(&root, &format!("DROP ROLE \"{}\"", row[0])).await;
                }
            });
        });
        // A test that failed may have left what cannot be dropped.
        let _cleaned = cleaning.join();
    }
}
