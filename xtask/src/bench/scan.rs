//! `cargo xtask bench scan --tree PATH`: how fast the scanner reads a tree on one core, beside its parsers alone, and how
//! much memory that takes; and how soon it is done with a small server.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result};

use super::{BUILD, Bench, Verdicts, median, site::pinned};
use crate::process::{must, output};

/// From how many megabytes on a tree tells what speed is; below, the start of the process does.
const BIG: f64 = 5.0;
const LEAST_MB_PER_SECOND: f64 = 20.0;
const LEAST_SHARE_OF_PARSING: f64 = 0.5;
const MOST_MEMORY: f64 = 15.0;
const MOST_SMALL_MS: f64 = 100.0;
/// A server that is in this repository.
const SMALL: &str = "lab/data/leaky";

/// What one run says of itself.
struct Run {
    megabytes: f64,
    seconds: f64,
    peak_mb: f64,
}

pub(super) fn run(bench: &Bench) -> Result<bool> {
    let tree = bench.plan.tree.as_deref().unwrap_or(Path::new("lab"));
    let mut build = Command::new("cargo");
    must(build.args(["build", "--release", "-p", "partywall-scanner", "--example", "speed"]), BUILD)?;
    let program = bench.results.join("release/examples/speed");
    let (mut scans, mut parses) = (Vec::new(), Vec::new());
    for round in 0..=bench.plan.rounds {
        for (what, runs) in [("scan", &mut scans), ("parse", &mut parses)] {
            let one = measure(&program, what, tree)?;
            // The first round brings the files into memory.
            if round > 0 {
                runs.push(one);
            }
        }
    }
    let of = |runs: &[Run], field: fn(&Run) -> f64| median(runs.iter().map(field));
    let size = of(&scans, |run| run.megabytes)?;
    let speed = of(&scans, |run| run.megabytes / run.seconds)?;
    let share = of(&parses, |run| run.seconds)? / of(&scans, |run| run.seconds)?;
    let code = of(&parses, |run| run.megabytes)?;
    println!(
        "\n{}: {size:.1} MB, {code:.1} MB of it code; medians of {} rounds on one core",
        tree.display(),
        bench.plan.rounds
    );
    let mut verdicts = Verdicts::default();
    if size >= BIG {
        verdicts.at_least("whole scan", speed, LEAST_MB_PER_SECOND, "MB/s");
        verdicts.at_least("speed beside parsing alone", share, LEAST_SHARE_OF_PARSING, "×");
        let memory = of(&scans, |run| run.peak_mb / run.megabytes)?;
        verdicts.at_most("most memory beside the source", memory, MOST_MEMORY, "×");
    } else {
        println!("whole scan: {speed:.1} MB/s, {share:.2} × parsing alone; name a larger tree with --tree");
    }
    let peak = of(&scans, |run| run.peak_mb)?;
    verdicts.at_most("most memory", peak, 1000.0, "MB");
    small(bench, &mut verdicts)?;
    Ok(verdicts.all_good())
}

fn measure(program: &Path, what: &str, tree: &Path) -> Result<Run> {
    let mut command = pinned(program);
    command.arg(what).arg(tree).env("RAYON_NUM_THREADS", "1").stdin(Stdio::null());
    let text = output(&mut command)?;
    let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [bytes, seconds, peak_kib] = numbers.as_slice() else {
        return Err(anyhow::anyhow!("{what} says `{}`", text.trim()));
    };
    Ok(Run { megabytes: bytes / 1e6, seconds: *seconds, peak_mb: peak_kib * 1024.0 / 1e6 })
}

/// The whole command, from its start to its end.
fn small(bench: &Bench, verdicts: &mut Verdicts) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..bench.plan.rounds.max(5) {
        let mut command = Command::new(&bench.program);
        command
            .args(["--quiet", "scan", "--fail-on", "never", "--format", "json", SMALL])
            .stdin(Stdio::null());
        let begun = Instant::now();
        output(&mut command).context("the small server")?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    verdicts.at_most(&format!("the whole command on {SMALL}"), median(times)?, MOST_SMALL_MS, "ms");
    Ok(())
}
