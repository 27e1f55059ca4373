//! What many attacks do.

use std::time::Duration;

use partywall_model::Evidence;
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    arguments::{Role, role},
    facts::{Facts, key},
    oracle::{Judged, compare, judge, reading::failed},
    site::{Party, Reading, Site, What},
    survey::{Kind, Tool, words},
    tally::{self, Tally},
    target::{Caller, Exchange},
};

/// The readings that a technique is tried on in any case; the others follow while there is time.
pub(super) const SAMPLE: usize = 6;

/// What both tenants can read and tells who is answered, or the verdict that there is none. The quick profile takes a few.
pub(super) fn telling(site: &Site) -> Result<Vec<&Reading>, Box<Tally>> {
    up_to(site, if site.plan.quick { SAMPLE / 2 } else { usize::MAX })
}

/// The same of so many at most.
pub(super) fn up_to(site: &Site, most: usize) -> Result<Vec<&Reading>, Box<Tally>> {
    let readings = few(site, most);
    if readings.is_empty() {
        return Err(Box::new(Tally::not_run(
            "nothing that both tenants can read tells them apart; name values that stand in their data with --seed",
        )));
    }
    Ok(readings)
}

/// The first few of what tells who is answered: where it matters little what is read.
pub(super) fn few(site: &Site, most: usize) -> Vec<&Reading> {
    let readings: Vec<&Reading> = site.telling().collect();
    offered(&readings);
    readings.into_iter().take(most).collect()
}

/// Notes what the technique at work could be tried on: its reason says on how much of it it was.
pub(super) fn offered(readings: &[&Reading]) {
    tally::offered(readings.iter().map(|reading| reading.what.key()));
}

/// Readings by turns: some in any case, and the others while the technique's share of the time lasts.
pub(super) struct Turns<'a> {
    readings: Vec<&'a Reading>,
    given: usize,
    least: usize,
    until: Instant,
}

impl<'a> Iterator for Turns<'a> {
    type Item = &'a Reading;

    fn next(&mut self) -> Option<&'a Reading> {
        if self.given >= self.least && Instant::now() > self.until {
            return None;
        }
        let next = self.readings.get(self.given).copied();
        self.given += 1;
        next
    }
}

/// All of them by turns. What they take beyond the first few is bounded, so that a slow target leaves time for other techniques.
pub(super) fn turns<'a>(site: &Site, readings: &[&'a Reading]) -> Turns<'a> {
    turns_of(site, readings, SAMPLE)
}

/// The same with so many in any case.
pub(super) fn turns_of<'a>(site: &Site, readings: &[&'a Reading], least: usize) -> Turns<'a> {
    let share = if site.plan.quick { Duration::ZERO } else { site.plan.racing / 4 };
    // What an earlier choice left out is noted too.
    offered(readings);
    let until = Instant::now() + share.min(site.target.left() / 40);
    Turns { readings: readings.to_vec(), given: 0, least, until }
}

/// Doubts readings that show both tenants the same while nobody knows whose it is.
pub(super) fn doubt_blind(tally: &mut Tally, site: &Site, readings: &[&Reading]) {
    for reading in readings.iter().filter(|reading| site.blind(reading)) {
        tally.doubt(format!(
            "{} shows both tenants the same; whether that is one tenant's cannot be told: name values that stand in each \
             tenant's data with --seed, or allow writes",
            reading.what.name()
        ));
    }
}

/// Notes what an answer to `tenant` shows: its own is held, another's is a leak, a refusal is held if it may refuse.
pub(super) fn weigh(
    tally: &mut Tally,
    site: &Site,
    tenant: &str,
    reading: &Reading,
    exchange: &Exchange,
    refusal: Refusal,
) {
    match judge(site, tenant, reading, exchange) {
        Judged::Own => tally.held(),
        Judged::Foreign(evidence) => tally.leak(vec![evidence]),
        Judged::Changed(why) => tally.doubt(format!("something else than alone, and nobody else's: {why}")),
        Judged::Failed(_) if refusal == Refusal::Fine && exchange.replied() => tally.held(),
        Judged::Failed(why) => tally.doubt(why),
    }
}

/// Whether the target may refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It should, or may.
    Fine,
    /// It must answer.
    Wrong,
}

/// The control of most attacks: the owner reads what is his, as he does alone.
pub(super) async fn control(tally: &mut Tally, site: &Site, party: &Party, reading: &Reading) -> bool {
    let exchange = party.caller.send(reading.what.request(&party.caller)).await;
    match compare(site, &party.tenant, reading, &exchange) {
        Judged::Own => {
            tally.control(true, "");
            true
        }
        Judged::Foreign(evidence) => {
            tally.leak(vec![evidence]);
            false
        }
        Judged::Changed(why) | Judged::Failed(why) => {
            tally.control(false, &format!("the control failed: {why}"));
            false
        }
    }
}

/// Reads as somebody.
pub(super) async fn read(caller: &Caller, what: &What) -> Exchange {
    tally::tried(&what.key());
    caller.send(what.request(caller)).await
}

