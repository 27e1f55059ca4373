//! What comes out of a statement: values, limits, constraints, sizes.

use super::*;
use crate::guards::data::ConstraintKind;

#[tokio::test]
async fn values_are_written_as_json() {
    let lab = Lab::new();
    let sources = lab.open();
    let sql = "SELECT 9007199254740993 AS big, -9223372036854775808 AS least, 1.5 AS real, 1e999 AS inf, -1e999 AS ninf,
        NULL AS nil, x'00ff10' AS blob, CAST(x'61ff62' AS TEXT) AS broken, 'a\"b' AS \"q\"\"k\", 'é' AS é";
    let statement = sources.compile("desk", sql, &[], false).expect("compiles");
    let got = run(&sources, "acme", &statement, json!({})).await.expect("runs");
    assert_eq!(
        got.json,
        "[{\"big\":9007199254740993,\"least\":-9223372036854775808,\"real\":1.5,\"inf\":null,\"ninf\":null,\
         \"nil\":null,\"blob\":\"AP8Q\",\"broken\":\"a\u{fffd}b\",\"q\\\"k\":\"a\\\"b\",\"é\":\"é\"}]"
    );
    assert_eq!(got.columns.as_ref(), statement.columns().as_ref());
    assert_eq!((got.count, got.truncated, got.changed), (1, false, 0));
}

const COUNT: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :to)";

#[tokio::test]
async fn rows_beyond_the_limit_are_left_out_and_said_to_be() {
    let lab = Lab::new();
    let sources = lab.open();
    let sql = format!("{COUNT} SELECT i FROM n");
    let statement = sources.compile("desk", &sql, &["to"], false).expect("compiles");
    let permit = Permit::for_test("acme", 1);
    for (to, count, truncated) in [(2, 2, false), (3, 3, false), (4, 3, true), (1_000_000_000, 3, true)] {
        let few = QueryLimits { rows: 3, ..limits() };
        let got = sources.run(&permit, &statement, &args(json!({"to": to})), few).await.expect("runs");
        assert_eq!((got.count, got.truncated), (count, truncated), "{to}");
    }
    let none = QueryLimits { rows: 0, ..limits() };
    let got = sources.run(&permit, &statement, &args(json!({"to": 1})), none).await.expect("runs");
    assert_eq!((got.json.as_str(), got.truncated), ("[]", true));
}

