//! Answers that nobody waits for any more, and several requests in one.

use std::time::Duration;

use partywall_model::{Layer, Severity};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::one_connection::unwritable;
use crate::{
    oracle::reading::failed,
    probes::{Probe, Technique, attempt},
    site::{Party, Reading, Site},
    tally::Tally,
    target::{Caller, Exchange, Failure, Raw, Reply, whole},
};

pub(super) static PROBE: Probe = Probe::new(
    "left-behind",
    Layer::Routing,
    Severity::High,
    "Drops connections in the middle of a call, and sends several requests in one.",
    include_str!("left_behind.md"),
    &[
        Technique::new("RT-12", "several requests in one body", Severity::High, |site| {
            Box::pin(batches(site))
        }),
        Technique::new("RT-14", "a call after one that was dropped", Severity::High, |site| {
            Box::pin(dropped(site))
        }),
    ],
);

/// The most rounds of calls that are dropped.
const ROUNDS: usize = 400;

async fn dropped(site: &Site) -> Tally {
    let readings = match attempt::telling(site) {
        Ok(readings) => readings,
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    let mut chance = site.chance("RT-14");
    let (mut rounds, mut cut) = (0, 0);
    for (attacker, victim) in site.directions() {
        for reading in readings.iter().take(attempt::SAMPLE) {
            attempt::control(&mut tally, site, victim, reading).await;
        }
        let end = Instant::now() + site.plan.racing / 4;
        // A busy machine may need more rounds until one call is dropped.
        let last = Instant::now() + site.plan.racing * 2;
        for round in 0..ROUNDS {
            let Some(reading) = readings.get(round % readings.len()) else { break };
            let enough = Instant::now() > end && (cut > 0 || Instant::now() > last);
            if enough || tally.has_leaked() || site.target.late() {
                break;
            }
            // From before the request is read until after it is answered.
            let patience = Duration::from_micros(chance.u64(200..8_000));
            let request = reading.what.request(&attacker.caller).once().patience(patience);
            rounds += 1;
            cut += usize::from(!attacker.caller.send(request).await.replied());
            let exchange = attempt::read(&victim.caller, &reading.what).await;
            let refusal = attempt::Refusal::Wrong;
            attempt::weigh(&mut tally, site, &victim.tenant, reading, &exchange, refusal);
        }
    }
    for (attacker, victim) in site.directions() {
        half_closed(&mut tally, site, (attacker, victim), &readings).await;
    }
    if cut == 0 {
        tally.control(false, "every call was answered before it could be dropped");
        if !tally.has_leaked() {
            tally.doubt("every call was answered before it could be dropped");
        }
    }
    tally.note(format!("{cut} of {rounds} calls were dropped."));
    tally
}

/// Requests whose sender says at once that nothing more will come, whole and in the middle, and then a call of the other.
async fn half_closed(
    tally: &mut Tally,
    site: &Site,
    (attacker, victim): (&Party, &Party),
    readings: &[&Reading],
) {
    if attacker.caller.streams() || unwritable(site).is_some() {
        return;
    }
    for reading in readings {
        for whole_request in [true, false] {
            if tally.has_leaked() || site.target.late() {
                return;
            }
            let request = reading.what.request(&attacker.caller).once();
            let bytes = whole(&site.target, &request);
            let sent = if whole_request { bytes.len() } else { bytes.len().saturating_sub(10) };
            let outcome = half_sent(site, bytes.get(..sent).unwrap_or_default()).await;
            let who = attacker.caller.name.clone();
            let exchange = Exchange { who, request, outcome, took: Duration::ZERO };
            // To close then is the target's right, and so is to answer.
            if exchange.replied() {
                let refusal = attempt::Refusal::Fine;
                attempt::weigh(tally, site, &attacker.tenant, reading, &exchange, refusal);
            }
            let after = attempt::read(&victim.caller, &reading.what).await;
            attempt::weigh(tally, site, &victim.tenant, reading, &after, attempt::Refusal::Wrong);
        }
    }
}

async fn half_sent(site: &Site, bytes: &[u8]) -> Result<Reply, Failure> {
    let mut raw = Raw::open(&site.target).await?;
    raw.write(bytes).await?;
    raw.half_close().await?;
    raw.answer().await
}

async fn batches(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let Some(base) = &attacker.legacy else {
            tally.absent("the target speaks no revision that has batches");
            continue;
        };
        let own = base.afresh();
        own.begin().await;
        batch(&mut tally, site, (attacker, victim), &own).await;
        own.end().await;
    }
    tally
}

/// One body with reads under equal and similar ids, then the other tenant's on the same connection.
async fn batch(tally: &mut Tally, site: &Site, (attacker, victim): (&Party, &Party), own: &Caller) {
    let readings = attempt::few(site, 3);
    let mut messages = Vec::new();
    for (number, reading) in (1_u64..).zip(&readings) {
        let (method, params) = reading.what.message();
        for id in [json!(number), json!(number.to_string()), json!(number)] {
            messages.push(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        }
    }
    if messages.is_empty() {
        tally.absent("nothing that both can read tells the tenants apart");
        return;
    }
    let body = Value::Array(messages);
    let request = |caller: &Caller| {
        let plain = caller.request("ping", json!({})).set("mcp-protocol-version", "2025-03-26");
        plain.message(&body).once()
    };
    let exchange = own.send(request(own)).await;
    if !exchange.replied() {
        tally.doubt(failed(&exchange));
        return;
    }
    if weigh(tally, site, attacker, &readings, &exchange) == 0 {
        tally.absent("the target takes no several requests in one body");
        return;
    }
    tally.control(true, "");
    let Some(theirs) = victim.legacy.as_ref().map(Caller::afresh) else { return };
    theirs.begin().await;
    let mixed = own.disguised(&theirs);
    mixed.set_session(theirs.session());
    let after = mixed.send(request(&mixed)).await;
    weigh(tally, site, victim, &readings, &after);
    theirs.end().await;
}

/// Judges each answer in a body by the reading that its id stands for; how many results there were.
fn weigh(tally: &mut Tally, site: &Site, party: &Party, readings: &[&Reading], exchange: &Exchange) -> usize {
    let Some(reply) = exchange.reply() else { return 0 };
    let mut results = 0;
    for message in reply.messages.iter().filter(|message| message.get("result").is_some()).take(64) {
        let id = message.get("id").cloned().unwrap_or_default();
        let number = id.as_u64().or_else(|| id.as_str()?.parse().ok()).unwrap_or(0);
        let reading = usize::try_from(number).ok().and_then(|number| readings.get(number.checked_sub(1)?));
        let Some(reading) = reading else {
            // Nobody asked with it: it is no answer to anybody.
            tally.doubt(format!(
                "{} was sent an answer with the id {id}, which nobody asked with",
                party.tenant
            ));
            continue;
        };
        results += 1;
        let mut one = exchange.clone();
        one.request.id = id;
        if let Ok(reply) = &mut one.outcome {
            reply.messages = vec![message.clone()];
        }
        attempt::weigh(tally, site, &party.tenant, reading, &one, attempt::Refusal::Fine);
    }
    results
}
