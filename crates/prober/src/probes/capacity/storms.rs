//! Two tenants under load, each with something that goes wrong in the middle.

use std::time::Duration;

use futures_util::future::{join, join_all};
use http::Method;
use partywall_model::{Layer, Severity};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::measure::{Met, beside, part, reading_of};
use crate::{
    arguments,
    oracle::{Judged, judge, reading::failed},
    probes::{
        Probe, Technique,
        attempt::{self, Refusal},
    },
    site::{Party, Reading, Site, What},
    tally::Tally,
    target::Caller,
};

pub(super) static PROBE: Probe = Probe::new(
    "stormy-neighbour",
    Layer::Capacity,
    Severity::High,
    "Breaks off, evicts and mixes as one tenant under load, and looks at what the other is answered.",
    include_str!("storms.md"),
    &[
        Technique::new("MX-01", "a storm of calls that are broken off", Severity::High, |site| {
            Box::pin(storm(site))
        })
        .load(),
        Technique::new(
            "MX-02",
            "calls broken off around the moment of their answer",
            Severity::High,
            |site| Box::pin(swept(site)),
        )
        .load(),
        Technique::new("MX-05", "sessions and entries that push out the other's", Severity::High, |site| {
            Box::pin(evicted(site))
        })
        .load(),
        Technique::new("MX-07", "large and small answers under one id", Severity::High, |site| {
            Box::pin(sizes(site))
        })
        .load(),
    ],
);

async fn storm(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (noisy, quiet) in site.directions() {
        let Some(reading) = reading_of(site, quiet) else { continue };
        let load = async {
            let end = Instant::now() + part(site);
            let lanes = join_all((0..6_u64).map(|lane| async move {
                let mut chance = fastrand::Rng::with_seed(site.plan.seed_run ^ lane);
                let mut met = Met::default();
                while Instant::now() < end {
                    let patience = Duration::from_micros(chance.u64(100..10_000));
                    let request = reading.what.request(&noisy.caller).once().patience(patience);
                    met.note(noisy.caller.send(request).await);
                }
                met
            }))
            .await;
            lanes.into_iter().fold(Met::default(), Met::add)
        };
        let loud = beside(&mut tally, site, (noisy, quiet), reading, load).await;
        tally.note(format!("{} calls were broken off.", loud.failed));
        if tally.has_leaked() {
            break;
        }
    }
    tally.absent("the target answers no call");
    tally
}

/// The steps of one sweep.
const STEPS: u32 = 24;

async fn swept(site: &Site) -> Tally {
    let readings = match attempt::telling(site) {
        Ok(readings) => readings,
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for reading in readings.iter().take(3) {
            if !attempt::control(&mut tally, site, victim, reading).await {
                continue;
            }
            let plain = attempt::read(&attacker.caller, &reading.what).await;
            // From a fifth of what an answer takes to twice as long.
            let step = plain.took.max(Duration::from_micros(500)) * 2 / STEPS;
            let end = Instant::now() + part(site);
            let mut cut = 0;
            for turn in (2..=STEPS).cycle().take(400) {
                if Instant::now() > end || site.target.late() {
                    break;
                }
                let broken = reading.what.request(&attacker.caller).once().patience(step * turn);
                let (one, exchange) =
                    join(attacker.caller.send(broken), attempt::read(&victim.caller, &reading.what)).await;
                cut += usize::from(!one.replied());
                attempt::weigh(&mut tally, site, &victim.tenant, reading, &exchange, Refusal::Wrong);
                let next = attempt::read(&victim.caller, &reading.what).await;
                attempt::weigh(&mut tally, site, &victim.tenant, reading, &next, Refusal::Wrong);
                if tally.has_leaked() {
                    return tally;
                }
            }
            tally.note(format!("{cut} calls of {} were broken off.", reading.what.name()));
        }
    }
    tally
}

/// The most sessions that one tenant opens, and the most entries that it asks for.
const MOST: usize = 120;

