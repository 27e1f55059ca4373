//! The open files of one source: a bounded number over all tenants, each used by one call at a time.
//!
//! A call first takes its tenant's seat, then one of the source's. So a tenant that is slow holds a part of the files
//! and never all of them, and its own calls wait behind each other.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use partywall_model::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::{
    connection::{Conn, Mode},
    control::{Control, Why},
};
use crate::{admit::Incarnation, guards::data::DataError};

/// Whom an open file may serve.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) tenant: TenantId,
    pub(super) incarnation: Incarnation,
    pub(super) mode: Mode,
}

/// What all calls of one tenant share.
pub(super) struct Desk {
    /// A part of the source's files.
    share: Arc<Semaphore>,
    /// Whose turn it is to write: SQLite has one writer, and its own waiting is no queue.
    turn: Arc<Semaphore>,
    /// Held while the file is created and migrated.
    pub(super) setup: Mutex<()>,
}

/// Seats taken from a tenant and from the source; given back in this order.
type Seats = (OwnedSemaphorePermit, OwnedSemaphorePermit, Option<OwnedSemaphorePermit>);

pub(super) struct Pool {
    most: usize,
    share: usize,
    seats: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Counts uses; also names calls and idle files.
    uses: u64,
    /// Idle files and since when they are, least recently used first.
    idle: BTreeMap<u64, (Key, Conn, Instant)>,
    /// The idle files of each key, most recently used last.
    by_key: HashMap<Key, Vec<u64>>,
    /// Files in use, by call.
    busy: BTreeMap<u64, Busy>,
    desks: HashMap<TenantId, Arc<Desk>>,
    /// Desks that nobody sits at are cleared away at this number.
    clear_at: usize,
}

struct Busy {
    tenant: TenantId,
    control: Option<Arc<Control>>,
    forgotten: bool,
}

