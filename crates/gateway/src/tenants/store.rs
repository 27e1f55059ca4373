//! A SQLite file that several processes share: how it is made, recognised and kept in view.
//!
//! A store appears under its name complete or not at all: it is built beside it and linked into place. So an empty
//! or foreign file under that name is damage, never a fresh start, and is refused without being written to.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, config::DbConfig};

/// Why a store (the tenant registry or the vault) could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder or the file could not be made.
    #[error("creating {path}: {cause}; check that the folder exists and may be written", path = path.display())]
    Create {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file could not be opened.
    #[error("opening {path} as the {what}: {cause}{advice}; the file was not changed", path = path.display(), advice = advice(cause))]
    Open {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// What SQLite said.
        cause: rusqlite::Error,
    },
    /// The file is a database of something else, or empty.
    #[error(
        "opening {path} as the {what}: it is empty or belongs to another program; the file was not changed; \
         restore it from a backup, or move it away to start anew", path = path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
    },
    /// The file was written by a newer version.
    #[error("opening {path} as the {what}: it has format {found}, this version knows {known}; use the newer version", path = path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// The file's format.
        found: i64,
        /// The newest known format.
        known: i64,
    },
    /// The file was deleted or replaced while it was open.
    #[error("{path} was deleted or replaced while it was in use; restart the server once it is in place", path = path.display())]
    Moved {
        /// The file.
        path: PathBuf,
    },
    /// A statement failed.
    #[error("{doing} in {path}: {cause}{advice}", path = path.display(), advice = advice(cause))]
    Sql {
        /// What was being done.
        doing: String,
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        cause: rusqlite::Error,
    },
}

/// What to do next, for the causes that a user can mend.
fn advice(cause: &rusqlite::Error) -> &'static str {
    use rusqlite::ErrorCode as Code;
    match cause.sqlite_error_code() {
        Some(Code::DatabaseBusy | Code::DatabaseLocked) => "; another process is writing to it: try again",
        Some(Code::NotADatabase | Code::DatabaseCorrupt) => "; it is damaged: restore it from a backup",
        Some(Code::ReadOnly | Code::PermissionDenied | Code::CannotOpen) => {
            "; check the owner and the permissions of the file and its folder"
        }
        Some(Code::DiskFull | Code::SystemIoFailure) => "; check the disk",
        _ => "",
    }
}

/// What tells one kind of store from another.
pub(crate) struct Kind {
    /// The kind in words.
    pub(crate) what: &'static str,
    /// SQLite's `application_id`.
    pub(crate) application_id: i32,
    /// The newest format that this version reads and the one it writes.
    pub(crate) format: i64,
    /// What brings an older file up to date: the first goes from format 1 to 2, and so on.
    pub(crate) upgrades: &'static [&'static str],
}

/// Which file a path led to when the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    dev: u64,
    ino: u64,
}

impl FileIdentity {
    pub(crate) fn of(metadata: &fs::Metadata) -> Self {
        Self { dev: metadata.dev(), ino: metadata.ino() }
    }
}

/// An open store.
pub(crate) struct Store {
    conn: Mutex<Open>,
    kind: &'static Kind,
    path: PathBuf,
    identity: FileIdentity,
}

/// A connection, and whether its last use ended well. What SQLite knows of a file that was damaged for a while can
/// outlive the damage, so that it is opened anew after an error.
struct Open {
    conn: Connection,
    doubtful: bool,
}

impl Store {
    /// Opens the store at `path`; when there is none, makes one with `build`.
    pub(crate) fn open(
        path: PathBuf,
        kind: &'static Kind,
        build: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<Self, StoreError> {
        match fs::metadata(&path) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => create(&path, kind, build)?,
            Err(cause) => return Err(StoreError::Create { path, cause }),
        }
        let before = identity_at(&path)?;
        let conn = connect(&path, kind)?;
        if identity_at(&path)? != before {
            return Err(StoreError::Moved { path });
        }
        Ok(Self { conn: Mutex::new(Open { conn, doubtful: false }), kind, path, identity: before })
    }

    /// Where the store is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Which file it is.
    pub(crate) fn identity(&self) -> FileIdentity {
        self.identity
    }

    /// Refuses a store whose file is no longer the one at its path.
    ///
    /// Without this a deleted registry would go on admitting tenants, and a deleted vault would go on giving out
    /// secrets, for as long as the process lives.
    pub(crate) fn check_in_place(&self) -> Result<(), StoreError> {
        match fs::metadata(&self.path) {
            Ok(now) if FileIdentity::of(&now) == self.identity => Ok(()),
            _ => Err(StoreError::Moved { path: self.path.clone() }),
        }
    }

    /// Runs `f` in a transaction that sees one state of the store.
    pub(crate) fn read<T, E: From<StoreError>>(
        &self,
        f: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.transaction(TransactionBehavior::Deferred, "reading", f)
    }

    /// Runs `f` as the only writer; its changes are kept when it returns `Ok` and undone otherwise.
    pub(crate) fn write<T, E: From<StoreError>>(
        &self,
        doing: &str,
        f: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.transaction(TransactionBehavior::Immediate, doing, f)
    }

