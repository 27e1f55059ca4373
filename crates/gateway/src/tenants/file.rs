//! The registry in a file: what can be asked and changed, and the rows it is kept in.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use partywall_model::TenantId;
use rusqlite::{OptionalExtension as _, Row, Transaction, params};

use super::{
    Life, RegistryError, StoreError, TenantDenial, TenantRecord, TenantState,
    index::{Index, Tenants},
    store::{Kind, Store},
    tenant_dir,
};
use crate::{admit::Incarnation, clock::Clock};

const KIND: Kind =
    Kind { what: "tenant registry", application_id: 0x5057_5401, format: 3, upgrades: &[CHANGES, REMOVED] };

/// The id's collation keeps out two tenants whose folders a file system without case could not tell apart.
const SCHEMA: &str = "
    CREATE TABLE tenant (
        incarnation INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE COLLATE NOCASE,
        state TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'removing')),
        created_at INTEGER NOT NULL
    ) STRICT;";

/// The log of changes, from which a reader that knows an earlier state learns the present one. Triggers write it, so that
/// no writer can forget to; the newest few thousand changes are kept. The tag tells a change from another one that got
/// the same number after a backup was put back.
const CHANGES: &str = "
    CREATE TABLE change (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL,
        incarnation INTEGER NOT NULL,
        tag INTEGER NOT NULL
    ) STRICT;
    INSERT INTO change (id, incarnation, tag) VALUES ('', 0, random());
    CREATE TRIGGER tenant_added AFTER INSERT ON tenant BEGIN
        INSERT INTO change (id, incarnation, tag) VALUES (new.id, new.incarnation, random());
    END;
    CREATE TRIGGER tenant_changed AFTER UPDATE ON tenant BEGIN
        INSERT INTO change (id, incarnation, tag) SELECT old.id, old.incarnation, random()
            WHERE old.id <> new.id COLLATE BINARY OR old.incarnation <> new.incarnation;
        INSERT INTO change (id, incarnation, tag) VALUES (new.id, new.incarnation, random());
    END;
    CREATE TRIGGER tenant_removed AFTER DELETE ON tenant BEGIN
        INSERT INTO change (id, incarnation, tag) VALUES (old.id, old.incarnation, random());
    END;
    CREATE TRIGGER change_kept AFTER INSERT ON change BEGIN
        DELETE FROM change WHERE number <= new.number - 4096;
    END;";

/// Ids that have had a life before. Databases that this program cannot delete from may still hold rows under them.
const REMOVED: &str = "
    CREATE TABLE removed (id TEXT PRIMARY KEY COLLATE NOCASE) STRICT, WITHOUT ROWID;
    CREATE TRIGGER tenant_gone AFTER DELETE ON tenant BEGIN
        INSERT OR IGNORE INTO removed (id) VALUES (old.id);
    END;";

/// All tenants, shared with other processes of this machine through one file.
pub(super) struct FileTenants {
    store: Store,
    data_dir: PathBuf,
    index: Index,
    failing: AtomicBool,
    clock: Clock,
}

impl FileTenants {
    /// Opens the registry of a data folder; makes both when there are none.
    ///
    /// # Errors
    /// A file that is damaged, unreadable or of another program is refused and not changed.
    pub(super) fn open(data_dir: &Path) -> Result<Self, RegistryError> {
        let data_dir = std::path::absolute(data_dir)
            .map_err(|cause| StoreError::Create { path: data_dir.into(), cause })?;
        let clock = Clock::system();
        // Counting starts at the present time, so that not even a lost and remade registry repeats an incarnation.
        let start = micros(clock.since_epoch());
        let store = Store::open(data_dir.join("tenants.sqlite"), &KIND, |conn| {
            conn.execute_batch(SCHEMA)?;
            conn.execute_batch(CHANGES)?;
            conn.execute_batch(REMOVED)?;
            conn.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('tenant', ?1)", [start])?;
            Ok(())
        })?;
        let index = Index::load(&store)?;
        Ok(Self { store, data_dir, index, failing: AtomicBool::new(false), clock })
    }

