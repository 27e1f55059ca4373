//! Rows that one tenant writes for another, counts, lists of ids, and what was deleted.

use partywall_model::{Layer, Severity};
use serde_json::{Map, Value, json};

use crate::{
    arguments::{self, Role, role},
    facts::Facts,
    oracle::{difference, reading::failed, shift},
    probes::{
        Probe, Technique, attempt,
        counting::{Pair, watch},
        writing,
    },
    site::{Party, Site},
    survey::{Kind, Tool},
    tally::Tally,
    target::Exchange,
};

pub(super) static PROBE: Probe = Probe::new(
    "foreign-rows",
    Layer::Data,
    Severity::High,
    "Writes for another tenant, counts its rows, mixes its ids with own ones, and looks for what it deleted.",
    include_str!("written.md"),
    &[
        Technique::new("DA-07", "a row with another tenant as its owner", Severity::High, |site| {
            Box::pin(assigned(site))
        }),
        Technique::new("DA-08", "counts that move when another tenant writes", Severity::Medium, |site| {
            Box::pin(counted(site))
        }),
        Technique::new("DA-18", "own and foreign ids in one list", Severity::High, |site| {
            Box::pin(bulk(site))
        }),
        Technique::new("DA-19", "versions and deleted things of another tenant", Severity::High, |site| {
            Box::pin(history(site))
        }),
    ],
);

const OWNERS: [&str; 12] = [
    "tenant",
    "tenant_id",
    "tenantId",
    "org_id",
    "organization_id",
    "account_id",
    "workspace_id",
    "owner",
    "owner_id",
    "user_id",
    "created_by",
    "shared_with",
];

async fn assigned(site: &Site) -> Tally {
    if !site.plan.allow_writes {
        return Tally::not_run(writing::NOT_ALLOWED);
    }
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for tool in writing::creators(attacker).take(3) {
            let plain = attempt::fresh("own");
            attacker.caller.call(&tool.name, &writing::filled(tool, attacker, &plain, &[])).await;
            let shown = writing::everything(site, attacker).await;
            if !shown.iter().any(|exchange| attempt::shows(exchange, &plain)) {
                tally.absent(format!(
                    "nothing shows what was written with {}, so a row of another's would not be seen",
                    tool.name
                ));
                continue;
            }
            tally.control(true, "");
            site.writes_name(&attacker.tenant, &victim.tenant);
            for name in attempt::names_of(victim, site) {
                let mark = attempt::fresh("assigned");
                let mut more: Vec<(&str, Value)> =
                    OWNERS.iter().map(|owner| (*owner, name.clone())).collect();
                more.push(("metadata", json!({"tenant_id": name, "owner": name})));
                let arguments = writing::filled(tool, attacker, &mark, &more);
                attacker.caller.call(&tool.name, &arguments).await;
                let how = format!(
                    "{} wrote with {} and named {} as its owner",
                    attacker.tenant, tool.name, victim.tenant
                );
                writing::crossed(&mut tally, site, victim, &mark, &how).await;
                if tally.has_leaked() || site.target.late() {
                    return tally;
                }
            }
            attempt::intact(&mut tally, site, victim).await;
        }
    }
    tally.absent("no tool creates something from a text");
    tally
}

/// Words of tools that count; they are watched before others.
const COUNTS: [&str; 12] = [
    "count",
    "counts",
    "stats",
    "statistics",
    "total",
    "totals",
    "summary",
    "aggregate",
    "facets",
    "dashboard",
    "overview",
    "metrics",
];

async fn counted(site: &Site) -> Tally {
    if !site.plan.allow_writes {
        return Tally::not_run(writing::NOT_ALLOWED);
    }
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let Some(creator) = writing::creators(victim).next() else { continue };
        let mut tools: Vec<&Tool> = attacker
            .surface
            .tools
            .iter()
            .filter(|tool| tool.kind == Kind::Read)
            .filter(|tool| {
                !arguments::properties(&tool.schema)
                    .iter()
                    .any(|(name, _, must)| *must && role(name) == Role::Id)
            })
            .collect();
        tools.sort_by_key(|tool| !attempt::named(tool, &COUNTS));
        for tool in tools.into_iter().take(3) {
            let arguments = arguments::object(&tool.schema, &Map::new(), 3);
            let look =
                || attacker.caller.request("tools/call", json!({"name": tool.name, "arguments": arguments}));
            let act = || {
                let arguments = writing::filled(creator, victim, &attempt::fresh("count"), &[]);
                victim.caller.request("tools/call", json!({"name": creator.name, "arguments": arguments}))
            };
            let pair = Pair { looker: attacker, actor: victim };
            watch(&mut tally, site, pair, &look, &act, shift::in_answer).await;
            if tally.has_leaked() || site.target.late() {
                return tally;
            }
        }
    }
    tally.absent("no tool writes, or none shows a number that stands still");
    tally
}

/// The ids that only the victim has, as a place takes them.
fn strange(tool: &Tool, name: &str, attacker: &Party, victim: &Party) -> Vec<Value> {
    let foreign: Vec<arguments::Id> = victim
        .ids
        .iter()
        .filter(|id| !attacker.ids.iter().any(|own| own.value == id.value))
        .cloned()
        .collect();
    arguments::fitting(&tool.schema, name, &foreign, &tool.name)
}

