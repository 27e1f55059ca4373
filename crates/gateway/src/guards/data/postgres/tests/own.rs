//! A role for each tenant: its own schema or database, its own password, its own connections.

use std::time::Instant;

use secrecy::SecretString;

use super::*;
use crate::{
    guards::{
        credentials::{MasterKey, SecretName, Vault},
        data::Outside,
    },
    tenants::{Registry, TenantRecord},
};

/// A lab whose tenants have roles.
pub(crate) struct Town {
    pub(crate) lab: Lab,
    registry: Registry,
    vault: Arc<Vault>,
    isolation: &'static str,
}

const TABLES: &str = "CREATE TABLE tickets (id bigint PRIMARY KEY, title text NOT NULL);";

impl Town {
    pub(crate) async fn new(isolation: &'static str, settings: &str) -> Self {
        let mut lab = Lab::empty("").await;
        let name = lab.name.clone();
        lab.settings = match isolation {
            "schema" => format!(
                "isolation = \"schema\"\nrole = \"{name}_{{tenant}}\"\nschema = \"of_{{tenant}}\"\n\
                 template = \"template\"\npassword = \"secret:db\"\n{settings}"
            ),
            _ => format!(
                "isolation = \"database\"\nrole = \"{name}_{{tenant}}\"\ndatabase = \"{name}_{{tenant}}\"\n\
                 password = \"secret:db\"\n{settings}"
            ),
        };
        let schema = if isolation == "schema" { "template" } else { "public" };
        lab.sql(&format!(
            "CREATE SCHEMA IF NOT EXISTS {schema}; SET search_path = {schema}; {TABLES}
             GRANT USAGE ON SCHEMA {schema} TO {name}_app; REVOKE TEMP ON DATABASE {name} FROM PUBLIC;"
        ))
        .await;
        let registry = Registry::open(lab.folder.path()).expect("a registry");
        let master = MasterKey::load_or_create(lab.folder.path()).expect("a key");
        let vault = Arc::new(Vault::open(lab.folder.path(), master).expect("a vault"));
        Self { lab, registry, vault, isolation }
    }

    /// A tenant with a role, tables and ten rows.
    pub(crate) async fn add(&self, tenant: &str) -> TenantRecord {
        let name = &self.lab.name;
        let role = format!("{name}_{tenant}");
        self.lab.sql(&format!("CREATE ROLE \"{role}\" LOGIN PASSWORD 'pass of {tenant}'")).await;
        let rows = format!(
            "{TABLES} GRANT SELECT, INSERT, UPDATE, DELETE ON tickets TO \"{role}\";
             INSERT INTO tickets SELECT n, 'ticket ' || n || ' of {tenant}' FROM generate_series(1, 10) n;"
        );
        if self.isolation == "schema" {
            self.lab
                .sql(&format!(
                    "CREATE SCHEMA \"of_{tenant}\"; SET search_path = \"of_{tenant}\"; {rows}
                     GRANT USAGE ON SCHEMA \"of_{tenant}\" TO \"{role}\";"
                ))
                .await;
        } else {
            self.lab.sql(&format!("CREATE DATABASE \"{role}\"")).await;
            self.lab
                .sql(&format!(
                    "REVOKE CONNECT, TEMP ON DATABASE \"{role}\" FROM PUBLIC;
                     GRANT CONNECT ON DATABASE \"{role}\" TO \"{role}\""
                ))
                .await;
            let mut url = url::Url::parse(&self.lab.admin).expect("a URL");
            url.set_path(&role);
            super::lab::admin(url.as_str(), &rows).await;
        }
        let record = self.registry.add(&super::tenant(tenant)).expect("added");
        self.set_password(&record, &format!("pass of {tenant}"));
        record
    }

    fn set_password(&self, record: &TenantRecord, password: &str) {
        let secret = SecretName::parse("db").expect("a name");
        self.vault.set(record, &secret, SecretString::from(password)).expect("set");
    }

    pub(super) fn open(&self) -> Arc<Sources> {
        self.try_open().expect("sources")
    }

