//! What a process keeps from the first call that it answered, and work that goes on after a call.

use partywall_model::{Layer, Severity};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    oracle::reading::failed,
    probes::{
        Probe, Technique,
        attempt::{self, Refusal},
    },
    site::{Party, Reading, Site},
    tally::Tally,
    target::{Caller, Era},
};

pub(super) static PROBE: Probe = Probe::new(
    "first-caller",
    Layer::State,
    Severity::High,
    "Looks whether the first caller's tenant is kept by a process, a worker or work in the background.",
    include_str!("first.md"),
    &[
        Technique::new("ST-04", "what the first caller left for everybody", Severity::High, |site| {
            Box::pin(first(site))
        }),
        Technique::new(
            "ST-05",
            "work in the background beside the neighbour's calls",
            Severity::High,
            |site| Box::pin(background(site)),
        ),
        Technique::new("ST-08", "many new connections of both tenants by turns", Severity::High, |site| {
            Box::pin(workers(site))
        }),
    ],
);

/// The survey asked as one tenant first and as the other second, and nothing was attacked yet: what the second was shown then
/// is what a process shows whose first caller was another.
async fn first(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for leak in &site.early.leaks {
        tally.leak(leak.clone());
    }
    if tally.has_leaked() {
        return tally;
    }
    for (_, why) in &site.early.doubts {
        tally.doubt(why);
    }
    let [_, second] = &site.parties;
    for exchange in site.survey.iter().filter(|exchange| exchange.who == second.tenant) {
        if let Some(evidence) = site.foreign(&second.tenant, exchange) {
            tally.leak(vec![evidence]);
            return tally;
        }
        if exchange.success().is_some() {
            tally.held();
        }
    }
    let readings: Vec<&Reading> = site
        .common()
        .into_iter()
        .filter(|reading| reading.alone.values().all(|facts| !facts.is_empty()))
        .collect();
    attempt::doubt_blind(&mut tally, site, &readings);
    // Now the other way round, each in a session of its own where there are sessions.
    for party in site.parties.iter().rev() {
        for base in party.callers() {
            let caller = base.afresh();
            caller.begin().await;
            for reading in attempt::turns_of(site, &readings, 2 * attempt::SAMPLE) {
                let exchange = attempt::read(&caller, &reading.what).await;
                attempt::weigh(&mut tally, site, &party.tenant, reading, &exchange, Refusal::Wrong);
                tally.control(exchange.success().is_some(), &failed(&exchange));
            }
            caller.end().await;
        }
    }
    tally.absent("nothing can be read by both tenants");
    tally
}

/// Rounds of new connections.
const ROUNDS: usize = 12;

async fn workers(site: &Site) -> Tally {
    let readings = match attempt::telling(site) {
        Ok(readings) => readings,
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    for party in &site.parties {
        if let Some(reading) = readings.first() {
            attempt::control(&mut tally, site, party, reading).await;
        }
    }
    let end = Instant::now() + site.plan.racing / 4;
    for round in 0..ROUNDS.max(readings.len()) {
        if round >= ROUNDS && Instant::now() > end {
            break;
        }
        for party in &site.parties {
            let Some(reading) = readings.get(round % readings.len().max(1)) else { continue };
            // A new connection may land on another worker or replica.
            let caller = party.caller.afresh();
            caller.begin().await;
            for _ in 0..2 {
                let exchange = attempt::read(&caller, &reading.what).await;
                attempt::weigh(&mut tally, site, &party.tenant, reading, &exchange, Refusal::Wrong);
            }
            caller.end().await;
            if tally.has_leaked() || site.target.late() {
                return tally;
            }
        }
    }
    tally
}

async fn background(site: &Site) -> Tally {
    let mut tally = Tally::default();
    let readings: Vec<&Reading> =
        site.telling().filter(|reading| attempt::as_tool(reading).is_some()).collect();
    for (attacker, victim) in site.directions() {
        for base in victim.callers() {
            let caller = base.afresh();
            caller.begin().await;
            for reading in attempt::turns(site, &readings) {
                one(&mut tally, site, (attacker, victim), &caller, reading).await;
                if tally.has_leaked() || site.target.late() {
                    return tally;
                }
            }
            caller.end().await;
        }
    }
    tally.absent("no tool that tells the tenants apart can be called as a task");
    tally
}

/// The victim's call as a task, the attacker's calls of the same tool while it runs, and the task's result.
async fn one(
    tally: &mut Tally,
    site: &Site,
    (attacker, victim): (&Party, &Party),
    caller: &Caller,
    reading: &Reading,
) {
    let Some((name, arguments)) = attempt::as_tool(reading) else { return };
    let params = match caller.era() {
        Era::Modern => json!({"name": name, "arguments": arguments, "_meta": {
            "io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}}}),
        Era::Legacy(_) => json!({"name": name, "arguments": arguments, "task": {"ttl": 60_000}}),
    };
    let begun = caller.ask("tools/call", params).await;
    let Some(id) = begun.success().and_then(|result| {
        let task = result.get("task").unwrap_or(result);
        task.get("taskId").and_then(serde_json::Value::as_str).map(str::to_owned)
    }) else {
        return;
    };
    let method = if *caller.era() == Era::Modern { "tasks/get" } else { "tasks/result" };
    let busy = async {
        for _ in 0..3 {
            attempt::read(&attacker.caller, &reading.what).await;
        }
    };
    let ((), mut result) = futures_util::future::join(busy, caller.ask(method, json!({"taskId": id}))).await;
    for _ in 0..5 {
        let working = result.success().is_some_and(|result| {
            result.get("status").and_then(serde_json::Value::as_str) == Some("working")
        });
        if !working {
            break;
        }
        attempt::read(&attacker.caller, &reading.what).await;
        result = caller.ask(method, json!({"taskId": id})).await;
    }
    if let Some(evidence) = site.foreign(&victim.tenant, &result) {
        tally.leak(vec![evidence]);
    } else if result.success().is_some() {
        tally.held();
        tally.control(true, "");
    } else {
        tally.control(false, &failed(&result));
    }
}
