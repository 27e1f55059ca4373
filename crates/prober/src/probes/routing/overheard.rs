//! What comes on a tenant's open stream while another one works.

use partywall_model::{Layer, Severity};
use serde_json::{Value, json};

use super::{
    ear::{DEAF, Ear, method, stir},
    echo::{self, Echo},
};
use crate::{
    oracle::reading::failed,
    probes::{Probe, Technique, attempt},
    site::{Party, Site},
    tally::Tally,
    target::{Caller, Exchange},
};

pub(super) static PROBE: Probe = Probe::new(
    "overheard",
    Layer::Routing,
    Severity::High,
    "Listens on a stream of its own while another tenant works.",
    include_str!("overheard.md"),
    &[
        Technique::new("RT-05", "log messages of another tenant", Severity::High, |site| {
            Box::pin(logs(site))
        }),
        Technique::new("RT-06", "news of another tenant's changes", Severity::Low, |site| {
            Box::pin(changes(site))
        }),
        Technique::new("RT-11", "setting the log level for another tenant", Severity::Medium, |site| {
            Box::pin(levels(site))
        }),
        Technique::new(RT_16, "answers and progress on another tenant's stream", Severity::High, |site| {
            Box::pin(broadcast(site))
        }),
        Technique::new("SE-04", "a stream that another tenant's stream ends", Severity::Medium, |site| {
            Box::pin(displaced(site))
        }),
    ],
);

/// What streams bring late is told of by this one.
pub(super) const RT_16: &str = "RT-16";

/// How many requests are sent while somebody listens.
const SAID: usize = 4;
/// How often something must be heard, and not be heard without the other's work.
const AGAIN: usize = 2;

