//! What is read once it is known what belongs to whom: with further arguments, and by tools that were not listed at first.
//!
//! An argument's other choice may show everybody's rows. Were it read with the rest, what it shows would count as nobody's.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Alone, Kind,
    learn::{self, Hanging, read},
    surface::{self, words},
};
use crate::{
    Plan, arguments,
    canary::{Marks, Origin},
    choices::{self, Choice},
    facts::{Facts, timely},
    site::{Party, Reading, What, by_turns},
    target::Exchange,
};

/// The most further things that are read of one tenant.
const MOST: usize = 40;
/// The share of the run's time that they may take.
const SHARE: u32 = 12;

/// Words that say that something is everybody's, where they are what was chosen.
const SHARED: [&str; 26] = [
    "catalog",
    "directory",
    "discover",
    "explore",
    "feed",
    "gallery",
    "library",
    "registry",
    "store",
    "world",
    "public",
    "shared",
    "global",
    "everyone",
    "everybody",
    "community",
    "template",
    "templates",
    "common",
    "published",
    "example",
    "examples",
    "demo",
    "anyone",
    "marketplace",
    "catalogue",
];

/// An answer to further arguments that shows a tenant what only the other is shown without them.
pub(crate) struct Beyond {
    pub(crate) exchange: Exchange,
    /// Whether that is the other's for certain: it was named or written, or nothing says that this is for everybody.
    pub(crate) sure: bool,
    /// The call.
    pub(crate) call: String,
}

