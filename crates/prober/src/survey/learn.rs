//! Reading as each tenant while nobody else is at work, and what follows from it: ids, and values that only one is shown.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};

use super::{Alone, Kind};
use crate::{
    arguments::{self, Id, Role, role},
    canary::{Marks, Origin},
    facts::{Facts, key, telling, timely},
    oracle::reading::failed,
    places::{places, put},
    site::{Party, Reading, What, by_id, by_turns},
    target::{Exchange, Failure},
};

/// The most things that are read of one tenant.
const MOST_READINGS: usize = 60;
/// The most resources and prompts among them.
pub(super) const MOST_RESOURCES: usize = 20;
pub(super) const MOST_PROMPTS: usize = 10;
/// The most ids of one tenant.
const MOST_IDS: usize = 200;

/// What gave no answer in time, by name: it is not waited for a second time.
pub(super) type Hanging = BTreeSet<String>;

/// An answer to one of the survey's readings.
pub(super) struct Heard {
    /// What was read.
    pub(super) what: What,
    /// Whether the reader was alone with the target, as far as can be told.
    pub(super) alone: bool,
    /// The request and its answer; who sent it is the tenant.
    pub(super) exchange: Exchange,
}

/// Reads something, unless it is known to hang.
pub(super) async fn read(party: &Party, what: &What, hanging: &mut Hanging) -> Option<Exchange> {
    if hanging.contains(what.name()) {
        return None;
    }
    let exchange = party.caller.send(what.request(&party.caller)).await;
    if matches!(exchange.outcome, Err(Failure::Timeout)) {
        hanging.insert(what.name().to_owned());
    }
    Some(exchange)
}

/// Reads once, to find ids for arguments that take one.
pub(super) async fn explore(party: &mut Party, hanging: &mut Hanging, heard: &mut Vec<Heard>) {
    for round in 0..2 {
        for what in whats(party) {
            let needs_id = matches!(&what, What::Tool { name, .. } if takes_id(party, name));
            if needs_id != (round == 1) {
                continue;
            }
            let Some(exchange) = read(party, &what, hanging).await else { continue };
            if let Some(result) = exchange.success() {
                collect(&mut party.ids, what.name(), &Facts::of(result));
            }
            heard.push(Heard { what, alone: true, exchange });
        }
    }
}

fn takes_id(party: &Party, tool: &str) -> bool {
    party.surface.tool(tool).is_some_and(|tool| {
        places(&tool.schema).iter().any(|place| place.required && role(place.name) == Role::Id)
    })
}

/// Everything that a tenant can read with what is known of it.
pub(super) fn whats(party: &Party) -> Vec<What> {
    let mut all = Vec::new();
    for tool in party.surface.tools.iter().filter(|tool| tool.kind == Kind::Read) {
        for arguments in arguments::sets(&tool.schema, &party.ids, &tool.name) {
            all.push(What::Tool {
                name: tool.name.clone(),
                arguments: with_tenant(&tool.schema, arguments, party),
            });
        }
    }
    all.extend(party.surface.resources.iter().take(MOST_RESOURCES).map(|uri| What::Resource(uri.clone())));
    for prompt in party.surface.prompts.iter().take(MOST_PROMPTS) {
        let Some(name) = prompt.get("name").and_then(Value::as_str) else { continue };
        let arguments: serde_json::Map<String, Value> = prompt
            .get("arguments")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|argument| Some((argument.get("name")?.as_str()?.to_owned(), json!("a"))))
            .collect();
        all.push(What::Prompt { name: name.to_owned(), arguments: Value::Object(arguments) });
    }
    let mut all = by_turns(all, What::name);
    all.truncate(MOST_READINGS);
    all
}

/// A target that takes the tenant from the arguments answers a tenant that names itself.
pub(super) fn with_tenant(schema: &Value, mut arguments: Value, party: &Party) -> Value {
    for place in places(schema) {
        if place.required && role(place.name) == Role::Tenant {
            put(&mut arguments, schema, &place.pointer, json!(party.tenant));
        }
    }
    arguments
}

