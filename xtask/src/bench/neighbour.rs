//! `cargo xtask bench neighbour`: what a tenant notices of another one that sends twenty times its limit.

use anyhow::{Result, ensure};

use super::{
    Bench, Verdicts, quantile,
    site::{Site, WHOAMI},
};
use crate::{
    load::{Order, Outcome},
    proc,
    process::Running,
};

/// How many times its limit the noisy one sends.
const TIMES: u32 = 20;
/// The most that the quiet one's 99th percentile may grow by.
const MOST: f64 = 1.3;

/// The limits of both tenants, and how much the quiet one calls.
struct Case {
    name: &'static str,
    limit: u32,
    settings: &'static str,
    quiet_per_second: u32,
}

const CASES: [Case; 2] = [
    Case {
        name: "limit 500/s",
        limit: 500,
        settings: "[capacity]\nrequests_per_second = 500\nburst = 500\n",
        quiet_per_second: 250,
    },
    Case { name: "default limits (50/s)", limit: 50, settings: "", quiet_per_second: 45 },
];

pub(super) fn run(bench: &Bench) -> Result<bool> {
    let mut verdicts = Verdicts::default();
    for (number, case) in CASES.iter().enumerate() {
        let site = Site::new(
            &bench.program,
            bench.folder.join(number.to_string()),
            &[case.settings, WHOAMI].concat(),
        )?;
        let ids = ["quiet", "noisy"].map(str::to_owned);
        site.add_tenants(&ids)?;
        let tokens = site.tokens(&ids)?;
        let [quiet, noisy] = tokens.as_slice() else {
            continue;
        };
        let (server, _) = site.serve(quiet)?;
        measure(bench, case, &site, [quiet, noisy], &server, &mut verdicts)?;
    }
    Ok(verdicts.all_good())
}

fn measure(
    bench: &Bench,
    case: &Case,
    site: &Site,
    [quiet, noisy]: [&str; 2],
    server: &Running,
    verdicts: &mut Verdicts,
) -> Result<()> {
    let seconds = bench.plan.seconds;
    let calm = Order {
        address: site.address,
        token: quiet,
        per_second: case.quiet_per_second,
        connections: 8,
        seconds,
    };
    let flood =
        Order { token: noisy, per_second: case.limit * TIMES, connections: 64, seconds: seconds + 1, ..calm };
    let (mut alone, mut beside, mut flooded) = (Outcome::default(), Outcome::default(), Outcome::default());
    let mut busy = 0.0;
    for _ in 0..bench.plan.rounds {
        add(&mut alone, calm.start(true)?.outcome()?);
        let noise = flood.start(false)?;
        // The noise has begun when the quiet one begins, and goes on until it ends.
        std::thread::sleep(std::time::Duration::from_millis(300));
        let before = proc::cpu_us(server.id())?;
        add(&mut beside, calm.start(true)?.outcome()?);
        busy += (proc::cpu_us(server.id())? - before) / 1e6;
        add(&mut flooded, noise.outcome()?);
    }
    let per_second = |count: usize| count as f64 / (bench.plan.rounds as u64 * (seconds + 1)) as f64;
    println!(
        "\n{}: whoami, {} calls/s of one tenant; the other sends {}/s on 64 connections; {} rounds of {seconds} s",
        case.name, case.quiet_per_second, flood.per_second, bench.plan.rounds
    );
    println!(
        "the noisy one: {:.0}/s served, {:.0}/s refused, {:.0}/s not answered; the server's core was busy for {:.0} %",
        per_second(flooded.served),
        per_second(flooded.refused),
        per_second(flooded.failed),
        100.0 * busy / (bench.plan.rounds as u64 * seconds) as f64
    );
    println!("{:<14} {:>8} {:>8} {:>8} {:>8}", "the quiet one", "served", "p50 µs", "p99 µs", "max µs");
    let mut p99s = Vec::new();
    for (name, outcome) in [("alone", &alone), ("beside noise", &beside)] {
        ensure!(
            outcome.refused == 0 && outcome.failed == 0,
            "{name}: {} of the quiet tenant's calls were refused and {} failed, none should be",
            outcome.refused,
            outcome.failed
        );
        let at = |share| quantile(outcome.latencies_us.iter().copied(), share);
        let (p50, p99, most) = (at(0.5)?, at(0.99)?, at(1.0)?);
        println!("{name:<14} {:>8} {p50:>8.0} {p99:>8.0} {most:>8.0}", outcome.served);
        p99s.push(p99);
    }
    if let [alone, beside] = p99s.as_slice() {
        verdicts.at_most(&format!("{}: p99 beside noise", case.name), beside / alone, MOST, "× of alone");
    }
    Ok(())
}

fn add(total: &mut Outcome, own: Outcome) {
    total.served += own.served;
    total.refused += own.refused;
    total.failed += own.failed;
    total.latencies_us.extend(own.latencies_us);
}
