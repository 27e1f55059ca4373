//! `cargo xtask bench scale`: many tenants beside few: memory, start, throughput, and what one change costs.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use super::{
    Bench, Verdicts, median, quantile,
    site::{NO_LIMITS, Site, WHOAMI},
    wrk::{Load, Sample, tokens_file},
};
use crate::{
    client::Client,
    proc,
    process::{Running, output},
};

/// How many tenants the other server has, and how many of each call in turn.
const FEW: usize = 4;
/// How many call once and are idle then: as many as are held in memory at once.
const USED: usize = 10_000;
/// How many changes are timed.
const CHANGES: usize = 20;

const MOST_KIB_PER_TENANT: f64 = 2.0;
const MOST_START_S: f64 = 2.0;
const LEAST_THROUGHPUT: f64 = 0.95;
const MOST_CHANGE_MS: f64 = 20.0;

/// A server with so many tenants.
struct Crowd {
    site: Site,
    ids: Vec<String>,
    tokens: Vec<String>,
    callers: PathBuf,
    server: Running,
    start: Duration,
}

impl Crowd {
    fn new(bench: &Bench, name: &str, tenants: usize, tokens: usize) -> Result<Self> {
        let site = Site::new(&bench.program, bench.folder.join(name), &[NO_LIMITS, WHOAMI].concat())?;
        let ids: Vec<String> = (0..tenants).map(|n| format!("tenant-{n:06}")).collect();
        let begun = Instant::now();
        site.add_tenants(&ids)?;
        println!("added {tenants} tenants in {:.2} s", begun.elapsed().as_secs_f64());
        let tokens = site.tokens(ids.get(..tokens.min(tenants)).unwrap_or_default())?;
        let callers = site.folder.join("callers");
        tokens_file(&callers, tokens.get(..FEW).unwrap_or_default())?;
        let first = tokens.first().map_or("", String::as_str);
        let (server, start) = site.serve(first)?;
        Ok(Self { site, ids, tokens, callers, server, start })
    }

    /// Resident memory once it has settled.
    fn rss_kib(&self) -> Result<f64> {
        std::thread::sleep(Duration::from_millis(500));
        proc::rss_kib(self.server.id())
    }

    fn load<'l>(&'l self, tokens: &'l PathBuf) -> Load<'l> {
        Load { tool: "whoami", tokens, server: self.server.id(), address: self.site.address }
    }
}

pub(super) fn run(bench: &Bench) -> Result<bool> {
    let mut verdicts = Verdicts::default();
    let few = Crowd::new(bench, "few", FEW, FEW)?;
    let many = Crowd::new(bench, "many", bench.plan.tenants, USED)?;
    println!();
    let n = bench.plan.tenants;
    verdicts.at_most(
        &format!("start to first reply, {n} tenants"),
        many.start.as_secs_f64(),
        MOST_START_S,
        "s",
    );
    println!("      start to first reply, {FEW} tenants: {:.2} s", few.start.as_secs_f64());

    let (small, registered) = (few.rss_kib()?, many.rss_kib()?);
    println!(
        "      resident: {:.1} MiB with {FEW} tenants, {:.1} MiB with {n}",
        small / 1024.0,
        registered / 1024.0
    );
    let each = (registered - small) / (n - FEW) as f64;
    verdicts.at_most("memory of each tenant registered and not used", each, MOST_KIB_PER_TENANT, "KiB");

    use_once(&many)?;
    let used = many.rss_kib()?;
    let each = (used - registered) / many.tokens.len() as f64;
    println!("      resident after {} of them called once: {:.1} MiB", many.tokens.len(), used / 1024.0);
    verdicts.at_most("memory of each tenant used once and idle", each, MOST_KIB_PER_TENANT, "KiB");

    throughput(bench, &few, &many, &mut verdicts)?;
    changes(&many, &mut verdicts)?;
    Ok(verdicts.all_good())
}

fn use_once(many: &Crowd) -> Result<()> {
    let mut client = Client::connect(many.site.address)?;
    for token in &many.tokens {
        let reply = client.call(token, "whoami", "{}")?;
        ensure!(reply.status == 200, "a tenant's first call is refused: {} {}", reply.status, reply.body);
    }
    Ok(())
}

fn throughput(bench: &Bench, few: &Crowd, many: &Crowd, verdicts: &mut Verdicts) -> Result<()> {
    let everybody = bench.folder.join("everybody");
    tokens_file(&everybody, &many.tokens)?;
    let loads = [few.load(&few.callers), many.load(&many.callers), many.load(&everybody)];
    let mut samples: Vec<Vec<Sample>> = loads.iter().map(|_| Vec::new()).collect();
    for round in 0..=bench.plan.rounds {
        for (load, samples) in loads.iter().zip(&mut samples) {
            let sample = load.run(&bench.root, if round == 0 { 2 } else { bench.plan.seconds })?;
            if round > 0 {
                samples.push(sample);
            }
        }
    }
    println!("\nwhoami, medians of {} rounds of {} s", bench.plan.rounds, bench.plan.seconds);
    println!("{:<34} {:>12} {:>16}", "", "requests/s", "CPU µs/request");
    let (n, used) = (many.ids.len(), many.tokens.len());
    let names = [
        format!("{FEW} tenants, all calling"),
        format!("{n} tenants, {FEW} calling"),
        format!("{n} tenants, {used} calling in turn"),
    ];
    let mut found = Vec::new();
    for (name, samples) in names.iter().zip(&samples) {
        let requests = median(samples.iter().map(|sample| sample.requests_per_second))?;
        let cpu = median(samples.iter().map(|sample| sample.cpu_us))?;
        println!("{name:<34} {requests:>12.0} {cpu:>16.1}");
        found.push(requests);
    }
    if let [few, many, everybody] = found.as_slice() {
        let what = format!("requests/s with {n} tenants beside {FEW}, as many callers");
        verdicts.at_least(&what, many / few, LEAST_THROUGHPUT, "×");
        println!("      with {used} callers in turn: {:.2} ×", everybody / few);
    }
    Ok(())
}

/// After a change of one tenant, how long the next call of another one takes.
fn changes(many: &Crowd, verdicts: &mut Verdicts) -> Result<()> {
    let mut client = Client::connect(many.site.address)?;
    let token = many.tokens.first().map_or("", String::as_str);
    let mut call = || -> Result<f64> {
        let begun = Instant::now();
        let reply = client.call(token, "whoami", "{}")?;
        ensure!(reply.status == 200, "a call is refused: {} {}", reply.status, reply.body);
        Ok(begun.elapsed().as_secs_f64() * 1e3)
    };
    let (mut calm, mut after) = (Vec::new(), Vec::new());
    for id in many.ids.iter().rev().take(CHANGES) {
        calm.push(call()?);
        output(&mut many.site.command(&["tenant", "suspend", id]))?;
        after.push(call()?);
    }
    println!(
        "\na call right after another tenant was suspended: median {:.2} ms (without a change {:.2} ms)",
        median(after.iter().copied())?,
        median(calm)?
    );
    verdicts.at_most("the slowest of them", quantile(after, 1.0)?, MOST_CHANGE_MS, "ms");
    Ok(())
}
