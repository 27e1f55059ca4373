//! Data: the database itself, not the query's author, decides which rows exist.
//!
//! A declared statement is compiled once, at load time. At a call it runs where the permit says and nothing else does:
//! with `sqlite` on the tenant's own file, with `postgres` in a transaction whose tenant the gateway has set, or on
//! a connection of the tenant's own role.

mod error;
mod postgres;
mod query;
mod renew;
mod sqlite;

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use partywall_model::TenantId;
use serde_json::Value;

pub use error::{ConstraintKind, DataError, ErrorKind};
use query::MODEL;
pub use query::{QueryLimits, Rows};

/// Databases of a test's own, for other tests too.
#[cfg(test)]
pub(crate) use postgres::tests::{Bouncer, Lab, Town};

use crate::{
    admit::{Incarnation, Permit},
    config::{Config, DataSource, Driver, Environment},
    guards::credentials::Vault,
    tenants::Registry,
};

/// All `[data.NAME]` of a configuration.
pub struct Sources {
    sources: BTreeMap<String, Source>,
}

/// One `[data.NAME]`.
#[derive(Clone)]
enum Source {
    Sqlite(Arc<sqlite::Source>),
    Postgres(Arc<postgres::Source>),
}

/// Whose call it is; where the tests have taken the guard out, the first caller's.
#[cfg(test)]
fn first_of<'p>(guard: &str, permit: &'p Permit) -> &'p Permit {
    static FIRST: std::sync::OnceLock<Permit> = std::sync::OnceLock::new();
    if crate::removed::removed(guard) { FIRST.get_or_init(|| permit.clone()) } else { permit }
}

/// What databases need of the rest of the process.
#[derive(Clone, Default)]
pub struct Outside {
    /// The value of an environment variable, if there is such a one. Only the command reads the environment.
    pub environment: Environment,
    /// Where each tenant's own password is.
    pub vault: Option<Arc<Vault>>,
    /// The tenants. A file is made for a life of one that lasts; without a registry every tenant is taken to live.
    pub registry: Option<Arc<Registry>>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.sources.keys()).finish()
    }
}

/// Something that was found in a database which is served all the same.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    /// Whether the configuration allows it; otherwise it need not.
    pub(crate) allowed: bool,
    /// A sentence.
    pub(crate) told: String,
}

impl Sources {
    /// Prepares every source. Of SQLite it reads the migrations and tries them on a database in memory, and touches no
    /// tenant's file; of PostgreSQL it reads where the server is, and connects when that is first needed.
    ///
    /// # Errors
    /// When a source's name, limits, migrations or URL are not as they should be.
    pub fn new(config: &Config, outside: &Outside) -> Result<Arc<Self>, DataError> {
        let mut sources = BTreeMap::new();
        for (name, settings) in &config.data {
            sources.insert(name.clone(), Source::new(name, settings, config, outside)?);
        }
        Ok(Arc::new(Self { sources }))
    }

    /// Asks each database server whether its role and tables keep tenants apart; waits for the answers. What was found
    /// and is served all the same comes back for the audit log: because the configuration allows it, or because it shows
    /// no rows of others.
    ///
    /// # Errors
    /// When a server does not answer, or would not keep them apart.
    pub(crate) fn verify(&self) -> Result<Vec<Passed>, DataError> {
        let mut passed = Vec::new();
        for (name, source) in &self.sources {
            if let Source::Postgres(source) = source {
                let waived = source.verify()?.into_iter();
                passed.extend(waived.map(|it| match it.reason {
                    Some(reason) => Passed {
                        allowed: true,
                        told: format!("{name} allows {} ({reason}): {}", it.rule, it.object),
                    },
                    None => Passed {
                        allowed: false,
                        told: format!("{name} is served with {}: {}", it.rule, it.object),
                    },
                }));
            }
        }
        Ok(passed)
    }

    fn source(&self, name: &str) -> Result<&Source, DataError> {
        self.sources.get(name).ok_or_else(|| {
            DataError::Configuration(format!("there is no source `{name}`; add `[data.{name}]`"))
        })
    }