    /// The life of an active tenant, as of this moment: a change that any process has committed is seen.
    ///
    /// # Errors
    /// Everybody else is denied; so is everybody while the file cannot be read.
    pub(super) fn life(&self, id: &TenantId) -> Result<Life, TenantDenial> {
        match self.index.fresh(&self.store, |tenants| tenants.get(id).copied()) {
            Ok(found) => {
                if self.failing.load(Ordering::Relaxed) && self.failing.swap(false, Ordering::Relaxed) {
                    tracing::warn!("the tenant registry can be read again");
                }
                match found {
                    Some((life, TenantState::Active)) => Ok(life),
                    #[cfg(test)]
                    Some((life, TenantState::Suspended)) if crate::removed::removed("active-tenant") => {
                        Ok(life)
                    }
                    Some((_, TenantState::Suspended)) => Err(TenantDenial::Suspended),
                    Some((_, TenantState::Removing)) => Err(TenantDenial::Removed),
                    None => Err(TenantDenial::Unknown),
                }
            }
            Err(error) => {
                // Once for each outage: this runs for every request.
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "every request is denied");
                }
                Err(TenantDenial::Unavailable)
            }
        }
    }

    /// Whether the registry can be read now, and if not, why.
    ///
    /// # Errors
    /// What every request is denied for.
    pub(super) fn check(&self) -> Result<(), RegistryError> {
        self.index.fresh(&self.store, |_| ())
    }

    /// How many tenants there are, in any state.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn len(&self) -> Result<usize, RegistryError> {
        self.index.fresh(&self.store, Tenants::len)
    }

    /// Adds many tenants, all or none.
    ///
    /// # Errors
    /// As for [`Registry::add`].
    pub(super) fn add_many(&self, ids: &[TenantId]) -> Result<Vec<TenantRecord>, RegistryError> {
        let doing = match ids {
            [id] => format!("adding tenant `{id}`"),
            _ => format!("adding {} tenants", ids.len()),
        };
        // Both, when it begins and the number of the life, by the same look at the clock.
        let now = self.clock.since_epoch();
        self.store.write(&doing, |tx| ids.iter().map(|id| self.insert(tx, id, now)).collect())
    }

    fn insert(
        &self,
        tx: &Transaction<'_>,
        id: &TenantId,
        now: Duration,
    ) -> Result<TenantRecord, RegistryError> {
        if let Some(existing) = self.find(tx, id)? {
            return Err(match existing {
                other if other.id != *id => RegistryError::CaseTwin { id: id.clone(), existing: other.id },
                same if same.state == TenantState::Removing => RegistryError::BeingRemoved(same.id),
                same => RegistryError::AlreadyExists(same.id),
            });
        }
        let folder = tenant_dir(&self.data_dir, id);
        if fs::symlink_metadata(&folder).is_ok() {
            return Err(RegistryError::LeftOver { id: id.clone(), path: folder });
        }
        let failed = || self.store.failed("adding a tenant");
        // No smaller than the present time: in a registry that was restored, counting on would give numbers again that
        // were given after the backup was made.
        tx.prepare_cached(
            "INSERT INTO tenant (incarnation, id, state, created_at)
             SELECT max(?3, 1 + coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'tenant'), 0)),
                 ?1, 'active', ?2",
        )
        .map_err(failed())?
        .execute(params![id.as_str(), now.as_secs().cast_signed(), micros(now)])
        .map_err(failed())?;
        self.find(tx, id)?.ok_or_else(|| RegistryError::NotFound(id.clone()))
    }

    /// The first of the ids that was removed before, in any spelling.
    pub(super) fn removed_before(&self, ids: &[TenantId]) -> Result<Option<TenantId>, RegistryError> {
        let failed = || self.store.failed("looking for removed tenants");
        self.store.read(|tx| {
            let mut known = tx.prepare_cached("SELECT 1 FROM removed WHERE id = ?1").map_err(failed())?;
            for id in ids {
                if known.exists([id.as_str()]).map_err(failed())? {
                    return Ok(Some(id.clone()));
                }
            }
            Ok(None)
        })
    }

    /// Every tenant, by id.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn list(&self) -> Result<Vec<TenantRecord>, RegistryError> {
        self.store.read(|tx| records(&self.store, tx))
    }

    /// One tenant, in any state.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn get(&self, id: &TenantId) -> Result<Option<TenantRecord>, RegistryError> {
        let found = self.store.read(|tx| self.find(tx, id))?;
        Ok(found.filter(|record| record.id == *id))
    }

    /// Changes a tenant's state; what is being removed stays so.
    pub(super) fn change(
        &self,
        verb: &str,
        id: &TenantId,
        state: TenantState,
    ) -> Result<TenantRecord, RegistryError> {
        let doing = format!("{verb} tenant `{id}`");
        self.store.write(&doing, |tx| {
            let mut record = match self.find(tx, id)? {
                Some(record) if record.id == *id => record,
                _ => return Err(RegistryError::NotFound(id.clone())),
            };
            if record.state == TenantState::Removing && state != TenantState::Removing {
                return Err(RegistryError::BeingRemoved(id.clone()));
            }
            if record.state != state {
                let incarnation = record.incarnation.0.cast_signed();
                tx.execute(
                    "UPDATE tenant SET state = ?1 WHERE incarnation = ?2",
                    params![state.as_str(), incarnation],
                )
                .map_err(self.store.failed(&doing))?;
                record.state = state;
            }
            Ok(record)
        })
    }

    /// Runs `make` while this life of the tenant lasts: its removal waits until `make` has returned.
    pub(super) fn while_it_lives<T>(
        &self,
        id: &TenantId,
        life: Incarnation,
        by_operator: bool,
        make: impl FnOnce() -> T,
    ) -> Result<Option<T>, RegistryError> {
        self.store.write(&format!("making files of tenant `{id}`"), |tx| {
            let lives = self.find(tx, id)?.is_some_and(|now| {
                let served = now.state == TenantState::Active;
                let kept = served || (by_operator && now.state == TenantState::Suspended);
                now.id == *id && now.incarnation == life && kept
            });
            Ok(lives.then(make))
        })
    }

    /// Forgets this life of a tenant, and no later one.
    pub(super) fn forget(&self, record: &TenantRecord) -> Result<(), RegistryError> {
        let doing = format!("finishing the removal of tenant `{}`", record.id);
        self.removing(&doing, record, |tx| {
            tx.execute("DELETE FROM tenant WHERE incarnation = ?1", [record.incarnation.0.cast_signed()])
                .map_err(self.store.failed(&doing))?;
            Ok(())
        })
    }

    /// Runs `f` while this life of the tenant is being removed and nobody can add its id again.
    pub(super) fn removing<E: From<RegistryError> + From<StoreError>>(
        &self,
        doing: &str,
        record: &TenantRecord,
        f: impl FnOnce(&Transaction<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.store.write(doing, |tx| match self.find(tx, &record.id)? {
            Some(now) if now.incarnation == record.incarnation && now.state == TenantState::Removing => f(tx),
            Some(now) if now.incarnation == record.incarnation => {
                Err(RegistryError::NotBeingRemoved(now.id).into())
            }
            // Somebody else has finished.
            _ => Ok(()),
        })
    }

    /// The tenant with this id in any spelling.
    fn find(&self, tx: &Transaction<'_>, id: &TenantId) -> Result<Option<TenantRecord>, RegistryError> {
        let failed = || self.store.failed("looking for a tenant");
        let again = again(&self.store, tx)?;
        tx.prepare_cached(&format!(
            "SELECT id, incarnation, state, created_at, {again} FROM tenant WHERE id = ?1"
        ))
        .map_err(failed())?
        .query_row([id.as_str()], |row| Ok(record(&self.store, row)))
        .optional()
        .map_err(failed())?
        .transpose()
    }

    /// The same by another clock.
    #[cfg(test)]
    pub(super) fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    #[cfg(test)]
    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    #[cfg(test)]
    pub(super) fn store(&self) -> &Store {
        &self.store
    }
}

