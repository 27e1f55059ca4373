//! Whether the survey itself was shown one tenant's data as the other: it reads as one and then as the other, and that is
//! what many leaks wait for. What is in doubt is read again with pauses, until it is known what each is shown alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::learn::{self, Hanging, Heard, read};
use crate::{
    canary::Marks,
    facts::{Facts, telling},
    site::{Early, Party, Reading, What},
    target::Exchange,
    transcript::Redactor,
};

/// How many pauses there must be time for.
const NEEDED: u32 = 8;
/// How often it is tried whether the other's reading brings it: once by chance, twice not.
const ROUNDS: usize = 2;
/// The most things that are read again.
const MOST: usize = 24;
/// The most texts of one answer that are looked at.
const MOST_TEXTS: usize = 2_000;
/// The most that is told of.
const MOST_TOLD: usize = 6;

/// The advice where it cannot be told whose something is.
const NAME: &str = "name values that stand in each tenant's data with --seed";

/// A text of one tenant's that the other was shown at times.
struct Case {
    what: What,
    owner: String,
    other: String,
    text: String,
    /// Whether it could be made again.
    made: bool,
    /// What shows it: the owner alone, the other alone, the other right after the owner. Absent where it could not be
    /// made again, and where enough is told of.
    shown: Option<Box<[Exchange; 3]>>,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Told {
    cases: Vec<Case>,
    doubts: Vec<(What, String)>,
}

impl Told {
    /// The leaks that could be made again, and what is not to be judged by. A value that leaked stays its owner's; one of
    /// which that cannot be told is doubted.
    pub(super) fn judged(self, marks: &mut Marks, redactor: &Redactor) -> Early {
        let mut early = Early { leaks: Vec::new(), doubts: self.doubts };
        for Case { what, owner, other, text, made, shown } in self.cases {
            let name = what.name().to_owned();
            if !made {
                let why = format!(
                    "{name} showed {other} {text:?} at times while nobody attacked, which {owner} is always shown; whether \
                     that is {owner}'s alone cannot be told: {NAME}"
                );
                marks.doubt(&owner, &text, &why);
                if early.doubts.len() < MOST_TOLD && !early.doubts.iter().any(|(known, _)| *known == what) {
                    early.doubts.push((what, why));
                }
                continue;
            }
            let Some(shown) = shown.filter(|_| early.leaks.len() < MOST_TOLD) else { continue };
            let [alone, before, after] = *shown;
            // A row is told of in other words than it was sent in.
            let sent =
                after.reply().is_some_and(|reply| String::from_utf8_lossy(&reply.body).contains(&text));
            let foreign = if sent { text.as_str() } else { "" };
            let why = format!(
                "{other} was shown {text:?} by {name} right after {owner} had read, as {owner} is, and {ROUNDS} times was not \
                 when nobody else had asked for some seconds"
            );
            early.leaks.push(vec![
                redactor.evidence(&before, format!("what {other} is shown alone"), ""),
                redactor.evidence(&alone, format!("what {owner} is shown alone"), ""),
                redactor.evidence(&after, why, foreign),
            ]);
        }
        early
    }
}

/// Reads again with pauses what the tenants may have been shown of each other, and puts what each is shown alone into the
/// readings.
pub(super) async fn alone(
    parties: &mut [Party; 2],
    (readings, heard): (&mut Vec<Reading>, &mut Vec<Heard>),
    (pause, hanging): (Duration, &mut Hanging),
    marks: &Marks,
) -> Told {
    let mut whats = at_times(parties, heard);
    let named = parties.iter().all(|party| marks.certain(&party.tenant));
    let alike: Vec<What> = if named { Vec::new() } else { same_for_both(parties, readings) };
    let [first, second] = &*parties;
    if first.caller.target().left() < pause * NEEDED {
        return untried(parties, whats);
    }
    if !alike.is_empty() {
        // What is kept for both for some time is the same for both only so long.
        tokio::time::sleep(pause).await;
        let moved = moved(second, alike, readings, hanging, heard).await;
        whats.extend(moved.into_iter().filter(|what| !whats.contains(what)).collect::<Vec<_>>());
    }
    whats.truncate(MOST);
    if whats.is_empty() {
        return Told::default();
    }
    // What was shown while the other had just asked says nothing of whose it is.
    heard.iter_mut().filter(|heard| whats.contains(&heard.what)).for_each(|heard| heard.alone = false);
    let mut trials = Trials { whats, ..Trials::default() };
    for _ in 0..ROUNDS {
        let [one, two] = &*parties;
        for (own, other) in [(two, one), (one, two)] {
            tokio::time::sleep(pause).await;
            trials.quietly(own, hanging).await;
            trials.one_after_the_other((own, other), hanging).await;
        }
    }
    trials.settle(parties, readings);
    let told = trials.told(parties, readings, heard).await;
    heard.extend(trials.heard(&told));
    anew(parties, (readings, heard), (pause, hanging)).await;
    told
}

/// What is known of one answer: to whom, to what, and which texts were in it.
type Sighting = (String, What, BTreeSet<String>);

fn sighting(heard: &Heard) -> Sighting {
    (heard.exchange.who.clone(), heard.what.clone(), texts(&heard.exchange))
}

/// The texts in an answer that can be somebody's.
fn texts(exchange: &Exchange) -> BTreeSet<String> {
    exchange.success().map(|result| lines(&Facts::of(result))).unwrap_or_default()
}

/// Lines of texts, and rows of lists as a reader is told of them.
fn lines(facts: &Facts) -> BTreeSet<String> {
    let lines = facts.leaves().flat_map(|(_, text)| text.lines());
    let lines = lines.map(|line| line.trim().to_owned()).filter(|line| telling(line)).take(MOST_TEXTS);
    lines.chain(facts.told_rows().take(MOST_TEXTS)).collect()
}

/// Whether the target said something to the request itself, and not that it was too much.
fn said(exchange: &Exchange) -> bool {
    exchange.answer().is_some() && !matches!(exchange.status(), 429 | 500..)
}

/// What showed a tenant a text at times, and not always, that the other is shown somewhere.
fn at_times(parties: &[Party; 2], heard: &[Heard]) -> Vec<What> {
    let seen: Vec<Sighting> = heard.iter().filter(|heard| said(&heard.exchange)).map(sighting).collect();
    let mut whats: Vec<What> = Vec::new();
    for party in parties {
        let theirs: BTreeSet<&String> =
            seen.iter().filter(|(who, ..)| *who != party.caller.name).flat_map(|(.., texts)| texts).collect();
        let own: Vec<&Sighting> = seen.iter().filter(|(who, ..)| *who == party.caller.name).collect();
        for (_, what, _) in &own {
            if whats.contains(what) {
                continue;
            }
            let answers: Vec<&BTreeSet<String>> =
                own.iter().filter(|(_, known, _)| known == what).map(|(.., texts)| texts).collect();
            let mut all = answers.iter().flat_map(|texts| texts.iter());
            if all.any(|text| theirs.contains(text) && !answers.iter().all(|texts| texts.contains(text))) {
                whats.push(what.clone());
            }
        }
    }
    whats
}

/// What shows both tenants the same, where that can be somebody's.
fn same_for_both(parties: &[Party; 2], readings: &[Reading]) -> Vec<What> {
    let [one, other] = parties;
    let same = |reading: &&Reading| match (reading.alone.get(&one.tenant), reading.alone.get(&other.tenant)) {
        (Some(one), Some(other)) => one == other && one.leaves().any(|(_, text)| telling(text)),
        _ => false,
    };
    readings.iter().filter(same).map(|reading| reading.what.clone()).collect()
}

/// What of that is not the same any more.
async fn moved(
    party: &Party,
    whats: Vec<What>,
    readings: &[Reading],
    hanging: &mut Hanging,
    heard: &mut Vec<Heard>,
) -> Vec<What> {
    let mut moved = Vec::new();
    for what in whats.into_iter().take(MOST) {
        let alone = readings.iter().find(|reading| reading.what == what);
        let Some(alone) = alone.and_then(|reading| reading.alone.get(&party.tenant)) else { continue };
        let Some(exchange) = read(party, &what, hanging).await.filter(said) else { continue };
        let still = exchange.success().is_some_and(|result| alone.holds_in(&Facts::of(result)));
        heard.push(Heard { what: what.clone(), alone: true, exchange });
        if !still {
            moved.push(what);
        }
    }
    moved
}

/// What to say where there is no time to try.
fn untried(parties: &[Party; 2], whats: Vec<What>) -> Told {
    let [one, other] = parties.each_ref().map(|party| party.tenant.as_str());
    let doubt = |what: What| {
        let why = format!(
            "{} showed {one} and {other} the same at times, and there was no time to see what each is shown alone: \
             --duration gives it more, or {NAME}",
            what.name()
        );
        (what, why)
    };
    Told { cases: Vec::new(), doubts: whats.into_iter().take(MOST_TOLD).map(doubt).collect() }
}

/// Answers by tenant and by the number of what was read.
type Answers = BTreeMap<(String, usize), Vec<Exchange>>;

/// What was tried.
#[derive(Default)]
struct Trials {
    whats: Vec<What>,
    quiet: Answers,
    after: Answers,
}

impl Trials {
    /// Reads as a tenant who is alone, each thing twice. What is left of the other's last call is shown to the first read, if
    /// to any.
    async fn quietly(&mut self, party: &Party, hanging: &mut Hanging) {
        if let Some(first) = self.whats.first() {
            let _left = read(party, first, hanging).await;
        }
        for _ in 0..2 {
            for (number, what) in self.whats.iter().enumerate() {
                if let Some(exchange) = read(party, what, hanging).await.filter(said) {
                    self.quiet.entry((party.tenant.clone(), number)).or_default().push(exchange);
                }
            }
        }
    }