const FEWEST_DESKS: usize = 1024;

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

    /// How many files may be open.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// How many files are open or being opened.
    pub(super) fn open_files(&self) -> usize {
        let state = self.lock();
        state.idle.len() + state.busy.len()
    }

    /// Waits for a seat, and for an idle file if there is one.
    pub(super) async fn lease(self: &Arc<Self>, key: Key, deadline: Instant) -> Result<Lease, DataError> {
        let desk = self.desk(&key.tenant);
        let seats = {
            let desk = Arc::clone(&desk);
            let seats = Arc::clone(&self.seats);
            let writes = key.mode == Mode::Write;
            async move {
                let turn = match writes {
                    true => Some(Arc::clone(&desk.turn).acquire_owned().await?),
                    false => None,
                };
                let share = Arc::clone(&desk.share).acquire_owned().await?;
                Ok((seats.acquire_owned().await?, share, turn))
            }
        };
        match tokio::time::timeout_at(deadline.into(), seats).await {
            Ok(Ok(seats)) => Ok(self.sit(key, desk, seats)),
            Ok::<Result<Seats, tokio::sync::AcquireError>, _>(Err(_)) | Err(_) => Err(DataError::Busy),
        }
    }

    /// The same for administration, which has a thread of its own to wait in.
    pub(super) fn lease_blocking(self: &Arc<Self>, key: Key, deadline: Instant) -> Result<Lease, DataError> {
        let desk = self.desk(&key.tenant);
        loop {
            let tried = (|| -> Result<Seats, TryAcquireError> {
                let turn = Some(Arc::clone(&desk.turn).try_acquire_owned()?);
                let share = Arc::clone(&desk.share).try_acquire_owned()?;
                Ok((Arc::clone(&self.seats).try_acquire_owned()?, share, turn))
            })();
            match tried {
                Ok(seats) => return Ok(self.sit(key, desk, seats)),
                Err(_) if Instant::now() >= deadline => return Err(DataError::Busy),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    fn desk(&self, tenant: &TenantId) -> Arc<Desk> {
        let mut state = self.lock();
        if let Some(desk) = state.desks.get(tenant) {
            return Arc::clone(desk);
        }
        if state.desks.len() >= state.clear_at.max(FEWEST_DESKS) {
            // Whoever waits or works at a desk holds it.
            state.desks.retain(|_, desk| Arc::strong_count(desk) > 1);
            state.clear_at = 2 * state.desks.len();
        }
        let desk = Arc::new(Desk {
            share: Arc::new(Semaphore::new(self.share)),
            turn: Arc::new(Semaphore::new(1)),
            setup: Mutex::new(()),
        });
        state.desks.insert(tenant.clone(), Arc::clone(&desk));
        desk
    }

    fn sit(self: &Arc<Self>, key: Key, desk: Arc<Desk>, seats: Seats) -> Lease {
        let mut state = self.lock();
        let call = state.next_use();
        let conn = state.take(&key);
        let control = conn.as_ref().map(|conn| Arc::clone(conn.control()));
        state.busy.insert(call, Busy { tenant: key.tenant.clone(), control, forgotten: false });
        // There are no more calls than seats, so whatever is too much is idle.
        let evicted = match state.idle.len() + state.busy.len() > self.most {
            true => state.evict(),
            false => None,
        };
        drop(state);
        Lease { pool: Arc::clone(self), key, call, conn, evicted, desk, _seats: seats }
    }

    /// Closes the files that nobody has used since; how many. May write to disk.
    pub(super) fn close_idle(&self, since: Instant) -> usize {
        let mut closed = 0;
        loop {
            let idle = self.lock().evict_idle(since);
            if idle.is_none() {
                return closed;
            }
            // Closing writes to disk; nobody waits for it.
            drop(idle);
            closed += 1;
        }
    }

    /// Closes a tenant's idle files, stops its statements, and has their files closed afterwards.
    pub(super) fn forget(&self, tenant: &TenantId) {
        let mut state = self.lock();
        let gone = state.forget_idle(tenant);
        for (call, busy) in &mut state.busy {
            if busy.tenant == *tenant {
                busy.forgotten = true;
                if let Some(control) = &busy.control {
                    control.stop(*call, Why::Cancelled);
                }
            }
        }
        drop(state);
        // Closing writes to disk; nobody else waits for it.
        drop(gone);
    }
}

impl State {
    fn next_use(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    fn take(&mut self, key: &Key) -> Option<Conn> {
        let uses = self.by_key.get_mut(key)?;
        let latest = uses.pop();
        if uses.is_empty() {
            self.by_key.remove(key);
        }
        self.idle.remove(&latest?).map(|(_, conn, _)| conn)
    }

    fn evict(&mut self) -> Option<Conn> {
        let (oldest, (key, conn, _)) = self.idle.pop_first()?;
        self.unlist(&key, oldest);
        Some(conn)
    }

    fn evict_idle(&mut self, since: Instant) -> Option<Conn> {
        let (_, (_, _, used)) = self.idle.first_key_value()?;
        if *used < since { self.evict() } else { None }
    }

    fn unlist(&mut self, key: &Key, number: u64) {
        if let Some(uses) = self.by_key.get_mut(key) {
            uses.retain(|used| *used != number);
            if uses.is_empty() {
                self.by_key.remove(key);
            }
        }
    }

    fn give_back(&mut self, key: Key, conn: Conn) {
        let number = self.next_use();
        self.by_key.entry(key.clone()).or_default().push(number);
        self.idle.insert(number, (key, conn, Instant::now()));
    }

    fn forget_idle(&mut self, tenant: &TenantId) -> Vec<Conn> {
        let gone: Vec<u64> = self
            .idle
            .iter()
            .filter(|(_, (key, _, _))| key.tenant == *tenant)
            .map(|(number, _)| *number)
            .collect();
        gone.into_iter()
            .filter_map(|number| {
                let (key, conn, _) = self.idle.remove(&number)?;
                self.unlist(&key, number);
                Some(conn)
            })
            .collect()
    }
}

/// The right to have one file open, with the file once it is. Dropping it gives a clean file to the next call of the
/// same key and closes any other.
pub(super) struct Lease {
    pool: Arc<Pool>,
    key: Key,
    call: u64,
    conn: Option<Conn>,
    /// The file that must be closed before another is opened.
    evicted: Option<Conn>,
    desk: Arc<Desk>,
    /// Dropped last, so that a seat is free only once its file is closed or idle.
    _seats: Seats,
}

impl Lease {
    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    pub(super) fn call(&self) -> u64 {
        self.call
    }

    pub(super) fn desk(&self) -> &Desk {
        &self.desk
    }

    pub(super) fn conn(&self) -> Option<&Conn> {
        self.conn.as_ref()
    }

    /// Closes the file, and the one that had to make room; may write to disk.
    pub(super) fn close(&mut self) {
        self.evicted = None;
        self.conn = None;
    }

    /// Takes a file into use. One that was opened while its tenant was forgotten is refused.
    pub(super) fn put(&mut self, conn: Conn) -> Result<(), DataError> {
        if let Some(busy) = self.pool.lock().busy.get_mut(&self.call) {
            if busy.forgotten {
                return Err(DataError::Cancelled);
            }
            busy.control = Some(Arc::clone(conn.control()));
        }
        self.conn = Some(conn);
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.evicted = None;
        let mut conn = self.conn.take();
        let dirty = conn.take_if(|conn| !conn.is_clean());
        // Rolls back what is open, before the next writer's turn.
        drop(dirty);
        let mut state = self.pool.lock();
        let forgotten = state.busy.get(&self.call).is_none_or(|busy| busy.forgotten);
        match conn {
            Some(conn) if !forgotten => {
                state.busy.remove(&self.call);
                state.give_back(self.key.clone(), conn);
            }
            unwanted => {
                drop(state);
                // Counted as open until it is closed.
                drop(unwanted);
                self.pool.lock().busy.remove(&self.call);
            }
        }
    }
}
