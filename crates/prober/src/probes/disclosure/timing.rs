//! Whether the time of an answer tells that something is there.

use std::time::Duration;

use partywall_model::{Layer, Severity};
use serde_json::Value;

use super::existence::{ask, id_of};
use crate::{
    arguments,
    oracle::rank,
    probes::{Probe, Technique, attempt},
    site::{Party, Reading, Site},
    tally::Tally,
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

/// How many triples of answers are compared.
const TRIPLES: usize = 220;
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

async fn compare(
    tally: &mut Tally,
    site: &Site,
    (attacker, victim): (&Party, &Party),
    reading: &Reading,
    (place, id): (&str, &Value),
) {
    let mut chance = site.chance("DA-12");
    let mut took: [Vec<Duration>; 3] = Default::default();
    for _ in 0..TRIPLES {
        if site.target.left() < Duration::from_secs(2) {
            break;
        }
        // An unknown id each time: one that is asked for again may be remembered as unknown.
        let unknown = [arguments::unknown(id, &mut chance), arguments::unknown(id, &mut chance)];
        let [first, second] = &unknown;
        let mut order = [(0, id), (1, first), (2, second)];
        chance.shuffle(&mut order);
        for (which, id) in order {
            let exchange = ask(attacker, reading, place, id).await;
            if let (Some(line), true) = (took.get_mut(which), exchange.replied()) {
                line.push(exchange.took);
            }
        }
    }
    let [foreign, one, other] = &took;
    if foreign.len() < 200 || one.len() < 200 || other.len() < 200 {
        tally.doubt(format!("only {} answers could be timed", foreign.len()));
        return;
    }
    let noise = rank::compare(one, other);
    let against = [rank::compare(foreign, one), rank::compare(foreign, other)];
    let least = LEAST.max(noise.apart * 3).max(noise.median / 5);
    let differs = against.iter().all(|found| found.chance < 0.001 && found.apart >= least);
    let apart = against.iter().map(|found| found.apart).min().unwrap_or_default();
    tally.note(format!(
        "Over {TRIPLES} triples the medians of {} lie {apart:?} apart; two unknown ids lie {:?} apart.",
        reading.what.name(),
        noise.apart
    ));
    if noise.chance < 0.01 {
        tally.doubt("two unknown ids differ in time too: the machine is too busy to tell");
    } else if differs {
        let why = format!(
            "{} can tell an id of {} from one that nobody has by the time of the answer: {apart:?} apart",
            attacker.tenant, victim.tenant
        );
        let exchange = ask(attacker, reading, place, id).await;
        tally.leak(vec![attempt::shown(site, &exchange, why)]);
    } else {
        tally.held();
    }
}
