//! Times: whether one line of them is really longer than another.

use std::time::Duration;

/// What two lines of times differ by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Compared {
    /// How likely such a difference is where there is none.
    pub(crate) chance: f64,
    /// How far the medians lie apart.
    pub(crate) apart: Duration,
    /// The median of the second line.
    pub(crate) median: Duration,
}

/// The rank test of Mann and Whitney, by its normal approximation, both ways.
#[expect(clippy::cast_precision_loss, reason = "there are some hundred times")]
pub(crate) fn compare(one: &[Duration], other: &[Duration]) -> Compared {
    let mut all: Vec<(Duration, bool)> =
        one.iter().map(|time| (*time, true)).chain(other.iter().map(|time| (*time, false))).collect();
    all.sort();
    let (mut ranks, mut ties, mut below) = (0.0, 0.0, 0_usize);
    for group in all.chunk_by(|(a, _), (b, _)| a == b) {
        // Equal times share the mean of their ranks.
        let size = group.len() as f64;
        let rank = below as f64 + (size + 1.0) / 2.0;
        ranks += rank * group.iter().filter(|(_, first)| *first).count() as f64;
        ties += size.powi(3) - size;
        below += group.len();
    }
    let (n, m, total) = (one.len() as f64, other.len() as f64, all.len() as f64);
    let u = ranks - n * (n + 1.0) / 2.0;
    let spread = (n * m / 12.0 * ((total + 1.0) - ties / (total * (total - 1.0)).max(1.0))).sqrt();
    let z = if spread > 0.0 { ((u - n * m / 2.0).abs() - 0.5).max(0.0) / spread } else { 0.0 };
    let (a, b) = (median(one), median(other));
    Compared { chance: (2.0 * tail(z)).min(1.0), apart: a.abs_diff(b), median: b }
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The upper tail of the normal distribution (Abramowitz and Stegun 26.2.17).
fn tail(z: f64) -> f64 {
    let t = 1.0 / 0.231_641_9_f64.mul_add(z, 1.0);
    let density = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let series = [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    density * t * series.iter().rev().fold(0.0, |sum, factor| t.mul_add(sum, *factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(from: u64, chance: &mut fastrand::Rng) -> Vec<Duration> {
        (0..220).map(|_| Duration::from_micros(from + chance.u64(0..400))).collect()
    }

    #[test]
    fn a_difference_is_told_from_noise() {
        let mut chance = fastrand::Rng::with_seed(4);
        assert!((tail(1.96) - 0.025).abs() < 0.0001 && (tail(3.09) - 0.001).abs() < 0.0001);
        let differs = compare(&line(1_000, &mut chance), &line(1_200, &mut chance));
        assert!(differs.chance < 0.001 && differs.apart > Duration::from_micros(120), "{differs:?}");
        let low = (0..200)
            .filter(|_| compare(&line(1_000, &mut chance), &line(1_000, &mut chance)).chance < 0.01)
            .count();
        assert!(low < 8, "{low} of 200");
        let same = [Duration::from_micros(5); 30];
        assert!(compare(&same, &same).chance > 0.9);
    }
}
