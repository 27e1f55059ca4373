//! Lists and searches that are not kept to the tenant.

use partywall_model::{Layer, Severity};
use serde_json::{Value, json};

use crate::{
    arguments::{self, Role, role},
    probes::{Probe, Technique, attempt},
    site::{Party, Site},
    survey::{Kind, Tool},
    tally::Tally,
};

pub(super) static PROBE: Probe = Probe::new(
    "unfiltered-lists",
    Layer::Data,
    Severity::High,
    "Lists and searches with the widest arguments, for rows of another tenant.",
    include_str!("unfiltered_lists.md"),
    &[Technique::new(
        "DA-06",
        "lists and searches with empty, wild and extreme arguments",
        Severity::High,
        |site| Box::pin(lists(site)),
    )
    .quick()],
);

async fn lists(site: &Site) -> Tally {
    let mut tally = Tally::default();
    // What stood in the answers of the survey counts: a list without a filter leaks without any trick.
    for exchange in &site.survey {
        if let Some(evidence) = site.foreign(&exchange.who, exchange) {
            tally.leak(vec![evidence]);
        }
    }
    beyond(&mut tally, site);
    if site.marks.counts().is_empty() {
        return Tally::not_run(
            "no value is known to be a tenant's own; name some with --seed or allow writes",
        );
    }
    let [one, _] = &site.parties;
    let lists: Vec<_> = site
        .common()
        .into_iter()
        .filter(|reading| {
            attempt::as_tool(reading)
                .and_then(|(name, _)| one.surface.tool(name))
                .is_some_and(lists_something)
        })
        .collect();
    attempt::doubt_blind(&mut tally, site, &lists);
    for (attacker, victim) in site.directions() {
        for tool in
            attacker.surface.tools.iter().filter(|tool| tool.kind == Kind::Read && lists_something(tool))
        {
            let mut seen_own = false;
            for arguments in wide(tool) {
                if tally.has_leaked() || site.target.late() {
                    return tally;
                }
                let exchange = attacker.caller.call(&tool.name, &arguments).await;
                if let Some(reply) = exchange.reply() {
                    seen_own |= site.marks.own(&attacker.tenant, &reply.haystack());
                }
                attempt::denied(&mut tally, site, &attacker.tenant, &exchange);
            }
            if seen_own {
                tally.control(true, "");
            }
        }
        own_reading(&mut tally, site, victim).await;
    }
    tally.control(false, "no list showed a tenant a value that is known to be its own");
    tally
}

/// What the survey was shown with another choice of an argument, or by a tool that was listed late.
fn beyond(tally: &mut Tally, site: &Site) {
    for one in &site.beyond {
        let Some(evidence) = site.foreign(&one.exchange.who, &one.exchange) else { continue };
        if one.sure {
            tally.leak(vec![evidence]);
        } else {
            tally.doubt(format!(
                "{}, by {}; that may be everybody's: name values that stand in each tenant's data with --seed",
                evidence.why, one.call
            ));
        }
    }
}

/// A tool that takes no id that has to be given.
fn lists_something(tool: &Tool) -> bool {
    !arguments::properties(&tool.schema)
        .iter()
        .any(|(name, _, required)| *required && matches!(role(name), Role::Id | Role::Cursor | Role::Tenant))
}

async fn own_reading(tally: &mut Tally, site: &Site, party: &Party) {
    for (reading, _) in site.readings_of(&party.tenant).take(2) {
        attempt::control(tally, site, party, reading).await;
    }
}

/// Arguments that ask for as much as there is.
fn wide(tool: &Tool) -> Vec<Value> {
    let plain = arguments::object(&tool.schema, &serde_json::Map::new(), 3);
    let mut all = vec![plain.clone()];
    for (name, place, _) in arguments::properties(&tool.schema) {
        let values: Vec<Value> = match role(name) {
            Role::Search => ["", "%", "*", ".*", "' OR '1'='1", "_"].iter().map(|word| json!(word)).collect(),
            Role::Limit => vec![json!(-1), json!(0), json!(100_000)],
            Role::Other if arguments::is_kind(place, "string") && place.get("enum").is_none() => {
                vec![json!(""), json!("*"), json!("tenant"), json!("' OR 1=1 --")]
            }
            _ => Vec::new(),
        };
        for value in values {
            let mut arguments = plain.clone();
            if let Some(arguments) = arguments.as_object_mut() {
                arguments.insert(name.to_owned(), value);
            }
            all.push(arguments);
        }
    }
    all.truncate(24);
    all
}