    /// Reads each thing as one tenant and right afterwards as the other.
    async fn one_after_the_other(&mut self, (first, second): (&Party, &Party), hanging: &mut Hanging) {
        for (number, what) in self.whats.iter().enumerate() {
            let _primed = read(first, what, hanging).await;
            if let Some(exchange) = read(second, what, hanging).await.filter(said) {
                self.after.entry((second.tenant.clone(), number)).or_default().push(exchange);
            }
        }
    }

    fn quiet_of(&self, tenant: &str, number: usize) -> &[Exchange] {
        self.quiet.get(&(tenant.to_owned(), number)).map(Vec::as_slice).unwrap_or_default()
    }

    /// Puts what each was shown alone into the readings, and takes out what he was not.
    fn settle(&self, parties: &[Party; 2], readings: &mut Vec<Reading>) {
        for (number, what) in self.whats.iter().enumerate() {
            let Some(reading) = readings.iter_mut().find(|reading| reading.what == *what) else { continue };
            for party in parties {
                let quiet = self.quiet_of(&party.tenant, number);
                let results: Option<Vec<Facts>> =
                    quiet.iter().map(|exchange| exchange.success().map(Facts::of)).collect();
                let alone = results.into_iter().flatten().reduce(|alone, facts| alone.stable(&facts));
                match alone {
                    Some(alone) => reading.alone.insert(party.tenant.clone(), alone),
                    None => reading.alone.remove(&party.tenant),
                };
            }
        }
        readings.retain(|reading| !reading.alone.is_empty());
    }

