//! Tasks by other ways than asking for them: answers to their questions, their ids, headers and metadata that name them.

use std::{collections::BTreeSet, time::Duration};

use partywall_model::{Layer, Severity};
use serde_json::{Value, json};

use super::{
    asking::{answer, candidates},
    echo::word,
    handles::{BITS, bits},
    tasks::{NO_TASKS, begin, begin_as, made_of, make},
    twins,
};
use crate::{
    oracle::{difference, reading::failed},
    probes::{Probe, Technique, attempt},
    site::{Party, Site, What},
    tally::Tally,
    target::{Caller, Exchange},
};

pub(super) static PROBE: Probe = Probe::new(
    "task-handles",
    Layer::Routing,
    Severity::High,
    "Answers for another tenant's tasks, guesses their ids, and names them in headers and metadata.",
    include_str!("task_handles.md"),
    &[
        Technique::new("TK-05", "answering for another tenant's task", Severity::High, |site| {
            Box::pin(fed(site))
        }),
        Technique::new("TK-06", "the questions of another tenant's task", Severity::High, |site| {
            Box::pin(read(site))
        }),
        Technique::new("TK-07", "how task ids are made", Severity::High, |site| Box::pin(entropy(site))),
        Technique::new("TK-08", "a task in the header, another in the body", Severity::High, |site| {
            Box::pin(mirrored(site))
        }),
        Technique::new("TK-10", "another tenant's task in metadata", Severity::Medium, |site| {
            Box::pin(related(site))
        }),
    ],
);

const MODERN_ONLY: &str = "no tool of the target can be called as a task in 2026-07-28";
const NO_QUESTION: &str = "no task of the target asks its client anything";

/// What is searched for.
const PENDING: &str = "a task that asks";

/// A task that waits for answers, in the revision without sessions.
struct Pending {
    caller: Caller,
    id: String,
    questions: Value,
}

async fn pending(site: &Site, party: &Party) -> Option<Pending> {
    let caller = party.modern.as_ref()?.afresh();
    let before = site.found.before(&caller, PENDING);
    let all = before.clone().map_or_else(|| candidates(site, party), |before| before.into_iter().collect());
    for what in all {
        let What::Tool { name, arguments } = &what else { continue };
        let Some(id) = make(&caller, name, arguments).await else { continue };
        for _ in 0..4 {
            let exchange = caller.ask("tasks/get", json!({"taskId": id})).await;
            let Some(result) = exchange.success() else { break };
            match result.get("status").and_then(Value::as_str) {
                Some("input_required") => {
                    let questions = result.get("inputRequests").cloned().unwrap_or_else(|| json!({}));
                    site.found.remember(&caller, PENDING, Some(what));
                    return Some(Pending { caller, id, questions });
                }
                Some("working") => tokio::time::sleep(Duration::from_millis(30)).await,
                _ => break,
            }
        }
        caller.ask("tasks/cancel", json!({"taskId": id})).await;
        if site.target.late() {
            return None;
        }
    }
    if before.is_none() {
        site.found.remember(&caller, PENDING, None);
    }
    None
}

/// The task's status, as its owner is told it.
async fn status(owner: &Caller, id: &str) -> Option<String> {
    let exchange = owner.ask("tasks/get", json!({"taskId": id})).await;
    exchange.success()?.get("status").and_then(Value::as_str).map(str::to_owned)
}

async fn fed(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let (Some(thief), Some(base)) = (&attacker.modern, &victim.modern) else {
            tally.absent(MODERN_ONLY);
            continue;
        };
        let (owner, id, questions) = match pending(site, victim).await {
            Some(pending) => (pending.caller, pending.id, pending.questions),
            None => match begin_as(site, victim, base).await {
                Some((owner, id)) => (owner, id, json!({"answer": {}})),
                None => {
                    tally.absent(MODERN_ONLY);
                    continue;
                }
            },
        };
        let before = status(&owner, &id).await;
        tally.control(before.is_some(), "the owner cannot get its own task");
        let answers: Value = questions
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, question)| (key.clone(), answer(question, &word())))
            .collect::<serde_json::Map<String, Value>>()
            .into();
        let (theirs, twins) = (json!(id), twins::unknown(site, &json!(id)));
        let update = |id: Value| thief.ask("tasks/update", json!({"taskId": id, "inputResponses": answers}));
        let known = update(json!("none")).await;
        if known.error().is_some_and(|(code, _)| code == -32601) {
            tally.absent("the target takes no answers for tasks");
        } else {
            let both = (attacker, victim);
            let stolen = twins::compare(&mut tally, site, both, "a task", (&theirs, &twins), update).await;
            let after = status(&owner, &id).await;
            if before.as_deref() == Some("input_required") && after != before {
                let why = format!(
                    "{} answered for a task of {}, which went on: {}",
                    attacker.tenant,
                    victim.tenant,
                    after.unwrap_or_else(|| "gone".to_owned())
                );
                tally.leak(vec![attempt::shown(site, &stolen, why)]);
            }
        }
        owner.ask("tasks/cancel", json!({"taskId": id})).await;
    }
    tally
}

async fn read(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let Some(thief) = &attacker.modern else {
            tally.absent(MODERN_ONLY);
            continue;
        };
        let Some(Pending { caller: owner, id, .. }) = pending(site, victim).await else {
            tally.absent(NO_QUESTION);
            continue;
        };
        tally.control(true, "");
        let (theirs, twins) = (json!(id), twins::unknown(site, &json!(id)));
        let get = |id: Value| thief.ask("tasks/get", json!({"taskId": id}));
        twins::compare(&mut tally, site, (attacker, victim), "a task", (&theirs, &twins), get).await;
        owner.ask("tasks/cancel", json!({"taskId": id})).await;
    }
    tally
}

