//! Answers that one tenant's request left behind for another.

use partywall_model::{Layer, Severity};
use serde_json::{Value, json};

use crate::{
    facts::{Facts, PLANTED},
    oracle::{Judged, judge},
    probes::{
        Probe, Technique,
        attempt::{self, Refusal},
        routing::asking::{self, Flow, NO_QUESTIONS, completed},
    },
    site::Site,
    tally::Tally,
    target::{Caller, Exchange},
};

pub(super) static PROBE: Probe = Probe::new(
    "primed-cache",
    Layer::Cache,
    Severity::High,
    "Reads as one tenant what another has just read, in both orders.",
    include_str!("primed.md"),
    &[
        Technique::new(
            "CA-01",
            "the same read by one tenant right after the other",
            Severity::High,
            |site| Box::pin(primed(site)),
        )
        .quick(),
        Technique::new("CA-02", "lists by turns", Severity::High, |site| Box::pin(lists(site))).quick(),
        Technique::new("CA-03", "handshakes by turns", Severity::Medium, |site| Box::pin(handshakes(site))),
        Technique::new(
            "CA-06",
            "asking for what only the other has, before he asks",
            Severity::Medium,
            |site| Box::pin(negative(site)),
        ),
        Technique::new("CA-09", "a result that the other's answers made", Severity::High, |site| {
            Box::pin(answered(site))
        }),
    ],
);

async fn primed(site: &Site) -> Tally {
    let mut tally = Tally::default();
    let readings = site.common();
    attempt::doubt_blind(&mut tally, site, &readings);
    for reading in attempt::turns_of(site, &readings, 2 * attempt::SAMPLE) {
        for (attacker, victim) in site.directions() {
            // The owner's own read is the control and fills the cache; it may already come from the other's.
            if attempt::control(&mut tally, site, victim, reading).await {
                let exchange = attempt::read(&attacker.caller, &reading.what).await;
                attempt::weigh(&mut tally, site, &attacker.tenant, reading, &exchange, Refusal::Wrong);
            }
            if tally.has_leaked() || site.target.late() {
                return tally;
            }
        }
    }
    tally.absent("nothing can be read by both tenants with the same arguments");
    tally
}

/// What one tenant is shown after its answers, asked for by the other, who has answered nothing.
async fn answered(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let (Some(own), Some(theirs)) = (&attacker.modern, &victim.modern) else {
            tally.absent("the target does not speak 2026-07-28, in which a call is made again with answers");
            continue;
        };
        let Some(flow) = Flow::find(site, victim, theirs, false).await else {
            tally.absent(NO_QUESTIONS);
            continue;
        };
        if Flow::begin(own, &flow.what).await.is_none() {
            tally.absent("the call that asks one tenant asks the other nothing");
            continue;
        }
        let word = attempt::fresh("answered");
        let done = flow.go_on(theirs, flow.state.as_deref(), flow.answers(&word)).await;
        let failed = crate::oracle::reading::failed(&done);
        tally.control(completed(&done), &format!("the owner's call does not end with its answers: {failed}"));
        if !completed(&done) {
            continue;
        }
        let exchange = asking::ask(own, &flow.what, json!({})).await;
        if attempt::shows(&exchange, &word) || completed(&exchange) {
            let why = format!(
                "{} is shown a result without being asked anything, after {} has answered the same call's questions",
                attacker.tenant, victim.tenant
            );
            tally.leak(vec![
                attempt::shown(site, &done, "the owner's call with its answers"),
                attempt::shown(site, &exchange, why),
            ]);
        } else {
            attempt::denied(&mut tally, site, &attacker.tenant, &exchange);
        }
    }
    tally
}

async fn lists(site: &Site) -> Tally {
    let mut tally = Tally::default();
    let [one, other] = &site.parties;
    for method in LISTS {
        let alone = |party: &crate::site::Party| {
            let list = party.surface.lists.iter().find(|(known, _)| *known == method)?;
            list.1.success().cloned()
        };
        let (Some(mine), Some(theirs)) = (alone(one), alone(other)) else { continue };
        let (first, second) = (Facts::of(&mine), Facts::of(&theirs));
        for _ in 0..6 {
            for (party, own, foreign, listed) in
                [(one, &first, &second, &mine), (other, &second, &first, &theirs)]
            {
                let exchange = party.caller.ask(method, json!({})).await;
                let Some(result) = exchange.success() else {
                    tally.doubt(crate::oracle::reading::failed(&exchange));
                    continue;
                };
                let shown = Facts::of(result);
                if let Some(evidence) = site.foreign(&party.tenant, &exchange) {
                    tally.leak(vec![evidence]);
                } else if !own.holds_in(&shown) && foreign.holds_in(&shown) {
                    let why =
                        format!("{} asked for {method} and was shown the other tenant's list", party.tenant);
                    tally.leak(vec![attempt::shown(site, &exchange, why)]);
                } else if let Some(more) = added(listed, result) {
                    tally.doubt(format!(
                        "{method} of {} has {more:?}, which was not there before anything was called",
                        party.tenant
                    ));
                } else if own.holds_in(&shown) {
                    tally.held();
                    tally.control(true, "");
                } else {
                    tally.doubt(format!("{method} changed between two requests of {}", party.tenant));
                }
            }
        }
    }
    tally.absent("the target offers no lists");
    tally
}

