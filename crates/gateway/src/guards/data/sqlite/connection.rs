//! One open database file, hardened before any declared SQL reaches it.

use std::{cell::RefCell, fs, path::PathBuf, sync::Arc, time::Duration};

use rusqlite::{Connection, OpenFlags, config::DbConfig, limits::Limit};

use super::{
    authorize::{self, Phase, Tables},
    control::Control,
    files::{FileId, Place},
};
use crate::guards::data::DataError;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Mode {
    /// Declared statements that change nothing.
    Read,
    /// Declared statements that change rows.
    Write,
}

/// How many compiled statements a connection keeps.
const STATEMENTS: usize = 32;
/// How long SQLite itself waits for a lock before we look at the brake again.
const LOCK_SLICE: Duration = Duration::from_millis(50);
/// Instructions between two looks at the brake: some microseconds.
const BRAKE_EVERY: i32 = 200;
/// The longest value of a run on the spot, so that one instruction does not take long.
const SPOT_LENGTH: i32 = 128 << 10;
/// SQLite's default; a file's largest size is counted in pages.
const PAGE_BYTES: u64 = 4096;
/// The log of changes is folded into the file at every fourth megabyte, unless somebody reads what was before; up to here
/// it is left to the next change to do that.
const LEAST_LOG: u64 = 16 << 20;
/// No value is ever limited below this, since the schema's own text counts as a value.
pub(super) const LEAST_LENGTH: usize = 1 << 20;

/// An open database with its brake.
pub(super) struct Conn {
    raw: Connection,
    control: Arc<Control>,
    file: Option<(Place, FileId)>,
    /// Where the log of changes is, and how large it may be for another change to begin.
    log: Option<(PathBuf, u64)>,
    /// Which statements were quick here the last time, by number.
    quick: RefCell<Vec<(u64, bool)>>,
}

impl Conn {
    /// Opens an existing file.
    pub(super) fn open(
        place: &Place,
        file: FileId,
        mode: Mode,
        tables: Arc<Tables>,
        max_bytes: u64,
    ) -> Result<Self, DataError> {
        let access = match mode {
            Mode::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
            Mode::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
        };
        // No URI flag (a path is a path), no shared cache, and no link anywhere on the way.
        let flags = access
            | OpenFlags::SQLITE_OPEN_NOFOLLOW
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let raw = Connection::open_with_flags(place.file(), flags).map_err(|e| DataError::at_run(&e))?;
        let mut conn =
            Self::harden(raw, tables, Some((place.clone(), file))).map_err(|e| DataError::at_run(&e))?;
        conn.log = (mode == Mode::Write).then(|| (place.log(), (max_bytes / 4).max(LEAST_LOG)));
        let pages = (max_bytes / PAGE_BYTES).clamp(1, u64::from(u32::MAX) - 1);
        let pragmas = match mode {
            Mode::Read => "PRAGMA query_only = 1".to_owned(),
            // FULL: an acknowledged write survives a power cut.
            Mode::Write => format!(
                "PRAGMA synchronous = FULL; PRAGMA max_page_count = {pages}; PRAGMA journal_size_limit = 4194304"
            ),
        };
        conn.own(&pragmas)?;
        if mode == Mode::Read {
            // Whoever reads on the spot may not wait, and other readers look at the brake while they do.
            conn.raw.busy_timeout(Duration::ZERO).map_err(|e| DataError::at_run(&e))?;
        }
        Ok(conn)
    }

    /// A database in memory, to check SQL against.
    pub(super) fn in_memory(tables: Arc<Tables>) -> Result<Self, DataError> {
        Connection::open_in_memory()
            .and_then(|raw| Self::harden(raw, tables, None))
            .map_err(|e| DataError::at_load(&e))
    }