async fn bulk(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for tool in attacker.surface.tools.iter().filter(|tool| tool.kind == Kind::Read) {
            let places = arguments::properties(&tool.schema).into_iter().filter(|(name, place, _)| {
                arguments::is_kind(place, "array") && (role(name) == Role::Id || name.ends_with("ids"))
            });
            for (name, ..) in places {
                let first = |value: &Value| value.as_array().and_then(|all| all.first()).cloned();
                let own = arguments::fitting(&tool.schema, name, &attacker.ids, &tool.name);
                let Some(own) = own.first().and_then(first) else { continue };
                for id in strange(tool, name, attacker, victim).iter().filter_map(first).take(4) {
                    mixed(&mut tally, site, (attacker, victim), (tool, name), (&own, &id)).await;
                    if tally.has_leaked() || site.target.late() {
                        return tally;
                    }
                }
            }
        }
    }
    tally.absent("no tool that reads takes several ids");
    tally
}

async fn mixed(
    tally: &mut Tally,
    site: &Site,
    (attacker, victim): (&Party, &Party),
    (tool, name): (&Tool, &str),
    (own, id): (&Value, &Value),
) {
    let with = |ids: Value| arguments::object(&tool.schema, &Map::from_iter([(name.to_owned(), ids)]), 3);
    let his = victim.caller.call(&tool.name, &with(json!([id]))).await;
    tally.control(his.success().is_some(), &format!("the owner cannot read it so: {}", failed(&his)));
    if his.success().is_none() {
        return;
    }
    let mut chance = site.chance("DA-18");
    let unknown = [arguments::unknown(id, &mut chance), arguments::unknown(id, &mut chance)];
    let [first, second] = &unknown;
    let foreign = attacker.caller.call(&tool.name, &with(json!([own, id]))).await;
    for ids in [json!([id, own]), json!([id]), json!([own, [id]]), json!([own, id, own])] {
        let exchange = attacker.caller.call(&tool.name, &with(ids)).await;
        attempt::denied(tally, site, &attacker.tenant, &exchange);
    }
    if let Some(evidence) = site.foreign(&attacker.tenant, &foreign) {
        tally.leak(vec![evidence]);
        return;
    }
    let one = attacker.caller.call(&tool.name, &with(json!([own, first]))).await;
    let other = attacker.caller.call(&tool.name, &with(json!([own, second]))).await;
    if difference(&one, first, &other, second).is_some() {
        tally.note(format!(
            "{} answers two unknown ids in two ways, so only values were looked for.",
            tool.name
        ));
        tally.held();
    } else if let Some(what) = difference(&foreign, id, &one, first) {
        let why = format!(
            "{} can tell an id of {} beside its own from one that nobody has: {what}",
            attacker.tenant, victim.tenant
        );
        tally.leak(vec![
            attempt::shown(site, &one, "an id that nobody has"),
            attempt::shown(site, &foreign, why),
        ]);
    } else {
        tally.held();
    }
}

const PAST: [&str; 14] = [
    "history",
    "versions",
    "version",
    "revisions",
    "revision",
    "trash",
    "deleted",
    "archive",
    "archived",
    "recycle",
    "snapshots",
    "snapshot",
    "changes",
    "backups",
];

/// A tool's arguments without an id, with every switch on and off: some show more with one.
fn switched(tool: &Tool, given: &Map<String, Value>) -> Vec<Value> {
    let mut all = vec![arguments::object(&tool.schema, given, 3)];
    let mut on = given.clone();
    for (name, place, _) in arguments::properties(&tool.schema) {
        if arguments::is_kind(place, "boolean") {
            on.insert(name.to_owned(), json!(true));
        }
    }
    on.insert("include_deleted".to_owned(), json!(true));
    all.push(arguments::object(&tool.schema, &on, 3));
    all
}

async fn history(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let tools = attacker.surface.tools.iter();
        for tool in tools.filter(|tool| tool.kind == Kind::Read && attempt::named(tool, &PAST)) {
            let place =
                arguments::properties(&tool.schema).into_iter().find(|(name, ..)| role(name) == Role::Id);
            let given: Vec<Map<String, Value>> = match place {
                Some((name, ..)) => strange(tool, name, attacker, victim)
                    .into_iter()
                    .take(6)
                    .map(|id| Map::from_iter([(name.to_owned(), id)]))
                    .collect(),
                None => vec![Map::new()],
            };
            for given in given {
                for arguments in switched(tool, &given) {
                    let his = victim.caller.call(&tool.name, &arguments).await;
                    if his.success().is_some() {
                        tally.control(true, "");
                    }
                    let exchange = attacker.caller.call(&tool.name, &arguments).await;
                    past(&mut tally, site, (attacker, victim), (&his, &exchange), given.is_empty());
                    if tally.has_leaked() || site.target.late() {
                        return tally;
                    }
                }
            }
        }
    }
    if tally.is_empty() {
        return Tally::not_run("no tool shows versions or deleted things");
    }
    tally.control(false, "no past was shown to its owner either");
    tally
}

/// Where it was asked for by an id that only the victim has, the same answer is his.
fn past(
    tally: &mut Tally,
    site: &Site,
    (attacker, victim): (&Party, &Party),
    (his, exchange): (&Exchange, &Exchange),
    without_id: bool,
) {
    let facts = |exchange: &Exchange| exchange.success().map(Facts::of).unwrap_or_default();
    let (theirs, got) = (facts(his), facts(exchange));
    let says = theirs.leaves().any(|(_, text)| crate::facts::telling(text));
    if !without_id && says && theirs == got && site.foreign(&attacker.tenant, exchange).is_none() {
        let why = format!("{} was shown the past of something of {}", attacker.tenant, victim.tenant);
        tally.leak(vec![attempt::shown(site, exchange, why)]);
    } else {
        attempt::denied(tally, site, &attacker.tenant, exchange);
    }
}
