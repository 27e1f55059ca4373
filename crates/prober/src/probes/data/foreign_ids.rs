//! Ids of one tenant in the hands of another.

use std::collections::BTreeSet;

use partywall_model::{Layer, Severity};
use serde_json::{Value, json};

use crate::{
    arguments::{self, Role, role},
    facts::Facts,
    places::{Place, filled, places, replaced, values},
    probes::{Probe, Technique, attempt, disclosure::existence},
    site::{Party, Reading, Site, What, by_turns},
    survey::Kind,
    tally::Tally,
    target::Exchange,
};

pub(super) static PROBE: Probe = Probe::new(
    "foreign-ids",
    Layer::Data,
    Severity::High,
    "Reads objects of one tenant by their ids as another.",
    include_str!("foreign_ids.md"),
    &[
        Technique::new(
            "DA-01",
            "another tenant's ids in every argument that takes one",
            Severity::High,
            |site| Box::pin(foreign(site)),
        )
        .quick(),
        Technique::new("DA-02", "neighbours of own ids", Severity::High, |site| Box::pin(neighbours(site))),
        Technique::new("DA-13", "no id, or one that cannot be", Severity::High, |site| {
            Box::pin(malformed(site))
        }),
    ],
);

/// The least length of a text that can be somebody's.
const WORD: usize = 3;

/// The most foreign ids that are tried in one place.
const IDS: usize = 8;

async fn foreign(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for (reading, alone) in
            site.readings_of(&victim.tenant).filter(|(reading, _)| takes_id(victim, reading))
        {
            if tally.has_leaked() || site.target.late() {
                break;
            }
            one(&mut tally, site, attacker, victim, reading, alone).await;
        }
        substitute(&mut tally, site, attacker, victim).await;
    }
    tally.absent("no tool takes an id that another answer showed");
    tally
}

fn takes_id(party: &Party, reading: &Reading) -> bool {
    match &reading.what {
        What::Tool { name, arguments } => party.surface.tool(name).is_some_and(|tool| {
            places(&tool.schema)
                .iter()
                .any(|place| role(place.name) == Role::Id && arguments.pointer(&place.pointer).is_some())
        }),
        What::Resource(_) => true,
        What::Prompt { .. } => false,
    }
}

/// What the victim can read by an id, read by the attacker in the same way.
async fn one(
    tally: &mut Tally,
    site: &Site,
    attacker: &Party,
    victim: &Party,
    reading: &Reading,
    alone: &Facts,
) {
    if !attempt::control(tally, site, victim, reading).await {
        return;
    }
    let exchange = attempt::read(&attacker.caller, &reading.what).await;
    // Where the attacker has something of the same id, he must be shown that.
    if reading.alone.contains_key(&attacker.tenant) {
        attempt::weigh(tally, site, &attacker.tenant, reading, &exchange, attempt::Refusal::Fine);
        return;
    }
    let same = |exchange: &Exchange| {
        exchange.success().is_some_and(|result| !alone.is_empty() && alone.holds_in(&Facts::of(result)))
    };
    if !same(&exchange) || site.foreign(&attacker.tenant, &exchange).is_some() {
        attempt::denied(tally, site, &attacker.tenant, &exchange);
        return;
    }
    // What is answered to an id that nobody has says nothing of him who has one.
    let id = existence::id_of(victim, reading);
    if let Some((place, id)) = &id {
        let unknown = arguments::unknown(id, &mut site.chance("DA-01"));
        let beside = existence::ask(attacker, reading, place, &unknown).await;
        if same(&beside) {
            tally.held();
            return;
        }
    }
    let (what, reader, owner) = (reading.what.name(), &attacker.tenant, &victim.tenant);
    if elsewhere(site, attacker, victim, alone, id.as_ref().map(|(_, id)| id)) {
        let why = format!(
            "{reader} read {what} by an id of {owner}'s and was shown exactly what {owner} is shown, which {reader} could not \
             find by itself"
        );
        tally.leak(vec![attempt::shown(site, &exchange, why)]);
    } else {
        tally.doubt(format!(
            "{what} shows {reader} and {owner} the same by an id that only {owner}'s data names; whether it is {owner}'s or \
             everybody's cannot be told: name values that stand in each tenant's data with --seed"
        ));
        tally.held();
    }
}

/// Whether something of what the victim is shown by an id is shown to him without one too, and to the attacker nowhere: then it
/// is the victim's, and no catalogue's that all may read.
fn elsewhere(site: &Site, attacker: &Party, victim: &Party, alone: &Facts, id: Option<&Value>) -> bool {
    let id = id.map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned));
    let texts = |party: &Party| -> BTreeSet<String> {
        site.readings_of(&party.tenant)
            .filter(|(reading, _)| !site.by_id(reading))
            .flat_map(|(_, facts)| facts.leaves())
            .map(|(_, text)| text.to_owned())
            .collect()
    };
    let (theirs, own) = (texts(victim), texts(attacker));
    alone.leaves().any(|(_, text)| {
        text.chars().count() >= WORD
            && !["null", "true", "false"].contains(&text)
            && id.as_deref() != Some(text)
            && theirs.contains(text)
            && !own.contains(text)
    })
}

