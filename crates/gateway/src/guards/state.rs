//! State: memory that one tenant's request touched is never read by another's.
//!
//! Whatever is kept in memory for a tenant hangs on its `Resident`, which is found by tenant id *and* incarnation.
//! There is no other place: the rest of the process keeps nothing between requests.

use std::{
    any::{Any, TypeId},
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    hash::RandomState,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use partywall_model::TenantId;
use quick_cache::{
    UnitWeighter,
    sync::{Cache as LruCache, EntryAction, EntryResult},
};

use crate::{
    admit::Incarnation,
    guards::{
        cache::ReplyCache,
        capacity::{LimitTable, Limits, TenantCapacity, shared::SharedRate},
    },
    tools::http::TenantClient,
    upstream::Upstreams,
};

type States = Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>;

/// What the process holds in memory for one tenant.
pub(crate) struct Resident {
    incarnation: Incarnation,
    /// Which configuration its limits and its client are of.
    revision: u64,
    limits: Limits,
    capacity: TenantCapacity,
    cache: ReplyCache,
    client: OnceLock<Arc<TenantClient>>,
    /// Processes of existing MCP servers; they end when nothing holds this any more.
    upstreams: Arc<Upstreams>,
    state: Arc<States>,
    /// Milliseconds from the start of [`Residents`] to the last request.
    used: AtomicU64,
}

impl Resident {
    pub(crate) fn new(incarnation: Incarnation, limits: Limits, revision: u64) -> Self {
        Self {
            incarnation,
            revision,
            limits,
            capacity: TenantCapacity::new(limits),
            cache: ReplyCache::new(limits.cache_bytes),
            client: OnceLock::new(),
            upstreams: Arc::default(),
            state: Arc::default(),
            used: AtomicU64::new(0),
        }
    }

    /// The same with a rate that other processes count too, if there is one.
    fn sharing(self, shared: Option<Arc<SharedRate>>) -> Self {
        Self { capacity: self.capacity.sharing(shared), ..self }
    }

    /// The same tenant under another configuration: its state, the count of its calls and the processes that are declared as
    /// they were stay; its cache and its connections to upstreams are made anew.
    fn under(&self, limits: Limits, revision: u64) -> Self {
        Self {
            incarnation: self.incarnation,
            revision,
            limits,
            capacity: self.capacity.with_limits(limits),
            cache: ReplyCache::new(limits.cache_bytes),
            client: OnceLock::new(),
            upstreams: Arc::clone(&self.upstreams),
            state: Arc::clone(&self.state),
            used: AtomicU64::new(self.used.load(Relaxed)),
        }
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn capacity(&self) -> &TenantCapacity {
        &self.capacity
    }

    pub(crate) fn cache(&self) -> &ReplyCache {
        #[cfg(test)]
        if crate::removed::removed("cache-per-tenant") {
            static COMMON: OnceLock<ReplyCache> = OnceLock::new();
            return COMMON.get_or_init(|| ReplyCache::new(1 << 20));
        }
        &self.cache
    }

    /// The tenant's own HTTP client, made on first use. A call of an earlier configuration gets one for itself.
    pub(crate) fn client(&self, revision: u64, make: impl FnOnce() -> TenantClient) -> Arc<TenantClient> {
        if revision != self.revision {
            return Arc::new(make());
        }
        #[cfg(test)]
        if crate::removed::removed("client-per-tenant") {
            static COMMON: OnceLock<Arc<TenantClient>> = OnceLock::new();
            return Arc::clone(COMMON.get_or_init(|| Arc::new(make())));
        }
        Arc::clone(self.client.get_or_init(|| Arc::new(make())))
    }

    /// What runs for the tenant.
    pub(crate) fn upstreams(&self) -> &Upstreams {
        #[cfg(test)]
        if crate::removed::removed("process-per-tenant") {
            static COMMON: OnceLock<Upstreams> = OnceLock::new();
            return COMMON.get_or_init(Upstreams::default);
        }
        &self.upstreams
    }

    fn states(&self) -> &States {
        #[cfg(test)]
        if crate::removed::removed("resident") {
            static COMMON: OnceLock<States> = OnceLock::new();
            return COMMON.get_or_init(States::default);
        }
        &self.state
    }

    /// The tenant's own `T`; the number of types in a program bounds the map.
    pub(crate) fn state<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let mut state = self.states().lock().unwrap_or_else(PoisonError::into_inner);
        let slot = state.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default()));
        // The key is the type, so the cast holds; a fresh value is the answer that is right in any case.
        Arc::clone(slot).downcast::<T>().unwrap_or_default()
    }

    fn is_in_use(self: &Arc<Self>) -> bool {
        // A call that was admitted under an earlier configuration holds another `Resident` of the same tenant.
        Arc::strong_count(self) > 1 || self.capacity.in_flight() > 0
    }
}

