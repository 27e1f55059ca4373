//! Calls of two tenants that start together, by a schedule that a seed makes and can make again.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{sync::Barrier, time::Instant};

use crate::{
    oracle::{Judged, judge},
    site::{Reading, Site},
    tally::Tally,
    target::Exchange,
};

/// The most rounds of one race.
const MOST_ROUNDS: usize = 20_000;

/// How often the two calls of a leak are made without any others, and for how long.
const PAIRS: u32 = 50;
const PAIRS_TIME: Duration = Duration::from_secs(2);

/// One call in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    /// Which of the two tenants.
    party: usize,
    /// Which of the readings.
    reading: usize,
    /// How much later than the round's start.
    delay: Duration,
}

/// How rounds are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Any tenant, any reading.
    Mixed,
    /// One call of this tenant, all others of the other, on the same reading.
    Flood(usize),
}

/// A source of rounds.
pub(crate) struct Schedule {
    chance: fastrand::Rng,
    width: usize,
    readings: usize,
    shape: Shape,
    /// The reading that the next round is about: each comes before any comes a second time.
    turn: usize,
}

impl Schedule {
    /// Rounds in which any tenant reads anything.
    pub(crate) fn mixed(mut chance: fastrand::Rng, width: usize, readings: usize) -> Self {
        let turn = chance.usize(0..readings.max(1));
        Self { chance, width: width.clamp(2, 64), readings, shape: Shape::Mixed, turn }
    }

    /// Rounds in which one tenant reads once and the other as often as there are places.
    pub(crate) fn flood(mut chance: fastrand::Rng, width: usize, readings: usize, alone: usize) -> Self {
        let turn = chance.usize(0..readings.max(1));
        Self { chance, width: width.clamp(2, 64), readings, shape: Shape::Flood(alone), turn }
    }

    fn round(&mut self) -> Vec<Step> {
        // Half of the rounds read one thing only: a race shows best between equal calls.
        let focus = self.chance.bool() || self.shape != Shape::Mixed;
        let same = self.turn % self.readings.max(1);
        self.turn += usize::from(focus);
        let spread = *self.chance.choice([0_u64, 0, 200, 1_000, 5_000].iter()).unwrap_or(&0);
        (0..self.width)
            .map(|place| {
                let party = match self.shape {
                    // Both are there in every round.
                    Shape::Mixed if place < 2 => place,
                    Shape::Mixed => self.chance.usize(0..2),
                    Shape::Flood(alone) if place == 0 => alone,
                    Shape::Flood(alone) => 1 - alone.min(1),
                };
                let other = self.chance.usize(0..self.readings.max(1));
                let reading = if focus { same } else { other };
                let delay = if spread == 0 { 0 } else { self.chance.u64(0..spread) };
                Step { party, reading, delay: Duration::from_micros(delay) }
            })
            .collect()
    }
}

/// Races until the time is up or something leaked, and notes what came of it.
pub(crate) async fn run(
    tally: &mut Tally,
    site: &Site,
    readings: &[&Reading],
    mut schedule: Schedule,
    time: Duration,
) {
    let end = Instant::now() + time.min(site.target.left());
    let (mut calls, mut foreign, mut rounds) = (0_usize, 0_usize, 0_usize);
    let mut pair = None;
    while Instant::now() < end && rounds < MOST_ROUNDS {
        rounds += 1;
        let steps = schedule.round();
        let exchanges = round(site, readings, &steps).await;
        for (place, (step, exchange)) in steps.iter().zip(&exchanges).enumerate() {
            let (Some(party), Some(reading)) = (site.parties.get(step.party), readings.get(step.reading))
            else {
                continue;
            };
            calls += 1;
            match judge(site, &party.tenant, reading, exchange) {
                Judged::Own => tally.held(),
                Judged::Foreign(evidence) => {
                    foreign += 1;
                    let mut shown = vec![evidence];
                    if let Some((other, exchange)) = partner(&steps, &exchanges, place) {
                        const WHY: &str = "the other tenant's call in the same round";
                        shown.push(site.redactor.evidence(exchange, WHY, ""));
                        pair = pair.or(Some([*step, other]));
                    }
                    tally.leak(shown);
                }
                Judged::Changed(why) => tally.doubt(format!("under the neighbour's calls, {why}")),
                // Rates are the target's right; what is refused shows nothing.
                Judged::Failed(_) if exchange.status() == 429 || exchange.status() == 503 => {}
                Judged::Failed(why) => tally.doubt(format!("a call was lost among the neighbour's: {why}")),
            }
        }
        // Some more rounds tell how often it happens.
        if foreign > 0 && rounds >= 30 {
            break;
        }
    }
    if foreign == 0 && calls > 0 {
        #[expect(clippy::cast_precision_loss, reason = "a number of calls is small")]
        let bound = 300.0 / calls as f64;
        tally.note(format!(
            "{calls} calls in {rounds} rounds: a leak in more than {bound:.3} % of calls would have shown."
        ));
    } else if calls > 0 {
        tally.note(format!("{foreign} of {calls} calls in {rounds} rounds were foreign."));
        if let Some(steps) = pair {
            alone(tally, site, readings, steps, end).await;
        }
    }
}

