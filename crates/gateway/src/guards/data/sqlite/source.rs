//! One `[data.NAME]`: its migrations, the database in memory they are checked in, and its open files.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError},
    time::{Duration, Instant},
};

use partywall_model::TenantId;

use super::{
    authorize::Tables,
    connection::{Conn, Mode, when_free},
    files::{self, FileId, Place},
    migrations::{self, Migration, Owner, Standing},
    pool::{Desk, Key, Lease, Pool},
    statement::Statement,
};
use crate::{
    admit::Incarnation,
    config::DataSource,
    guards::data::{DataError, MODEL, query::deadline_after},
    tenants::Registry,
};

/// How long a tenant's first use may take to create and migrate its file. It goes on when the call that began it gave
/// up, so that a long migration ends at some time.
const SETUP_TIME: Duration = Duration::from_secs(120);

/// How long a look at a tenant's file may take when a configuration is loaded.
const LOOK_TIME: Duration = Duration::from_secs(2);

/// How long administration waits for a free file.
const ADMIN_WAIT: Duration = Duration::from_secs(30);

pub(in crate::guards::data) struct Source {
    name: String,
    data_dir: PathBuf,
    root: OnceLock<PathBuf>,
    migrations: Vec<Migration>,
    tables: Arc<Tables>,
    template: Mutex<Conn>,
    max_bytes: u64,
    registry: Option<Arc<Registry>>,
    pub(super) pool: Arc<Pool>,
    /// How many reads ran on the spot.
    #[cfg(test)]
    pub(super) on_the_spot: std::sync::atomic::AtomicU64,
}

impl Source {
    pub(in crate::guards::data) fn new(
        name: &str,
        config: &DataSource,
        base_dir: &Path,
        data_dir: &Path,
        registry: Option<Arc<Registry>>,
    ) -> Result<Self, DataError> {
        let wrong = |text: &str| DataError::Configuration(format!("source `{name}`: {text}"));
        if !is_file_stem(name) {
            return Err(wrong("a source name has 1 to 64 characters a-z 0-9 _ -, the first a letter"));
        }
        if config.max_open_files == 0 || config.max_open_files > 100_000 {
            return Err(wrong("`max_open_files` must be between 1 and 100000"));
        }
        let migrations = match &config.migrations {
            Some(folder) => migrations::read_folder(&base_dir.join(folder))?,
            None => Vec::new(),
        };
        let mut template = Conn::in_memory(Arc::default())?;
        let tables = Arc::new(Tables::new(migrations::rehearse(&template, name, &migrations)?));
        template.allow(Arc::clone(&tables)).map_err(|e| DataError::at_load(&e))?;
        Ok(Self {
            name: name.to_owned(),
            data_dir: data_dir.to_owned(),
            root: OnceLock::new(),
            migrations,
            tables,
            template: Mutex::new(template),
            max_bytes: config.max_file_bytes.0,
            registry,
            pool: Arc::new(Pool::new(config.max_open_files)),
            #[cfg(test)]
            on_the_spot: std::sync::atomic::AtomicU64::new(0),
        })
    }

    /// Whether the other is configured as this one is: the same migrations and limits.
    pub(in crate::guards::data) fn is_like(&self, other: &Self) -> bool {
        self.data_dir == other.data_dir
            && self.max_bytes == other.max_bytes
            && self.pool.most() == other.pool.most()
            && self.migrations == other.migrations
    }

    pub(in crate::guards::data) fn compile(
        &self,
        sql: &str,
        params: &[&str],
        writes: bool,
    ) -> Result<Statement, DataError> {
        if sql.trim() == MODEL {
            return Statement::model(&self.name, params, writes);
        }
        let template = self.template.lock().unwrap_or_else(PoisonError::into_inner);
        Statement::compile(&template, &self.name, sql, params, writes)
    }

    fn place(&self, tenant: &TenantId) -> Result<Place, DataError> {
        let root = match self.root.get() {
            Some(root) => root,
            None => {
                let root = files::root(&self.data_dir)?;
                self.root.get_or_init(|| root)
            }
        };
        Ok(Place::new(root, tenant, &self.name))
    }

    /// Whether the lease holds the very file that the tenant's path leads to, which it does not after a restore.
    pub(super) fn is_current(lease: &Lease) -> bool {
        lease.conn().is_some_and(Conn::is_current)
    }

    /// Opens the tenant's file, creating and migrating it first where that is needed.
    pub(super) fn open(&self, mut lease: Lease, deadline: Instant) -> Result<Lease, DataError> {
        lease.close();
        let key = lease.key().clone();
        let place = self.place(&key.tenant)?;
        let owner = Owner { tenant: &key.tenant, incarnation: key.incarnation, source: &self.name };
        let conn = match self.open_ready(&place, owner, key.mode, deadline)? {
            Some(conn) => conn,
            None => {
                self.set_up(&place, owner, lease.desk(), None)?;
                self.open_ready(&place, owner, key.mode, deadline)?.ok_or_else(|| {
                    DataError::Storage(format!("{}: it vanished after setup", place.file().display()))
                })?
            }
        };
        lease.put(conn)?;
        Ok(lease)
    }

    /// Opens the file if it exists and is up to date.
    fn open_ready(
        &self,
        place: &Place,
        owner: Owner<'_>,
        mode: Mode,
        deadline: Instant,
    ) -> Result<Option<Conn>, DataError> {
        let Some(file) = place.look()? else {
            return Ok(None);
        };
        let (conn, standing) = self.open_file(place, file, owner, mode, deadline)?;
        Ok((standing == Standing::Ready).then_some(conn))
    }

