//! The registry in memory: a copy that every lookup compares with the file, and that learns from the file's log of
//! changes what is new.

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Instant,
};

use partywall_model::TenantId;
use rusqlite::{Row, Transaction, types::ValueRef};

use super::{
    Life, RegistryError, StoreError, TenantState,
    file::{again, each, record},
    store::{FileIdentity, Store},
};
use crate::admit::Incarnation;

/// Where SQLite keeps the number that every commit changes (file format, section 1.3).
const CHANGE_COUNTER_OFFSET: u64 = 24;

/// What a lookup needs to know of each tenant.
pub(super) type Tenants = HashMap<TenantId, (Life, TenantState)>;

/// A copy of the registry that knows whether it is still true.
pub(super) struct Index {
    header: Arc<File>,
    copy: RwLock<Snapshot>,
    last_failure: Mutex<Option<Instant>>,
    /// How often everything was read again.
    #[cfg(test)]
    pub(super) reloads: std::sync::atomic::AtomicU64,
}

/// The registry as it was when its change counter was read.
struct Snapshot {
    counter: u32,
    /// How far the log of changes had come, if there is one.
    position: Option<Position>,
    tenants: Tenants,
}

/// A place in the log of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    number: i64,
    tag: i64,
}

/// What one life of an id is now; nothing when it has ended.
struct Change {
    id: TenantId,
    incarnation: Incarnation,
    now: Option<(Life, TenantState)>,
}

/// What a reader of an earlier state has to learn.
enum News {
    Nothing,
    /// These changes, in their order.
    Changes(u32, Position, Vec<Change>),
    /// The changes are not known, so everything.
    All(Snapshot),
}

impl Index {
    /// Reads the whole registry.
    pub(super) fn load(store: &Store) -> Result<Self, RegistryError> {
        let header = pinned(store)?;
        let copy = match news(store, &header, None)? {
            News::All(copy) => copy,
            _ => return Err(StoreError::Moved { path: store.path().into() }.into()),
        };
        Ok(Self {
            header,
            copy: RwLock::new(copy),
            last_failure: Mutex::new(None),
            #[cfg(test)]
            reloads: std::sync::atomic::AtomicU64::new(0),
        })
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
        let known = {
            let copy = self.copy.read().unwrap_or_else(PoisonError::into_inner);
            (copy.counter, copy.position)
        };
        match news(store, &self.header, Some(known)) {
            Ok(News::Nothing) => Ok(()),
            Ok(News::Changes(counter, position, changes)) => {
                let mut copy = self.copy.write().unwrap_or_else(PoisonError::into_inner);
                copy.apply(counter, position, changes);
                Ok(())
            }
            Ok(News::All(all)) => {
                #[cfg(test)]
                self.reloads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let mut place = self.copy.write().unwrap_or_else(PoisonError::into_inner);
                let old = std::mem::replace(&mut *place, all);
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

impl Snapshot {
    fn apply(&mut self, counter: u32, position: Position, changes: Vec<Change>) {
        for Change { id, incarnation, now } in changes {
            match now {
                Some(now) => {
                    self.tenants.insert(id, now);
                }
                // Another life of the id may have begun before this one's end is read.
                None if self.tenants.get(&id).is_some_and(|(life, _)| life.incarnation == incarnation) => {
                    self.tenants.remove(&id);
                }
                None => {}
            }
        }
        (self.counter, self.position) = (counter, Some(position));
    }
}

/// Reads what has changed since the counter and the position were read; everything, if that is not known.
///
/// The counter is read while the transaction's lock keeps writers out, so it belongs to the rows.
fn news(store: &Store, header: &File, known: Option<(u32, Option<Position>)>) -> Result<News, RegistryError> {
    store.read(|tx| {
        tx.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
            .map_err(store.failed("locking the tenants"))?;
        let counter = change_counter(store, header)?;
        if known.is_some_and(|(known, _)| known == counter) {
            return Ok(News::Nothing);
        }
        if let Some((_, Some(position))) = known
            // A log that cannot be read, or does not reach back far enough, is no reason to deny: the tenants are there.
            && let Ok(Some((position, changes))) = changes_since(store, tx, position)
        {
            return Ok(News::Changes(counter, position, changes));
        }
        all(store, tx, counter).map(News::All)
    })
}

fn all(store: &Store, tx: &Transaction<'_>, counter: u32) -> Result<Snapshot, RegistryError> {
    let expected: i64 = tx
        .query_row("SELECT count(*) FROM tenant", [], |row| row.get(0))
        .map_err(store.failed("counting the tenants"))?;
    let mut tenants = Tenants::with_capacity(usize::try_from(expected).unwrap_or_default());
    each(store, tx, |record| {
        let now = (record.life(), record.state);
        tenants.insert(record.id, now);
    })?;
    // Without a log everything is read at every change.
    let position = tx.query_row("SELECT number, tag FROM change ORDER BY number DESC LIMIT 1", [], |row| {
        Ok(Position { number: row.get(0)?, tag: row.get(1)? })
    });
    Ok(Snapshot { counter, position: position.ok(), tenants })
}

/// The changes after a position and where they end; `None` when the log does not reach back to it.
fn changes_since(
    store: &Store,
    tx: &Transaction<'_>,
    seen: Position,
) -> Result<Option<(Position, Vec<Change>)>, RegistryError> {
    let failed = || store.failed("reading the changes of tenants");
    // The row that was seen last comes along, to show that this is the same log and nothing between is missing.
    let again = again(store, tx)?;
    let mut statement = tx
        .prepare_cached(&format!(
            "SELECT tenant.id, change.incarnation, tenant.state, tenant.created_at, {again},
                 change.number, change.tag, change.id
             FROM change LEFT JOIN tenant
                 ON tenant.incarnation = change.incarnation AND tenant.id = change.id COLLATE BINARY
             WHERE change.number >= ?1 ORDER BY change.number"
        ))
        .map_err(failed())?;
    let mut rows = statement.query([seen.number]).map_err(failed())?;
    let (mut position, mut changes) = (None, Vec::new());
    while let Some(row) = rows.next().map_err(failed())? {
        let at = Position { number: row.get(5).map_err(failed())?, tag: row.get(6).map_err(failed())? };
        match position.replace(at) {
            None if at != seen => return Ok(None),
            None => {}
            Some(_) => changes.push(change(store, row)?),
        }
    }
    Ok(position.map(|position| (position, changes)))
}

fn change(store: &Store, row: &Row<'_>) -> Result<Change, RegistryError> {
    let failed = || store.failed("reading a change of a tenant");
    if row.get_ref(0).map_err(failed())? != ValueRef::Null {
        let record = record(store, row)?;
        let now = Some((record.life(), record.state));
        return Ok(Change { id: record.id, incarnation: record.incarnation, now });
    }
    let id: String = row.get(7).map_err(failed())?;
    let damaged = |_error| RegistryError::Row {
        path: store.path().into(),
        row: format!("`{}`", id.escape_debug()),
        what: "it is no tenant id",
    };
    Ok(Change {
        id: TenantId::parse(&id).map_err(damaged)?,
        incarnation: Incarnation(row.get::<_, i64>(1).map_err(failed())?.cast_unsigned()),
        now: None,
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
