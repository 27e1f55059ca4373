//! Subscriptions to what is another tenant's.

use partywall_model::{Layer, Severity};
use serde_json::{Value, json};

use super::{
    ear::{Ear, NO_LISTEN, method, stir},
    tasks::begin_as,
    twins,
};
use crate::{
    arguments,
    oracle::reading::failed,
    probes::{Probe, Technique, attempt},
    site::{Party, Site},
    tally::Tally,
    target::Exchange,
};

pub(super) static PROBE: Probe = Probe::new(
    "foreign-subscription",
    Layer::Routing,
    Severity::High,
    "Subscribes to resources and tasks of another tenant, and under another tenant's id.",
    include_str!("subscriptions.md"),
    &[
        Technique::new("RT-07", "subscribing to another tenant's resources", Severity::High, |site| {
            Box::pin(resources(site))
        }),
        Technique::new("RT-08", "listening under another tenant's id", Severity::High, |site| {
            Box::pin(same_id(site))
        }),
        Technique::new("RT-09", "listening to another tenant's tasks", Severity::High, |site| {
            Box::pin(tasks(site))
        }),
    ],
);

/// How often a stream must end because of another.
const AGAIN: usize = 2;

/// URIs of the same shape that nobody has: scheme and authority stay, for a target may refuse others by them.
fn unknown_uris(site: &Site, uri: &str) -> [String; 2] {
    let (head, tail) = match uri.rsplit_once('/') {
        Some((head, tail)) if !tail.is_empty() => (format!("{head}/"), tail),
        _ => match uri.rsplit_once(':') {
            Some((head, tail)) => (format!("{head}:"), tail),
            None => (String::new(), uri),
        },
    };
    twins::unknown(site, &json!(tail)).map(|twin| format!("{head}{}", twin.as_str().unwrap_or("none")))
}

/// URIs that are listed for one tenant only.
fn private<'a>(owner: &'a Party, other: &Party) -> Option<&'a String> {
    owner.surface.resources.iter().find(|uri| !other.surface.resources.contains(uri))
}

async fn resources(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let Some(uri) = private(victim, attacker) else {
            tally.absent("no resource is listed for one tenant only");
            continue;
        };
        let twins = unknown_uris(site, uri);
        in_sessions(&mut tally, site, (attacker, victim), (uri, &twins)).await;
        let [twin, _] = &twins;
        without_sessions(&mut tally, site, (attacker, victim), (uri, twin)).await;
    }
    tally
}

async fn in_sessions(
    tally: &mut Tally,
    site: &Site,
    (attacker, victim): (&Party, &Party),
    (uri, twins): (&str, &[String; 2]),
) {
    let (Some(own), Some(theirs)) = (&attacker.legacy, &victim.legacy) else { return };
    let (own, theirs) = (own.afresh(), theirs.afresh());
    own.begin().await;
    theirs.begin().await;
    let may = theirs.ask("resources/subscribe", json!({"uri": uri})).await;
    if may.success().is_none() {
        tally.absent(format!("the owner cannot subscribe to its own resource: {}", failed(&may)));
    } else {
        tally.control(true, "");
        let ear = Ear::legacy(attacker, &json!({})).await;
        let caller = ear.as_ref().map_or(&own, |ear| &ear.caller);
        let ask = |uri: Value| caller.ask("resources/subscribe", json!({"uri": uri}));
        let (uri, twins) = (json!(uri), twins.clone().map(Value::from));
        twins::compare(tally, site, (attacker, victim), "a resource", (&uri, &twins), ask).await;
        if let Ok(ear) = ear {
            news(tally, site, (attacker, victim), &ear, uri.as_str().unwrap_or_default()).await;
            ear.close().await;
        }
        theirs.ask("resources/unsubscribe", json!({"uri": uri})).await;
    }
    own.end().await;
    theirs.end().await;
}

/// What comes of the other's resource when its owner writes.
async fn news(tally: &mut Tally, site: &Site, (attacker, victim): (&Party, &Party), ear: &Ear, uri: &str) {
    if site.plan.allow_writes {
        stir(&victim.caller, victim).await;
    }
    let about = |message: &Value| {
        method(message) == "notifications/resources/updated"
            && message.pointer("/params/uri").and_then(Value::as_str) == Some(uri)
    };
    if ear.since(0).await.iter().any(about) {
        let why = format!("{} was told that a resource of {} has changed", attacker.tenant, victim.tenant);
        tally.leak(vec![attempt::shown(site, &ear.told(), why)]);
    }
}

