//! Values on their way in and out, and the limits of an answer.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn every_type_comes_out_exact() {
    let lab = Lab::rls().await;
    lab.sql(
        "CREATE TYPE mood AS ENUM ('happy', 'sad, or so'); CREATE DOMAIN small AS int CHECK (VALUE < 10);
        ALTER DATABASE current_db SET bytea_output = 'hex'"
            .replace("ALTER DATABASE current_db SET bytea_output = 'hex'", "")
            .as_str(),
    )
    .await;
    let sources = lab.open();
    let seen = rows(
        &sources,
        "acme",
        r#"SELECT true AS yes, 9007199254740993::bigint AS "big int", 1.10::numeric AS price, 'NaN'::float8 AS nan,
            1e20::float8 AS far, '2026-11-03 09:00:00.25+02'::timestamptz AS at, '2026-11-03 09:00'::timestamp AS local,
            '2026-11-03'::date AS day, 'infinity'::timestamptz AS never,
            '6f1c0f0e-8d1b-4e3c-9a55-0c1d2e3f4a5b'::uuid AS id, '{"b": [1, null], "a": "x"}'::jsonb AS doc,
            E'{"b":\n1}'::json AS raw, '\x00ff'::bytea AS bytes, NULL::text AS nothing, ARRAY['a,b', NULL, 'c"'] AS tags,
            ARRAY[[1, 2], [3, 4]] AS grid, ARRAY['happy', 'sad, or so']::mood[] AS moods, 'sad, or so'::mood AS mood,
            5::small AS small, '1 day 02:00'::interval AS span, '10.0.0.1'::inet AS host, int4range(1, 5) AS span2,
            ARRAY['2026-11-03 09:00+00'::timestamptz] AS times, E'\u2028"\\' AS odd"#,
    )
    .await;
    assert_eq!(
        seen,
        json!([{
            "yes": true, "big int": 9_007_199_254_740_993_i64, "price": 1.10, "nan": "NaN", "far": 1e20,
            "at": "2026-11-03T07:00:00.25+00:00", "local": "2026-11-03T09:00:00", "day": "2026-11-03",
            "never": "infinity", "id": "6f1c0f0e-8d1b-4e3c-9a55-0c1d2e3f4a5b", "doc": {"b": [1, null], "a": "x"},
            "raw": {"b": 1}, "bytes": "AP8=", "nothing": null, "tags": ["a,b", null, "c\""],
            "grid": [[1, 2], [3, 4]], "moods": ["happy", "sad, or so"], "mood": "sad, or so", "small": 5,
            "span": "1 day 02:00:00", "host": "10.0.0.1", "span2": "[1,5)",
            "times": ["2026-11-03T09:00:00+00:00"], "odd": "\u{2028}\"\\",
        }])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_go_in_as_values_and_never_as_sql() {
    let lab = Lab::rls().await;
    let sources = lab.open();
    let params = ["t", "n", "f", "b", "at", "id"];
    let sql = "SELECT :t::text AS t, :n::bigint AS n, :f::float8 AS f, :b::boolean AS b, :at::timestamptz AS at, :id::uuid AS id";
    let echo = sources.compile("desk", sql, &params, false).expect("compiles");
    let hostile = "'; DROP TABLE tickets; -- $1 \\ \u{1F980} %s";
    let given =
        json!({"t": hostile, "n": i64::MIN, "f": 0.1, "b": false, "at": "2026-11-03T09:00:00Z", "id": null});
    let got = run(&sources, "acme", &echo, given).await.expect("runs");
    assert_eq!(
        serde_json::from_str::<Value>(&got.json).unwrap(),
        json!([{"t": hostile, "n": i64::MIN, "f": 0.1, "b": false, "at": "2026-11-03T09:00:00+00:00", "id": null}])
    );
    for wrong in [
        json!({"n": "many"}),
        json!({"n": 1.5}),
        json!({"n": u64::MAX}),
        json!({"at": "yesterday, or so"}),
        json!({"id": "1"}),
        json!({"t": "a\0b"}),
        json!({"t": [1]}),
        json!({"x": 1}),
    ] {
        let error = run(&sources, "acme", &echo, wrong.clone()).await.expect_err(&wrong.to_string());
        assert_eq!(error.kind(), ErrorKind::Argument, "{wrong}: {error}");
        for value in ["many", "yesterday"] {
            assert!(!error.to_string().contains(value), "{error}");
        }
    }
    assert_eq!(rows(&sources, "acme", "SELECT count(*) AS n FROM tickets").await, json!([{"n": 10}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_bounded_by_rows_and_bytes_and_a_write_that_is_too_large_is_undone() {
    let lab = Lab::rls_with("max_connections = 2").await;
    let sources = lab.open();
    let permit = Permit::for_test("acme", 1);
    let many = sources.compile("desk", "SELECT id FROM tickets ORDER BY id", &[], false).expect("compiles");
    for (rows, count, truncated) in [(3, 3, true), (9, 9, true), (10, 10, false), (11, 10, false)] {
        let got = sources.run(&permit, &many, &[], QueryLimits { rows, ..limits() }).await.expect("runs");
        assert_eq!((got.count, got.truncated), (count, truncated), "{rows}");
        assert_eq!(serde_json::from_str::<Vec<Value>>(&got.json).unwrap().len(), count as usize);
    }
    // The server is asked for no more rows than are shown, and one: here there is no end of them.
    let endless = sources
        .compile("desk", "SELECT generate_series(1, 1000000000000) AS n", &[], false)
        .expect("compiles");
    let got =
        sources.run(&permit, &endless, &[], QueryLimits { rows: 3, ..short(5_000) }).await.expect("runs");
    assert_eq!((got.count, got.truncated), (3, true));
    let few = QueryLimits { bytes: 10_000, rows: 1_000_000, ..limits() };
    for sql in [
        "SELECT repeat('x', 20000) AS x",
        "SELECT repeat('x', 100000000) AS x",
        // The server makes all of them before it gives the first.
        "SELECT n FROM generate_series(1, 2000000) n",
    ] {
        let large = sources.compile("desk", sql, &[], false).expect("compiles");
        let error = sources.run(&permit, &large, &[], few).await.expect_err(sql);
        assert_eq!(error, DataError::TooLarge);
    }
    let sql = "UPDATE tickets SET title = repeat('x', 20000) RETURNING title";
    let write = sources.compile("desk", sql, &[], true).expect("compiles");
    assert_eq!(sources.run(&permit, &write, &[], few).await.expect_err("large"), DataError::TooLarge);
    let kept = rows(&sources, "acme", "SELECT count(*) AS n FROM tickets WHERE length(title) < 100").await;
    assert_eq!(kept, json!([{"n": 10}]));
    // More rows than are shown do not undo a write.
    let sql = "UPDATE tickets SET title = 'y' RETURNING id";
    let write = sources.compile("desk", sql, &[], true).expect("compiles");
    let done = sources.run(&permit, &write, &[], QueryLimits { rows: 2, ..limits() }).await.expect("runs");
    assert_eq!((done.count, done.truncated, done.changed), (2, true, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_told_apart_and_name_no_values() {
    let lab = Lab::rls().await;
    lab.sql(&format!(
        "CREATE TABLE parts (
            tenant_id text NOT NULL DEFAULT nullif(current_setting('app.tenant', true), ''), id int NOT NULL,
            ticket bigint, name text NOT NULL, PRIMARY KEY (tenant_id, id),
            FOREIGN KEY (tenant_id, ticket) REFERENCES tickets);
         ALTER TABLE parts ENABLE ROW LEVEL SECURITY; ALTER TABLE parts FORCE ROW LEVEL SECURITY;
         CREATE POLICY own ON parts TO {0}_app USING (tenant_id = nullif(current_setting('app.tenant', true), ''));
         GRANT SELECT, INSERT ON parts TO {0}_app",
        lab.name
    ))
    .await;
    let sources = lab.open();
    for (sql, wanted) in [
        (
            "INSERT INTO parts (id, ticket, name) VALUES (1, 77, 'secret')",
            DataError::Constraint(ConstraintKind::ForeignKey),
        ),
        (
            "INSERT INTO parts (id, ticket, name) VALUES (1, 1, NULL)",
            DataError::Constraint(ConstraintKind::NotNull),
        ),
        (
            "INSERT INTO tickets (id, title) VALUES (1, 'secret')",
            DataError::Constraint(ConstraintKind::Unique),
        ),
        (
            "INSERT INTO tickets (id, title, status) VALUES (88, 'x', 'secret')",
            DataError::Constraint(ConstraintKind::Check),
        ),
        ("UPDATE tickets SET id = title::bigint", DataError::Value("22P02".to_owned())),
        ("UPDATE tickets SET id = id / (id - id)", DataError::Value("22012".to_owned())),
        ("DELETE FROM parts WHERE id = 1", DataError::Refused(String::new())),
    ] {
        let statement = sources.compile("desk", sql, &[], true).expect(sql);
        let error = run(&sources, "acme", &statement, json!({})).await.expect_err(sql);
        match wanted {
            DataError::Refused(_) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{sql}: {error}"),
            wanted => assert_eq!(error, wanted, "{sql}"),
        }
        assert!(!error.to_string().contains("secret") && !error.to_string().contains("ticket 1"), "{error}");
    }
    assert_eq!(sources.open_connections(), 1, "an error of the server leaves the connection as it is");
}
