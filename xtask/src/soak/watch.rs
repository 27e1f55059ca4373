//! What the server holds over time, and whether it grows.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::{
    bench::Verdicts,
    proc::{self, Held},
};

/// How much the second half of the run may add.
const MOST_MIB: f64 = 4.0;
const MOST_DESCRIPTORS: f64 = 8.0;
/// One for each statement under way (as many as files may be open) and for each wait for the disk (as many as there are
/// callers), and the workers. More come and go with the load, so it is not their growth that is looked at.
const MOST_THREADS: f64 = 32.0;
/// Rows of the table.
const ROWS: usize = 9;

/// Looks at a process every few seconds.
pub(super) struct Watch {
    start: Instant,
    time: Duration,
    every: Duration,
    samples: Vec<(f64, Held)>,
}

impl Watch {
    pub(super) fn new(time: Duration) -> Self {
        // A few hundred samples, at least one every five seconds.
        let every = (time / 300).clamp(Duration::from_millis(200), Duration::from_secs(5));
        Self { start: Instant::now(), time, every, samples: Vec::new() }
    }

    pub(super) fn is_over(&self) -> bool {
        self.start.elapsed() >= self.time
    }

    pub(super) fn look(&mut self, process: u32) -> Result<()> {
        let now = self.start.elapsed();
        let due = self.every * u32::try_from(self.samples.len()).unwrap_or(u32::MAX);
        if now >= due {
            self.samples.push((now.as_secs_f64(), proc::held(process)?));
        }
        Ok(())
    }

    pub(super) fn report(&self, verdicts: &mut Verdicts) -> Result<()> {
        ensure!(self.samples.len() >= 20, "only {} samples: too few to see a trend", self.samples.len());
        println!("\n| minute | resident MiB | descriptors | threads |\n|---|---|---|---|");
        for row in 0..ROWS {
            let at = row * (self.samples.len() - 1) / (ROWS - 1);
            let (seconds, held) = self.samples.get(at).context("a sample")?;
            println!(
                "| {:.1} | {:.1} | {} | {} |",
                seconds / 60.0,
                held.rss_kib / 1024.0,
                held.descriptors,
                held.threads
            );
        }
        println!();
        let growth = |of: fn(&Held) -> f64| {
            let later = self.samples.iter().skip(self.samples.len() / 2);
            added(&later.map(|(seconds, held)| (*seconds, of(held))).collect::<Vec<_>>())
        };
        verdicts.at_most(
            "memory added in the second half",
            growth(|held| held.rss_kib) / 1024.0,
            MOST_MIB,
            "MiB",
        );
        verdicts.at_most("descriptors added", growth(|held| held.descriptors), MOST_DESCRIPTORS, "");
        let threads = self.samples.iter().map(|(_, held)| held.threads).fold(f64::NAN, f64::max);
        verdicts.at_most("threads", threads, MOST_THREADS, "");
        Ok(())
    }
}

/// How much a line fitted through the points rises from the first to the last of them.
fn added(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let covariance: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let span = match (points.first(), points.last()) {
        (Some((first, _)), Some((last, _))) => last - first,
        _ => f64::NAN,
    };
    covariance / variance * span
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_told_from_noise() {
        let rising: Vec<_> = (0..100).map(|n| (f64::from(n), 5.0 + f64::from(n) * 2.0)).collect();
        assert!((added(&rising) - 198.0).abs() < 1e-6);
        let noisy: Vec<_> = (0..100).map(|n| (f64::from(n), f64::from(n % 2))).collect();
        assert!(added(&noisy).abs() < 0.1);
        assert!(added(&[]).is_nan());
    }
}
