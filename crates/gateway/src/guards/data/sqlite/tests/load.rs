//! Many tenants, few files.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn many_tenants_in_turn_keep_the_number_of_open_files_bounded() {
    let lab = Lab::with("max_open_files = 16");
    let sources = lab.open();
    let read = sources.compile("desk", "SELECT title FROM tickets", &[], false).expect("compiles");
    let write = insert(&sources);
    for round in 0..2 {
        for n in 0..400 {
            let name = format!("t{n}");
            if round == 0 && n % 4 == 0 {
                let given = json!({"id": 1, "title": name});
                run(&sources, &name, &write, given).await.expect("written");
            }
            let got = run(&sources, &name, &read, json!({})).await.expect("read");
            match n % 4 {
                0 => assert_eq!(got.json, format!("[{{\"title\":\"{name}\"}}]")),
                _ => assert_eq!(got.json, "[]"),
            }
            assert!(sources.open_files() <= 16);
        }
        // Three descriptors a file.
        let open = descriptors(lab.dir.path());
        assert!(open > 0 && open <= 16 * 3, "{open}");
    }
    for n in 0..400 {
        sources.forget(&tenant(&format!("t{n}")));
    }
    assert_eq!(sources.open_files(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_calls_at_once_share_a_few_files() {
    let lab = Lab::with("max_open_files = 2");
    let sources = lab.open();
    let (read, write) = (
        sources.compile("desk", "SELECT count(*) AS n FROM tickets", &[], false).expect("compiles"),
        insert(&sources),
    );
    let calls = (0..200).map(|n| {
        let (sources, read, write) = (Arc::clone(&sources), read.clone(), write.clone());
        async move {
            let name = format!("t{}", n % 5);
            let given = json!({"id": null, "title": name});
            run(&sources, &name, &write, given).await.expect("written");
            run(&sources, &name, &read, json!({})).await.expect("read");
            assert!(sources.open_files() <= 2);
        }
    });
    futures_util::future::join_all(calls).await;
    for n in 0..5 {
        let count = rows(&sources, &format!("t{n}"), "SELECT count(*) AS n FROM tickets").await;
        assert_eq!(count, json!([{"n": 40}]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_tenants_slow_calls_do_not_take_all_files() {
    let lab = Lab::with("max_open_files = 4");
    let sources = lab.open();
    rows(&sources, "globex", "SELECT 1 AS one").await;
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS m FROM n";
    let slow = sources.compile("desk", sql, &[], false).expect("compiles");
    let permit = Permit::for_test("acme", 1);
    let few = QueryLimits { time: Duration::from_secs(2), ..limits() };
    let calls = futures_util::future::join_all((0..12).map(|_| sources.run(&permit, &slow, &[], few)));
    let other = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let begun = std::time::Instant::now();
        rows(&sources, "globex", "SELECT 1 AS one").await;
        begun.elapsed()
    };
    let (_, waited) = tokio::join!(calls, other);
    assert!(waited < Duration::from_millis(500), "{waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_tenants_in_turn() {
    let lab = Lab::with("max_open_files = 64");
    let sources = lab.open();
    let count = sources.compile("desk", "SELECT count(*) AS n FROM tickets", &[], false).expect("compiles");
    for n in 0..10_000 {
        run(&sources, &format!("t{n}"), &count, json!({})).await.expect("read");
        assert!(sources.open_files() <= 64);
    }
    // 256 are enough: three for each file, and 64 for what else a server needs.
    let open = descriptors(lab.dir.path());
    assert!(open > 0 && open <= 64 * 3, "{open}");
}
