//! SQL that a model writes, on the tenant's own file: what it may do, and each way out of it.

use super::{escapes::HOSTILE, *};

struct Desk {
    lab: Lab,
    sources: Arc<Sources>,
    read: Statement,
    write: Statement,
}

impl Desk {
    /// Two tenants with the same ids and a title of their own.
    async fn new() -> Self {
        let lab = Lab::new();
        let sources = lab.open();
        for name in ["acme", "globex"] {
            for id in 1..=3 {
                let given = json!({"id": id, "title": format!("{id} of {name}")});
                run(&sources, name, &insert(&sources), given).await.expect("written");
            }
        }
        let read = sources.compile("desk", "@model", &["sql"], false).expect("a model's");
        let write = sources.compile("desk", " @model\n", &["sql"], true).expect("a model's");
        Self { lab, sources, read, write }
    }

    async fn ask(&self, sql: &str) -> Result<Rows, DataError> {
        run(&self.sources, "acme", &self.read, json!({ "sql": sql })).await
    }

    async fn tell(&self, sql: &str) -> Result<Rows, DataError> {
        run(&self.sources, "acme", &self.write, json!({ "sql": sql })).await
    }

    async fn titles(&self, tenant: &str) -> Value {
        rows(&self.sources, tenant, "SELECT title FROM tickets ORDER BY id").await
    }

    /// Whatever was tried, both have what they had.
    async fn assert_untouched(&self, after: &str) {
        for name in ["acme", "globex"] {
            let all: Vec<_> = (1..=3).map(|id| json!({"title": format!("{id} of {name}")})).collect();
            assert_eq!(self.titles(name).await, Value::from(all), "{name}, after {after}");
        }
    }
}

#[tokio::test]
async fn a_model_reads_and_writes_the_tenants_own_rows() {
    let desk = Desk::new().await;
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2) \
               SELECT i, title FROM n JOIN tickets ON id = i ORDER BY i";
    let seen = desk.ask(sql).await.expect("reads");
    assert_eq!(seen.json, r#"[{"i":1,"title":"1 of acme"},{"i":2,"title":"2 of acme"}]"#);
    assert_eq!(seen.columns.as_ref(), ["i", "title"]);
    let other = run(&desk.sources, "globex", &desk.read, json!({ "sql": sql })).await.expect("reads");
    assert_eq!(other.json, seen.json.replace("acme", "globex"));
    // Both directions of "read-only unless said".
    let error = desk.ask("DELETE FROM tickets").await.expect_err("reads only");
    assert!(matches!(&error, DataError::Written(why) if why.contains("changes data")), "{error}");
    let error = desk.tell("SELECT 1 AS one").await.expect_err("writes only");
    assert!(matches!(&error, DataError::Written(why) if why.contains("changes nothing")), "{error}");
    desk.assert_untouched("a write by the tool that reads").await;
    // A write without a condition ends at the tenant's own rows.
    let done = desk.tell("UPDATE tickets SET title = 'x' RETURNING id").await.expect("writes");
    assert_eq!((done.changed, done.count), (3, 3));
    assert_eq!(desk.titles("acme").await, json!([{"title": "x"}, {"title": "x"}, {"title": "x"}]));
    assert_eq!(desk.titles("globex").await[0], json!({"title": "1 of globex"}));
}

#[tokio::test]
async fn every_way_out_fails_and_says_why() {
    let desk = Desk::new().await;
    let also = [
        // Out of the statement and of its transaction.
        (false, "SELECT 1 AS x; SELECT 2 AS x"),
        (false, "SELECT 1 AS x; ATTACH 'x' AS y"),
        (true, "COMMIT; DELETE FROM tickets"),
        (true, "ROLLBACK; BEGIN; DELETE FROM tickets"),
        // Plans, the connection's past, and who owns the file.
        (false, "EXPLAIN SELECT 1"),
        (false, "EXPLAIN QUERY PLAN SELECT * FROM tickets"),
        (false, "SELECT changes() AS x"),
        (false, "SELECT sqlite_source_id() AS x"),
        (false, "SELECT sqlite_compileoption_get(1) AS x"),
        // Another tenant's file by its place.
        (false, "SELECT title FROM globex.tickets"),
        (false, "SELECT title FROM \"../globex/desk.sqlite\".tickets"),
        (false, "SELECT :tenant AS x"),
        (false, "SELECT nothing FROM tickets"),
        (false, "SELECT id, id FROM tickets"),
        (false, "SELEC 1"),
        (false, ""),
        (false, "SELECT '\0' AS x"),
    ];
    for (writes, sql) in HOSTILE.into_iter().chain(also) {
        for tool in if writes { [&desk.write, &desk.read] } else { [&desk.read, &desk.write] } {
            let error = run(&desk.sources, "acme", tool, json!({ "sql": sql })).await.expect_err(sql);
            assert!(matches!(&error, DataError::Written(why) if !why.is_empty()), "{sql}: {error:?}");
            let told = error.to_string();
            assert!(!told.contains("of acme") && !told.contains("of globex"), "{sql}: {error}");
        }
    }
    desk.assert_untouched("every way out").await;
    assert!(!Path::new("/tmp/copy.sqlite").exists());
    assert_eq!(fs::read_dir(desk.lab.tenants()).expect("a folder").count(), 2);
}

