//! The registry in the database of the state.
//!
//! A process that serves has a copy in memory and a term until which it may use the copy without asking. It prolongs the
//! term by saying how far in the log of changes it has come. Whoever changes a tenant waits until every process whose
//! term has not run out has seen the change: then it holds everywhere, at the next request. A process that cannot reach
//! the database denies everybody once its term is over.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use partywall_model::TenantId;
use tokio_postgres::{Client, GenericClient, Row, error::SqlState};

use super::{RegistryError, TenantDenial, TenantRecord, TenantState, keeper};
use crate::{
    admit::Incarnation,
    central::{Central, CentralError, write_alone},
    clock::{Clock, since_boot},
};

/// How often a change looks whether all processes have seen it.
const LOOK: Duration = Duration::from_millis(10);

/// What a lookup needs to know of each tenant.
pub(super) type Tenants = HashMap<TenantId, (Incarnation, TenantState)>;

/// All tenants, in a database.
pub(super) struct CentralTenants {
    central: Arc<Central>,
    copy: Arc<Copy>,
    clock: Clock,
}

/// The registry as this process knows it.
pub(super) struct Copy {
    /// Until when it is known to be true, in microseconds since the machine started; 0 for not at all. The term of a
    /// machine that sleeps runs on.
    until: AtomicU64,
    pub(super) tenants: RwLock<Tenants>,
}

impl Copy {
    fn is_true(&self) -> bool {
        micros(since_boot()) < self.until.load(Ordering::Acquire)
    }

