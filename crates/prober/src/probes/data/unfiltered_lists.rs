//! Lists and searches that are not kept to the tenant.

use partywall_model::{Layer, Severity};
use serde_json::{Value, json};

use crate::{
    arguments::{self, Id, Role, role},
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
            for arguments in wide(tool, &victim.ids) {
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

/// How places in a list are called that are counted, without a cursor.
const PLACES: [&str; 12] = [
    "from",
    "offset",
    "page",
    "pageindex",
    "pageno",
    "pagenr",
    "pagenumber",
    "skip",
    "start",
    "startat",
    "startindex",
    "startpage",
];

/// The most sets of arguments of one tool.
const MOST: usize = 32;

/// Arguments that ask for as much as there is: for all, for what stands further down, and for the other's by its ids.
fn wide(tool: &Tool, others: &[Id]) -> Vec<Value> {
    let plain = arguments::object(&tool.schema, &serde_json::Map::new(), 3);
    let mut all = vec![plain.clone()];
    for (name, place, _) in arguments::properties(&tool.schema) {
        for value in values(name, place, others) {
            let mut arguments = plain.clone();
            if let Some(arguments) = arguments.as_object_mut() {
                arguments.insert(name.to_owned(), value);
            }
            all.push(arguments);
        }
    }
    all.truncate(MOST);
    all
}

/// What one argument is tried with.
fn values(name: &str, place: &Value, others: &[Id]) -> Vec<Value> {
    let flat = name.replace(['_', '-'], "").to_ascii_lowercase();
    let is = |kind: &str| arguments::is_kind(place, kind);
    if is("object") && place.get("properties").is_none() && role(name) != Role::Tenant {
        let ids = others.iter().take(3).map(|id| json!({id.key.clone(): id.value}));
        return std::iter::once(json!({})).chain(ids).collect();
    }
    match role(name) {
        Role::Search => ["", "%", "*", ".*", "' OR '1'='1", "_"].iter().map(|word| json!(word)).collect(),
        Role::Limit => vec![json!(-1), json!(0), json!(100_000)],
        Role::Other if PLACES.contains(&flat.as_str()) && (is("integer") || is("number")) => {
            [1, 2, 10, 1_000].iter().map(|number| json!(number)).collect()
        }
        Role::Other if is("string") && place.get("enum").is_none() => {
            vec![json!(""), json!("*"), json!("tenant"), json!("' OR 1=1 --")]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_turned_and_free_objects_filled() {
        let of = |name: &str, kind: &str| {
            values(
                name,
                &json!({"type": kind}),
                &[Id { key: "id".into(), from: "list".into(), value: json!(41) }],
            )
        };
        assert!(of("page", "integer").contains(&json!(2)));
        assert!(of("startAt", "number").contains(&json!(10)));
        assert!(of("year", "integer").is_empty() && of("org", "object").is_empty());
        assert_eq!(of("where", "object"), [json!({}), json!({"id": 41})]);
        assert_eq!(of("filter", "object"), [json!({}), json!({"id": 41})]);
    }
}
