//! Refusing is cheap: whoever goes on over a limit is answered a little later, and logged about once a second.
//!
//! A client that waits for its answer before it asks again can then not burn the processor with refusals. How many
//! answers are held back is bounded, for each tenant and in all; what is over is answered at once and its connection
//! closed. Nothing is lost from the log: a line says how many refusals it stands for.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicUsize,
            Ordering::{AcqRel, Acquire},
        },
    },
    time::{Duration, Instant},
};

use partywall_model::{Layer, Principal, TenantId};
use quick_cache::sync::Cache;

use crate::{
    admit::RequestId,
    clock::Clock,
    guards::disclosure::audit::{Audit, Line},
};

/// How many refusals a second are answered at once.
const AT_ONCE: u32 = 20;
/// How many answers of one tenant, or of all strangers, are held back at a time.
const MOST_HELD: usize = 64;
/// The same for the whole process.
const MOST_HELD_IN_ALL: usize = 1024;
/// For how long one line stands.
const BUNDLE: Duration = Duration::from_secs(1);

/// The refusals of one tenant, or of all strangers.
#[derive(Default)]
pub(crate) struct Refusals {
    state: Mutex<State>,
    held: AtomicUsize,
}

#[derive(Default)]
struct State {
    /// When the present second began, and how many refusals it had.
    second: Option<Instant>,
    many: u32,
    /// When the last of the answers that are held back goes out.
    last_goes: Option<Instant>,
    bundles: BTreeMap<&'static str, Bundle>,
    /// Whether the pacer knows that lines are owed.
    listed: bool,
}

/// The refusals of one reason; reasons are words of the program, so there are few.
#[derive(Default)]
struct Bundle {
    next: Option<Instant>,
    owed: u64,
    last: Option<Refused>,
}

/// Somebody who was refused.
#[derive(Clone)]
pub(crate) struct Refused {
    pub(crate) caller: Arc<Principal>,
    pub(crate) request: RequestId,
    pub(crate) layer: Layer,
    pub(crate) reason: &'static str,
}

impl Refusals {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one refusal; whether there were too many in this second.
    fn is_flood(&self, now: Instant) -> bool {
        let mut state = self.lock();
        if state.second.is_none_or(|began| now.saturating_duration_since(began) >= BUNDLE) {
            state.second = Some(now);
            state.many = 0;
        }
        state.many = state.many.saturating_add(1);
        state.many > AT_ONCE
    }

    /// How long an answer is held back: a while, and never until the same moment as the one before. Clients whose
    /// answers came together would ask again together, and whoever asks just then would wait for all of them.
    fn hold(&self, delay: Duration, now: Instant) -> Duration {
        let mut state = self.lock();
        let step = delay / MOST_HELD as u32;
        let goes =
            state.last_goes.map_or(now + delay, |last| (last + step).clamp(now + delay, now + 2 * delay));
        state.last_goes = Some(goes);
        goes.saturating_duration_since(now)
    }

    /// How many refusals the line of this one stands for; 0 when a later line does.
    fn bundle(&self, refused: &Refused, now: Instant) -> u64 {
        let mut state = self.lock();
        let bundle = state.bundles.entry(refused.reason).or_default();
        if bundle.next.is_some_and(|next| now < next) {
            bundle.owed += 1;
            bundle.last = Some(refused.clone());
            return 0;
        }
        bundle.next = Some(now + BUNDLE);
        bundle.last = None;
        1 + std::mem::take(&mut bundle.owed)
    }

    /// The refusals that no line stands for yet.
    fn owed(&self, now: Instant) -> Vec<(Refused, u64)> {
        let mut state = self.lock();
        state.listed = false;
        state
            .bundles
            .values_mut()
            .filter_map(|bundle| {
                let last = bundle.last.take()?;
                bundle.next = Some(now + BUNDLE);
                Some((last, std::mem::take(&mut bundle.owed)))
            })
            .collect()
    }
}