    fn try_open(&self) -> Result<Arc<Sources>, DataError> {
        self.lab.try_open(Outside { vault: Some(Arc::clone(&self.vault)), ..Outside::default() })
    }
}

pub(super) async fn call(
    sources: &Arc<Sources>,
    record: &TenantRecord,
    statement: &Statement,
    given: Value,
) -> Result<Rows, DataError> {
    let permit = Permit::for_test(record.id.as_str(), record.incarnation.0);
    sources.run(&permit, statement, &args(given), limits()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_reaches_what_its_own_role_may() {
    for isolation in ["schema", "database"] {
        let town = Town::new(isolation, "max_connections = 3").await;
        let (acme, globex) = (town.add("acme").await, town.add("globex").await);
        let sources = town.open();
        let read = sources
            .compile("desk", "SELECT title FROM tickets WHERE id = :id", &["id"], false)
            .expect("compiles");
        let write = sources
            .compile("desk", "UPDATE tickets SET title = 'changed by ' || :who", &["who"], true)
            .expect("compiles");
        sources.loaded();
        for record in [&acme, &globex, &acme, &globex] {
            let seen = call(&sources, record, &read, json!({"id": 3})).await.expect("reads");
            assert_eq!(seen.json, format!(r#"[{{"title":"ticket 3 of {}"}}]"#, record.id));
        }
        let done = call(&sources, &acme, &write, json!({"who": "acme"})).await.expect("writes");
        assert_eq!(done.changed, 10);
        let seen = call(&sources, &globex, &read, json!({"id": 3})).await.expect("reads");
        assert_eq!(seen.json, r#"[{"title":"ticket 3 of globex"}]"#);
        // The role itself is kept out of the other's tables, whatever the statement says.
        if isolation == "schema" {
            let foreign = unchecked("SELECT title FROM of_globex.tickets", false);
            let error = call(&sources, &acme, &foreign, json!({})).await.expect_err("foreign");
            assert!(error.to_string().contains("42501"), "{error}");
            call(&sources, &globex, &foreign, json!({})).await.expect("its own");
        }
        // Each connection is its tenant's.
        assert_eq!(sources.open_connections(), 2);
        sources.forget(&acme.id);
        let gone = async {
            while town.lab.connections().await > 1 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.expect("closed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_wrong_password_is_one_tenants_matter() {
    let town = Town::new("schema", "").await;
    let (acme, globex) = (town.add("acme").await, town.add("globex").await);
    let sources = town.open();
    let read = sources.compile("desk", "SELECT count(*) AS n FROM tickets", &[], false).expect("compiles");
    let stranger = town.registry.add(&tenant("stranger")).expect("added");
    let error = call(&sources, &stranger, &read, json!({})).await.expect_err("no password");
    assert_eq!(error, DataError::MissingSecret("db".to_owned()));
    town.set_password(&stranger, "pass of acme");
    let error = call(&sources, &stranger, &read, json!({})).await.expect_err("no role");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!error.to_string().contains("pass of"), "{error}");
    for record in [&acme, &globex] {
        assert_eq!(call(&sources, record, &read, json!({})).await.expect("reads").json, r#"[{"n":10}]"#);
    }
    assert!(sources.lost().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_more_than_one_tenants_is_refused() {
    let town = Town::new("schema", "").await;
    let (acme, _globex) = (town.add("acme").await, town.add("globex").await);
    let name = &town.lab.name;
    let sources = town.open();
    let read = sources.compile("desk", "SELECT count(*) AS n FROM tickets", &[], false).expect("compiles");
    call(&sources, &acme, &read, json!({})).await.expect("reads");
    for (grant, revoke) in [
        ("ALTER ROLE ROLE SUPERUSER", "ALTER ROLE ROLE NOSUPERUSER"),
        ("GRANT OTHER TO ROLE", "REVOKE OTHER FROM ROLE"),
    ] {
        let fill = |sql: &str| {
            sql.replace("ROLE ROLE", &format!("ROLE {name}_acme"))
                .replace(" ROLE", &format!(" {name}_acme"))
                .replace(&format!("ALTER {name}_acme"), "ALTER ROLE")
                .replace("OTHER", &format!("{name}_globex"))
        };
        town.lab.sql(&fill(grant)).await;
        sources.forget(&acme.id);
        let error = call(&sources, &acme, &read, json!({})).await.expect_err(grant);
        assert!(matches!(error, DataError::Configuration(_)), "{error}");
        town.lab.sql(&fill(revoke)).await;
        call(&sources, &acme, &read, json!({})).await.expect("reads again");
    }
}

/// Nothing but rights keeps these tenants apart, so rights in another's schema are refused, whoever they were given to; a
/// schema that is nobody's is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_reaches_another_tenants_tables_is_refused() {
    let town = Town::new("schema", "").await;
    let (acme, globex) = (town.add("acme").await, town.add("globex").await);
    let sources = town.open();
    let read = sources.compile("desk", "SELECT count(*) AS n FROM tickets", &[], false).expect("compiles");
    let shared = "CREATE SCHEMA of_all; CREATE TABLE of_all.countries (code text);
        GRANT USAGE ON SCHEMA of_all TO PUBLIC; GRANT SELECT ON of_all.countries TO PUBLIC;
        GRANT USAGE ON SCHEMA of_globex TO PUBLIC";
    town.lab.sql(shared).await;
    call(&sources, &acme, &read, json!({})).await.expect("without a table the schema is of no use");
    for right in ["SELECT", "UPDATE (title)", "DELETE"] {
        town.lab.sql(&format!("GRANT {right} ON of_globex.tickets TO PUBLIC")).await;
        sources.forget(&acme.id);
        let error = call(&sources, &acme, &read, json!({})).await.expect_err(right);
        assert!(error.to_string().contains("`of_globex`, which is another tenant's"), "{right}: {error}");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        call(&sources, &globex, &read, json!({})).await.expect("its own");
        town.lab.sql("REVOKE ALL ON of_globex.tickets FROM PUBLIC").await;
        call(&sources, &acme, &read, json!({})).await.expect("reads again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_the_server_would_cut_are_refused() {
    let town = Town::new("schema", "").await;
    let sources = town.open();
    let read = sources.compile("desk", "SELECT count(*) AS n FROM tickets", &[], false).expect("compiles");
    let permit = Permit::for_test(&"a".repeat(64), 1);
    let error = sources.run(&permit, &read, &[], limits()).await.expect_err("too long");
    assert!(error.to_string().contains("longer than 63"), "{error}");
}

/// Many tenants take turns on few connections; how many there are is the server's word.
#[tokio::test(flavor = "multi_thread")]
async fn many_tenants_share_few_connections() {
    const TENANTS: usize = 40;
    let town = Town::new("schema", "max_connections = 5").await;
    let mut records = Vec::new();
    for n in 0..TENANTS {
        records.push(town.add(&format!("t{n}")).await);
    }
    let sources = town.open();
    let read =
        sources.compile("desk", "SELECT title FROM tickets WHERE id = 1", &[], false).expect("compiles");
    sources.loaded();
    let mut most = 0;
    for round in 0..2 {
        let calls = records.iter().map(|record| {
            let (sources, read) = (&sources, &read);
            async move {
                let begun = Instant::now();
                let seen = call(sources, record, read, json!({})).await.expect("reads");
                assert_eq!(seen.json, format!(r#"[{{"title":"ticket 1 of {}"}}]"#, record.id));
                begun.elapsed()
            }
        });
        let calls = futures_util::future::join_all(calls);
        let watch = async {
            let mut most = 0;
            for _ in 0..20 {
                most = town.lab.connections().await.max(most);
            }
            most
        };
        let (times, seen) = tokio::join!(calls, watch);
        most = most.max(seen);
        println!("round {round}: slowest {:?}, {most} connections", times.iter().max());
    }
    assert!(most <= 5 && sources.open_connections() <= 5, "{most}");
}