/// Reads everything twice as each tenant, one tenant after the other, and once more later, with the tenant's own ids only: another's id is an
/// attack, and what it brings is not what the tenant sees alone.
pub(super) async fn readings(
    parties: &[Party; 2],
    clock: Duration,
    hanging: &mut Hanging,
    heard: &mut Vec<Heard>,
) -> Vec<Reading> {
    let mut readings: Vec<Reading> = Vec::new();
    for party in parties {
        for what in whats(party) {
            twice(party, what, hanging, (&mut readings, &mut *heard)).await;
        }
    }
    // Who is read thrice within one second is told the same time thrice.
    let tells = |facts: &Facts| facts.leaves().any(|(_, text)| timely(text));
    if readings.iter().any(|reading| reading.alone.values().any(tells)) {
        tokio::time::sleep(clock).await;
    }
    // And once more when everything was read: what has moved by then moves by itself.
    for party in parties {
        for reading in &mut readings {
            let Some(facts) = reading.alone.get_mut(&party.tenant) else { continue };
            let Some(exchange) = read(party, &reading.what, hanging).await else { continue };
            if let Some(result) = exchange.success() {
                *facts = facts.stable(&Facts::of(result));
            }
            heard.push(Heard { what: reading.what.clone(), alone: true, exchange });
        }
    }
    readings
}

/// Reads something twice, and notes what both agree on.
pub(super) async fn twice(
    party: &Party,
    what: What,
    hanging: &mut Hanging,
    (readings, heard): (&mut Vec<Reading>, &mut Vec<Heard>),
) {
    let Some(first) = read(party, &what, hanging).await else { return };
    let Some(again) = read(party, &what, hanging).await else { return };
    if let (Some(one), Some(two)) = (first.success(), again.success()) {
        note(readings, &what, &party.tenant, Facts::of(one).stable(&Facts::of(two)));
    }
    heard.extend([first, again].map(|exchange| Heard { what: what.clone(), alone: true, exchange }));
}

fn note(readings: &mut Vec<Reading>, what: &What, tenant: &str, facts: Facts) {
    if let Some(reading) = readings.iter_mut().find(|reading| reading.what == *what) {
        reading.alone.insert(tenant.to_owned(), facts);
    } else {
        let alone = Alone::from([(tenant.to_owned(), facts)]);
        readings.push(Reading { what: what.clone(), alone });
    }
}

/// Why a value that only one tenant was shown, and only by an id, may be everybody's: so are goods in a catalogue.
const BY_ID: &str = "only what takes an id showed it, and whether all may read that cannot be told; name values that stand in \
                     each tenant's data with --seed";

/// Learns values that only one tenant was shown.
pub(super) fn marks(parties: &[Party; 2], readings: &[Reading], marks: &mut Marks) {
    let mut shown: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for reading in readings {
        for (tenant, facts) in &reading.alone {
            let texts = shown.entry(tenant).or_default();
            for (_, text) in facts.leaves() {
                texts.extend(text.lines().map(|line| line.trim().to_owned()));
            }
        }
    }
    let lists: String =
        parties.iter().flat_map(|party| &party.surface.lists).fold(String::new(), |mut all, (_, list)| {
            if let Some(reply) = list.reply() {
                all.push_str(&String::from_utf8_lossy(&reply.body));
            }
            all
        });
    let freely: BTreeSet<&str> = readings
        .iter()
        .filter(|reading| !by_id(parties, reading))
        .flat_map(|reading| reading.alone.values())
        .flat_map(|facts| facts.leaves())
        .flat_map(|(_, text)| text.lines().map(str::trim))
        .collect();
    for party in parties {
        let Some(mine) = shown.get(party.tenant.as_str()) else { continue };
        let others: String = shown
            .iter()
            .filter(|(tenant, _)| **tenant != party.tenant)
            .flat_map(|(_, texts)| texts.iter())
            .fold(String::new(), |all, text| all + text + "\n");
        for text in mine {
            if telling(text) && !others.contains(text.as_str()) && !lists.contains(text.as_str()) {
                marks.add(&party.tenant, text, Origin::Learned);
                if !freely.contains(text.as_str()) {
                    marks.doubt(&party.tenant, text, BY_ID);
                }
            }
        }
    }
}

