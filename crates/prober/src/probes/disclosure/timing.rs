//! Whether the time of an answer tells that something is there.

use std::time::Duration;

use partywall_model::{Layer, Severity};
use serde_json::Value;

use super::existence::{ask, id_of};
use crate::{
    arguments,
    oracle::rank::{self, Compared},
    probes::{Probe, Technique, attempt},
    site::{Party, Reading, Site},
    tally::Tally,
    target::Exchange,
};

pub(super) static PROBE: Probe = Probe::new(
    "existence-timing",
    Layer::Disclosure,
    Severity::Medium,
    "Compares how long another tenant's id and an id that nobody has take.",
    include_str!("timing.md"),
    &[Technique::new("DA-12", "the time for another tenant's id", Severity::Medium, |site| {
        Box::pin(timed(site))
    })],
);

/// How many triples of answers are compared at a time.
const TRIPLES: usize = 220;
/// The least number of answers to each that is judged.
const ENOUGH: usize = 200;
/// How often the foreign id has to stand out.
const TURNS: usize = 2;
/// How likely chance alone may be.
const CHANCE: f64 = 0.001;
/// The least difference that is called one: less is within what a shared machine does by itself.
const LEAST: Duration = Duration::from_micros(300);

async fn timed(site: &Site) -> Tally {
    let named =
        site.plan.probes.iter().any(|id| id.eq_ignore_ascii_case("DA-12") || id == "existence-timing");
    if !named && !site.plan.layers.contains(&Layer::Disclosure) {
        return Tally::not_run("it asks more than a thousand times; --layer disclosure allows that");
    }
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let found = site.readings_of(&victim.tenant).find_map(|(reading, _)| {
            let (place, id) = id_of(victim, reading)?;
            (!reading.alone.contains_key(&attacker.tenant)).then_some((reading, place, id))
        });
        let Some((reading, place, id)) = found else { continue };
        if attempt::control(&mut tally, site, victim, reading).await {
            compare(&mut tally, site, (attacker, victim), reading, (&place, &id)).await;
        }
        if tally.has_leaked() {
            break;
        }
    }
    tally.absent("no tenant can read something by an id that the other has not");
    tally
}

/// What 220 triples came to.
struct Measured {
    /// Two ids that nobody has, against each other: what differs by itself.
    noise: Compared,
    /// The other tenant's id against each of them.
    against: [Compared; 2],
}

impl Measured {
    /// Whether the foreign id stands out, by far more than the two unknown ones from each other.
    fn differs(&self) -> bool {
        let least = LEAST.max(self.noise.apart * 3).max(self.noise.median / 5);
        self.against.iter().all(|found| found.chance < CHANCE && found.apart >= least)
    }

    /// Whether two ids that nobody has differ too.
    fn noisy(&self) -> bool {
        self.noise.chance < 0.01
    }

    /// The figures, as they stand in the reason.
    fn told(&self, name: &str) -> String {
        let [one, other] = &self.against;
        format!(
            "Over {TRIPLES} triples the medians of {name} lie {:?} apart (p = {:.1e} and {:.1e}, Mann-Whitney); two unknown \
             ids lie {:?} apart (p = {:.2}).",
            one.apart.min(other.apart),
            one.chance,
            other.chance,
            self.noise.apart,
            self.noise.chance
        )
    }
}

async fn compare(
    tally: &mut Tally,
    site: &Site,
    (attacker, victim): (&Party, &Party),
    reading: &Reading,
    (place, id): (&str, &Value),
) {
    let mut chance = site.chance("DA-12");
    // What stands out once may have had a bad moment: it has to stand out again.
    for turn in 1..=TURNS {
        let measured = match measure(site, attacker, reading, (place, id), &mut chance).await {
            Ok(measured) => measured,
            Err(why) => return tally.doubt(why),
        };
        tally.note(measured.told(reading.what.name()));
        if measured.noisy() {
            return tally.doubt("two unknown ids differ in time too: the machine is too busy to tell");
        }
        match (measured.differs(), turn) {
            (false, 1) => return tally.held(),
            (false, _) => {
                return tally.doubt("another tenant's id took longer than unknown ones once, and not again");
            }
            (true, TURNS) => {
                let apart = measured.against.iter().map(|found| found.apart).min().unwrap_or_default();
                let why = format!(
                    "{} can tell an id of {} from one that nobody has by the time of the answer: {apart:?} apart, in each of \
                     {TURNS} measurements",
                    attacker.tenant, victim.tenant
                );
                let exchange = ask(attacker, reading, place, id).await;
                tally.leak(vec![attempt::shown(site, &exchange, why)]);
            }
            (true, _) => {}
        }
    }
}

