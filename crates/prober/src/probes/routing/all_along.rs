//! Who listens for the whole run: what a stream brings some time after it was said is heard at the end.

use std::time::Duration;

use partywall_model::{Outcome, Verdict};
use tokio::time::Instant;

use super::{
    ear::Ear,
    overheard::{RT_16, ears},
};
use crate::{site::Site, tally::Tally};

/// How long after it what was said may still come.
const LATE: Duration = Duration::from_secs(5);

/// Those who listen, by tenant.
#[derive(Default)]
pub(crate) struct Listeners {
    all: Vec<(String, Ear)>,
    /// Until when at least.
    until: Option<Instant>,
}

impl Listeners {
    /// Listens as each tenant, in sessions that the run keeps, where it will be told of.
    pub(crate) async fn begin(site: &mut Site, techniques: &[&str]) -> Self {
        let mut listeners = Self::default();
        if !techniques.contains(&RT_16) {
            return listeners;
        }
        for party in &site.parties {
            // Where nobody can listen, the technique says so.
            for ear in ears(&mut Tally::default(), party).await {
                site.kept.extend(ear.caller.session());
                listeners.all.push((party.tenant.clone(), ear));
            }
        }
        listeners
    }

    /// Notes that a technique has come to its end.
    pub(crate) fn ended(&mut self, technique: &str) {
        if technique == RT_16 {
            self.until = Some(Instant::now() + LATE);
        }
    }

    /// How long what was said may still come.
    pub(crate) fn late(&self) -> Duration {
        let until = self.until.filter(|_| !self.all.is_empty());
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    /// Puts what was heard of another's into the technique's verdict, and ends the sessions.
    pub(crate) async fn end(self, site: &Site, verdicts: &mut [Verdict]) {
        let verdict = verdicts.iter_mut().find(|verdict| verdict.technique == RT_16);
        let heard = self.all.iter().find_map(|(tenant, ear)| site.foreign(tenant, &ear.told()));
        if let (Some(verdict), Some(evidence)) = (verdict, heard)
            && verdict.verdict != Outcome::Leaked
        {
            verdict.verdict = Outcome::Leaked;
            verdict.reason = format!("{}, on a stream that was open for the whole run", evidence.why);
            verdict.evidence = vec![evidence];
        }
        for (_, ear) in self.all {
            ear.close().await;
        }
    }
}
