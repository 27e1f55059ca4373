//! Every page's SQL on a real server: what is bad is found by that rule, what is good by none.

mod fixes;
mod honest;
mod hostile;
mod reading;
mod subtle;
mod written;

use std::{collections::BTreeSet, path::Path};

use tokio_postgres::Client;

use super::*;
use crate::{Connector, DatabaseUrl};

const SAFE: &str = include_str!("safe.sql");

/// The URL of a superuser.
fn superuser() -> String {
    #[expect(clippy::disallowed_methods, reason = "where the server is, is the runner's choice")]
    let url = std::env::var("PARTYWALL_TEST_POSTGRES");
    url.expect(
        "PARTYWALL_TEST_POSTGRES is not set: run `cargo xtask test`, which starts a server, or set it to the URL of a \
         superuser of a PostgreSQL server for tests, such as postgres://postgres@127.0.0.1:5432/postgres",
    )
}

async fn connect(url: &str) -> Client {
    let url = DatabaseUrl::parse(url, Path::new("/")).expect("a URL");
    let (client, connection) = Connector::new(url).expect("a connector").connect().await.expect("connects");
    #[expect(clippy::disallowed_methods, reason = "a test's connection belongs to no tenant")]
    tokio::spawn(async move { drop(connection.await) });
    client
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A database of this test's own; the roles of the safe schema are the server's, so tests take turns.
struct Base {
    name: &'static str,
    client: Client,
}

impl Base {
    async fn new(name: &'static str) -> Self {
        let root = connect(&superuser()).await;
        root.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await.expect("dropped");
        root.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("made");
        let mut url = url_of(&superuser());
        url.set_path(name);
        Self { name, client: connect(url.as_str()).await }
    }

    /// What is found after some SQL, which is undone.
    async fn check(&mut self, sql: &str, options: &Options) -> Report {
        let client = &mut self.client;
        let mut undone = client.transaction().await.expect("begins");
        for part in [SAFE, sql] {
            undone.batch_execute(part).await.unwrap_or_else(|error| panic!("{part}: {error:?}"));
        }
        let catalogue = {
            let inner = undone.transaction().await.expect("a part");
            inner.batch_execute("SET LOCAL search_path = pg_catalog").await.expect("set");
            Catalogue::read(&inner, options).await.expect("readable")
        };
        let mut report = judge(&catalogue, "test", options);
        behaviour::try_in(&mut undone, &catalogue, "test", options, &mut report).await.expect("tried");
        undone.rollback().await.expect("undone");
        report
    }

    async fn drop(self) {
        let root = connect(&superuser()).await;
        drop(self.client);
        root.batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await.expect("dropped");
    }
}

fn url_of(text: &str) -> url::Url {
    url::Url::parse(text).expect("a URL")
}

fn ids(report: &Report) -> BTreeSet<&str> {
    report.found.iter().map(|found| found.finding.rule.as_str()).collect()
}

/// The SQL of a page's fenced block.
fn block(page: &'static str, kind: &str) -> &'static str {
    let start = format!("```sql {kind}\n");
    let (_, rest) = page.split_once(&start).unwrap_or_else(|| panic!("no {kind} block in {page}"));
    rest.split_once("\n```").expect("the block ends").0
}

/// What else a page says that its bad SQL shows.
fn also(page: &'static str) -> Vec<&'static str> {
    let Some((_, rest)) = page.split_once("Also found there: ") else { return Vec::new() };
    rest.split_once(".\n").expect("a sentence").0.split(", ").collect()
}

/// The table `shop.wild` of the tests, for a migration that makes it safe.
fn wild() -> crate::migration::Table {
    crate::migration::Table {
        name: "shop.wild".to_owned(),
        column: "tenant_id".to_owned(),
        role: "shop_app".to_owned(),
        owner: "shop_owner".to_owned(),
        setting: "app.tenant".to_owned(),
    }
}

#[test]
fn every_page_is_true_of_a_real_server() {
    runtime().block_on(async {
        let mut base = Base::new("pw_check_pages").await;
        let options = Options::for_role("shop_app");
        let safe = base.check("SELECT 1", &options).await;
        assert!(safe.found.is_empty(), "the safe schema is safe: {:?}", safe.found);
        assert!(safe.skipped.is_empty(), "{:?}", safe.skipped);
        let mut problems = Vec::new();
        for rule in RULES {
            let bad = base.check(block(rule.page().markdown, "bad"), &options).await;
            let found = ids(&bad);
            if !found.contains(rule.id) {
                problems.push(format!("{}: not found; found {found:?}, skipped {:?}", rule.id, bad.skipped));
            }
            let also = also(rule.page().markdown);
            let known = |id: &str| {
                id == rule.id
                    || also.iter().any(|known| match known.strip_suffix('*') {
                        Some(beginning) => id.starts_with(beginning),
                        None => *known == id,
                    })
            };
            let others: Vec<_> = found.iter().filter(|id| !known(id)).collect();
            if !others.is_empty() {
                problems.push(format!("{}: also {others:?}", rule.id));
            }
            let good = base.check(block(rule.page().markdown, "good"), &options).await;
            if !good.found.is_empty() {
                let told: Vec<_> = good.found.iter().map(|found| &found.finding.message).collect();
                problems.push(format!("{}: the good one has {:?} {told:?}", rule.id, ids(&good)));
            }
        }
        base.drop().await;
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    });
}

/// What `--fix` prints mends what it is for.
#[test]
fn the_sql_of_a_finding_mends_it() {
    runtime().block_on(async {
        let mut base = Base::new("pw_check_fixes").await;
        let options = Options::for_role("shop_app");
        let (mut mended, mut problems) = (0, Vec::new());
        for rule in RULES {
            let bad = block(rule.page().markdown, "bad");
            let report = base.check(bad, &options).await;
            let fixes: Vec<&str> = report
                .found
                .iter()
                .filter(|found| found.finding.rule == rule.id)
                .filter_map(|found| found.sql.as_deref())
                .collect();
            // What cannot run inside of a transaction is tried in its other form.
            let fixes = fixes.join("\n").replace("CONCURRENTLY ", "");
            if fixes.is_empty() || rule.id == "fuzzy-tenant-equality" {
                continue;
            }
            mended += 1;
            let after = base.check(&format!("{bad}\n{fixes}"), &options).await;
            if ids(&after).contains(rule.id) {
                problems.push(format!("{} is still there after: {fixes}", rule.id));
            }
        }
        base.drop().await;
        assert!(problems.is_empty(), "{}", problems.join("\n"));
        assert!(mended > 35, "{mended}");
    });
}

#[test]
fn every_page_has_what_users_look_for() {
    let mut ids = BTreeSet::new();
    for rule in RULES {
        let page = rule.page();
        assert!(page.markdown.starts_with(&format!("# {}\n", rule.id)), "{}", rule.id);
        assert!(
            !page.check.summary.is_empty() && !rule.why.is_empty() && !rule.advice.is_empty(),
            "{}",
            rule.id
        );
        assert!(!rule.advice.contains("## "), "{}: {}", rule.id, rule.advice);
        assert!(ids.insert(rule.id), "{} is there twice", rule.id);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/check/pages");
    assert_eq!(std::fs::read_dir(folder).expect("pages").count(), RULES.len(), "a page without a rule");
}

/// The check as users run it, on a connection of the application's own role and on a superuser's.
#[test]
fn a_role_can_check_itself_and_a_role_that_is_not_there_is_told() {
    runtime().block_on(async {
        let base = Base::new("pw_check_run").await;
        let schema = SAFE.replace("shop", "bazaar");
        base.client.batch_execute(&schema).await.expect("made");
        base.client.batch_execute("ALTER ROLE bazaar_app PASSWORD 'app pass'").await.expect("set");
        let mut url = url_of(&superuser());
        url.set_path(base.name);
        let mut options = Options::for_role("bazaar_app");
        options.only = vec!["reads-without-context".to_owned(), "policy-without-tenant-test".to_owned()];
        let mut root = connect(url.as_str()).await;
        assert!(run(&mut root, "db", &options).await.expect("checked").found.is_empty());
        root.batch_execute("CREATE POLICY support ON bazaar.orders TO PUBLIC USING (true)")
            .await
            .expect("made");
        let by_root = run(&mut root, "db", &options).await.expect("checked");
        url.set_username("bazaar_app").expect("a host");
        url.set_password(Some("app pass")).expect("a host");
        let mut own = connect(url.as_str()).await;
        let by_itself = run(&mut own, "db", &options).await.expect("checked");
        for report in [&by_root, &by_itself] {
            assert_eq!(ids(report), BTreeSet::from(["policy-without-tenant-test", "reads-without-context"]));
        }
        let fingerprints = |report: &Report| {
            report.found.iter().map(|found| found.finding.fingerprint.clone()).collect::<BTreeSet<_>>()
        };
        assert_eq!(fingerprints(&by_root), fingerprints(&by_itself));
        let left: i64 =
            root.query_one("SELECT count(*) FROM bazaar.orders", &[]).await.expect("counted").get(0);
        assert_eq!(left, 10, "nothing was changed");
        let none = run(&mut root, "db", &Options::for_role("nobody_here")).await;
        assert!(matches!(none, Err(CheckError::NoRole(role)) if role == "nobody_here"));
        drop((own, root));
        let roles = "DROP SCHEMA bazaar CASCADE; DROP ROLE bazaar_app; DROP ROLE bazaar_owner;";
        base.client.batch_execute(roles).await.expect("dropped");
        base.drop().await;
    });
}

/// Tables as people have them: what `partywall rls` prints makes each of them pass, and can be run again.
#[test]
fn the_printed_migration_makes_a_table_safe_and_can_be_run_twice() {
    use crate::migration::of_live;
    let tables = [
        "CREATE TABLE shop.wild (id bigserial PRIMARY KEY, tenant_id text, body text);
         GRANT ALL ON SEQUENCE shop.wild_id_seq TO shop_app",
        "CREATE TABLE shop.wild (id bigserial PRIMARY KEY, tenant_id uuid NOT NULL, slug text UNIQUE, UNIQUE (tenant_id, body), body text)",
        "CREATE TABLE shop.wild (tenant_id bigint NOT NULL, id bigint, PRIMARY KEY (tenant_id, id));
         ALTER TABLE shop.wild ENABLE ROW LEVEL SECURITY",
        "CREATE TABLE shop.wild (tenant_id character varying(40), id bigint);
         INSERT INTO shop.wild VALUES ('acme', 1); GRANT ALL ON shop.wild TO shop_app, PUBLIC",
        "CREATE TABLE shop.wild (tenant_id text NOT NULL, id bigint PRIMARY KEY, order_id bigint);
         CREATE UNIQUE INDEX orders_id ON shop.orders (tenant_id, id, status)",
        "CREATE TABLE shop.wild (tenant_id text NOT NULL, id bigint, email text, gone timestamptz, PRIMARY KEY (tenant_id, id));
         CREATE UNIQUE INDEX wild_email ON shop.wild (lower(email)) WHERE gone IS NULL",
    ];
    runtime().block_on(async {
        let mut base = Base::new("pw_check_rls").await;
        for unsafe_table in tables {
            let mut undone = base.client.transaction().await.expect("begins");
            undone.batch_execute(SAFE).await.expect("made");
            undone
                .batch_execute(unsafe_table)
                .await
                .unwrap_or_else(|error| panic!("{unsafe_table}: {error:?}"));
            let table = wild();
            let options = Options::for_role("shop_app");
            for round in ["first", "second"] {
                let text = of_live(&undone, &table).await.expect("a migration");
                let text = text.replace("BEGIN;\n", "").replace("COMMIT;\n", "");
                undone
                    .batch_execute(&text)
                    .await
                    .unwrap_or_else(|error| panic!("{round} {unsafe_table}: {error:?}\n{text}"));
                let catalogue = Catalogue::read(&undone, &options).await.expect("readable");
                let mut report = judge(&catalogue, "test", &options);
                let mut part = undone.transaction().await.expect("a part");
                behaviour::try_in(&mut part, &catalogue, "test", &options, &mut report).await.expect("tried");
                part.rollback().await.expect("undone");
                let told: Vec<_> = report.found.iter().map(|found| &found.finding.message).collect();
                assert!(told.is_empty(), "{round} {unsafe_table}: {told:?}");
            }
            undone.rollback().await.expect("undone");
        }
        base.drop().await;
    });
}

const MANY_TABLES: &str = "DO $$ BEGIN FOR n IN 1..500 LOOP EXECUTE format('
    CREATE TABLE shop.t%1$s (tenant_id text NOT NULL CHECK (tenant_id <> ''''), id bigint, PRIMARY KEY (tenant_id, id));
    ALTER TABLE shop.t%1$s ENABLE ROW LEVEL SECURITY; ALTER TABLE shop.t%1$s FORCE ROW LEVEL SECURITY;
    CREATE POLICY own ON shop.t%1$s TO shop_app USING (tenant_id = nullif(current_setting(''app.tenant'', true), ''''));
    GRANT SELECT, INSERT, UPDATE, DELETE ON shop.t%1$s TO shop_app', n); END LOOP; END $$";

/// Five hundred tables take a few queries, and not a few for each.
#[test]
fn many_tables_are_checked_by_the_same_number_of_queries() {
    runtime().block_on(async {
        let mut base = Base::new("pw_check_many").await;
        let options = Options { behaviour: false, ..Options::for_role("shop_app") };
        let report = base.check(MANY_TABLES, &options).await;
        assert_eq!(report.relations, 503);
        assert!(report.found.is_empty(), "{:?}", report.found);
        base.drop().await;
    });
}

#[test]
#[ignore = "it measures, and means something in a release build only: cargo xtask bench postgres"]
fn five_hundred_tables_and_views_with_statements_tried() {
    const VIEWS: &str = "DO $$ BEGIN FOR n IN 1..500 LOOP EXECUTE format('
        CREATE VIEW shop.v%1$s WITH (security_invoker = true) AS SELECT id FROM shop.t%1$s;
        GRANT SELECT ON shop.v%1$s TO shop_app', n); END LOOP; END $$";
    runtime().block_on(async {
        let mut base = Base::new("pw_check_time").await;
        let mut undone = base.client.transaction().await.expect("begins");
        for part in [SAFE, MANY_TABLES, VIEWS, "ANALYZE", "SET LOCAL search_path = pg_catalog"] {
            undone.batch_execute(part).await.unwrap_or_else(|error| panic!("{part}: {error:?}"));
        }
        for (name, behaviour) in [("catalogue", false), ("statements", true)] {
            let options = Options { behaviour, ..Options::for_role("shop_app") };
            let mut times = Vec::new();
            for _ in 0..5 {
                let begun = std::time::Instant::now();
                let mut part = undone.transaction().await.expect("a part");
                let catalogue = Catalogue::read(&part, &options).await.expect("readable");
                let mut report = judge(&catalogue, "test", &options);
                if behaviour {
                    behaviour::try_in(&mut part, &catalogue, "test", &options, &mut report)
                        .await
                        .expect("tried");
                }
                times.push(begun.elapsed());
                part.rollback().await.expect("undone");
                assert_eq!((report.found.len(), report.skipped.len()), (0, 0), "{:?}", report.skipped);
                assert!(report.relations >= 1000, "{}", report.relations);
            }
            times.sort();
            println!("measure check/{name}-s {:.3}", times[2].as_secs_f64());
        }
        undone.rollback().await.expect("undone");
        base.drop().await;
    });
}
