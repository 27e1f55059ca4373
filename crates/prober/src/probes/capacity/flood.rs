//! One tenant's load against another's service.

use std::time::Duration;

use futures_util::future::{join, join_all};
use partywall_model::{Layer, Severity};
use tokio::time::Instant;

use super::measure::{Met, dead, recovers};
use crate::{
    probes::{Probe, Technique, attempt},
    site::{Party, Reading, Site},
    tally::Tally,
    target::Caller,
};

pub(super) static PROBE: Probe = Probe::new(
    "noisy-neighbour",
    Layer::Capacity,
    Severity::Medium,
    "Floods the target as one tenant while another goes on calling at a low rate.",
    include_str!("flood.md"),
    &[Technique::new("QU-01", "a flood of one tenant's calls", Severity::Medium, |site| {
        Box::pin(flood(site))
    })
    .load()],
);

/// How often the quiet tenant calls.
const PACE: Duration = Duration::from_millis(60);
/// How long each part goes on, if one race may take as long.
const PART: Duration = Duration::from_secs(3);

fn part(site: &Site) -> Duration {
    PART.min(site.plan.racing)
}

/// The most requests of a flood.
const MOST: u32 = 4_000;

async fn flood(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (noisy, quiet) in site.directions() {
        let Some((reading, _)) = site.readings_of(&quiet.tenant).next() else {
            tally.absent("the target answers no call, so there is no service to disturb");
            continue;
        };
        let mut alone = calm(site, quiet, reading).await;
        let mut again = calm(site, quiet, reading).await;
        let own = site.readings_of(&noisy.tenant).next().map_or(reading, |(reading, _)| reading);
        let callers = ready(site, noisy).await;
        let (loud, mut beside) = join(storm(site, &callers, own), calm(site, quiet, reading)).await;
        join_all(callers.iter().map(Caller::end)).await;
        let alive = beside.example.is_none() || recovers(site, quiet, reading).await;
        weigh(&mut tally, site, (noisy, quiet), [&mut alone, &mut again, &mut beside], &loud, alive);
        if tally.has_leaked() {
            break;
        }
    }
    tally
}

fn weigh(
    tally: &mut Tally,
    site: &Site,
    (noisy, quiet): (&Party, &Party),
    [alone, again, beside]: [&mut Met; 3],
    loud: &Met,
    alive: bool,
) {
    tally.control(alone.took.len() > 10, "the quiet tenant alone is not served");
    let usual = alone.refused().max(again.refused());
    tally.note(format!(
        "{} made {} calls, {} of them refused as too many; {} met {} % refusals instead of {usual} %, and a 95th percentile \
         of {:?} instead of {:?} and {:?}.",
        noisy.tenant,
        loud.calls(),
        loud.limited,
        quiet.tenant,
        beside.refused(),
        beside.at(95),
        alone.at(95),
        again.at(95)
    ));
    if !alive {
        return tally.doubt(dead(quiet));
    }
    if beside.refused() > usual + 10 {
        let why = format!(
            "{} % of {}'s calls were refused while {} flooded the target, instead of {usual} %",
            beside.refused(),
            quiet.tenant,
            noisy.tenant
        );
        tally.leak(
            beside.example.as_ref().map(|example| attempt::shown(site, example, why)).into_iter().collect(),
        );
        return;
    }
    // A machine that serves both is slower under load; what counts is that the quiet one waits in the other's queue. Ten
    // times the worse of two calm parts, and a quarter of a second, is beyond what sharing a processor explains.
    let calm = alone.at(95).max(again.at(95));
    let slow = beside.at(95);
    if slow > calm * 10 && slow > Duration::from_millis(250) && loud.limited == 0 {
        tally.doubt(format!(
            "{}'s calls took {slow:?} instead of {calm:?} while {} flooded the target and met no limit",
            quiet.tenant, noisy.tenant
        ));
    } else if loud.limited == 0 {
        tally.doubt(format!(
            "{} met no limit in {} calls; a larger flood may do harm",
            noisy.tenant,
            loud.calls()
        ));
    } else {
        tally.held();
    }
}

/// Calls at a low rate.
async fn calm(site: &Site, party: &Party, reading: &Reading) -> Met {
    let mut met = Met::default();
    let end = Instant::now() + part(site);
    let mut ticks = tokio::time::interval(PACE);
    while Instant::now() < end && !site.target.late() {
        ticks.tick().await;
        met.note(party.caller.send(reading.what.request(&party.caller).once()).await);
    }
    met
}

/// The callers of a flood, on connections and in sessions of their own: those are made before the time runs, since a target
/// that limits how often they are made would leave none of it.
async fn ready(site: &Site, party: &Party) -> Vec<Caller> {
    let width = site.plan.concurrency.saturating_sub(1).clamp(1, 64);
    join_all((0..width).map(|_| async {
        let caller = party.caller.afresh();
        caller.begin().await;
        caller
    }))
    .await
}

/// As many calls as fit.
async fn storm(site: &Site, callers: &[Caller], reading: &Reading) -> Met {
    let width = u32::try_from(callers.len()).unwrap_or(1);
    let end = Instant::now() + part(site);
    let lanes = join_all(callers.iter().map(|caller| async {
        let mut met = Met::default();
        // Spread over the whole part, or the flood is over before the quiet tenant has felt it.
        let mut ticks = tokio::time::interval(part(site).saturating_mul(width) / MOST);
        while Instant::now() < end {
            ticks.tick().await;
            met.note(caller.send(reading.what.request(caller).once()).await);
        }
        met
    }))
    .await;
    lanes.into_iter().fold(Met::default(), Met::add)
}

#[cfg(test)]
mod tests {
    use partywall_model::Outcome;

    use super::{super::measure::tests::all, *};
    use crate::{oracle::known, target::Exchange};

    /// What is no answer is no limit that protects anybody, and no harm of a flood either where it goes on after it.
    #[tokio::test]
    async fn a_dead_target_is_not_flooded() {
        let mut site = known::site();
        site.plan.racing = Duration::from_millis(200);
        let [noisy, quiet] = &site.parties;
        let good = known::innocent(&site).remove(0).1;
        let outcome = |met: [&Exchange; 3], loud: &Exchange, alive: bool| {
            let [mut alone, mut again, mut beside] = met.map(|exchange| all(40, exchange));
            let mut tally = Tally::default();
            let met = [&mut alone, &mut again, &mut beside];
            weigh(&mut tally, &site, (noisy, quiet), met, &all(400, loud), alive);
            tally.finish().0
        };
        for (what, exchange) in known::dead(&site) {
            assert_eq!(
                outcome([&exchange; 3], &exchange, exchange.is_alive()),
                Outcome::Inconclusive,
                "{what}"
            );
            // A flood that meets a limit and leaves the other alone is held; one that meets nothing shows nothing.
            let wanted = if exchange.is_alive() { Outcome::Isolated } else { Outcome::Inconclusive };
            assert_eq!(outcome([&good; 3], &exchange, true), wanted, "{what}, to the flood");
            let wanted = if exchange.is_alive() { Outcome::Leaked } else { Outcome::Inconclusive };
            let died = outcome([&good, &good, &exchange], &exchange, exchange.is_alive());
            assert_eq!(died, wanted, "{what}, from the flood on");
        }
        assert_eq!(flood(&site).await.finish().0, Outcome::Inconclusive);
    }
}