    fn harden(raw: Connection, tables: Arc<Tables>, file: Option<(Place, FileId)>) -> rusqlite::Result<Self> {
        raw.busy_timeout(LOCK_SLICE)?;
        raw.set_prepared_statement_cache_capacity(STATEMENTS);
        for (config, on) in [
            (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
            (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
            (DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, false),
            (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
            (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE, false),
            (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE, false),
            (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
            (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
            (DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true),
            // A plan does not depend on the values that are bound; else a statement may be compiled at every call.
            (DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true),
        ] {
            raw.set_db_config(config, on)?;
        }
        for (limit, most) in [
            (Limit::SQLITE_LIMIT_ATTACHED, 0),
            (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
            (Limit::SQLITE_LIMIT_LENGTH, 16 << 20),
            (Limit::SQLITE_LIMIT_SQL_LENGTH, 1 << 20),
            (Limit::SQLITE_LIMIT_EXPR_DEPTH, 100),
            (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 50),
            (Limit::SQLITE_LIMIT_VDBE_OP, 100_000),
            (Limit::SQLITE_LIMIT_FUNCTION_ARG, 100),
            (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000),
            (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 250),
            (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 10),
        ] {
            raw.set_limit(limit, most)?;
        }
        raw.execute_batch("PRAGMA cell_size_check = 1; PRAGMA mmap_size = 0; PRAGMA cache_size = -1024")?;
        let control = Arc::new(Control::new(raw.get_interrupt_handle()));
        let mut conn = Self { raw, control, file, log: None, quick: RefCell::default() };
        conn.allow(tables)?;
        let brake = Arc::clone(&conn.control);
        conn.raw.progress_handler(BRAKE_EVERY, Some(move || brake.brakes()))?;
        Ok(conn)
    }

    /// Sets which tables declared statements may name.
    pub(super) fn allow(&mut self, tables: Arc<Tables>) -> rusqlite::Result<()> {
        let control = Arc::clone(&self.control);
        self.raw.authorizer(Some(move |context: rusqlite::hooks::AuthContext<'_>| {
            if authorize::is_heavy(&tables, &context) {
                control.note_heavy();
            }
            authorize::decide(control.phase(), &tables, &context)
        }))
    }

    pub(super) fn raw(&self) -> &Connection {
        &self.raw
    }

    pub(super) fn control(&self) -> &Arc<Control> {
        &self.control
    }

    /// Whether this is the file that the path leads to now.
    pub(super) fn is_current(&self) -> bool {
        self.file.as_ref().is_some_and(|(place, file)| place.still_is(*file))
    }

    /// Whether a statement was quick here when it ran last.
    pub(super) fn was_quick(&self, statement: u64) -> bool {
        self.quick.borrow().contains(&(statement, true))
    }

    /// Remembers whether a statement was quick here; like the compiled statements, a bounded number is kept.
    pub(super) fn note(&self, statement: u64, quick: bool) {
        let mut known = self.quick.borrow_mut();
        match known.iter_mut().find(|(number, _)| *number == statement) {
            Some((_, last)) => *last = quick,
            None => {
                if known.len() >= STATEMENTS {
                    known.clear();
                }
                known.push((statement, quick));
            }
        }
    }

    /// Limits single values for a run on the spot.
    pub(super) fn limit_on_the_spot(&self) -> Result<(), DataError> {
        let limited = self.raw.set_limit(Limit::SQLITE_LIMIT_LENGTH, SPOT_LENGTH);
        limited.map(drop).map_err(|e| DataError::at_run(&e))
    }

    /// Whether the next caller finds no trace of the last one.
    pub(super) fn is_clean(&self) -> bool {
        self.raw.is_autocommit() && !self.raw.is_busy()
    }

    /// Limits single values for a statement that a model wrote, which finds the schema read.
    pub(super) fn limit_written(&self, bytes: usize) -> Result<(), DataError> {
        let most = i32::try_from(bytes).unwrap_or(i32::MAX);
        self.raw.set_limit(Limit::SQLITE_LIMIT_LENGTH, most).map(drop).map_err(|e| DataError::at_run(&e))
    }

    /// Limits single values for the next statement.
    pub(super) fn limit_values(&self, bytes: usize) -> Result<(), DataError> {
        let most = i32::try_from(bytes.max(LEAST_LENGTH)).unwrap_or(i32::MAX);
        self.raw.set_limit(Limit::SQLITE_LIMIT_LENGTH, most).map(drop).map_err(|e| DataError::at_run(&e))
    }

    /// Runs our own statements. They never enter the statement cache, where a declared statement with the same text
    /// would find them compiled.
    pub(super) fn own(&self, sql: &str) -> Result<(), DataError> {
        self.control.during(Phase::Own, || self.raw.execute_batch(sql)).map_err(|e| self.failure(&e))
    }

    /// The same, again and again while another connection holds the lock.
    pub(super) fn own_when_free(&self, sql: &str) -> Result<(), DataError> {
        when_free(|| self.control.check().is_ok(), || self.own(sql))
    }

    /// Folds the log of changes into the file if it has become large. It is begun anew when nobody reads what was before
    /// the changes in it, so reads that overlap for ever would let it grow for ever.
    ///
    /// # Errors
    /// [`DataError::Busy`] while it is needed. Reads that begin meanwhile need the file alone.
    fn fold(&self) -> Result<(), DataError> {
        let Some((log, most)) = &self.log else { return Ok(()) };
        let is_large = || fs::symlink_metadata(log).is_ok_and(|found| found.len() > *most);
        if !is_large() {
            return Ok(());
        }
        self.own("PRAGMA wal_checkpoint(TRUNCATE)")?;
        if is_large() { Err(DataError::Busy) } else { Ok(()) }
    }

    /// Runs `work` between a `BEGIN` and a `COMMIT`; any error, panic or request to stop rolls everything back.
    pub(super) fn transaction<T>(
        &self,
        begin: &str,
        work: impl FnOnce() -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        let begun = || self.fold().and_then(|()| self.own(begin));
        when_free(|| self.control.check().is_ok(), begun)?;
        // From `finish` on nothing stops the commit, so that its outcome is the one reported.
        let done = work().and_then(|value| {
            self.control.finish()?;
            self.own("COMMIT")?;
            Ok(value)
        });
        if done.is_err() {
            let _stopped = self.control.finish();
            if !self.raw.is_autocommit() {
                // Should this fail, the connection is not clean and will be closed, which rolls back too.
                let _open = self.own("ROLLBACK");
            }
        }
        done
    }

    /// Translates an error, telling a stop for lateness from one for cancellation.
    pub(super) fn failure(&self, error: &rusqlite::Error) -> DataError {
        match DataError::at_run(error) {
            DataError::Cancelled => self.control.check().err().unwrap_or(DataError::Cancelled),
            other => other,
        }
    }
}

/// Does something again while another connection holds the lock and it is `worthwhile` to wait. Some conflicts are
/// reported at once, without SQLite's own wait, and that wait looks at no brake.
pub(super) fn when_free<T>(
    worthwhile: impl Fn() -> bool,
    mut work: impl FnMut() -> Result<T, DataError>,
) -> Result<T, DataError> {
    loop {
        match work() {
            Err(DataError::Busy) if worthwhile() => std::thread::sleep(Duration::from_millis(2)),
            done => return done,
        }
    }
}