/// The tenants that are held in memory; the least recently used go first, and those that are idle go too.
pub(crate) struct Residents {
    residents: LruCache<TenantId, Arc<Resident>, UnitWeighter, RandomState, InUse>,
    start: Instant,
    /// When each was seen last, with the number of its meters; looked at once it may have become idle.
    seen: Mutex<Seen>,
}

type Seen = BTreeMap<(Instant, u64), TenantId>;

/// Keeps a tenant in memory that has calls in flight, so that its limits go on counting them, and one that has used
/// some of its burst, so that it does not get it back by being forgotten.
#[derive(Clone)]
struct InUse;

impl quick_cache::Lifecycle<TenantId, Arc<Resident>> for InUse {
    type RequestState = ();

    fn is_pinned(&self, _tenant: &TenantId, resident: &Arc<Resident>) -> bool {
        resident.is_in_use() || !resident.capacity.is_unspent(Instant::now())
    }
}

impl Residents {
    pub(crate) fn new(capacity: usize) -> Self {
        let residents = LruCache::with(capacity, capacity as u64, UnitWeighter, RandomState::new(), InUse);
        Self { residents, start: Instant::now(), seen: Mutex::default() }
    }

    /// Changes how many tenants are held.
    pub(crate) fn resize(&self, capacity: usize) {
        self.residents.set_capacity(capacity as u64);
    }

    /// What is held for this life of the tenant; what was held for an earlier life is dropped.
    pub(crate) fn of(
        &self,
        tenant: &TenantId,
        incarnation: Incarnation,
        limits: &LimitTable,
        now: Instant,
    ) -> Arc<Resident> {
        let revision = limits.revision();
        let make = || {
            let resident = Resident::new(incarnation, limits.of(tenant), revision);
            Arc::new(resident.sharing(limits.shared_rate(tenant, incarnation, None)))
        };
        loop {
            let made: Result<_, Infallible> = self.residents.get_or_insert_with(tenant, || {
                let resident = make();
                self.saw(now, resident.capacity.number(), tenant);
                Ok(resident)
            });
            let Ok(resident) = made;
            match resident.incarnation.cmp(&incarnation) {
                // One of a later configuration does for a call that began under an earlier one.
                Ordering::Equal if resident.revision >= revision => {
                    resident.used.store(self.since_start(now), Relaxed);
                    return resident;
                }
                Ordering::Equal => drop(self.renew(tenant, incarnation, limits)),
                // The request is from before the tenant was removed and added again: it meets nobody.
                Ordering::Greater => return make(),
                Ordering::Less => {
                    drop(self.residents.remove_if(tenant, |held| held.incarnation < incarnation));
                }
            }
        }
    }

    /// Puts a tenant that is held under the present configuration; what is replaced is dropped outside the lock.
    fn renew(
        &self,
        tenant: &TenantId,
        incarnation: Incarnation,
        limits: &LimitTable,
    ) -> Option<Arc<Resident>> {
        let revision = limits.revision();
        let renewed = self.residents.entry(tenant, None, |_tenant, held| {
            let stale = held.incarnation == incarnation && held.revision < revision;
            EntryAction::<Option<Arc<Resident>>>::Retain(stale.then(|| {
                let own = limits.of(tenant);
                held.capacity.resize(&own);
                let shared = limits.shared_rate(tenant, incarnation, held.capacity.shared());
                let renewed = Arc::new(held.under(own, revision).sharing(shared));
                std::mem::replace(held, renewed)
            }))
        });
        match renewed {
            EntryResult::Retained(replaced) => replaced,
            _ => None,
        }
    }

