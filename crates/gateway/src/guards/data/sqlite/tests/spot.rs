//! Reads on the spot: quick ones run on the caller's thread, and none of them holds it up.

use std::{
    cell::Cell,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::*;

fn on_the_spot(sources: &Sources) -> u64 {
    sources.sqlite("desk").on_the_spot.load(Ordering::Relaxed)
}

/// Counts up to `:to`: as quick or as slow as its argument says.
fn count(sources: &Sources) -> Statement {
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :to) SELECT count(*) AS c FROM n";
    sources.compile("desk", sql, &["to"], false).expect("compiles")
}

/// Calls until one call ran on the spot; a busy machine may make some of them slow.
async fn warm(sources: &Arc<Sources>, tenant: &str, statement: &Statement, given: &Value) {
    let before = on_the_spot(sources);
    for _ in 0..1_000 {
        run(sources, tenant, statement, given.clone()).await.expect("runs");
        if on_the_spot(sources) > before {
            return;
        }
    }
    panic!("no call of a thousand ran on the spot");
}

#[tokio::test]
async fn a_quick_read_runs_on_the_spot_and_sees_the_latest_rows() {
    let lab = Lab::new();
    let sources = lab.open();
    let sql = "SELECT id, title FROM tickets WHERE :id IS NULL OR id = :id ORDER BY id";
    let read = sources.compile("desk", sql, &["id"], false).expect("compiles");
    warm(&sources, "acme", &read, &json!({})).await;
    for n in 1..50 {
        let given = json!({"id": n, "title": format!("t{n}")});
        run(&sources, "acme", &insert(&sources), given).await.expect("writes");
        let got = run(&sources, "acme", &read, json!({"id": n})).await.expect("reads");
        assert_eq!(got.json, format!("[{{\"id\":{n},\"title\":\"t{n}\"}}]"));
        assert_eq!(rows(&sources, "globex", "SELECT count(*) AS n FROM tickets").await, json!([{"n": 0}]));
    }
    let before = on_the_spot(&sources);
    let few = QueryLimits { rows: 7, ..limits() };
    let permit = Permit::for_test("acme", 1);
    for _ in 0..1_000 {
        let got = sources.run(&permit, &read, &[], few).await.expect("reads");
        assert_eq!((got.count, got.truncated), (7, true));
    }
    assert!(on_the_spot(&sources) > before);
}

#[tokio::test]
async fn a_read_that_turns_slow_does_not_hold_up_another_tenant() {
    let lab = Lab::new();
    let sources = lab.open();
    let slow = count(&sources);
    let quick = sources.compile("desk", "SELECT count(*) AS n FROM tickets", &[], false).expect("compiles");
    let (acme, globex) = (Permit::for_test("acme", 1), Permit::for_test("globex", 1));
    sources.run(&globex, &quick, &[], limits()).await.expect("opened");
    for _ in 0..3 {
        warm(&sources, "acme", &slow, &json!({"to": 5})).await;
        let few = QueryLimits { time: Duration::from_secs(2), ..limits() };
        let given = args(json!({"to": 1_000_000_000_000_i64}));
        // This runtime has one thread: whoever holds it is alone.
        let ended = Cell::new(false);
        let turned = async {
            let error = sources.run(&acme, &slow, &given, few).await.expect_err("stopped");
            ended.set(true);
            error
        };
        let others = async {
            for _ in 0..20 {
                sources.run(&globex, &quick, &[], limits()).await.expect("reads");
            }
            ended.get()
        };
        let (error, too_late) = tokio::join!(turned, others);
        assert_eq!(error, DataError::TimedOut);
        assert!(!too_late, "the others waited for the slow one");
    }
}

#[tokio::test]
async fn a_statement_is_slow_for_those_whose_rows_make_it_so() {
    let lab = Lab::new();
    let sources = lab.open();
    let read = count(&sources);
    warm(&sources, "acme", &read, &json!({"to": 5})).await;
    let before = on_the_spot(&sources);
    for _ in 0..20 {
        let got = run(&sources, "globex", &read, json!({"to": 100_000})).await.expect("reads");
        assert_eq!(got.json, "[{\"c\":100000}]");
    }
    assert_eq!(on_the_spot(&sources), before, "never, since the first call was slow");
    warm(&sources, "acme", &read, &json!({"to": 5})).await;
}

