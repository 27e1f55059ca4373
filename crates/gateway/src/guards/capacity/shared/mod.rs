//! Limits that several gateway processes share: one bucket for each tenant and life of it, in Redis or Valkey.
//!
//! A process takes tokens out of the bucket in small leases (`lease`), by one script with the server's own clock
//! (`take.lua`). When there is no answer in time it applies its own share of the limit, so there is never no limit and
//! never a refusal for that reason alone. Nothing here is common to two tenants except the connection (`link`), on
//! which each has at most one question under way.

mod address;
mod health;
mod lease;
mod link;
mod place;
mod trouble;

use std::{
    hash::{BuildHasher, RandomState},
    num::NonZeroU32,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};
use partywall_model::TenantId;
use tokio::sync::Notify;

pub use self::place::SharedError;
pub(crate) use self::{address::nodes, health::Words};
use self::{
    health::LIMITS,
    lease::{Answer, Lease, Question, Step, Terms},
};
pub(in crate::guards) use self::{
    link::{Link, Script},
    place::Place,
    trouble::Trouble,
};
use super::Limits;
use crate::{
    admit::Incarnation,
    config::{Config, Environment},
};

/// The most calls of one tenant that wait for an answer; what is over goes alone.
const MOST_WAITING: usize = 1024;

/// The limits that this process shares with others.
pub(crate) struct SharedLimits {
    link: Arc<Link>,
    place: Place,
    take: Script,
    /// Calls that the process' own share decided about.
    alone: AtomicU64,
}

impl SharedLimits {
    /// What the configuration says; `before` again, with its connection, when that has not changed.
    pub(crate) fn open(
        config: &Config,
        environment: &Environment,
        before: Option<Arc<Self>>,
    ) -> Result<Option<Arc<Self>>, SharedError> {
        let Some(place) = Place::read(config, environment)? else { return Ok(None) };
        if let Some(before) = before
            && before.place == place
        {
            return Ok(Some(before));
        }
        let link = place.link(&LIMITS)?;
        let take = Script::new(include_str!("take.lua"));
        Ok(Some(Arc::new(Self { link, place, take, alone: AtomicU64::new(0) })))
    }

    /// Sees to it that there is a connection before it is needed.
    pub(crate) fn keep(&self) {
        self.link.connect();
    }

    /// In the Prometheus text format.
    pub(crate) fn render(&self) -> String {
        let mut text = self.link.health.render(Instant::now());
        text.push_str(&format!(
            "# HELP partywall_shared_limits_local_calls_total Calls that this process' own share decided about.\n\
             # TYPE partywall_shared_limits_local_calls_total counter\n\
             partywall_shared_limits_local_calls_total {}\n",
            self.alone.load(Relaxed),
        ));
        text
    }

    fn terms(&self, limits: &Limits) -> Terms {
        let Limits { requests_per_second: per_second, burst, .. } = *limits;
        Terms { per_second, burst, replicas: self.place.settings().replicas }
    }

    /// The tenant's rate; `before` again when nothing of it has changed.
    pub(crate) fn rate(
        self: &Arc<Self>,
        tenant: &TenantId,
        life: Incarnation,
        limits: &Limits,
        before: Option<&Arc<SharedRate>>,
    ) -> Arc<SharedRate> {
        let (terms, key) = (self.terms(limits), key(&self.place.settings().prefix, tenant, life));
        match before {
            Some(rate) if Arc::ptr_eq(&rate.shared, self) && rate.terms == terms && rate.key == key => {
                Arc::clone(rate)
            }
            _ => Arc::new(SharedRate::new(Arc::clone(self), key, terms)),
        }
    }

    /// Asks a bucket; nothing when there is no answer in time.
    async fn ask(&self, key: &str, terms: Terms, question: Question) -> Option<Answer> {
        self.link.ask(self.question(key, terms, question)).await
    }

    async fn question(&self, key: &str, terms: Terms, question: Question) -> Result<Answer, Trouble> {
        let (taken, wait): (u32, u64) = self
            .link
            .run(&self.take, |command| {
                command.arg(1).arg(key).arg(terms.per_second).arg(terms.burst);
                command.arg(question.want).arg(question.back).arg(question.owed);
            })
            .await?;
        if taken > question.want {
            return Err(Trouble::Strange);
        }
        Ok(Answer { taken, wait: Duration::from_micros(wait) })
    }

    /// Why there is no answer, to somebody who has some seconds.
    pub(crate) async fn trouble(&self) -> Option<String> {
        const PATIENCE: Duration = Duration::from_secs(3);
        // No tenant has this name, and a bucket that nothing is taken from goes by itself.
        let key = format!("{}:{{-check}}:0:rate", self.place.settings().prefix);
        let terms = Terms { per_second: 1, burst: 1, replicas: 1 };
        let nothing = Question { want: 0, back: 0, owed: 0.0 };
        let asked = tokio::time::timeout(PATIENCE, self.question(&key, terms, nothing)).await;
        let why = asked.unwrap_or(Err(Trouble::Late)).err()?;
        // What connecting failed for, if that is why there is no answer.
        Some(self.link.health.last_trouble().unwrap_or_else(|| why.to_string()))
    }
}

