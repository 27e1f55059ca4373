//! Cache keys that hold too little, or the wrong things.

use partywall_model::{Layer, Severity};
use serde_json::{Value, json};

use crate::{
    arguments::{self, Role, role},
    oracle::{Judged, judge},
    probes::{
        Probe, Technique,
        attempt::{self, Refusal},
    },
    race::{self, Schedule},
    site::{Party, Reading, Site, What},
    survey::Kind,
    tally::Tally,
    target::Request,
};

pub(super) static PROBE: Probe = Probe::new(
    "loose-cache-key",
    Layer::Cache,
    Severity::High,
    "Reads as one tenant in ways that a cache may take for what another has just read.",
    include_str!("keys.md"),
    &[
        Technique::new("CA-05", "the same read with what a key may leave out", Severity::High, |site| {
            Box::pin(loose(site))
        }),
        Technique::new("CA-07", "the same read by both at the same time", Severity::High, |site| {
            Box::pin(coalesced(site))
        }),
        Technique::new("CA-10", "a search that is nearly the other's", Severity::High, |site| {
            Box::pin(near(site))
        }),
        Technique::new(
            "CA-12",
            "what an upstream answers, by turns and with caching asked for",
            Severity::High,
            |site| Box::pin(upstream(site)),
        ),
    ],
);

/// The same reading in other spellings: what many keys leave out or fold.
fn variants(party: &Party, reading: &Reading) -> Vec<Request> {
    let plain = reading.what.request(&party.caller);
    let with_query = |query: &str| {
        let mut url = party.caller.target().url.clone();
        url.set_query(Some(query));
        plain.clone().to(url)
    };
    let (method, params) = reading.what.message();
    let mut meta = params.clone();
    if let Some(fields) = meta.as_object_mut() {
        fields.insert("_meta".to_owned(), json!({"cache": "public", "progressToken": 1}));
    }
    let mut extra = params;
    if let Some(fields) = extra.get_mut("arguments").and_then(Value::as_object_mut) {
        fields.insert("_".to_owned(), json!("1"));
    }
    vec![
        with_query("v=1"),
        with_query("utm_source=x"),
        plain.clone().header("x-forwarded-host", "cache.example"),
        plain.clone().header("x-original-url", "/mcp"),
        plain.clone().header("accept-language", "xx"),
        plain.clone().header("cache-control", "max-stale=3600"),
        party.caller.request(method, meta),
        party.caller.request(method, extra),
    ]
}

async fn loose(site: &Site) -> Tally {
    let readings = match attempt::telling(site) {
        Ok(readings) => readings,
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for reading in attempt::turns(site, &readings) {
            attempt::control(&mut tally, site, victim, reading).await;
            for (mine, his) in variants(attacker, reading).into_iter().zip(variants(victim, reading)) {
                // The victim's own may be refused: a target need not take what it does not know.
                let first = victim.caller.send(his).await;
                attempt::weigh(&mut tally, site, &victim.tenant, reading, &first, Refusal::Fine);
                let exchange = attacker.caller.send(mine).await;
                attempt::weigh(&mut tally, site, &attacker.tenant, reading, &exchange, Refusal::Fine);
                if tally.has_leaked() || site.target.late() {
                    return tally;
                }
            }
            poisoned(&mut tally, site, attacker, victim, reading).await;
        }
    }
    tally
}

/// What one sends along must not stand in what the other is shown afterwards.
async fn poisoned(tally: &mut Tally, site: &Site, attacker: &Party, victim: &Party, reading: &Reading) {
    let mark = attempt::fresh("poison");
    let host = format!("{mark}.example");
    let request = reading
        .what
        .request(&attacker.caller)
        .header("x-forwarded-host", &host)
        .header("x-forwarded-prefix", &format!("/{mark}"))
        .header("user-agent", &mark);
    let sent = attacker.caller.send(request).await;
    let exchange = attempt::read(&victim.caller, &reading.what).await;
    if attempt::shows(&exchange, &mark) {
        let why = format!("{} is shown {mark:?}, which {} sent in a header", victim.tenant, attacker.tenant);
        tally.leak(vec![
            attempt::shown(site, &sent, "the request with the header"),
            site.redactor.evidence(&exchange, why, &mark),
        ]);
    } else {
        attempt::weigh(tally, site, &victim.tenant, reading, &exchange, Refusal::Wrong);
    }
}