#[tokio::test]
async fn what_one_step_may_take_long_for_never_runs_on_the_spot() {
    let lab = Lab::new();
    let computed = "CREATE TABLE computed (a TEXT, at INTEGER GENERATED ALWAYS AS (instr(a, 'x')));
        CREATE VIEW seen AS SELECT at FROM computed;";
    lab.migration("002_computed.sql", computed);
    let sources = lab.open();
    let given = json!({"id": 1, "title": "title"});
    run(&sources, "acme", &insert(&sources), given).await.expect("writes");
    let writes = on_the_spot(&sources);
    for sql in [
        "SELECT id FROM tickets WHERE title LIKE 't%'",
        "SELECT id FROM tickets WHERE title GLOB 't*'",
        "SELECT instr(title, 'tl') AS at FROM tickets",
        "SELECT replace(title, 't', 'd') AS other FROM tickets",
        "SELECT json_extract('{\"a\":1}', '$.a') AS a",
        "SELECT value FROM json_each('[1]')",
        "SELECT rowid FROM search WHERE search MATCH 'title'",
        "SELECT count(*) AS n FROM search",
        "SELECT id FROM places",
        "SELECT at FROM computed",
        "SELECT at FROM seen",
    ] {
        let statement = sources.compile("desk", sql, &[], false).expect(sql);
        for _ in 0..10 {
            run(&sources, "acme", &statement, json!({})).await.expect(sql);
        }
        assert_eq!(on_the_spot(&sources), writes, "{sql}");
    }
    let honest = "SELECT id, upper(title) AS t, (SELECT count(*) FROM log) AS n FROM open_tickets";
    let statement = sources.compile("desk", honest, &[], false).expect("compiles");
    warm(&sources, "acme", &statement, &json!({})).await;
}

#[tokio::test]
async fn a_long_value_is_read_where_there_is_time() {
    let lab = Lab::new();
    let sources = lab.open();
    let read = sources
        .compile("desk", "SELECT title FROM tickets WHERE id = :id", &["id"], false)
        .expect("compiles");
    for (id, length) in [(1, 10), (2, 300_000)] {
        let given = json!({"id": id, "title": "x".repeat(length)});
        run(&sources, "acme", &insert(&sources), given).await.expect("writes");
    }
    warm(&sources, "acme", &read, &json!({"id": 1})).await;
    let before = on_the_spot(&sources);
    let got = run(&sources, "acme", &read, json!({"id": 2})).await.expect("reads");
    assert_eq!(got.json.len(), "[{\"title\":\"\"}]".len() + 300_000);
    assert_eq!(on_the_spot(&sources), before);
    warm(&sources, "acme", &read, &json!({"id": 1})).await;
}

#[tokio::test]
async fn time_limits_and_sizes_hold_on_the_spot_too() {
    let lab = Lab::new();
    let sources = lab.open();
    let read = count(&sources);
    warm(&sources, "acme", &read, &json!({"to": 5})).await;
    let permit = Permit::for_test("acme", 1);
    let given = args(json!({"to": 5}));
    let late = QueryLimits { time: Duration::ZERO, ..limits() };
    assert_eq!(sources.run(&permit, &read, &given, late).await.expect_err("late"), DataError::TimedOut);
    warm(&sources, "acme", &read, &json!({"to": 5})).await;
    let small = QueryLimits { bytes: 5, ..limits() };
    assert_eq!(sources.run(&permit, &read, &given, small).await.expect_err("large"), DataError::TooLarge);
    warm(&sources, "acme", &read, &json!({"to": 5})).await;
    let begun = Instant::now();
    let wrong = args(json!({"to": [1]}));
    sources.run(&permit, &read, &wrong, limits()).await.expect_err("no such value");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_file_that_was_replaced_is_not_read_on_the_spot() {
    let lab = Lab::new();
    let sources = lab.open();
    let read = sources.compile("desk", "SELECT count(*) AS n FROM tickets", &[], false).expect("compiles");
    warm(&sources, "acme", &read, &json!({})).await;
    warm(&sources, "globex", &read, &json!({})).await;
    let (acme, away) = (lab.tenants().join("acme"), lab.tenants().join("away"));
    fs::rename(&acme, &away).expect("moved");
    std::os::unix::fs::symlink(lab.tenants().join("globex"), &acme).expect("linked");
    run(&sources, "acme", &read, json!({})).await.expect_err("another tenant's file");
    fs::remove_file(&acme).expect("unlinked");
    fs::rename(&away, &acme).expect("moved back");
    warm(&sources, "acme", &read, &json!({})).await;
}

#[test]
fn bound_values_do_not_make_a_statement_be_compiled_again() {
    use rusqlite::{StatementStatus, config::DbConfig};

    use crate::guards::data::sqlite::{authorize::Phase, connection::Conn};
    let conn = Conn::in_memory(Arc::default()).expect("opened");
    conn.own("CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT)").expect("made");
    let compiled_again = || {
        let sql = "SELECT id FROM t WHERE (:s IS NULL OR s = :s) ORDER BY id DESC LIMIT :n";
        conn.control().during(Phase::Own, || {
            let mut statement = conn.raw().prepare(sql).expect("compiles");
            for _ in 0..5 {
                let mut rows = statement.query((Option::<&str>::None, 20)).expect("runs");
                assert!(rows.next().expect("steps").is_none());
            }
            statement.get_status(StatementStatus::RePrepare)
        })
    };
    assert_eq!(compiled_again(), 0);
    // The setting is what keeps it from being so.
    conn.raw().set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, false).expect("set");
    assert!(compiled_again() > 0);
}