async fn without_sessions(
    tally: &mut Tally,
    site: &Site,
    (attacker, victim): (&Party, &Party),
    (uri, twin): (&str, &str),
) {
    let filter = |uri: &str| json!({"resourceSubscriptions": [uri]});
    match Ear::modern(victim, &json!("own"), &filter(uri)).await {
        Ok(owner) if agreed(&owner.told(), uri) => {
            tally.control(true, "");
            owner.close().await;
        }
        Ok(owner) => {
            tally.absent("the target agrees to no subscription of the owner's either");
            return owner.close().await;
        }
        Err(why) => return tally.absent(why),
    }
    let stolen = Ear::modern(attacker, &json!("sub"), &filter(uri)).await;
    let strange = Ear::modern(attacker, &json!("sub"), &filter(twin)).await;
    match (stolen, strange) {
        (Ok(stolen), Ok(strange)) => {
            if agreed(&stolen.told(), uri) && !agreed(&strange.told(), twin) {
                let why = format!(
                    "the target agreed to tell {} of a resource of {}",
                    attacker.tenant, victim.tenant
                );
                tally.leak(vec![
                    attempt::shown(site, &strange.told(), "an unknown resource"),
                    attempt::shown(site, &stolen.told(), why),
                ]);
            } else {
                attempt::denied(tally, site, &attacker.tenant, &stolen.told());
            }
            news(tally, site, (attacker, victim), &stolen, uri).await;
            stolen.close().await;
            strange.close().await;
        }
        (Ok(one), Err(_)) => {
            let why = format!(
                "{} may listen to a resource of {}, and not to one that is not there",
                attacker.tenant, victim.tenant
            );
            tally.leak(vec![attempt::shown(site, &one.told(), why)]);
            one.close().await;
        }
        (Err(_), Ok(one)) => {
            let why = format!(
                "{} is refused a resource of {}, and may listen to one that is not there",
                attacker.tenant, victim.tenant
            );
            tally.leak(vec![attempt::shown(site, &one.told(), why)]);
            one.close().await;
        }
        (Err(_), Err(_)) => tally.held(),
    }
}

/// Whether the acknowledgement names what was asked for.
fn agreed(told: &Exchange, name: &str) -> bool {
    let acknowledged = |message: &&Value| method(message) == "notifications/subscriptions/acknowledged";
    told.reply().is_some_and(|reply| {
        reply.messages.iter().find(acknowledged).is_some_and(|message| {
            message.pointer("/params/notifications").is_some_and(|all| all.to_string().contains(name))
        })
    })
}

async fn same_id(site: &Site) -> Tally {
    let mut tally = Tally::default();
    let filter = json!({"toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true});
    for (attacker, victim) in site.directions() {
        let (mut ended, mut told) = (0, None);
        for _ in 0..AGAIN {
            let theirs = match Ear::modern(victim, &json!(1), &filter).await {
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
            match Ear::modern(attacker, &json!(1), &filter).await {
                Ok(own) => {
                    tally.control(true, "");
                    own.since(0).await;
                    let displaced = theirs.ended();
                    for (party, ear) in [(victim, &theirs), (attacker, &own)] {
                        attempt::denied(&mut tally, site, &party.tenant, &ear.told());
                    }
                    told = Some(own.told());
                    own.close().await;
                    theirs.since(0).await;
                    ended += usize::from(displaced || theirs.ended());
                }
                Err(_) => tally.doubt(format!("while {} listens: {NO_LISTEN}", victim.tenant)),
            }
            theirs.close().await;
        }
        if let (Some(told), AGAIN) = (told, ended) {
            let why = format!(
                "{} listened under the id that {} listens under, and the stream of {} ended",
                attacker.tenant, victim.tenant, victim.tenant
            );
            tally.leak(vec![attempt::shown(site, &told, why)]);
        }
    }
    tally
}

async fn tasks(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let Some(base) = &victim.modern else {
            tally.absent("the target does not speak 2026-07-28");
            continue;
        };
        let Some((owner, id)) = begin_as(site, victim, base).await else {
            tally.absent("no tool of the target can be called as a task in 2026-07-28");
            continue;
        };
        let filter = |id: &Value| json!({"taskIds": [id]});
        let twin = arguments::unknown(&json!(id), &mut site.chance("RT-09"));
        match Ear::modern(victim, &json!("own"), &filter(&json!(id))).await {
            Ok(own) if agreed(&own.told(), &id) => {
                tally.control(true, "");
                own.close().await;
                let stolen = Ear::modern(attacker, &json!("tasks"), &filter(&json!(id))).await;
                let strange = Ear::modern(attacker, &json!("tasks"), &filter(&twin)).await;
                let unknown = twin.as_str().unwrap_or_default();
                let other = strange.as_ref().is_ok_and(|ear| agreed(&ear.told(), unknown));
                match &stolen {
                    Ok(ear) => {
                        owner.ask("tasks/cancel", json!({"taskId": id})).await;
                        let about = |message: &Value| {
                            method(message).starts_with("notifications/tasks")
                                && message.to_string().contains(&id)
                        };
                        let heard = ear.since(0).await.iter().any(about);
                        if heard || (agreed(&ear.told(), &id) && !other) {
                            let what = if heard { "was told" } else { "will be told" };
                            let why = format!("{} {what} of a task of {}", attacker.tenant, victim.tenant);
                            tally.leak(vec![attempt::shown(site, &ear.told(), why)]);
                        } else {
                            attempt::denied(&mut tally, site, &attacker.tenant, &ear.told());
                        }
                    }
                    Err(_) => tally.held(),
                }
                for ear in [stolen, strange].into_iter().flatten() {
                    ear.close().await;
                }
            }
            Ok(own) => {
                tally.absent("the target agrees to tell nobody of tasks");
                own.close().await;
            }
            Err(why) => tally.absent(why),
        }
        owner.ask("tasks/cancel", json!({"taskId": id})).await;
    }
    tally
}
