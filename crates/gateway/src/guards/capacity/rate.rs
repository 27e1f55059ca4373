//! A tenant's calls a second, counted by this process alone.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::StateInformationMiddleware,
};

use super::Limits;

/// A bucket (governor's GCRA), and when it will be full again: whoever forgets one before gives its tenant a burst more.
pub(super) struct OwnRate {
    bucket: DefaultDirectRateLimiter<StateInformationMiddleware>,
    clock: DefaultClock,
    per_second: NonZeroU32,
    burst: NonZeroU32,
    begun: Instant,
    /// Microseconds from `begun`.
    full: AtomicU64,
}

impl OwnRate {
    pub(super) fn new(limits: &Limits) -> Self {
        let at_least_one = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let (per_second, burst) = (at_least_one(limits.requests_per_second), at_least_one(limits.burst));
        let quota = Quota::per_second(per_second).allow_burst(burst);
        Self {
            bucket: RateLimiter::direct(quota).with_middleware(),
            clock: DefaultClock::default(),
            per_second,
            burst,
            begun: Instant::now(),
            full: AtomicU64::new(0),
        }
    }

    /// Counts one call, or says how long to wait.
    pub(super) fn take(&self) -> Result<(), Duration> {
        let state = self.bucket.check().map_err(|until| until.wait_time_from(self.clock.now()))?;
        let missing = u64::from(self.burst.get().saturating_sub(state.remaining_burst_capacity()));
        let wait = missing * 1_000_000 / u64::from(self.per_second.get()) + 1;
        self.full.fetch_max(micros(self.begun.elapsed()).saturating_add(wait), Relaxed);
        Ok(())
    }

    /// Whether it will be full by then if nobody calls before.
    pub(super) fn is_full(&self, by: Instant) -> bool {
        self.full.load(Relaxed) <= micros(by.saturating_duration_since(self.begun))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