    fn transaction<T, E: From<StoreError>>(
        &self,
        behavior: TransactionBehavior,
        doing: &str,
        f: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.check_in_place()?;
        let mut open = self.lock();
        if open.doubtful {
            open.conn = connect(&self.path, self.kind)?;
        }
        // Until it has ended well, which a panic does not either.
        open.doubtful = true;
        let tx = open.conn.transaction_with_behavior(behavior).map_err(self.failed(doing))?;
        let value = f(&tx)?;
        tx.commit().map_err(self.failed(doing))?;
        open.doubtful = false;
        Ok(value)
    }

    /// Turns SQLite's error into one that says what was being done.
    pub(crate) fn failed(&self, doing: &str) -> impl FnOnce(rusqlite::Error) -> StoreError {
        move |cause| StoreError::Sql { doing: doing.to_owned(), path: self.path.clone(), cause }
    }

    /// A panic while the lock was held undid its transaction when it unwound, so the connection is sound.
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.conn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn identity_at(path: &Path) -> Result<FileIdentity, StoreError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(FileIdentity::of(&metadata)),
        Err(_) => Err(StoreError::Moved { path: path.into() }),
    }
}

fn connect(path: &Path, kind: &Kind) -> Result<Connection, StoreError> {
    let open = || -> rusqlite::Result<(Connection, i32, i64)> {
        let conn = connection(path)?;
        // Looked at before any setting that might write, so that a foreign file stays as it is.
        let application_id = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let format = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok((conn, application_id, format))
    };
    let failed = |cause| StoreError::Open { path: path.into(), what: kind.what, cause };
    let (conn, application_id, format) = open().map_err(failed)?;
    if application_id != kind.application_id || format < 1 {
        return Err(StoreError::Foreign { path: path.into(), what: kind.what });
    }
    if format > kind.format {
        return Err(StoreError::Newer {
            path: path.into(),
            what: kind.what,
            found: format,
            known: kind.format,
        });
    }
    let failed = |cause| StoreError::Open { path: path.into(), what: kind.what, cause };
    configure(&conn, "TRUNCATE").map_err(failed)?;
    if format < kind.format {
        upgrade(&conn, kind).map_err(failed)?;
    }
    Ok(conn)
}

/// Brings a file of an older format up to date, all or nothing.
fn upgrade(conn: &Connection, kind: &Kind) -> rusqlite::Result<()> {
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    // Another process may have been quicker.
    let format: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (next, sql) in (2..).zip(kind.upgrades) {
        if next > format && next <= kind.format {
            tx.execute_batch(sql)?;
            tx.pragma_update(None, "user_version", next)?;
        }
    }
    tx.commit()
}

fn connection(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.set_prepared_statement_cache_capacity(32);
    Ok(conn)
}

fn configure(conn: &Connection, journal: &str) -> rusqlite::Result<()> {
    conn.pragma_update_and_check(None, "journal_mode", journal, |_| Ok(()))?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    conn.execute_batch(
        "PRAGMA synchronous = FULL;
         PRAGMA secure_delete = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;
         PRAGMA temp_store = MEMORY;",
    )
}

fn create(
    path: &Path,
    kind: &Kind,
    build: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> Result<(), StoreError> {
    if let Some(folder) = path.parent() {
        private_folder(folder).map_err(|cause| StoreError::Create { path: folder.into(), cause })?;
    }
    publish(path, |draft| {
        drop(private_file(draft)?);
        fill(draft, kind, build).map_err(io::Error::other)
    })
    .map_err(|cause| StoreError::Create { path: path.into(), cause })?;
    Ok(())
}

fn fill(
    draft: &Path,
    kind: &Kind,
    build: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let conn = connection(draft)?;
    // The draft is thrown away when anything fails, so its journal need not outlive the process.
    configure(&conn, "MEMORY")?;
    let tx = conn.unchecked_transaction()?;
    build(&tx)?;
    tx.pragma_update(None, "application_id", kind.application_id)?;
    tx.pragma_update(None, "user_version", kind.format)?;
    tx.commit()?;
    conn.close().map_err(|(_, e)| e)
}

/// Makes a folder, and those above it, for the owner only.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a new file for the owner only.
pub(crate) fn private_file(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Lets `write` make a draft beside `path` and gives it that name, unless something has it already.
///
/// Of several processes that do this at once, one wins, and none ever sees a half-written file. Returns whether
/// this one won.
pub(crate) fn publish(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<bool> {
    let mut tag = [0_u8; 8];
    getrandom::fill(&mut tag).map_err(io::Error::other)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}.new", u64::from_ne_bytes(tag)));
    let draft = path.with_file_name(name);
    // A link, because a rename would replace what another process has put there.
    let linked = write(&draft).and_then(|()| match fs::hard_link(&draft, path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(e),
    });
    let removed = match fs::remove_file(&draft) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    };
    let won = linked?;
    removed?;
    sync_folder(path)?;
    Ok(won)
}

/// Makes a change of names in the folder of `path` outlive a power failure.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => fs::File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}
