//! What is known of the target when the attacks begin: who can speak to it, what each is shown alone, what belongs to whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use partywall_model::Evidence;
use serde_json::{Value, json};

use crate::{
    Plan,
    arguments::{self, Id, Role, role},
    canary::{Hit, Marks},
    facts::{Facts, key, telling},
    survey::{Beyond, Kind, Surface},
    tally::doubt_here,
    target::{Caller, Era, Exchange, Request, Target},
    transcript::Redactor,
};

/// One tenant: his callers, what he is offered, the ids of what is his.
pub(crate) struct Party {
    /// The tenant's name.
    pub(crate) tenant: String,
    /// The caller in the newest generation that the target speaks.
    pub(crate) caller: Caller,
    /// The caller in the generation with sessions, with a session, if the target speaks it.
    pub(crate) legacy: Option<Caller>,
    /// The caller in the generation without sessions, if the target speaks it.
    pub(crate) modern: Option<Caller>,
    /// What the target offers him.
    pub(crate) surface: Surface,
    /// Ids that stood in what he was shown.
    pub(crate) ids: Vec<Id>,
}

impl Party {
    /// The caller in each generation that the target speaks.
    pub(crate) fn callers(&self) -> impl Iterator<Item = &Caller> {
        self.modern.iter().chain(self.legacy.iter())
    }
}

/// Something that can be read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    /// A tool's answer.
    Tool {
        /// The tool.
        name: String,
        /// Its arguments.
        arguments: Value,
    },
    /// A resource.
    Resource(String),
    /// A prompt.
    Prompt {
        /// The prompt.
        name: String,
        /// Its arguments.
        arguments: Value,
    },
}

impl What {
    /// The method and its parameters.
    pub(crate) fn message(&self) -> (&'static str, Value) {
        match self {
            Self::Tool { name, arguments } => ("tools/call", json!({"name": name, "arguments": arguments})),
            Self::Resource(uri) => ("resources/read", json!({"uri": uri})),
            Self::Prompt { name, arguments } => {
                ("prompts/get", json!({"name": name, "arguments": arguments}))
            }
        }
    }

    /// The request that reads it.
    pub(crate) fn request(&self, caller: &Caller) -> Request {
        let (method, params) = self.message();
        caller.request(method, params)
    }

    /// What tells it from everything else that is read.
    pub(crate) fn key(&self) -> String {
        let (method, params) = self.message();
        format!("{method} {params}")
    }

    /// The name of what is read.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Tool { name, .. } | Self::Prompt { name, .. } | Self::Resource(name) => name,
        }
    }
}

/// Something that tenants can read, and what each is shown alone.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) what: What,
    /// By tenant: what two readings agreed on while nobody else was at work.
    pub(crate) alone: BTreeMap<String, Facts>,
}

