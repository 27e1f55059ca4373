//! Whether a refusal tells that something is there.

use partywall_model::{Layer, Severity};
use serde_json::{Map, Value, json};

use crate::{
    arguments::{self, Role, role},
    facts::Facts,
    oracle::{difference, reading::failed},
    places::{places, replaced},
    probes::{Probe, Technique, attempt},
    site::{Party, Reading, Site, What},
    tally::Tally,
    target::Exchange,
};

pub(super) static PROBE: Probe = Probe::new(
    "existence-oracle",
    Layer::Disclosure,
    Severity::Medium,
    "Compares the refusal of another tenant's id with that of an id that nobody has.",
    include_str!("existence.md"),
    &[
        Technique::new("DA-11", "another tenant's id against an unknown one", Severity::Medium, |site| {
            Box::pin(ids(site))
        }),
        Technique::new(
            "DA-09",
            "another tenant's unique value against an unknown one",
            Severity::Medium,
            |site| Box::pin(unique(site)),
        ),
    ],
);

/// The most ids that are compared of each tenant.
const MOST: usize = 6;

async fn ids(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let mut compared = 0;
        for (reading, _) in site.readings_of(&victim.tenant) {
            if compared >= MOST || tally.has_leaked() || site.target.late() {
                break;
            }
            // Where the attacker has an object of the same id, there is nothing to hide.
            if reading.alone.contains_key(&attacker.tenant) {
                continue;
            }
            let Some((place, id)) = id_of(victim, reading) else { continue };
            if attempt::control(&mut tally, site, victim, reading).await {
                compare(&mut tally, site, (attacker, victim), reading, &place, &id).await;
                compared += 1;
            }
        }
    }
    tally.absent("no tenant can read something by an id that the other has not");
    tally
}

/// The place that names an object, and the id in it.
pub(in crate::probes) fn id_of(party: &Party, reading: &Reading) -> Option<(String, Value)> {
    match &reading.what {
        What::Tool { name, arguments } => {
            let tool = party.surface.tool(name)?;
            let places = places(&tool.schema).into_iter().filter(|place| role(place.name) == Role::Id);
            places
                .map(|place| place.pointer)
                .find_map(|place| arguments.pointer(&place).cloned().map(|id| (place, id)))
        }
        What::Resource(uri) => Some(("/uri".to_owned(), json!(uri))),
        What::Prompt { .. } => None,
    }
}

pub(in crate::probes) async fn ask(attacker: &Party, reading: &Reading, place: &str, id: &Value) -> Exchange {
    let (method, mut params) = reading.what.message();
    let slot = if method == "tools/call" { params.get_mut("arguments") } else { Some(&mut params) };
    if let Some(slot) = slot {
        *slot = replaced(slot, place, Some(id.clone()));
    }
    attacker.caller.ask(method, params).await
}

async fn compare(
    tally: &mut Tally,
    site: &Site,
    (attacker, victim): (&Party, &Party),
    reading: &Reading,
    place: &str,
    id: &Value,
) {
    let mut chance = site.chance("DA-11");
    let twins = [arguments::unknown(id, &mut chance), arguments::unknown(id, &mut chance)];
    let [first, second] = &twins;
    let unknown = ask(attacker, reading, place, first).await;
    let control = ask(attacker, reading, place, second).await;
    let foreign = ask(attacker, reading, place, id).await;
    let again = ask(attacker, reading, place, id).await;
    if unknown.success().is_some() && foreign.success().is_some() {
        // Both are answered: what is in them is the business of other probes.
        tally.absent(format!("{} answers any id", reading.what.name()));
        return;
    }
    if let Some(result) = foreign.success() {
        let names = || {
            format!(
                "{} shows {} what stands behind an id that only {}'s data names; whether that is everybody's cannot be told: \
                 name values that stand in each tenant's data with --seed",
                reading.what.name(),
                attacker.tenant,
                victim.tenant
            )
        };
        // It is not refused: what is in it is compared, and not how it is refused.
        match site.foreign(&attacker.tenant, &foreign) {
            Some(evidence) => tally.leak(vec![evidence]),
            None if Facts::of(result).is_empty() => tally.held(),
            None => tally.doubt(names()),
        }
        return;
    }
    // Unless two unknown ids look alike, a difference means nothing.
    if let Some(noise) = difference(&unknown, first, &control, second) {
        tally.doubt(format!("{} refuses two unknown ids in two ways: {noise}", reading.what.name()));
        return;
    }
    match (difference(&foreign, id, &unknown, first), difference(&again, id, &control, second)) {
        (None, _) | (_, None) if foreign.replied() => tally.held(),
        (Some(what), Some(_)) => {
            let why = format!(
                "{} can tell an id of {} from one that nobody has, by {}: {what}",
                attacker.tenant,
                victim.tenant,
                reading.what.name()
            );
            tally.leak(vec![
                attempt::shown(site, &foreign, "the other tenant's id"),
                attempt::shown(site, &unknown, "an id that nobody has"),
                attempt::shown(site, &again, why),
            ]);
        }
        _ => tally.doubt(failed(&foreign)),
    }
}

/// Creates with a value that the other tenant has, against one that nobody has.
async fn unique(site: &Site) -> Tally {
    if !site.plan.allow_writes {
        return Tally::not_run("it writes; --allow-writes allows it");
    }
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let tools = attacker.surface.tools.iter().filter(|tool| {
            tool.kind == crate::survey::Kind::Write
                && !tool.destroys
                && crate::survey::words(&tool.name)
                    .iter()
                    .any(|w| ["create", "add", "register", "insert"].contains(&w.as_str()))
        });
        for tool in tools.take(4) {
            let places: Vec<String> = arguments::properties(&tool.schema)
                .into_iter()
                .filter(|(name, ..)| {
                    ["name", "email", "slug", "title", "key", "code", "username"]
                        .contains(&name.to_ascii_lowercase().as_str())
                })
                .map(|(name, ..)| name.to_owned())
                .collect();
            for place in places {
                one_value(&mut tally, site, (attacker, victim), tool, &place).await;
            }
        }
    }
    tally.absent("no tool creates something by a name, an email or a slug");
    tally
}

async fn one_value(
    tally: &mut Tally,
    site: &Site,
    (attacker, victim): (&Party, &Party),
    tool: &crate::survey::Tool,
    place: &str,
) {
    let number = fastrand::u64(..);
    let create = |value: String| {
        let given = Map::from_iter([(place.to_owned(), json!(value))]);
        arguments::object(&tool.schema, &given, 4)
    };
    let theirs = format!("cnry-unique-{number:x}");
    let made = victim.caller.call(&tool.name, &create(theirs.clone())).await;
    tally.control(made.success().is_some(), &format!("the owner cannot create it: {}", failed(&made)));
    if made.success().is_none() {
        return;
    }
    let foreign = attacker.caller.call(&tool.name, &create(theirs)).await;
    let unknown =
        attacker.caller.call(&tool.name, &create(format!("cnry-unique-{:x}", number.wrapping_add(1)))).await;
    if foreign.success().is_none() && foreign.replied() && unknown.success().is_some() {
        let why = format!(
            "{} cannot create {place} with a value that {} has, and can with another: it tells that it exists",
            attacker.tenant, victim.tenant
        );
        tally.leak(vec![
            attempt::shown(site, &foreign, why),
            attempt::shown(site, &unknown, "a value that nobody has"),
        ]);
    } else if foreign.replied() {
        tally.held();
    } else {
        tally.doubt(failed(&foreign));
    }
}
