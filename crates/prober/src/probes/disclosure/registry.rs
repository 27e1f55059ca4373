//! Names that both tenants have, names that a tenant adds, and tools that call tools.

use partywall_model::{Layer, Severity};
use serde_json::{Map, Value, json};

use crate::{
    arguments,
    oracle::reading::failed,
    probes::{
        Probe, Technique,
        attempt::{self, Refusal},
        writing,
    },
    site::{Party, Site},
    survey::{Kind, Tool},
    tally::Tally,
};

pub(super) static PROBE: Probe = Probe::new(
    "shared-registry",
    Layer::Disclosure,
    Severity::High,
    "Looks whether tools, resources and prompts are found by their name alone.",
    include_str!("registry.md"),
    &[
        Technique::new(
            "CT-03",
            "one name in both catalogues, listed and called by turns",
            Severity::High,
            |site| Box::pin(by_turns(site)),
        ),
        Technique::new("CT-05", "a name that one tenant adds", Severity::High, |site| Box::pin(added(site))),
        Technique::new("CT-06", "a tool that calls tools", Severity::High, |site| Box::pin(through(site))),
    ],
);

const LISTS: [&str; 3] = ["tools/list", "resources/list", "prompts/list"];

async fn by_turns(site: &Site) -> Tally {
    let readings = match attempt::telling(site) {
        Ok(readings) => readings,
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for reading in attempt::turns(site, &readings) {
            if !attempt::control(&mut tally, site, victim, reading).await {
                continue;
            }
            // Some servers make what can be called when it is listed.
            for method in LISTS {
                attacker.caller.ask(method, json!({})).await;
            }
            for (party, turns) in [(victim, 1), (attacker, 1), (victim, 2)] {
                for _ in 0..turns {
                    let exchange = attempt::read(&party.caller, &reading.what).await;
                    attempt::weigh(&mut tally, site, &party.tenant, reading, &exchange, Refusal::Wrong);
                }
            }
            if tally.has_leaked() || site.target.late() {
                return tally;
            }
        }
    }
    tally
}

/// Tools that put something into a catalogue.
fn registers(party: &Party) -> impl Iterator<Item = &Tool> {
    const WHAT: [&str; 12] = [
        "tool", "tools", "plugin", "prompt", "prompts", "resource", "command", "skill", "agent", "server",
        "macro", "template",
    ];
    party.surface.tools.iter().filter(|tool| {
        tool.kind == Kind::Write
            && !tool.destroys
            && attempt::named(tool, &WHAT)
            && attempt::named(
                tool,
                &["register", "define", "install", "create", "add", "publish", "save", "import"],
            )
    })
}

async fn added(site: &Site) -> Tally {
    if !site.plan.allow_writes {
        return Tally::not_run(writing::NOT_ALLOWED);
    }
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for tool in registers(attacker).take(3) {
            let mark = attempt::fresh("entry");
            let named: Vec<(&str, Value)> = arguments::properties(&tool.schema)
                .into_iter()
                .filter(|(name, ..)| ["name", "key", "slug", "title", "id"].contains(name))
                .map(|(name, ..)| (name, json!(mark.replace('-', "_"))))
                .collect();
            let arguments = writing::filled(tool, attacker, &mark, &named);
            let exchange = attacker.caller.call(&tool.name, &arguments).await;
            tally.control(
                exchange.success().is_some(),
                &format!("nothing could be added: {}", failed(&exchange)),
            );
            if exchange.success().is_none() {
                continue;
            }
            for method in LISTS {
                let list = victim.caller.ask(method, json!({})).await;
                if attempt::shows(&list, &mark) || attempt::shows(&list, &mark.replace('-', "_")) {
                    let why = format!(
                        "{method} of {} shows what {} added with {}",
                        victim.tenant, attacker.tenant, tool.name
                    );
                    tally.leak(vec![
                        attempt::shown(site, &exchange, "what was added"),
                        attempt::shown(site, &list, why),
                    ]);
                } else if list.replied() {
                    tally.held();
                } else {
                    tally.doubt(failed(&list));
                }
            }
            attempt::intact(&mut tally, site, victim).await;
        }
    }
    tally.absent("no tool adds a tool, a prompt or a resource");
    tally
}

/// The places for the name and the arguments of the tool that a tool calls.
fn calls(tool: &Tool) -> Option<(String, Option<String>)> {
    const NAMES: [&str; 6] = ["tool", "tool_name", "toolname", "name", "action", "function"];
    const ARGUMENTS: [&str; 6] = ["arguments", "args", "params", "parameters", "input", "payload"];
    let about =
        attempt::named(tool, &["call", "execute", "invoke", "dispatch", "run", "use", "proxy", "meta"])
            || tool.description.to_ascii_lowercase().contains("another tool");
    let places = arguments::properties(&tool.schema);
    let find = |list: &[&str]| {
        places
            .iter()
            .map(|(name, ..)| *name)
            .find(|name| list.contains(&name.to_ascii_lowercase().as_str()))
            .map(str::to_owned)
    };
    if !about {
        return None;
    }
    Some((find(&NAMES)?, find(&ARGUMENTS)))
}

async fn through(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let meta = attacker.surface.tools.iter().filter(|tool| attempt::may_call(site, tool));
        for tool in meta {
            let Some((name, arguments)) = calls(tool) else { continue };
            let wrap = |inner: &str, inside: &Value| {
                let mut given = Map::from_iter([(name.clone(), json!(inner))]);
                if let Some(place) = &arguments {
                    given.insert(place.clone(), inside.clone());
                }
                arguments::object(&tool.schema, &given, 3)
            };
            let theirs: Vec<_> = site
                .readings_of(&victim.tenant)
                .filter_map(|(reading, _)| attempt::as_tool(reading))
                .filter(|(inner, _)| attacker.surface.tool(inner).is_none())
                .take(4)
                .collect();
            for (inner, inside) in theirs {
                let own = victim.caller.call(&tool.name, &wrap(inner, inside)).await;
                tally.control(
                    own.success().is_some(),
                    &format!("the owner cannot call it so: {}", failed(&own)),
                );
                let exchange = attacker.caller.call(&tool.name, &wrap(inner, inside)).await;
                if exchange.success().is_some() && own.success().is_some() {
                    let why = format!(
                        "{} called {inner} through {}, which is listed for {} only",
                        attacker.tenant, tool.name, victim.tenant
                    );
                    tally.leak(vec![attempt::shown(site, &exchange, why)]);
                } else {
                    attempt::denied(&mut tally, site, &attacker.tenant, &exchange);
                }
            }
            // Under a name that both have, each must be answered as itself.
            for reading in attempt::few(site, 2) {
                let Some((inner, inside)) = attempt::as_tool(reading) else { continue };
                let exchange = attacker.caller.call(&tool.name, &wrap(inner, inside)).await;
                attempt::denied(&mut tally, site, &attacker.tenant, &exchange);
            }
        }
    }
    tally.absent("no tool that may be called calls other tools");
    tally
}
