//! The connections of one source: a bounded number over all tenants, each used by one call at a time.
//!
//! A call first takes its tenant's seat, then one of the source's, so a tenant that is slow holds a part of the
//! connections and never all of them. A connection that is not known to be clean is closed, and its seats are free only
//! once it is, so that the server never has more of ours than it should.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use partywall_model::TenantId;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::wire::Conn;
use crate::{admit::Incarnation, guards::data::DataError};

/// Whom a connection may serve.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// Any tenant: each call says which one.
    Shared,
    /// One life of one tenant, whose role has logged in.
    Own(TenantId, Incarnation),
}

/// Seats taken from the source and from the tenant; given back in this order.
type Seats = (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>);

pub(super) struct Pool {
    most: usize,
    share: usize,
    seats: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Counts uses; also names calls and idle connections.
    uses: u64,
    /// Idle connections and since when they are, least recently used first.
    idle: BTreeMap<u64, Idle>,
    /// Connections in use or being opened or closed, by call.
    busy: BTreeMap<u64, Busy>,
    /// What is left of each tenant's share.
    shares: HashMap<TenantId, Arc<Semaphore>>,
    /// Shares that nobody uses are cleared away at this number.
    clear_at: usize,
}

struct Idle {
    key: Key,
    conn: Conn,
    since: Instant,
}

struct Busy {
    tenant: Option<TenantId>,
    gone: Arc<Notify>,
    forgotten: bool,
}

const FEWEST_SHARES: usize = 1024;

impl Pool {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            share: (most / 4).max(1),
            seats: Arc::new(Semaphore::new(most)),
            state: Mutex::new(State::default()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many connections there may be.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// How many connections are open, or being opened or closed.
    pub(super) fn open(&self) -> usize {
        let state = self.lock();
        state.idle.len() + state.busy.len()
    }

    /// Waits for a seat, and takes an idle connection if there is one. `tenant` is whose share it comes from.
    pub(super) async fn lease(
        self: &Arc<Self>,
        key: Key,
        tenant: Option<&TenantId>,
        deadline: Instant,
    ) -> Result<Lease, DataError> {
        let share = tenant.map(|tenant| self.share_of(tenant));
        let seats = async {
            let share = match share {
                Some(share) => Some(share.acquire_owned().await?),
                None => None,
            };
            Ok((Arc::clone(&self.seats).acquire_owned().await?, share))
        };
        match tokio::time::timeout_at(deadline.into(), seats).await {
            Ok(Ok(seats)) => Ok(self.sit(key, tenant.cloned(), seats)),
            Ok::<Result<Seats, tokio::sync::AcquireError>, _>(Err(_)) | Err(_) => Err(DataError::Busy),
        }
    }

    fn share_of(&self, tenant: &TenantId) -> Arc<Semaphore> {
        let mut state = self.lock();
        if let Some(share) = state.shares.get(tenant) {
            return Arc::clone(share);
        }
        if state.shares.len() >= state.clear_at.max(FEWEST_SHARES) {
            // Whoever waits for a share or has one holds it.
            state.shares.retain(|_, share| Arc::strong_count(share) > 1);
            state.clear_at = 2 * state.shares.len();
        }
        let share = Arc::new(Semaphore::new(self.share));
        state.shares.insert(tenant.clone(), Arc::clone(&share));
        share
    }

    fn sit(self: &Arc<Self>, key: Key, tenant: Option<TenantId>, seats: Seats) -> Lease {
        let mut state = self.lock();
        let call = state.next_use();
        let conn = state.take(&key);
        let gone = Arc::new(Notify::new());
        state.busy.insert(call, Busy { tenant, gone: Arc::clone(&gone), forgotten: false });
        // There are no more calls than seats, so whatever is too much is idle.
        let evicted = match state.idle.len() + state.busy.len() > self.most {
            true => state.idle.pop_first().map(|(_, idle)| idle.conn),
            false => None,
        };
        drop(state);
        Lease { pool: Arc::clone(self), key, call, conn, evicted, gone, seats: Some(seats) }
    }

    /// Closes the connections that nobody has used since; how many.
    pub(super) fn close_idle(&self, since: Instant) -> usize {
        let mut state = self.lock();
        let mut gone = Vec::new();
        while let Some(first) = state.idle.first_entry()
            && first.get().since < since
        {
            gone.push(first.remove().conn);
        }
        drop(state);
        let closed = gone.len();
        gone.into_iter().for_each(close_soon);
        closed
    }

    /// Closes a tenant's own connections, and stops its calls.
    pub(super) fn forget(&self, tenant: &TenantId) {
        let mut state = self.lock();
        let own = |idle: &Idle| matches!(&idle.key, Key::Own(owner, _) if owner == tenant);
        let gone: Vec<Idle> = state.idle.extract_if(.., |_, idle| own(idle)).map(|(_, idle)| idle).collect();
        for busy in state.busy.values_mut() {
            if busy.tenant.as_ref() == Some(tenant) {
                busy.forgotten = true;
                busy.gone.notify_one();
            }
        }
        drop(state);
        gone.into_iter().for_each(|idle| close_soon(idle.conn));
    }
}

impl State {
    fn next_use(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    /// The connection that was used last, so that the others grow old and are closed.
    fn take(&mut self, key: &Key) -> Option<Conn> {
        let (number, _) = self.idle.iter().rev().find(|(_, idle)| idle.key == *key)?;
        let number = *number;
        self.idle.remove(&number).map(|idle| idle.conn)
    }
}

/// The right to have one connection, with the connection once it is open. Dropping it gives a clean connection to the
/// next call of the same key and closes any other.
pub(super) struct Lease {
    pool: Arc<Pool>,
    key: Key,
    call: u64,
    pub(super) conn: Option<Conn>,
    /// The connection that must be closed before another is opened.
    evicted: Option<Conn>,
    gone: Arc<Notify>,
    seats: Option<Seats>,
}

impl Lease {
    /// Closes what has to be closed before a connection may be opened.
    pub(super) async fn make_room(&mut self) {
        for conn in [self.evicted.take(), self.conn.take()].into_iter().flatten() {
            conn.close().await;
        }
    }

