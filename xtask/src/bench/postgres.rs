//! PostgreSQL: what policies cost beside the same query without them, and many databases on few connections.

use std::{collections::BTreeMap, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};

use super::Verdicts;
use crate::{process::follow, servers::Postgres};

const TIME: Duration = Duration::from_secs(60 * 60);

/// The measurements are ignored tests, since they call what is not public; the server is the tests' own.
pub(super) fn run() -> Result<bool> {
    let server = Postgres::start()?;
    let mut found = BTreeMap::new();
    let mut command = Command::new("cargo");
    command.args([
        "test",
        "--release",
        "--package",
        "partywall-gateway",
        "--lib",
        "postgres::tests::measure",
    ]);
    command.args(["--", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("PARTYWALL_TEST_POSTGRES", &server.url);
    let good = follow(&mut command, TIME, |line| {
        let mut words = line.split(' ').skip_while(|word| *word != "measure").skip(1);
        if let (Some(name), Some(Ok(value))) = (words.next(), words.next().map(str::parse::<f64>)) {
            found.insert(name.to_owned(), value);
        }
    })?;
    ensure!(good, "the measurement failed, see above");
    let value = |name: &str| found.get(name).copied().with_context(|| format!("`{name}` was not measured"));
    let mut verdicts = Verdicts::default();
    for callers in [1, 8] {
        let what = format!("20 newest of 1,000,000 rows, {callers} at a time");
        let rate = value(&format!("ratio/{callers}/rate"))?;
        verdicts.at_least(&format!("{what}: calls with policies beside calls without"), rate, 0.85, "×");
        let tail = value(&format!("ratio/{callers}/p99"))?;
        verdicts.at_most(&format!("{what}: 99th percentile beside that without"), tail, 1.3, "×");
    }
    verdicts.at_most("1,000 databases: server connections", value("database/connections")?, 50.0, "");
    verdicts.at_most(
        "1,000 databases: cold first reply, 99th percentile",
        value("database/cold-p99-ms")?,
        100.0,
        "ms",
    );
    Ok(verdicts.all_good())
}
