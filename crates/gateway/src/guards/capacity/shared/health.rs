//! Whether a server that processes share answers: one line in the log for each outage, and numbers for the operator.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// How long there must have been no failure for an outage to be over. One node of a cluster may fail while others
/// answer, and a line for each answer in between says nothing.
const QUIET: Duration = Duration::from_secs(5);

/// How long another cause of the same outage is not told.
const AGAIN: Duration = Duration::from_secs(10);

/// What is asked for, in the words of metrics and of the log.
pub(crate) struct Words {
    /// What the names of its metrics begin with.
    pub(crate) metric: &'static str,
    /// What it is, after "the server of".
    pub(crate) what: &'static str,
    /// What an outage means.
    pub(crate) outage: &'static str,
    /// What its end means.
    pub(crate) end: &'static str,
}

/// The limits.
pub(super) const LIMITS: Words = Words {
    metric: "partywall_shared_limits",
    what: "the shared limits",
    outage: "until it does, this process applies its share of each limit",
    end: "limits hold over all processes",
};

/// What is known about the answers.
pub(crate) struct Health {
    words: &'static Words,
    outage: Mutex<Outage>,
    outages: AtomicU64,
    answers: AtomicU64,
    failures: AtomicU64,
}

#[derive(Default)]
struct Outage {
    /// The last failure of the outage that goes on.
    failed: Option<Instant>,
    answered: Option<Instant>,
    /// Why it failed, as it was told last.
    why: String,
    told: Option<Instant>,
}

impl Health {
    pub(crate) fn new(words: &'static Words) -> Self {
        Self {
            words,
            outage: Mutex::default(),
            outages: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    pub(crate) fn answered(&self, now: Instant) {
        self.answers.fetch_add(1, Relaxed);
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        outage.answered = Some(now);
        if outage.failed.is_some_and(|failed| now.saturating_duration_since(failed) >= QUIET) {
            outage.failed = None;
            tracing::warn!("the server of {} answers again; {}", self.words.what, self.words.end);
        }
    }

    pub(crate) fn failed(&self, now: Instant, why: &str) {
        self.failures.fetch_add(1, Relaxed);
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = outage.failed.replace(now).is_none();
        if begins {
            self.outages.fetch_add(1, Relaxed);
        }
        // What it was at first need not be what it is: a server that was away may have another password now.
        let other =
            outage.why != why && outage.told.is_none_or(|told| now.saturating_duration_since(told) >= AGAIN);
        if begins || other {
            why.clone_into(&mut outage.why);
            outage.told = Some(now);
            tracing::warn!(
                "the server of {} does not answer ({why}); {}; look at the server, its address and its password",
                self.words.what,
                self.words.outage
            );
        }
    }

    /// Why there is no answer, while there is none.
    pub(crate) fn last_trouble(&self) -> Option<String> {
        let outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        outage.failed.map(|_| outage.why.clone())
    }

    /// Whether there was no answer for so long, and something asked.
    pub(crate) fn is_silent(&self, since: Instant, now: Instant, time: Duration) -> bool {
        let outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        let last = outage.answered.map_or(since, |answered| answered.max(since));
        now.saturating_duration_since(last) >= time
    }

    /// In the Prometheus text format.
    pub(crate) fn render(&self, now: Instant) -> String {
        let failed = self.outage.lock().unwrap_or_else(PoisonError::into_inner).failed;
        let fails = failed.is_some_and(|failed| now.saturating_duration_since(failed) < QUIET);
        let Words { metric, what, .. } = self.words;
        format!(
            "# HELP {metric}_reachable Whether every question to {what} was answered of late.\n\
             # TYPE {metric}_reachable gauge\n\
             {metric}_reachable {}\n\
             # HELP {metric}_outages_total Times that answers stopped.\n\
             # TYPE {metric}_outages_total counter\n\
             {metric}_outages_total {}\n\
             # HELP {metric}_questions_total Questions to {what}.\n\
             # TYPE {metric}_questions_total counter\n\
             {metric}_questions_total{{result=\"answered\"}} {}\n\
             {metric}_questions_total{{result=\"failed\"}} {}\n",
            u8::from(!fails),
            self.outages.load(Relaxed),
            self.answers.load(Relaxed),
            self.failures.load(Relaxed),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_one_however_often_single_answers_come() {
        let (health, start) = (Health::new(&LIMITS), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        let value = |name: &str, ms: u64| {
            let text = health.render(at(ms));
            let line =
                text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")).map(str::to_owned));
            line.unwrap_or_else(|| panic!("{name} is missing in {text}")).parse::<u64>().unwrap()
        };
        let (reachable, outages) =
            ("partywall_shared_limits_reachable", "partywall_shared_limits_outages_total");
        health.answered(at(0));
        assert_eq!((value(reachable, 1), value(outages, 1)), (1, 0));
        for ms in [10, 20, 30] {
            health.failed(at(ms), "of the test");
            health.answered(at(ms + 5));
        }
        assert_eq!((value(reachable, 40), value(outages, 40)), (0, 1));
        health.answered(at(30 + 5000));
        assert_eq!(value(reachable, 30 + 5000), 1);
        health.failed(at(6000), "of the test");
        assert_eq!((value(reachable, 6001), value(outages, 6001)), (0, 2));
        assert!(health.is_silent(start, at(9000), Duration::from_secs(2)));
        assert!(!health.is_silent(at(8000), at(9000), Duration::from_secs(2)), "a connection has its time");
        assert!(!health.is_silent(start, at(6000), Duration::from_secs(2)));
    }
}