    /// Ends when the tenant is forgotten.
    pub(super) fn forgotten(&self) -> impl Future<Output = ()> + use<> {
        let gone = Arc::clone(&self.gone);
        async move { gone.notified().await }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let conn = self.conn.take();
        let evicted = self.evicted.take();
        let mut state = self.pool.lock();
        let forgotten = state.busy.get(&self.call).is_none_or(|busy| busy.forgotten);
        match conn {
            Some(conn) if conn.is_clean() && !forgotten && evicted.is_none() => {
                state.busy.remove(&self.call);
                let number = state.next_use();
                state.idle.insert(number, Idle { key: self.key.clone(), conn, since: Instant::now() });
            }
            conn => {
                drop(state);
                let ending =
                    Ending { pool: Arc::clone(&self.pool), call: self.call, _seats: self.seats.take() };
                let conns: Vec<Conn> = [evicted, conn].into_iter().flatten().collect();
                if conns.is_empty() {
                    return;
                }
                background(async move {
                    for conn in conns {
                        conn.close().await;
                    }
                    drop(ending);
                });
            }
        }
    }
}

/// A call whose connection is being closed; it is counted until then.
struct Ending {
    pool: Arc<Pool>,
    call: u64,
    /// Dropped last.
    _seats: Option<Seats>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.pool.lock().busy.remove(&self.call);
    }
}

fn close_soon(conn: Conn) {
    background(conn.close());
}

/// Closes connections beside the calls. Their number is bounded by that of the seats, and their time by the farewell's.
fn background(closing: impl Future<Output = ()> + Send + 'static) {
    // Outside a runtime there is nobody to say farewell; the connection is dropped with the future.
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        drop(runtime.spawn(closing));
    }
}

/// How long a new attempt to reach the server waits after one that failed, at first and at most.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Whether the server was there the last time.
pub(super) struct Health(Mutex<Standing>);

struct Standing {
    lost: bool,
    /// The last time it answered.
    heard: Instant,
    /// Before this no attempt is made.
    next: Instant,
    wait: Duration,
}

impl Health {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self(Mutex::new(Standing { lost: false, heard: now, next: now, wait: FIRST_WAIT }))
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an attempt to connect is due. Of those that ask while the server is lost, one may try at a time.
    pub(super) fn may_try(&self) -> bool {
        let mut standing = self.lock();
        let now = Instant::now();
        if !standing.lost {
            return true;
        }
        if now < standing.next {
            return false;
        }
        standing.next = now + standing.wait;
        true
    }

    /// It answered; whether that is news.
    pub(super) fn answered(&self) -> bool {
        let mut standing = self.lock();
        standing.heard = Instant::now();
        standing.wait = FIRST_WAIT;
        std::mem::take(&mut standing.lost)
    }

    /// It did not; whether that is news.
    pub(super) fn failed(&self) -> bool {
        let mut standing = self.lock();
        standing.next = Instant::now() + standing.wait;
        standing.wait = (standing.wait * 2).min(LONGEST_WAIT);
        !std::mem::replace(&mut standing.lost, true)
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lock().lost
    }

    /// Whether it has answered within a time.
    pub(super) fn heard_within(&self, time: Duration) -> bool {
        let standing = self.lock();
        !standing.lost && standing.heard.elapsed() < time
    }
}
