//! Shared tables: a tenant sees its own rows, whatever the statement says, and nothing of it stays on the connection.

use super::*;
use crate::guards::data::postgres::{
    exchange::{Ask, Context, ContextSql, Failure},
    pool::Key,
    statement,
    wire::Conn,
};

/// Everything that is in the table, seen by the superuser.
async fn all(lab: &Lab) -> Vec<Vec<String>> {
    lab.sql("SELECT tenant_id, id, title, status FROM tickets ORDER BY tenant_id, id").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_sees_its_own_rows_and_changes_no_others() {
    let lab = Lab::rls().await;
    let sources = lab.open();
    for tenant in ["acme", "globex", "acme"] {
        let seen =
            rows(&sources, tenant, "SELECT tenant_id, count(*) AS n FROM tickets GROUP BY tenant_id").await;
        assert_eq!(seen, json!([{"tenant_id": tenant, "n": 10}]));
    }
    assert_eq!(rows(&sources, "nobody", "SELECT id FROM tickets").await, json!([]));
    // Rows are shared out by one connection: the tenants took turns on it.
    assert_eq!(sources.open_connections(), 1);

    let before = all(&lab).await;
    for sql in ["UPDATE tickets SET title = 'mine'", "DELETE FROM tickets WHERE true"] {
        let statement = sources.compile("desk", sql, &[], true).expect("compiles");
        assert_eq!(run(&sources, "globex", &statement, json!({})).await.expect("runs").changed, 10, "{sql}");
    }
    assert_eq!(all(&lab).await, before.iter().filter(|row| row[0] == "acme").cloned().collect::<Vec<_>>());

    let sql = "INSERT INTO tickets (tenant_id, id, title) VALUES ('acme', :id, 'x')";
    let foreign = sources.compile("desk", sql, &["id"], true).expect("compiles");
    let error = run(&sources, "globex", &foreign, json!({"id": 99})).await.expect_err("foreign");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    run(&sources, "acme", &foreign, json!({"id": 99})).await.expect("its own");

    let own = sources
        .compile(
            "desk",
            "INSERT INTO tickets (id, title) VALUES (:id, :t) RETURNING tenant_id, id",
            &["id", "t"],
            true,
        )
        .expect("compiles");
    let made = run(&sources, "globex", &own, json!({"id": 7, "t": "it's"})).await.expect("runs");
    assert_eq!((made.json.as_str(), made.changed), (r#"[{"tenant_id":"globex","id":7}]"#, 1));
    let error = run(&sources, "globex", &own, json!({"id": 7, "t": "x"})).await.expect_err("twice");
    assert_eq!(error, DataError::Constraint(ConstraintKind::Unique));
    run(&sources, "globex", &own, json!({"id": 1, "t": "x"}))
        .await
        .expect("the id of another tenant is free");
}

/// The guard is awake: where the context sets something else, the policies show nothing, and a table without policies
/// shows everything.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_context_there_are_no_rows_and_without_the_policies_all_of_them() {
    let mut lab = Lab::rls().await;
    lab.settings.push_str("setting = \"app.other\"\n");
    assert_eq!(rows(&lab.open(), "acme", "SELECT id FROM tickets").await, json!([]));
    lab.settings = "isolation = \"rls\"".to_owned();
    let meant = |rule: &str| format!("{{ rule = \"{rule}\", reason = \"to see what it is for\" }}");
    let allow =
        format!("\nallow = [{}, {}]", meant("tenant-table-without-rls"), meant("policies-without-rls"));
    lab.settings.push_str(&allow);
    lab.sql("ALTER TABLE tickets DISABLE ROW LEVEL SECURITY").await;
    let seen = rows(&lab.open(), "acme", "SELECT count(*) AS n FROM tickets").await;
    assert_eq!(seen, json!([{"n": 20}]));
}

/// A connection as calls have it.
async fn conn(sources: &Sources) -> Conn {
    let source = source(sources);
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    let mut lease = source.pool.lease(Key::Shared, None, deadline).await.expect("a seat");
    let conn = lease.conn.take();
    match conn {
        Some(conn) => conn,
        None => source.open(None, &mut lease).await.expect("opens"),
    }
}

async fn ask(conn: &mut Conn, sql: &ContextSql, text: &str, writes: bool) -> Result<Rows, Failure> {
    let statement = postgres::Statement::unchecked("desk", text, writes);
    for pooled in [false, true] {
        let context = Context { source: "desk", sql, tenant: "acme", search_path: "public, pg_temp", pooled };
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        let ask = Ask { context, statement: &statement, values: &[], limits: limits(), deadline };
        if pooled || writes {
            return ask.run(conn).await;
        }
        ask.run(conn).await?;
    }
    panic!("the last one returns")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_the_context_stops_the_statement() {
    let lab = Lab::rls().await;
    let sources = lab.open();
    let mut conn = conn(&sources).await;
    let good = ContextSql::new("app.tenant");
    // A sequence is not rolled back: its value tells whether the statement ran.
    let count = async |lab: &Lab| lab.sql("SELECT last_value, is_called FROM seen").await[0].clone();
    let bad = ContextSql::new("app.tenant' || (1 / (SELECT 0))::text || '");
    for (text, writes) in [("SELECT nextval('seen') AS n", false), ("SELECT nextval('seen') AS n", true)] {
        let before = count(&lab).await;
        assert!(matches!(ask(&mut conn, &bad, text, writes).await, Err(Failure::Data(DataError::Value(_)))));
        assert_eq!(count(&lab).await, before, "the statement ran");
        assert!(conn.is_clean(), "the connection goes on");
    }
    // Another connection: on this one the other context is prepared.
    let mut conn = self::conn(&sources).await;
    ask(&mut conn, &good, "SELECT nextval('seen') AS n", true)
        .await
        .ok()
        .expect("with a good context it runs");
    assert_ne!(count(&lab).await, vec!["1", "f"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_statement_on_the_connection_sees_no_tenant() {
    let lab = Lab::rls().await;
    let sources = lab.open();
    let mut conn = conn(&sources).await;
    let context = ContextSql::new("app.tenant");
    let look = "SELECT current_setting('app.tenant', true), current_setting('transaction_read_only'), \
                (SELECT count(*) FROM tickets)::text, current_setting('statement_timeout')";
    for (text, writes) in [
        ("SELECT id FROM tickets", false),
        ("UPDATE tickets SET title = title", true),
        ("SELECT 1 / 0 AS x", false),
        ("SELECT 1 / 0 AS x", true),
    ] {
        let seen =
            ask(&mut conn, &context, "SELECT count(*) AS n FROM tickets", false).await.ok().expect("reads");
        assert_eq!(seen.json, r#"[{"n":10}]"#);
        let _done = ask(&mut conn, &context, text, writes).await;
        let left = statement::rows(&mut conn, look, &[]).await.expect("looks");
        let left: Vec<&str> = left[0].iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
        assert_eq!(left, ["", "on", "0", "30s"], "after {text}");
    }
}

/// What a statement could do if the checks at load time had not seen it.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_refuses_what_the_checks_would_have_and_what_is_left_behind_does_not_count() {
    let lab = Lab::rls_with("max_connections = 1").await;
    let sources = lab.open();
    for sql in [
        "INSERT INTO tickets (id, title) VALUES (50, 'x') RETURNING id",
        "UPDATE tickets SET title = 'x' RETURNING id",
        "SELECT set_config('transaction_read_only', 'off', true) AS x",
        "SELECT nextval('seen') AS x",
        "COMMIT",
        "ROLLBACK",
        "BEGIN",
        "SET app.tenant = 'globex'",
        "SET ROLE postgres",
        "CREATE TEMP TABLE tickets (id bigint)",
        "TRUNCATE tickets",
        "LISTEN x",
        "COPY tickets TO STDOUT",
        "SELECT 1; SELECT 2",
    ] {
        run(&sources, "acme", &unchecked(sql, false), json!({})).await.expect_err(sql);
        assert_eq!(
            rows(&sources, "acme", "SELECT count(*) AS n FROM tickets").await,
            json!([{"n": 10}]),
            "{sql}"
        );
        assert_eq!(
            rows(&sources, "globex", "SELECT count(*) AS n FROM tickets").await,
            json!([{"n": 10}]),
            "{sql}"
        );
    }
    // These do something, on the one connection that all share, and the next caller is not the less alone.
    for (sql, writes) in [
        ("SELECT set_config('app.tenant', 'globex', false) AS x", false),
        ("SELECT set_config('search_path', 'nowhere', false) AS x", false),
        ("SELECT set_config('statement_timeout', '1', false) AS x", false),
        ("SELECT set_config('default_transaction_read_only', 'off', false) AS x", false),
        ("SELECT set_config('search_path', 'nowhere', false) AS x", true),
        ("SELECT set_config('statement_timeout', '0', false) AS x", true),
        ("SELECT set_config('row_security', 'off', true) AS x", false),
        // The same, by ways that the check of the text knows: the server does what they say.
        ("SELECT U&\"set\\005fconfig\"('app.tenant', 'globex', false) AS x", false),
        (
            "SELECT query_to_xml('select set_config(''app.tenant'', ''globex'', false)', true, true, '') AS x",
            false,
        ),
        ("SELECT 1 AS x --\r, set_config('app.tenant', 'globex', false) AS y", false),
    ] {
        run(&sources, "acme", &unchecked(sql, writes), json!({})).await.expect(sql);
        assert_eq!(
            rows(&sources, "acme", "SELECT tenant_id, count(*) AS n FROM tickets GROUP BY 1").await,
            json!([{"tenant_id": "acme", "n": 10}]),
            "{sql}"
        );
        assert_eq!(rows(&sources, "nobody", "SELECT id FROM tickets").await, json!([]), "{sql}");
        // A read changes nothing, whatever the call before it has left.
        run(&sources, "acme", &unchecked("SELECT nextval('seen') AS x", false), json!({}))
            .await
            .expect_err(sql);
    }
    assert_eq!(sources.open_connections(), 1);
}

/// The ways out of the attack catalogue's section 9 for a tool that writes, past the checks of the text: the answer is no
/// answer of a statement that changes rows, so the connection is closed and whatever was left on it is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_writes_finds_no_way_out_either() {
    let lab = Lab::rls_with("max_connections = 1").await;
    let sources = lab.open();
    let before = all(&lab).await;
    for sql in [
        // DB-01, DB-02, DB-03: the setting, the transaction, the role.
        "SET app.tenant = 'globex'",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT a",
        "RESET ROLE",
        "SET ROLE postgres",
        "SET SESSION AUTHORIZATION postgres",
        // DB-06: what stays on a connection.
        "CREATE TEMP TABLE scratch AS SELECT * FROM tickets",
        "PREPARE p AS SELECT * FROM tickets",
        "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM tickets",
        "LISTEN x",
        // DB-08, DB-10, DB-11.
        "COPY tickets TO PROGRAM 'cat'",
        "COPY (SELECT 1) TO '/tmp/x'",
        "LOCK TABLE tickets IN ACCESS EXCLUSIVE MODE",
        "TRUNCATE tickets",
        "CREATE TEMP TABLE tickets (id bigint)",
        "EXPLAIN ANALYZE SELECT * FROM tickets",
    ] {
        run(&sources, "acme", &unchecked(sql, true), json!({})).await.expect_err(sql);
        for who in ["globex", "acme"] {
            let seen = rows(&sources, who, "SELECT DISTINCT tenant_id FROM tickets").await;
            assert_eq!(seen, json!([{ "tenant_id": who }]), "{sql}");
        }
        for left in ["SELECT * FROM scratch", "EXECUTE p", "FETCH ALL FROM c"] {
            run(&sources, "globex", &unchecked(left, false), json!({})).await.expect_err(left);
        }
    }
    assert_eq!(all(&lab).await, before);
}

/// DB-11: a temporary table that a function has left on the connection stands before no table.
#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_table_does_not_stand_before_a_real_one() {
    let lab = Lab::rls_with("max_connections = 1").await;
    lab.sql(
        "CREATE FUNCTION leave() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
            CREATE TEMP TABLE tickets (tenant_id text, id bigint, title text);
            INSERT INTO pg_temp.tickets VALUES ('acme', 1, 'planted'); RETURN 1; END $$",
    )
    .await;
    let sources = lab.open();
    let read =
        sources.compile("desk", "SELECT DISTINCT tenant_id FROM tickets", &[], false).expect("compiles");
    sources.loaded();
    run(&sources, "acme", &unchecked("SELECT leave() AS x", true), json!({})).await.expect("leaves it");
    let seen = run(&sources, "globex", &read, json!({})).await.expect("reads");
    assert_eq!(seen.json, r#"[{"tenant_id":"globex"}]"#);
    let planted = unchecked("SELECT title FROM pg_temp.tickets", false);
    let seen = run(&sources, "globex", &planted, json!({})).await.expect("the same connection");
    assert_eq!(seen.json, r#"[{"title":"planted"}]"#, "it was there all the time");
}

/// A role's own settings do not change how a text is read, which the check of the statement has relied on.
#[tokio::test(flavor = "multi_thread")]
async fn a_backslash_in_a_text_is_a_backslash_whatever_the_role_says() {
    let lab = Lab::rls().await;
    lab.sql(&format!("ALTER ROLE {}_app SET standard_conforming_strings = off", lab.name)).await;
    let sources = lab.open();
    let seen =
        rows(&sources, "acme", r"SELECT 'a\' AS a, current_setting('standard_conforming_strings') AS b")
            .await;
    assert_eq!(seen, json!([{"a": "a\\", "b": "on"}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_statement_is_an_error_of_the_configuration() {
    let lab = Lab::rls().await;
    let sources = lab.open();
    for (sql, params, writes, what) in [
        ("SELECT id FROM tickts", vec![], false, "\"tickts\" does not exist"),
        ("SELECT idd FROM tickets", vec![], false, "\"idd\" does not exist"),
        ("SELECT id FROM tickets WHERE id = :id", vec![], false, "`:id` is no argument"),
        ("SELECT id FROM tickets", vec!["id"], false, "`id` is not used"),
        ("SELECT id, id FROM tickets", vec![], false, "two columns are called `id`"),
        ("DELETE FROM tickets", vec![], false, "writes = true"),
        ("SELECT id FROM tickets WHERE id = ANY(:id", vec!["id"], false, "Expected"),
        ("@model", vec!["sql"], false, "isolation = \"schema\""),
    ] {
        let error = sources.compile("desk", sql, &params, writes).expect_err(sql);
        assert!(error.to_string().contains(what), "{sql}: {error}");
    }
    let sql =
        "SELECT id FROM tickets WHERE (:status IS NULL OR status = :status) ORDER BY id DESC LIMIT :limit";
    let good = sources.compile("desk", sql, &["status", "limit"], false).expect("compiles");
    sources.loaded();
    let got = run(&sources, "acme", &good, json!({"status": null, "limit": 2})).await.expect("runs");
    assert_eq!(got.json, r#"[{"id":10},{"id":9}]"#);
    let got = run(&sources, "acme", &good, json!({"status": "closed", "limit": 2})).await.expect("runs");
    assert_eq!(got.json, "[]");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_no_policy_holds_for_is_refused() {
    for attribute in ["SUPERUSER", "BYPASSRLS", "CREATEROLE", "REPLICATION"] {
        let lab = Lab::rls().await;
        lab.open();
        lab.sql(&format!("ALTER ROLE {}_app {attribute}", lab.name)).await;
        let error = lab.try_open(Default::default()).expect_err(attribute);
        assert!(error.to_string().contains("superuser"), "{error}");
    }
    let lab = Lab::rls().await;
    lab.sql(&format!("GRANT pg_read_all_data TO {}_app", lab.name)).await;
    assert!(lab.try_open(Default::default()).expect_err("a member").to_string().contains("member"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_changes_is_met_by_a_new_connection() {
    let lab = Lab::rls().await;
    let sources = lab.open();
    let star = sources.compile("desk", "SELECT * FROM tickets WHERE id = 1", &[], false).expect("compiles");
    run(&sources, "acme", &star, json!({})).await.expect("runs");
    lab.sql("ALTER TABLE tickets ADD COLUMN note text").await;
    let error = run(&sources, "acme", &star, json!({})).await.expect_err("other columns");
    assert!(error.to_string().contains("configuration was loaded"), "{error}");
    assert_eq!(rows(&sources, "acme", "SELECT count(note) AS n FROM tickets").await, json!([{"n": 0}]));
}
