//! How one tenant is served, alone and beside another's load.

use std::{
    future::Future,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use futures_util::future::{join, join_all};
use tokio::time::Instant;

use crate::{
    oracle::{Judged, judge},
    probes::attempt,
    site::{Party, Reading, Site},
    tally::Tally,
    target::{Caller, Exchange, Request},
};

/// What one tenant met.
#[derive(Default)]
pub(super) struct Met {
    /// How long answers took, sorted.
    pub(super) took: Vec<Duration>,
    /// How many calls were refused as too many.
    pub(super) limited: usize,
    /// How many calls failed otherwise.
    pub(super) failed: usize,
    /// One of those that were not served.
    pub(super) example: Option<Exchange>,
}

impl Met {
    pub(super) fn note(&mut self, exchange: Exchange) {
        if exchange.success().is_some() {
            self.took.push(exchange.took);
            return;
        }
        if matches!(exchange.status(), 429 | 503) {
            self.limited += 1;
        } else {
            self.failed += 1;
        }
        self.example = Some(exchange);
    }

    pub(super) fn calls(&self) -> usize {
        self.took.len() + self.limited + self.failed
    }

    /// How many of a hundred calls were not served.
    pub(super) fn refused(&self) -> usize {
        (self.limited + self.failed) * 100 / self.calls().max(1)
    }

    pub(super) fn at(&mut self, percent: usize) -> Duration {
        self.took.sort();
        let place = self.took.len().saturating_sub(1) * percent / 100;
        self.took.get(place).copied().unwrap_or_default()
    }

    pub(super) fn add(mut self, other: Self) -> Self {
        self.took.extend(other.took);
        self.limited += other.limited;
        self.failed += other.failed;
        self.example = other.example.or(self.example);
        self
    }
}

/// How often the quiet tenant calls.
const PACE: Duration = Duration::from_millis(30);

/// How long each part of a measurement goes on: a part of what one race may take.
pub(super) fn part(site: &Site) -> Duration {
    (site.plan.racing / 4).clamp(Duration::from_millis(300), Duration::from_millis(1_500))
}

/// Calls at a low rate; what is another's in an answer leaks.
pub(super) async fn calm(
    tally: &mut Tally,
    site: &Site,
    party: &Party,
    reading: &Reading,
    time: Duration,
) -> Met {
    let mut met = Met::default();
    let end = Instant::now() + time;
    let mut ticks = tokio::time::interval(PACE);
    while Instant::now() < end && !site.target.late() {
        ticks.tick().await;
        let exchange = party.caller.send(reading.what.request(&party.caller).once()).await;
        if let Judged::Foreign(evidence) = judge(site, &party.tenant, reading, &exchange) {
            tally.leak(vec![evidence]);
        }
        met.note(exchange);
    }
    met
}

/// What a neighbour's load did to a tenant.
#[derive(Debug, PartialEq, Eq)]
enum Effect {
    /// More of its calls were not served.
    Refused,
    /// Its answers came so much later that the machine alone does not explain it, and whose doing that is cannot be told.
    Slow {
        /// The 95th percentile in the worse of two calm parts.
        calm: Duration,
        /// The same beside the load.
        slow: Duration,
    },
    /// Nothing that could be seen.
    None,
}

/// What differs between two calm parts and one beside a load.
fn effect(alone: &mut Met, again: &mut Met, disturbed: &mut Met) -> Effect {
    let usual = alone.refused().max(again.refused());
    if disturbed.refused() > usual + 10 && disturbed.limited + disturbed.failed >= 3 {
        return Effect::Refused;
    }
    // On one machine both share a processor: ten times the worse of two calm parts is beyond what that explains.
    let (calm, slow) = (alone.at(95).max(again.at(95)), disturbed.at(95));
    if slow > calm * 10 && slow > Duration::from_millis(250) {
        return Effect::Slow { calm, slow };
    }
    Effect::None
}

/// A tenant's service alone, alone again, and beside a load of the other's, which ends with the third part.
pub(super) async fn beside<L: Future<Output = Met>>(
    tally: &mut Tally,
    site: &Site,
    (noisy, quiet): (&Party, &Party),
    reading: &Reading,
    load: L,
) -> Met {
    let time = part(site);
    let mut alone = calm(tally, site, quiet, reading, time).await;
    let mut again = calm(tally, site, quiet, reading, time).await;
    let (loud, mut disturbed) = join(load, calm(tally, site, quiet, reading, time)).await;
    let alive = disturbed.example.is_none() || recovers(site, quiet, reading).await;
    weigh(tally, site, (noisy, quiet), [&mut alone, &mut again, &mut disturbed], &loud, alive);
    loud
}

/// Whether the target answers a tenant at all, soon after a load has ended: who is dead then was not disturbed by the load only.
pub(super) async fn recovers(site: &Site, party: &Party, reading: &Reading) -> bool {
    for _ in 0..10 {
        if party.caller.send(reading.what.request(&party.caller).once()).await.is_alive() {
            return true;
        }
        if site.target.late() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    false
}

/// The reason where the target is dead after a load.
pub(super) fn dead(quiet: &Party) -> String {
    format!("{} is not served any more, with the load or without", quiet.tenant)
}

/// What a tenant met alone, alone again and beside a load of the other's. `alive` is whether the target answers it at all after that.
fn weigh(
    tally: &mut Tally,
    site: &Site,
    (noisy, quiet): (&Party, &Party),
    [alone, again, disturbed]: [&mut Met; 3],
    loud: &Met,
    alive: bool,
) {
    tally.control(alone.took.len() >= 5, &format!("{} alone is not served", quiet.tenant));
    let (usual, now) = (alone.refused().max(again.refused()), disturbed.refused());
    tally.note(format!(
        "{} met {now} % refusals instead of {usual} %, and a 95th percentile of {:?} instead of {:?} and {:?}, while {} made {} \
         calls, {} of them refused as too many.",
        quiet.tenant,
        disturbed.at(95),
        alone.at(95),
        again.at(95),
        noisy.tenant,
        loud.calls(),
        loud.limited
    ));
    match effect(alone, again, disturbed) {
        _ if !alive => tally.doubt(dead(quiet)),
        Effect::Refused => {
            let why = format!(
                "{now} % of {}'s calls were not served beside the load of {}, instead of {usual} %",
                quiet.tenant, noisy.tenant
            );
            let example = disturbed.example.as_ref();
            tally.leak(example.map(|example| attempt::shown(site, example, why)).into_iter().collect());
        }
        Effect::Slow { calm, slow } => {
            tally
                .doubt(format!("{}'s calls took {slow:?} instead of {calm:?} beside the load", quiet.tenant));
        }
        Effect::None => tally.held(),
    }
}

/// The longest that lanes go on for the sake of the least number of their calls.
const LONGEST: Duration = Duration::from_secs(4);

/// Requests in some lanes for one part, at most so many in all. A slow machine goes on until it has made a fifth of them, for
/// fewer load nothing.
pub(super) async fn lanes(
    site: &Site,
    party: &Party,
    most: u32,
    make: &(dyn Fn(usize) -> Request + Sync),
) -> Met {
    let width = u32::try_from(site.plan.concurrency.saturating_sub(1)).unwrap_or(8).clamp(2, 24);
    let time = part(site);
    let made = AtomicU32::new(0);
    // Connections are made before the time runs.
    let callers: Vec<Caller> = (0..width).map(|_| party.caller.afresh()).collect();
    let began = Instant::now();
    let lanes = join_all(callers.iter().enumerate().map(|(lane, caller)| {
        let made = &made;
        async move {
            let mut met = Met::default();
            let mut ticks =
                tokio::time::interval((time.saturating_mul(width) / most).max(Duration::from_millis(1)));
            let mut turn = 0;
            let goes_on = |made: u32| {
                let longer = made < most / 5 && began.elapsed() < LONGEST;
                (began.elapsed() < time || longer) && made < most && !site.target.late()
            };
            while goes_on(made.fetch_add(1, Ordering::Relaxed)) {
                ticks.tick().await;
                turn += 1;
                met.note(caller.send(make(lane * 10_000 + turn).once()).await);
            }
            met
        }
    }))
    .await;
    lanes.into_iter().fold(Met::default(), Met::add)
}

/// What a tenant reads in a measurement: what tells the tenants apart, if there is such a thing.
pub(super) fn reading_of<'a>(site: &'a Site, party: &'a Party) -> Option<&'a Reading> {
    site.telling().next().or_else(|| site.readings_of(&party.tenant).next().map(|(reading, _)| reading))
}

#[cfg(test)]
pub(super) mod tests {
    use partywall_model::Outcome;

    use super::*;
    use crate::oracle::known;

    /// So many calls that all met the same.
    pub(in crate::probes::capacity) fn all(calls: usize, exchange: &Exchange) -> Met {
        let mut met = Met::default();
        (0..calls).for_each(|_| met.note(exchange.clone()));
        met
    }

    /// Whatever it says instead of an answer, before the load, beside it, or from then on, is no isolation, and no effect of the load.
    #[tokio::test]
    async fn a_dead_target_is_neither_disturbed_nor_at_peace() {
        let mut site = known::site();
        site.plan.racing = Duration::from_millis(200);
        let [noisy, quiet] = &site.parties;
        let good = known::innocent(&site).remove(0).1;
        let outcome = |met: [&Exchange; 3], alive: bool| {
            let [mut alone, mut again, mut disturbed] = met.map(|exchange| all(40, exchange));
            let mut tally = Tally::default();
            let met = [&mut alone, &mut again, &mut disturbed];
            weigh(&mut tally, &site, (noisy, quiet), met, &all(400, &good), alive);
            tally.finish().0
        };
        for (what, exchange) in known::dead(&site) {
            assert_eq!(outcome([&exchange; 3], exchange.is_alive()), Outcome::Inconclusive, "{what}");
            assert_eq!(
                outcome([&exchange, &exchange, &good], true),
                Outcome::Inconclusive,
                "{what}, and then alive"
            );
            // A limit goes on after a load; nothing else that is no answer does.
            let limited = exchange.is_alive();
            let wanted = if limited { Outcome::Leaked } else { Outcome::Inconclusive };
            assert_eq!(outcome([&good, &good, &exchange], limited), wanted, "{what}, from the load on");
            assert_eq!(outcome([&good, &good, &exchange], true), Outcome::Leaked, "{what}, and well again");
        }
        assert_eq!(outcome([&good; 3], true), Outcome::Isolated);
        // The load and what is measured beside it, whole, against a target that is not there.
        let mut tally = Tally::default();
        let load = std::future::ready(Met::default());
        beside(&mut tally, &site, (noisy, quiet), &site.readings[0], load).await;
        assert_eq!(tally.finish().0, Outcome::Inconclusive);
    }

    fn met(served: u64, millis: u64, limited: usize, failed: usize) -> Met {
        let took = (0..served).map(|turn| Duration::from_millis(millis + turn % 3)).collect();
        Met { took, limited, failed, example: None }
    }

    #[test]
    fn a_load_is_felt_where_calls_are_lost_or_take_ten_times_as_long() {
        let effect = |disturbed: &mut Met| effect(&mut met(40, 5, 0, 0), &mut met(40, 8, 1, 0), disturbed);
        assert_eq!(effect(&mut met(20, 5, 20, 0)), Effect::Refused);
        assert_eq!(effect(&mut met(20, 5, 0, 20)), Effect::Refused);
        assert_eq!(effect(&mut met(0, 0, 0, 12)), Effect::Refused);
        let (calm, slow) = (Duration::from_millis(10), Duration::from_millis(402));
        assert_eq!(effect(&mut met(40, 400, 0, 0)), Effect::Slow { calm, slow });
        // A machine that is busy, a call that is lost anyway, and a target that serves as before.
        for mut calm in [met(40, 80, 0, 0), met(40, 5, 2, 0), met(40, 5, 0, 0), met(4, 5, 0, 1)] {
            assert_eq!(effect(&mut calm), Effect::None);
        }
    }
}
