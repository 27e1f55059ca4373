//! Migrations: read once, applied to each tenant's file once, in one transaction, and remembered in it.

use std::{fs, path::Path};

use aws_lc_rs::digest;
use partywall_model::TenantId;

use super::{authorize::Phase, connection::Conn};
use crate::{admit::Incarnation, guards::data::DataError};

const MOST_MIGRATIONS: usize = 1_000;
const MOST_FILE_BYTES: u64 = 1 << 20;

/// One `NNN_name.sql`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Migration {
    number: u32,
    name: String,
    sql: String,
    sha256: String,
}

/// Whose file it is; written into it, so that a file that was copied or found under another name is not served.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) incarnation: Incarnation,
    pub(super) source: &'a str,
}

/// How far a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing is in it yet.
    New,
    /// It is its owner's, but migrations are missing.
    Behind(usize),
    /// It is its owner's and up to date.
    Ready,
}

const BOOKKEEPING: &str = "
    CREATE TABLE _partywall_owner (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        tenant TEXT NOT NULL, incarnation TEXT NOT NULL, source TEXT NOT NULL);
    CREATE TABLE _partywall_migrations (
        number INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_at INTEGER NOT NULL);
    CREATE TABLE _partywall_seeds (sha256 TEXT PRIMARY KEY, applied_at INTEGER NOT NULL);";

/// Reads a folder of migrations.
///
/// # Errors
/// When it cannot be read, a name or number is not as it should be, or something is too large.
pub(super) fn read_folder(folder: &Path) -> Result<Vec<Migration>, DataError> {
    let wrong = |text: String| DataError::Configuration(format!("migrations {}: {text}", folder.display()));
    let unreadable = |error: std::io::Error| {
        wrong(format!("cannot be read: {error}; make the folder, or correct `migrations` of the source"))
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(wrong("a file name is not UTF-8".to_owned()));
        };
        let Some(stem) = name.strip_suffix(".sql") else {
            continue;
        };
        let Some(number) = number_of(stem) else {
            return Err(wrong(format!("`{name}` is not named like `001_create_tickets.sql`")));
        };
        if found.len() == MOST_MIGRATIONS {
            return Err(wrong(format!("more than {MOST_MIGRATIONS} files")));
        }
        let size = fs::metadata(&path).map_err(unreadable)?.len();
        if size > MOST_FILE_BYTES {
            return Err(wrong(format!("`{name}` is larger than {MOST_FILE_BYTES} bytes")));
        }
        let sql = fs::read_to_string(&path).map_err(unreadable)?;
        if sql.contains('\0') {
            return Err(wrong(format!("`{name}` contains a NUL character")));
        }
        found.push(Migration { number, name: stem.to_owned(), sha256: sha256(&sql), sql });
    }
    found.sort_by_key(|migration| migration.number);
    for (expected, migration) in (1..).zip(&found) {
        if migration.number != expected {
            return Err(wrong(format!(
                "`{}.sql` should have the number {expected:03}; numbers start at 1, without gaps or duplicates",
                migration.name
            )));
        }
    }
    Ok(found)
}

fn number_of(stem: &str) -> Option<u32> {
    let (digits, name) = stem.split_once('_')?;
    let named =
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    let numbered = (1..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    (named && numbered).then(|| digits.parse().ok()).flatten()
}

pub(super) fn sha256(text: &str) -> String {
    use std::fmt::Write;

    let mut hex = String::with_capacity(64);
    for byte in digest::digest(&digest::SHA256, text.as_bytes()).as_ref() {
        // Writing to a String cannot fail.
        let _done = write!(hex, "{byte:02x}");
    }
    hex
}

/// What is written in a file: nothing at all, or its owner's tenant, incarnation and source, if it has one, and the
/// migrations applied.
type Found = Option<(Option<[String; 3]>, Vec<(u32, String)>)>;

/// Looks at how far a file is, and that it is the owner's.
pub(super) fn standing(
    conn: &Conn,
    owner: Owner<'_>,
    migrations: &[Migration],
) -> Result<Standing, DataError> {
    let read = || -> rusqlite::Result<Found> {
        let raw = conn.raw();
        let (objects, own): (i64, i64) = raw.query_row(
            "SELECT count(*), count(*) FILTER (WHERE name IN ('_partywall_owner', '_partywall_migrations'))
             FROM sqlite_schema WHERE type = 'table'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        if objects == 0 {
            return Ok(None);
        }
        if own != 2 {
            return Ok(Some((None, Vec::new())));
        }
        let owner = raw.query_row("SELECT tenant, incarnation, source FROM _partywall_owner", [], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?])
        })?;
        let mut rows = raw.prepare("SELECT number, sha256 FROM _partywall_migrations ORDER BY number")?;
        let applied = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Some((Some(owner), applied.collect::<Result<_, _>>()?)))
    };
    let found = conn.control().during(Phase::Own, read).map_err(|e| conn.failure(&e))?;
    let Some((written, applied)) = found else {
        return Ok(Standing::New);
    };
    check_owner(written, owner)?;
    check_applied(&applied, owner, migrations)
}

fn check_owner(written: Option<[String; 3]>, owner: Owner<'_>) -> Result<(), DataError> {
    let Owner { tenant, incarnation, source } = owner;
    let why = match written {
        None => "was not made by this server",
        Some([of, _, _]) if of != tenant.as_str() => "belongs to another tenant",
        Some([_, life, _]) if life != incarnation.0.to_string() => {
            "belongs to an earlier tenant of the same name"
        }
        Some([_, _, of]) if of != source => "belongs to another source",
        Some(_) => return Ok(()),
    };
    Err(DataError::Storage(format!(
        "the database file `{source}` of tenant {tenant} {why}; it is not served, move it away"
    )))
}

