//! Two tenants who use the same ids at the same time: ids are a sender's own, and no key for anything.

use std::time::Duration;

use futures_util::future::join_all;
use partywall_model::{Layer, Severity};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    echo::{self, Echo},
    in_session,
};
use crate::{
    oracle::{Judged, judge, reading::failed},
    probes::{Probe, Technique, attempt},
    site::{Party, Reading, Site},
    tally::Tally,
    target::{Caller, Exchange, Failure},
};

pub(super) static PROBE: Probe = Probe::new(
    "same-ids",
    Layer::Routing,
    Severity::High,
    "Two tenants use the same request ids and progress tokens at the same time.",
    include_str!("same_ids.md"),
    &[
        Technique::new("RT-01", "equal request ids at once", Severity::High, |site| Box::pin(equal(site)))
            .quick(),
        Technique::new("RT-02", "equal request ids of different methods", Severity::High, |site| {
            Box::pin(methods(site))
        }),
        Technique::new("RT-03", "ids of other types", Severity::High, |site| Box::pin(types(site))),
        Technique::new("RT-04", "equal progress tokens", Severity::High, |site| Box::pin(progress(site))),
        Technique::new("RT-10", "cancelling another tenant's requests", Severity::High, |site| {
            Box::pin(cancelled(site))
        }),
    ],
);

/// The most rounds with words.
const MOST_ECHOES: u64 = 300;
/// How many callers there are of each tenant.
const WIDTH: usize = 3;
/// An answer that takes longer than this is lost: alone it takes milliseconds.
pub(super) const LOST: Duration = Duration::from_secs(5);

/// How many rounds more are made for answers that were lost in one.
const AGAIN: usize = 20;

/// Callers of both tenants with connections and sessions of their own.
async fn callers(site: &Site) -> Vec<(&Party, Caller)> {
    let mut all = Vec::new();
    for party in &site.parties {
        for base in party.callers() {
            for _ in 0..WIDTH {
                let caller = base.afresh();
                caller.begin().await;
                all.push((party, caller));
            }
        }
    }
    all
}

async fn controls(tally: &mut Tally, site: &Site, readings: &[&Reading]) {
    for party in &site.parties {
        for reading in readings.iter().take(attempt::SAMPLE) {
            attempt::control(tally, site, party, reading).await;
        }
    }
}

/// Rounds in which everybody sends a request of the same id at once.
async fn rounds<F>(site: &Site, technique: &str, make: F) -> Tally
where
    F: Fn(&Caller, &Reading, u64) -> (Value, Value),
{
    let readings = match attempt::telling(site) {
        Ok(readings) => readings,
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    controls(&mut tally, site, &readings).await;
    let callers = callers(site).await;
    let first = site.chance(technique).usize(0..readings.len());
    let end = Instant::now() + site.plan.racing / 2;
    let (mut round, mut late, mut lossy, mut spare) = (0_u64, 0, 0, AGAIN);
    while (Instant::now() < end || (lossy == 1 && spare > 0)) && !tally.has_leaked() && late < 3 {
        round += 1;
        spare -= usize::from(lossy == 1 && spare > 0);
        // By turns: each is read before any is read a second time.
        let Some(reading) = readings.get((first + usize::try_from(round).unwrap_or(0)) % readings.len())
        else {
            break;
        };
        let asked = callers.iter().map(|(party, caller)| {
            let (id, meta) = make(caller, reading, round);
            let (method, mut params) = reading.what.message();
            if let (Some(params), false) = (params.as_object_mut(), meta.is_null()) {
                params.insert("_meta".to_owned(), meta);
            }
            let request = caller.request_as(id, method, params).once().patience(LOST);
            async move { (*party, caller.send(request).await) }
        });
        let answers = join_all(asked).await;
        let asked: Vec<Value> = answers.iter().map(|(_, exchange)| exchange.request.id.clone()).collect();
        let missing = answers.iter().filter(|(_, exchange)| is_lost(exchange)).count();
        let slow = missing > 0 && !in_time_with_own_ids(&callers, reading).await;
        late += if slow { missing } else { 0 };
        lossy += usize::from(missing > 0 && !slow);
        for (party, exchange) in answers {
            // A machine that stood still for a moment loses a round; ids that cross lose it again.
            if is_lost(&exchange) && !slow && lossy < 2 {
                continue;
            }
            weigh(&mut tally, site, party, reading, &exchange, Round { asked: &asked, slow });
        }
    }
    if lossy == 1 {
        tally.doubt("answers were lost in one round of equal ids, and in no other");
    }
    for (_, caller) in &callers {
        caller.end().await;
    }
    tally.note(format!("{round} rounds of {} callers.", callers.len()));
    tally
}

pub(super) fn is_lost(exchange: &Exchange) -> bool {
    matches!(exchange.outcome, Err(Failure::Timeout))
}

/// Whether as many callers at once get their answers when each has an id and a progress token of its own: a target that is
/// too slow for them loses nothing because of ids.
async fn in_time_with_own_ids(callers: &[(&Party, Caller)], reading: &Reading) -> bool {
    let asked = callers.iter().zip(800_000_u64..).map(|((_, caller), id)| {
        let (method, mut params) = reading.what.message();
        if let Some(params) = params.as_object_mut() {
            params.insert("_meta".to_owned(), json!({"progressToken": id}));
        }
        caller.send(caller.request_as(json!(id), method, params).once().patience(LOST))
    });
    !join_all(asked).await.iter().any(is_lost)
}

/// What is known of the round that an answer came in.
#[derive(Clone, Copy)]
struct Round<'a> {
    /// The ids that were asked with.
    asked: &'a [Value],
    /// Whether answers to ids that nobody shares are as late.
    slow: bool,
}