#[tokio::test]
async fn a_result_larger_than_the_limit_is_refused() {
    let lab = Lab::new();
    let sources = lab.open();
    let statement =
        sources.compile("desk", "SELECT hex(zeroblob(:n)) AS x", &["n"], false).expect("compiles");
    let permit = Permit::for_test("acme", 1);
    let small = QueryLimits { bytes: 1000, ..limits() };
    for (n, fits) in [(10, true), (495, true), (496, false), (600_000, false), (2_000_000_000, false)] {
        let got = sources.run(&permit, &statement, &args(json!({"n": n})), small).await;
        match got {
            Ok(rows) => assert!(fits && rows.json.len() <= 1000, "{n}"),
            Err(error) => assert!(!fits && error == DataError::TooLarge, "{n}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn a_write_beyond_the_row_limit_stays_and_beyond_the_byte_limit_does_not() {
    let lab = Lab::new();
    let sources = lab.open();
    let sql = format!("{COUNT} INSERT INTO customers SELECT i, 'name' FROM n RETURNING id, name");
    let statement = sources.compile("desk", &sql, &["to"], true).expect("compiles");
    let permit = Permit::for_test("acme", 1);
    let given = args(json!({"to": 50}));
    let error = sources
        .run(&permit, &statement, &given, QueryLimits { bytes: 100, ..limits() })
        .await
        .expect_err("too large");
    assert_eq!(error, DataError::TooLarge);
    assert_eq!(rows(&sources, "acme", "SELECT count(*) AS n FROM customers").await, json!([{"n": 0}]));
    let got =
        sources.run(&permit, &statement, &given, QueryLimits { rows: 5, ..limits() }).await.expect("runs");
    assert_eq!((got.count, got.truncated, got.changed), (5, true, 50));
    assert_eq!(rows(&sources, "acme", "SELECT count(*) AS n FROM customers").await, json!([{"n": 50}]));
}

#[tokio::test]
async fn constraints_are_told_apart_and_name_no_values() {
    let lab = Lab::new();
    lab.migration(
        "002_guard.sql",
        "CREATE TRIGGER guard BEFORE UPDATE ON customers BEGIN SELECT RAISE(ABORT, 'canary: ' || old.name); END;",
    );
    let sources = lab.open();
    let setup = [
        "INSERT INTO customers VALUES (1, 'canary')",
        "INSERT INTO tickets (id, title, slug) VALUES (1, 'x', 'canary')",
    ];
    for sql in setup {
        let statement = sources.compile("desk", sql, &[], true).expect("compiles");
        run(&sources, "acme", &statement, json!({})).await.expect("runs");
    }
    for (sql, kind) in [
        ("INSERT INTO tickets (id, title) VALUES (1, 'y')", ConstraintKind::Unique),
        ("INSERT INTO tickets (title, slug) VALUES ('y', 'canary')", ConstraintKind::Unique),
        ("INSERT INTO tickets (title) VALUES (NULL)", ConstraintKind::NotNull),
        ("INSERT INTO tickets (title, status) VALUES ('y', 'canary')", ConstraintKind::Check),
        ("INSERT INTO tickets (title, customer) VALUES ('y', 99)", ConstraintKind::ForeignKey),
        ("UPDATE customers SET name = 'y'", ConstraintKind::Trigger),
    ] {
        let statement = sources.compile("desk", sql, &[], true).expect(sql);
        let error = run(&sources, "acme", &statement, json!({})).await.expect_err(sql);
        assert_eq!(error, DataError::Constraint(kind), "{sql}");
        assert_eq!(error.kind(), ErrorKind::Constraint(kind));
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
    assert_eq!(rows(&sources, "acme", "SELECT count(*) AS n FROM tickets").await, json!([{"n": 1}]));
}

#[tokio::test]
async fn a_full_file_refuses_writes_and_still_reads() {
    let lab = Lab::with("max_file_bytes = \"256KiB\"");
    let sources = lab.open();
    let write = insert(&sources);
    let mut written = 0;
    let error = loop {
        let given = json!({"id": written + 1, "title": "x".repeat(10_000)});
        match run(&sources, "acme", &write, given).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, DataError::Full);
    assert!((3..25).contains(&written), "{written}");
    let count = rows(&sources, "acme", "SELECT count(*) AS n FROM tickets").await;
    assert_eq!(count, json!([{"n": written}]));
    // Nobody else is affected, and deleting makes room.
    run(&sources, "globex", &write, json!({"id": 1, "title": "y"})).await.expect("another tenant writes");
    let wipe = sources.compile("desk", "DELETE FROM tickets WHERE id < 3", &[], true).expect("compiles");
    run(&sources, "acme", &wipe, json!({})).await.expect("deletes");
    run(&sources, "acme", &write, json!({"id": 1000, "title": "y"})).await.expect("writes again");
}

/// A reader that never ends keeps the log of changes from being begun anew; then it is the writer that waits.
#[tokio::test]
async fn the_log_of_changes_does_not_grow_for_ever_while_somebody_reads() {
    const MIB: u64 = 1 << 20;
    let lab = Lab::with("max_file_bytes = \"1MiB\"");
    let sources = lab.open();
    run(&sources, "acme", &insert(&sources), json!({"id": 1, "title": "x"})).await.expect("written");
    let reader = rusqlite::Connection::open(lab.file("acme")).expect("opens");
    let read = |sql: &str| reader.query_row(sql, [], |row| row.get::<_, String>(0)).expect("reads");
    reader.execute_batch("BEGIN").expect("begins");
    assert_eq!(read("SELECT title FROM tickets"), "x");
    let update = sources.compile("desk", "UPDATE tickets SET title = :title", &["title"], true);
    let (update, permit) = (update.expect("compiles"), Permit::for_test("acme", 1));
    let change = |n: usize| args(json!({"title": n.to_string().repeat(100_000)}));
    let short = QueryLimits { time: Duration::from_secs(2), ..limits() };
    let log = || fs::metadata(lab.file("acme").with_extension("sqlite-wal")).expect("there").len();
    let mut written = 0;
    let error = loop {
        match sources.run(&permit, &update, &change(written), short).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(log() < 20 * MIB, "after {written} changes");
    };
    assert_eq!(error, DataError::Busy);
    assert!(written > 20, "{written}");
    // Reads go on, and see all that was written.
    let now =
        rows(&sources, "acme", "SELECT count(*) AS n, max(length(title)) > 1 AS long FROM tickets").await;
    assert_eq!(now, json!([{"n": 1, "long": 1}]));
    assert_eq!(read("SELECT title FROM tickets"), "x");
    reader.execute_batch("COMMIT").expect("ends");
    sources.run(&permit, &update, &change(written), limits()).await.expect("written again");
    assert!(log() < MIB, "{}", log());
}

#[tokio::test]
async fn a_pattern_that_is_too_long_is_an_error_of_size() {
    let lab = Lab::new();
    let sources = lab.open();
    let sql = "SELECT id FROM tickets WHERE title LIKE '%' || :query || '%'";
    let statement = sources.compile("desk", sql, &["query"], false).expect("compiles");
    run(&sources, "acme", &insert(&sources), json!({"id": 1, "title": "abc"})).await.expect("written");
    let found = run(&sources, "acme", &statement, json!({"query": "b"})).await.expect("runs");
    assert_eq!(found.json, "[{\"id\":1}]");
    let error = run(&sources, "acme", &statement, json!({"query": "b".repeat(5000)})).await;
    assert_eq!(error.expect_err("too long"), DataError::TooLarge);
}

#[tokio::test]
async fn a_write_is_durable_once_it_is_acknowledged() {
    let lab = Lab::new();
    let sources = lab.open();
    run(&sources, "acme", &insert(&sources), json!({"id": 1, "title": "kept"})).await.expect("written");
    // What a killed process leaves: the files as they are now, with nothing closed.
    let copy = Lab::new();
    fs::create_dir_all(copy.tenants().join("acme")).expect("a folder");
    for end in ["", "-wal"] {
        let name = format!("desk.sqlite{end}");
        fs::copy(lab.tenants().join("acme").join(&name), copy.tenants().join("acme").join(&name))
            .expect("copied");
    }
    let kept = rows(&copy.open(), "acme", "SELECT title FROM tickets").await;
    assert_eq!(kept, json!([{"title": "kept"}]));
}
