//! PostgreSQL: what policies cost beside the same query without them, the whole gateway beside a bare server, and many
//! databases on few connections.

use std::{collections::BTreeMap, fs, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{
    Bench, Verdicts,
    gateway::{Measured, compare, start_baseline, start_gateway},
    site::{NO_LIMITS, Site, WHOAMI},
};
use crate::{process::follow, servers::Postgres};

const TIME: Duration = Duration::from_secs(60 * 60);

/// Twice the same million alerts of a thousand tenants: one for a role that is trusted with all of them, one behind
/// policies.
const TABLES: &str = "
    CREATE ROLE bare LOGIN PASSWORD 'test';
    CREATE ROLE app LOGIN PASSWORD 'test';
    CREATE SCHEMA plain;
    CREATE TABLE plain.alerts (tenant_id text NOT NULL, id bigint NOT NULL, created_at timestamptz NOT NULL,
        severity int NOT NULL, title text NOT NULL, state text NOT NULL, PRIMARY KEY (tenant_id, id));
    INSERT INTO plain.alerts SELECT CASE WHEN n % 1000 = 0 THEN 'acme' ELSE 't' || n % 1000 END, n,
        now() - random() * interval '30 days', n % 5,
        'alert ' || n || ' disk usage above threshold on host ' || n % 5000,
        CASE WHEN n % 3 = 0 THEN 'open' ELSE 'closed' END FROM generate_series(1, 1000000) n;
    CREATE INDEX ON plain.alerts (tenant_id, created_at DESC);
    CREATE TABLE public.alerts (LIKE plain.alerts INCLUDING ALL);
    INSERT INTO public.alerts SELECT * FROM plain.alerts;
    ALTER TABLE public.alerts ENABLE ROW LEVEL SECURITY;
    ALTER TABLE public.alerts FORCE ROW LEVEL SECURITY;
    CREATE POLICY own ON public.alerts TO app
        USING (tenant_id = nullif(current_setting('app.tenant', true), ''));
    GRANT USAGE ON SCHEMA plain TO bare;
    GRANT SELECT ON plain.alerts TO bare;
    GRANT SELECT ON public.alerts TO app;
    REVOKE TEMP ON DATABASE postgres FROM PUBLIC;
    VACUUM ANALYZE;";

const NEWEST: &str = r#"
[data.desk]
driver = "postgres"
url = "file:database-url"
isolation = "rls"
[[tool]]
name = "newest_alerts"
description = "Newest alerts first."
source = "desk"
sql = "SELECT id, severity, title, state FROM alerts ORDER BY created_at DESC LIMIT 20"
"#;

const MEASURED: Measured = Measured {
    tool: "newest_alerts",
    mark: "disk usage above threshold",
    times: 20,
    least_requests: 1.0,
    most_cpu: 1.0,
    most_p99: 1.3,
};

pub(super) fn run(bench: &Bench) -> Result<bool> {
    let mut verdicts = Verdicts::default();
    whole_gateway(bench, &mut verdicts)?;
    driver(&mut verdicts)?;
    Ok(verdicts.all_good())
}

/// A SQL tool of the whole gateway under policies, beside a bare server whose query has the tenant in its WHERE.
fn whole_gateway(bench: &Bench, verdicts: &mut Verdicts) -> Result<()> {
    let server = Postgres::start()?;
    server.sql(TABLES)?;
    let folder = bench.folder.join("gateway");
    let site = Site::new(&bench.program, folder, &[NO_LIMITS, WHOAMI, NEWEST].concat())?;
    fs::write(site.folder.join("database-url"), server.url_of("app"))?;
    let targets = [start_baseline(bench, Some(&server.url_of("bare")))?, start_gateway(&site, "partywall")?];
    compare(bench, &targets, &MEASURED, verdicts)
}

/// The measurements are ignored tests, since they call what is not public; the server is the tests' own.
fn driver(verdicts: &mut Verdicts) -> Result<()> {
    let server = Postgres::start()?;
    let mut found = BTreeMap::new();
    for (package, filter) in [
        ("partywall-gateway", "postgres::tests::measure"),
        ("partywall-postgres", "check::tests::five_hundred_tables"),
    ] {
        let mut command = Command::new("cargo");
        command.args(["test", "--release", "--package", package, "--lib", filter]);
        command.args(["--", "--ignored", "--nocapture", "--test-threads=1"]);
        command.env("PARTYWALL_TEST_POSTGRES", &server.url);
        let good = follow(&mut command, TIME, |line| {
            println!("{line}");
            let mut words = line.split(' ').skip_while(|word| *word != "measure").skip(1);
            if let (Some(name), Some(Ok(value))) = (words.next(), words.next().map(str::parse::<f64>)) {
                found.insert(name.to_owned(), value);
            }
        })?;
        ensure!(good, "the measurement of {package} failed, see above");
    }
    let value = |name: &str| found.get(name).copied().with_context(|| format!("`{name}` was not measured"));
    for callers in [1, 8] {
        let what = format!("20 newest of 1,000,000 rows, {callers} at a time");
        let rate = value(&format!("ratio/{callers}/rate"))?;
        verdicts.at_least(&format!("{what}: calls with policies beside calls without"), rate, 0.85, "×");
        let tail = value(&format!("ratio/{callers}/p99"))?;
        verdicts.at_most(&format!("{what}: 99th percentile beside that without"), tail, 1.3, "×");
    }
    for (name, what) in [("catalogue", "by the catalogue alone"), ("statements", "with statements tried")] {
        let what = format!("check of 500 tables and 500 views {what}, median");
        verdicts.at_most(&what, value(&format!("check/{name}-s"))?, 2.0, "s");
    }
    verdicts.at_most("1,000 databases: server connections", value("database/connections")?, 50.0, "");
    verdicts.at_most(
        "1,000 databases: cold first reply, 99th percentile",
        value("database/cold-p99-ms")?,
        100.0,
        "ms",
    );
    Ok(())
}
