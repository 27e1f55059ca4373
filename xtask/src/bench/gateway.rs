//! `cargo xtask bench gateway`: the gateway beside a bare rmcp server, on one core, in alternating rounds.
//!
//! Both answer the same calls with the same content. The gateway also verifies a token, counts the tenant's allowance,
//! keeps each tenant's rows in a file of its own and writes the audit log; the bare server does none of it.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Result, ensure};

use super::{
    BUILD, Bench, Plan, Verdicts, median,
    site::{NO_LIMITS, Site, WHOAMI, pinned},
    wrk::{CONNECTIONS, Load, Sample, tokens_file},
};
use crate::{
    client::Client,
    process::{Running, must},
};

/// A tool, what its reply must have so often, and what is allowed beside the bare server.
pub(super) struct Measured {
    pub(super) tool: &'static str,
    pub(super) mark: &'static str,
    pub(super) times: usize,
    pub(super) least_requests: f64,
    pub(super) most_cpu: f64,
    pub(super) most_p99: f64,
}

const TOOLS: [Measured; 2] = [
    Measured {
        tool: "whoami",
        mark: r#""subject":"bench""#,
        times: 1,
        least_requests: 1.5,
        most_cpu: 0.6,
        most_p99: 1.0,
    },
    Measured {
        tool: "list_tickets",
        mark: r#""customer_id":"cus_"#,
        times: 20,
        least_requests: 1.0,
        most_cpu: 1.0,
        most_p99: 1.0,
    },
];

const LIST_TICKETS: &str = r#"
[data.desk]
driver = "sqlite"
migrations = "migrations"
[[tool]]
name = "list_tickets"
description = "Newest tickets first."
source = "desk"
sql = """
SELECT id, title, status, customer_id, created_at FROM tickets
WHERE (:status IS NULL OR status = :status) ORDER BY id DESC LIMIT :limit
"""
args.status = { type = "string", enum = ["open", "closed"], optional = true }
args.limit = { type = "integer", minimum = 1, maximum = 100, default = 20 }
"#;

/// A server under load.
pub(super) struct Target {
    name: &'static str,
    address: SocketAddr,
    token: String,
    tokens: PathBuf,
    server: Running,
}

pub(super) fn run(bench: &Bench) -> Result<bool> {
    let mut targets = vec![
        start_baseline(bench, None)?,
        start_tickets(&bench.root, &bench.program, bench.folder.join("gateway"), "partywall")?,
    ];
    if let Some(other) = &bench.plan.beside {
        targets.push(start_tickets(&bench.root, other, bench.folder.join("beside"), "beside")?);
    }
    let mut verdicts = Verdicts::default();
    for measured in &TOOLS {
        compare(bench, &targets, measured, &mut verdicts)?;
    }
    Ok(verdicts.all_good())
}

/// Loads the servers in turn; the first is the one that the others are measured by.
pub(super) fn compare(
    bench: &Bench,
    targets: &[Target],
    measured: &Measured,
    verdicts: &mut Verdicts,
) -> Result<()> {
    for target in targets {
        target.check(measured)?;
    }
    let mut samples: Vec<Vec<Sample>> = targets.iter().map(|_| Vec::new()).collect();
    for round in 0..=bench.plan.rounds {
        for (target, samples) in targets.iter().zip(&mut samples) {
            let seconds = if round == 0 { 2 } else { bench.plan.seconds };
            let sample = target.load(measured.tool).run(&bench.root, seconds)?;
            // The first round warms up.
            if round > 0 {
                samples.push(sample);
            }
        }
    }
    report(measured, targets, &samples, &bench.plan, verdicts)
}