async fn coalesced(site: &Site) -> Tally {
    let readings = match attempt::telling(site) {
        Ok(readings) => readings,
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    let (few, all) = (readings.len().clamp(1, 4), readings.len().max(1));
    let parts = |number: usize| u32::try_from(number * 6).unwrap_or(u32::MAX);
    for (place, reading) in readings.into_iter().enumerate() {
        // The first few have half of the time, and the others the other half.
        let share = if place < few { parts(few) } else { parts(all - few) };

        for party in &site.parties {
            attempt::control(&mut tally, site, party, reading).await;
        }
        // Two at a time, of one reading: whoever comes second waits for the first one's answer, if there is such a thing.
        let schedule = Schedule::mixed(site.chance("CA-07"), 2, 1);
        race::run(&mut tally, site, &[reading], schedule, site.plan.racing / share).await;
        if tally.has_leaked() {
            break;
        }
    }
    tally
}

/// Searches that a cache by meaning takes for the same.
fn nearly(query: &str) -> Vec<String> {
    let turned: Vec<&str> = query.split_whitespace().rev().collect();
    let mut all = vec![
        query.to_uppercase(),
        format!(" {query} "),
        format!("{query}?"),
        format!("please show {query}"),
        query.replace(' ', "  "),
    ];
    if turned.len() > 1 {
        all.push(turned.join(" "));
    }
    all
}

async fn near(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let tools = attacker.surface.tools.iter().filter(|tool| tool.kind == Kind::Read);
        for tool in tools.filter(|tool| victim.surface.tool(&tool.name).is_some()) {
            let place = arguments::properties(&tool.schema)
                .into_iter()
                .find(|(name, place, _)| role(name) == Role::Search && arguments::is_kind(place, "string"));
            let Some((place, ..)) = place else { continue };
            let search = |query: &str| {
                let given = serde_json::Map::from_iter([(place.to_owned(), json!(query))]);
                arguments::object(&tool.schema, &given, 3)
            };
            for mark in site.marks.of(&victim.tenant).take(3) {
                let Some(query) = part(&mark.text) else { continue };
                let own = victim.caller.call(&tool.name, &search(&query)).await;
                let found =
                    own.reply().is_some_and(|reply| site.marks.own(&victim.tenant, &reply.haystack()));
                if !found {
                    continue;
                }
                tally.control(true, "");
                for query in nearly(&query) {
                    let exchange = attacker.caller.call(&tool.name, &search(&query)).await;
                    attempt::denied(&mut tally, site, &attacker.tenant, &exchange);
                    if tally.has_leaked() || site.target.late() {
                        return tally;
                    }
                }
            }
        }
    }
    tally.absent("no search finds a value that is known to be a tenant's own");
    tally
}

/// A part of a value to search for: what was sent as a whole is not foreign in the answer.
pub(in crate::probes) fn part(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().filter(|word| word.chars().count() >= 4).collect();
    match words.as_slice() {
        [] | [_] => {
            let letters = text.chars().count();
            (letters >= 8).then(|| text.chars().take(letters / 2).collect())
        }
        [first, ..] => Some((*first).to_owned()),
    }
}

async fn upstream(site: &Site) -> Tally {
    let mut tally = Tally::default();
    let telling: Vec<&Reading> =
        site.telling().filter(|reading| matches!(reading.what, What::Tool { .. })).collect();
    for (attacker, victim) in site.directions() {
        for reading in attempt::turns_of(site, &telling, 2 * attempt::SAMPLE) {
            // Warm, and then asked for as something that may come from a cache.
            for _ in 0..2 {
                attempt::control(&mut tally, site, victim, reading).await;
            }
            for (name, value) in [("cache-control", "only-if-cached"), ("cache-control", "max-age=86400")] {
                let request = reading.what.request(&attacker.caller).header(name, value);
                let exchange = attacker.caller.send(request).await;
                match judge(site, &attacker.tenant, reading, &exchange) {
                    Judged::Foreign(evidence) => tally.leak(vec![evidence]),
                    Judged::Own => tally.held(),
                    Judged::Failed(_) if exchange.replied() => tally.held(),
                    Judged::Changed(why) | Judged::Failed(why) => tally.doubt(why),
                }
            }
            if tally.has_leaked() || site.target.late() {
                return tally;
            }
        }
    }
    tally.absent("no tool tells the tenants apart");
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_never_the_whole() {
        assert_eq!(part("Reactor leak").as_deref(), Some("Reactor"));
        assert_eq!(part("cnry-acme-1234").as_deref(), Some("cnry-ac"));
        assert_eq!(part("short"), None);
    }
}
