//! Capacity: one tenant's load does not change another's service.
//!
//! Each tenant has a rate (governor's GCRA), a number of calls in flight and a short queue of its own; the calls of
//! all of them go through one `Gate`, at which the tenants take turns. What is over is refused with the time to wait,
//! and `refusals` keeps refusing cheap. With `[shared]` the rate is that of all gateway processes together; the rest is
//! each process' own.

pub(crate) mod gate;
pub(crate) mod limits;
mod rate;
pub(crate) mod refusals;
pub(crate) mod seats;
pub mod shared;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use partywall_model::Layer;

pub(crate) use self::limits::{LimitTable, Limits};
use self::{
    gate::{Gate, NoPlace, Place},
    rate::OwnRate,
    refusals::Refusals,
    shared::SharedRate,
};
use crate::guards::disclosure::{Denial, Refused};

/// Which limit a call is over; the numbers are the caller's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// Calls a second.
    Rate { per_second: u32, burst: u32 },
    /// Calls in flight, and calls that wait.
    Queue { running: u32, waiting: u32 },
    /// The time that a call may wait for the tenant's other calls.
    Wait { running: u32, waited: Duration },
    /// The calls of the whole server.
    Server,
    /// Open connections.
    Connections { most: usize },
}

impl Over {
    /// For the audit log.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Rate { .. } => "rate",
            Self::Queue { .. } => "concurrency",
            Self::Wait { .. } => "queue-timeout",
            Self::Server => "server-busy",
            Self::Connections { .. } => "connections",
        }
    }

    pub(crate) fn denial(self, wait: Duration) -> Denial {
        Denial::new(Layer::Capacity, self.reason(), Refused::TooMany(wait, self))
    }
}

/// How long to wait when nobody can know.
const SOME_TIME: Duration = Duration::from_secs(1);

/// One tenant's meters.
pub(crate) struct TenantCapacity {
    limits: Limits,
    rate: Rate,
    kept: Kept,
}

/// What counts a tenant's calls a second.
#[derive(Clone)]
enum Rate {
    /// This process alone.
    Own(Arc<OwnRate>),
    /// All processes together.
    Shared(Arc<SharedRate>),
}

/// What stays when the limits change, so that calls in flight go on being counted.
#[derive(Clone)]
struct Kept {
    places: Arc<Gate>,
    refusals: Arc<Refusals>,
    /// The tenant's line at the common gate.
    line: u64,
}

/// A place among the tenant's calls in flight and among those of all, given back when dropped.
pub(crate) struct Slot {
    // The common one first: the tenant's next call then finds it free.
    _common: Place,
    _own: Place,
    waited: bool,
}

impl Slot {
    /// Whether the call had to wait for its place.
    pub(crate) fn waited(&self) -> bool {
        self.waited
    }
}

impl TenantCapacity {
    pub(crate) fn new(limits: Limits) -> Self {
        static LINES: AtomicU64 = AtomicU64::new(0);
        let kept = Kept {
            places: Gate::new(limits.concurrent_requests as usize),
            refusals: Arc::default(),
            line: LINES.fetch_add(1, Relaxed),
        };
        Self { limits, rate: Rate::Own(Arc::new(OwnRate::new(&limits))), kept }
    }

    /// The same tenant's meters under other limits.
    pub(crate) fn with_limits(&self, limits: Limits) -> Self {
        let same = (limits.requests_per_second, limits.burst)
            == (self.limits.requests_per_second, self.limits.burst);
        let rate = match &self.rate {
            Rate::Own(own) if same => Rate::Own(Arc::clone(own)),
            _ => Rate::Own(Arc::new(OwnRate::new(&limits))),
        };
        Self { limits, rate, kept: self.kept.clone() }
    }

    /// The same meters with a rate that other processes count too, if there is one.
    pub(crate) fn sharing(self, shared: Option<Arc<SharedRate>>) -> Self {
        match shared {
            Some(shared) => Self { rate: Rate::Shared(shared), ..self },
            None => self,
        }
    }

