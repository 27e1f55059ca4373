//! What one tenant's call leaves in memory, in files or in a session of the server's.

use partywall_model::{Layer, Severity};
use serde_json::{Map, Value, json};

use crate::{
    arguments::{self, Role, role},
    facts::Facts,
    oracle::{Judged, judge, reading::failed},
    probes::{
        Probe, Technique,
        attempt::{self, Refusal},
        writing,
    },
    site::{Party, Reading, Site},
    survey::{Kind, Tool},
    tally::Tally,
    target::Exchange,
};

pub(super) static PROBE: Probe = Probe::new(
    "left-state",
    Layer::State,
    Severity::High,
    "Sets, names, breaks and pollutes something as one tenant, and reads as the other.",
    include_str!("left.md"),
    &[
        Technique::new("ST-02", "a setting of one tenant's", Severity::High, |site| {
            Box::pin(set(site, &SETS))
        }),
        Technique::new("ST-06", "files of the same name", Severity::High, |site| Box::pin(files(site))),
        Technique::new("ST-09", "a call right after one that failed in the middle", Severity::High, |site| {
            Box::pin(broken(site))
        }),
        Technique::new("ST-10", "arguments that reach the language's own objects", Severity::High, |site| {
            Box::pin(polluted(site))
        }),
    ],
);

/// Words of tools that set something which stays.
const SETS: [&str; 11] = [
    "set",
    "update",
    "configure",
    "prefer",
    "preference",
    "preferences",
    "remember",
    "save",
    "put",
    "enable",
    "language",
];

/// Words of tools that move within something that an upstream or a process remembers.
pub(in crate::probes) const MOVES: [&str; 13] = [
    "cd",
    "chdir",
    "cwd",
    "directory",
    "use",
    "switch",
    "select",
    "checkout",
    "navigate",
    "activate",
    "connect",
    "login",
    "project",
];

/// One tenant sets something to a text that stands nowhere else; nothing that the other is shown has it.
pub(in crate::probes) async fn set(site: &Site, words: &[&str]) -> Tally {
    if !site.plan.allow_writes {
        return Tally::not_run(writing::NOT_ALLOWED);
    }
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let tools = attacker.surface.tools.iter().filter(|tool| {
            tool.kind == Kind::Write
                && !tool.destroys
                && attempt::named(tool, words)
                && places(tool).next().is_some()
        });
        for tool in tools.take(4) {
            let mark = attempt::fresh("setting");
            let more: Vec<(&str, Value)> = places(tool).map(|place| (place, json!(mark))).collect();
            let arguments = writing::filled(tool, attacker, &mark, &more);
            let exchange = attacker.caller.call(&tool.name, &arguments).await;
            tally.control(
                exchange.success().is_some(),
                &format!("nothing could be set: {}", failed(&exchange)),
            );
            if exchange.success().is_some() {
                let how = format!("{} set with {}", attacker.tenant, tool.name);
                writing::crossed(&mut tally, site, victim, &mark, &how).await;
                restore(&mut tally, site, attacker, tool, &mark).await;
                attempt::intact(&mut tally, site, victim).await;
            }
            if tally.has_leaked() || site.target.late() {
                return tally;
            }
        }
    }
    tally.absent("no tool sets something to a text");
    tally
}

/// Sets what stood there before, where the tenant's own readings show what that was.
async fn restore(tally: &mut Tally, site: &Site, party: &Party, tool: &Tool, mark: &str) {
    for (reading, alone) in site.readings_of(&party.tenant).take(24) {
        let now = attempt::read(&party.caller, &reading.what).await;
        let facts = now.success().map(Facts::of).unwrap_or_default();
        let Some((path, _)) = facts.leaves().find(|(_, text)| *text == mark) else { continue };
        let Some((_, before)) = alone.leaves().find(|(known, _)| *known == path) else { continue };
        let more: Vec<(&str, Value)> = places(tool).map(|place| (place, json!(before))).collect();
        party.caller.call(&tool.name, &writing::filled(tool, party, before, &more)).await;
        return;
    }
    tally.note(format!("What {} set stays as it was set: nothing shows what stood there before.", tool.name));
}

/// Places that take a text, and ids that the tool makes: a path, a name.
fn places(tool: &Tool) -> impl Iterator<Item = &str> {
    arguments::properties(&tool.schema)
        .into_iter()
        .filter(|(name, place, _)| {
            arguments::free_text(place) && matches!(role(name), Role::Other | Role::Search | Role::Id)
        })
        .map(|(name, ..)| name)
}

const NAMES: [&str; 8] = ["name", "path", "file", "filename", "file_name", "filepath", "key", "title"];

fn name_of(tool: &Tool) -> Option<&str> {
    arguments::properties(&tool.schema)
        .into_iter()
        .find(|(name, place, _)| NAMES.contains(name) && arguments::is_kind(place, "string"))
        .map(|(name, ..)| name)
}

/// A tool that writes under a name and one that reads by it.
fn pairs(party: &Party) -> Vec<(&Tool, &str, &Tool, &str)> {
    let tools = &party.surface.tools;
    let writers = tools.iter().filter(|tool| tool.kind == Kind::Write && !tool.destroys);
    let mut pairs = Vec::new();
    for writer in writers {
        let Some(to) = name_of(writer) else { continue };
        if writing::text_places(writer).all(|place| place == to) {
            continue;
        }
        let reader = tools.iter().find(|tool| {
            tool.kind == Kind::Read
                && name_of(tool).is_some()
                && crate::survey::words(&tool.name).iter().skip(1).any(|word| attempt::named(writer, &[word]))
        });
        if let Some((reader, from)) = reader.and_then(|reader| Some((reader, name_of(reader)?))) {
            pairs.push((writer, to, reader, from));
        }
    }
    pairs
}