/// Notes what an answer shows. One that did not come shows nothing when others are as slow.
fn weigh(
    tally: &mut Tally,
    site: &Site,
    party: &Party,
    reading: &Reading,
    exchange: &Exchange,
    Round { asked, slow }: Round<'_>,
) {
    if is_lost(exchange) {
        let why = format!("an answer to {} was lost while the other tenant used the same id", party.tenant);
        if slow {
            tally.doubt(format!("{why}, and answers to ids that nobody shares take as long"));
        } else {
            tally.leak(vec![attempt::shown(site, exchange, why)]);
        }
        return;
    }
    if let Some(wrong) = misdelivered(exchange) {
        let why =
            format!("{} was sent an answer with the id {wrong}, which it did not ask with", party.tenant);
        // What nobody asked with answers nobody: the target makes up ids.
        if asked.contains(&wrong) {
            tally.leak(vec![attempt::shown(site, exchange, why)]);
        } else {
            tally.doubt(format!("{why}, and nobody else did"));
        }
        return;
    }
    match judge(site, &party.tenant, reading, exchange) {
        Judged::Own => tally.held(),
        Judged::Foreign(evidence) => tally.leak(vec![evidence]),
        Judged::Changed(why) => tally.doubt(why),
        // A rate that is over, or an id that the target does not take, shows nothing.
        Judged::Failed(_) if matches!(exchange.status(), 400 | 429 | 503) || exchange.error().is_some() => {}
        Judged::Failed(why) => tally.doubt(why),
    }
}

/// The id of an answer that answers something else.
fn misdelivered(exchange: &Exchange) -> Option<Value> {
    let reply = exchange.reply()?;
    let answers = |message: &&Value| message.get("method").is_none() && message.get("result").is_some();
    let wrong = reply
        .messages
        .iter()
        .filter(answers)
        .find(|message| message.get("id") != Some(&exchange.request.id))?;
    wrong.get("id").cloned()
}

async fn equal(site: &Site) -> Tally {
    let mut tally = rounds(site, "RT-01", |_, _, round| (json!(round % 3), Value::Null)).await;
    if !tally.has_leaked() && !site.target.late() {
        tally.merge(words(site).await);
    }
    if !tally.has_leaked() && !site.target.late() {
        tally.merge(in_session::equal(site).await);
    }
    tally
}

