//! Tasks of one tenant in the hands of another.

use std::time::Duration;

use partywall_model::{Layer, Severity};
use serde_json::{Value, json};

use super::{asking::candidates, twins};
use crate::{
    oracle::reading::failed,
    probes::{Probe, Technique, attempt},
    site::{Party, Site, What},
    tally::Tally,
    target::{Caller, Era, Exchange, TASKS},
};

pub(super) static PROBE: Probe = Probe::new(
    "foreign-task",
    Layer::Routing,
    Severity::High,
    "Reads, lists and cancels tasks of another tenant.",
    include_str!("tasks.md"),
    &[
        Technique::new("TK-01", "getting another tenant's task", Severity::High, |site| {
            Box::pin(by_id(site, "tasks/get"))
        })
        .quick(),
        Technique::new("TK-02", "the result of another tenant's task", Severity::High, |site| {
            Box::pin(by_id(site, "tasks/result"))
        }),
        Technique::new("TK-03", "a list with another tenant's tasks", Severity::High, |site| {
            Box::pin(listed(site))
        }),
        Technique::new("TK-04", "cancelling another tenant's task", Severity::High, |site| {
            Box::pin(by_id(site, "tasks/cancel"))
        }),
    ],
);

/// A task of the party's own: the caller that made it and its id.
pub(super) async fn begin(site: &Site, party: &Party) -> Option<(Caller, String)> {
    for base in party.callers() {
        if let Some(begun) = begin_as(site, party, base).await {
            return Some(begun);
        }
    }
    None
}

/// The same in the generation of a caller.
pub(super) async fn begin_as(site: &Site, party: &Party, base: &Caller) -> Option<(Caller, String)> {
    let caller = base.afresh();
    caller.begin().await;
    let before = site.found.before(&caller, TASK);
    let all = before.clone().map_or_else(|| callable(site, party), |before| before.into_iter().collect());
    for what in all {
        let What::Tool { name, arguments } = &what else { continue };
        if site.target.late() {
            break;
        }
        if let Some(id) = make(&caller, name, arguments).await {
            site.found.remember(&caller, TASK, Some(what));
            return Some((caller, id));
        }
    }
    if before.is_none() {
        site.found.remember(&caller, TASK, None);
    }
    caller.end().await;
    None
}

/// What may be called as a task: what is read first, since nothing comes of it.
fn callable(site: &Site, party: &Party) -> Vec<What> {
    let mut all: Vec<What> =
        site.readings_of(&party.tenant).take(8).map(|(reading, _)| reading.what.clone()).collect();
    let known: Vec<String> = all.iter().map(|what| what.name().to_owned()).collect();
    all.extend(
        candidates(site, party).into_iter().filter(|what| !known.iter().any(|name| name == what.name())),
    );
    all
}

/// The tool that a task was made of, in the caller's generation.
pub(super) fn made_of(site: &Site, caller: &Caller) -> Option<What> {
    site.found.before(caller, TASK).flatten()
}

/// Calls a tool as a task; the task's id.
pub(super) async fn make(caller: &Caller, name: &str, arguments: &Value) -> Option<String> {
    let params = match caller.era() {
        Era::Modern => json!({"name": name, "arguments": arguments, "_meta": meta()}),
        Era::Legacy(_) => json!({"name": name, "arguments": arguments, "task": {"ttl": 60_000}}),
    };
    let request = caller.request("tools/call", params).patience(SEARCHED);
    caller.send(request).await.success().and_then(|result| task_id(result, 4))
}

/// Metadata of a client that can do tasks, and can be asked.
pub(super) fn meta() -> Value {
    let mut capabilities = super::asking::capabilities();
    if let Some(capabilities) = capabilities.as_object_mut() {
        capabilities.insert("extensions".to_owned(), json!({TASKS: {}}));
    }
    json!({"io.modelcontextprotocol/clientCapabilities": capabilities})
}