/// Builds and starts the bare server, on a PostgreSQL server too if one is given.
pub(super) fn start_baseline(bench: &Bench, database: Option<&str>) -> Result<Target> {
    let mut baseline = Command::new("cargo");
    baseline.args(["build", "--release", "--locked", "--manifest-path", "bench/baseline/Cargo.toml"]);
    must(baseline.arg("--target-dir").arg(bench.results.join("bench")), BUILD)?;
    let folder = bench.folder.join("bare");
    fs::create_dir_all(&folder)?;
    let mut command = pinned(&bench.results.join("bench/release/partywall-bench-baseline"));
    command.envs(database.map(|url| ("BENCH_DATABASE", url)));
    let mut server = Running::start(command.arg(&folder).stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let address = server.first_line(Duration::from_secs(10))?.trim().parse()?;
    let tokens = folder.join("tokens");
    tokens_file(&tokens, &[])?;
    Ok(Target { name: "bare rmcp", address, token: String::new(), tokens, server })
}

fn start_tickets(root: &Path, program: &Path, folder: PathBuf, name: &'static str) -> Result<Target> {
    let site = Site::new(program, folder, &[NO_LIMITS, WHOAMI, LIST_TICKETS].concat())?;
    fs::create_dir(site.folder.join("migrations"))?;
    fs::copy(root.join("bench/tickets.sql"), site.folder.join("migrations/0001_tickets.sql"))?;
    start_gateway(&site, name)
}

/// The gateway with one tenant.
pub(super) fn start_gateway(site: &Site, name: &'static str) -> Result<Target> {
    let token = site.first_tenant()?;
    let tokens = site.folder.join("tokens");
    tokens_file(&tokens, std::slice::from_ref(&token))?;
    let (server, _) = site.serve(&token)?;
    Ok(Target { name, address: site.address, token, tokens, server })
}

impl Target {
    /// One call by hand: all servers must give the same content.
    fn check(&self, &Measured { tool, mark, times, .. }: &Measured) -> Result<()> {
        let reply = Client::connect(self.address)?.call(&self.token, tool, "{}")?;
        let structured = reply.body.split("\"structuredContent\":").nth(1).unwrap_or_default();
        let good = reply.status == 200 && structured.matches(mark).count() == times;
        ensure!(good, "{} answers {tool} with something else: {} {}", self.name, reply.status, reply.body);
        Ok(())
    }

    fn load<'l>(&'l self, tool: &'l str) -> Load<'l> {
        Load { tool, tokens: &self.tokens, server: self.server.id(), address: self.address }
    }
}

fn report(
    measured: &Measured,
    targets: &[Target],
    samples: &[Vec<Sample>],
    plan: &Plan,
    verdicts: &mut Verdicts,
) -> Result<()> {
    let tool = measured.tool;
    println!(
        "\n{tool}: medians of {} rounds of {} s; {CONNECTIONS} connections; revision 2026-07-28; one core for the server",
        plan.rounds, plan.seconds
    );
    println!("{:<12} {:>12} {:>16} {:>10}", "", "requests/s", "CPU µs/request", "p99 ms");
    let mut rows = Vec::new();
    for (target, samples) in targets.iter().zip(samples) {
        let of = |field: fn(&Sample) -> f64| median(samples.iter().map(field));
        let row = [of(|s| s.requests_per_second)?, of(|s| s.cpu_us)?, of(|s| s.p99_ms)?];
        let [requests, cpu, p99] = row;
        println!("{:<12} {requests:>12.0} {cpu:>16.1} {p99:>10.2}", target.name);
        rows.push((target.name, row));
    }
    let Some(((_, [bare, bare_cpu, bare_p99]), others)) = rows.split_first() else {
        return Ok(());
    };
    for (name, [requests, cpu, p99]) in others {
        let ratios = [requests / bare, cpu / bare_cpu, p99 / bare_p99];
        let [requests, cpu, p99] = ratios.map(|ratio| format!("x{ratio:.2}"));
        println!("{:<12} {requests:>12} {cpu:>16} {p99:>10}", format!("{name}/bare"));
    }
    if let [_, (_, [requests, cpu, p99]), ..] = rows.as_slice() {
        let beside = |what| format!("{tool}, {what} beside the bare server");
        verdicts.at_least(&beside("requests/s"), requests / bare, measured.least_requests, "×");
        verdicts.at_most(&beside("CPU"), cpu / bare_cpu, measured.most_cpu, "×");
        verdicts.at_most(&beside("p99"), p99 / bare_p99, measured.most_p99, "×");
    }
    Ok(())
}
