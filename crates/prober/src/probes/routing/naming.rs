//! Names that choose whose tool is called: prefixes of gateways, and arguments that headers repeat.

use partywall_model::{Layer, Severity};
use serde_json::{Value, json};

use super::parsing::{NOT_MODERN, must_refuse};
use crate::{
    arguments::{self, Role, role},
    oracle::{difference, reading::failed},
    probes::{Probe, Technique, attempt},
    site::{Party, Site},
    survey::Kind,
    tally::Tally,
    target::{Caller, Request},
};

pub(super) static PROBE: Probe = Probe::new(
    "namespaces",
    Layer::Routing,
    Severity::High,
    "Calls tools under another tenant's prefix, and with headers that repeat other arguments.",
    include_str!("naming.md"),
    &[
        Technique::new("XP-02", "a header that repeats another argument", Severity::High, |site| {
            Box::pin(repeated(site))
        }),
        Technique::new("XP-09", "another tenant's prefix before a tool's name", Severity::High, |site| {
            Box::pin(prefixed(site))
        }),
    ],
);

/// The most tools that are called under other names.
const MOST: usize = 3;
/// What stands between a prefix and a name.
const BETWEEN: [&str; 7] = ["__", "_", ".", "/", ":", "-", "::"];

/// A tool with an argument that is repeated in a header: its name, its arguments, the argument's and the header's name.
struct Repeated {
    tool: String,
    arguments: Value,
    argument: String,
    header: String,
}

fn repeating(party: &Party) -> Vec<Repeated> {
    let mut all = Vec::new();
    for tool in party.surface.tools.iter().filter(|tool| tool.kind == Kind::Read) {
        let Some(arguments) = arguments::sets(&tool.schema, &party.ids, &tool.name).into_iter().next() else {
            continue;
        };
        let place = arguments::properties(&tool.schema).into_iter().find_map(|(name, place, _)| {
            Some((name.to_owned(), place.get("x-mcp-header")?.as_str()?.to_owned()))
        });
        if let Some((argument, header)) = place {
            let mut arguments = arguments;
            if let Some(arguments) = arguments.as_object_mut() {
                if role(&argument) == Role::Tenant {
                    arguments.insert(argument.clone(), json!(party.tenant));
                }
                arguments.entry(argument.clone()).or_insert_with(|| json!("probe"));
            }
            all.push(Repeated { tool: tool.name.clone(), arguments, argument, header });
        }
    }
    all.truncate(MOST);
    all
}

async fn repeated(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let Some(caller) = &attacker.modern else {
            tally.absent(NOT_MODERN);
            continue;
        };
        for one in repeating(attacker) {
            let own = one.arguments.get(&one.argument).cloned().unwrap_or_default();
            let other = if role(&one.argument) == Role::Tenant {
                json!(victim.tenant)
            } else {
                match own.as_i64() {
                    Some(number) => json!(number + 1),
                    None => json!(format!("{}-other", own.as_str().unwrap_or("x"))),
                }
            };
            let name = format!("mcp-param-{}", one.header.to_ascii_lowercase());
            let call = |body: &Value| call(caller, &one, body);
            let (mine, theirs) = (plain(&own), plain(&other));
            let wrong = vec![
                (format!("another value in {name} than in its body"), call(&own).header(&name, &theirs)),
                (format!("another value in its body than in {name}"), call(&other).header(&name, &mine)),
                (format!("no {name} for a value in its body"), call(&own)),
                (format!("two {name}"), call(&own).header(&name, &mine).header(&name, &theirs)),
            ];
            must_refuse(&mut tally, site, attacker, caller, call(&own).header(&name, &mine), wrong).await;
        }
    }
    tally.absent("no tool has an argument that a header repeats (x-mcp-header)");
    tally
}

fn call(caller: &Caller, one: &Repeated, value: &Value) -> Request {
    let mut arguments = one.arguments.clone();
    if let Some(arguments) = arguments.as_object_mut() {
        arguments.insert(one.argument.clone(), value.clone());
    }
    caller.request("tools/call", json!({"name": one.tool, "arguments": arguments}))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

async fn prefixed(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let readings =
            site.readings_of(&victim.tenant).filter(|(reading, _)| attempt::as_tool(reading).is_some());
        for (reading, alone) in readings.take(MOST) {
            let Some((tool, arguments)) = attempt::as_tool(reading) else { continue };
            if !attempt::control(&mut tally, site, victim, reading).await {
                continue;
            }
            let nobody = || json!(format!("{}x{}", victim.tenant, fastrand::u32(100_000..999_999)));
            let twins = [nobody(), nobody()];
            for between in BETWEEN {
                let under = |tenant: &str| format!("{tenant}{between}{tool}");
                let twice = format!("{}{between}{}{between}{tool}", attacker.tenant, victim.tenant);
                for name in [under(&victim.tenant), twice] {
                    let exchange = attacker.caller.call(&name, arguments).await;
                    let facts = exchange.success().map(crate::facts::Facts::of);
                    let theirs = facts.is_some_and(|facts| {
                        !alone.is_empty()
                            && alone.holds_in(&facts)
                            && reading.alone.get(&attacker.tenant).is_none_or(|own| !own.holds_in(&facts))
                    });
                    if theirs {
                        let why = format!(
                            "{} called {name:?} and was shown what {} is shown",
                            attacker.tenant, victim.tenant
                        );
                        tally.leak(vec![attempt::shown(site, &exchange, why)]);
                    } else {
                        attempt::denied(&mut tally, site, &attacker.tenant, &exchange);
                    }
                }
                let ask = |tenant: &Value| {
                    let name = under(tenant.as_str().unwrap_or_default());
                    async move { attacker.caller.call(&name, arguments).await }
                };
                let [first, second] = &twins;
                let exchange = ask(&json!(victim.tenant)).await;
                let (unknown, control) = (ask(first).await, ask(second).await);
                if let Some(noise) = difference(&unknown, first, &control, second) {
                    tally.doubt(format!("two prefixes that nobody has are refused in two ways: {noise}"));
                    break;
                }
                let differs = difference(&exchange, &json!(victim.tenant), &unknown, first);
                if let (Some(what), false) = (differs, exchange.success().is_some()) {
                    let why = format!(
                        "{} can tell by a tool's prefix that there is {}: {what}",
                        attacker.tenant, victim.tenant
                    );
                    tally.leak(vec![
                        attempt::shown(site, &unknown, "a prefix that nobody has"),
                        attempt::shown(site, &exchange, why),
                    ]);
                } else if !unknown.replied() {
                    tally.doubt(failed(&unknown));
                }
                if tally.has_leaked() || site.target.late() {
                    return tally;
                }
            }
        }
    }
    tally.absent("no tenant can read anything by a tool");
    tally
}