/// A listener in each generation in which the target has streams.
pub(super) async fn ears(tally: &mut Tally, party: &Party) -> Vec<Ear> {
    let mut all = Vec::new();
    if party.legacy.is_some() {
        match Ear::legacy(party, &json!({})).await {
            Ok(ear) => all.push(ear),
            Err(why) => tally.absent(why),
        }
    }
    if party.modern.is_some() {
        let all_of_it =
            json!({"toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true});
        match Ear::modern(party, &json!(format!("ear-{}", fastrand::u32(..))), &all_of_it).await {
            Ok(ear) => all.push(ear),
            Err(why) => tally.absent(why),
        }
    }
    all
}

/// A fresh caller of a party in the generation of another caller.
async fn speaker(party: &Party, like: &Caller) -> Option<Caller> {
    let base = party.callers().find(|caller| caller.era() == like.era())?;
    let caller = base.afresh();
    caller.begin().await;
    Some(caller)
}

async fn broadcast(site: &Site) -> Tally {
    let mut tally = Tally::default();
    let echo = Echo::find(site).await;
    for (listener, speaker_of) in site.directions() {
        for ear in ears(&mut tally, listener).await {
            if let Some(caller) = speaker(speaker_of, &ear.caller).await {
                let said = say(site, speaker_of, &caller, echo.as_ref()).await;
                let own = ear.caller.ask("tools/list", json!({})).await;
                let heard = ear.since(0).await;
                overheard(&mut tally, site, (listener, speaker_of), (&ear, &heard, &own), &said);
                caller.end().await;
            }
            ear.close().await;
        }
    }
    tally
}

/// What was said: the request's id, the words in it, and the exchange.
type Said = (Value, Vec<String>, Exchange);

async fn say(site: &Site, party: &Party, caller: &Caller, echo: Option<&Echo>) -> Vec<Said> {
    let mut said = Vec::new();
    let mut readings = site.readings_of(&party.tenant).map(|(reading, _)| reading);
    for turn in 0..SAID {
        let (id, token, word) = (json!(format!("said-{}", echo::word())), echo::word(), echo::word());
        let message = match (echo, readings.next()) {
            (Some(echo), _) if turn % 2 == 0 => echo.message(&word),
            (_, Some(reading)) => reading.what.message(),
            (Some(echo), None) => echo.message(&word),
            (None, None) => ("tools/list", json!({})),
        };
        let (method, mut params) = message;
        if let Some(params) = params.as_object_mut() {
            params.insert("_meta".to_owned(), json!({"progressToken": token}));
        }
        let exchange = caller.send(caller.request_as(id.clone(), method, params)).await;
        if exchange.replied() {
            said.push((id, vec![token, word], exchange));
        }
    }
    said
}

fn overheard(
    tally: &mut Tally,
    site: &Site,
    (listener, speaker): (&Party, &Party),
    (ear, heard, own): (&Ear, &[Value], &Exchange),
    said: &[Said],
) {
    for (id, words, exchange) in said {
        let found = heard.iter().find(|message| {
            let text = message.to_string();
            message.get("id") == Some(id) || words.iter().any(|word| text.contains(word))
        });
        if let Some(message) = found {
            let what = if message.get("id") == Some(id) { "the answer to" } else { "something of" };
            let why = format!(
                "{}'s stream brought {what} a request that {} had sent with the id {id}",
                listener.tenant, speaker.tenant
            );
            let text = id.as_str().unwrap_or_default();
            tally.leak(vec![
                site.redactor.evidence(&ear.told(), why, text),
                attempt::shown(site, exchange, "the other tenant's request"),
            ]);
            return;
        }
    }
    // Silence says nothing where nobody spoke, or nobody could have heard.
    let served = own.answer().is_some();
    tally.control(!said.is_empty(), "the other tenant got no answer while somebody listened");
    tally.control(served, &format!("the listener is not served itself: {}", failed(own)));
    if !said.is_empty() && served {
        attempt::denied(tally, site, &listener.tenant, &ear.told());
    }
}

async fn level(caller: &Caller, level: &str) -> Exchange {
    caller.ask("logging/setLevel", json!({"level": level})).await
}

fn is_log(message: &Value) -> bool {
    method(message) == "notifications/message"
}

/// How many log messages a tenant is sent, on all its streams, when it reads something.
async fn noise(site: &Site, party: &Party, ear: &Ear) -> usize {
    let known = ear.heard().len();
    let mut count = 0;
    for (reading, _) in site.readings_of(&party.tenant).take(2) {
        let exchange = attempt::read(&ear.caller, &reading.what).await;
        if !ear.caller.streams() {
            count += exchange
                .reply()
                .map_or(0, |reply| reply.messages.iter().filter(|message| is_log(message)).count());
        }
    }
    count + ear.since(known).await.iter().filter(|message| is_log(message)).count()
}

const NO_LOGS: &str = "the target sends its clients no log messages";

/// Two tenants who listen in sessions of their own, on a target that has log levels and sends log messages.
async fn loggers(tally: &mut Tally, site: &Site, one: &Party, other: &Party) -> Option<(Ear, Ear)> {
    let (own, theirs) = match (Ear::legacy(one, &json!({})).await, Ear::legacy(other, &json!({})).await) {
        (Ok(own), Ok(theirs)) => (own, theirs),
        (own, theirs) => {
            for ear in [own, theirs] {
                match ear {
                    Ok(ear) => ear.close().await,
                    Err(why) => tally.absent(why),
                }
            }
            return None;
        }
    };
    let set = level(&theirs.caller, "debug").await;
    let loud = set.success().is_some() && noise(site, other, &theirs).await > 0;
    if !loud {
        tally.absent(NO_LOGS);
        own.close().await;
        theirs.close().await;
        return None;
    }
    tally.control(true, "");
    Some((own, theirs))
}

async fn logs(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (listener, speaker) in site.directions() {
        let Some((own, theirs)) = loggers(&mut tally, site, listener, speaker).await else { continue };
        level(&own.caller, "debug").await;
        let mut heard = 0;
        let mut quiet = true;
        for _ in 0..AGAIN {
            let known = own.heard().len();
            quiet &= !own.since(known).await.iter().any(is_log);
            let known = own.heard().len();
            noise(site, speaker, &theirs).await;
            heard += usize::from(own.heard().iter().skip(known).any(is_log));
        }
        if let Some(evidence) = site.foreign(&listener.tenant, &own.told()) {
            tally.leak(vec![evidence]);
        } else if quiet && heard == AGAIN {
            let why = format!(
                "{} is sent log messages whenever {} is at work, and none otherwise",
                listener.tenant, speaker.tenant
            );
            tally.leak(vec![attempt::shown(site, &own.told(), why)]);
        } else if heard > 0 {
            tally.doubt(format!("{} is sent log messages; whose, cannot be told", listener.tenant));
        } else {
            tally.held();
        }
        own.close().await;
        theirs.close().await;
    }
    tally
}

/// One tenant's level must change nothing for the other.
async fn levels(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let Some((own, theirs)) = loggers(&mut tally, site, attacker, victim).await else { continue };
        let mut silenced = 0;
        for _ in 0..AGAIN {
            level(&own.caller, "emergency").await;
            let silent = noise(site, victim, &theirs).await == 0;
            level(&own.caller, "debug").await;
            silenced += usize::from(silent && noise(site, victim, &theirs).await > 0);
        }
        level(&theirs.caller, "emergency").await;
        let still = noise(site, victim, &theirs).await == 0;
        let set = level(&own.caller, "debug").await;
        let woken = still && noise(site, victim, &theirs).await > 0;
        if silenced == AGAIN || woken {
            let how = if woken { "woke" } else { "silenced" };
            let why = format!(
                "{} set a level in its own session and {how} the log messages of {}",
                attacker.tenant, victim.tenant
            );
            tally.leak(vec![attempt::shown(site, &set, why)]);
        } else {
            tally.held();
        }
        own.close().await;
        theirs.close().await;
    }
    tally.note("Cancelling another's subscription was left out.");
    tally
}

fn is_news(message: &Value) -> bool {
    let method = method(message);
    method.ends_with("list_changed") || method == "notifications/resources/updated"
}

async fn changes(site: &Site) -> Tally {
    if !site.plan.allow_writes {
        return Tally::not_run("it needs something to change; --allow-writes lets it write");
    }
    let mut tally = Tally::default();
    for (listener, writer) in site.directions() {
        for ear in ears(&mut tally, listener).await {
            let theirs = match ear.caller.era() {
                crate::target::Era::Modern => ears(&mut tally, writer).await.into_iter().last(),
                crate::target::Era::Legacy(_) => Ear::legacy(writer, &json!({})).await.ok(),
            };
            if let Some(theirs) = theirs {
                one_change(&mut tally, site, (listener, &ear), (writer, &theirs)).await;
                theirs.close().await;
            }
            ear.close().await;
        }
    }
    tally
}

async fn one_change(
    tally: &mut Tally,
    site: &Site,
    (listener, ear): (&Party, &Ear),
    (writer, theirs): (&Party, &Ear),
) {
    let list = || ear.caller.ask("tools/list", json!({}));
    let before = list().await;
    let known = ear.heard().len();
    let quiet = !ear.since(known).await.iter().any(is_news);
    let (known, own) = (ear.heard().len(), theirs.heard().len());
    if stir(&theirs.caller, writer).await == 0 {
        tally.absent("nothing could be written");
        return;
    }
    let heard = ear.since(known).await.into_iter().find(is_news);
    let told = theirs.heard().iter().skip(own).any(is_news);
    let after = list().await;
    let same = before.success().is_some()
        && before.success().map(crate::facts::Facts::of) == after.success().map(crate::facts::Facts::of);
    match heard {
        Some(message) if quiet && same => {
            let why = format!(
                "{} was sent {} when {} wrote, though nothing that {} sees has changed",
                listener.tenant,
                method(&message),
                writer.tenant,
                listener.tenant
            );
            tally.leak(vec![attempt::shown(site, &ear.told(), why)]);
        }
        Some(_) => tally.doubt("news came that may be the listener's own"),
        None if told => {
            tally.control(true, "");
            tally.held();
        }
        None => tally.absent("what was written was no news to its writer either"),
    }
}

async fn displaced(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let mut ended = 0;
        let mut told = None;
        for _ in 0..AGAIN {
            let theirs = match Ear::legacy(victim, &json!({})).await {
                Ok(theirs) if theirs.caller.streams() => {
                    tally.absent("in HTTP+SSE a session has one stream (RT-16 listens on it)");
                    theirs.close().await;
                    break;
                }
                Ok(theirs) => theirs,
                Err(why) => {
                    tally.absent(why);
                    break;
                }
            };
            theirs.since(0).await;
            if theirs.ended() {
                tally.absent("a stream for listening ends by itself");
                theirs.close().await;
                break;
            }
            match Ear::legacy(attacker, &json!({})).await {
                Ok(own) => {
                    tally.control(true, "");
                    own.since(0).await;
                    ended += usize::from(theirs.ended());
                    told = Some(own.told());
                    own.close().await;
                }
                Err(_) => tally.doubt(format!("while {} listens: {DEAF}", victim.tenant)),
            }
            theirs.close().await;
        }
        match told {
            Some(told) if ended == AGAIN => {
                let why = format!(
                    "{} opened a stream in its own session, and the stream of {} ended",
                    attacker.tenant, victim.tenant
                );
                tally.leak(vec![attempt::shown(site, &told, why)]);
            }
            Some(_) => tally.held(),
            None => {}
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use partywall_model::Outcome;

    use super::*;
    use crate::oracle::known::{alone, answered, asked, dead, silent, site};

    /// The listener's own answer.
    fn served(site: &Site) -> Exchange {
        let body = json!({"jsonrpc": "2.0", "id": 7, "result": alone("acme")}).to_string();
        answered(asked(site), 200, ("content-type", "application/json"), &body)
    }

    #[tokio::test]
    async fn nobody_who_speaks_and_nobody_who_could_hear_show_nothing() {
        let site = site();
        let [listener, speaker] = &site.parties;
        let ear = Ear::deaf(listener.caller.afresh());
        let outcome = |said: &[Said], own: &Exchange| {
            let mut tally = Tally::default();
            overheard(&mut tally, &site, (listener, speaker), (&ear, &[], own), said);
            tally.finish().0
        };
        let said: [Said; 1] = [(json!("said-1"), vec!["word-4711".into()], served(&site))];
        assert_eq!(outcome(&said, &served(&site)), Outcome::Isolated);
        assert_eq!(outcome(&[], &served(&site)), Outcome::Inconclusive, "nobody spoke");
        for (what, own) in dead(&site) {
            assert_eq!(outcome(&said, &own), Outcome::Inconclusive, "{what}");
            assert_eq!(outcome(&[], &own), Outcome::Inconclusive, "{what}, and nobody spoke");
        }
        // The technique whole, against a target that is not there.
        let (outcome, reason, _) = broadcast(&site).await.finish();
        assert!(matches!(outcome, Outcome::Inconclusive | Outcome::NotRun), "{reason}");
    }

    #[tokio::test]
    async fn what_another_said_on_ones_stream_is_a_leak_and_ones_own_is_not() {
        let site = site();
        let [listener, speaker] = &site.parties;
        let ear = Ear::deaf(listener.caller.afresh());
        let request = silent(asked(&site), crate::target::Failure::Late);
        let said: [Said; 1] = [(json!("said-1"), vec!["token-4711".into(), "word-4711".into()], request)];
        let own = served(&site);
        let outcome = |heard: &[Value]| {
            let mut tally = Tally::default();
            overheard(&mut tally, &site, (listener, speaker), (&ear, heard, &own), &said);
            tally.finish().0
        };
        let progress =
            |token| json!({"method": "notifications/progress", "params": {"progressToken": token}});
        for leak in [
            json!({"jsonrpc": "2.0", "id": "said-1", "result": {}}),
            json!({"jsonrpc": "2.0", "id": 3, "result": {"content": [{"text": "no tool word-4711"}]}}),
            progress("token-4711"),
        ] {
            assert_eq!(outcome(&[progress("other"), leak.clone()]), Outcome::Leaked, "{leak}");
        }
        for own in [
            json!({"jsonrpc": "2.0", "id": "said-2", "result": {}}),
            json!({"method": "notifications/tools/list_changed"}),
            progress("token-4712"),
        ] {
            assert_eq!(outcome(std::slice::from_ref(&own)), Outcome::Isolated, "{own}");
        }
        assert_eq!(outcome(&[]), Outcome::Isolated);
    }
}
