//! Two tenants at once.

use partywall_model::{Layer, Severity};

use crate::{
    probes::{Probe, Technique, attempt},
    race::{self, Schedule},
    site::Site,
    tally::Tally,
};

pub(super) static PROBE: Probe = Probe::new(
    "interleaved-calls",
    Layer::State,
    Severity::High,
    "Calls of two tenants at the same time, in schedules that can be repeated.",
    include_str!("interleaved.md"),
    &[
        Technique::new("ST-01", "calls of two tenants interleaved", Severity::High, |site| {
            Box::pin(interleaved(site))
        })
        .quick(),
        Technique::new(
            "ST-03",
            "a slow call while the neighbour floods the same tool",
            Severity::High,
            |site| Box::pin(slow_between(site)),
        ),
    ],
);

/// The most readings that are read alone before a race, and half of them that take part in a short one.
const MOST: usize = 16;

async fn interleaved(site: &Site) -> Tally {
    let readings = match attempt::up_to(site, if site.plan.quick { MOST / 2 } else { usize::MAX }) {
        Ok(readings) => readings,
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    for party in &site.parties {
        for reading in readings.iter().take(MOST) {
            attempt::control(&mut tally, site, party, reading).await;
        }
    }
    let schedule = Schedule::mixed(site.chance("ST-01"), site.plan.concurrency, readings.len());
    race::run(&mut tally, site, &readings, schedule, site.plan.racing).await;
    tally
}

async fn slow_between(site: &Site) -> Tally {
    let readings = match attempt::telling(site) {
        Ok(readings) => readings,
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    for turn in 0..2 {
        for party in &site.parties {
            for reading in readings.iter().take(2) {
                attempt::control(&mut tally, site, party, reading).await;
            }
        }
        let schedule = Schedule::flood(site.chance("ST-03"), site.plan.concurrency, readings.len(), turn);
        race::run(&mut tally, site, &readings, schedule, site.plan.racing / 2).await;
        if tally.has_leaked() {
            break;
        }
    }
    tally
}