#[tokio::test]
async fn the_tool_has_one_argument_which_is_a_text_of_bounded_length() {
    let desk = Desk::new().await;
    for params in [&[][..], &["text"], &["sql", "more"]] {
        let error = desk.sources.compile("desk", "@model", params, false).expect_err("one argument");
        assert!(error.to_string().contains("args.sql"), "{error}");
    }
    for wrong in [
        json!({}),
        json!({"sql": 1}),
        json!({"sql": null}),
        json!({"sql": "SELECT 1 AS x", "tenant": "globex"}),
    ] {
        let error = run(&desk.sources, "acme", &desk.read, wrong).await.expect_err("no statement");
        assert_eq!(error.kind(), ErrorKind::Argument);
    }
    let long = |length: usize| format!("SELECT 1 AS x{}", " ".repeat(length - 13));
    assert!(desk.ask(&long(64 << 10)).await.is_ok());
    let error = desk.ask(&long((64 << 10) + 1)).await.expect_err("too long");
    assert!(matches!(&error, DataError::Written(why) if why.contains("65536")), "{error}");
}

#[tokio::test]
async fn errors_of_rows_tell_no_values() {
    let desk = Desk::new().await;
    let error = desk.tell("INSERT INTO tickets (id, title) VALUES (1, 'again')").await.expect_err("twice");
    assert_eq!(error.kind(), ErrorKind::Constraint(crate::guards::data::ConstraintKind::Unique));
    for sql in ["SELECT abs(-9223372036854775808) AS x", "SELECT json_extract(title, '$') AS x FROM tickets"]
    {
        let error = desk.ask(sql).await.expect_err(sql);
        assert!(!error.to_string().contains("of acme"), "{sql}: {error}");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{sql}");
    }
    desk.assert_untouched("errors").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_asks_too_much_is_stopped_and_holds_nobody_up() {
    let desk = Desk::new().await;
    let endless =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS n FROM n";
    let sorted =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n ORDER BY -i";
    let permit = Permit::for_test("acme", 1);
    let short = QueryLimits { time: Duration::from_millis(600), ..limits() };
    let calls = [endless, sorted, endless, sorted].map(|sql| {
        let (desk, permit) = (&desk, &permit);
        async move { desk.sources.run(permit, &desk.read, &args(json!({ "sql": sql })), short).await }
    });
    let neighbour = async {
        let begun = std::time::Instant::now();
        assert_eq!(desk.titles("globex").await[0], json!({"title": "1 of globex"}));
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    };
    let (stopped, ()) = tokio::join!(futures_util::future::join_all(calls), neighbour);
    for done in stopped {
        let error = done.expect_err("endless");
        assert!(matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Busy), "{error:?}");
    }
    let large = "SELECT replace(hex(zeroblob(60000)), '0', hex(zeroblob(1000))) AS x";
    assert_eq!(desk.ask(large).await.expect_err("too large").kind(), ErrorKind::TooLarge);
    desk.assert_untouched("too much").await;
}

/// One row of so many values took a gigabyte and more before its length was looked at. (With the limit of a declared
/// statement this fails: the row is made, and is too large only as JSON.)
#[tokio::test]
async fn a_row_that_a_model_makes_up_does_not_take_the_memory_of_all() {
    let desk = Desk::new().await;
    let many = |count: usize, value: &str| {
        let columns: Vec<String> = (0..count).map(|n| format!("length({value}) + {n} AS c{n}")).collect();
        format!("SELECT {}", columns.join(", "))
    };
    let all = |count: usize, value: &str| {
        let values = vec![value; 50].join(", ");
        let rows = vec![format!("length(max({values}))"); count / 50].join(" + ");
        format!("SELECT {rows} AS x")
    };
    for sql in [many(1_000, "zeroblob(900000)"), all(2_000, "randomblob(900000)")] {
        let error = desk.ask(&sql).await.expect_err("too large");
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    }
    // What is not much in all fits, and so do one large value and a long text.
    for sql in [
        many(1_000, "randomblob(10000)"),
        all(2_000, "randomblob(5000)"),
        "SELECT hex(zeroblob(400000)) AS x".to_owned(),
        format!("SELECT '{}' AS x", "x".repeat(60_000)),
    ] {
        desk.ask(&sql).await.expect("fits");
    }
}