/// The same with words of the callers' own that the target repeats: whoever is told another's word got another's answer.
async fn words(site: &Site) -> Tally {
    let Some(echo) = Echo::find(site).await else { return Tally::default() };
    let mut tally = Tally::default();
    let callers = callers(site).await;
    let end = Instant::now() + site.plan.racing / 4;
    let mut round = 0_u64;
    while Instant::now() < end && !tally.has_leaked() && round < MOST_ECHOES {
        round += 1;
        let asked = callers.iter().map(|(party, caller)| {
            let word = echo::word();
            let (method, params) = echo.message(&word);
            let request = caller.request_as(json!(round % 3), method, params).once().patience(LOST);
            async move { (*party, word, caller.send(request).await) }
        });
        let answers = join_all(asked).await;
        for (party, word, exchange) in &answers {
            let foreign = answers
                .iter()
                .find(|(other, theirs, _)| other.tenant != party.tenant && echo::says(exchange, theirs));
            if let Some((other, theirs, sent)) = foreign {
                let why = format!(
                    "{} was sent the answer to a request of {}, which had the same id and the word {theirs}",
                    party.tenant, other.tenant
                );
                let theirs = site.redactor.evidence(exchange, why, theirs);
                tally.leak(vec![theirs, attempt::shown(site, sent, "the other tenant's request")]);
            } else if echo::says(exchange, word) {
                tally.held();
                tally.control(true, "");
            } else if matches!(exchange.outcome, Err(Failure::Timeout)) {
                tally.doubt(format!("an answer to {} never came", party.tenant));
            }
        }
    }
    for (_, caller) in &callers {
        caller.end().await;
    }
    tally
}

async fn types(site: &Site) -> Tally {
    rounds(site, "RT-03", |caller, _, round| {
        // One tenant's number is the other's text.
        let number = round % 5 + 1;
        let id = if caller.tenant.len() % 2 == round as usize % 2 {
            json!(number)
        } else {
            json!(number.to_string())
        };
        (id, Value::Null)
    })
    .await
}

async fn progress(site: &Site) -> Tally {
    rounds(site, "RT-04", |_, _, round| (json!(round + 1_000), json!({"progressToken": round % 2}))).await
}