    /// Whether the tenant has a file that can be read now and was migrated from the folder as it is.
    ///
    /// # Errors
    /// When a migration that was applied to it has been changed or taken away since.
    pub(in crate::guards::data) fn agrees(
        &self,
        tenant: &TenantId,
        incarnation: Incarnation,
    ) -> Result<bool, DataError> {
        let place = self.place(tenant)?;
        let owner = Owner { tenant, incarnation, source: &self.name };
        match self.open_ready(&place, owner, Mode::Read, deadline_after(LOOK_TIME)) {
            Err(changed @ DataError::Configuration(_)) => Err(changed),
            // What else is wrong with one tenant's file is that tenant's.
            Err(_) => Ok(false),
            Ok(_) => Ok(place.look().is_ok_and(|file| file.is_some())),
        }
    }

    /// Whether anything is migrated.
    pub(in crate::guards::data) fn has_migrations(&self) -> bool {
        !self.migrations.is_empty()
    }

    /// Opens a file and makes sure that it is the owner's.
    fn open_file(
        &self,
        place: &Place,
        file: FileId,
        owner: Owner<'_>,
        mode: Mode,
        deadline: Instant,
    ) -> Result<(Conn, Standing), DataError> {
        when_free(
            || Instant::now() < deadline,
            || {
                let conn = Conn::open(place, file, mode, Arc::clone(&self.tables), self.max_bytes)?;
                let standing = migrations::standing(&conn, owner, &self.migrations)?;
                Ok((conn, standing))
            },
        )
    }

    /// Does something for a life of a tenant that lasts, and not while it is being removed: what is made then would stay
    /// when the tenant is gone, or stand in the way of its next life.
    fn while_it_lives<T>(
        &self,
        owner: Owner<'_>,
        by_operator: bool,
        make: impl FnOnce() -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        let Some(registry) = &self.registry else { return make() };
        match registry.while_it_lives(owner.tenant, owner.incarnation, by_operator, make) {
            Ok(Some(made)) => made,
            Ok(None) => Err(DataError::Ended),
            Err(error) => Err(DataError::Storage(error.to_string())),
        }
    }

    /// Creates the file and applies what is missing, then the seed if one is given. Threads of this process take turns
    /// at the desk; other processes are kept out by the database's own lock.
    pub(super) fn set_up(
        &self,
        place: &Place,
        owner: Owner<'_>,
        desk: &Desk,
        seed: Option<&str>,
    ) -> Result<(), DataError> {
        let deadline = deadline_after(SETUP_TIME);
        let turn = wait_for(&desk.setup, deadline)?;
        let by_operator = seed.is_some();
        let file = self.while_it_lives(owner, by_operator, || place.create())?;
        // Refuses a file that is not the tenant's before anything is changed in it.
        let (conn, standing) = self.open_file(place, file, owner, Mode::Write, deadline)?;
        let call = 0;
        if standing == Standing::New {
            place.check_begun()?;
        }
        if standing != Standing::Ready {
            conn.control().start(call, deadline);
            conn.own_when_free("PRAGMA journal_mode = WAL; PRAGMA foreign_keys = 0")?;
            conn.transaction("BEGIN EXCLUSIVE", || {
                // Another process may have been quicker.
                let standing = migrations::standing(&conn, owner, &self.migrations)?;
                if standing == Standing::New {
                    // The file may be the next life's, in the place of the one that was made above.
                    self.while_it_lives(owner, by_operator, || Ok(()))?;
                }
                migrations::apply(&conn, owner, &self.migrations, standing)
            })?;
            conn.own("PRAGMA foreign_keys = 1")?;
            place.finish()?;
        }
        if let Some(sql) = seed {
            conn.control().start(call, deadline);
            conn.transaction("BEGIN IMMEDIATE", || migrations::seed(&conn, sql))?;
        }
        // Its file is closed before the next one may be opened: a lease is the right to one open file.
        drop(conn);
        drop(turn);
        Ok(())
    }

    /// Creates, migrates and seeds a tenant's file, on a thread that may block.
    pub(in crate::guards::data) fn setup(
        &self,
        tenant: &TenantId,
        incarnation: Incarnation,
        seed: &str,
    ) -> Result<(), DataError> {
        if seed.contains('\0') {
            return Err(DataError::Refused("the seed contains a NUL character".to_owned()));
        }
        let key = Key { tenant: tenant.clone(), incarnation, mode: Mode::Write };
        let lease = self.pool.lease_blocking(key, deadline_after(ADMIN_WAIT))?;
        self.seed(lease, seed)
    }

    /// Closes a tenant's files and stops its statements.
    pub(in crate::guards::data) fn forget(&self, tenant: &TenantId) {
        self.pool.forget(tenant);
    }

    /// Closes the files that no call has used since; how many. May write to disk.
    pub(in crate::guards::data) fn close_idle(&self, since: Instant) -> usize {
        self.pool.close_idle(since)
    }

    /// How many files are open or being opened.
    pub(in crate::guards::data) fn open_files(&self) -> usize {
        self.pool.open_files()
    }

    fn seed(&self, mut lease: Lease, sql: &str) -> Result<(), DataError> {
        lease.close();
        let key = lease.key().clone();
        let owner = Owner { tenant: &key.tenant, incarnation: key.incarnation, source: &self.name };
        self.set_up(&self.place(&key.tenant)?, owner, lease.desk(), Some(sql))
    }
}

/// A lock with a time limit.
fn wait_for(lock: &Mutex<()>, deadline: Instant) -> Result<MutexGuard<'_, ()>, DataError> {
    loop {
        match lock.try_lock() {
            Ok(guard) => return Ok(guard),
            // It guards no value that a panic could have left half changed.
            Err(TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return Err(DataError::Busy),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// Lower case only, so that two names never share a file on a file system that ignores case.
fn is_file_stem(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
}
