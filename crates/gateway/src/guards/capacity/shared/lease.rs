//! What one process holds of one tenant's common bucket, as arithmetic: it is told the time and the answers.
//!
//! A lease is a few tokens that were taken out of the bucket ahead of time, so that not every call asks. It is no
//! larger than what was used of late, and its sum over all processes is no more than the limit of a tenth of a second.
//! What is not used runs out, and goes back with the next question.

use std::time::{Duration, Instant};

/// How long a lease can be used.
const LIFE: Duration = Duration::from_millis(100);
/// How long nobody asks who was told that the bucket is empty, at the least.
const PAUSE: Duration = Duration::from_millis(10);
/// How long a process goes by itself after the first question without an answer, and at most after many.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_millis(500);
/// How long the own share bounds a process that has answers again: by then the others have found them too.
const CAREFUL: Duration = Duration::from_secs(1);

/// A tenant's limit, and how many processes share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) per_second: u32,
    pub(crate) burst: u32,
    pub(crate) replicas: u32,
}

impl Terms {
    /// The largest lease.
    fn largest(&self) -> u32 {
        let share = (self.per_second / 10).min(self.burst / 4);
        (share / self.replicas.max(1)).max(1)
    }

    /// The process' own share of the rate.
    fn own_rate(&self) -> f64 {
        f64::from(self.per_second) / f64::from(self.replicas.max(1))
    }

    /// The process' own share of the burst; at least one call.
    fn own_burst(&self) -> f64 {
        (f64::from(self.burst) / f64::from(self.replicas.max(1))).max(1.0)
    }

    /// How long not to ask after the bucket was found empty: so that a flood of one tenant is not one of questions, and
    /// not so long that the bucket gets full meanwhile.
    fn pause(&self) -> Duration {
        let half = f64::from(self.burst.max(1)) / f64::from(self.per_second.max(1)) / 2.0;
        Duration::from_secs_f64(half).min(PAUSE)
    }
}

/// What to ask of the common bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Question {
    /// Tokens that are wanted.
    pub(crate) want: u32,
    /// Tokens of a lease that ran out.
    pub(crate) back: u32,
    /// Calls that were let in without an answer.
    pub(crate) owed: f64,
}

/// What the common bucket says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) taken: u32,
    /// When there will be one more, if fewer were taken than wanted.
    pub(crate) wait: Duration,
}

/// What to do with a call. A question that comes with it has to be asked, and its answer told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Step {
    Admit(Option<Question>),
    Refuse(Duration),
    /// Wait for an answer, and try again.
    Wait(Option<Question>),
    /// There are no answers: the process' own share decides.
    Alone(Option<Question>),
}

/// One tenant's lease.
pub(crate) struct Lease {
    terms: Terms,
    left: u32,
    until: Instant,
    /// How large the next one is.
    size: u32,
    /// Until when the common bucket is known to be empty.
    empty_until: Option<Instant>,
    asking: bool,
    used: Used,
    /// How many questions in a row had no answer, and when to ask again.
    unanswered: u32,
    again: Instant,
    careful_until: Instant,
    /// Makes the processes ask at different times.
    noise: u64,
}

/// How much of the process' own share is used up; less and less, at the pace at which the share allows more.
struct Used {
    calls: f64,
    at: Instant,
    /// Calls that were let in without an answer, and that the bucket was not told of.
    alone: f64,
}

impl Lease {
    pub(crate) fn new(terms: Terms, now: Instant, noise: u64) -> Self {
        Self {
            terms,
            left: 0,
            until: now,
            size: 1,
            empty_until: None,
            asking: false,
            used: Used { calls: 0.0, at: now, alone: 0.0 },
            unanswered: 0,
            again: now,
            careful_until: now,
            noise: noise | 1,
        }
    }