    /// `until` is a [`since_boot`].
    pub(super) fn is_true_until(&self, until: Duration) {
        self.until.store(micros(until), Ordering::Release);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl CentralTenants {
    pub(super) fn new(central: Arc<Central>) -> Self {
        let copy = Copy { until: AtomicU64::new(0), tenants: RwLock::default() };
        Self { central, copy: Arc::new(copy), clock: Clock::system() }
    }

    /// Starts to keep the copy true, and waits until it is.
    pub(super) fn attend(&self) -> Result<(), RegistryError> {
        keeper::start(self.central.connector().clone(), &self.copy).map_err(RegistryError::Central)
    }

    fn fresh<T>(&self, ask: impl FnOnce(&Tenants) -> T) -> Option<T> {
        let tenants = self.copy.tenants.read().unwrap_or_else(PoisonError::into_inner);
        // After the lock was taken, so that a long wait for it does not outlive the term.
        self.copy.is_true().then(|| ask(&tenants))
    }

    pub(super) fn active(&self, id: &TenantId) -> Result<Incarnation, TenantDenial> {
        match self.fresh(|tenants| tenants.get(id).copied()) {
            Some(Some((incarnation, TenantState::Active))) => Ok(incarnation),
            Some(Some((_, TenantState::Suspended))) => Err(TenantDenial::Suspended),
            Some(Some((_, TenantState::Removing))) => Err(TenantDenial::Removed),
            Some(None) => Err(TenantDenial::Unknown),
            None => Err(TenantDenial::Unavailable),
        }
    }

    pub(super) fn check(&self) -> Result<(), RegistryError> {
        self.fresh(|_| ()).ok_or_else(|| RegistryError::NotKept { at: self.central.at() })
    }

    pub(super) fn len(&self) -> Result<usize, RegistryError> {
        if let Some(count) = self.fresh(HashMap::len) {
            return Ok(count);
        }
        Ok(self.list()?.len())
    }

    pub(super) fn list(&self) -> Result<Vec<TenantRecord>, RegistryError> {
        const DOING: &str = "listing the tenants";
        self.central.run(DOING, |client| {
            Box::pin(async move {
                let rows = client
                    .query("SELECT id, incarnation, state, created_at FROM partywall.tenant ORDER BY id", &[])
                    .await
                    .map_err(failed(DOING))?;
                rows.iter().map(record).collect()
            })
        })
    }

    pub(super) fn get(&self, id: &TenantId) -> Result<Option<TenantRecord>, RegistryError> {
        let wanted = id.clone();
        let found = self.central.run("looking for a tenant", move |client| {
            Box::pin(async move { find(client, &wanted).await })
        })?;
        Ok(found.filter(|record: &TenantRecord| record.id == *id))
    }

    pub(super) fn add_many(&self, ids: &[TenantId]) -> Result<Vec<TenantRecord>, RegistryError> {
        const DOING: &str = "adding tenants";
        let now = self.clock.unix_seconds().cast_signed();
        let ids = ids.to_vec();
        let added = self.central.run(DOING, move |client| {
            Box::pin(async move {
                let tx = client.transaction().await.map_err(failed(DOING))?;
                write_alone(&tx).await.map_err(failed(DOING))?;
                let mut added = Vec::with_capacity(ids.len());
                for id in ids {
                    let inserted = tx
                        .query_one(
                            "INSERT INTO partywall.tenant (id, state, created_at) VALUES ($1, 'active', $2)
                             RETURNING id, incarnation, state, created_at",
                            &[&id.as_str(), &now],
                        )
                        .await;
                    match inserted {
                        Ok(row) => added.push(record(&row)?),
                        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                            tx.rollback().await.map_err(failed(DOING))?;
                            return Err(taken(client, id).await);
                        }
                        Err(error) => return Err(failed(DOING)(error)),
                    }
                }
                tx.commit().await.map_err(failed(DOING))?;
                Ok(added)
            })
        })?;
        self.seen_by_all(DOING)?;
        Ok(added)
    }

    /// The first of the ids that was removed before, in any spelling: removal leaves a mark where the secrets were.
    pub(super) fn removed_before(&self, ids: &[TenantId]) -> Result<Option<TenantId>, RegistryError> {
        const DOING: &str = "looking for removed tenants";
        let ids = ids.to_vec();
        self.central.run(DOING, move |client| {
            Box::pin(async move {
                let tx = client.transaction().await.map_err(failed(DOING))?;
                for id in ids {
                    tx.query("SELECT set_config('partywall.tenant', $1, true)", &[&id.as_str()])
                        .await
                        .map_err(failed(DOING))?;
                    let row = tx
                        .query_one(
                            "SELECT EXISTS (SELECT FROM partywall.shredded WHERE lower(tenant) = lower($1))",
                            &[&id.as_str()],
                        )
                        .await
                        .map_err(failed(DOING))?;
                    if row.try_get(0).map_err(failed(DOING))? {
                        return Ok(Some(id));
                    }
                }
                Ok(None)
            })
        })
    }

    pub(super) fn change(
        &self,
        verb: &'static str,
        id: &TenantId,
        state: TenantState,
    ) -> Result<TenantRecord, RegistryError> {
        let wanted = id.clone();
        let changed = self.central.run(verb, move |client| {
            Box::pin(async move {
                let tx = client.transaction().await.map_err(failed(verb))?;
                write_alone(&tx).await.map_err(failed(verb))?;
                let mut record = match find(&tx, &wanted).await? {
                    Some(record) if record.id == wanted => record,
                    _ => return Err(RegistryError::NotFound(wanted)),
                };
                if record.state == TenantState::Removing && state != TenantState::Removing {
                    return Err(RegistryError::BeingRemoved(wanted));
                }
                if record.state != state {
                    tx.execute(
                        "UPDATE partywall.tenant SET state = $1 WHERE incarnation = $2",
                        &[&state.as_str(), &record.incarnation.0.cast_signed()],
                    )
                    .await
                    .map_err(failed(verb))?;
                    record.state = state;
                }
                tx.commit().await.map_err(failed(verb))?;
                Ok(record)
            })
        })?;
        // Also when nothing was changed: an earlier command may have been cut off while it waited.
        self.seen_by_all(verb)?;
        Ok(changed)
    }

    /// Forgets this life of a tenant, and no later one.
    pub(super) fn forget(&self, record: &TenantRecord) -> Result<(), RegistryError> {
        const DOING: &str = "finishing the removal of a tenant";
        let record = record.clone();
        self.central.run(DOING, move |client| {
            Box::pin(async move {
                let tx = client.transaction().await.map_err(failed(DOING))?;
                write_alone(&tx).await.map_err(failed(DOING))?;
                match find(&tx, &record.id).await? {
                    Some(now) if now.incarnation == record.incarnation => {
                        if now.state != TenantState::Removing {
                            return Err(RegistryError::NotBeingRemoved(now.id));
                        }
                        tx.execute(
                            "DELETE FROM partywall.tenant WHERE incarnation = $1",
                            &[&record.incarnation.0.cast_signed()],
                        )
                        .await
                        .map_err(failed(DOING))?;
                    }
                    // Somebody else has finished.
                    _ => {}
                }
                tx.commit().await.map_err(failed(DOING))
            })
        })?;
        self.seen_by_all(DOING)
    }

    /// Waits until no process acts on an earlier state: all have seen the last change, or their terms have run out.
    fn seen_by_all(&self, doing: &'static str) -> Result<(), RegistryError> {
        const WAITING: &str = "waiting until all servers have seen the change";
        let end = Instant::now() + keeper::TERM * 2;
        let number: i64 = self.central.run(doing, move |client| {
            Box::pin(async move {
                let row = client
                    .query_one("SELECT max(number) FROM partywall.change", &[])
                    .await
                    .map_err(failed(WAITING))?;
                row.try_get(0).map_err(failed(WAITING))
            })
        })?;
        loop {
            let behind: i64 = self.central.run(doing, move |client| {
                Box::pin(async move {
                    let row = client
                        .query_one(
                            "SELECT count(*) FROM partywall.replica WHERE until > clock_timestamp() AND seen < $1",
                            &[&number],
                        )
                        .await
                        .map_err(failed(WAITING))?;
                    row.try_get(0).map_err(failed(WAITING))
                })
            })?;
            if behind == 0 {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(RegistryError::NotSeen { servers: behind });
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl std::fmt::Debug for CentralTenants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CentralTenants").field("at", &self.central.at()).finish_non_exhaustive()
    }
}

fn failed(doing: &'static str) -> impl Fn(tokio_postgres::Error) -> RegistryError {
    move |error| RegistryError::Central(CentralError::sql(doing, &error))
}

/// The tenant with this id in any spelling.
async fn find(client: &impl GenericClient, id: &TenantId) -> Result<Option<TenantRecord>, RegistryError> {
    let row = client
        .query_opt(
            "SELECT id, incarnation, state, created_at FROM partywall.tenant WHERE lower(id) = lower($1)",
            &[&id.as_str()],
        )
        .await
        .map_err(failed("looking for a tenant"))?;
    row.as_ref().map(record).transpose()
}

/// Why an id cannot be added.
async fn taken(client: &Client, id: TenantId) -> RegistryError {
    match find(client, &id).await {
        Ok(Some(other)) if other.id != id => RegistryError::CaseTwin { id, existing: other.id },
        Ok(Some(same)) if same.state == TenantState::Removing => RegistryError::BeingRemoved(same.id),
        Ok(_) => RegistryError::AlreadyExists(id),
        Err(error) => error,
    }
}

/// Reads a row of id, incarnation, state and time of creation.
pub(super) fn record(row: &Row) -> Result<TenantRecord, RegistryError> {
    let failed = failed("reading a tenant");
    let id: String = row.try_get(0).map_err(&failed)?;
    let damaged = |what| RegistryError::CentralRow { row: format!("`{}`", id.escape_debug()), what };
    let state: String = row.try_get(2).map_err(&failed)?;
    Ok(TenantRecord {
        id: TenantId::parse(&id).map_err(|_| damaged("it is no tenant id"))?,
        incarnation: Incarnation(row.try_get::<_, i64>(1).map_err(&failed)?.cast_unsigned()),
        state: TenantState::parse(&state).ok_or_else(|| damaged("it has an unknown state"))?,
        created_at: row.try_get::<_, i64>(3).map_err(&failed)?.cast_unsigned(),
    })
}
