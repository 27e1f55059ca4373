//! What the attempts of one technique add up to.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use partywall_model::{Evidence, Outcome};

/// The most evidence that one verdict shows; more of the same shows nothing more.
const MOST_EVIDENCE: usize = 4;

tokio::task_local! {
    static SO_FAR: SoFar;
}

/// What leaked in a technique that has not ended: it may be broken off, and its tally with it.
#[derive(Debug, Clone, Default)]
pub(crate) struct SoFar(Arc<Mutex<Tally>>, Arc<Mutex<Reach>>);

/// The readings that a technique could be tried on, and those that it was tried on.
#[derive(Debug, Default)]
struct Reach {
    offered: BTreeSet<String>,
    tried: BTreeSet<String>,
}

/// Notes readings that the technique at work could be tried on.
pub(crate) fn offered(readings: impl Iterator<Item = String>) {
    // Outside a run nobody watches.
    let _unwatched = SO_FAR.try_with(|so_far| {
        if let Ok(mut reach) = so_far.1.lock() {
            reach.offered.extend(readings);
        }
    });
}

/// Notes a reading that it was tried on.
pub(crate) fn tried(reading: &str) {
    let _unwatched = SO_FAR.try_with(|so_far| {
        if let Ok(mut reach) = so_far.1.lock()
            && !reach.tried.contains(reading)
        {
            reach.tried.insert(reading.to_owned());
        }
    });
}

impl SoFar {
    /// What the technique came to, with the doubts that were noted beside it. Where nothing held there is nothing to doubt.
    pub(crate) fn doubted(&self, mut tally: Tally) -> Tally {
        if tally.held > 0
            && let Ok(so_far) = self.0.lock()
        {
            for doubt in &so_far.doubts {
                tally.doubt(doubt);
            }
        }
        tally
    }

    /// The technique, watched.
    pub(crate) fn watch<F: Future<Output = Tally>>(&self, technique: F) -> impl Future<Output = Tally> {
        SO_FAR.scope(self.clone(), technique)
    }

    /// On how many readings the technique was tried and on how many it could be, where some were left out.
    pub(crate) fn reach(&self) -> Option<(usize, usize)> {
        let reach = self.1.lock().ok()?;
        let tried = reach.offered.intersection(&reach.tried).count();
        (tried > 0 && tried < reach.offered.len()).then_some((tried, reach.offered.len()))
    }

    /// What the technique came to that was broken off: what leaked before is no less a leak.
    pub(crate) fn broken_off(&self, else_what: Tally) -> Tally {
        let Ok(mut so_far) = self.0.lock() else { return else_what };
        let mut so_far = std::mem::take(&mut *so_far);
        if !so_far.has_leaked() {
            return else_what;
        }
        so_far.note("It was broken off before its end.");
        so_far
    }
}

/// Notes a doubt of the technique that is running, where it holds no tally of its own: what it is judged by may be wrong.
pub(crate) fn doubt_here(reason: &str) {
    // Outside a run nobody watches.
    let _unwatched = SO_FAR.try_with(|so_far| {
        if let Ok(mut so_far) = so_far.0.lock() {
            so_far.doubt(reason);
        }
    });
}

/// The attempts of one technique.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    held: usize,
    controls: usize,
    leaked: usize,
    leaks: Vec<Evidence>,
    failed_controls: Vec<String>,
    doubts: Vec<String>,
    absent: Vec<String>,
    notes: Vec<String>,
}

impl Tally {
    /// A technique that cannot be tried here.
    pub(crate) fn not_run(reason: impl Into<String>) -> Self {
        Self { absent: vec![reason.into()], ..Self::default() }
    }

    /// One attempt in which the tenants met. `evidence` is in the order in which it was sent.
    pub(crate) fn leak(&mut self, evidence: Vec<Evidence>) {
        // Outside a run nobody watches.
        let _unwatched = SO_FAR.try_with(|so_far| {
            if let Ok(mut so_far) = so_far.0.lock() {
                so_far.add_leak(evidence.clone());
            }
        });
        self.add_leak(evidence);
    }

    fn add_leak(&mut self, evidence: Vec<Evidence>) {
        self.leaked += 1;
        if self.leaks.len() < MOST_EVIDENCE {
            self.leaks.extend(evidence);
        }
    }

    /// One attempt that showed nothing.
    pub(crate) const fn held(&mut self) {
        self.held += 1;
    }

    /// Whether the owner can do what the attacker must not.
    pub(crate) fn control(&mut self, worked: bool, what: &str) {
        if worked {
            self.controls += 1;
        } else {
            push(&mut self.failed_controls, what);
        }
    }

    /// One attempt that could not be judged.
    pub(crate) fn doubt(&mut self, reason: impl AsRef<str>) {
        push(&mut self.doubts, reason.as_ref());
    }

    /// Something that one part of the technique needs and the target does not have.
    pub(crate) fn absent(&mut self, reason: impl AsRef<str>) {
        push(&mut self.absent, reason.as_ref());
    }

    /// Something to say in the reason.
    pub(crate) fn note(&mut self, text: impl AsRef<str>) {
        push(&mut self.notes, text.as_ref());
    }

    /// Whether it leaked already: more attempts are not needed.
    pub(crate) const fn has_leaked(&self) -> bool {
        self.leaked > 0
    }

    /// Whether nothing came of it yet: what it needs is not there.
    pub(crate) fn is_empty(&self) -> bool {
        self.leaked + self.held + self.controls == 0 && self.doubts.is_empty()
    }