/// What the refusals of all tenants share.
pub(crate) struct Pacer {
    strangers: Arc<Refusals>,
    /// Of tenants that are not in memory, such as suspended ones; the least recently used are let go, and what they owe
    /// is not.
    others: Cache<TenantId, Arc<Refusals>>,
    held: Arc<AtomicUsize>,
    /// Whose lines are owed; each is here once at most.
    owing: Mutex<Vec<Arc<Refusals>>>,
}

/// When a refusal is answered.
pub(crate) enum Pace {
    AtOnce,
    /// When this much time has gone.
    Later(Duration, Held),
    /// Now, and the connection is closed.
    Close,
}

/// An answer that is held back.
pub(crate) struct Held(Arc<Refusals>, Arc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, AcqRel);
        self.1.fetch_sub(1, AcqRel);
    }
}

impl Pacer {
    const MOST_OTHERS: usize = 1024;

    pub(crate) fn new() -> Self {
        Self {
            strangers: Arc::default(),
            others: Cache::new(Self::MOST_OTHERS),
            held: Arc::default(),
            owing: Mutex::default(),
        }
    }

    /// The refusals of a tenant that is not in memory.
    fn others(&self, tenant: &TenantId) -> Arc<Refusals> {
        let made = self.others.get_or_insert_with(tenant, || Ok::<_, Infallible>(Arc::default()));
        made.unwrap_or_default()
    }

    /// When to answer a refusal of this tenant, or of a stranger.
    pub(crate) fn pace(&self, who: Option<&Arc<Refusals>>, delay: Duration, now: Instant) -> Pace {
        let who = who.unwrap_or(&self.strangers);
        if delay.is_zero() || !who.is_flood(now) {
            return Pace::AtOnce;
        }
        let take = |held: &AtomicUsize, most: usize| {
            held.fetch_update(AcqRel, Acquire, |held| (held < most).then_some(held + 1)).is_ok()
        };
        if !take(&who.held, MOST_HELD) {
            return Pace::Close;
        }
        if !take(&self.held, MOST_HELD_IN_ALL) {
            who.held.fetch_sub(1, AcqRel);
            return Pace::Close;
        }
        Pace::Later(who.hold(delay, now), Held(Arc::clone(who), Arc::clone(&self.held)))
    }

    /// How many refusals the line of this one stands for; 0 when a later line does.
    fn bundle(&self, who: &Arc<Refusals>, refused: &Refused, now: Instant) -> u64 {
        let times = who.bundle(refused, now);
        if times == 0 && !std::mem::replace(&mut who.lock().listed, true) {
            self.owing.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(who));
        }
        times
    }

    /// The line of somebody who was refused; none when a later line stands for it. `meter` is that of a tenant in memory.
    pub(crate) fn line(
        &self,
        meter: Option<&Arc<Refusals>>,
        refused: &Refused,
        now: Instant,
        clock: &Clock,
    ) -> Option<Line> {
        let times = match meter {
            Some(meter) => self.bundle(meter, refused, now),
            None => self.bundle(&self.others(&refused.caller.tenant), refused, now),
        };
        (times > 0).then(|| refused.line(times, clock))
    }

    /// Writes the lines that are owed.
    pub(crate) async fn settle(&self, audit: &Audit, clock: &Clock) {
        let owing = std::mem::take(&mut *self.owing.lock().unwrap_or_else(PoisonError::into_inner));
        for who in owing {
            for (refused, times) in who.owed(Instant::now()) {
                // The log counts what it could not write.
                let _lost = audit.record(refused.line(times, clock)).await;
            }
        }
    }
}

impl Refused {
    /// The line for so many refusals.
    fn line(&self, times: u64, clock: &Clock) -> Line {
        let mut line = Line::of(Some(&self.caller), self.request, clock.since_epoch().as_secs_f64());
        line.outcome = "denied";
        line.layer = Some(self.layer.name());
        line.reason = Some(self.reason.to_owned());
        line.times = times;
        line
    }
}

#[cfg(test)]
mod tests {
    use partywall_model::{Scopes, TenantId};

