//! Ways out of a tenant's file, each refused at load time and again by the connection itself, and their honest twins.

use super::*;
use crate::guards::data::sqlite::{authorize::Tables, connection::Conn};

/// Statements that must never run, as (changes data, SQL).
pub(super) const HOSTILE: [(bool, &str); 62] = [
    // Other files.
    (false, "ATTACH DATABASE '/tmp/other.sqlite' AS b"),
    (false, "ATTACH DATABASE ':memory:' AS b"),
    (false, "ATTACH DATABASE 'file:../globex/desk.sqlite?mode=ro' AS b"),
    (false, "DETACH DATABASE main"),
    (false, "VACUUM INTO '/tmp/copy.sqlite'"),
    (true, "VACUUM"),
    (false, "SELECT load_extension('/tmp/x.so') AS x"),
    (false, "SELECT fts3_tokenizer('simple') AS x"),
    (false, "SELECT readfile('/etc/passwd') AS x"),
    (true, "INSERT INTO tickets (title) SELECT writefile('/tmp/x', 'y')"),
    (false, "SELECT edit('x', 'vi') AS x"),
    (false, "SELECT name AS x FROM fsdir('/')"),
    // Settings.
    (false, "PRAGMA table_info(tickets)"),
    (false, "PRAGMA database_list"),
    (false, "PRAGMA data_version"),
    (false, "PRAGMA query_only = 0"),
    (false, "PRAGMA writable_schema = 1"),
    (false, "PRAGMA trusted_schema = 1"),
    (false, "PRAGMA foreign_keys = 0"),
    (false, "PRAGMA journal_mode = DELETE"),
    (false, "PRAGMA max_page_count = 1000000"),
    (false, "PRAGMA temp_store_directory = '/tmp'"),
    (false, "SELECT name AS x FROM pragma_table_info('tickets')"),
    (false, "SELECT file AS x FROM pragma_database_list"),
    (false, "SELECT count(*) AS x FROM pragma_database_list"),
    // The catalogue and our bookkeeping.
    (false, "SELECT sql AS x FROM sqlite_master"),
    (false, "SELECT sql AS x FROM sqlite_schema"),
    (false, "SELECT sql AS x FROM main.sqlite_schema"),
    (false, "SELECT sql AS x FROM temp.sqlite_temp_schema"),
    (false, "SELECT count(*) AS x FROM SQLITE_SCHEMA"),
    (false, "SELECT seq AS x FROM sqlite_sequence"),
    (false, "SELECT name AS x FROM dbstat"),
    (false, "SELECT tenant AS x FROM _partywall_owner"),
    (false, "SELECT name AS x FROM \"_PartyWall_Migrations\""),
    (false, "SELECT count(*) AS x FROM _partywall_seeds"),
    (true, "UPDATE _partywall_owner SET tenant = 'globex'"),
    (true, "DELETE FROM _partywall_migrations"),
    (true, "INSERT INTO _partywall_seeds VALUES ('x', 1)"),
    (true, "UPDATE sqlite_schema SET sql = 'x'"),
    (true, "DELETE FROM sqlite_sequence"),
    // The schema.
    (true, "CREATE TABLE x (a)"),
    (true, "CREATE TEMP TABLE tickets (a)"),
    (true, "CREATE TEMP VIEW tickets AS SELECT 1"),
    (true, "CREATE TABLE x AS SELECT * FROM tickets"),
    (true, "CREATE VIEW x AS SELECT 1"),
    (true, "CREATE INDEX x ON tickets (title)"),
    (true, "CREATE TRIGGER x AFTER INSERT ON log BEGIN DELETE FROM tickets; END"),
    (true, "CREATE TEMP TRIGGER x AFTER INSERT ON log BEGIN DELETE FROM tickets; END"),
    (true, "CREATE VIRTUAL TABLE x USING fts5(a)"),
    (true, "DROP TABLE tickets"),
    (true, "DROP VIEW open_tickets"),
    (true, "DROP TRIGGER tickets_log"),
    (true, "ALTER TABLE tickets RENAME TO t"),
    (true, "ALTER TABLE tickets ADD COLUMN x"),
    (true, "REINDEX"),
    (true, "ANALYZE"),
    // The transaction.
    (false, "BEGIN IMMEDIATE"),
    (false, "COMMIT"),
    (false, "ROLLBACK"),
    (false, "SAVEPOINT x"),
    // What earlier calls left.
    (false, "SELECT last_insert_rowid() AS x"),
    (false, "SELECT total_changes() AS x"),
];