impl std::fmt::Debug for FileTenants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileTenants").field("path", &self.store.path()).finish_non_exhaustive()
    }
}

fn records(store: &Store, tx: &Transaction<'_>) -> Result<Vec<TenantRecord>, RegistryError> {
    let mut all = Vec::new();
    each(store, tx, |record| all.push(record))?;
    all.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    Ok(all)
}

/// What tells in a query whether a tenant's id had an earlier life. A file that does not say, because a backup of the first
/// format was put in its place, leaves it in doubt.
pub(super) fn again(store: &Store, tx: &Transaction<'_>) -> Result<&'static str, RegistryError> {
    let known = tx
        .prepare_cached("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'removed'")
        .and_then(|mut statement| statement.exists([]))
        .map_err(store.failed("reading the tenants"))?;
    Ok(if known { "EXISTS (SELECT 1 FROM removed WHERE removed.id = tenant.id)" } else { "1" })
}

fn micros(since_epoch: Duration) -> i64 {
    i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)
}

/// Runs `f` on every row.
pub(super) fn each(
    store: &Store,
    tx: &Transaction<'_>,
    mut f: impl FnMut(TenantRecord),
) -> Result<(), RegistryError> {
    let failed = || store.failed("reading the tenants");
    let again = again(store, tx)?;
    let mut statement = tx
        .prepare_cached(&format!("SELECT id, incarnation, state, created_at, {again} FROM tenant"))
        .map_err(failed())?;
    let mut rows = statement.query([]).map_err(failed())?;
    while let Some(row) = rows.next().map_err(failed())? {
        f(record(store, row)?);
    }
    Ok(())
}

/// Reads a row of id, incarnation, state, time of creation and whether there was an earlier life.
pub(super) fn record(store: &Store, row: &Row<'_>) -> Result<TenantRecord, RegistryError> {
    let failed = || store.failed("reading a tenant");
    let id = row.get_ref(0).map_err(failed())?.as_str().map_err(|e| failed()(e.into()))?;
    let damaged = |what| RegistryError::Row {
        path: store.path().into(),
        row: format!("`{}`", id.escape_debug()),
        what,
    };
    let state = row.get_ref(2).map_err(failed())?.as_str().map_err(|e| failed()(e.into()))?;
    Ok(TenantRecord {
        id: TenantId::parse(id).map_err(|_| damaged("it is no tenant id"))?,
        incarnation: Incarnation(row.get::<_, i64>(1).map_err(failed())?.cast_unsigned()),
        state: TenantState::parse(state).ok_or_else(|| damaged("it has an unknown state"))?,
        created_at: row.get::<_, i64>(3).map_err(failed())?.cast_unsigned(),
        again: row.get(4).map_err(failed())?,
    })
}
