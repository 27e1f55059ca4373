//! Completions and prompts.

use partywall_model::{Layer, Severity};
use serde_json::{Map, Value, json};

use crate::{
    oracle::reading::failed,
    probes::{Probe, Technique, attempt},
    site::{Party, Site, What},
    tally::Tally,
    target::Exchange,
};

pub(super) static PROBE: Probe = Probe::new(
    "foreign-completions",
    Layer::Data,
    Severity::High,
    "Asks for completions and prompts that would show another tenant's values.",
    include_str!("completions.md"),
    &[
        Technique::new(
            "DA-14",
            "completions that begin as another tenant's values do",
            Severity::High,
            |site| Box::pin(completions(site)),
        ),
        Technique::new("DA-15", "prompts with another tenant's names and ids", Severity::High, |site| {
            Box::pin(prompts(site))
        }),
    ],
);

/// References with the arguments that can be completed.
fn references(party: &Party) -> Vec<(Value, String)> {
    let mut all = Vec::new();
    for prompt in party.surface.prompts.iter().take(6) {
        let Some(name) = prompt.get("name") else { continue };
        for argument in prompt.get("arguments").and_then(Value::as_array).into_iter().flatten() {
            if let Some(argument) = argument.get("name").and_then(Value::as_str) {
                all.push((json!({"type": "ref/prompt", "name": name}), argument.to_owned()));
            }
        }
    }
    for template in party.surface.templates.iter().take(4) {
        for part in template.split('{').skip(1) {
            if let Some((variable, _)) = part.split_once('}') {
                let variable = variable.trim_start_matches(['+', '#', '.', '/', ';', '?', '&']);
                all.push((json!({"type": "ref/resource", "uri": template}), variable.to_owned()));
            }
        }
    }
    all.truncate(8);
    all
}

/// Beginnings of a tenant's values.
fn beginnings(site: &Site, party: &Party) -> Vec<String> {
    let mut all = vec![String::new()];
    let texts = site.marks.of(&party.tenant).map(|mark| mark.text.clone());
    let ids = party.ids.iter().filter_map(|id| id.value.as_str().map(str::to_owned));
    for text in texts.take(3).chain(ids.take(2)) {
        for length in [1, 3] {
            let start: String = text.chars().take(length).collect();
            if !all.contains(&start) {
                all.push(start);
            }
        }
    }
    all.truncate(8);
    all
}

async fn complete(
    party: &Party,
    (reference, argument): &(Value, String),
    start: &str,
    context: &Value,
) -> Exchange {
    let params = json!({"ref": reference, "argument": {"name": argument, "value": start},
        "context": {"arguments": context}});
    party.caller.ask("completion/complete", params).await
}

fn values(exchange: &Exchange) -> Vec<String> {
    exchange
        .success()
        .and_then(|result| result.pointer("/completion/values"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|value| value.as_str().map(str::to_owned))
        .collect()
}

async fn completions(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let own: Vec<String> = victim
            .ids
            .iter()
            .filter(|id| !attacker.ids.iter().any(|known| known.value == id.value))
            .filter_map(|id| id.value.as_str().map(str::to_owned))
            .filter(|id| id.chars().count() >= 4)
            .collect();
        for place in references(attacker) {
            for start in beginnings(site, victim) {
                let his = complete(victim, &place, &start, &json!({})).await;
                if !values(&his).is_empty() {
                    tally.control(true, "");
                }
                let name = &victim.tenant;
                for context in [json!({}), json!({"tenant": name, "tenant_id": name, "organization": name})] {
                    let exchange = complete(attacker, &place, &start, &context).await;
                    if exchange.error().is_some_and(|(code, _)| code == -32601) {
                        return Tally::not_run("the target completes nothing");
                    }
                    match values(&exchange).into_iter().find(|value| own.contains(value)) {
                        Some(value) if site.foreign(&attacker.tenant, &exchange).is_none() => {
                            let why = format!(
                                "a completion for {} offers {value:?}, an id of {}",
                                attacker.tenant, victim.tenant
                            );
                            tally.leak(vec![site.redactor.evidence(&exchange, why, &value)]);
                        }
                        _ => _ = attempt::denied(&mut tally, site, &attacker.tenant, &exchange),
                    }
                    if tally.has_leaked() || site.target.late() {
                        return tally;
                    }
                }
            }
        }
    }
    if tally.is_empty() {
        return Tally::not_run("no prompt and no template has an argument to complete");
    }
    tally.control(false, "nothing was completed for its owner either");
    tally
}

fn name(prompt: &Value) -> Option<&str> {
    prompt.get("name").and_then(Value::as_str)
}

async fn prompts(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for prompt in victim.surface.prompts.iter().take(6) {
            let Some(prompt_name) = name(prompt) else { continue };
            let listed = attacker.surface.prompts.iter().any(|other| name(other) == Some(prompt_name));
            let arguments: Vec<&str> = prompt
                .get("arguments")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(|argument| argument.get("name")?.as_str())
                .collect();
            for id in tried(attacker, victim) {
                let filled: Map<String, Value> =
                    arguments.iter().map(|argument| ((*argument).to_owned(), json!(id))).collect();
                let what = What::Prompt { name: prompt_name.to_owned(), arguments: Value::Object(filled) };
                let his = attempt::read(&victim.caller, &what).await;
                if his.success().is_none() {
                    tally.control(false, &format!("the owner does not get the prompt: {}", failed(&his)));
                    continue;
                }
                tally.control(true, "");
                let exchange = attempt::read(&attacker.caller, &what).await;
                if exchange.success().is_some() && !listed {
                    let why = format!(
                        "{} got {prompt_name}, which is listed for {} only",
                        attacker.tenant, victim.tenant
                    );
                    tally.leak(vec![attempt::shown(site, &exchange, why)]);
                } else {
                    attempt::denied(&mut tally, site, &attacker.tenant, &exchange);
                }
                if tally.has_leaked() || site.target.late() {
                    return tally;
                }
                if arguments.is_empty() {
                    break;
                }
            }
        }
    }
    tally.absent("the target offers no prompts");
    tally
}

/// The victim's ids, those that the attacker has not first; prompts take texts.
fn tried(attacker: &Party, victim: &Party) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let (known, strange): (Vec<_>, Vec<_>) =
        victim.ids.iter().partition(|id| attacker.ids.iter().any(|own| own.value == id.value));
    strange.into_iter().chain(known).map(|id| text(&id.value)).chain(["a".to_owned()]).take(10).collect()
}
