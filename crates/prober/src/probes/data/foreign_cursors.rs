//! Places in lists of one tenant, given by another.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use partywall_model::{Layer, Severity};
use serde_json::{Map, Value, json};

use crate::{
    arguments::{self, Role, role},
    facts::{Facts, key},
    oracle::reading::failed,
    probes::{Probe, Technique, attempt},
    site::{Party, Site},
    survey::Kind,
    tally::Tally,
    target::{Exchange, Request},
};

pub(super) static PROBE: Probe = Probe::new(
    "foreign-cursors",
    Layer::Data,
    Severity::High,
    "Goes on in another tenant's list with the other's cursor, or one that was made to look like it.",
    include_str!("foreign_cursors.md"),
    &[Technique::new("DA-05", "cursors of another tenant's lists", Severity::High, |site| {
        Box::pin(cursors(site))
    })],
);

/// Where a cursor goes on: a method's list, or a tool with the argument that takes it.
#[derive(Clone)]
enum Place {
    List(&'static str),
    Tool { name: String, argument: String, schema: Value },
}

impl Place {
    fn request(&self, party: &Party, cursor: &str) -> Request {
        match self {
            Self::List(method) => party.caller.request(method, json!({"cursor": cursor})),
            Self::Tool { name, argument, schema } => {
                let given = Map::from_iter([(argument.clone(), json!(cursor))]);
                let arguments = arguments::object(schema, &given, 3);
                party.caller.request("tools/call", json!({"name": name, "arguments": arguments}))
            }
        }
    }
}

/// The cursors that a tenant was given, with where they go on.
fn of(site: &Site, party: &Party) -> Vec<(Place, String)> {
    let mut all: Vec<(Place, String)> = Vec::new();
    for (method, exchange) in &party.surface.lists {
        let next = exchange.success().and_then(|result| result.get("nextCursor")).and_then(Value::as_str);
        all.extend(next.map(|next| (Place::List(method), next.to_owned())));
    }
    for tool in party.surface.tools.iter().filter(|tool| tool.kind == Kind::Read) {
        let place =
            arguments::properties(&tool.schema).into_iter().find(|(name, ..)| role(name) == Role::Cursor);
        let Some((argument, ..)) = place else { continue };
        let answers = site.survey.iter().filter(|exchange| exchange.who == party.tenant);
        let of_tool = answers.filter(|exchange| {
            let sent = serde_json::from_slice::<Value>(&exchange.request.body).unwrap_or_default();
            sent.pointer("/params/name").and_then(Value::as_str) == Some(&tool.name)
        });
        for result in of_tool.filter_map(Exchange::success) {
            let facts = Facts::of(result);
            let next = facts.leaves().find(|(path, text)| role(key(path)) == Role::Cursor && *text != "null");
            if let Some((_, next)) = next {
                let place = Place::Tool {
                    name: tool.name.clone(),
                    argument: argument.to_owned(),
                    schema: tool.schema.clone(),
                };
                all.push((place, next.to_owned()));
            }
        }
    }
    all.dedup_by(|(_, a), (_, b)| a == b);
    all.truncate(6);
    all
}

/// The attacker's own cursors with the other's name instead of his, also inside an encoding.
fn edited(cursor: &str, attacker: &Party, victim: &Party) -> Vec<String> {
    let swap =
        |text: &str| text.contains(&attacker.tenant).then(|| text.replace(&attacker.tenant, &victim.tenant));
    let mut all: Vec<String> = swap(cursor).into_iter().collect();
    let word = cursor.trim_end_matches('=');
    for engine in [&STANDARD, &URL_SAFE_NO_PAD] {
        let decoded = engine.decode(cursor).or_else(|_| engine.decode(word)).ok();
        let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        all.extend(text.and_then(|text| swap(&text)).map(|text| engine.encode(text)));
    }
    all.dedup();
    all
}

async fn cursors(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let own = of(site, attacker);
        for (place, cursor) in of(site, victim) {
            let his = victim.caller.send(place.request(victim, &cursor)).await;
            tally.control(his.success().is_some(), &format!("the owner cannot go on: {}", failed(&his)));
            if his.success().is_none() {
                continue;
            }
            let mut tried = vec![(place.clone(), cursor.clone())];
            tried.extend(
                ["tools/list", "resources/list", "prompts/list"].map(|m| (Place::List(m), cursor.clone())),
            );
            tried.extend(own.iter().flat_map(|(place, cursor)| {
                edited(cursor, attacker, victim).into_iter().map(|edited| (place.clone(), edited))
            }));
            for (place, cursor) in tried {
                let exchange = attacker.caller.send(place.request(attacker, &cursor)).await;
                judge(&mut tally, site, (attacker, victim), &his, &exchange);
                if tally.has_leaked() || site.target.late() {
                    return tally;
                }
            }
        }
    }
    tally.absent("no list of the target goes on with a cursor");
    tally
}

/// The victim's page as the attacker's answer leaks, unless the attacker sees the same in his own lists.
fn judge(
    tally: &mut Tally,
    site: &Site,
    (attacker, victim): (&Party, &Party),
    his: &Exchange,
    exchange: &Exchange,
) {
    let page = |exchange: &Exchange| exchange.success().map(Facts::of).unwrap_or_default();
    let (theirs, got) = (page(his), page(exchange));
    let known: Vec<String> = attacker
        .surface
        .lists
        .iter()
        .filter_map(|(_, list)| list.reply())
        .map(|reply| String::from_utf8_lossy(&reply.body).into_owned())
        .collect();
    let strange = theirs.leaves().any(|(path, text)| {
        role(key(path)) == Role::Id && text.len() >= 4 && !known.iter().any(|list| list.contains(text))
    });
    if strange && theirs == got && site.foreign(&attacker.tenant, exchange).is_none() {
        let why = format!("{} went on in the list of {} with a cursor", attacker.tenant, victim.tenant);
        tally.leak(vec![attempt::shown(site, his, "the owner's page"), attempt::shown(site, exchange, why)]);
    } else {
        attempt::denied(tally, site, &attacker.tenant, exchange);
    }
}