#[tokio::test]
async fn every_hostile_statement_is_refused_at_load_time_and_by_the_connection() {
    let lab = Lab::new();
    let sources = lab.open();
    let seen = rows(&sources, "acme", "SELECT count(*) AS n FROM tickets").await;
    run(&sources, "acme", &insert(&sources), json!({"id": 1, "title": "kept"}))
        .await
        .expect("an honest write");
    for (writes, sql) in HOSTILE {
        for writes in [writes, !writes] {
            let error = sources.compile("desk", sql, &[], writes).expect_err(sql);
            assert!(matches!(error, DataError::Refused(_) | DataError::Configuration(_)), "{sql}: {error:?}");
            let unchecked = crate::guards::data::sqlite::Statement::unchecked("desk", sql, writes).into();
            let error = run(&sources, "acme", &unchecked, json!({})).await.expect_err(sql);
            assert!(matches!(error, DataError::Refused(_) | DataError::Internal(_)), "{sql}: {error:?}");
            assert_eq!(error.kind(), ErrorKind::Unavailable);
        }
    }
    assert_eq!(seen, json!([{"n": 0}]));
    let after = rows(&sources, "acme", "SELECT id, title FROM tickets").await;
    assert_eq!(after, json!([{"id": 1, "title": "kept"}]));
    assert!(!Path::new("/tmp/copy.sqlite").exists());
}

#[test]
fn the_authorizer_itself_refuses_and_not_only_the_checks_around_it() {
    let tables = Arc::new(Tables::new([("tickets".to_owned(), false)]));
    let conn = Conn::in_memory(tables).expect("a database");
    conn.own(
        "CREATE TABLE tickets (a UNIQUE); CREATE TABLE hidden (a); CREATE TABLE _partywall_owner (tenant)",
    )
    .expect("made");
    for sql in [
        "ATTACH DATABASE ':memory:' AS b",
        "DETACH DATABASE main",
        "PRAGMA query_only = 0",
        "PRAGMA data_version",
        "SELECT sql FROM sqlite_schema",
        "SELECT tenant FROM _partywall_owner",
        "SELECT count(*) FROM _PARTYWALL_OWNER",
        "SELECT a FROM hidden",
        "DELETE FROM hidden",
        "UPDATE hidden SET a = 1",
        "DROP TABLE tickets",
        "ALTER TABLE tickets ADD COLUMN b",
        "CREATE TABLE x (a)",
        "CREATE TEMP TABLE x (a)",
        "CREATE TEMP VIEW x AS SELECT 1",
        "ANALYZE",
        "REINDEX tickets",
        "BEGIN",
        "COMMIT",
        "SAVEPOINT x",
        "SELECT load_extension('x')",
        "SELECT fts3_tokenizer('simple')",
        "SELECT last_insert_rowid()",
        "SELECT sqlite_version()",
    ] {
        let text = conn.raw().prepare(sql).map(drop).expect_err(sql).to_string();
        let denied = text.contains("not authorized") || text.contains("prohibited");
        assert!(denied, "{sql}: {text}");
    }
    for sql in ["SELECT a FROM tickets", "DELETE FROM tickets", "SELECT count(*) FROM tickets"] {
        conn.raw().prepare(sql).map(drop).expect(sql);
    }
    // VACUUM is not asked about when it is compiled, but copies through ATTACH when it runs.
    let copy = std::env::temp_dir().join("partywall-vacuum-test");
    let sql = format!("VACUUM INTO '{}'", copy.display());
    conn.raw().execute_batch(&sql).expect_err("refused");
    assert!(!copy.exists());
}