/// How many tasks are made to look at their ids.
const SAMPLES: usize = 16;

async fn entropy(site: &Site) -> Tally {
    let mut tally = Tally::default();
    let [party, _] = &site.parties;
    let Some((owner, first)) = begin(site, party).await else { return Tally::not_run(NO_TASKS) };
    let Some(What::Tool { name, arguments }) = made_of(site, &owner) else { return Tally::not_run(NO_TASKS) };
    let mut ids = vec![first];
    while ids.len() < SAMPLES && !site.target.late() {
        let Some(id) = make(&owner, &name, &arguments).await else { break };
        ids.push(id);
    }
    let exchange = owner.ask("tasks/get", json!({"taskId": ids.first()})).await;
    tally.control(
        exchange.success().is_some(),
        &format!("the owner cannot get its own task: {}", failed(&exchange)),
    );
    let distinct: BTreeSet<&String> = ids.iter().collect();
    let bits = bits(&ids);
    if ids.len() < SAMPLES / 2 {
        tally.doubt(format!("only {} tasks could be made", ids.len()));
    } else if distinct.len() < ids.len() || bits < BITS {
        let why = format!(
            "in {} task ids, {} of them different, only about {bits:.0} bits vary: who has seen some can guess others'",
            ids.len(),
            distinct.len()
        );
        tally.leak(vec![attempt::shown(site, &exchange, why)]);
    } else {
        tally.held();
        tally.note(format!(
            "About {bits:.0} bits vary in {} ids. What becomes of an id after its time was not tried.",
            ids.len()
        ));
    }
    for id in &ids {
        owner.ask("tasks/cancel", json!({"taskId": id})).await;
    }
    owner.end().await;
    tally
}

async fn mirrored(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let (Some(mine), Some(theirs)) = (&attacker.modern, &victim.modern) else {
            tally.absent(MODERN_ONLY);
            continue;
        };
        let (Some((own, own_id)), Some((owner, id))) =
            (begin_as(site, attacker, mine).await, begin_as(site, victim, theirs).await)
        else {
            tally.absent(MODERN_ONLY);
            continue;
        };
        let plain = own.ask("tasks/get", json!({"taskId": own_id})).await;
        tally.control(
            plain.success().is_some(),
            &format!("the attacker cannot get its own task: {}", failed(&plain)),
        );
        for (header, body) in [(&own_id, &id), (&id, &own_id)] {
            let request = own.request("tasks/get", json!({"taskId": body})).set("mcp-name", header);
            let exchange = own.send(request).await;
            if let Some(evidence) = site.foreign(&attacker.tenant, &exchange) {
                tally.leak(vec![evidence]);
            } else if exchange.success().is_some() {
                let whose = if *body == id { "the other tenant's" } else { "the caller's" };
                let why = format!(
                    "a request whose header names another task than its body was served ({whose} task): who decides by the \
                     header is deceived"
                );
                tally.leak(vec![attempt::shown(site, &exchange, why)]);
            } else if exchange.replied() {
                tally.held();
            } else {
                tally.doubt(failed(&exchange));
            }
        }
        own.ask("tasks/cancel", json!({"taskId": own_id})).await;
        owner.ask("tasks/cancel", json!({"taskId": id})).await;
    }
    tally
}

async fn related(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let Some((owner, id)) = begin(site, victim).await else {
            tally.absent(NO_TASKS);
            continue;
        };
        let Some(thief) = attacker.callers().find(|caller| caller.era() == owner.era()) else { continue };
        let before = status_of(&owner, &id).await;
        let [unknown, other] = twins::unknown(site, &json!(id));
        for reading in attempt::few(site, 2) {
            attempt::control(&mut tally, site, attacker, reading).await;
            let (stolen, strange) = (
                naming(thief, &reading.what, &json!(id)).await,
                naming(thief, &reading.what, &unknown).await,
            );
            let refusal = attempt::Refusal::Fine;
            attempt::weigh(&mut tally, site, &attacker.tenant, reading, &stolen, refusal);
            let control = naming(thief, &reading.what, &other).await;
            if stolen.success().is_none()
                && difference(&strange, &unknown, &control, &other).is_none()
                && let Some(what) = difference(&stolen, &json!(id), &strange, &unknown)
            {
                let why = format!(
                    "{} can tell a task of {} from one that is not there: {what}",
                    attacker.tenant, victim.tenant
                );
                tally.leak(vec![
                    attempt::shown(site, &strange, "an unknown task"),
                    attempt::shown(site, &stolen, why),
                ]);
            }
        }
        let after = status_of(&owner, &id).await;
        if before.is_some() && after.is_none() {
            tally.doubt("the owner's task is gone; why, cannot be told");
        }
        owner.ask("tasks/cancel", json!({"taskId": id})).await;
        owner.end().await;
    }
    tally.absent("nothing that both can read tells the tenants apart");
    tally
}

async fn status_of(owner: &Caller, id: &str) -> Option<Exchange> {
    let exchange = owner.ask("tasks/get", json!({"taskId": id})).await;
    exchange.success().is_some().then_some(exchange)
}

/// A reading that says which task it belongs to.
async fn naming(caller: &Caller, what: &What, id: &Value) -> Exchange {
    let (method, mut params) = what.message();
    if let Some(params) = params.as_object_mut() {
        params.insert("_meta".to_owned(), json!({"io.modelcontextprotocol/related-task": {"taskId": id}}));
    }
    caller.ask(method, params).await
}
