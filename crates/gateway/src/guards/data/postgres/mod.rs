//! PostgreSQL: the server decides which rows exist, by its policies or by the role that has logged in.
//!
//! With `isolation = "rls"` all tenants share tables, connections and a role that no policy lets go by. Each call is a
//! transaction for which the gateway has set the tenant of the permit, and that setting is what the policies read. With
//! `"schema"` and `"database"` each tenant has a role of its own, whose password is in the vault, and connections of its
//! own. Statements are prepared by the server itself when the configuration is loaded.

mod catalogue;
mod connect;
mod error;
mod exchange;
mod inspect;
mod load;
mod place;
mod pool;
mod statement;
#[cfg(test)]
pub(super) mod tests;
mod value;
mod wire;

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use partywall_model::TenantId;
use partywall_postgres::DatabaseUrl;
use secrecy::SecretString;
use serde_json::Value;

pub(super) use self::statement::Statement;
use self::{
    connect::{CONNECT_TIMEOUT, Connector, Login},
    error::{Broken, ServerError},
    exchange::{Ask, Context, ContextSql, Failure},
    load::Load,
    place::Place,
    pool::{Health, Key, Lease, Pool},
    wire::Conn,
};
use super::{
    Outside,
    error::DataError,
    query::{QueryLimits, Rows, deadline_after},
};
use crate::{
    admit::Permit,
    config::{DataSource, Isolation},
    guards::credentials::Vault,
};

/// The setting that policies read, unless the configuration says otherwise.
const SETTING: &str = "app.tenant";
/// How many connections a source may have, unless the configuration says otherwise.
const MAX_CONNECTIONS: usize = 16;
/// How often a server that nobody talks to is asked whether it is there, and how long it may take to say so.
const ASK_EVERY: Duration = Duration::from_secs(5);
const ASK_TIME: Duration = Duration::from_secs(2);

/// One `[data.NAME]` on a PostgreSQL server.
pub(super) struct Source {
    name: String,
    settings: DataSource,
    url: DatabaseUrl,
    connector: Connector,
    context: ContextSql,
    place: Place,
    isolation: Isolation,
    pooled: bool,
    pool: Arc<Pool>,
    health: Health,
    vault: Option<Arc<Vault>>,
    load: Mutex<Option<Load>>,
}

impl Source {
    /// Prepares connections; makes none.
    pub(super) fn new(
        name: &str,
        settings: &DataSource,
        base_dir: &Path,
        outside: &Outside,
    ) -> Result<Self, DataError> {
        let wrong = |text: String| DataError::Configuration(format!("source `{name}`: {text}"));
        let word = settings.url.as_deref().unwrap_or_default();
        let url = DatabaseUrl::resolve(word, base_dir, |name| outside.environment.value(name))
            .map_err(|error| wrong(error.to_string()))?;
        if url.user().is_none() {
            return Err(wrong(
                "the database's URL names no role; write postgres://ROLE@HOST/DATABASE".to_owned(),
            ));
        }
        let of_url = url.config().get_connect_timeout().copied();
        let limit = settings.connect_timeout.or(of_url).unwrap_or(CONNECT_TIMEOUT);
        let isolation = settings.isolation.ok_or_else(|| {
            wrong("`isolation` is missing; write \"rls\", \"schema\" or \"database\"".to_owned())
        })?;
        Ok(Self {
            name: name.to_owned(),
            connector: Connector::new(&url, limit).map_err(|error| wrong(error.to_string()))?,
            context: ContextSql::new(settings.setting.as_deref().unwrap_or(SETTING)),
            place: Place::new(settings, isolation).map_err(wrong)?,
            isolation,
            pooled: settings.pooler,
            pool: Arc::new(Pool::new(settings.max_connections.unwrap_or(MAX_CONNECTIONS))),
            health: Health::new(),
            vault: outside.vault.clone(),
            load: Mutex::new(None),
            settings: settings.clone(),
            url,
        })
    }