    /// Compiles a statement at load time, so that a wrong table or column is an error of the configuration. With
    /// PostgreSQL it waits for the server, so it belongs on a thread that may block.
    ///
    /// # Errors
    /// When it is not exactly one statement, its parameters are not exactly `params` (written `:name`), it does not fit
    /// `writes`, or it asks for anything but reading and changing rows of the tenant's tables.
    pub fn compile(
        &self,
        source: &str,
        sql: &str,
        params: &[&str],
        writes: bool,
    ) -> Result<Statement, DataError> {
        Ok(Statement(match self.source(source)? {
            Source::Sqlite(source) => Compiled::Sqlite(source.compile(sql, params, writes)?),
            Source::Postgres(source) => Compiled::Postgres(source.compile(sql, params, writes)?),
        }))
    }

    /// Runs a statement on the rows of the permit's tenant.
    ///
    /// Dropping the future stops the statement and rolls a write back, unless its commit has begun.
    ///
    /// # Errors
    /// See [`DataError`]; after any of them but [`DataError::Unknown`] a write has had no effect.
    pub async fn run(
        &self,
        permit: &Permit,
        statement: &Statement,
        args: &[(String, Value)],
        limits: QueryLimits,
    ) -> Result<Rows, DataError> {
        match (self.source(statement.source())?, &statement.0) {
            (Source::Sqlite(source), Compiled::Sqlite(statement)) => {
                source.run(permit, statement, args, limits).await
            }
            (Source::Postgres(source), Compiled::Postgres(statement)) => {
                source.run(permit, statement, args, limits).await
            }
            // Statements and sources of one configuration are used together.
            _ => {
                Err(DataError::Internal("the statement was compiled for another kind of database".to_owned()))
            }
        }
    }

    /// Creates, migrates and seeds a tenant's file; for administration, which has a thread to block. The seed runs once
    /// in a file's life, in one transaction, and may change rows only.
    ///
    /// # Errors
    /// See [`DataError`]; the seed has had no effect then. A PostgreSQL source is always refused: its tables and rows
    /// are made by its operator, with other rights than the gateway's.
    pub fn setup(
        &self,
        tenant: &TenantId,
        incarnation: Incarnation,
        source: &str,
        seed_sql: &str,
    ) -> Result<(), DataError> {
        match self.source(source)? {
            Source::Sqlite(source) => source.setup(tenant, incarnation, seed_sql),
            Source::Postgres(_) => Err(DataError::Refused(
                "rows of a PostgreSQL database are not seeded by the gateway; use the owner's role"
                    .to_owned(),
            )),
        }
    }

    /// Holds the migrations of each source against those that were applied to the files of some tenants, which are all migrated from
    /// one folder. A file that disagrees beside another one that agrees is that tenant's trouble, at its calls.
    ///
    /// # Errors
    /// When one that was applied has been changed or taken away since, by every file that was looked at: no tenant would be
    /// served.
    pub(crate) fn agree<'t>(
        &self,
        tenants: impl Iterator<Item = (&'t TenantId, Incarnation)> + Clone,
    ) -> Result<(), DataError> {
        const LOOKS: usize = 50;
        const TIME: Duration = Duration::from_secs(10);
        for source in self.sources.values() {
            let Source::Sqlite(source) = source else { continue };
            let (begun, mut disagree) = (Instant::now(), Vec::new());
            let mut agrees = false;
            for (tenant, incarnation) in tenants.clone().take(LOOKS) {
                match source.agrees(tenant, incarnation) {
                    Ok(does) => agrees = does,
                    Err(error) => disagree.push((tenant, error)),
                }
                if agrees || begun.elapsed() > TIME {
                    break;
                }
            }
            if agrees {
                for (tenant, error) in disagree {
                    tracing::error!(%tenant, %error, "the tenant's file was migrated by something else; its calls fail");
                }
            } else if let Some((_, error)) = disagree.into_iter().next() {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether files of tenants are migrated.
    pub(crate) fn has_migrations(&self) -> bool {
        self.sources
            .values()
            .any(|source| matches!(source, Source::Sqlite(source) if source.has_migrations()))
    }

    /// Closes a tenant's files and connections and stops its statements, because it was removed or begins another life.
    pub fn forget(&self, tenant: &TenantId) {
        for source in self.sources.values() {
            match source {
                Source::Sqlite(source) => source.forget(tenant),
                Source::Postgres(source) => source.forget(tenant),
            }
        }
    }

    /// How many database files are open or being opened.
    #[must_use]
    pub fn open_files(&self) -> usize {
        self.count(|source| match source {
            Source::Sqlite(source) => source.open_files(),
            Source::Postgres(_) => 0,
        })
    }

    /// How many connections to database servers are open or being opened or closed.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.count(|source| match source {
            Source::Sqlite(_) => 0,
            Source::Postgres(source) => source.open_connections(),
        })
    }