/// The key of a tenant's bucket. The braces have a cluster keep what belongs to one tenant together; neither a tenant's
/// id nor a prefix can hold one, nor can an id hold a colon.
fn key(prefix: &str, tenant: &TenantId, life: Incarnation) -> String {
    format!("{prefix}:{{{tenant}}}:{}:rate", life.0)
}

/// One tenant's rate, over all processes.
pub(crate) struct SharedRate {
    shared: Arc<SharedLimits>,
    key: String,
    terms: Terms,
    lease: Mutex<Lease>,
    /// Told when a question was answered, or was not.
    heard: Notify,
    waiting: AtomicUsize,
    /// This process' share of the limit. Every call that is let in is counted here too, so that an outage does not
    /// begin with another burst.
    own: DefaultDirectRateLimiter,
    clock: DefaultClock,
}

impl SharedRate {
    fn new(shared: Arc<SharedLimits>, key: String, terms: Terms) -> Self {
        let noise = RandomState::new().hash_one(&key);
        Self {
            shared,
            key,
            terms,
            lease: Mutex::new(Lease::new(terms, Instant::now(), noise)),
            heard: Notify::new(),
            waiting: AtomicUsize::new(0),
            own: own_share(terms),
            clock: DefaultClock::default(),
        }
    }

    fn lease(&self) -> MutexGuard<'_, Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self) -> Step {
        let waiting = u32::try_from(self.waiting.load(Relaxed)).unwrap_or(u32::MAX);
        self.lease().step(Instant::now(), waiting)
    }

    /// Counts one call, or says how long to wait. The answer comes within the configured time.
    pub(crate) async fn take(self: &Arc<Self>) -> Result<(), Duration> {
        let step = self.step();
        match step {
            Step::Wait(question) => {
                self.ask(question);
                self.wait().await
            }
            other => self.done(other),
        }
    }

    /// What a step comes to that needs no waiting.
    fn done(self: &Arc<Self>, step: Step) -> Result<(), Duration> {
        match step {
            Step::Admit(question) => {
                let _counted = self.own.check();
                self.ask(question);
                Ok(())
            }
            Step::Refuse(wait) => Err(wait),
            Step::Alone(question) | Step::Wait(question) => {
                self.ask(question);
                self.alone()
            }
        }
    }

    async fn wait(self: &Arc<Self>) -> Result<(), Duration> {
        let deadline = Instant::now() + self.shared.place.settings().timeout;
        let Some(_waiting) = Waiting::begin(&self.waiting) else { return self.alone() };
        loop {
            let mut heard = pin!(self.heard.notified());
            heard.as_mut().enable();
            let step = self.step();
            match step {
                Step::Wait(question) => self.ask(question),
                other => return self.done(other),
            }
            if tokio::time::timeout_at(deadline.into(), heard).await.is_err() {
                return self.alone();
            }
        }
    }

    /// Lets the process' own share decide.
    fn alone(&self) -> Result<(), Duration> {
        self.shared.alone.fetch_add(1, Relaxed);
        self.own.check().map_err(|until| until.wait_time_from(self.clock.now()))?;
        self.lease().went_alone(Instant::now());
        Ok(())
    }

    /// Asks, if there is something to ask; whoever waits is told.
    fn ask(self: &Arc<Self>, question: Option<Question>) {
        if let Some(question) = question {
            link::background(Arc::clone(self).asked(question));
        }
    }

    async fn asked(self: Arc<Self>, question: Question) {
        let answer = self.shared.ask(&self.key, self.terms, question).await;
        let now = Instant::now();
        match answer {
            Some(answer) => self.lease().answered(now, question, answer),
            None => self.lease().unanswered(now, question),
        }
        self.heard.notify_waiters();
    }
}

/// A call that waits for an answer.
struct Waiting<'w>(&'w AtomicUsize);

impl<'w> Waiting<'w> {
    fn begin(waiting: &'w AtomicUsize) -> Option<Self> {
        let this = Self(waiting);
        (waiting.fetch_add(1, Relaxed) < MOST_WAITING).then_some(this)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The limit divided by the number of processes.
fn own_share(terms: Terms) -> DefaultDirectRateLimiter {
    let replicas = terms.replicas.max(1);
    let per_call = Duration::from_secs(1) * replicas / terms.per_second.max(1);
    let burst = NonZeroU32::new(terms.burst / replicas).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::with_period(per_call).unwrap_or(Quota::per_second(NonZeroU32::MIN));
    RateLimiter::direct(quota.allow_burst(burst))
}

#[cfg(test)]
pub(in crate::guards) mod tests;