    /// Whether the other is configured as this one is: the same server, role and limits.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.settings == other.settings
            && self.url.config() == other.url.config()
            && self.url.tls() == other.url.tls()
            && self.url.root_certificates() == other.url.root_certificates()
            && self.pool.most() == other.pool.most()
    }

    /// Runs a statement on the rows of the permit's tenant.
    pub(super) async fn run(
        &self,
        permit: &Permit,
        statement: &Statement,
        args: &[(String, Value)],
        limits: QueryLimits,
    ) -> Result<Rows, DataError> {
        #[cfg(test)]
        let permit = match self.isolation {
            Isolation::Rls => super::first_of("tenant-in-transaction", permit),
            Isolation::Schema | Isolation::Database => super::first_of("own-role", permit),
        };
        let by_model = statement.is_model();
        let written;
        let (statement, values) = match statement.is_model() {
            true => {
                written = statement.written(args)?;
                (&written, Vec::new())
            }
            false => (statement, statement.bind(args)?),
        };
        let deadline = deadline_after(limits.time);
        let tenant = permit.tenant();
        let search_path = self.place.search_path(tenant)?;
        let context = Context {
            source: &self.name,
            sql: &self.context,
            tenant: tenant.as_str(),
            search_path: &search_path,
            pooled: self.pooled,
        };
        let ask = Ask { context, statement, values: &values, limits, deadline };
        let key = match self.isolation {
            Isolation::Rls => Key::Shared,
            Isolation::Schema | Isolation::Database => Key::Own(tenant.clone(), permit.incarnation()),
        };
        let mut lease = self.pool.lease(key, Some(tenant), deadline).await?;
        let forgotten = lease.forgotten();
        tokio::select! {
            biased;
            () = forgotten => Err(DataError::Cancelled),
            done = self.attempt(permit, &mut lease, &ask) => match by_model {
                true => done.map_err(DataError::of_written),
                false => done,
            },
        }
    }

    /// Which database this is, without credentials.
    pub(super) fn address(&self) -> String {
        self.url.to_string()
    }

    /// Runs the call, and once more on a new connection if the one that was there had ended while nobody used it. Nothing
    /// was changed then: a write that got as far as its commit is never repeated.
    async fn attempt(&self, permit: &Permit, lease: &mut Lease, ask: &Ask<'_>) -> Result<Rows, DataError> {
        let mut again = true;
        loop {
            let used = lease.conn.is_some();
            let late = |_elapsed| DataError::TimedOut;
            let deadline = ask.deadline.into();
            let conn = match &mut lease.conn {
                Some(conn) => conn,
                None => {
                    let opening = self.open(Some(permit), lease);
                    let conn = tokio::time::timeout_at(deadline, opening).await.map_err(late)??;
                    lease.conn.insert(conn)
                }
            };
            match ask.run(conn).await {
                Ok(rows) => {
                    self.heard();
                    return Ok(rows);
                }
                Err(Failure::Data(error)) => return Err(error),
                Err(Failure::Stale) if again => {
                    conn.retire();
                    tokio::time::timeout_at(deadline, lease.make_room()).await.map_err(late)?;
                }
                Err(Failure::Stale) => {
                    return Err(DataError::Refused(
                        "the tables are not what they were when the configuration was loaded".to_owned(),
                    ));
                }
                Err(Failure::Broken(Broken::Ended(error))) => {
                    lease.conn = None;
                    // The others that wait idle are probably gone too.
                    self.pool.close_idle(Instant::now());
                    if !(used && again) {
                        // Not the server's health: one tenant's statement may have ended its own connection.
                        tracing::warn!(source = self.name, "a connection ended during a call: {error}");
                        return Err(DataError::Lost(self.name.clone()));
                    }
                }
                // Not clean, so the lease closes it.
                Err(Failure::Broken(broken)) => {
                    return Err(DataError::Refused(format!(
                        "the conversation with the server went wrong: {broken}"
                    )));
                }
            }
            again = false;
        }
    }

    /// Opens a connection for a tenant, or for the role of the URL.
    async fn open(&self, permit: Option<&Permit>, lease: &mut Lease) -> Result<Conn, DataError> {
        lease.make_room().await;
        let login = self.login(permit).await?;
        if !self.health.may_try() {
            return Err(DataError::Lost(self.name.clone()));
        }
        let mut conn =
            self.connector.connect(&login).await.map_err(|broken| self.not_opened(&login, broken))?;
        self.heard();
        if let Some(permit) = permit.filter(|_| self.isolation != Isolation::Rls) {
            load::check_own_role(&mut conn).await?;
            if let Some(patterns) = self.place.patterns(permit.tenant())? {
                load::check_own_schema(&mut conn, patterns).await?;
            }
        }
        Ok(conn)
    }

    /// Who logs in: the tenant's own role, or that of the URL.
    async fn login(&self, permit: Option<&Permit>) -> Result<Login, DataError> {
        let (Some(permit), Some(own)) = (permit, self.place.own()) else {
            return Ok(self.own_login());
        };
        let tenant = permit.tenant();
        let missing = || DataError::MissingSecret(own.password.to_string());
        let vault = Arc::clone(self.vault.as_ref().ok_or_else(missing)?);
        let (permit, secret) = (permit.clone(), own.password.clone());
        let read = tokio::task::spawn_blocking(move || vault.read(&permit, &secret)).await;
        let password = read
            .map_err(|_| DataError::Internal("the vault's reader stopped".to_owned()))?
            .map_err(|error| DataError::Internal(error.to_string()))?
            .ok_or_else(missing)?;
        let database = own.database(tenant)?.unwrap_or_else(|| self.url.database().to_owned());
        Ok(Login { role: own.role(tenant)?, password: Some(password), database })
    }

    fn own_login(&self) -> Login {
        let config = self.url.config();
        let password = config.get_password().and_then(|bytes| std::str::from_utf8(bytes).ok());
        Login {
            role: self.url.user().unwrap_or_default().to_owned(),
            password: password.map(SecretString::from),
            database: self.url.database().to_owned(),
        }
    }

    fn heard(&self) {
        if self.health.answered() {
            tracing::info!(source = self.name, "the database server answers again");
        }
    }

    /// The connection was not made.
    fn not_opened(&self, login: &Login, broken: Broken) -> DataError {
        let Broken::Refused(ServerError { code, message }) = &broken else {
            return self.lost(&broken);
        };
        match code.as_str() {
            // Starting, stopping, or a pooler that has no server.
            "57P01" | "57P02" | "57P03" => self.lost(&broken),
            _ if code.starts_with("08") => self.lost(&broken),
            "53300" => {
                self.heard();
                tracing::warn!(
                    source = self.name,
                    "the database server has no connection left; lower max_connections here or raise the server's"
                );
                DataError::Busy
            }
            _ => {
                self.heard();
                DataError::Storage(format!(
                    "source `{}`: the server does not let the role `{}` into `{}`: {message} (SQLSTATE {code})",
                    self.name, login.role, login.database
                ))
            }
        }
    }

    fn lost(&self, broken: &Broken) -> DataError {
        if self.health.failed() {
            tracing::error!(
                source = self.name,
                "the database server at {} cannot be reached: {broken}; is it running?",
                self.url
            );
        }
        DataError::Lost(self.name.clone())
    }

    /// Closes a tenant's connections and stops its statements.
    pub(super) fn forget(&self, tenant: &TenantId) {
        self.pool.forget(tenant);
    }

    pub(super) fn close_idle(&self, since: Instant) -> usize {
        self.pool.close_idle(since)
    }

    pub(super) fn open_connections(&self) -> usize {
        self.pool.open()
    }

    /// Whether the server did not answer the last time.
    pub(super) fn is_lost(&self) -> bool {
        self.health.is_lost()
    }

    /// Asks the server whether it is there, if nobody has talked to it for a while; and closes what was idle for longer
    /// than the source's own limit.
    pub(super) async fn look(&self) {
        if let Some(since) = self.settings.idle.and_then(|idle| Instant::now().checked_sub(idle)) {
            self.pool.close_idle(since);
        }
        if self.health.heard_within(ASK_EVERY) {
            return;
        }
        let deadline = deadline_after(ASK_TIME);
        // Without a seat there are calls, which will find out themselves.
        let Ok(mut lease) = self.pool.lease(Key::Shared, None, deadline).await else { return };
        let asked = tokio::time::timeout_at(deadline.into(), async {
            if let Some(mut conn) = lease.conn.take() {
                if statement::rows(&mut conn, "SELECT 1", &[]).await.is_ok() {
                    lease.conn = Some(conn);
                    self.heard();
                    return;
                }
                self.pool.close_idle(Instant::now());
            }
            // What is wrong was noted where it was found.
            if let Ok(conn) = self.open(None, &mut lease).await {
                lease.conn = Some(conn);
            }
        });
        if asked.await.is_err() {
            self.lost(&Broken::Ended(std::io::ErrorKind::TimedOut.into()));
        }
    }
}
