//! What the policies and the tenant of each call cost, in figures that `cargo xtask bench postgres` reads.

use std::time::Instant;

use super::{
    own::{Town, call},
    *,
};
use crate::guards::data::postgres::{
    exchange::{Ask, Context, ContextSql},
    pool::Key,
};

const TENANTS: usize = 1_000;
const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_secs(2);

const TABLES: &str = "
    CREATE TABLE plain (tenant_id text NOT NULL, id bigint NOT NULL, created_at timestamptz NOT NULL,
        severity int NOT NULL, title text NOT NULL, state text NOT NULL, PRIMARY KEY (tenant_id, id));
    INSERT INTO plain SELECT 't' || (random() * 999)::int, n, now() - random() * interval '30 days',
        (random() * 4)::int, 'alert ' || n || ' disk usage above threshold on host ' || n % 5000,
        CASE WHEN n % 3 = 0 THEN 'open' ELSE 'closed' END FROM generate_series(1, 1000000) n;
    CREATE INDEX ON plain (tenant_id, created_at DESC);
    CREATE TABLE alerts (LIKE plain INCLUDING ALL);
    INSERT INTO alerts SELECT * FROM plain;
    ALTER TABLE alerts ENABLE ROW LEVEL SECURITY;
    ALTER TABLE alerts FORCE ROW LEVEL SECURITY;
    CREATE POLICY own ON alerts TO APP USING (tenant_id = nullif(current_setting('app.tenant', true), ''));
    GRANT SELECT ON plain, alerts TO APP;";

/// Calls of one kind in one round: how many a second, and the 99th percentile in microseconds.
struct Round {
    rate: f64,
    p99: f64,
}

fn p99(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() * 99 / 100).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}

async fn round(source: &postgres::Source, statement: &Statement, tenants: bool, callers: usize) -> Round {
    let Compiled::Postgres(statement) = &statement.0 else { panic!("of PostgreSQL") };
    let sql = ContextSql::new("app.tenant");
    let begun = Instant::now();
    let caller = async |first: usize| {
        let mut times = Vec::new();
        for n in (first..).step_by(37) {
            let now = Instant::now();
            if now.duration_since(begun) > ROUND {
                break;
            }
            let id = tenant(&format!("t{}", n % TENANTS));
            let deadline = now + Duration::from_secs(10);
            let mut lease = source.pool.lease(Key::Shared, Some(&id), deadline).await.expect("a seat");
            if lease.conn.is_none() {
                lease.conn = Some(source.open(None, &mut lease).await.expect("opens"));
            }
            let conn = lease.conn.as_mut().expect("open");
            let context = Context {
                source: "desk",
                sql: &sql,
                tenant: id.as_str(),
                search_path: "\"public\", pg_temp",
                pooled: false,
            };
            let values = if tenants { Vec::new() } else { vec![Some(id.as_str().to_owned())] };
            let ask = Ask { context, statement, values: &values, limits: limits(), deadline };
            let done = if tenants { ask.run(conn).await } else { ask.plain(conn).await };
            assert_eq!(done.ok().expect("runs").count, 20);
            times.push(now.elapsed());
        }
        times
    };
    let times: Vec<Duration> =
        futures_util::future::join_all((0..callers).map(caller)).await.into_iter().flatten().collect();
    let rate = times.len() as f64 / begun.elapsed().as_secs_f64();
    Round { rate, p99: p99(times) }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::test]
#[ignore = "it measures for a minute and means something in a release build only: cargo xtask bench postgres"]
async fn newest_rows_of_a_tenant_with_policies_and_without() {
    let lab = Lab::empty(
        "isolation = \"rls\"\nallow = [{ rule = \"tenant-table-without-rls\", reason = \"what is measured against\" }]",
    )
    .await;
    lab.sql(&TABLES.replace("APP", &format!("{}_app", lab.name))).await;
    lab.sql("VACUUM ANALYZE").await;
    let sources = lab.open();
    let columns = "id, created_at, severity, title, state";
    let compile =
        |sql: String, params: &[&str]| sources.compile("desk", &sql, params, false).expect("compiles");
    let governed = compile(format!("SELECT {columns} FROM alerts ORDER BY created_at DESC LIMIT 20"), &[]);
    let plain = format!("SELECT {columns} FROM plain WHERE tenant_id = :t ORDER BY created_at DESC LIMIT 20");
    let plain = compile(plain, &["t"]);
    sources.loaded();
    let source = source(&sources);
    for callers in [1, 8] {
        let (mut rates, mut tails, mut shown) = (Vec::new(), Vec::new(), Vec::new());
        for turn in 0..=ROUNDS {
            let governed = round(source, &governed, true, callers).await;
            let plain = round(source, &plain, false, callers).await;
            // The first one warms up.
            if turn > 0 {
                rates.push(governed.rate / plain.rate);
                tails.push(governed.p99 / plain.p99);
                shown.push((governed, plain));
            }
        }
        let of = |pick: &dyn Fn(&(Round, Round)) -> f64| median(shown.iter().map(pick).collect());
        println!("measure rls/{callers}/rate {:.0}", of(&|(governed, _)| governed.rate));
        println!("measure plain/{callers}/rate {:.0}", of(&|(_, plain)| plain.rate));
        println!("measure rls/{callers}/p99 {:.0}", of(&|(governed, _)| governed.p99));
        println!("measure plain/{callers}/p99 {:.0}", of(&|(_, plain)| plain.p99));
        println!("measure ratio/{callers}/rate {:.3}", median(rates));
        println!("measure ratio/{callers}/p99 {:.3}", median(tails));
    }
}

#[tokio::test]
#[ignore = "it makes a thousand databases: cargo xtask bench postgres"]
async fn a_thousand_tenants_with_databases_of_their_own() {
    const CONNECTIONS: usize = 50;
    let town = Town::new("database", &format!("max_connections = {CONNECTIONS}")).await;
    let mut records = Vec::new();
    for n in 0..TENANTS {
        records.push(town.add(&format!("t{n}")).await);
    }
    let sources = town.open();
    let read =
        sources.compile("desk", "SELECT title FROM tickets WHERE id = 1", &[], false).expect("compiles");
    sources.loaded();
    let mut cold = Vec::new();
    let mut most = 0;
    for (n, record) in records.iter().enumerate() {
        let begun = Instant::now();
        let seen = call(&sources, record, &read, json!({})).await.expect("reads");
        cold.push(begun.elapsed());
        assert_eq!(seen.json, format!(r#"[{{"title":"ticket 1 of {}"}}]"#, record.id));
        if n % 50 == 0 {
            most = town.lab.connections().await.max(most);
        }
    }
    // All at once, some of them in each other's way.
    let calls = records.iter().map(|record| call(&sources, record, &read, json!({})));
    let (done, seen) = tokio::join!(futures_util::future::join_all(calls), async {
        let mut most = 0;
        for _ in 0..20 {
            most = town.lab.connections().await.max(most);
        }
        most
    });
    assert!(done.into_iter().all(|done| done.is_ok()));
    println!("measure database/connections {}", most.max(seen));
    println!("measure database/open {}", sources.open_connections());
    println!("measure database/cold-p99-ms {:.1}", p99(cold.clone()) / 1e3);
    println!(
        "measure database/cold-median-ms {:.1}",
        median(cold.iter().map(Duration::as_secs_f64).collect()) * 1e3
    );
}