    fn count(&self, of: impl Fn(&Source) -> usize) -> usize {
        self.sources.values().map(of).sum()
    }

    /// Closes what compiling needed; a configuration's statements are all compiled.
    pub(crate) fn loaded(&self) {
        for source in self.sources.values() {
            if let Source::Postgres(source) = source {
                source.loaded();
            }
        }
    }

    /// Asks each database server that nobody has talked to for a while whether it is there; takes some seconds at most.
    pub(crate) async fn look(&self) {
        for source in self.sources.values() {
            if let Source::Postgres(source) = source {
                source.look().await;
            }
        }
    }

    /// Which database a source is, without credentials, if that is for the configuration's values to say.
    pub(crate) fn address(&self, source: &str) -> Option<String> {
        match self.sources.get(source)? {
            Source::Sqlite(_) => None,
            Source::Postgres(source) => Some(source.address()),
        }
    }

    /// The sources whose server does not answer now.
    #[must_use]
    pub fn lost(&self) -> Vec<&str> {
        let lost = |source: &Source| matches!(source, Source::Postgres(source) if source.is_lost());
        self.sources.iter().filter(|(_, source)| lost(source)).map(|(name, _)| name.as_str()).collect()
    }

    #[cfg(test)]
    fn sqlite(&self, name: &str) -> &sqlite::Source {
        match self.source(name) {
            Ok(Source::Sqlite(source)) => source,
            _ => panic!("no such file source"),
        }
    }
}

impl Source {
    fn new(name: &str, settings: &DataSource, config: &Config, outside: &Outside) -> Result<Self, DataError> {
        Ok(match settings.driver {
            Driver::Sqlite => Self::Sqlite(Arc::new(sqlite::Source::new(
                name,
                settings,
                &config.base_dir,
                &config.data_dir(),
                outside.registry.clone(),
            )?)),
            Driver::Postgres => {
                Self::Postgres(Arc::new(postgres::Source::new(name, settings, &config.base_dir, outside)?))
            }
        })
    }

    /// Whether the other is configured as this one is, so that this one may stay with what it has open.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sqlite(one), Self::Sqlite(other)) => one.is_like(other),
            (Self::Postgres(one), Self::Postgres(other)) => one.is_like(other),
            _ => false,
        }
    }

    fn close_idle(&self, since: Instant) -> usize {
        match self {
            Self::Sqlite(source) => source.close_idle(since),
            Self::Postgres(source) => source.close_idle(since),
        }
    }
}

/// A statement that was checked; it can run for any tenant. Cloning is cheap.
#[derive(Clone)]
pub struct Statement(Compiled);

#[derive(Clone)]
enum Compiled {
    Sqlite(sqlite::Statement),
    Postgres(postgres::Statement),
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Compiled::Sqlite(statement) => statement.fmt(f),
            Compiled::Postgres(statement) => statement.fmt(f),
        }
    }
}

impl Statement {
    /// The name of the source it runs on.
    #[must_use]
    pub fn source(&self) -> &str {
        match &self.0 {
            Compiled::Sqlite(statement) => statement.source(),
            Compiled::Postgres(statement) => statement.source(),
        }
    }

    /// The names of its columns; none for a change without `RETURNING`.
    #[must_use]
    pub fn columns(&self) -> &Arc<[String]> {
        match &self.0 {
            Compiled::Sqlite(statement) => statement.columns(),
            Compiled::Postgres(statement) => statement.columns(),
        }
    }

    /// The names of its parameters, without the colon.
    #[must_use]
    pub fn params(&self) -> &[String] {
        match &self.0 {
            Compiled::Sqlite(statement) => statement.params(),
            Compiled::Postgres(statement) => statement.params(),
        }
    }

    /// Whether it changes rows.
    #[must_use]
    pub fn writes(&self) -> bool {
        match &self.0 {
            Compiled::Sqlite(statement) => statement.writes(),
            Compiled::Postgres(statement) => statement.writes(),
        }
    }
}

#[cfg(test)]
impl From<sqlite::Statement> for Statement {
    fn from(statement: sqlite::Statement) -> Self {
        Self(Compiled::Sqlite(statement))
    }
}
