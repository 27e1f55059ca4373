//! Places that all callers share: streams, parsers, doors, pools, tasks.

use std::time::Duration;

use http::Method;
use partywall_model::{Layer, Severity};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::measure::{beside, lanes, part, reading_of};
use crate::{
    oracle::reading::failed,
    probes::{Probe, Technique, attempt, data},
    site::{Party, Reading, Site, What},
    tally::Tally,
    target::{Caller, Era, Open, Request},
};

pub(super) static PROBE: Probe = Probe::new(
    "shared-places",
    Layer::Capacity,
    Severity::Medium,
    "Fills streams, parsers, pools and queues as one tenant while another goes on calling.",
    include_str!("shares.md"),
    &[
        Technique::new("QU-02", "streams that nobody reads", Severity::Medium, |site| {
            Box::pin(streams(site))
        })
        .load(),
        Technique::new("QU-03", "large and deep bodies", Severity::Medium, |site| Box::pin(bodies(site)))
            .load(),
        Technique::new("QU-04", "requests without a good token", Severity::High, |site| {
            Box::pin(garbage(site))
        })
        .load(),
        Technique::new("QU-06", "slow calls", Severity::Medium, |site| Box::pin(slow(site))).load(),
        Technique::new("QU-07", "tasks that stay", Severity::Medium, |site| Box::pin(tasks(site))).load(),
        Technique::new("DB-10", "statements that sleep", Severity::Medium, |site| Box::pin(sleeping(site)))
            .load(),
    ],
);

/// The most streams and tasks of one tenant.
const MOST_HELD: usize = 64;

/// A stream of a caller's, in his generation.
fn stream(caller: &Caller) -> Open {
    let request = match caller.era() {
        Era::Legacy(_) => caller.bare(Method::GET).set("accept", "text/event-stream"),
        Era::Modern => {
            caller.request("subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}))
        }
    };
    caller.open(request)
}

async fn streams(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (noisy, quiet) in site.directions() {
        for base in noisy.callers() {
            let Some(theirs) = quiet.callers().find(|caller| caller.era() == base.era()) else { continue };
            let mut alone = stream(theirs);
            let works = (200..300).contains(&alone.status().await);
            drop(alone);
            if !works {
                continue;
            }
            tally.control(true, "");
            let mut held = Vec::new();
            let mut refused = 0;
            while held.len() < MOST_HELD && refused < 4 && !site.target.late() {
                let mut open = stream(base);
                let status = open.status().await;
                if (200..300).contains(&status) {
                    held.push(open);
                } else {
                    refused += 1;
                }
            }
            let mut beside = stream(theirs);
            let status = beside.status().await;
            let call = match reading_of(site, quiet) {
                Some(reading) => Some(attempt::read(&quiet.caller, &reading.what).await),
                None => None,
            };
            let number = held.len();
            tally.note(format!("{} opened {number} streams and was refused {refused}.", noisy.tenant));
            let deaf = !(200..300).contains(&status);
            let call = call.filter(|call| call.success().is_none());
            drop(held);
            if !deaf && call.is_none() {
                tally.held();
                continue;
            }
            // Who is not served without the streams either has not suffered from them.
            if !recovers(site, quiet, theirs).await {
                tally.doubt(format!("{} is not served any more, with the streams or without", quiet.tenant));
                return tally;
            }
            let (what, exchange) = match call.filter(|_| !deaf) {
                Some(call) => ("is refused", call),
                None => ("is refused a stream", beside.close()),
            };
            let why = format!(
                "{} {what} while {} holds {number} streams, and not without",
                quiet.tenant, noisy.tenant
            );
            tally.leak(vec![attempt::shown(site, &exchange, why)]);
            return tally;
        }
    }
    tally.absent("the target opens no streams");
    tally
}

/// Whether a tenant is served again, and can listen, soon after the other's streams are closed.
async fn recovers(site: &Site, party: &Party, caller: &Caller) -> bool {
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut open = stream(caller);
        let listens = (200..300).contains(&open.status().await);
        let served = match reading_of(site, party) {
            Some(reading) => attempt::read(&party.caller, &reading.what).await.success().is_some(),
            None => true,
        };
        if listens && served {
            return true;
        }
    }
    false
}

/// Bodies that cost more than they are worth, by turns.
fn heavy(party: &Party, turn: usize) -> Request {
    let plain = party.caller.request("tools/call", json!({"name": "x", "arguments": {}}));
    match turn % 4 {
        0 => plain.body(format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{}\"}}", "a".repeat(256 << 10))),
        1 => plain.body(format!("{}{}", "[".repeat(20_000), "]".repeat(20_000))),
        2 => plain.body(vec![0_u8; 64 << 10]).header("content-encoding", "gzip"),
        _ => {
            let keys: serde_json::Map<String, Value> =
                (0..4_000).map(|key| (format!("key{key}"), json!(key))).collect();
            party.caller.request("tools/call", json!({"name": "x", "arguments": keys}))
        }
    }
}

async fn bodies(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (noisy, quiet) in site.directions() {
        let Some(reading) = reading_of(site, quiet) else { continue };
        let make = |turn| heavy(noisy, turn);
        let load = lanes(site, noisy, 120, &make);
        beside(&mut tally, site, (noisy, quiet), reading, load).await;
        attempt::control(&mut tally, site, quiet, reading).await;
        if tally.has_leaked() {
            break;
        }
    }
    tally.absent("the target answers no call");
    tally
}