/// The task id in an answer.
fn task_id(value: &Value, depth: usize) -> Option<String> {
    if depth == 0 {
        return None;
    }
    let fields = value.as_object()?;
    if let Some(id) = fields.get("taskId").and_then(Value::as_str) {
        return Some(id.to_owned());
    }
    fields
        .iter()
        .filter(|(key, _)| *key == "task" || *key == "_meta")
        .find_map(|(_, value)| task_id(value, depth - 1))
}

/// What is searched for.
const TASK: &str = "a task";
/// How long the answer to a call that makes a task is waited for: the work goes on without it.
const SEARCHED: Duration = Duration::from_secs(3);
pub(super) const NO_TASKS: &str = "no tool of the target can be called as a task";

/// A task of the victim's in each generation that has them, and the attacker who speaks it.
async fn tasks<'a>(
    tally: &mut Tally,
    site: &Site,
    (attacker, victim): (&'a Party, &Party),
    modern_too: bool,
) -> Vec<(Caller, String, &'a Caller)> {
    let mut all = Vec::new();
    for base in victim.callers().filter(|base| modern_too || *base.era() != Era::Modern) {
        let thief = attacker.callers().find(|caller| caller.era() == base.era());
        if let (Some(thief), Some((owner, id))) = (thief, begin_as(site, victim, base).await) {
            all.push((owner, id, thief));
        }
    }
    if all.is_empty() {
        tally.absent(NO_TASKS);
    }
    all
}

async fn by_id(site: &Site, method: &'static str) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        // A task's result is asked for by a method of its own in the revisions with sessions only.
        let modern_too = method != "tasks/result";
        for (owner, id, thief) in tasks(&mut tally, site, (attacker, victim), modern_too).await {
            one(&mut tally, site, (attacker, victim), method, (&owner, &id, thief)).await;
            owner.ask("tasks/cancel", json!({"taskId": id})).await;
            owner.end().await;
        }
    }
    tally
}

async fn one(
    tally: &mut Tally,
    site: &Site,
    (attacker, victim): (&Party, &Party),
    method: &str,
    (owner, id, thief): (&Caller, &str, &Caller),
) {
    let own = owner.ask("tasks/get", json!({"taskId": id})).await;
    tally.control(own.success().is_some(), &format!("the owner cannot get his own task: {}", failed(&own)));
    let (theirs, twins) = (json!(id), twins::unknown(site, &json!(id)));
    let ask = |id: Value| thief.ask(method, json!({"taskId": id}));
    let stolen = twins::compare(tally, site, (attacker, victim), "a task", (&theirs, &twins), ask).await;
    let after = owner.ask("tasks/get", json!({"taskId": id})).await;
    let status = |exchange: &Exchange| {
        exchange
            .success()
            .map(|result| result.get("status").or_else(|| result.pointer("/task/status")).cloned())
    };
    let gone = own.success().is_some() && after.success().is_none();
    let stopped = status(&after) == Some(Some(json!("cancelled"))) && status(&own) != status(&after);
    if gone || stopped {
        let why =
            format!("after {} sent {method}, {}'s task is gone or cancelled", attacker.tenant, victim.tenant);
        tally.leak(vec![attempt::shown(site, &stolen, "the request"), attempt::shown(site, &after, why)]);
    }
}

async fn listed(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for (owner, id, thief) in tasks(&mut tally, site, (attacker, victim), false).await {
            let own = owner.ask("tasks/list", json!({})).await;
            let shows = |exchange: &Exchange| {
                exchange.reply().is_some_and(|reply| String::from_utf8_lossy(&reply.body).contains(&id))
            };
            if own.error().is_some_and(|(code, _)| code == -32601) {
                tally.absent("the target does not list tasks");
            } else {
                tally.control(shows(&own), "the owner's list does not show his own task");
                let exchange = thief.ask("tasks/list", json!({})).await;
                if shows(&exchange) {
                    let why = format!("{}'s list shows a task of {}", attacker.tenant, victim.tenant);
                    tally.leak(vec![site.redactor.evidence(&exchange, why, &id)]);
                } else {
                    attempt::denied(&mut tally, site, &attacker.tenant, &exchange);
                }
            }
            owner.ask("tasks/cancel", json!({"taskId": id})).await;
            owner.end().await;
        }
    }
    tally
}
