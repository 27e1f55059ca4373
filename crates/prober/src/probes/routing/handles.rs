//! Event ids, and what session ids are made of.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use partywall_model::{Layer, Severity};
use serde_json::json;

use super::sessions::{Meeting, resumed};
use crate::{
    facts::Facts,
    oracle::reading::failed,
    probes::{Probe, Technique, attempt},
    site::{Party, Site},
    tally::Tally,
    target::{Caller, Exchange, Wait, events},
};

pub(super) static PROBE: Probe = Probe::new(
    "guessable-handles",
    Layer::Routing,
    Severity::High,
    "Resumes streams by another tenant's event ids, and looks at how ids are made and how long they live.",
    include_str!("handles.md"),
    &[
        Technique::new("SE-06", "another tenant's event id", Severity::High, |site| {
            Box::pin(foreign_events(site))
        })
        .quick(),
        Technique::new("SE-07", "guessed event ids", Severity::High, |site| Box::pin(guessed_events(site))),
        Technique::new("SE-10", "how session ids are made", Severity::High, |site| Box::pin(entropy(site))),
        Technique::new("SE-14", "a session after its end", Severity::Medium, |site| {
            Box::pin(after_its_end(site))
        }),
        Technique::new("SE-15", "session ids of others in answers", Severity::High, |site| {
            Box::pin(told(site))
        }),
    ],
);

/// Event ids of what a tenant was sent.
async fn event_ids(site: &Site, owner: &Caller) -> Vec<String> {
    let mut ids = Vec::new();
    for reading in attempt::few(site, 3) {
        let exchange = attempt::read(owner, &reading.what).await;
        ids.extend(ids_in(&exchange));
    }
    ids.dedup();
    ids.truncate(4);
    ids
}

fn ids_in(exchange: &Exchange) -> Vec<String> {
    let Some(reply) = exchange.reply() else { return Vec::new() };
    let stream = reply.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
    if !stream {
        return Vec::new();
    }
    events(&reply.body).into_iter().filter_map(|event| event.id).filter(|id| !id.is_empty()).collect()
}

/// Judges a resumed stream: what it brings must be the caller's own.
fn weigh(
    tally: &mut Tally,
    site: &Site,
    (attacker, victim): (&Party, &Party),
    exchange: &Exchange,
    id: &str,
) {
    if let Some(evidence) = site.foreign(&attacker.tenant, exchange) {
        tally.leak(vec![evidence]);
        return;
    }
    let Some(reply) = exchange.reply() else {
        tally.doubt(failed(exchange));
        return;
    };
    let says = |party: &Party, facts: &Facts| {
        site.readings_of(&party.tenant).any(|(_, alone)| !alone.is_empty() && alone.holds_in(facts))
    };
    for facts in reply.messages.iter().filter_map(|message| message.get("result")).map(Facts::of) {
        if says(attacker, &facts) || facts.is_empty() {
            continue;
        }
        if says(victim, &facts) {
            let why = format!(
                "{} resumed with the event id {id:?} and was sent an answer of {}",
                attacker.tenant, victim.tenant
            );
            tally.leak(vec![attempt::shown(site, exchange, why)]);
        } else {
            tally.doubt("a resumed stream brought an answer that is neither tenant's");
        }
        return;
    }
    tally.held();
}

async fn foreign_events(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let Some(meeting) = Meeting::begin(&mut tally, attacker, victim).await else { continue };
        let ids = event_ids(site, &meeting.theirs).await;
        if ids.is_empty() {
            tally.absent(NO_EVENTS);
        }
        for id in ids {
            let resumable = resumed(&meeting.theirs, &id).await;
            tally.control(resumable.replied(), &format!("the owner cannot resume: {}", failed(&resumable)));
            let exchange = resumed(&meeting.own, &id).await;
            weigh(&mut tally, site, (attacker, victim), &exchange, &id);
        }
        meeting.end().await;
    }
    tally
}

const NO_EVENTS: &str = "no event of the target has an id, so nothing can be resumed";

async fn guessed_events(site: &Site) -> Tally {
    const GUESSES: [&str; 9] = ["0", "1", "2", "0/0", "0/1", "0_0", "-1", "999999999999", "*"];
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let Some(meeting) = Meeting::begin(&mut tally, attacker, victim).await else { continue };
        if event_ids(site, &meeting.theirs).await.is_empty() {
            tally.absent(NO_EVENTS);
        } else {
            tally.control(true, "");
            let guesses = join_all(GUESSES.map(|id| resumed(&meeting.own, id))).await;
            for (exchange, id) in guesses.iter().zip(GUESSES) {
                weigh(&mut tally, site, (attacker, victim), exchange, id);
            }
        }
        meeting.end().await;
    }
    tally
}

/// How long a page is looked at.
const LOOK: std::time::Duration = std::time::Duration::from_secs(1);
/// How many sessions are begun to look at their ids.
const SAMPLES: usize = 40;
/// An id of fewer bits than this, by what varies in the sample, can be guessed by somebody who has seen some.
pub(super) const BITS: f64 = 64.0;

