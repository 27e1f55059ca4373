//! Capacity: one tenant's load does not change another's service.
//!
//! Each tenant has a rate (governor's GCRA) and a number of calls in flight of its own; what is over is refused at
//! once with the time to wait, never queued.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc, time::Duration};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};
use partywall_model::{Layer, TenantId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    config::{Capacity, CapacityOverride},
    guards::disclosure::{Denial, Refused},
};

/// What one tenant may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) requests_per_second: u32,
    pub(crate) burst: u32,
    pub(crate) concurrent_requests: u32,
    pub(crate) reply_bytes: usize,
    pub(crate) cache_bytes: u64,
}

/// The limits of every tenant: the defaults and what is different for some.
pub(crate) struct LimitTable {
    defaults: Limits,
    overrides: BTreeMap<String, CapacityOverride>,
}

impl LimitTable {
    pub(crate) fn new(config: &Capacity) -> Self {
        let defaults = Limits {
            requests_per_second: config.requests_per_second,
            burst: config.burst,
            concurrent_requests: config.concurrent_requests,
            reply_bytes: config.reply_bytes.as_usize(),
            cache_bytes: config.cache_bytes.0,
        };
        Self { defaults, overrides: config.tenant.clone() }
    }

    pub(crate) fn of(&self, tenant: &TenantId) -> Limits {
        let base = self.defaults;
        let Some(own) = self.overrides.get(tenant.as_str()) else {
            return base;
        };
        Limits {
            requests_per_second: own.requests_per_second.unwrap_or(base.requests_per_second),
            burst: own.burst.unwrap_or(base.burst),
            concurrent_requests: own.concurrent_requests.unwrap_or(base.concurrent_requests),
            reply_bytes: own.reply_bytes.map_or(base.reply_bytes, |size| size.as_usize()),
            cache_bytes: own.cache_bytes.map_or(base.cache_bytes, |size| size.0),
        }
    }
}

/// One tenant's meters.
pub(crate) struct TenantCapacity {
    rate: DefaultDirectRateLimiter,
    clock: DefaultClock,
    in_flight: Arc<Semaphore>,
}

/// A place among the tenant's calls in flight, given back when dropped.
pub(crate) struct Slot(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl TenantCapacity {
    pub(crate) fn new(limits: &Limits) -> Self {
        let at_least_one = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(limits.requests_per_second))
            .allow_burst(at_least_one(limits.burst));
        Self {
            rate: RateLimiter::direct(quota),
            clock: DefaultClock::default(),
            in_flight: Arc::new(Semaphore::new(limits.concurrent_requests.max(1) as usize)),
        }
    }

    /// Counts one more call of a request that has a slot already, or says how long to wait.
    pub(crate) fn count(&self) -> Result<(), Denial> {
        self.rate.check().map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            Denial::new(Layer::Capacity, "rate", Refused::TooMany(wait))
        })
    }

    /// Admits one call, or says how long to wait.
    pub(crate) fn admit(&self) -> Result<Slot, Denial> {
        self.count()?;
        let slot = Arc::clone(&self.in_flight).try_acquire_owned().map_err(|_full| {
            Denial::new(Layer::Capacity, "concurrency", Refused::TooMany(Duration::from_secs(1)))
        })?;
        Ok(Slot(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { requests_per_second: 1, burst: 3, concurrent_requests: 2, reply_bytes: 1, cache_bytes: 1 }
    }

    #[test]
    fn the_burst_passes_and_the_next_is_told_how_long_to_wait() {
        let capacity = TenantCapacity::new(&limits());
        for _ in 0..3 {
            drop(capacity.admit().expect("within the burst"));
        }
        let denial = capacity.admit().err().expect("over the burst");
        let Refused::TooMany(wait) = denial.refused() else { panic!("{denial:?}") };
        assert!(*wait > Duration::ZERO && *wait <= Duration::from_secs(1));
        assert!(TenantCapacity::new(&limits()).admit().is_ok(), "another tenant is not affected");
    }

    #[test]
    fn a_slot_comes_back_when_its_call_ends() {
        let capacity = TenantCapacity::new(&limits());
        let first = capacity.admit().expect("first");
        let _second = capacity.admit().expect("second");
        assert_eq!(capacity.admit().err().expect("third").reason(), "concurrency");
        drop(first);
        // The refused one was counted by the rate, so a fresh meter would be needed for a further call; look at the
        // semaphore itself.
        assert_eq!(capacity.in_flight.available_permits(), 1);
    }

    #[test]
    fn one_tenant_can_have_other_limits() {
        let mut config = Capacity::default();
        config.tenant.insert("acme".into(), CapacityOverride { burst: Some(7), ..Default::default() });
        let table = LimitTable::new(&config);
        assert_eq!(table.of(&TenantId::parse("acme").unwrap()).burst, 7);
        assert_eq!(table.of(&TenantId::parse("globex").unwrap()).burst, 100);
    }
}