/// What searches among the target's calls came to, so that no technique searches again: by who asked, and for what.
#[derive(Default)]
pub(crate) struct Found(Mutex<BTreeMap<(String, &'static str), Option<What>>>);

impl Found {
    /// What an earlier search for it came to, if there was one.
    pub(crate) fn before(&self, caller: &Caller, wanted: &'static str) -> Option<Option<What>> {
        self.0.lock().ok()?.get(&(who(caller), wanted)).cloned()
    }

    /// Remembers what a search came to.
    pub(crate) fn remember(&self, caller: &Caller, wanted: &'static str, found: Option<What>) {
        // A search that the end of the time broke off came to nothing for another reason.
        if found.is_some() || !caller.target().late() {
            self.0.lock().map(|mut all| all.insert((who(caller), wanted), found)).ok();
        }
    }
}

fn who(caller: &Caller) -> String {
    format!("{} {}", caller.tenant, caller.era().revision())
}

/// What is known of the target.
pub(crate) struct Site {
    pub(crate) plan: Plan,
    pub(crate) target: Arc<Target>,
    /// The two tenants that attack each other.
    pub(crate) parties: [Party; 2],
    /// Another user of one of the two tenants.
    pub(crate) colleague: Option<Caller>,
    /// Somebody without a token, in each generation that the target speaks.
    pub(crate) nobody: Vec<Caller>,
    pub(crate) marks: Marks,
    pub(crate) readings: Vec<Reading>,
    pub(crate) redactor: Redactor,
    /// What was found out on the way and does not need an attack: it is judged by the techniques that look for it.
    pub(crate) survey: Vec<Exchange>,
    pub(crate) found: Found,
    /// Tenants that the run suspended and has not resumed.
    pub(crate) away: Mutex<BTreeSet<String>>,
    /// Whose names the run wrote, and as whom: they stand in that tenant's own data from then on.
    pub(crate) named: Mutex<BTreeSet<(String, String)>>,
    /// What was shown with further arguments, and is the other's.
    pub(crate) beyond: Vec<Beyond>,
    /// The tools that some technique has tried.
    pub(crate) reached: Mutex<BTreeSet<String>>,
    /// Sessions that somebody is in for the whole run.
    pub(crate) kept: BTreeSet<String>,
    /// Of which tenants nothing could be read, and why.
    pub(crate) unread: Vec<String>,
    /// What the survey itself was shown that one tenant had from the other.
    pub(crate) early: Early,
}

/// What tenants were shown in the survey that they are not shown alone: it changes tenants too.
#[derive(Debug, Default)]
pub(crate) struct Early {
    /// Leaks that could be made again: the exchanges that show one.
    pub(crate) leaks: Vec<Vec<Evidence>>,
    /// What may not be judged by, and why.
    pub(crate) doubts: Vec<(What, String)>,
}

impl Site {
    /// Notes that a tenant is suspended, or is not any more.
    pub(crate) fn suspended(&self, tenant: &str, is: bool) {
        if let Ok(mut away) = self.away.lock() {
            if is {
                away.insert(tenant.to_owned());
            } else {
                away.remove(tenant);
            }
        }
    }

    /// Notes that a technique tries a tool.
    pub(crate) fn reaches(&self, tool: &str) {
        if let Ok(mut reached) = self.reached.lock()
            && !reached.contains(tool)
        {
            reached.insert(tool.to_owned());
        }
    }

    /// The tools that could be called and that no technique has tried.
    pub(crate) fn unreached(&self) -> Vec<String> {
        let Ok(reached) = self.reached.lock() else { return Vec::new() };
        let tools = self.parties.iter().flat_map(|party| &party.surface.tools);
        let unreached: BTreeSet<&String> = tools
            .filter(|tool| tool.kind == Kind::Read)
            .map(|tool| &tool.name)
            .filter(|name| !reached.contains(*name))
            .collect();
        unreached.into_iter().cloned().collect()
    }

    /// Notes that the name of one tenant is written as another.
    pub(crate) fn writes_name(&self, writer: &str, name: &str) {
        if let Ok(mut named) = self.named.lock() {
            named.insert((writer.to_owned(), name.to_owned()));
        }
    }

    fn wrote_name(&self, writer: &str, name: &str) -> bool {
        self.named.lock().is_ok_and(|named| named.contains(&(writer.to_owned(), name.to_owned())))
    }

    /// The tenants that are still suspended.
    pub(crate) fn still_suspended(&self) -> Vec<String> {
        self.away.lock().map(|away| away.iter().cloned().collect()).unwrap_or_default()
    }

    /// Attacker and victim, both ways round.
    pub(crate) const fn directions(&self) -> [(&Party, &Party); 2] {
        let [one, other] = &self.parties;
        [(one, other), (other, one)]
    }

    /// A tenant of the two, by name.
    pub(crate) fn party(&self, tenant: &str) -> Option<&Party> {
        self.parties.iter().find(|party| party.tenant == tenant)
    }

    /// What both tenants can read and is not the same for both: by it one can tell who is answered.
    /// Each tool comes once before any comes a second time.
    pub(crate) fn telling(&self) -> impl Iterator<Item = &Reading> {
        let [one, other] = &self.parties;
        let telling = self.readings.iter().filter(|reading| {
            match (reading.alone.get(&one.tenant), reading.alone.get(&other.tenant)) {
                (Some(one), Some(other)) => {
                    !one.is_empty() && !other.is_empty() && (!one.holds_in(other) || !other.holds_in(one))
                }
                _ => false,
            }
        });
        by_turns(telling.collect(), |reading| reading.what.name()).into_iter()
    }

    /// What both tenants can read, what tells them apart first.
    pub(crate) fn common(&self) -> Vec<&Reading> {
        let [one, other] = &self.parties;
        let telling: Vec<&Reading> = self.telling().collect();
        let both = |reading: &&Reading| {
            reading.alone.contains_key(&one.tenant) && reading.alone.contains_key(&other.tenant)
        };
        let alike = self
            .readings
            .iter()
            .filter(both)
            .filter(|reading| !telling.iter().any(|t| t.what == reading.what));
        telling.iter().copied().chain(alike).collect()
    }

    /// Whether something is read by an id that a tool takes, and that only one tenant got an answer to.
    pub(crate) fn by_id(&self, reading: &Reading) -> bool {
        by_id(&self.parties, reading)
    }

    /// Whether a reading shows both tenants the same and nothing says whose that is: a leak would look like this too.
    pub(crate) fn blind(&self, reading: &Reading) -> bool {
        let [one, other] = &self.parties;
        let same = match (reading.alone.get(&one.tenant), reading.alone.get(&other.tenant)) {
            (Some(one), Some(other)) => one == other && one.leaves().any(|(_, text)| telling(text)),
            _ => false,
        };
        same && !(self.marks.certain(&one.tenant) && self.marks.certain(&other.tenant))
    }

    /// The readings that a tenant gets an answer to alone.
    pub(crate) fn readings_of<'a>(
        &'a self,
        tenant: &'a str,
    ) -> impl Iterator<Item = (&'a Reading, &'a Facts)> + 'a {
        self.readings.iter().filter_map(move |reading| Some((reading, reading.alone.get(tenant)?)))
    }

    /// A source of chance for one technique: the same in each run with the same seed.
    pub(crate) fn chance(&self, technique: &str) -> fastrand::Rng {
        let salt =
            technique.bytes().fold(0_u64, |salt, byte| salt.wrapping_mul(31).wrapping_add(byte.into()));
        fastrand::Rng::with_seed(self.plan.seed_run ^ salt)
    }

    /// The evidence for a foreign value in an answer, if there is one.
    pub(crate) fn foreign(&self, tenant: &str, exchange: &Exchange) -> Option<Evidence> {
        let reply = exchange.reply()?;
        let mut sent = exchange.request.body.clone();
        for (name, value) in &exchange.request.headers {
            sent.extend_from_slice(format!("\n{name}: {value}").as_bytes());
        }
        if let Some(url) = &exchange.request.url {
            sent.extend_from_slice(format!("\n{url}").as_bytes());
        }
        match self.marks.foreign(tenant, &reply.haystack(), &sent) {
            Some(hit) => match &hit.doubt {
                None => return Some(self.redactor.hit(exchange, &hit)),
                Some(why) => {
                    let Hit { owner, text, .. } = &hit;
                    let who = if tenant.is_empty() { "nobody" } else { tenant };
                    doubt_here(&format!("{who} was shown {text:?}, which {owner} is shown too: {why}"));
                }
            },
            None => self.doubt_without_values(tenant, exchange),
        }
        self.owned_by_another(tenant, exchange, &sent)
    }

    /// Where nothing is known to be anybody else's, and something shows both tenants the same, an answer that shows nothing
    /// foreign shows nothing.
    fn doubt_without_values(&self, tenant: &str, exchange: &Exchange) {
        let tells = |result| Facts::of(result).leaves().any(|(_, text)| telling(text));
        if !self.marks.any_but(tenant)
            && (!self.early.doubts.is_empty() || self.readings.iter().any(|reading| self.blind(reading)))
            && exchange.success().is_some_and(tells)
        {
            doubt_here(
                "no value is known to be the other tenant's alone, and something shows both tenants the same: name values \
                 that stand in each tenant's data with --seed, or allow writes",
            );
        }
    }

    /// The evidence for a field of a tenant's name that names another than the caller, who did not name him himself.
    fn owned_by_another(&self, tenant: &str, exchange: &Exchange, sent: &[u8]) -> Option<Evidence> {
        let facts = Facts::of(exchange.success()?);
        let (path, owner) = facts.leaves().find(|(path, text)| {
            role(key(path)) == Role::Tenant
                && text.len() >= 3
                && self.parties.iter().any(|party| {
                    party.tenant != tenant
                        && party.tenant.eq_ignore_ascii_case(text)
                        && !self.wrote_name(tenant, &party.tenant)
                })
                && !facts.planted_beside(path)
                && !self.named_alone(tenant, key(path), text)
        })?;
        if String::from_utf8_lossy(sent).to_lowercase().contains(&owner.to_lowercase()) {
            return None;
        }
        let who = if tenant.is_empty() { "nobody" } else { tenant };
        let why = format!("{who} was shown something whose {path} is {owner:?}");
        Some(self.redactor.evidence(exchange, why, owner))
    }

    /// Whether the tenant is shown the same in a field of this name while nobody attacks, and the field may name whom it deals
    /// with: one's customers are companies and have accounts. Who is called a tenant is one.
    fn named_alone(&self, tenant: &str, field: &str, text: &str) -> bool {
        arguments::names_parties(field)
            && self.readings_of(tenant).any(|(_, facts)| {
                facts.leaves().any(|(path, known)| key(path) == field && known.eq_ignore_ascii_case(text))
            })
    }

    /// The generations that the target speaks, the newest first.
    pub(crate) fn eras(&self) -> Vec<Era> {
        let [one, _] = &self.parties;
        one.callers().map(|caller| caller.era().clone()).collect()
    }
}