async fn evicted(site: &Site) -> Tally {
    let readings = match attempt::telling(site) {
        Ok(readings) => readings,
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let session = match &victim.legacy {
            Some(legacy) => {
                let session = legacy.afresh();
                session.begin().await;
                Some(session)
            }
            None => None,
        };
        for reading in readings.iter().take(attempt::SAMPLE) {
            attempt::control(&mut tally, site, victim, reading).await;
        }
        let mut opened = Vec::new();
        if let Some(base) = &attacker.legacy {
            for _ in 0..MOST {
                let caller = base.speaking_here(base.era().clone());
                let begun = caller.begin().await.is_some_and(|exchange| exchange.success().is_some());
                if !begun || site.target.late() {
                    break;
                }
                opened.push(caller);
            }
        }
        entries(site, attacker, &readings).await;
        tally.note(format!("{} opened {} sessions.", attacker.tenant, opened.len()));
        for reading in &readings {
            let exchange = attempt::read(&victim.caller, &reading.what).await;
            attempt::weigh(&mut tally, site, &victim.tenant, reading, &exchange, Refusal::Wrong);
        }
        if let Some(session) = &session {
            survives(&mut tally, site, (attacker, victim), session, &readings, opened.len()).await;
            session.end().await;
        }
        for caller in &opened {
            caller.send(caller.bare(Method::DELETE)).await;
        }
        if tally.has_leaked() {
            break;
        }
    }
    tally
}

/// Reads with ids that nobody has: each is an entry in whatever remembers answers.
async fn entries(site: &Site, party: &Party, readings: &[&Reading]) {
    let mut chance = site.chance("MX-05");
    for reading in readings.iter().take(3) {
        let What::Tool { name, arguments } = &reading.what else { continue };
        for turn in 0..MOST / 3 {
            let mut arguments = arguments.as_object().cloned().unwrap_or_default();
            for value in arguments.values_mut() {
                *value = arguments::unknown(value, &mut chance);
            }
            arguments.insert("nonce".to_owned(), json!(turn));
            party.caller.call(name, &Value::Object(arguments)).await;
        }
    }
}

/// A session that was there before must be there and its owner's.
async fn survives(
    tally: &mut Tally,
    site: &Site,
    (attacker, victim): (&Party, &Party),
    session: &Caller,
    readings: &[&Reading],
    opened: usize,
) {
    let Some(reading) = readings.first() else { return };
    let exchange = attempt::read(session, &reading.what).await;
    match judge(site, &victim.tenant, reading, &exchange) {
        Judged::Own | Judged::Changed(_) => tally.held(),
        Judged::Foreign(evidence) => tally.leak(vec![evidence]),
        Judged::Failed(_) if matches!(exchange.status(), 400 | 404) && opened > 0 => {
            let why = format!(
                "the session of {} is gone after {} opened {opened} sessions",
                victim.tenant, attacker.tenant
            );
            tally.leak(vec![attempt::shown(site, &exchange, why)]);
        }
        Judged::Failed(_) => tally.doubt(failed(&exchange)),
    }
}

/// The readings of both with the largest and the smallest answers.
fn extremes(site: &Site) -> Option<(&Reading, &Reading)> {
    let size = |reading: &&Reading| {
        let facts = reading.alone.values().next();
        facts.map_or(0, |facts| facts.leaves().map(|(_, text)| text.len()).sum::<usize>())
    };
    let large = site.telling().max_by_key(size)?;
    let small = site.telling().min_by_key(size)?;
    Some((large, small))
}

async fn sizes(site: &Site) -> Tally {
    let Some((large, small)) = extremes(site) else {
        return Tally::not_run("nothing that both tenants can read tells them apart");
    };
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        attempt::control(&mut tally, site, victim, small).await;
        let end = Instant::now() + part(site);
        let mut id = 1_u64;
        while Instant::now() < end && !site.target.late() && id < 400 {
            id += 1;
            let call = |caller: &Caller, reading: &Reading| {
                let (method, params) = reading.what.message();
                caller.request_as(json!(id), method, params).once()
            };
            // The large one first, and small ones while it is under way.
            let big = async {
                (&attacker.tenant, large, attacker.caller.send(call(&attacker.caller, large)).await)
            };
            let little =
                async { (&victim.tenant, small, victim.caller.send(call(&victim.caller, small)).await) };
            let more =
                async { (&victim.tenant, large, victim.caller.send(call(&victim.caller, large)).await) };
            let (one, (two, three)) = join(big, join(little, more)).await;
            let answers = [one, two, three];
            // A limit that was met ends the storm and shows nothing.
            if answers.iter().any(|(.., exchange)| exchange.status() == 429) {
                break;
            }
            for (tenant, reading, exchange) in answers {
                attempt::weigh(&mut tally, site, tenant, reading, &exchange, Refusal::Wrong);
            }
            if tally.has_leaked() {
                return tally;
            }
        }
        tally.note(format!("{id} rounds."));
    }
    tally
}