    fn since_start(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX)
    }

    fn saw(&self, when: Instant, number: u64, tenant: &TenantId) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert((when, number), tenant.clone());
    }

    /// Drops the tenants that made no call for so long; how many. One with calls in flight stays, and so does one whose
    /// burst has not come back.
    pub(crate) fn drop_idle(&self, idle: Duration, now: Instant) -> usize {
        let due = self.due(idle, now);
        let mut dropped = 0;
        for ((_, number), tenant) in due {
            let Some(resident) = self.residents.peek(&tenant) else { continue };
            if resident.capacity.number() != number {
                // Dropped and made again meanwhile; that one is on the list by itself.
                continue;
            }
            drop(resident);
            let last = |resident: &Resident| self.start + Duration::from_millis(resident.used.load(Relaxed));
            let gone = self.residents.remove_if(&tenant, |resident| {
                !resident.is_in_use() && last(resident) + idle <= now && resident.capacity.is_unspent(now)
            });
            match gone {
                Some(_) => dropped += 1,
                None => {
                    let used = self.residents.peek(&tenant).map_or(now, |resident| last(&resident));
                    self.saw(used, number, &tenant);
                }
            }
        }
        dropped
    }

    /// Those whom nobody looked at for so long. All of them, when many are on the list that are not held any more.
    fn due(&self, idle: Duration, now: Instant) -> Seen {
        let held = self.residents.len();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let later = match now.checked_sub(idle) {
            _ if seen.len() > 2 * held + 1024 => Seen::new(),
            Some(before) => seen.split_off(&(before, u64::MAX)),
            None => return Seen::new(),
        };
        std::mem::replace(&mut seen, later)
    }

    /// What is held for a tenant.
    pub(crate) fn find(&self, tenant: &TenantId) -> Option<Arc<Resident>> {
        self.residents.peek(tenant)
    }

    /// Drops what is held for a tenant; whether anything was.
    pub(crate) fn forget(&self, tenant: &TenantId) -> bool {
        self.residents.remove(tenant).is_some()
    }

    /// How many tenants are in memory.
    pub(crate) fn len(&self) -> usize {
        self.residents.len()
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::atomic::AtomicUsize};

    use super::*;
    use crate::config::Config;

    fn table(capacity: &str, revision: u64) -> LimitTable {
        let text = format!("[identity]\ndevelopment = true\n[capacity]\n{capacity}");
        LimitTable::new(&Config::parse(&text, "test", Path::new(".")).unwrap(), revision)
    }

    fn id(text: &str) -> TenantId {
        TenantId::parse(text).unwrap()
    }

    #[test]
    fn each_tenant_and_each_life_of_it_has_its_own_state() {
        let (residents, table, now) = (Residents::new(8), table("", 1), Instant::now());
        let of = |tenant, life| residents.of(&id(tenant), Incarnation(life), &table, now);
        of("acme", 1).state::<AtomicUsize>().store(7, Relaxed);
        assert_eq!(of("acme", 1).state::<AtomicUsize>().load(Relaxed), 7);
        assert_eq!(of("globex", 2).state::<AtomicUsize>().load(Relaxed), 0);
        assert_eq!(of("acme", 3).state::<AtomicUsize>().load(Relaxed), 0);
        assert_eq!(of("acme", 1).state::<AtomicUsize>().load(Relaxed), 0);
    }

    #[test]
    fn the_number_in_memory_is_bounded_and_busy_tenants_stay() {
        let (residents, table, now) = (Residents::new(16), table("", 1), Instant::now());
        let busy = id("busy");
        let held = residents.of(&busy, Incarnation(1), &table, now);
        for n in 0..5_000 {
            residents.of(&id(&format!("t{n}")), Incarnation(n + 2), &table, now);
        }
        assert!(residents.len() <= 17, "{}", residents.len());
        assert!(Arc::ptr_eq(&held, &residents.of(&busy, Incarnation(1), &table, now)));
        residents.drop_idle(Duration::from_secs(600), now);
        let listed = residents.seen.lock().unwrap().len();
        assert_eq!(listed, residents.len(), "what is not held is not remembered either");
    }

    #[test]
    fn who_is_idle_is_dropped_and_who_is_busy_is_not() {
        let (residents, table, start) = (Residents::new(64), table("", 1), Instant::now());
        let minute = |n: u64| start + Duration::from_secs(60 * n);
        let idle = Duration::from_secs(600);
        let of = |tenant, now| residents.of(&id(tenant), Incarnation(1), &table, now);
        drop(of("idle", start));
        of("active", start).state::<AtomicUsize>().store(7, Relaxed);
        let busy = of("busy", start);
        drop(of("active", minute(6)));
        assert_eq!(residents.drop_idle(idle, minute(9)), 0);
        assert_eq!(residents.drop_idle(idle, minute(11)), 1);
        assert!(residents.find(&id("idle")).is_none() && residents.find(&id("busy")).is_some());
        assert_eq!(of("active", minute(12)).state::<AtomicUsize>().load(Relaxed), 7);
        drop(busy);
        assert_eq!(residents.drop_idle(idle, minute(12)), 1, "it is looked at again");
        assert_eq!(residents.drop_idle(idle, minute(21)), 0);
        assert_eq!(residents.drop_idle(idle, minute(30)), 1);
        assert_eq!((residents.len(), residents.seen.lock().unwrap().len()), (0, 0));
    }

    #[tokio::test]
    async fn a_rate_is_not_forgotten_while_some_of_it_is_spent() {
        let (residents, start) = (Residents::new(16), Instant::now());
        let table = table("requests_per_second = 1\nburst = 5000", 1);
        let of = |tenant: &str, now| residents.of(&id(tenant), Incarnation(1), &table, now);
        for tenant in ["spent", "calm"] {
            for _ in 0..if tenant == "spent" { 4_999 } else { 1 } {
                of(tenant, start).capacity().count().await.expect("within the burst");
            }
        }
        // Idle for ten minutes, and not for as long as the burst takes to come back.
        let minute = |n: u64| start + Duration::from_secs(60 * n);
        assert_eq!(residents.drop_idle(Duration::from_secs(600), minute(11)), 1);
        // Pushed out by others, who spend nothing.
        for n in 0..5_000 {
            of(&format!("t{n}"), minute(11));
        }
        assert!(residents.len() <= 17, "{}", residents.len());
        let spent = of("spent", minute(11));
        spent.capacity().count().await.expect("the last of it");
        // Whatever came back in the meantime of the test is less than that.
        let mut more = 0;
        while spent.capacity().count().await.is_ok() {
            more += 1;
        }
        assert!(more < 600, "{more}");
        drop(spent);
        // All of it takes 5,000 s.
        residents.drop_idle(Duration::from_secs(600), minute(80));
        assert!(residents.len() == 1 && residents.find(&id("spent")).is_some());
        assert_eq!(residents.drop_idle(Duration::from_secs(600), minute(90)), 1);
    }

    #[tokio::test]
    async fn another_configuration_changes_limits_and_keeps_state_and_counts() {
        let (residents, now) = (Residents::new(8), Instant::now());
        let common = crate::guards::capacity::gate::Gate::new(100);
        let (before, after) =
            (table("reply_bytes = 1", 1), table("reply_bytes = 2\nconcurrent_requests = 1", 2));
        let acme = id("acme");
        let old = residents.of(&acme, Incarnation(1), &before, now);
        old.state::<AtomicUsize>().store(7, Relaxed);
        let slot = old.capacity().admit(&common).await.unwrap();
        let new = residents.of(&acme, Incarnation(1), &after, now);
        assert_eq!((old.limits().reply_bytes, new.limits().reply_bytes), (1, 2));
        assert_eq!(new.state::<AtomicUsize>().load(Relaxed), 7);
        assert_eq!(new.capacity().in_flight(), 1);
        // A request that began before the change does not bring the old limits back.
        assert!(Arc::ptr_eq(&new, &residents.of(&acme, Incarnation(1), &before, now)));
        drop((old, new));
        assert_eq!(
            residents.drop_idle(Duration::ZERO, now + Duration::from_secs(1)),
            0,
            "a call is in flight"
        );
        drop(slot);
        assert_eq!(residents.drop_idle(Duration::ZERO, now + Duration::from_secs(1)), 1);
    }
}