/// Whether something is read by an id that a tool takes, and that only one tenant got an answer to: who knows the id need not have
/// been shown what stands behind it. What answers both is no catalogue where it answers each otherwise.
pub(crate) fn by_id(parties: &[Party; 2], reading: &Reading) -> bool {
    let What::Tool { name, arguments } = &reading.what else { return false };
    if reading.alone.len() > 1 {
        return false;
    }
    parties.iter().filter_map(|party| party.surface.tool(name)).any(|tool| {
        arguments::properties(&tool.schema)
            .iter()
            .any(|(name, ..)| role(name) == Role::Id && arguments.get(name).is_some())
    })
}

/// Puts the first of each name before the second of any, and so on.
pub(crate) fn by_turns<T>(all: Vec<T>, name: impl Fn(&T) -> &str) -> Vec<T> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut turns: Vec<(usize, T)> = all
        .into_iter()
        .map(|one| {
            let turn = seen.entry(name(&one).to_owned()).or_default();
            *turn += 1;
            (*turn, one)
        })
        .collect();
    turns.sort_by_key(|(turn, _)| *turn);
    turns.into_iter().map(|(_, one)| one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_comes_twice_before_everybody_came_once() {
        assert_eq!(
            by_turns(vec!["a1", "a2", "a3", "b1", "b2"], |one| one.trim_end_matches(char::is_numeric)),
            ["a1", "b1", "a2", "b2", "a3"]
        );
    }
}