async fn garbage(site: &Site) -> Tally {
    let mut tally = Tally::default();
    let Some(nobody) = site.nobody.first() else { return Tally::not_run("the target cannot be spoken to") };
    for (noisy, quiet) in site.directions() {
        let Some(reading) = reading_of(site, quiet) else { continue };
        let make = |turn: usize| {
            let method = if turn.is_multiple_of(2) { "initialize" } else { "tools/list" };
            let params = json!({"protocolVersion": crate::target::LEGACY, "capabilities": {},
                "clientInfo": {"name": "probe", "version": "1"}});
            nobody.request(method, params).header("authorization", &format!("Bearer no-token-{turn}"))
        };
        // The lanes are the noisy one's, and what they send has no good token.
        let load = lanes(site, noisy, 1_200, &make);
        beside(&mut tally, site, (noisy, quiet), reading, load).await;
        if tally.has_leaked() {
            break;
        }
    }
    tally.absent("the target answers no call");
    tally
}

/// The reading that took longest when a tenant was alone.
fn slowest<'a>(site: &'a Site, party: &'a Party) -> Option<(&'a Reading, Duration)> {
    let took = |reading: &Reading| {
        let (method, _) = reading.what.message();
        let name = json!(reading.what.name()).to_string();
        let same = site.survey.iter().filter(|exchange| {
            let body = String::from_utf8_lossy(&exchange.request.body);
            exchange.who == party.tenant
                && exchange.success().is_some()
                && body.contains(method)
                && body.contains(&name)
        });
        same.map(|exchange| exchange.took).min().unwrap_or_default()
    };
    site.readings_of(&party.tenant).map(|(reading, _)| (reading, took(reading))).max_by_key(|(_, took)| *took)
}

async fn slow(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (noisy, quiet) in site.directions() {
        let Some((long, took)) = slowest(site, noisy) else { continue };
        let Some(reading) = site.telling().find(|reading| reading.what != long.what) else { continue };
        if took < Duration::from_millis(20) {
            tally.absent(format!(
                "the slowest call, {}, takes {took:?} only, which fills nothing",
                long.what.name()
            ));
            continue;
        }
        let make = |_| long.what.request(&noisy.caller);
        let load = lanes(site, noisy, 600, &make);
        beside(&mut tally, site, (noisy, quiet), reading, load).await;
        if tally.has_leaked() {
            break;
        }
    }
    tally.absent("nothing tells the tenants apart");
    tally
}

async fn sleeping(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (noisy, quiet) in site.directions() {
        let Some(reading) = reading_of(site, quiet) else { continue };
        let Some((tool, place)) = data::sql_tool(site, noisy) else { continue };
        let make = |_| {
            let given = serde_json::Map::from_iter([(place.to_owned(), json!("select pg_sleep(0.4)"))]);
            let arguments = crate::arguments::object(&tool.schema, &given, 3);
            noisy.caller.request("tools/call", json!({"name": tool.name, "arguments": arguments}))
        };
        let load = lanes(site, noisy, 200, &make);
        let loud = beside(&mut tally, site, (noisy, quiet), reading, load).await;
        if loud.took.is_empty() {
            tally.note("Every statement that sleeps was refused.");
        }
        if tally.has_leaked() {
            break;
        }
    }
    tally.absent("no tool takes SQL");
    tally
}

/// One more task, or nothing.
async fn task(caller: &Caller, what: &What) -> Option<String> {
    let (_, params) = what.message();
    let mut params = params;
    let fields = params.as_object_mut()?;
    match caller.era() {
        Era::Legacy(_) => fields.insert("task".to_owned(), json!({"ttl": 30_000})),
        Era::Modern => fields.insert(
            "_meta".to_owned(),
            json!({"io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}}),
        ),
    };
    let begun = caller.ask("tools/call", params).await;
    let result = begun.success()?;
    result.get("task").unwrap_or(result).get("taskId").and_then(Value::as_str).map(str::to_owned)
}

async fn tasks(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (noisy, quiet) in site.directions() {
        let Some(reading) = site.telling().find(|reading| attempt::as_tool(reading).is_some()) else {
            continue;
        };
        for base in noisy.callers() {
            let Some(theirs) = quiet.callers().find(|caller| caller.era() == base.era()) else { continue };
            let Some(own) = task(theirs, &reading.what).await else { continue };
            theirs.ask("tasks/cancel", json!({"taskId": own})).await;
            tally.control(true, "");
            let began = Instant::now();
            let mut held = Vec::new();
            while held.len() < MOST_HELD && began.elapsed() < part(site) * 3 {
                let Some(id) = task(base, &reading.what).await else { break };
                held.push(id);
            }
            let (_, params) = reading.what.message();
            let next = task(theirs, &reading.what).await;
            let call = theirs.ask("tools/call", params).await;
            tally.note(format!("{} began {} tasks.", noisy.tenant, held.len()));
            if next.is_none() || call.success().is_none() {
                let why = format!(
                    "{} cannot begin a task or call while {} has {} tasks, and could before ({})",
                    quiet.tenant,
                    noisy.tenant,
                    held.len(),
                    failed(&call)
                );
                tally.leak(vec![attempt::shown(site, &call, why)]);
            } else {
                tally.held();
            }
            for id in &held {
                base.ask("tasks/cancel", json!({"taskId": id})).await;
            }
            if let Some(id) = next {
                theirs.ask("tasks/cancel", json!({"taskId": id})).await;
            }
            if tally.has_leaked() {
                return tally;
            }
        }
    }
    tally.absent("no tool of the target can be called as a task");
    tally
}
