//! Time limits and cancellation: a statement stops, a write leaves nothing, the next caller finds a clean connection.

use std::time::Instant;

use super::*;

const FOREVER: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";

fn short(millis: u64) -> QueryLimits {
    QueryLimits { time: Duration::from_millis(millis), ..limits() }
}

/// Inserts rows without end, so that it can only be stopped.
fn endless_write(sources: &Arc<Sources>) -> Statement {
    let sql = format!("{FOREVER} INSERT INTO customers SELECT i, 'x' FROM n");
    sources.compile("desk", &sql, &[], true).expect("compiles")
}

fn endless_read(sources: &Arc<Sources>) -> Statement {
    let sql = format!("{FOREVER} SELECT max(i) AS m FROM n");
    sources.compile("desk", &sql, &[], false).expect("compiles")
}

async fn customers(sources: &Arc<Sources>) -> Value {
    rows(sources, "acme", "SELECT count(*) AS n FROM customers").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_limit_stops_reads_writes_and_sorting() {
    let lab = Lab::new();
    let sources = lab.open();
    customers(&sources).await;
    let permit = Permit::for_test("acme", 1);
    let sort = format!("{FOREVER} SELECT i FROM n WHERE i < 0 ORDER BY random()");
    let sort = sources.compile("desk", &sort, &[], false).expect("compiles");
    for statement in [endless_read(&sources), endless_write(&sources), sort] {
        for _ in 0..2 {
            let begun = Instant::now();
            let error = sources.run(&permit, &statement, &[], short(400)).await.expect_err("stopped");
            let took = begun.elapsed();
            assert_eq!(error, DataError::TimedOut);
            assert!(took >= Duration::from_millis(350) && took < Duration::from_secs(3), "{took:?}");
        }
    }
    assert_eq!(customers(&sources).await, json!([{"n": 0}]));
    run(&sources, "acme", &insert(&sources), json!({"id": 1, "title": "x"})).await.expect("writes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_is_stopped_and_rolled_back() {
    let lab = Lab::new();
    let sources = lab.open();
    customers(&sources).await;
    let permit = Permit::for_test("acme", 1);
    for statement in [endless_write(&sources), endless_read(&sources)] {
        for _ in 0..5 {
            let call = sources.run(&permit, &statement, &[], limits());
            let dropped = tokio::time::timeout(Duration::from_millis(60), call).await;
            assert!(dropped.is_err());
            // Waits for the writer's turn, which comes once the dropped write is undone.
            let begun = Instant::now();
            let given = json!({"id": null, "title": "x"});
            run(&sources, "acme", &insert(&sources), given).await.expect("writes");
            assert_eq!(customers(&sources).await, json!([{"n": 0}]));
            assert!(begun.elapsed() < Duration::from_secs(5));
        }
    }
    let kept = rows(&sources, "acme", "SELECT count(*) AS n FROM tickets").await;
    assert_eq!(kept, json!([{"n": 10}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_dropped_at_any_moment_never_disturb_the_next() {
    let lab = Lab::new();
    let sources = lab.open();
    let permit = Permit::for_test("acme", 1);
    let write = insert(&sources);
    let mut acknowledged = 0;
    for n in 0..300_u64 {
        let given = args(json!({"id": null, "title": "x"}));
        let call = sources.run(&permit, &write, &given, limits());
        if let Ok(done) = tokio::time::timeout(Duration::from_micros(n * 10), call).await {
            done.expect("undisturbed");
            acknowledged += 1;
        }
        customers(&sources).await;
    }
    let kept = rows(&sources, "acme", "SELECT count(*) AS n FROM tickets").await;
    let kept = kept[0]["n"].as_u64().expect("a number");
    // A commit that had begun when its call was dropped stays; what was acknowledged always does.
    assert!(kept >= acknowledged && kept <= 300, "{kept} {acknowledged}");
    assert_eq!(rows(&sources, "acme", "SELECT count(*) AS n FROM log").await, json!([{"n": kept}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_take_turns_and_readers_do_not_wait() {
    let lab = Lab::new();
    let sources = lab.open();
    customers(&sources).await;
    let (one, two) = (Permit::for_test("acme", 1), Permit::for_test("acme", 1));
    let endless = endless_write(&sources);
    let write = insert(&sources);
    let given = args(json!({"id": 1, "title": "x"}));
    let busy = sources.run(&one, &endless, &[], short(1500));
    let others = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let begun = Instant::now();
        assert_eq!(customers(&sources).await, json!([{"n": 0}]));
        assert!(begun.elapsed() < Duration::from_millis(500));
        let error = sources.run(&two, &write, &given, short(200)).await.expect_err("no turn");
        assert_eq!(error, DataError::Busy);
        // Another tenant's writer has a turn of its own.
        run(&sources, "globex", &write, json!({"id": 1, "title": "x"})).await.expect("writes");
        assert!(begun.elapsed() < Duration::from_millis(1200));
        sources.run(&two, &write, &given, limits()).await.expect("waits for its turn")
    };
    let (stopped, written) = tokio::join!(busy, others);
    assert_eq!(stopped.expect_err("stopped"), DataError::TimedOut);
    assert_eq!(written.changed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_that_holds_the_lock_makes_a_write_busy() {
    let lab = Lab::new();
    let sources = lab.open();
    customers(&sources).await;
    let other = rusqlite::Connection::open(lab.file("acme")).expect("open");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let permit = Permit::for_test("acme", 1);
    let write = insert(&sources);
    let given = args(json!({"id": 1, "title": "x"}));
    let begun = Instant::now();
    let error = sources.run(&permit, &write, &given, short(300)).await.expect_err("locked");
    assert_eq!(error, DataError::Busy);
    assert!(begun.elapsed() < Duration::from_secs(3));
    other.execute_batch("COMMIT").expect("unlocked");
    sources.run(&permit, &write, &given, short(2000)).await.expect("writes");
}

#[tokio::test(flavor = "multi_thread")]
async fn forgetting_a_tenant_stops_its_statements_and_closes_its_files() {
    let lab = Lab::new();
    let sources = lab.open();
    customers(&sources).await;
    rows(&sources, "globex", "SELECT 1 AS one").await;
    let permit = Permit::for_test("acme", 1);
    let endless = endless_write(&sources);
    let (stopped, ()) = tokio::join!(sources.run(&permit, &endless, &[], limits()), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        sources.forget(&tenant("acme"));
    });
    assert_eq!(stopped.expect_err("stopped"), DataError::Cancelled);
    assert_eq!(sources.open_files(), 1);
    assert_eq!(customers(&sources).await, json!([{"n": 0}]));
}
