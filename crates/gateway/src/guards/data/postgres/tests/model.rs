//! SQL that a model writes, as a role that is one tenant's: what it may do, and each way out of it.

use std::time::Instant;

use super::{
    own::{Town, call},
    *,
};

struct Desk {
    town: Town,
    sources: Arc<Sources>,
    read: Statement,
    write: Statement,
    acme: crate::tenants::TenantRecord,
    globex: crate::tenants::TenantRecord,
}

impl Desk {
    async fn new(isolation: &'static str) -> Self {
        let town = Town::new(isolation, "max_connections = 4").await;
        let (acme, globex) = (town.add("acme").await, town.add("globex").await);
        let sources = town.open();
        let read = sources.compile("desk", "@model", &["sql"], false).expect("a model's");
        let write = sources.compile("desk", "@model", &["sql"], true).expect("a model's");
        Self { town, sources, read, write, acme, globex }
    }

    async fn ask(&self, sql: &str) -> Result<Rows, DataError> {
        call(&self.sources, &self.acme, &self.read, json!({ "sql": sql })).await
    }

    /// What the superuser sees.
    async fn number(&self, sql: &str) -> String {
        self.town.lab.sql(&format!("SELECT {sql}")).await[0][0].clone()
    }

    /// The neighbour's rows are as they were, for the neighbour too.
    async fn assert_neighbour(&self, after: &str) {
        let sql = "SELECT count(*) AS n, min(title) AS a, max(title) AS z FROM tickets";
        let seen = call(&self.sources, &self.globex, &self.read, json!({ "sql": sql })).await.expect("reads");
        let whole = r#"[{"n":10,"a":"ticket 1 of globex","z":"ticket 9 of globex"}]"#;
        assert_eq!(seen.json, whole, "after {after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_reads_and_writes_the_tenants_own_rows() {
    for isolation in ["schema", "database"] {
        let desk = Desk::new(isolation).await;
        let sql = "WITH t AS (SELECT id, title, ARRAY[id, id + 1] AS pair FROM tickets) SELECT * FROM t ORDER BY id LIMIT 1";
        let seen = desk.ask(sql).await.expect("reads");
        assert_eq!(seen.json, r#"[{"id":1,"title":"ticket 1 of acme","pair":"{1,2}"}]"#);
        let error = desk.ask("DELETE FROM tickets").await.expect_err("reads only");
        assert!(matches!(&error, DataError::Written(why) if why.contains("changes data")), "{error}");
        let sql = json!({"sql": "DELETE FROM tickets WHERE id > 5 RETURNING id"});
        let done = call(&desk.sources, &desk.acme, &desk.write, sql).await.expect("writes");
        assert_eq!((done.changed, done.count), (5, 5));
        desk.assert_neighbour("a write").await;
        let error = desk.ask("SELECT id, id FROM tickets").await.expect_err("twice");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        for (bad, says) in [
            ("SELECT nothing FROM tickets", "does not understand it"),
            ("SELECT 1 AS n FROM no_such_table", "does not understand it"),
            ("SELECT 'x'::no_such_type AS n", "does not understand it"),
            ("SELECT 'x'::int AS n", "does not fit its type"),
            ("SELECT 1 / 0 AS n", "does not fit its type"),
            ("SELEC 1", ""),
            ("", ""),
        ] {
            let error = desk.ask(bad).await.expect_err(bad);
            assert!(matches!(&error, DataError::Written(why) if why.contains(says)), "{bad}: {error}");
        }
        for wrong in [json!({}), json!({"sql": 1}), json!({"sql": "SELECT 1", "tenant": "globex"})] {
            let error = call(&desk.sources, &desk.acme, &desk.read, wrong).await.expect_err("no statement");
            assert_eq!(error.kind(), ErrorKind::Argument);
        }
    }
}

/// Which roles and tables there are is no tenant's business: their names are the neighbours'. Each of these told one, or
/// whether there is such a one; that they do is seen where nothing checks the text.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_does_not_learn_who_else_is_there() {
    let desk = Desk::new("schema").await;
    let role = format!("{}_globex", desk.town.lab.name);
    let number = |what: &'static str| format!("(SELECT oid FROM {what})");
    let (oid, table) = (
        number("pg_roles WHERE rolname = 'ROLE'").replace("ROLE", &role),
        number("pg_type WHERE typname = 'tickets' AND typnamespace = 'of_globex'::regnamespace"),
    );
    let (oid, table) = (desk.number(&oid).await, desk.number(&table).await);
    for (sql, tells) in [
        (format!("SELECT makeaclitem({oid}, 10, 'SELECT', false)::text AS x"), role.as_str()),
        (format!("SELECT acldefault('r', {oid})::text AS x"), &role),
        (format!("SELECT '{{{oid}}}'::_regrole::text AS x"), &role),
        (format!("SELECT '{role}=r/{role}'::aclitem::text AS x"), &role),
        (format!("SELECT regroleout({oid}) AS x"), &role),
        (format!("SELECT array_in('{{{oid}}}', 4096, -1)::text AS x"), &role),
        (format!("SELECT format_type({table}, NULL) AS x"), "of_globex"),
        (format!("SELECT {table}::regtype::text AS x"), "of_globex"),
        (format!("SELECT oidvectortypes('{table}') AS x"), "of_globex"),
        (format!("SELECT rolname AS x FROM (TABLE pg_roles) r WHERE rolname = '{role}'"), &role),
    ] {
        let open = call(&desk.sources, &desk.acme, &unchecked(&sql, false), json!({})).await.expect(&sql);
        assert!(open.json.contains(tells), "{sql}: the server tells no more: {}", open.json);
        let error = desk.ask(&sql).await.expect_err(&sql);
        assert!(matches!(error, DataError::Written(_)), "{sql}: {error}");
    }
}

/// The ways out of the attack catalogue's section 9, each past the checks of the text too, and by a tool that writes.
#[tokio::test(flavor = "multi_thread")]
async fn every_way_out_fails() {
    for isolation in ["schema", "database"] {
        let desk = Desk::new(isolation).await;
        let other = format!("{}_globex", desk.town.lab.name);
        for sql in [
            // DB-01: switch what selects the tenant.
            "SELECT set_config('app.tenant', 'globex', true) AS x",
            "SET app.tenant = 'globex'",
            "SELECT set_config('search_path', 'of_globex', true) AS x",
            // DB-02: leave the transaction.
            "COMMIT; SELECT title FROM of_globex.tickets",
            "ROLLBACK; BEGIN; SELECT 1",
            "SAVEPOINT a",
            // DB-03: become somebody else.
            "RESET ROLE",
            "SET ROLE OTHER",
            "SET SESSION AUTHORIZATION OTHER",
            // DB-05: other ways to the rows.
            "SELECT title FROM of_globex.tickets",
            "SELECT tableowner FROM pg_catalog.pg_tables",
            "SELECT table_name FROM information_schema.tables",
            // DB-06: leave something behind.
            "CREATE TEMP TABLE x (a int)",
            "PREPARE p AS SELECT 1",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "LISTEN x",
            "SELECT pg_advisory_lock(1) AS x",
            // DB-07: side channels.
            "EXPLAIN ANALYZE SELECT * FROM tickets",
            "SELECT query FROM pg_stat_activity",
            "SELECT * FROM pg_locks",
            "SELECT * FROM pg_sequences",
            // DB-08: out of the database.
            "COPY (SELECT 1) TO PROGRAM 'cat'",
            "COPY tickets FROM '/etc/passwd'",
            "SELECT pg_read_file('/etc/passwd') AS x",
            "SELECT lo_import('/etc/passwd') AS x",
            "SELECT * FROM dblink('dbname=x', 'SELECT 1') AS t(a int)",
            // DB-10: starve others.
            "SELECT pg_sleep(60) AS x",
            "LOCK TABLE tickets IN ACCESS EXCLUSIVE MODE",
            // DB-11: stand before a table.
            "CREATE TEMP VIEW tickets AS SELECT 1",
        ] {
            let sql = sql.replace("OTHER", &other);
            for tool in [&desk.read, &desk.write] {
                let error =
                    call(&desk.sources, &desk.acme, tool, json!({ "sql": sql })).await.expect_err(&sql);
                let seen = error.to_string();
                assert!(!seen.contains("of globex"), "{sql}: {seen}");
            }
            // The same past the checks of the text: whatever the server lets it do, the neighbour is not touched.
            // One of them sleeps for as long as it may.
            let permit = Permit::for_test("acme", desk.acme.incarnation.0);
            let done = desk.sources.run(&permit, &unchecked(&sql, false), &[], short(2_000)).await;
            if let Ok(rows) = &done {
                assert!(!rows.json.contains("of globex"), "{sql}: {}", rows.json);
            }
            desk.assert_neighbour(&sql).await;
        }
        // DB-04: a write without a condition ends at the tenant's own rows.
        let sql = json!({"sql": "UPDATE tickets SET title = 'x'"});
        assert_eq!(call(&desk.sources, &desk.acme, &desk.write, sql).await.expect("its own").changed, 10);
        desk.assert_neighbour("an update of everything").await;
        // DB-09: errors tell no values.
        let sql = "SELECT CASE WHEN title LIKE 'x%' THEN title::int END AS x FROM tickets";
        let error = desk.ask(sql).await.expect_err("no number");
        let kind = "a value does not fit its type, or cannot be worked out";
        assert_eq!(error, DataError::Written(kind.to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_asks_too_much_is_stopped_and_holds_nobody_up() {
    let desk = Desk::new("schema").await;
    let permit = Permit::for_test("acme", desk.acme.incarnation.0);
    let cross = args(
        json!({"sql": "SELECT count(*) AS n FROM generate_series(1, 100000000) a, generate_series(1, 100000000) b"}),
    );
    let calls = (0..8).map(|_| desk.sources.run(&permit, &desk.read, &cross, short(800)));
    let (stopped, ()) = tokio::join!(futures_util::future::join_all(calls), async {
        let begun = Instant::now();
        desk.assert_neighbour("a cross join").await;
        assert!(begun.elapsed() < Duration::from_millis(700), "{:?}", begun.elapsed());
    });
    for done in stopped {
        let error = done.expect_err("too slow");
        assert!(matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Busy), "{error}");
    }
    desk.town.lab.until_quiet().await;
}
