//! `cargo xtask bench`: figures, each beside the limit that it has to keep.
//!
//! Servers run on core 0 and whatever loads them on core 1. What is compared takes turns, so that a slow minute of the
//! machine meets both; ratios are the result.

mod gateway;
mod neighbour;
mod postgres;
mod scale;
mod scan;
pub(crate) mod site;
mod start;
mod wrk;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    process::must,
    test::built,
    tools::{self, fresh_folder},
};

const BUILD: Duration = Duration::from_secs(60 * 60);

/// What was asked for.
pub(crate) struct Plan {
    rounds: usize,
    seconds: u64,
    tenants: usize,
    /// Another gateway to measure in the same rounds.
    beside: Option<PathBuf>,
    /// What the scanner reads.
    tree: Option<PathBuf>,
}

impl Plan {
    fn parse(scenario: &str, options: &[&str]) -> Result<Self> {
        let (rounds, seconds) = match scenario {
            "gateway" => (7, 5),
            _ => (5, 4),
        };
        let mut plan = Self { rounds, seconds, tenants: 100_000, beside: None, tree: None };
        for pair in options.chunks(2) {
            match pair {
                ["--rounds", number] => plan.rounds = number.parse().context("--rounds needs a number")?,
                ["--seconds", number] => plan.seconds = number.parse().context("--seconds needs a number")?,
                ["--tenants", number] => plan.tenants = number.parse().context("--tenants needs a number")?,
                ["--tree", path] => plan.tree = Some(Path::new(path).canonicalize()?),
                ["--beside", program] => plan.beside = Some(Path::new(program).canonicalize()?),
                _ => bail!(
                    "unknown option {pair:?}; there are --rounds N, --seconds N, --tenants N, --tree PATH and --beside PROGRAM"
                ),
            }
        }
        ensure!(plan.rounds > 0 && plan.seconds > 0, "at least one round of one second");
        ensure!(plan.tenants >= 100, "at least 100 tenants");
        Ok(plan)
    }
}

/// What every scenario needs.
pub(crate) struct Bench {
    root: PathBuf,
    /// Where build results are.
    results: PathBuf,
    /// For this run.
    folder: PathBuf,
    /// The gateway's program.
    program: PathBuf,
    plan: Plan,
}

/// Runs one scenario; whether everything kept its limit.
pub(crate) fn run(root: &Path, scenario: &str, options: &[&str]) -> Result<bool> {
    let plan = Plan::parse(scenario, options)?;
    ensure!(
        std::thread::available_parallelism()?.get() >= 2,
        "this needs two cores: one for servers, one for load"
    );
    tools::program("wrk", "wrk")?;
    tools::program("taskset", "util-linux")?;
    let results = built()?.join("..").canonicalize()?;
    let folder = fresh_folder(results.join("xtask/bench"))?;
    must(Command::new("cargo").args(["build", "--release", "--package", "partywall"]), BUILD)?;
    let program = results.join("release/partywall");
    let bench = Bench { root: root.to_owned(), results, folder, program, plan };
    let good = match scenario {
        "gateway" => gateway::run(&bench),
        "scale" => scale::run(&bench),
        "neighbour" => neighbour::run(&bench),
        "postgres" => postgres::run(&bench),
        "scan" => scan::run(&bench),
        "start" => start::run(&bench),
        _ => bail!(
            "there is no scenario `{scenario}`; there are gateway, scale, neighbour, postgres, scan and start"
        ),
    }?;
    std::fs::remove_dir_all(&bench.folder)?;
    Ok(good)
}

/// What was found, beside what is allowed.
#[derive(Default)]
pub(crate) struct Verdicts {
    failed: usize,
}

impl Verdicts {
    pub(crate) fn at_most(&mut self, what: &str, found: f64, most: f64, unit: &str) {
        self.say(found <= most, what, found, "at most", most, unit);
    }

    pub(crate) fn at_least(&mut self, what: &str, found: f64, least: f64, unit: &str) {
        self.say(found >= least, what, found, "at least", least, unit);
    }

    fn say(&mut self, good: bool, what: &str, found: f64, word: &str, limit: f64, unit: &str) {
        // A figure that could not be computed keeps no limit.
        if !good {
            self.failed += 1;
        }
        let mark = if good { "pass" } else { "FAIL" };
        println!("{mark}  {what}: {found:.2} {unit} ({word} {limit} {unit})");
    }

    pub(crate) fn all_good(&self) -> bool {
        self.failed == 0
    }
}

/// The middle value.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Result<f64> {
    quantile(values, 0.5)
}

/// The value that a share of all values does not exceed.
pub(crate) fn quantile(values: impl IntoIterator<Item = f64>, share: f64) -> Result<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * share) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().context("nothing was measured")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let values = || (1..=100).map(f64::from);
        assert_eq!(median(values()).unwrap(), 51.0);
        assert_eq!(quantile(values(), 0.99).unwrap(), 100.0);
        assert_eq!(quantile([7.0], 0.99).unwrap(), 7.0);
        assert!(median([]).is_err());
    }

    #[test]
    fn a_figure_that_is_none_fails() {
        let mut verdicts = Verdicts::default();
        verdicts.at_most("good", 1.0, 1.0, "");
        assert!(verdicts.all_good());
        verdicts.at_most("bad", f64::NAN, 1.0, "");
        verdicts.at_least("bad", 0.9, 1.0, "");
        assert_eq!(verdicts.failed, 2);
    }
}
