//! Time limits and cancellation: a statement stops, a write leaves nothing, the next caller finds a clean connection.

use std::time::Instant;

use super::*;

const FOREVER: &str = "SELECT count(*) AS n FROM generate_series(1, 1000000000000)";

fn endless_write() -> Statement {
    let sql = "INSERT INTO tickets (id, title) SELECT n, 'x' FROM generate_series(1000, 1000000000000) n";
    unchecked(sql, true)
}

async fn tickets(sources: &Arc<Sources>) -> Value {
    rows(sources, "acme", "SELECT count(*) AS n FROM tickets").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_limit_stops_reads_and_writes() {
    let lab = Lab::rls_with("max_connections = 2").await;
    let sources = lab.open();
    let permit = Permit::for_test("acme", 1);
    for statement in [unchecked(FOREVER, false), endless_write()] {
        let mut stopped = 0;
        for _ in 0..40 {
            let begun = Instant::now();
            let error = sources.run(&permit, &statement, &[], short(300)).await.expect_err("stopped");
            let took = begun.elapsed();
            // On a busy machine the limit ends before there is a connection: nothing was begun.
            if error == DataError::Busy {
                continue;
            }
            assert_eq!(error, DataError::TimedOut);
            assert!(took >= Duration::from_millis(250) && took < Duration::from_secs(3), "{took:?}");
            stopped += 1;
            if stopped == 2 {
                break;
            }
        }
        assert_eq!(stopped, 2);
    }
    lab.until_quiet().await;
    assert_eq!(tickets(&sources).await, json!([{"n": 10}]));
    assert!(sources.open_connections() <= 2 && lab.connections().await <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_is_stopped_on_the_server_and_rolled_back() {
    let lab = Lab::rls_with("max_connections = 1").await;
    let sources = lab.open();
    let permit = Permit::for_test("acme", 1);
    for statement in [unchecked(FOREVER, false), endless_write()] {
        for _ in 0..3 {
            let call = sources.run(&permit, &statement, &[], limits());
            assert!(tokio::time::timeout(Duration::from_millis(60), call).await.is_err());
            // There is one connection: the next call has to wait until the dropped one's is closed.
            let begun = Instant::now();
            assert_eq!(tickets(&sources).await, json!([{"n": 10}]));
            assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
            assert_eq!(sources.open_connections(), 1);
            lab.until_quiet().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_dropped_at_any_moment_never_disturb_the_next() {
    for settings in ["max_connections = 2", "max_connections = 2\npooler = true"] {
        let lab = Lab::rls_with(settings).await;
        let sources = lab.open();
        let permit = Permit::for_test("acme", 1);
        let sql = "INSERT INTO tickets (id, title) VALUES (:id, 'x') RETURNING id";
        let write = sources.compile("desk", sql, &["id"], true).expect("compiles");
        let read = sources.compile("desk", "SELECT tenant_id FROM tickets", &[], false).expect("compiles");
        let mut acknowledged = 0;
        for n in 0..200_u64 {
            let given = args(json!({"id": 1000 + n}));
            let call = sources.run(&permit, &write, &given, limits());
            if let Ok(done) = tokio::time::timeout(Duration::from_micros(n * 20), call).await {
                done.expect("undisturbed");
                acknowledged += 1;
            }
            let call = sources.run(&permit, &read, &[], limits());
            let _dropped = tokio::time::timeout(Duration::from_micros(n * 10), call).await;
            let others = run(&sources, "globex", &read, json!({})).await.expect("undisturbed");
            assert_eq!(others.json, json!(vec![json!({"tenant_id": "globex"}); 10]).to_string());
        }
        let kept = rows(&sources, "acme", "SELECT count(*) AS n FROM tickets WHERE id >= 1000").await;
        let kept = kept[0]["n"].as_u64().expect("a number");
        // A commit that had begun when its call was dropped stays; what was acknowledged always does.
        assert!(kept >= acknowledged && kept <= 200, "{kept} {acknowledged}");
        assert!(acknowledged > 0 && lab.connections().await <= 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenants_slow_calls_do_not_take_all_connections() {
    let lab = Lab::rls_with("max_connections = 4").await;
    let sources = lab.open();
    let slow = unchecked(FOREVER, false);
    let permit = Permit::for_test("acme", 1);
    let calls = (0..20).map(|_| sources.run(&permit, &slow, &[], short(1500)));
    let (slow, ()) = tokio::join!(futures_util::future::join_all(calls), async {
        for _ in 0..20 {
            let begun = Instant::now();
            assert_eq!(
                rows(&sources, "globex", "SELECT count(*) AS n FROM tickets").await,
                json!([{"n": 10}])
            );
            assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        }
        assert!(sources.open_connections() <= 4);
    });
    let kinds: Vec<ErrorKind> = slow.into_iter().map(|done| done.expect_err("too slow").kind()).collect();
    assert!(kinds.contains(&ErrorKind::TimedOut) && kinds.contains(&ErrorKind::Busy), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn forgetting_a_tenant_stops_its_statements() {
    let lab = Lab::rls().await;
    let sources = lab.open();
    tickets(&sources).await;
    let permit = Permit::for_test("acme", 1);
    let endless = endless_write();
    let (stopped, ()) = tokio::join!(sources.run(&permit, &endless, &[], limits()), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        sources.forget(&tenant("acme"));
    });
    assert_eq!(stopped.expect_err("stopped"), DataError::Cancelled);
    lab.until_quiet().await;
    assert_eq!(tickets(&sources).await, json!([{"n": 10}]));
}