    /// The rate that other processes count too.
    pub(crate) fn shared(&self) -> Option<&Arc<SharedRate>> {
        match &self.rate {
            Rate::Own(_) => None,
            Rate::Shared(shared) => Some(shared),
        }
    }

    /// Has the calls in flight counted against other limits from now on.
    pub(crate) fn resize(&self, limits: &Limits) {
        self.kept.places.resize(limits.concurrent_requests as usize);
    }

    /// A number that no other tenant's meters have, nor those of another life of this tenant.
    pub(crate) fn number(&self) -> u64 {
        self.kept.line
    }

    /// How many calls are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.kept.places.taken()
    }

    /// Whether nothing would be forgotten of the tenant's rate if these meters were made anew by then. A rate of all
    /// processes is not in them.
    pub(crate) fn is_unspent(&self, by: Instant) -> bool {
        match &self.rate {
            Rate::Own(own) => own.is_full(by),
            Rate::Shared(_) => true,
        }
    }

    pub(crate) fn refusals(&self) -> &Arc<Refusals> {
        &self.kept.refusals
    }

    /// Counts one more call of a request that has a slot already, or says how long to wait.
    pub(crate) async fn count(&self) -> Result<(), Denial> {
        #[cfg(test)]
        if crate::removed::removed("limits-per-tenant")
            && let Rate::Own(own) = &self.rate
        {
            static COMMON: std::sync::OnceLock<Arc<OwnRate>> = std::sync::OnceLock::new();
            let common = COMMON.get_or_init(|| Arc::clone(own));
            return common.take().map_err(|wait| {
                let Limits { requests_per_second: per_second, burst, .. } = self.limits;
                Over::Rate { per_second, burst }.denial(wait)
            });
        }
        let counted = match &self.rate {
            Rate::Own(own) => own.take(),
            Rate::Shared(shared) => shared.take().await,
        };
        counted.map_err(|wait| {
            let Limits { requests_per_second: per_second, burst, .. } = self.limits;
            Over::Rate { per_second, burst }.denial(wait)
        })
    }

    /// Admits one call when there is room in the tenant's own limits and at the common gate; waits in the tenant's
    /// queue for a bounded time when there is not.
    pub(crate) async fn admit(&self, common: &Arc<Gate>) -> Result<Slot, Denial> {
        self.count().await?;
        #[cfg(test)]
        if crate::removed::removed("fair-share") {
            // Whoever comes first has all places.
            let (own, common) = (Gate::new(1).try_enter(), common.try_enter());
            let slot =
                own.zip(common).map(|(own, common)| Slot { _common: common, _own: own, waited: false });
            return slot.ok_or_else(|| Over::Server.denial(SOME_TIME));
        }
        let own = self.kept.places.try_enter();
        match own.and_then(|own| {
            common.try_enter().map(|common| Slot { _common: common, _own: own, waited: false })
        }) {
            Some(slot) => Ok(slot),
            None => self.wait(common).await,
        }
    }

    async fn wait(&self, common: &Arc<Gate>) -> Result<Slot, Denial> {
        let Limits { concurrent_requests: running, queued_requests: waiting, queue_timeout, .. } =
            self.limits;
        let deadline = Instant::now() + queue_timeout;
        let (line, longest) = (self.kept.line, waiting as usize);
        let own = self.kept.places.enter(line, longest, deadline).await.map_err(|why| {
            let over = match why {
                NoPlace::Full => Over::Queue { running, waiting },
                NoPlace::Late => Over::Wait { running, waited: queue_timeout },
            };
            over.denial(SOME_TIME)
        })?;
        let common = common.enter(line, longest, deadline).await;
        let common = common.map_err(|_why| Over::Server.denial(SOME_TIME))?;
        Ok(Slot { _common: common, _own: own, waited: true })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn limits() -> Limits {
        Limits {
            requests_per_second: 1,
            burst: 3,
            concurrent_requests: 2,
            queued_requests: 0,
            queue_timeout: Duration::from_secs(3600),
            call_timeout: None,
            connections: None,
            reply_bytes: 1,
            cache_bytes: 1,
        }
    }

    fn roomy() -> Arc<Gate> {
        Gate::new(100)
    }

    #[tokio::test]
    async fn the_burst_passes_and_the_next_is_told_how_long_to_wait() {
        let (capacity, common) = (TenantCapacity::new(limits()), roomy());
        for _ in 0..3 {
            drop(capacity.admit(&common).await.expect("within the burst"));
        }
        let denial = capacity.admit(&common).await.err().expect("over the burst");
        let Refused::TooMany(wait, Over::Rate { per_second: 1, burst: 3 }) = denial.refused() else {
            panic!("{denial:?}")
        };
        assert!(*wait > Duration::ZERO && *wait <= Duration::from_secs(1));
        assert!(TenantCapacity::new(limits()).admit(&common).await.is_ok(), "another tenant is not affected");
    }

    #[tokio::test]
    async fn a_slot_comes_back_when_its_call_ends() {
        let (capacity, common) = (TenantCapacity::new(limits()), roomy());
        let first = capacity.admit(&common).await.expect("first");
        let _second = capacity.admit(&common).await.expect("second");
        assert_eq!(capacity.admit(&common).await.err().expect("third").reason(), "concurrency");
        assert_eq!((capacity.in_flight(), common.taken()), (2, 2));
        drop(first);
        assert_eq!((capacity.in_flight(), common.taken()), (1, 1));
    }

    #[tokio::test]
    async fn a_call_waits_in_its_tenants_queue() {
        let (capacity, common) =
            (TenantCapacity::new(Limits { burst: 9, queued_requests: 1, ..limits() }), roomy());
        let first = capacity.admit(&common).await.expect("first");
        let _second = capacity.admit(&common).await.expect("second");
        let mut third = Box::pin(capacity.admit(&common));
        assert!((&mut third).now_or_never().is_none(), "it waits");
        assert_eq!(capacity.admit(&common).await.err().expect("fourth").reason(), "concurrency");
        drop(first);
        assert!(third.now_or_never().expect("it was called").is_ok());
        let hurried = Limits { burst: 9, queued_requests: 1, queue_timeout: Duration::ZERO, ..limits() };
        let capacity = capacity.with_limits(hurried);
        let (_a, _b) = (capacity.admit(&common).await, capacity.admit(&common).await);
        assert_eq!(capacity.admit(&common).await.err().expect("late").reason(), "queue-timeout");
    }

    #[tokio::test]
    async fn a_full_server_serves_the_tenants_in_turn() {
        let common = Gate::new(1);
        let wide = Limits { burst: 100, concurrent_requests: 50, queued_requests: 50, ..limits() };
        let (loud, calm) = (TenantCapacity::new(wide), TenantCapacity::new(wide));
        let held = loud.admit(&common).await.expect("the only place");
        let mut flood: Vec<_> = (0..40).map(|_| Box::pin(loud.admit(&common))).collect();
        assert!(flood.iter_mut().all(|call| call.now_or_never().is_none()));
        let mut call = Box::pin(calm.admit(&common));
        assert!((&mut call).now_or_never().is_none());
        drop(held);
        let next = flood.iter_mut().find_map(|call| call.now_or_never()).expect("the flood's first");
        assert!((&mut call).now_or_never().is_none());
        drop(next);
        assert!(call.now_or_never().expect("then it is the other's turn").is_ok());
        let none = TenantCapacity::new(Limits { queued_requests: 0, ..wide });
        let _held = common.try_enter();
        assert_eq!(none.admit(&common).await.err().expect("full").reason(), "server-busy");
    }

    #[tokio::test]
    async fn calls_in_flight_are_counted_under_new_limits_too() {
        let (capacity, common) = (TenantCapacity::new(Limits { burst: 50, ..limits() }), roomy());
        let _first = capacity.admit(&common).await.expect("first");
        let second = capacity.admit(&common).await.expect("second");
        let one = Limits { burst: 50, concurrent_requests: 1, ..limits() };
        let fewer = capacity.with_limits(one);
        fewer.resize(&one);
        drop(second);
        assert_eq!(fewer.admit(&common).await.err().expect("one is in flight").reason(), "concurrency");
        fewer.resize(&limits());
        assert!(fewer.admit(&common).await.is_ok());
    }
}