    /// Adds what another direction came to.
    pub(crate) fn merge(&mut self, other: Self) {
        self.held += other.held;
        self.controls += other.controls;
        self.leaked += other.leaked;
        self.leaks.extend(other.leaks);
        for (all, more) in [
            (&mut self.failed_controls, other.failed_controls),
            (&mut self.doubts, other.doubts),
            (&mut self.absent, other.absent),
            (&mut self.notes, other.notes),
        ] {
            for text in more {
                push(all, &text);
            }
        }
    }

    /// The verdict, its reason and its evidence. What could not be judged is never a pass.
    pub(crate) fn finish(self) -> (Outcome, String, Vec<Evidence>) {
        let tries = self.leaked + self.held;
        let notes = if self.notes.is_empty() { String::new() } else { format!(" {}", self.notes.join(" ")) };
        let (outcome, reason) = if self.leaked > 0 {
            // Where a foreign value was shown, that is what to tell; what stands beside it is for comparison.
            let value = self.leaks.iter().find(|evidence| !evidence.foreign.is_empty());
            let first = value.or(self.leaks.last()).map(|evidence| evidence.why.clone()).unwrap_or_default();
            (Outcome::Leaked, format!("{first} ({} of {tries} attempts)", self.leaked))
        } else if !self.doubts.is_empty() {
            (Outcome::Inconclusive, self.doubts.join("; "))
        } else if self.held == 0 && !self.failed_controls.is_empty() {
            (Outcome::Inconclusive, self.failed_controls.join("; "))
        } else if self.held == 0 {
            let absent = if self.absent.is_empty() {
                "nothing to try it on".to_owned()
            } else {
                self.absent.join("; ")
            };
            (Outcome::NotRun, absent)
        } else if self.controls == 0 {
            let control = if self.failed_controls.is_empty() {
                "no control showed that the attack would have been seen".to_owned()
            } else {
                self.failed_controls.join("; ")
            };
            (Outcome::Inconclusive, control)
        } else {
            (
                Outcome::Isolated,
                format!("{} attempts showed nothing, {} controls worked", self.held, self.controls),
            )
        };
        let stop = if notes.is_empty() || reason.ends_with('.') { "" } else { "." };
        (outcome, format!("{reason}{stop}{notes}"), self.leaks)
    }
}

fn push(all: &mut Vec<String>, text: &str) {
    if all.len() < 4 && !all.iter().any(|known| known == text) {
        all.push(text.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(build: impl FnOnce(&mut Tally)) -> Outcome {
        let mut tally = Tally::default();
        build(&mut tally);
        tally.finish().0
    }

    #[tokio::test]
    async fn what_leaked_before_a_technique_was_broken_off_is_kept() {
        let late = || {
            let mut tally = Tally::default();
            tally.doubt("it did not end in time");
            tally
        };
        for (leaks, outcome) in [(true, Outcome::Leaked), (false, Outcome::Inconclusive)] {
            let so_far = SoFar::default();
            let technique = so_far.watch(async {
                let mut tally = Tally::default();
                if leaks {
                    tally.leak(Vec::new());
                }
                std::future::pending().await
            });
            assert!(tokio::time::timeout(std::time::Duration::from_millis(5), technique).await.is_err());
            assert_eq!(so_far.broken_off(late()).finish().0, outcome);
        }
    }

    #[tokio::test]
    async fn how_much_of_what_there_is_was_tried_is_known() {
        let reach = |tries: &'static [&'static str]| async move {
            let so_far = SoFar::default();
            let technique = async {
                offered(["a", "b", "c"].map(str::to_owned).into_iter());
                tries.iter().for_each(|reading| tried(reading));
                Tally::default()
            };
            so_far.watch(technique).await;
            so_far.reach()
        };
        assert_eq!(reach(&["a", "c", "c", "elsewhere"]).await, Some((2, 3)));
        assert_eq!(reach(&["a", "b", "c"]).await, None);
        assert_eq!(reach(&[]).await, None);
    }

    #[tokio::test]
    async fn a_doubt_beside_a_technique_is_no_pass_and_no_reason_to_try() {
        for (held, outcome) in [(true, Outcome::Inconclusive), (false, Outcome::NotRun)] {
            let so_far = SoFar::default();
            let technique = async {
                doubt_here("hm");
                let mut tally = Tally::default();
                if held {
                    tally.held();
                    tally.control(true, "");
                }
                tally
            };
            let tally = so_far.watch(technique).await;
            assert_eq!(so_far.doubted(tally).finish().0, outcome);
        }
    }

    #[test]
    fn only_what_was_tried_and_could_have_been_seen_is_isolated() {
        assert_eq!(outcome(|_| {}), Outcome::NotRun);
        assert_eq!(outcome(Tally::held), Outcome::Inconclusive);
        assert_eq!(outcome(|t| t.control(true, "x")), Outcome::NotRun);
        assert_eq!(outcome(|t| t.control(false, "x")), Outcome::Inconclusive);
        let tried = |t: &mut Tally| {
            t.held();
            t.control(true, "x");
        };
        assert_eq!(outcome(tried), Outcome::Isolated);
        let doubted = |t: &mut Tally| {
            tried(t);
            t.doubt("hm");
        };
        assert_eq!(outcome(doubted), Outcome::Inconclusive);
        let leaked = |t: &mut Tally| {
            tried(t);
            t.doubt("hm");
            t.leak(Vec::new());
        };
        assert_eq!(outcome(leaked), Outcome::Leaked);
        let mut noted = Tally::not_run("no tasks");
        noted.note("Nobody asked.");
        assert_eq!(noted.finish().1, "no tasks. Nobody asked.");
        assert_eq!(Tally::not_run("no tasks").finish(), (Outcome::NotRun, "no tasks".to_owned(), Vec::new()));
    }
}