#[tokio::test]
async fn honest_statements_of_every_shape_run() {
    let lab = Lab::new();
    let sources = lab.open();
    let reads = [
        "SELECT id, title FROM tickets",
        "SELECT count(*) AS n FROM tickets",
        "SELECT t.id, c.name FROM tickets t LEFT JOIN customers c ON c.id = t.customer ORDER BY t.id DESC LIMIT 5",
        "SELECT id FROM open_tickets",
        "WITH recent AS (SELECT id FROM tickets) SELECT count(*) AS n FROM recent",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT sum(i) AS s FROM n",
        "SELECT count(*) AS n FROM (SELECT 1 FROM tickets)",
        "SELECT status, count(*) AS n, max(id) OVER () AS m FROM tickets GROUP BY status, id",
        "SELECT value FROM json_each('[1,2]')",
        "SELECT rowid, title, snippet(search, 0, '<', '>', '', 5) AS s FROM search WHERE search MATCH 'hot' ORDER BY rank",
        "SELECT json_group_array(title) AS t, upper('a') AS u, strftime('%Y', 'now') > 2000 AS y FROM tickets",
        "VALUES (1)",
        "SELECT id FROM places WHERE west <= 1 AND east >= 1",
        "SELECT 1 AS one -- ; DROP TABLE tickets",
    ];
    let writes = [
        "INSERT INTO customers VALUES (1, 'a'), (2, 'b')",
        "INSERT INTO tickets (id, title, customer) VALUES (1, 'hot water', 1) RETURNING id, title, status",
        "INSERT INTO tickets (id, title) VALUES (1, 'y') ON CONFLICT (id) DO UPDATE SET title = excluded.title RETURNING title",
        "UPDATE tickets SET status = 'closed' WHERE id = 1",
        "WITH old AS (SELECT id FROM tickets) DELETE FROM log WHERE ticket NOT IN (SELECT id FROM old)",
        "INSERT INTO log (ticket, what) SELECT id, 'copied' FROM tickets",
        "REPLACE INTO customers VALUES (2, 'c')",
        "DELETE FROM customers WHERE id = 2",
        "INSERT INTO places VALUES (1, 0, 2)",
        "INSERT INTO search (search) VALUES ('rebuild')",
    ];
    for (sql, writes) in writes.map(|sql| (sql, true)).into_iter().chain(reads.map(|sql| (sql, false))) {
        let statement = sources.compile("desk", sql, &[], writes).expect(sql);
        run(&sources, "acme", &statement, json!({})).await.expect(sql);
    }
    let found = rows(&sources, "acme", "SELECT rowid, title FROM search WHERE search MATCH 'hot'").await;
    assert_eq!(found, json!([{"rowid": 1, "title": "hot water"}]));
    let logged = rows(&sources, "acme", "SELECT what FROM log ORDER BY id").await;
    assert_eq!(logged, json!([{"what": "created"}, {"what": "copied"}]));
}

#[test]
fn a_statement_is_what_it_is_declared_to_be() {
    let lab = Lab::new();
    let sources = lab.open();
    let cases: [(&str, &[&str], bool, &str); 17] = [
        ("SELECT id FROM tikcets", &[], false, "tikcets"),
        ("SELECT titel FROM tickets", &[], false, "titel"),
        ("SELECT \"titel\" FROM tickets", &[], false, "titel"),
        ("SELECT 1; SELECT 2", &[], false, "one statement"),
        ("SELECT 1; DROP TABLE tickets", &[], false, ""),
        ("SELECT 1\0; SELECT 2", &[], false, "NUL"),
        ("", &[], false, ""),
        ("-- nothing", &[], false, ""),
        ("SELECT id FROM tickets WHERE id = :id", &[], false, ":id"),
        ("SELECT id FROM tickets", &["id"], false, ":id"),
        ("SELECT id FROM tickets WHERE id = ?", &["id"], false, ":name"),
        ("SELECT id FROM tickets WHERE id = @id", &["id"], false, ":name"),
        ("DELETE FROM tickets", &[], false, "writes = true"),
        ("SELECT id FROM tickets", &[], true, "changes nothing"),
        ("SELECT id, title AS id FROM tickets", &[], false, "`id`"),
        ("EXPLAIN SELECT 1", &[], false, "EXPLAIN"),
        ("/* SELECT */ -- SELECT\n VACUUM", &[], true, "VACUUM"),
    ];
    for (sql, params, writes, part) in cases {
        let error = sources.compile("desk", sql, params, writes).expect_err(sql);
        assert!(error.to_string().contains(part), "{sql}: {error}");
    }
    let good = sources
        .compile(
            "desk",
            "-- x\n /* y */ select id, title FROM tickets WHERE id = :id OR :id IS NULL ;\n",
            &["id"],
            false,
        )
        .expect("compiles");
    assert_eq!(good.params(), ["id"]);
    assert_eq!(good.columns().as_ref(), ["id", "title"]);
    assert!(sources.compile("other", "SELECT 1", &[], false).is_err());
}

#[tokio::test]
async fn arguments_are_data_only() {
    let lab = Lab::new();
    let sources = lab.open();
    let echo = sources
        .compile("desk", "SELECT :text AS text, length(CAST(:text AS BLOB)) AS bytes", &["text"], false)
        .expect("compiles");
    let write = insert(&sources);
    let find = sources
        .compile("desk", "SELECT id FROM tickets WHERE title = :title", &["title"], false)
        .expect("compiles");
    let texts = [
        "'; DROP TABLE tickets; --",
        "' OR '1'='1",
        "\" OR 1=1 --",
        "%",
        "_",
        "a\0b",
        "\\",
        ":id",
        "?1",
        "${jndi:x}",
        "1; ATTACH 'x' AS y",
        "\u{202e}\u{feff}é😀",
        "\"}],{\"id\":2",
        "\n\r\t\u{1}",
    ];
    for (id, text) in (1..).zip(texts) {
        let back = run(&sources, "acme", &echo, json!({"text": text})).await.expect("runs");
        let back: Value = serde_json::from_str(&back.json).expect("JSON");
        assert_eq!(back, json!([{"text": text, "bytes": text.len()}]));
        let given = json!({"id": id, "title": text});
        run(&sources, "acme", &write, given).await.expect("written");
        let found = run(&sources, "acme", &find, json!({"title": text})).await.expect("found");
        assert_eq!(found.json, format!("[{{\"id\":{id}}}]"));
    }
    for bad in [json!({"text": [1]}), json!({"text": {}}), json!({"text": u64::MAX}), json!({"other": 1})] {
        let error = run(&sources, "acme", &echo, bad).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Argument);
    }
    // An argument that is left out is null, also after a call that gave it.
    let none = run(&sources, "acme", &echo, json!({})).await.expect("runs");
    assert_eq!(none.json, r#"[{"text":null,"bytes":null}]"#);
}