fn check_applied(
    applied: &[(u32, String)],
    owner: Owner<'_>,
    migrations: &[Migration],
) -> Result<Standing, DataError> {
    let mut known = migrations.iter();
    for (number, sha256) in applied {
        let text = match known.next() {
            Some(migration) if migration.number == *number && migration.sha256 == *sha256 => continue,
            Some(migration) if migration.number == *number => format!(
                "the migration `{}` was changed after it had been applied; restore its text and add a new one",
                migration.name
            ),
            _ => format!("the migration with the number {number} was applied but is not in the folder"),
        };
        return Err(DataError::Configuration(format!(
            "tenant {}, source `{}`: {text}",
            owner.tenant, owner.source
        )));
    }
    Ok(if applied.len() == migrations.len() { Standing::Ready } else { Standing::Behind(applied.len()) })
}

/// Applies what is missing; the caller holds the transaction and has turned foreign keys off, since rebuilding a table
/// would delete what refers to it. They are checked at the end instead.
pub(super) fn apply(
    conn: &Conn,
    owner: Owner<'_>,
    migrations: &[Migration],
    standing: Standing,
) -> Result<(), DataError> {
    let done = match standing {
        Standing::Ready => return Ok(()),
        Standing::Behind(done) => done,
        Standing::New => {
            conn.own(BOOKKEEPING)?;
            let Owner { tenant, incarnation, source } = owner;
            insert(
                conn,
                "INSERT INTO _partywall_owner VALUES (1, ?1, ?2, ?3)",
                &[tenant.as_str(), &incarnation.0.to_string(), source],
            )?;
            0
        }
    };
    for migration in migrations.iter().skip(done) {
        apply_one(conn, migration)?;
    }
    let broken = || conn.raw().prepare("PRAGMA foreign_key_check")?.exists([]);
    if conn.control().during(Phase::Own, broken).map_err(|e| conn.failure(&e))? {
        return Err(DataError::Configuration(format!(
            "tenant {}, source `{}`: the migrations leave rows that refer to missing rows",
            owner.tenant, owner.source
        )));
    }
    Ok(())
}

fn apply_one(conn: &Conn, migration: &Migration) -> Result<(), DataError> {
    conn.control().during(Phase::Migration, || conn.raw().execute_batch(&migration.sql)).map_err(
        |error| match conn.failure(&error) {
            stop @ (DataError::TimedOut | DataError::Cancelled | DataError::Full | DataError::Corrupt) => {
                stop
            }
            other => DataError::Configuration(format!("the migration `{}` failed: {other}", migration.name)),
        },
    )?;
    insert(
        conn,
        "INSERT INTO _partywall_migrations VALUES (CAST(?1 AS INTEGER), ?2, ?3, unixepoch())",
        &[&migration.number.to_string(), &migration.name, &migration.sha256],
    )
}

/// Runs all migrations on an empty database in memory and tells which tables they make, and which of them are
/// heavy to read: virtual ones, and those that compute a column when it is read.
///
/// # Errors
/// The message of SQLite is shown: the database holds nobody's rows.
pub(super) fn rehearse(
    conn: &Conn,
    source: &str,
    migrations: &[Migration],
) -> Result<Vec<(String, bool)>, DataError> {
    conn.own("BEGIN")?;
    conn.own(BOOKKEEPING)?;
    for migration in migrations {
        conn.control().during(Phase::Migration, || conn.raw().execute_batch(&migration.sql)).map_err(
            |error| {
                DataError::Configuration(format!(
                    "source `{source}`: the migration `{}` is refused: {error}",
                    migration.name
                ))
            },
        )?;
    }
    conn.own("COMMIT")?;
    let tables = || -> rusqlite::Result<Vec<(String, bool)>> {
        // Only a virtual table has no pages of its own.
        let mut names = conn.raw().prepare(
            "SELECT name, (type = 'table' AND rootpage = 0)
                 OR EXISTS (SELECT 1 FROM pragma_table_xinfo(sqlite_schema.name) WHERE hidden = 2)
             FROM sqlite_schema WHERE type IN ('table', 'view')",
        )?;
        names.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    conn.control().during(Phase::Own, tables).map_err(|e| DataError::at_load(&e))
}

/// Runs the seed unless the file has been seeded before; the caller holds the transaction.
pub(super) fn seed(conn: &Conn, sql: &str) -> Result<(), DataError> {
    let seeded = || conn.raw().prepare("SELECT 1 FROM _partywall_seeds")?.exists([]);
    if conn.control().during(Phase::Own, seeded).map_err(|e| conn.failure(&e))? {
        return Ok(());
    }
    // The declared statements' rules: a seed adds rows, the schema is the migrations' affair.
    conn.control().during(Phase::Running, || conn.raw().execute_batch(sql)).map_err(|error| {
        match conn.failure(&error) {
            DataError::Internal(text) => DataError::Configuration(format!("the seed failed: {text}")),
            other => other,
        }
    })?;
    insert(conn, "INSERT INTO _partywall_seeds VALUES (?1, unixepoch())", &[&sha256(sql)])
}

fn insert(conn: &Conn, sql: &str, values: &[&str]) -> Result<(), DataError> {
    conn.control()
        .during(Phase::Own, || conn.raw().execute(sql, rusqlite::params_from_iter(values)))
        .map(drop)
        .map_err(|e| conn.failure(&e))
}