/// Whether the two calls that are shown are enough: they are made again, and nothing beside them.
async fn alone(tally: &mut Tally, site: &Site, readings: &[&Reading], mut steps: [Step; 2], end: Instant) {
    let end = end.max(Instant::now() + PAIRS_TIME.min(site.target.left()));
    let (mut rounds, mut foreign) = (0_u32, 0_u32);
    while rounds < PAIRS && Instant::now() < end {
        rounds += 1;
        let exchanges = round(site, readings, &steps).await;
        let met = steps.iter().zip(&exchanges).any(|(step, exchange)| {
            let (Some(party), Some(reading)) = (site.parties.get(step.party), readings.get(step.reading))
            else {
                return false;
            };
            matches!(judge(site, &party.tenant, reading, exchange), Judged::Foreign(_))
        });
        foreign += u32::from(met);
        // Which of the two comes first may matter.
        steps.reverse();
    }
    tally.note(if foreign > 0 {
        format!("The two calls that are shown are enough: alone they met in {foreign} of {rounds} rounds.")
    } else {
        format!("In {rounds} rounds of the two calls that are shown, and nothing else, they did not meet.")
    });
}

async fn round(site: &Site, readings: &[&Reading], steps: &[Step]) -> Vec<Exchange> {
    let barrier = Arc::new(Barrier::new(steps.len()));
    let calls = steps.iter().filter_map(|step| {
        let (party, reading) = (site.parties.get(step.party)?, readings.get(step.reading)?);
        let barrier = Arc::clone(&barrier);
        Some(async move {
            let request = reading.what.request(&party.caller).once();
            barrier.wait().await;
            if !step.delay.is_zero() {
                tokio::time::sleep(step.delay).await;
            }
            party.caller.send(request).await
        })
    });
    join_all(calls).await
}

/// A call of the other tenant in the same round, for the reader to compare with.
fn partner<'a>(steps: &[Step], exchanges: &'a [Exchange], place: usize) -> Option<(Step, &'a Exchange)> {
    let step = steps.get(place)?;
    let mut both = steps.iter().zip(exchanges);
    let (other, exchange) =
        both.find(|(other, _)| other.party != step.party && other.reading == step.reading)?;
    Some((*other, exchange))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_rounds_and_another_does_not() {
        let rounds = |seed| {
            let mut schedule = Schedule::mixed(fastrand::Rng::with_seed(seed), 8, 3);
            (0..20).map(|_| schedule.round()).collect::<Vec<_>>()
        };
        assert_eq!(rounds(7), rounds(7));
        assert_ne!(rounds(7), rounds(8));
        for round in rounds(7) {
            assert!(round.iter().any(|step| step.party == 0) && round.iter().any(|step| step.party == 1));
        }
        let mut schedule = Schedule::mixed(fastrand::Rng::with_seed(7), 4, 20);
        let focused = std::iter::from_fn(|| Some(schedule.round()))
            .filter(|round| round.iter().all(|step| step.reading == round[0].reading));
        let read: std::collections::BTreeSet<usize> =
            focused.take(20).map(|round| round[0].reading).collect();
        assert!(read.len() > 18, "by turns: {read:?}");
        let mut flood = Schedule::flood(fastrand::Rng::with_seed(7), 8, 3, 1);
        assert_eq!(flood.round().iter().filter(|step| step.party == 1).count(), 1);
    }
}