async fn entropy(site: &Site) -> Tally {
    let [party, _] = &site.parties;
    let Some(base) = party.legacy.as_ref().filter(|caller| caller.session().is_some()) else {
        return Tally::not_run("the target gives out no session ids");
    };
    let mut tally = Tally::default();
    let mut ids = Vec::new();
    for _ in 0..SAMPLES {
        let caller = base.afresh();
        let exchange = caller.begin().await;
        if let Some(id) = caller.session() {
            ids.push(id);
        } else if let Some(exchange) = exchange {
            tally.doubt(failed(&exchange));
            break;
        }
        caller.end().await;
    }
    let distinct: BTreeSet<&String> = ids.iter().collect();
    let bits = bits(&ids);
    tally.control(ids.len() > 1, "no second session could be begun");
    let exchange = base.ask("tools/list", json!({})).await;
    if ids.len() < SAMPLES / 4 {
        tally.doubt(format!("only {} sessions could be begun", ids.len()));
    } else if distinct.len() < ids.len() {
        let why = format!("{} of {} session ids were given out twice", ids.len() - distinct.len(), ids.len());
        tally.leak(vec![attempt::shown(site, &exchange, why)]);
    } else if bits < BITS {
        let why = format!(
            "in {} session ids only about {bits:.0} bits vary: who has seen some can guess others'",
            ids.len()
        );
        tally.leak(vec![attempt::shown(site, &exchange, why)]);
    } else {
        tally.held();
        tally.note(format!("About {bits:.0} bits vary in {} ids.", ids.len()));
    }
    tally
}

/// How many bits vary from id to id, by the letters seen at each place.
pub(super) fn bits(ids: &[String]) -> f64 {
    let longest = ids.iter().map(|id| id.chars().count()).max().unwrap_or(0);
    (0..longest)
        .map(|place| {
            let letters: BTreeSet<Option<char>> = ids.iter().map(|id| id.chars().nth(place)).collect();
            #[expect(clippy::cast_precision_loss, reason = "there are few letters")]
            let kinds = letters.len().max(1) as f64;
            kinds.log2()
        })
        .sum()
}

async fn after_its_end(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for party in &site.parties {
        ended(&mut tally, site, party).await;
    }
    tally
}

async fn ended(tally: &mut Tally, site: &Site, party: &Party) {
    let Some(base) = party.legacy.as_ref().filter(|caller| caller.session().is_some()) else {
        tally.absent("the target gives out no session ids");
        return;
    };
    let caller = base.afresh();
    caller.begin().await;
    let before = caller.ask("tools/list", json!({})).await;
    tally.control(before.success().is_some(), "a fresh session does not work");
    let delete = caller.send(caller.bare(http::Method::DELETE)).await;
    if !(200..300).contains(&delete.status()) {
        tally.absent(format!("sessions cannot be ended by the client (HTTP {})", delete.status()));
        return;
    }
    let after = caller.ask("tools/list", json!({})).await;
    if after.success().is_some() {
        let why = "a session was served after its owner had ended it";
        tally.leak(vec![attempt::shown(site, &after, why)]);
    } else if after.replied() {
        tally.held();
    } else {
        tally.doubt(failed(&after));
    }
}

/// Paths under which servers show what they are doing.
const PAGES: [&str; 14] = [
    "/",
    "/metrics",
    "/health",
    "/healthz",
    "/status",
    "/info",
    "/debug",
    "/sessions",
    "/admin",
    "/admin/sessions",
    "/api/sessions",
    "/docs",
    "/logs",
    "/debug/vars",
];

/// Looks for another tenant's session id in whatever can be asked for.
async fn told(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let Some(meeting) = Meeting::begin(&mut tally, attacker, victim).await else { continue };
        let id = meeting.theirs.session().unwrap_or_default();
        let own = &meeting.own;
        let alive = meeting.theirs.ask("tools/list", json!({})).await;
        tally.control(
            alive.success().is_some() && id.len() >= 8,
            "the owner's session does not work, or its id is too short to be known again",
        );
        let mut asked = vec![
            own.ask("tools/list", json!({})).await,
            own.ask("sessions/list", json!({})).await,
            own.ask("tools/call", json!({"name": 7})).await,
            own.send(own.request("ping", json!({})).body("{")).await,
        ];
        let nobody = site.nobody.iter().take(1);
        for caller in [own].into_iter().chain(nobody) {
            for path in PAGES {
                let request = caller.bare(http::Method::GET).to(site.target.at(path));
                asked.push(caller.send_plainly(request.wait(Wait::For(LOOK))).await);
            }
        }
        asked.extend(own.begin().await);
        for exchange in asked {
            let Some(reply) = exchange.reply() else { continue };
            if id.len() >= 8 && String::from_utf8_lossy(&reply.haystack()).contains(&id) {
                let why = format!("{} was shown the session id of {}", exchange.who, victim.tenant);
                tally.leak(vec![site.redactor.evidence(&exchange, why, &id)]);
            } else {
                tally.held();
            }
        }
        meeting.end().await;
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_few_bits_and_random_ids_many() {
        let counters: Vec<String> = (1000..1040).map(|n| format!("session-{n}")).collect();
        assert!(bits(&counters) < 10.0, "{}", bits(&counters));
        let mut chance = fastrand::Rng::with_seed(1);
        let random: Vec<String> = (0..40)
            .map(|_| format!("{:032x}", u128::from(chance.u64(..)) << 64 | u128::from(chance.u64(..))))
            .collect();
        assert!(bits(&random) > 100.0, "{}", bits(&random));
    }
}
