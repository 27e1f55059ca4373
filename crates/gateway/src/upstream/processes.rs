//! Everything that runs for tenants, seen from the gateway: how much there may be, and what must end.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use partywall_model::TenantId;

use super::{UpstreamError, slots::Slot};
use crate::{gateway::Services, tenants::TenantDenial};

/// How long the server waits for processes when it ends.
const FAREWELL: Duration = Duration::from_secs(3);

/// How often and how long a place is looked for that is given up.
const LOOKS: u32 = 300;
const LOOK: Duration = Duration::from_millis(20);
const GIVES_WAY: Duration = Duration::from_secs(5);
/// The most secrets that the operator is told of.
const MOST_TOLD: usize = 1024;

/// What runs, of all tenants.
#[derive(Default)]
pub(crate) struct Processes {
    running: AtomicUsize,
    counts: Counts,
    /// What was started and may run still.
    slots: Mutex<Vec<Weak<Slot>>>,
    /// Whether the operator was told that there is no place left.
    told_full: AtomicBool,
    /// Whose secrets the operator was told to be missing: tenant, upstream and secret.
    told_missing: Mutex<BTreeSet<(TenantId, String, String)>>,
}

/// How often what happened.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) started: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) ended: AtomicU64,
    stopped: AtomicU64,
}

/// A place among what may run; it is free again when this is dropped.
pub(super) struct Place(Arc<Processes>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Relaxed);
    }
}

impl Processes {
    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Takes a place for a process, if there is one.
    pub(super) fn take(self: &Arc<Self>, most: usize) -> Result<Place, UpstreamError> {
        let place = Place(Arc::clone(self));
        if self.running.fetch_add(1, Relaxed) >= most {
            return Err(UpstreamError::Busy);
        }
        Ok(place)
    }

    /// Takes a place for a process. Where there is none, the process ends that was unused for longest and has no user, and its
    /// place is waited for.
    pub(super) async fn place(self: &Arc<Self>, most: usize) -> Result<Place, UpstreamError> {
        let (mut ends, mut missed) = (None, 0);
        for _ in 0..LOOKS {
            if let Ok(place) = self.take(most) {
                return Ok(place);
            }
            if !self.told_full.swap(true, Relaxed) {
                tracing::warn!(
                    "there are as many processes of upstreams as `capacity.upstream_processes` allows ({most}); for each \
                     that is started now one ends that nobody uses, and where there is none, callers are told to try \
                     again; this is said once"
                );
            }
            match ends {
                Some(ends) if Instant::now() >= ends => break,
                Some(_) => {}
                None if self.end_unused() => {
                    self.counts.stopped.fetch_add(1, Relaxed);
                    ends = Some(Instant::now() + GIVES_WAY);
                }
                // Some may be looked at just now.
                None if missed < 2 => missed += 1,
                None => break,
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(UpstreamError::Busy)
    }

    /// Ends the process that was unused for longest; whether there is one.
    fn end_unused(&self) -> bool {
        let slots: Vec<Arc<Slot>> = self.slots().iter().filter_map(Weak::upgrade).collect();
        let oldest = slots.iter().filter_map(|slot| Some((slot.unused_since()?, slot)));
        oldest.min_by_key(|(since, _)| *since).is_some_and(|(_, slot)| slot.give_way())
    }

    /// Tells the operator that a tenant has no value for a secret, once.
    pub(super) fn tell_missing(&self, tenant: &TenantId, upstream: &str, secret: &str) {
        if self.is_news(tenant, upstream, secret) {
            tracing::warn!(upstream, %tenant, secret, "the tenant has no value for a secret that the upstream needs");
        }
    }

    fn is_news(&self, tenant: &TenantId, upstream: &str, secret: &str) -> bool {
        let mut told = self.told_missing.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < MOST_TOLD && told.insert((tenant.clone(), upstream.to_owned(), secret.to_owned()))
    }

    /// Looks after a slot in which something is about to start. Once more is no harm.
    pub(super) fn watch(&self, slot: &Arc<Slot>) {
        self.slots().push(Arc::downgrade(slot));
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Weak<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all slots off the list, each once.
    fn taken(&self) -> Vec<Arc<Slot>> {
        let listed = std::mem::take(&mut *self.slots());
        let mut slots: Vec<Arc<Slot>> = listed.iter().filter_map(Weak::upgrade).collect();
        slots.sort_by_key(|slot| Arc::as_ptr(slot).addr());
        slots.dedup_by(|a, b| Arc::ptr_eq(a, b));
        slots
    }

    /// Ends what should not run any more: that of tenants that are not active in this life, what is not configured as it was, and
    /// what nobody used for so long.
    pub(crate) fn look_after(&self, services: &Services) {
        let now = Instant::now();
        for slot in self.taken() {
            // Whatever starts there meanwhile puts it on the list again.
            if slot.tidy(self) {
                continue;
            }
            let gone = match services.registry.active(&slot.tenant) {
                Ok(life) => life != slot.life,
                // Nobody is admitted while that cannot be told, and what runs has nobody to answer to.
                Err(TenantDenial::Unavailable) => false,
                Err(_) => true,
            };
            if gone {
                slot.kill();
                self.counts.stopped.fetch_add(1, Relaxed);
                continue;
            }
            if slot.is_idle(now) || !slot.is_served(&services.upstreams) {
                // Calls that use it come to their end.
                slot.retire();
                self.counts.stopped.fetch_add(1, Relaxed);
            }
            if !slot.tidy(self) {
                self.slots().push(Arc::downgrade(&slot));
            }
        }
    }

    /// Ends everything, since the server ends, and waits for it a little.
    pub(crate) async fn stop_all(&self) {
        for slot in self.taken() {
            slot.close();
        }
        let ends = Instant::now() + FAREWELL;
        while self.running.load(Relaxed) > 0 && Instant::now() < ends {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// In the Prometheus text format.
    pub(crate) fn render(&self) -> String {
        let Counts { started, failed, ended, stopped } = &self.counts;
        let mut text = format!(
            "# HELP partywall_upstream_processes Processes of existing MCP servers that run now.\n\
             # TYPE partywall_upstream_processes gauge\n\
             partywall_upstream_processes {}\n\
             # HELP partywall_upstream_events_total What became of them.\n\
             # TYPE partywall_upstream_events_total counter\n",
            self.running.load(Relaxed),
        );
        for (event, count) in
            [("started", started), ("failed", failed), ("ended", ended), ("stopped", stopped)]
        {
            let _written = writeln!(
                text,
                "partywall_upstream_events_total{{event=\"{event}\"}} {}",
                count.load(Relaxed)
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_secret_is_told_once_for_each_tenant() {
        let processes = Processes::default();
        let [acme, globex] = ["acme", "globex"].map(|id| TenantId::parse(id).expect("an id"));
        assert!(processes.is_news(&acme, "notes", "key"));
        assert!(!processes.is_news(&acme, "notes", "key"));
        assert!(processes.is_news(&globex, "notes", "key") && processes.is_news(&acme, "notes", "other"));
    }
}