/// What is read, and what was chosen for it: the name of a tool that was listed late, or a value.
struct Chosen {
    what: What,
    said: String,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Further {
    pub(super) readings: Vec<Reading>,
    /// What was chosen for the readings, one for each.
    said: Vec<String>,
    pub(super) beyond: Vec<Beyond>,
    pub(super) notes: Vec<String>,
    left_out: BTreeMap<String, BTreeSet<String>>,
}

/// Lists the tools again, and reads with further arguments as each tenant.
pub(super) async fn read_on(
    plan: &Plan,
    parties: &mut [Party; 2],
    known: &[Reading],
    marks: &Marks,
    hanging: &mut Hanging,
) -> Further {
    let mut further = Further::default();
    let late = appeared(parties, &mut further).await;
    let until = Instant::now() + plan.duration / SHARE;
    for (party, other) in [(0, 1), (1, 0)] {
        let (Some(party), Some(other)) = (parties.get(party), parties.get(other)) else { continue };
        let whats = whats(plan, party, &other.tenant, (known, &late), &mut further);
        for one in whats {
            let what = &one.what;
            if Instant::now() > until {
                further.left_out.entry(what.name().to_owned()).or_default().insert("all".to_owned());
                continue;
            }
            read_one(party, &one, (known, marks), hanging, &mut further).await;
        }
    }
    later(parties, plan.pauses.clock, (marks, hanging), &mut further).await;
    if !further.left_out.is_empty() {
        let told = |(tool, places): (&String, &BTreeSet<String>)| {
            format!("{tool} ({})", places.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
        };
        let told: Vec<String> = further.left_out.iter().take(20).map(told).collect();
        further.notes.push(format!(
            "not every choice of these arguments is tried, and no two otherwise at a time: {}",
            told.join(", ")
        ));
    }
    further
}

/// The tools that were not listed at first. They are attacked as others are, unless they are the other tenant's.
async fn appeared(parties: &mut [Party; 2], further: &mut Further) -> BTreeSet<String> {
    let mut late = BTreeSet::new();
    let first: BTreeSet<String> =
        parties.iter().flat_map(|party| &party.surface.tools).map(|tool| tool.name.clone()).collect();
    for party in parties.iter_mut() {
        let hangs = |name: &str| party.surface.hanging.iter().any(|tool| tool.name == name);
        let listed = surface::tools(&party.caller).await;
        let fresh: Vec<_> =
            listed.into_iter().filter(|tool| !first.contains(&tool.name) && !hangs(&tool.name)).collect();
        late.extend(fresh.iter().map(|tool| tool.name.clone()));
        party.surface.tools.extend(fresh);
    }
    if !late.is_empty() {
        let names: Vec<&str> = late.iter().map(String::as_str).collect();
        further
            .notes
            .push(format!("listed only after something was called, and attacked too: {}", names.join(", ")));
    }
    late
}

/// What there is to read further as a tenant.
fn whats(
    plan: &Plan,
    party: &Party,
    other: &str,
    (known, late): (&[Reading], &BTreeSet<String>),
    further: &mut Further,
) -> Vec<Chosen> {
    let mut all = Vec::new();
    for tool in party.surface.tools.iter().filter(|tool| tool.kind == Kind::Read) {
        let sets = if late.contains(&tool.name) {
            let sets = arguments::sets(&tool.schema, &party.ids, &tool.name);
            sets.into_iter().map(|arguments| Choice { arguments, said: tool.name.clone() }).collect()
        } else {
            let mut plain = known.iter().filter(|reading| reading.alone.contains_key(&party.tenant));
            let plain = plain.find_map(|reading| match &reading.what {
                What::Tool { name, arguments } if *name == tool.name => Some(arguments),
                _ => None,
            });
            let (Some(plain), false) = (plain, plan.quick) else { continue };
            let choices = choices::further(&tool.schema, plain, tool.only_reads(), |text| {
                text.eq_ignore_ascii_case(other)
            });
            if !choices.left_out.is_empty() {
                further.left_out.entry(tool.name.clone()).or_default().extend(choices.left_out);
            }
            choices.sets
        };
        all.extend(sets.into_iter().map(|Choice { arguments, said }| {
            let arguments = learn::with_tenant(&tool.schema, arguments, party);
            Chosen { what: What::Tool { name: tool.name.clone(), arguments }, said }
        }));
    }
    let mut all = by_turns(all, |one| one.what.name());
    for one in all.drain(MOST.min(all.len())..) {
        further.left_out.entry(one.what.name().to_owned()).or_default().insert("some".to_owned());
    }
    all
}

/// Reads something twice, unless it shows what is the other's.
async fn read_one(
    party: &Party,
    chosen: &Chosen,
    (known, marks): (&[Reading], &Marks),
    hanging: &mut Hanging,
    further: &mut Further,
) {
    let what = &chosen.what;
    let Some(first) = read(party, what, hanging).await else { return };
    let Some(first) = own(party, (what, &chosen.said), marks, first, further) else { return };
    let Some(again) = read(party, what, hanging).await else { return };
    let Some(again) = own(party, (what, &chosen.said), marks, again, further) else { return };
    let (Some(one), Some(two)) = (first.success(), again.success()) else { return };
    let facts = Facts::of(one).stable(&Facts::of(two));
    // What makes no difference needs no attack of its own.
    let same = |reading: &Reading| {
        reading.what.name() == what.name() && reading.alone.get(&party.tenant) == Some(&facts)
    };
    if known.iter().any(same) {
        return;
    }
    if let Some(reading) = further.readings.iter_mut().find(|reading| reading.what == *what) {
        reading.alone.insert(party.tenant.clone(), facts);
    } else {
        let alone = Alone::from([(party.tenant.clone(), facts)]);
        further.readings.push(Reading { what: what.clone(), alone });
        further.said.push(chosen.said.clone());
    }
}

/// And once more when everything was read: what has moved by then moves by itself.
async fn later(
    parties: &[Party; 2],
    clock: Duration,
    (marks, hanging): (&Marks, &mut Hanging),
    further: &mut Further,
) {
    let tells = |facts: &Facts| facts.leaves().any(|(_, text)| timely(text));
    if further.readings.iter().any(|reading| reading.alone.values().any(tells)) {
        tokio::time::sleep(clock).await;
    }
    let mut readings = std::mem::take(&mut further.readings);
    let said = std::mem::take(&mut further.said);
    for party in parties {
        for (reading, said) in readings.iter_mut().zip(&said) {
            let Some(alone) = reading.alone.get(&party.tenant) else { continue };
            let Some(exchange) = read(party, &reading.what, hanging).await else { continue };
            let exchange = own(party, (&reading.what, said), marks, exchange, further);
            let again = exchange.as_ref().and_then(Exchange::success).map(Facts::of);
            match again.map(|again| alone.stable(&again)) {
                Some(still) => reading.alone.insert(party.tenant.clone(), still),
                None => reading.alone.remove(&party.tenant),
            };
        }
    }
    readings.retain(|reading| !reading.alone.is_empty());
    further.readings = readings;
}

/// The answer, unless it shows what is the other's: then it is kept as what it is.
fn own(
    party: &Party,
    (what, said): (&What, &str),
    marks: &Marks,
    exchange: Exchange,
    further: &mut Further,
) -> Option<Exchange> {
    let hit = exchange
        .reply()
        .and_then(|reply| marks.foreign(&party.tenant, &reply.haystack(), &exchange.request.body));
    let Some(hit) = hit else { return Some(exchange) };
    let certain = marks.of(&hit.owner).any(|mark| mark.text == hit.text && mark.origin != Origin::Learned);
    // Only what was chosen says whose it is: other arguments and the tool were there before, and showed nothing.
    let shared = words(said).iter().any(|word| SHARED.contains(&word.as_str()));
    let call = what.key();
    if !further.beyond.iter().any(|known| known.call == call && known.exchange.who == exchange.who) {
        further.beyond.push(Beyond { exchange, sure: certain || !shared, call });
    }
    None
}