/// The lists that are compared.
const LISTS: [&str; 4] = ["tools/list", "resources/list", "resources/templates/list", "prompts/list"];

/// The name of an entry that a list had not before. What the run itself has added counts for none.
fn added(before: &Value, now: &Value) -> Option<String> {
    let entries = |list: &Value| -> Vec<Value> {
        let lists = list.as_object().into_iter().flat_map(|fields| fields.values());
        lists.filter_map(Value::as_array).flatten().cloned().collect()
    };
    let name = |entry: &Value| {
        let keys = ["uri", "uriTemplate", "name"];
        keys.iter().find_map(|key| entry.get(key)?.as_str()).map(str::to_owned)
    };
    let known: Vec<String> = entries(before).iter().filter_map(name).collect();
    let strange = entries(now).into_iter().filter(|entry| !entry.to_string().contains(PLANTED));
    strange.filter_map(|entry| name(&entry)).find(|name| !known.contains(name))
}

/// The handshake of a caller in his own generation, in a session of its own where there are sessions.
async fn handshake(caller: &Caller) -> Exchange {
    let caller = caller.speaking_here(caller.era().clone());
    let exchange = match caller.begin().await {
        Some(exchange) => exchange,
        None => caller.ask("server/discover", json!({})).await,
    };
    caller.end().await;
    exchange
}

async fn handshakes(site: &Site) -> Tally {
    let mut tally = Tally::default();
    let [one, other] = &site.parties;
    for caller in one.callers() {
        let Some(theirs) = other.callers().find(|theirs| theirs.era() == caller.era()) else { continue };
        let mut alone: Vec<Facts> = Vec::new();
        for caller in [caller, theirs] {
            let (first, again) = (handshake(caller).await, handshake(caller).await);
            match (first.success(), again.success()) {
                (Some(first), Some(again)) => alone.push(Facts::of(first).stable(&Facts::of(again))),
                _ => tally.control(false, &crate::oracle::reading::failed(&first)),
            }
        }
        let [mine, his] = alone.as_slice() else { continue };
        for _ in 0..4 {
            for (caller, own, foreign) in [(caller, mine, his), (theirs, his, mine)] {
                let exchange = handshake(caller).await;
                let shown = exchange.success().map(Facts::of);
                match (site.foreign(&caller.tenant, &exchange), shown) {
                    (Some(evidence), _) => tally.leak(vec![evidence]),
                    (None, None) => tally.doubt(crate::oracle::reading::failed(&exchange)),
                    (None, Some(shown)) if own.holds_in(&shown) => {
                        tally.held();
                        tally.control(true, "");
                    }
                    (None, Some(shown)) if foreign.holds_in(&shown) => {
                        let why = format!("{} was given the other tenant's handshake", caller.tenant);
                        tally.leak(vec![attempt::shown(site, &exchange, why)]);
                    }
                    (None, Some(_)) => tally.doubt(format!("the handshake of {} changed", caller.tenant)),
                }
            }
        }
    }
    tally
}

async fn negative(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let only: Vec<_> = site
            .readings_of(&victim.tenant)
            .map(|(reading, _)| reading)
            .filter(|reading| !reading.alone.contains_key(&attacker.tenant))
            .collect();
        for reading in attempt::turns(site, &only) {
            if !attempt::control(&mut tally, site, victim, reading).await {
                continue;
            }
            let mut asked = None;
            for _ in 0..3 {
                let exchange = attempt::read(&attacker.caller, &reading.what).await;
                attempt::denied(&mut tally, site, &attacker.tenant, &exchange);
                asked = Some(exchange);
            }
            let after = attempt::read(&victim.caller, &reading.what).await;
            match judge(site, &victim.tenant, reading, &after) {
                Judged::Foreign(evidence) => tally.leak(vec![evidence]),
                Judged::Failed(_) if after.replied() && !matches!(after.status(), 429 | 503) => {
                    let again = attempt::read(&victim.caller, &reading.what).await;
                    if again.replied() && again.success().is_none() {
                        let why = format!(
                            "{} is refused what is its own, after {} asked for it",
                            victim.tenant, attacker.tenant
                        );
                        let mut evidence: Vec<_> =
                            asked.iter().map(|asked| attempt::shown(site, asked, "asked before")).collect();
                        evidence.push(attempt::shown(site, &again, why));
                        tally.leak(evidence);
                    }
                }
                Judged::Failed(why) => tally.doubt(why),
                Judged::Own | Judged::Changed(_) => tally.held(),
            }
            if tally.has_leaked() || site.target.late() {
                return tally;
            }
        }
    }
    tally.absent("no tenant can read something that the other cannot");
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_list_has_besides_is_named() {
        let tools = |names: &[&str]| json!({"tools": names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>(), "ttlMs": 0});
        assert_eq!(added(&tools(&["a", "b"]), &tools(&["b", "c", "a"])).as_deref(), Some("c"));
        assert_eq!(added(&tools(&["a", "b"]), &tools(&["b"])), None);
        assert_eq!(added(&tools(&["a"]), &tools(&["a", "cnry-x"])), None);
        let uris = |uri: &str| json!({"resources": [{"uri": uri, "name": "note"}]});
        assert_eq!(added(&uris("note://1"), &uris("note://2")).as_deref(), Some("note://2"));
    }
}
