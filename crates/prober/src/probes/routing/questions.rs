//! Questions that the target asks in sessions, and who can answer them.

use std::time::Duration;

use partywall_model::{Layer, Severity};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    asking::{NOTHING_ASKED, Waiting, capabilities, is_question},
    ear::{Ear, method},
    echo::word,
    sessions::thief,
};
use crate::{
    oracle::reading::failed,
    probes::{Probe, Technique, attempt},
    site::{Party, Site},
    tally::Tally,
};

pub(super) static PROBE: Probe = Probe::new(
    "foreign-question",
    Layer::Routing,
    Severity::High,
    "Listens for questions to another tenant, and answers them.",
    include_str!("questions.md"),
    &[
        Technique::new("RT-13", "questions to another tenant", Severity::High, |site| Box::pin(heard(site))),
        Technique::new("SE-05", "answering for another tenant", Severity::High, |site| {
            Box::pin(answered(site))
        }),
        Technique::new("MR-07", "telling another tenant that it has answered", Severity::Medium, |site| {
            Box::pin(completed(site))
        }),
    ],
);

/// How long the owner's call is watched after somebody else answered.
const WATCHED: Duration = Duration::from_millis(300);
/// How long a session that nobody uses is listened to, at the least.
const ALONE: Duration = Duration::from_secs(1);
/// How long the owner's call may take after the owner answered.
const FINISH: Duration = Duration::from_secs(2);

/// Two sessions that can be asked; the second is the one whose calls ask.
async fn meet(tally: &mut Tally, one: &Party, other: &Party) -> Option<(Ear, Ear)> {
    let can = capabilities();
    match (Ear::legacy(one, &can).await, Ear::legacy(other, &can).await) {
        (Ok(own), Ok(theirs)) => Some((own, theirs)),
        (own, theirs) => {
            for ear in [own, theirs] {
                match ear {
                    Ok(ear) => ear.close().await,
                    Err(why) => tally.absent(why),
                }
            }
            None
        }
    }
}

async fn decline(ear: &Ear, waiting: &Waiting) {
    let id = waiting.question.get("id").cloned().unwrap_or_default();
    let refusal = json!({"jsonrpc": "2.0", "id": id, "error": {"code": -1, "message": "declined"}});
    ear.caller.send(ear.caller.notification("", json!({})).body(refusal.to_string())).await;
}

async fn heard(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (listener, asker) in site.directions() {
        let began = Instant::now();
        let Some((own, theirs)) = meet(&mut tally, listener, asker).await else { continue };
        match Waiting::find(site, asker, &theirs).await {
            None => tally.absent(NOTHING_ASKED),
            Some(waiting) => {
                tally.control(true, "");
                let overheard = own.since(0).await.into_iter().find(is_question);
                let took = began.elapsed();
                match overheard {
                    Some(question) if asked_anyway(listener, &question, took).await => {
                        tally.held();
                        tally.note(format!(
                            "Any session of {} is asked {} by itself.",
                            listener.tenant,
                            method(&question)
                        ));
                    }
                    Some(question) => {
                        let why = format!(
                            "{} was sent {} while only {} was at work",
                            listener.tenant,
                            method(&question),
                            asker.tenant
                        );
                        tally.leak(vec![attempt::shown(site, &own.told(), why)]);
                    }
                    None => {
                        attempt::denied(&mut tally, site, &listener.tenant, &own.told());
                    }
                }
                decline(&theirs, &waiting).await;
            }
        }
        own.close().await;
        theirs.close().await;
    }
    tally
}

/// Whether a session is asked this while nobody works: many servers ask a new client for its roots.
async fn asked_anyway(listener: &Party, asked: &Value, took: Duration) -> bool {
    let Ok(alone) = Ear::legacy(listener, &capabilities()).await else { return false };
    let same =
        |message: &Value| method(message) == method(asked) && message.get("params") == asked.get("params");
    let found = alone.hears(took.clamp(ALONE, ALONE * 5), same).await;
    alone.close().await;
    found.is_some()
}

async fn answered(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        if victim.legacy.as_ref().is_some_and(crate::target::Caller::streams) {
            tally.absent("over HTTP+SSE, SE-01 posts into the other's session");
            continue;
        }
        let Some((own, theirs)) = meet(&mut tally, attacker, victim).await else { continue };
        match Waiting::find(site, victim, &theirs).await {
            None => tally.absent(NOTHING_ASKED),
            Some(waiting) => {
                let message = waiting.reply(&word());
                let thief = thief(&own.caller, theirs.caller.session());
                let mut taken = None;
                for caller in [&own.caller, &thief] {
                    let request = caller.notification("", json!({})).body(message.to_string());
                    let exchange = caller.send(request).await;
                    if waiting.answered(WATCHED).await {
                        taken = Some(exchange);
                        break;
                    }
                }
                match taken {
                    Some(exchange) => {
                        tally.control(true, "");
                        let why = format!(
                            "a call of {} went on with an answer that {} gave",
                            victim.tenant, attacker.tenant
                        );
                        tally.leak(vec![attempt::shown(site, &exchange, why)]);
                    }
                    None => {
                        tally.held();
                        let request = theirs.caller.notification("", json!({})).body(message.to_string());
                        let exchange = theirs.caller.send(request).await;
                        let ends = waiting.answered(FINISH).await;
                        let why = format!("the owner's own answer ends no call: {}", failed(&exchange));
                        tally.control(ends, &why);
                    }
                }
            }
        }
        own.close().await;
        theirs.close().await;
    }
    tally
}

async fn completed(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let Some((own, theirs)) = meet(&mut tally, attacker, victim).await else { continue };
        let waiting = Waiting::find(site, victim, &theirs).await;
        let real =
            waiting.as_ref().and_then(|waiting| waiting.question.pointer("/params/elicitationId").cloned());
        let id = real.unwrap_or_else(|| json!(word()));
        let request =
            own.caller.notification("notifications/elicitation/complete", json!({"elicitationId": id}));
        let exchange = own.caller.send(request).await;
        let alive = theirs.caller.ask("tools/list", json!({})).await;
        tally.control(
            alive.success().is_some(),
            &format!("the listener is not served itself: {}", failed(&alive)),
        );
        let told = |message: &Value| {
            method(message) == "notifications/elicitation/complete"
                && message.pointer("/params/elicitationId") == Some(&id)
        };
        if theirs.since(0).await.iter().any(told) {
            let why = format!(
                "{} told {} that it has answered, through the target",
                attacker.tenant, victim.tenant
            );
            tally.leak(vec![
                attempt::shown(site, &exchange, "what was sent"),
                attempt::shown(site, &theirs.told(), why),
            ]);
        } else {
            tally.held();
        }
        if let Some(waiting) = waiting {
            decline(&theirs, &waiting).await;
        }
        own.close().await;
        theirs.close().await;
    }
    tally
}