    /// The texts that a tenant is shown whenever it reads alone.
    fn always(tenant: &str, readings: &[Reading]) -> BTreeSet<String> {
        readings.iter().filter_map(|reading| reading.alone.get(tenant)).flat_map(lines).collect()
    }

    /// What one tenant is always shown alone, the other not, and was all the same. Answers may be long, and others of the run
    /// must have their turn meanwhile.
    async fn told(&self, parties: &[Party; 2], readings: &[Reading], heard: &[Heard]) -> Told {
        let mut told = Told::default();
        let always = parties.each_ref().map(|party| Self::always(&party.tenant, readings));
        let mut seen: Vec<Sighting> = Vec::new();
        for heard in heard {
            seen.push(sighting(heard));
            tokio::task::yield_now().await;
        }
        for (own, other) in [(0, 1), (1, 0)] {
            let (Some(owner), Some(reader)) = (parties.get(own), parties.get(other)) else { continue };
            let (Some(own), Some(other)) = (always.get(own), always.get(other)) else { continue };
            let texts: BTreeSet<&String> = own.difference(other).collect();
            let owners = first_shown(&owner.caller.name, &seen);
            for number in 0..self.whats.len() {
                if reader.caller.target().late() {
                    break;
                }
                if let Some(shown) = self.shown((owner, reader), number, (&seen, &owners)) {
                    let left = MOST_TOLD.saturating_sub(told.cases.iter().filter(|case| case.made).count());
                    told.cases.extend(shown.cases(&texts, heard, left));
                }
                tokio::task::yield_now().await;
            }
        }
        // What could be made again anywhere is no doubt elsewhere.
        let made = |case: &Case| case.made.then(|| (case.owner.clone(), case.text.clone()));
        let made: BTreeSet<(String, String)> = told.cases.iter().filter_map(made).collect();
        told.cases.retain(|case| case.made || !made.contains(&(case.owner.clone(), case.text.clone())));
        told.doubts = self.both_at_times(parties, &always);
        told
    }