/// Asks for the foreign id and two unknown ones in triples of random order.
async fn measure(
    site: &Site,
    attacker: &Party,
    reading: &Reading,
    (place, id): (&str, &Value),
    chance: &mut fastrand::Rng,
) -> Result<Measured, String> {
    let mut timed = Timed::default();
    for _ in 0..TRIPLES {
        if site.target.left() < Duration::from_secs(2) {
            break;
        }
        // An unknown id each time: one that is asked for again may be remembered as unknown.
        let unknown = [arguments::unknown(id, chance), arguments::unknown(id, chance)];
        let [first, second] = &unknown;
        let mut order = [(0, id), (1, first), (2, second)];
        chance.shuffle(&mut order);
        for (which, id) in order {
            timed.note(which, &ask(attacker, reading, place, id).await);
        }
    }
    timed.measured()
}

/// The times of the answers to the foreign id and to two unknown ones.
#[derive(Default)]
struct Timed([Vec<Duration>; 3]);

impl Timed {
    /// Only what the target answers itself has a time that tells of ids: a page of whatever stands before it has none.
    fn note(&mut self, which: usize, exchange: &Exchange) {
        if let (Some(line), true) = (self.0.get_mut(which), exchange.answer().is_some()) {
            line.push(exchange.took);
        }
    }

    fn measured(&self) -> Result<Measured, String> {
        let [foreign, one, other] = &self.0;
        let least = self.0.iter().map(Vec::len).min().unwrap_or(0);
        if least < ENOUGH {
            return Err(format!("only {least} answers could be timed"));
        }
        Ok(Measured {
            noise: rank::compare(one, other),
            against: [rank::compare(foreign, one), rank::compare(foreign, other)],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::known;

    /// However quick and however late it says nothing, there is nothing to compare.
    #[tokio::test]
    async fn what_a_dead_target_says_has_no_time() {
        let site = known::site();
        for (what, exchange) in known::dead(&site) {
            let mut timed = Timed::default();
            for turn in 0..TRIPLES {
                for which in 0..3 {
                    let mut exchange = exchange.clone();
                    exchange.took = Duration::from_millis(if which == 0 { 9 } else { 1 } + turn as u64 % 2);
                    timed.note(which, &exchange);
                }
            }
            assert!(timed.measured().is_err(), "{what}");
        }
        for (what, exchange) in known::innocent(&site) {
            let mut timed = Timed::default();
            (0..TRIPLES).for_each(|_| (0..3).for_each(|which| timed.note(which, &exchange)));
            assert!(timed.measured().is_ok_and(|measured| !measured.differs()), "{what}");
        }
    }

    /// Answers that take so many microseconds, give or take 200.
    fn line(from: u64, chance: &mut fastrand::Rng) -> Vec<Duration> {
        (0..TRIPLES).map(|_| Duration::from_micros(from + chance.u64(0..400))).collect()
    }

    fn measured(foreign: u64, unknown: [u64; 2], seed: u64) -> Measured {
        let mut chance = fastrand::Rng::with_seed(seed);
        let [foreign, one, other] = [foreign, unknown[0], unknown[1]].map(|from| line(from, &mut chance));
        Measured {
            noise: rank::compare(&one, &other),
            against: [rank::compare(&foreign, &one), rank::compare(&foreign, &other)],
        }
    }

    #[test]
    fn only_what_stands_out_from_both_unknown_ids_is_a_difference() {
        for seed in 0..50 {
            let slower = measured(2_500, [1_000, 1_000], seed);
            assert!(slower.differs(), "{}", slower.told("it"));
            let faster = measured(1_000, [2_500, 2_500], seed);
            assert!(faster.differs(), "{}", faster.told("it"));
            let same = measured(1_000, [1_000, 1_000], seed);
            assert!(!same.differs(), "{}", same.told("it"));
            // Less than a shared machine does by itself.
            assert!(!measured(1_150, [1_000, 1_000], seed).differs());
            // Two unknown ids that differ tell of the machine.
            assert!(measured(2_500, [1_000, 2_500], seed).noisy());
            assert!(!measured(2_500, [1_000, 2_500], seed).differs());
        }
    }
}