/// Takes back what was learned of one tenant and the other was shown too, in another spelling or at another time. Only what
/// is compared counts: what stands beside it, in headers and metadata, may be the leak.
pub(super) fn settle(parties: &[Party; 2], heard: &[Heard], marks: &mut Marks) {
    for party in parties {
        let answers = heard.iter().filter(|heard| heard.alone && heard.exchange.who == party.caller.name);
        let mut shown = String::new();
        for result in answers.filter_map(|heard| heard.exchange.success()) {
            for (_, text) in Facts::of(result).leaves() {
                shown.push_str(text);
                shown.push('\n');
            }
        }
        marks.settle(&party.tenant, shown.as_bytes());
    }
}

/// What to say where a tenant could read nothing at all: then little can be attacked, and the reason is often a mistake.
pub(super) fn broken(party: &Party, heard: &[Heard]) -> Option<String> {
    let exchanges = heard.iter().map(|heard| &heard.exchange);
    let mut own = exchanges.filter(|exchange| exchange.who == party.caller.name).peekable();
    let first = own.peek().map(|exchange| failed(exchange))?;
    let none = own.all(|exchange| exchange.success().is_none());
    none.then(|| {
        format!("nothing that could be read as {} was answered; the first time: {first}", party.tenant)
    })
}

/// Adds the ids of everything that a tenant was shown.
pub(super) fn ids(party: &mut Party, readings: &[Reading]) {
    for reading in readings {
        if let Some(facts) = reading.alone.get(&party.tenant) {
            collect(&mut party.ids, reading.what.name(), facts);
        }
    }
}

fn collect(ids: &mut Vec<Id>, from: &str, facts: &Facts) {
    for (path, text) in facts.leaves() {
        if ids.len() >= MOST_IDS {
            return;
        }
        let key = key(path);
        let found: Vec<&str> =
            if matches!(role(key), Role::Id | Role::Cursor) && text.len() <= 300 && text != "null" {
                vec![text]
            } else if key == "text" {
                in_prose(text)
            } else {
                Vec::new()
            };
        for text in found {
            let number = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
            let value = number.map_or_else(|| json!(text), |number| json!(number));
            let key = if key == "text" { "id" } else { key };
            if !ids.iter().any(|known| known.key == key && known.value == value) {
                ids.push(Id { key: key.to_owned(), from: from.to_owned(), value });
            }
        }
    }
}

/// What looks like an id in a text that is no JSON: a number after `#` or at a line's start, and words with digits in them.
fn in_prose(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in text.lines().take(100) {
        for (place, word) in line.split_whitespace().enumerate() {
            let word = word.trim_matches(|c: char| !c.is_alphanumeric());
            let digits = word.bytes().filter(u8::is_ascii_digit).count();
            let number = digits == word.len() && digits > 0 && digits < 10;
            let coded = digits > 0 && digits < word.len() && word.len() <= 64 && !timely(word);
            if (number && (place < 2 || line.contains('#'))) || coded {
                found.push(word);
            }
            if found.len() >= 30 {
                return found;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_in_json_and_in_prose() {
        let mut ids = Vec::new();
        let result = json!({"content": [{"type": "text", "text": "#12 Printer jam (open)\nINV-7 due 2026-01-01"}],
            "structuredContent": {"items": [{"id": 3, "customer_id": "c-9", "title": "x"}]}});
        collect(&mut ids, "list", &Facts::of(&result));
        let values: Vec<&Value> = ids.iter().map(|id| &id.value).collect();
        assert!(values.contains(&&json!(12)) && values.contains(&&json!("INV-7")), "{values:?}");
        assert!(values.contains(&&json!(3)) && values.contains(&&json!("c-9")), "{values:?}");
    }
}