async fn methods(site: &Site) -> Tally {
    let readings = match attempt::telling(site) {
        Ok(readings) => readings,
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    controls(&mut tally, site, &readings).await;
    let [one, other] = &site.parties;
    for turn in 0..readings.len().max(20) {
        let Some(reading) = readings.get(turn % readings.len().max(1)) else { break };
        for (reader, lister) in [(one, other), (other, one)] {
            let (method, params) = reading.what.message();
            let read = reader.caller.request_as(json!(7), method, params).patience(LOST);
            let list = lister.caller.request_as(json!(7), "tools/list", json!({})).patience(LOST);
            let (read, list) =
                futures_util::future::join(reader.caller.send(read), lister.caller.send(list)).await;
            let listed = read.success().is_some_and(|result| result.get("tools").is_some());
            if listed {
                let why = format!("{} called {} and was sent a list", reader.tenant, reading.what.name());
                tally.leak(vec![attempt::shown(site, &read, why)]);
            } else {
                let slow = is_lost(&read) && !attempt::control(&mut tally, site, reader, reading).await;
                let round = Round { asked: &[json!(7)], slow };
                weigh(&mut tally, site, reader, reading, &read, round);
            }
            match list.success() {
                Some(result) if result.get("tools").is_none() => {
                    let why = format!("{} asked for tools/list and was sent another answer", lister.tenant);
                    tally.leak(vec![attempt::shown(site, &list, why)]);
                }
                Some(_) => tally.held(),
                None if list.replied() => {}
                None => tally.doubt(failed(&list)),
            }
        }
        if tally.has_leaked() || site.target.late() {
            break;
        }
    }
    tally
}

async fn cancelled(site: &Site) -> Tally {
    let mut tally = by_telling(site).await;
    if !tally.has_leaked() && !site.target.late() {
        tally.merge(in_session::cancelled(site).await);
    }
    tally
}

/// How many requests of one caller the other tries to cancel.
const CANCELLED: usize = 15;

async fn by_telling(site: &Site) -> Tally {
    let readings = match attempt::telling(site) {
        Ok(readings) => readings,
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    controls(&mut tally, site, &readings).await;
    // Nobody may be hit by a cancellation that was meant for an earlier request.
    let mut ids = 90_000_u64..;
    let mut first = 0;
    for (attacker, victim) in site.directions() {
        for (own, theirs) in attacker.callers().zip(victim.callers()) {
            // Whoever comes next goes on where this one ends.
            for reading in readings.iter().cycle().skip(first).take(CANCELLED) {
                let id = json!(ids.next());
                let (method, params) = reading.what.message();
                let call = theirs.send(theirs.request_as(id.clone(), method, params).patience(LOST));
                let cancels = join_all((0..4).map(|_| {
                    let params = json!({"requestId": id, "reason": "partywall"});
                    own.send(own.notification("notifications/cancelled", params))
                }));
                let (exchange, _) = futures_util::future::join(call, cancels).await;
                match judge(site, &victim.tenant, reading, &exchange) {
                    Judged::Own => tally.held(),
                    Judged::Foreign(evidence) => tally.leak(vec![evidence]),
                    Judged::Changed(why) => tally.doubt(why),
                    Judged::Failed(_) if exchange.status() == 429 => {}
                    // Unless it works again without the cancelling, something else may be wrong.
                    Judged::Failed(why) if !attempt::control(&mut tally, site, victim, reading).await => {
                        tally.doubt(why)
                    }
                    Judged::Failed(why) => {
                        let why = format!(
                            "{} cancelled a request of {} by its id: {why}",
                            attacker.tenant, victim.tenant
                        );
                        tally.leak(vec![attempt::shown(site, &exchange, why)]);
                    }
                }
                if tally.has_leaked() || site.target.late() {
                    return tally;
                }
            }
            first = (first + CANCELLED) % readings.len();
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use partywall_model::Outcome;

    use super::*;
    use crate::oracle::known::{alone, answered, asked, dead, innocent, leaks, silent, site};

    fn outcome(site: &Site, exchange: &Exchange, slow: bool) -> Outcome {
        let mut tally = Tally::default();
        tally.control(true, "");
        let others = [json!(7), json!(8)];
        let round = Round { asked: &others, slow };
        weigh(&mut tally, site, &site.parties[0], &site.readings[0], exchange, round);
        tally.finish().0
    }

    #[tokio::test]
    async fn a_lost_answer_is_a_leak_only_where_others_come_in_time() {
        let site = site();
        let lost = silent(asked(&site), Failure::Timeout);
        assert_eq!(outcome(&site, &lost, false), Outcome::Leaked);
        assert_eq!(outcome(&site, &lost, true), Outcome::Inconclusive);
        // What the network or the run's end took is not lost among equal ids.
        for failure in [Failure::Late, Failure::TooLarge, Failure::Broken("reset".to_owned())] {
            assert_eq!(outcome(&site, &silent(asked(&site), failure), false), Outcome::Inconclusive);
        }
    }

    #[tokio::test]
    async fn anothers_answer_is_a_leak_and_no_answer_is_no_pass() {
        let site = site();
        let to = |id: u64| {
            let body = json!({"jsonrpc": "2.0", "id": id, "result": alone("acme")}).to_string();
            answered(asked(&site), 200, ("content-type", "application/json"), &body)
        };
        assert_eq!(outcome(&site, &to(8), false), Outcome::Leaked, "somebody else asked with the id 8");
        assert_eq!(outcome(&site, &to(999), false), Outcome::Inconclusive, "nobody asked with it");
        for (what, exchange) in leaks(&site) {
            assert_eq!(outcome(&site, &exchange, false), Outcome::Leaked, "{what}");
        }
        for (what, exchange) in innocent(&site) {
            assert_eq!(outcome(&site, &exchange, false), Outcome::Isolated, "{what}");
        }
        for (what, exchange) in dead(&site) {
            let never = [Outcome::Isolated, Outcome::Leaked];
            let lost = is_lost(&exchange);
            assert!(lost || !never.contains(&outcome(&site, &exchange, false)), "{what}");
        }
    }
}