    /// What to do with one call, when so many wait for an answer.
    pub(crate) fn step(&mut self, now: Instant, waiting: u32) -> Step {
        if now < self.careful_until
            && self.unanswered == 0
            && let Some(wait) = self.over_own_share(now)
        {
            return Step::Refuse(wait);
        }
        if self.left > 0 && now < self.until {
            self.left -= 1;
            self.count(now);
            // Asked for while the rest is used, so that nobody waits.
            let low = self.size >= 4 && self.left <= self.size / 2 && self.is_answered(now);
            return Step::Admit(if low { self.question(now, 0) } else { None });
        }
        if self.unanswered > 0 {
            return Step::Alone(if now >= self.again { self.question(now, 0) } else { None });
        }
        match self.empty_until {
            Some(until) if now < until => Step::Refuse(until.saturating_duration_since(now)),
            _ => Step::Wait(self.question(now, waiting)),
        }
    }

    fn is_answered(&self, now: Instant) -> bool {
        self.unanswered == 0 && self.empty_until.is_none_or(|until| now >= until)
    }

    /// The next question, unless one is being asked.
    fn question(&mut self, now: Instant, waiting: u32) -> Option<Question> {
        if self.asking {
            return None;
        }
        self.asking = true;
        let mut back = 0;
        if now < self.until {
            self.size = self.size.saturating_mul(2);
        } else if now > self.until + LIFE {
            (back, self.size) = (self.left, 1);
        } else if self.left > 0 {
            (back, self.size) = (self.left, self.size.saturating_sub(self.left));
        }
        self.left -= back;
        self.size = self.size.clamp(1, self.terms.largest());
        // Who waits uses a token at once, so these are not taken ahead of time.
        let want = self.size.saturating_sub(self.left).max(waiting.min(self.terms.burst)).max(1);
        // Of what was let in alone, only what the share has not made up for since.
        let used = *self.used(now);
        let owed = self.used.alone.min(used);
        self.used.alone = 0.0;
        Some(Question { want, back, owed })
    }

    /// Whether the last question had no answer.
    #[cfg(test)]
    pub(super) fn is_alone(&self) -> bool {
        self.unanswered > 0
    }

    /// Takes the answer to the question that was asked.
    pub(crate) fn answered(&mut self, now: Instant, question: Question, answer: Answer) {
        if self.unanswered > 0 {
            self.careful_until = now + CAREFUL;
        }
        (self.asking, self.unanswered) = (false, 0);
        self.left += answer.taken.min(question.want);
        self.until = now + LIFE;
        let pause = self.noisy(self.terms.pause());
        self.empty_until = (answer.taken < question.want).then(|| now + answer.wait.max(pause));
    }

    /// There was no answer. The tokens that were to come back are lost: the question may have arrived.
    pub(crate) fn unanswered(&mut self, now: Instant, question: Question) {
        self.asking = false;
        self.used.alone += question.owed;
        let doublings = self.unanswered.min(10);
        let wait = FIRST_RETRY.saturating_mul(1 << doublings).min(LAST_RETRY);
        self.unanswered = self.unanswered.saturating_add(1);
        self.again = now + self.noisy(wait);
    }

    /// A call was let in by the process' own share.
    pub(crate) fn went_alone(&mut self, now: Instant) {
        self.used.alone += 1.0;
        self.count(now);
    }

    fn count(&mut self, now: Instant) {
        let most = self.terms.own_burst();
        let used = self.used(now);
        *used = (*used + 1.0).min(most);
    }

    /// How long to wait for the own share, if it is used up.
    fn over_own_share(&mut self, now: Instant) -> Option<Duration> {
        let over = *self.used(now) + 1.0 - self.terms.own_burst();
        (over > 0.0).then(|| Duration::from_secs_f64(over / self.terms.own_rate().max(0.001)))
    }

    /// What is used up now.
    fn used(&mut self, now: Instant) -> &mut f64 {
        let passed = now.saturating_duration_since(self.used.at).as_secs_f64();
        let made_up = passed * self.terms.own_rate();
        self.used.at = now;
        self.used.calls = (self.used.calls - made_up).max(0.0);
        &mut self.used.calls
    }

    /// From three quarters to five quarters of it.
    fn noisy(&mut self, wait: Duration) -> Duration {
        // Marsaglia's xorshift; nothing depends on its quality.
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 7;
        self.noise ^= self.noise << 17;
        let eighths = u32::try_from(self.noise % 5).unwrap_or(0);
        wait.saturating_mul(6 + eighths) / 8
    }
}

#[cfg(test)]
mod tests;