#[tokio::test]
async fn two_tenants_with_the_same_ids_see_their_own_rows_only() {
    let lab = Lab::new();
    let sources = lab.open();
    let write = insert(&sources);
    for name in ["acme", "globex", "Acme"] {
        let given = json!({"id": 1, "title": format!("of {name}")});
        run(&sources, name, &write, given).await.expect("the same id is free for each");
    }
    for name in ["acme", "globex", "Acme"] {
        let mine = rows(&sources, name, "SELECT id, title FROM tickets").await;
        assert_eq!(mine, json!([{"id": 1, "title": format!("of {name}")}]));
    }
    // A write without a condition changes the writer's rows only.
    let wipe = sources.compile("desk", "DELETE FROM tickets", &[], true).expect("compiles");
    assert_eq!(run(&sources, "acme", &wipe, json!({})).await.expect("runs").changed, 1);
    let other = rows(&sources, "globex", "SELECT title FROM tickets").await;
    assert_eq!(other, json!([{"title": "of globex"}]));
}

#[tokio::test]
async fn another_life_of_a_tenant_does_not_see_the_rows_of_the_first() {
    let lab = Lab::new();
    let sources = lab.open();
    let write = insert(&sources);
    run(&sources, "acme", &write, json!({"id": 1, "title": "old"})).await.expect("written");
    let all = sources.compile("desk", "SELECT title FROM tickets", &[], false).expect("compiles");
    let second = Permit::for_test("acme", 2);
    let error = sources.run(&second, &all, &[], limits()).await.expect_err("refused");
    assert!(error.to_string().contains("earlier tenant"), "{error}");
    // Removal closes the files and deletes the folder; the new life begins with nothing.
    sources.forget(&tenant("acme"));
    assert_eq!(sources.open_files(), 0);
    fs::remove_dir_all(lab.tenants().join("acme")).expect("removed");
    let fresh = sources.run(&second, &all, &[], limits()).await.expect("runs");
    assert_eq!(fresh.json, "[]");
}

#[test]
fn migrations_reach_no_other_file_and_leave_the_bookkeeping_alone() {
    for sql in [
        "ATTACH ':memory:' AS b",
        "VACUUM INTO '/tmp/copy.sqlite'",
        "SELECT load_extension('x')",
        "PRAGMA writable_schema = 1",
        "PRAGMA journal_mode = DELETE",
        "COMMIT",
        "VACUUM",
        "SAVEPOINT x",
        "CREATE TEMP TABLE x (a)",
        "CREATE TABLE _partywall_x (a)",
        "DELETE FROM _partywall_owner",
        "DROP TABLE _partywall_migrations",
        "ALTER TABLE _partywall_seeds RENAME TO x",
        "CREATE TRIGGER x AFTER INSERT ON _partywall_seeds BEGIN DELETE FROM tickets; END",
        "UPDATE sqlite_schema SET sql = 'x'",
        "CREATE VIRTUAL TABLE x USING dbstat",
        "SELECT 1 \0",
    ] {
        let lab = Lab::new();
        lab.migration("002_bad.sql", sql);
        let error = lab.try_open().expect_err(sql);
        assert!(matches!(error, DataError::Configuration(_)), "{sql}: {error:?}");
    }
    for sql in [
        "ALTER TABLE tickets ADD COLUMN more TEXT; CREATE INDEX by_more ON tickets (more); ANALYZE; REINDEX",
        "ALTER TABLE tickets RENAME TO issues",
        "ALTER TABLE tickets RENAME COLUMN title TO subject; UPDATE tickets SET subject = upper(subject)",
        "DROP TABLE search; DROP TRIGGER tickets_search; CREATE VIRTUAL TABLE boxes USING rtree(id, a, b)",
    ] {
        let lab = Lab::new();
        lab.migration("002_good.sql", sql);
        lab.try_open().expect(sql);
    }
}