/// The victim's ids in every place of every reading tool of the attacker that takes an id.
async fn substitute(tally: &mut Tally, site: &Site, attacker: &Party, victim: &Party) {
    let foreign: Vec<arguments::Id> = victim
        .ids
        .iter()
        .filter(|id| !attacker.ids.iter().any(|own| own.value == id.value))
        .cloned()
        .collect();
    for tool in attacker.surface.tools.iter().filter(|tool| tool.kind == Kind::Read) {
        let takes = |place: &Place<'_>| matches!(role(place.name), Role::Id | Role::Cursor);
        for place in places(&tool.schema).into_iter().filter(takes) {
            let fitting = arguments::fitting_at(place.schema, place.name, &foreign, &tool.name);
            for id in fitting.into_iter().take(IDS) {
                if tally.has_leaked() || site.target.late() {
                    return;
                }
                let arguments = filled(&tool.schema, &[(place.pointer.clone(), id)]);
                let exchange = attacker.caller.call(&tool.name, &arguments).await;
                attempt::denied(tally, site, &attacker.tenant, &exchange);
            }
        }
    }
}

async fn neighbours(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, _) in site.directions() {
        let own = site.readings_of(&attacker.tenant).map(|(reading, _)| reading);
        let own =
            by_turns(own.filter(|reading| takes_id(attacker, reading)).collect(), |one| one.what.name());
        for reading in attempt::turns(site, &own) {
            if !attempt::control(&mut tally, site, attacker, reading).await {
                continue;
            }
            let What::Tool { name, arguments } = &reading.what else { continue };
            let ids = values(arguments).into_iter().filter(|(_, name, _)| role(name) == Role::Id);
            for (place, _, id) in ids {
                for near in near(&id) {
                    let guess = replaced(arguments, &place, Some(near));
                    let exchange = attacker.caller.call(name, &guess).await;
                    attempt::denied(&mut tally, site, &attacker.tenant, &exchange);
                    if tally.has_leaked() || site.target.late() {
                        return tally;
                    }
                }
            }
        }
    }
    tally.absent("no tool takes an id that can be counted on from");
    tally
}

/// The most places that take an id or a scope and are given none, or an odd one.
const PLACES: usize = 10;

/// What names an object or a scope, left out or in a form that cannot be: code that takes it for none may serve all.
async fn malformed(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, _) in site.directions() {
        let mut tried = BTreeSet::new();
        for (reading, _) in site.readings_of(&attacker.tenant) {
            let What::Tool { name, arguments } = &reading.what else { continue };
            let scopes =
                |(_, name, _): &(String, String, Value)| matches!(role(name), Role::Id | Role::Tenant);
            for (place, _, own) in values(arguments).into_iter().filter(scopes) {
                if tried.len() >= PLACES || !tried.insert((name, place.clone())) {
                    continue;
                }
                if !attempt::control(&mut tally, site, attacker, reading).await {
                    continue;
                }
                for odd in odd(&own) {
                    let guess = replaced(arguments, &place, odd);
                    let exchange = attacker.caller.call(name, &guess).await;
                    attempt::denied(&mut tally, site, &attacker.tenant, &exchange);
                    if tally.has_leaked() || site.target.late() {
                        return tally;
                    }
                }
            }
        }
    }
    tally.absent("no tool takes an id or a scope");
    tally
}

/// An id left out, and in forms that no id has.
fn odd(own: &Value) -> Vec<Option<Value>> {
    let text = own.as_str().map_or_else(|| own.to_string(), str::to_owned);
    let mut all =
        vec![None, Some(Value::Null), Some(json!(0)), Some(json!(-1)), Some(json!([])), Some(json!({}))];
    let texts = ["", " ", "*", "%", "null", "undefined", "../", "' or '1'='1"].map(str::to_owned);
    let changed =
        [text.to_uppercase(), format!("{text}\0"), format!(" {text} "), format!("{text}{}", "x".repeat(300))];
    all.extend(texts.into_iter().chain(changed).filter(|odd| *odd != text).map(|odd| Some(json!(odd))));
    all
}

/// Ids that come before and after one, if it ends in a number.
fn near(id: &Value) -> Vec<Value> {
    const STEPS: [i64; 12] = [-3, -2, -1, 1, 2, 3, 4, 5, 10, 100, 1_000, -100];
    if let Some(number) = id.as_i64() {
        return STEPS.iter().map(|step| json!(number.saturating_add(*step))).collect();
    }
    let Some(text) = id.as_str() else { return Vec::new() };
    let head = text.trim_end_matches(|c: char| c.is_ascii_digit());
    let Some(tail) = text.strip_prefix(head) else { return Vec::new() };
    let Ok(number) = tail.parse::<i64>() else { return Vec::new() };
    let width = tail.len();
    STEPS
        .iter()
        .map(|step| number.saturating_add(*step))
        .filter(|near| *near >= 0)
        .map(|near| json!(format!("{head}{near:0width$}")))
        .collect()
}