async fn files(site: &Site) -> Tally {
    if !site.plan.allow_writes {
        return Tally::not_run(writing::NOT_ALLOWED);
    }
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for (writer, to, reader, from) in pairs(attacker).into_iter().take(3) {
            if victim.surface.tool(&writer.name).is_none() || victim.surface.tool(&reader.name).is_none() {
                continue;
            }
            let name = attempt::fresh("file");
            let (his, mine) = (attempt::fresh("content"), attempt::fresh("content"));
            let write =
                |party: &Party, text: &str| writing::filled(writer, party, text, &[(to, json!(name))]);
            let given = Map::from_iter([(from.to_owned(), json!(name))]);
            let read = arguments::object(&reader.schema, &given, 3);
            victim.caller.call(&writer.name, &write(victim, &his)).await;
            let own = victim.caller.call(&reader.name, &read).await;
            tally.control(
                attempt::shows(&own, &his),
                &format!("what was written with {} is not read with {}", writer.name, reader.name),
            );
            if !attempt::shows(&own, &his) {
                continue;
            }
            let before = attacker.caller.call(&reader.name, &read).await;
            attacker.caller.call(&writer.name, &write(attacker, &mine)).await;
            let after = victim.caller.call(&reader.name, &read).await;
            if attempt::shows(&before, &his) {
                let why = format!("{} read the file of {} by its name", attacker.tenant, victim.tenant);
                tally.leak(vec![site.redactor.evidence(&before, why, &his)]);
            } else if attempt::shows(&after, &mine) {
                let why = format!("{}'s file has what {} wrote", victim.tenant, attacker.tenant);
                tally.leak(vec![site.redactor.evidence(&after, why, &mine)]);
            } else if after.replied() && !attempt::shows(&after, &his) {
                let why = format!("{}'s file is gone after {} wrote one", victim.tenant, attacker.tenant);
                tally.leak(vec![attempt::shown(site, &own, "before"), attempt::shown(site, &after, why)]);
            } else if after.replied() && before.replied() {
                tally.held();
            } else {
                tally.doubt(failed(&after));
            }
        }
    }
    tally.absent("no two tools write and read by the same name");
    tally
}

/// Arguments that make a handler fail: of wrong types, missing, very long.
fn breaking(reading: &Reading) -> Vec<Value> {
    let keys: Vec<String> = attempt::as_tool(reading)
        .and_then(|(_, arguments)| Some(arguments.as_object()?.keys().cloned().collect()))
        .unwrap_or_default();
    let all = |value: Value| {
        Value::Object(keys.iter().map(|key| (key.clone(), value.clone())).collect::<Map<_, _>>())
    };
    vec![
        all(json!({"a": [null]})),
        all(Value::Null),
        json!([]),
        json!({}),
        all(json!("x".repeat(20_000))),
        all(json!(-1)),
    ]
}

/// The victim's next call on his own connection must be his, and be answered.
async fn next(
    tally: &mut Tally,
    site: &Site,
    victim: &Party,
    reading: &Reading,
    before: &Exchange,
    how: &str,
) {
    let exchange = attempt::read(&victim.caller, &reading.what).await;
    match judge(site, &victim.tenant, reading, &exchange) {
        Judged::Own => tally.held(),
        Judged::Foreign(evidence) => tally.leak(vec![attempt::shown(site, before, how), evidence]),
        Judged::Changed(why) | Judged::Failed(why) => tally.doubt(format!("{how}: {why}")),
    }
}

async fn broken(site: &Site) -> Tally {
    let readings = match attempt::telling(site) {
        Ok(readings) => readings,
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for reading in attempt::turns(site, &readings) {
            let Some((name, _)) = attempt::as_tool(reading) else { continue };
            attempt::control(&mut tally, site, victim, reading).await;
            for arguments in breaking(reading) {
                let request =
                    attacker.caller.request("tools/call", json!({"name": name, "arguments": arguments}));
                let exchange = attacker.caller.send(request).await;
                if let Some(evidence) = site.foreign(&attacker.tenant, &exchange) {
                    tally.leak(vec![evidence]);
                }
                next(&mut tally, site, victim, reading, &exchange, "after a call of the other's that failed")
                    .await;
                if tally.has_leaked() || site.target.late() {
                    return tally;
                }
            }
        }
    }
    tally.absent("no tool tells the tenants apart");
    tally
}

async fn polluted(site: &Site) -> Tally {
    if !site.plan.allow_writes {
        return Tally::not_run("it may change a process that has the flaw; --allow-writes allows it");
    }
    let readings = match attempt::telling(site) {
        Ok(readings) => readings,
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let name = &attacker.tenant;
        let inner = json!({"tenant": name, "tenant_id": name, "tenantId": name, "org_id": name});
        let polluting = [
            ("__proto__", inner.clone()),
            ("constructor", json!({"prototype": inner})),
            ("__class__", json!({"__init__": {"__globals__": inner}})),
            ("options", json!({"__proto__": inner})),
        ];
        for reading in attempt::turns(site, &readings) {
            let Some((tool, arguments)) = attempt::as_tool(reading) else { continue };
            attempt::control(&mut tally, site, victim, reading).await;
            for (key, value) in &polluting {
                let mut arguments = arguments.as_object().cloned().unwrap_or_default();
                arguments.insert((*key).to_owned(), value.clone());
                let exchange = attacker.caller.call(tool, &Value::Object(arguments)).await;
                attempt::weigh(&mut tally, site, &attacker.tenant, reading, &exchange, Refusal::Fine);
                next(&mut tally, site, victim, reading, &exchange, "after such a call of the other's").await;
                if tally.has_leaked() || site.target.late() {
                    return tally;
                }
            }
        }
    }
    tally.absent("no tool tells the tenants apart");
    tally
}