    use super::*;

    const DELAY: Duration = Duration::from_millis(200);

    fn refused(reason: &'static str) -> Refused {
        let caller = Principal {
            tenant: TenantId::parse("acme").unwrap(),
            issuer: "i".into(),
            subject: "s".into(),
            scopes: Scopes::default(),
        };
        Refused { caller: Arc::new(caller), request: RequestId::new(1), layer: Layer::Capacity, reason }
    }

    #[test]
    fn who_goes_on_over_the_limit_is_answered_later_and_in_the_end_put_out() {
        let (pacer, now) = (Pacer::new(), Instant::now());
        let (acme, globex) = (Arc::default(), Arc::default());
        for _ in 0..AT_ONCE {
            assert!(matches!(pacer.pace(Some(&acme), DELAY, now), Pace::AtOnce));
        }
        let (mut held, mut waits) = (Vec::new(), Vec::new());
        for _ in 0..MOST_HELD {
            match pacer.pace(Some(&acme), DELAY, now) {
                Pace::Later(wait, place) => {
                    held.push(place);
                    waits.push(wait);
                }
                _ => panic!("it is held"),
            }
        }
        // They go out one by one, and none much later than was asked for.
        assert_eq!(waits.first(), Some(&DELAY));
        assert!(waits.windows(2).all(|pair| pair[1] - pair[0] == DELAY / MOST_HELD as u32), "{waits:?}");
        assert!(waits.last().unwrap() < &(2 * DELAY));
        assert!(matches!(pacer.pace(Some(&acme), DELAY, now), Pace::Close));
        assert!(matches!(pacer.pace(Some(&globex), DELAY, now), Pace::AtOnce), "the neighbour is not paced");
        assert!(matches!(pacer.pace(None, DELAY, now), Pace::AtOnce), "nor are strangers");
        held.pop();
        assert!(matches!(pacer.pace(Some(&acme), DELAY, now), Pace::Later(..)));
        assert!(matches!(pacer.pace(Some(&acme), DELAY, now + BUNDLE), Pace::AtOnce), "a new second");
        drop(held);
        assert_eq!(pacer.held.load(Acquire), 0);
    }

    #[test]
    fn the_answers_that_are_held_are_bounded_in_all() {
        let (pacer, now) = (Pacer::new(), Instant::now());
        let mut held = Vec::new();
        for _ in 0..50 {
            let tenant = Arc::default();
            for _ in 0..AT_ONCE + 60 {
                if let Pace::Later(_, place) = pacer.pace(Some(&tenant), DELAY, now) {
                    held.push(place);
                }
            }
        }
        assert_eq!(held.len(), MOST_HELD_IN_ALL);
    }

    #[tokio::test]
    async fn the_lines_of_a_flood_are_few_and_add_up() {
        let folder = tempfile::tempdir().unwrap();
        let (audit, clock) = (Audit::open(folder.path(), 1 << 20).unwrap(), Clock::system());
        let (pacer, acme, start) = (Pacer::new(), Arc::default(), Instant::now());
        let (mut lines, mut times) = (0, 0);
        for n in 0..1000 {
            let reason = if n % 2 == 0 { "rate" } else { "concurrency" };
            let stands = pacer.bundle(&acme, &refused(reason), start + Duration::from_millis(5 * n));
            lines += u64::from(stands > 0);
            times += stands;
        }
        assert!(lines <= 2 * 6, "{lines}");
        assert_eq!(pacer.owing.lock().unwrap().len(), 1);
        pacer.settle(&audit, &clock).await;
        pacer.settle(&audit, &clock).await;
        audit.flush();
        let text = std::fs::read_to_string(folder.path().join("audit/acme.jsonl")).unwrap();
        let written: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let owed: Vec<u64> = written.iter().filter_map(|line| line["times"].as_u64()).collect();
        assert_eq!(owed.len(), 2, "one for each reason: {text}");
        times += owed.iter().sum::<u64>();
        assert_eq!(times, 1000);
    }
}
