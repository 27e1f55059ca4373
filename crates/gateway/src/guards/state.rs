//! State: memory that one tenant's request touched is never read by another's.
//!
//! Whatever is kept in memory for a tenant hangs on its `Resident`, which is found by tenant id *and* incarnation.
//! There is no other place: the rest of the process keeps nothing between requests.

use std::{
    any::{Any, TypeId},
    cmp::Ordering,
    collections::HashMap,
    convert::Infallible,
    hash::RandomState,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use partywall_model::TenantId;
use quick_cache::{UnitWeighter, sync::Cache as LruCache};

use crate::{
    admit::Incarnation,
    guards::{
        cache::ReplyCache,
        capacity::{LimitTable, Limits, TenantCapacity},
    },
    tools::http::TenantClient,
};

/// What the process holds in memory for one tenant.
pub(crate) struct Resident {
    incarnation: Incarnation,
    limits: Limits,
    capacity: TenantCapacity,
    cache: ReplyCache,
    client: OnceLock<Arc<TenantClient>>,
    state: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl Resident {
    pub(crate) fn new(incarnation: Incarnation, limits: Limits) -> Self {
        Self {
            incarnation,
            limits,
            capacity: TenantCapacity::new(&limits),
            cache: ReplyCache::new(limits.cache_bytes),
            client: OnceLock::new(),
            state: Mutex::new(HashMap::new()),
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
        &self.cache
    }

    /// The tenant's own HTTP client, made on first use.
    pub(crate) fn client<E>(
        &self,
        make: impl FnOnce() -> Result<TenantClient, E>,
    ) -> Result<Arc<TenantClient>, E> {
        if let Some(client) = self.client.get() {
            return Ok(Arc::clone(client));
        }
        let made = Arc::new(make()?);
        Ok(Arc::clone(self.client.get_or_init(|| made)))
    }

    /// The tenant's own `T`; the number of types in a program bounds the map.
    pub(crate) fn state<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = state.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default()));
        // The key is the type, so the cast holds; a fresh value is the answer that is right in any case.
        Arc::clone(slot).downcast::<T>().unwrap_or_default()
    }
}

/// The tenants that are held in memory; the least recently used go first.
pub(crate) struct Residents {
    limits: LimitTable,
    residents: LruCache<TenantId, Arc<Resident>, UnitWeighter, RandomState, InUse>,
}

/// Keeps a tenant that has calls in flight in memory, so that its limits go on counting them.
#[derive(Clone)]
struct InUse;

impl quick_cache::Lifecycle<TenantId, Arc<Resident>> for InUse {
    type RequestState = ();

    fn is_pinned(&self, _tenant: &TenantId, resident: &Arc<Resident>) -> bool {
        Arc::strong_count(resident) > 1
    }
}

impl Residents {
    pub(crate) fn new(limits: LimitTable, capacity: usize) -> Self {
        let residents = LruCache::with(capacity, capacity as u64, UnitWeighter, RandomState::new(), InUse);
        Self { limits, residents }
    }

    /// What is held for this life of the tenant; what was held for an earlier life is dropped.
    pub(crate) fn of(&self, tenant: &TenantId, incarnation: Incarnation) -> Arc<Resident> {
        loop {
            let made: Result<_, Infallible> = self.residents.get_or_insert_with(tenant, || {
                Ok(Arc::new(Resident::new(incarnation, self.limits.of(tenant))))
            });
            let Ok(resident) = made;
            match resident.incarnation.cmp(&incarnation) {
                Ordering::Equal => return resident,
                // The request is from before the tenant was removed and added again: it meets nobody.
                Ordering::Greater => return Arc::new(Resident::new(incarnation, self.limits.of(tenant))),
                Ordering::Less => drop(self.residents.remove(tenant)),
            }
        }
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
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;
    use crate::config::Capacity;

    fn residents(capacity: usize) -> Residents {
        Residents::new(LimitTable::new(&Capacity::default()), capacity)
    }

    #[test]
    fn each_tenant_and_each_life_of_it_has_its_own_state() {
        let residents = residents(8);
        let (acme, globex) = (TenantId::parse("acme").unwrap(), TenantId::parse("globex").unwrap());
        residents.of(&acme, Incarnation(1)).state::<AtomicUsize>().store(7, Relaxed);
        assert_eq!(residents.of(&acme, Incarnation(1)).state::<AtomicUsize>().load(Relaxed), 7);
        assert_eq!(residents.of(&globex, Incarnation(2)).state::<AtomicUsize>().load(Relaxed), 0);
        assert_eq!(residents.of(&acme, Incarnation(3)).state::<AtomicUsize>().load(Relaxed), 0);
        assert_eq!(residents.of(&acme, Incarnation(1)).state::<AtomicUsize>().load(Relaxed), 0);
    }

    #[test]
    fn the_number_in_memory_is_bounded_and_busy_tenants_stay() {
        let residents = residents(16);
        let busy = TenantId::parse("busy").unwrap();
        let held = residents.of(&busy, Incarnation(1));
        for n in 0..1_000 {
            residents.of(&TenantId::parse(&format!("t{n}")).unwrap(), Incarnation(n + 2));
        }
        assert!(residents.len() <= 17, "{}", residents.len());
        assert!(Arc::ptr_eq(&held, &residents.of(&busy, Incarnation(1))));
    }
}