/// Judges an answer to something that the sender has no right to: foreign values leak, everything else holds.
pub(super) fn denied(tally: &mut Tally, site: &Site, tenant: &str, exchange: &Exchange) -> bool {
    let sent: Value = serde_json::from_slice(&exchange.request.body).unwrap_or_default();
    if let Some(tool) = sent.pointer("/params/name").and_then(Value::as_str) {
        site.reaches(tool);
    }
    if let Some(evidence) = site.foreign(tenant, exchange) {
        tally.leak(vec![evidence]);
        return false;
    }
    if exchange.replied() {
        tally.held();
        true
    } else {
        tally.doubt(failed(exchange));
        false
    }
}

/// Whether an answer is what one of the tenants is shown alone: a target that answers anything believes nothing by it.
pub(super) fn known(reading: &Reading, result: &Value) -> bool {
    reading.alone.values().any(|alone| alone.holds_in(&Facts::of(result)))
}

/// An exchange as evidence, with what it shows.
pub(super) fn shown(site: &Site, exchange: &Exchange, why: impl Into<String>) -> Evidence {
    site.redactor.evidence(exchange, why, "")
}

/// A tool's reading with its arguments, if it is one.
pub(super) fn as_tool(reading: &Reading) -> Option<(&str, &Value)> {
    match &reading.what {
        What::Tool { name, arguments } => Some((name, arguments)),
        _ => None,
    }
}

/// A text that stands nowhere by chance.
pub(super) fn fresh(place: &str) -> String {
    format!("cnry-{place}-{:016x}", fastrand::u64(..))
}

/// What may name a tenant: its name, and what it is called in what it is shown.
pub(super) fn names_of(party: &Party, site: &Site) -> Vec<Value> {
    let mut names = vec![Value::from(party.tenant.as_str())];
    for (_, facts) in site.readings_of(&party.tenant) {
        for (path, text) in facts.leaves() {
            let named = role(key(path)) == Role::Tenant && !names.iter().any(|name| name == text);
            if named && names.len() < 3 {
                names.push(Value::from(text));
            }
        }
    }
    names
}

/// Whether an answer's body has a text in it.
pub(super) fn shows(exchange: &Exchange, text: &str) -> bool {
    exchange.reply().is_some_and(|reply| String::from_utf8_lossy(&reply.body).contains(text))
}

/// Whether a tool may be called: it reads, or the plan allows writes and it takes nothing away.
pub(super) fn may_call(site: &Site, tool: &Tool) -> bool {
    tool.kind == Kind::Read || (site.plan.allow_writes && !tool.destroys)
}

/// Whether a tool's name has one of the words in it.
pub(super) fn named(tool: &Tool, list: &[&str]) -> bool {
    words(&tool.name).iter().any(|word| list.contains(&word.as_str()))
}

/// After attempts that could have changed something: what tells the owner apart is still answered, and as his.
pub(super) async fn intact(tally: &mut Tally, site: &Site, owner: &Party) {
    let telling: Vec<&Reading> = site.telling().take(2).collect();
    for reading in telling {
        let exchange = owner.caller.send(reading.what.request(&owner.caller)).await;
        match compare(site, &owner.tenant, reading, &exchange) {
            Judged::Own | Judged::Changed(_) => tally.control(true, ""),
            Judged::Foreign(evidence) => tally.leak(vec![evidence]),
            Judged::Failed(why) => {
                tally.doubt(format!("after the attempts {} is not well: {why}", owner.tenant))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use partywall_model::Outcome;

    use super::*;
    use crate::oracle::known;

    fn outcome(attempt: impl FnOnce(&mut Tally)) -> Outcome {
        let mut tally = Tally::default();
        tally.control(true, "");
        attempt(&mut tally);
        tally.finish().0
    }

    /// What the specification refuses, or nobody has a right to: a foreign value leaks, an answer without one holds, and where
    /// there is none nothing is concluded.
    #[tokio::test]
    async fn what_must_be_refused_is_held_leaked_or_doubted() {
        let site = known::site();
        let denied = |exchange: &Exchange| {
            outcome(|tally| {
                denied(tally, &site, "acme", exchange);
            })
        };
        for (what, exchange) in known::leaks(&site) {
            // A text that nobody named is known by its place only, and a refusal has none.
            let wanted = if what.contains("nobody named") || what.contains("short row") {
                Outcome::Isolated
            } else {
                Outcome::Leaked
            };
            assert_eq!(denied(&exchange), wanted, "{what}");
        }
        for (what, exchange) in known::innocent(&site) {
            assert_eq!(denied(&exchange), Outcome::Isolated, "{what}");
        }
        for (what, exchange) in known::dead(&site).iter().filter(|(_, exchange)| !exchange.replied()) {
            assert_eq!(denied(exchange), Outcome::Inconclusive, "{what}");
        }
    }

    /// What must be answered: nothing that is no answer passes.
    #[tokio::test]
    async fn what_must_be_answered_is_held_leaked_or_doubted() {
        let site = known::site();
        let weighed = |exchange: &Exchange| {
            outcome(|tally| weigh(tally, &site, "acme", &site.readings[0], exchange, Refusal::Wrong))
        };
        for (all, wanted) in [
            (known::leaks(&site), Outcome::Leaked),
            (known::innocent(&site), Outcome::Isolated),
            (known::dead(&site), Outcome::Inconclusive),
        ] {
            for (what, exchange) in all {
                assert_eq!(weighed(&exchange), wanted, "{what}");
            }
        }
    }
}