    /// What was shown of one thing, each answer read once.
    fn shown<'a>(
        &'a self,
        (owner, reader): (&'a Party, &'a Party),
        number: usize,
        (seen, owners): (&'a [Sighting], &'a BTreeMap<&'a str, usize>),
    ) -> Option<Shown<'a>> {
        let what = self.whats.get(number)?;
        let after = self.after.get(&(reader.tenant.clone(), number)).map(Vec::as_slice).unwrap_or_default();
        let quiet = self.quiet_of(&reader.tenant, number);
        let [after_texts, quiet_texts] = [after, quiet].map(|answers| answers.iter().map(texts).collect());
        let before = seen.iter().filter(|(who, known, _)| *who == reader.caller.name && known == what);
        let before = before.flat_map(|(.., texts)| texts).collect();
        Some(Shown { what, owner, reader, after, after_texts, quiet, quiet_texts, before, owners })
    }

    /// What shows each of the two the same at times, and at times not, though he is alone: nobody can say whose it is.
    fn both_at_times(
        &self,
        [one, other]: &[Party; 2],
        always: &[BTreeSet<String>; 2],
    ) -> Vec<(What, String)> {
        let mut doubts = Vec::new();
        for (number, what) in self.whats.iter().enumerate() {
            let seen = [one, other].map(|party| {
                self.quiet_of(&party.tenant, number).iter().map(texts).collect::<Vec<BTreeSet<String>>>()
            });
            let ever =
                |answers: &Vec<BTreeSet<String>>| answers.iter().flatten().cloned().collect::<BTreeSet<_>>();
            let [mine, theirs] = seen.each_ref().map(ever);
            let both = mine.intersection(&theirs).find(|text| !always.iter().any(|all| all.contains(*text)));
            if let Some(text) = both {
                let why = format!(
                    "{} showed both tenants {text:?} at times; whose that is cannot be told: {NAME}",
                    what.name()
                );
                doubts.push((what.clone(), why));
            }
        }
        doubts.truncate(MOST_TOLD);
        doubts
    }

    /// All that was answered. What showed the other's was not answered to somebody alone.
    fn heard(self, told: &Told) -> Vec<Heard> {
        let Self { whats, quiet, after } = self;
        let cases: BTreeSet<(&str, &str)> =
            told.cases.iter().map(|case| (case.other.as_str(), case.text.as_str())).collect();
        let disputed = |exchange: &Exchange| {
            texts(exchange).iter().any(|text| cases.contains(&(exchange.who.as_str(), text.as_str())))
        };
        let mut heard = Vec::new();
        for (answers, alone) in [(quiet, true), (after, false)] {
            for ((_, number), exchanges) in answers {
                let Some(what) = whats.get(number) else { continue };
                heard.extend(exchanges.into_iter().map(|exchange| {
                    let alone = alone && !disputed(&exchange);
                    Heard { what: what.clone(), alone, exchange }
                }));
            }
        }
        heard
    }
}

