//! After each probe: what it left open is ended, and each tenant is served as before.

use std::collections::BTreeSet;

use partywall_model::{Evidence, Outcome, Verdict};

use crate::{
    facts::Facts,
    oracle::{Judged, compare},
    site::{Party, Reading, Site},
    transcript::Redactor,
};

/// How often a tenant's reading is tried: a limit or a busy machine is no damage.
const TRIES: usize = 2;

/// What is not as it was before a probe.
pub(crate) enum Left {
    /// A tenant is not served any more.
    Broken(String),
    /// The target answers, with nothing at all where a tenant was shown something.
    Empty(String),
    /// A tenant is shown what is another's, though nobody attacks.
    Foreign(Box<Evidence>),
    /// The target gave no answer until the run's time was up.
    Unseen,
    /// Whoever started the run stopped it before there was an answer.
    Stopped,
    /// A tenant is refused as one that asks too much.
    Limited(String),
}

/// Why what ended with the run is not isolated.
const UNSEEN: &str = "the run ended before it was seen whether tenants are still served after it";

impl Left {
    /// Why the target serves a tenant no more, if that is what it is.
    pub(crate) fn lost(&self) -> Option<String> {
        match self {
            Self::Broken(why) | Self::Empty(why) | Self::Limited(why) => Some(why.clone()),
            Self::Unseen => Some("there was no answer until the time was up".to_owned()),
            Self::Foreign(_) | Self::Stopped => None,
        }
    }

    /// Takes back what cannot be said of isolation after it; what was shown of another's.
    pub(crate) fn doubts(self, judged: &mut [Verdict], redactor: &Redactor) -> Option<Box<Evidence>> {
        match self {
            Self::Stopped => doubt(judged, UNSEEN),
            Self::Unseen => doubt_all(judged, UNSEEN),
            Self::Broken(why) => {
                let why = format!("after it a tenant was not served any more: {why}");
                doubt(judged, &redactor.clean(&why));
            }
            Self::Empty(why) => doubt_all(judged, &redactor.clean(&format!("after it {why}"))),
            // A limit that a probe has used up is the target's right.
            Self::Limited(_) => {}
            Self::Foreign(evidence) => {
                let why = format!("after it, while nobody attacked, {}", evidence.why);
                doubt(judged, &why);
                return Some(evidence);
            }
        }
        None
    }
}

/// Ends the sessions that a probe left open, and looks whether each tenant is shown what is his.
pub(crate) async fn after(site: &Site) -> Option<Left> {
    site.target.tidy(&in_use(site)).await;
    for party in &site.parties {
        let Some(reading) = reading(site, party) else { continue };
        if let Some(left) = served(site, party, reading).await {
            return Some(left);
        }
    }
    None
}

/// The sessions that the rest of the run goes on in.
fn in_use(site: &Site) -> BTreeSet<String> {
    let parties = site.parties.iter().flat_map(|party| std::iter::once(&party.caller).chain(party.callers()));
    let sessions = parties.chain(&site.colleague).filter_map(crate::target::Caller::session);
    sessions.chain(site.kept.iter().cloned()).collect()
}

/// What shows best whether a tenant is served: what tells it from the other.
fn reading<'a>(site: &'a Site, party: &'a Party) -> Option<&'a Reading> {
    let own = |reading: &&Reading| reading.alone.contains_key(&party.tenant);
    site.telling().find(own).or_else(|| site.readings_of(&party.tenant).next().map(|(reading, _)| reading))
}

async fn served(site: &Site, party: &Party, reading: &Reading) -> Option<Left> {
    let mut why = String::new();
    for _ in 0..TRIES {
        if site.target.late() {
            // What the end of the time broke off is no damage, and nothing that was seen to be whole either.
            return Some(Left::Unseen);
        }
        let exchange = party.caller.send(reading.what.request(&party.caller)).await;
        let as_alone =
            |result| reading.alone.get(&party.tenant).is_some_and(|alone| alone.holds_in(&Facts::of(result)));
        if exchange.success().is_some_and(as_alone) {
            return None;
        }
        let nothing = |result| Facts::of(result).is_empty();
        let shown = reading.alone.get(&party.tenant).is_some_and(|alone| !alone.is_empty());
        if shown && exchange.success().is_some_and(nothing) {
            return Some(Left::Empty(format!("{} is answered, and with nothing", party.tenant)));
        }
        match compare(site, &party.tenant, reading, &exchange) {
            // What has changed may have changed by itself, or was written with leave.
            Judged::Own | Judged::Changed(_) => return None,
            Judged::Foreign(evidence) => return Some(Left::Foreign(Box::new(evidence))),
            Judged::Failed(why) if matches!(exchange.status(), 429 | 503) => return Some(Left::Limited(why)),
            Judged::Failed(failed) => why = failed,
        }
        // The session may be what was lost.
        party.caller.begin().await;
    }
    Some(if site.target.late() { Left::Unseen } else { Left::Broken(why) })
}

/// The most readings that are looked at again after a probe.
const MOST_READ: usize = 40;

/// Leaves out of every comparison what is not as it was since the run itself may write: how many rows there are, the newest of them. What
/// is another's stays a leak, and is not taken for one's own.
pub(crate) async fn forget_changed(site: &mut Site) {
    let mut changed = Vec::new();
    for (number, reading) in site.readings.iter().enumerate().take(MOST_READ) {
        for party in &site.parties {
            let Some(alone) = reading.alone.get(&party.tenant) else { continue };
            if site.target.late() {
                return;
            }
            let exchange = party.caller.send(reading.what.request(&party.caller)).await;
            let other = matches!(compare(site, &party.tenant, reading, &exchange), Judged::Changed(_));
            let Some(result) = exchange.success().filter(|_| other) else { continue };
            let still = alone.stable(&Facts::of(result));
            // Where nothing is as it was nobody can say what is the tenant's: a target may have turned to saying nothing.
            if !still.is_empty() || alone.is_empty() {
                changed.push((number, party.tenant.clone(), still));
            }
        }
    }
    for (number, tenant, still) in changed {
        if let Some(reading) = site.readings.get_mut(number) {
            reading.alone.insert(tenant, still);
        }
    }
}

/// Takes back what a probe's verdicts say, where the target answers everything with nothing, or not at all: it served nobody, and
/// refused nobody. What was shown of another's before stays a leak.
fn doubt_all(verdicts: &mut [Verdict], why: &str) {
    doubt(verdicts, why);
    let unshown =
        |verdict: &&mut Verdict| verdict.evidence.iter().all(|evidence| evidence.foreign.is_empty());
    for verdict in verdicts.iter_mut().filter(|verdict| verdict.verdict == Outcome::Leaked).filter(unshown) {
        verdict.verdict = Outcome::Inconclusive;
        verdict.reason = format!("{why} ({})", verdict.reason);
    }
}

/// Takes back what a probe's verdicts say of isolation, where it left damage: whatever did it, nobody can say that it held.
fn doubt(verdicts: &mut [Verdict], why: &str) {
    for verdict in verdicts.iter_mut().filter(|verdict| verdict.verdict == Outcome::Isolated) {
        verdict.verdict = Outcome::Inconclusive;
        verdict.reason = format!("{why} ({})", verdict.reason);
    }
}
