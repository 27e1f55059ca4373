//! The registry in memory: a copy that every lookup compares with the file.

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Instant,
};

use partywall_model::TenantId;

use super::{
    RegistryError, StoreError, TenantState,
    registry::each,
    store::{FileIdentity, Store},
};
use crate::admit::Incarnation;

/// Where SQLite keeps the number that every commit changes (file format, section 1.3).
const CHANGE_COUNTER_OFFSET: u64 = 24;

/// What a lookup needs to know of each tenant.
pub(super) type Tenants = HashMap<TenantId, (Incarnation, TenantState)>;

/// A copy of the registry that knows whether it is still true.
pub(super) struct Index {
    header: Arc<File>,
    copy: RwLock<Snapshot>,
    last_failure: Mutex<Option<Instant>>,
}

/// The registry as it was when its change counter was read.
struct Snapshot {
    counter: u32,
    tenants: Tenants,
}

impl Index {
    /// Reads the whole registry.
    pub(super) fn load(store: &Store) -> Result<Self, RegistryError> {
        let header = pinned(store)?;
        let copy =
            load(store, &header, None)?.ok_or_else(|| StoreError::Moved { path: store.path().into() })?;
        Ok(Self { header, copy: RwLock::new(copy), last_failure: Mutex::new(None) })
    }

    /// Asks the copy, after bringing it up to date if any process has changed the file.
    pub(super) fn fresh<T>(&self, store: &Store, ask: impl Fn(&Tenants) -> T) -> Result<T, RegistryError> {
        let asked = Instant::now();
        store.check_in_place()?;
        let counter = change_counter(store, &self.header)?;
        {
            let copy = self.copy.read().unwrap_or_else(PoisonError::into_inner);
            if copy.counter == counter {
                return Ok(ask(&copy.tenants));
            }
        }
        self.bring_up_to_date(store, asked)?;
        Ok(ask(&self.copy.read().unwrap_or_else(PoisonError::into_inner).tenants))
    }

    fn bring_up_to_date(&self, store: &Store, asked: Instant) -> Result<(), RegistryError> {
        let mut last_failure = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        // Those who queued up behind a failed attempt share its outcome; else each would wait for the lock in turn.
        if last_failure.is_some_and(|at| at >= asked) {
            return Err(RegistryError::JustFailed { path: store.path().into() });
        }
        let known = self.copy.read().unwrap_or_else(PoisonError::into_inner).counter;
        match load(store, &self.header, Some(known)) {
            Ok(None) => Ok(()),
            Ok(Some(copy)) => {
                let mut place = self.copy.write().unwrap_or_else(PoisonError::into_inner);
                let old = std::mem::replace(&mut *place, copy);
                // Freeing many ids takes a while; nobody need wait for it.
                drop(place);
                drop(old);
                Ok(())
            }
            Err(error) => {
                *last_failure = Some(Instant::now());
                Err(error)
            }
        }
    }
}

/// Reads the whole registry, unless its counter is the known one.
///
/// The counter is read while the transaction's lock keeps writers out, so it belongs to the rows.
fn load(store: &Store, header: &File, known: Option<u32>) -> Result<Option<Snapshot>, RegistryError> {
    store.read(|tx| {
        let expected: i64 = tx
            .query_row("SELECT count(*) FROM tenant", [], |row| row.get(0))
            .map_err(store.failed("counting the tenants"))?;
        let counter = change_counter(store, header)?;
        if known == Some(counter) {
            return Ok(None);
        }
        let mut tenants = Tenants::with_capacity(usize::try_from(expected).unwrap_or_default());
        each(store, tx, |record| {
            tenants.insert(record.id, (record.incarnation, record.state));
        })?;
        Ok(Some(Snapshot { counter, tenants }))
    })
}

/// Reads the number that every commit changes, without a lock.
///
/// It may belong to a commit that is under way; then it is not the index's, and loading waits for the commit.
fn change_counter(store: &Store, header: &File) -> Result<u32, RegistryError> {
    let mut counter = [0_u8; 4];
    header
        .read_exact_at(&mut counter, CHANGE_COUNTER_OFFSET)
        .map_err(|cause| RegistryError::Header { path: store.path().into(), cause })?;
    Ok(u32::from_be_bytes(counter))
}

/// Opens a registry's file for reading its header, once in the life of the process.
///
/// POSIX drops all locks that a process holds on a file, SQLite's too, when the process closes *any* descriptor of
/// it. So these are never closed, and a second registry on the same file shares the first one's.
fn pinned(store: &Store) -> Result<Arc<File>, RegistryError> {
    static PINNED: Mutex<Vec<(FileIdentity, Arc<File>)>> = Mutex::new(Vec::new());
    let mut pinned = PINNED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, file)) = pinned.iter().find(|(identity, _)| *identity == store.identity()) {
        return Ok(Arc::clone(file));
    }
    let failed = |cause: io::Error| RegistryError::Header { path: store.path().into(), cause };
    let file = Arc::new(File::open(store.path()).map_err(failed)?);
    let identity = file.metadata().map(|metadata| FileIdentity::of(&metadata));
    pinned.push((identity.map_err(failed)?, Arc::clone(&file)));
    // What was opened is kept even if it is the wrong file, for the same reason.
    match pinned.last() {
        Some((identity, _)) if *identity == store.identity() => Ok(file),
        _ => Err(StoreError::Moved { path: store.path().into() }.into()),
    }
}