/// Where somebody was first shown each text, among all that was heard.
fn first_shown<'a>(who: &str, seen: &'a [Sighting]) -> BTreeMap<&'a str, usize> {
    let mut first = BTreeMap::new();
    for (at, (_, _, texts)) in seen.iter().enumerate().filter(|(_, (known, ..))| known == who) {
        for text in texts {
            first.entry(text.as_str()).or_insert(at);
        }
    }
    first
}

/// What two tenants were shown of one thing.
struct Shown<'a> {
    what: &'a What,
    owner: &'a Party,
    reader: &'a Party,
    /// The reader's answers right after the owner had read, and the texts of each.
    after: &'a [Exchange],
    after_texts: Vec<BTreeSet<String>>,
    /// The same of the reader who was alone.
    quiet: &'a [Exchange],
    quiet_texts: Vec<BTreeSet<String>>,
    /// The texts that the reader was shown by this before anything was tried.
    before: BTreeSet<&'a String>,
    /// Where the owner was first shown a text, by anything.
    owners: &'a BTreeMap<&'a str, usize>,
}

impl Shown<'_> {
    /// The texts of the owner's in the answers that the reader was given; with what shows them for so many that could be made
    /// again.
    fn cases(&self, texts: &BTreeSet<&String>, heard: &[Heard], mut left: usize) -> Vec<Case> {
        let mut cases = Vec::new();
        for text in texts {
            let count =
                |answers: &[BTreeSet<String>]| answers.iter().filter(|all| all.contains(*text)).count();
            let (times, alone) = (count(&self.after_texts), count(&self.quiet_texts));
            if times + alone == 0 && !self.before.contains(text) {
                continue;
            }
            let theirs = self.owners.get(text.as_str()).and_then(|at| heard.get(*at));
            let again = alone == 0 && times == ROUNDS && self.after.len() == ROUNDS;
            let shown = match (theirs, self.quiet.last(), self.after.last()) {
                (Some(theirs), Some(quiet), Some(after)) if again => Some([&theirs.exchange, quiet, after]),
                _ => None,
            };
            let made = shown.is_some();
            let shown = shown.filter(|_| left > 0).map(|three| Box::new(three.map(Exchange::clone)));
            left = left.saturating_sub(usize::from(made));
            let (owner, other) = (self.owner.tenant.clone(), self.reader.tenant.clone());
            cases.push(Case { what: self.what.clone(), owner, other, text: (*text).clone(), made, shown });
        }
        cases
    }
}

/// The ids of what each is shown alone, in place of those that the other's data brought; and what can be read with them.
async fn anew(
    parties: &mut [Party; 2],
    (readings, heard): (&mut Vec<Reading>, &mut Vec<Heard>),
    (pause, hanging): (Duration, &mut Hanging),
) {
    for party in parties {
        party.ids.clear();
        learn::ids(party, readings);
        let known = |what: &What| {
            readings.iter().any(|reading| reading.what == *what && reading.alone.contains_key(&party.tenant))
        };
        let tried = |what: &What| {
            heard.iter().any(|heard| heard.what == *what && heard.exchange.who == party.caller.name)
        };
        let new: Vec<What> =
            learn::whats(party).into_iter().filter(|what| !known(what) && !tried(what)).collect();
        if new.is_empty() {
            continue;
        }
        tokio::time::sleep(pause).await;
        if let Some(first) = new.first() {
            let _left = read(party, first, hanging).await;
        }
        for what in new {
            learn::twice(party, what, hanging, (&mut *readings, &mut *heard)).await;
        }
    }
}
