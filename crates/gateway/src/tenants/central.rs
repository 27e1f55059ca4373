//! The registry in the database of the state.
//!
//! A process that serves has a copy in memory and a term until which it may use the copy without asking. It prolongs the
//! term by saying how far in the log of changes it has come. Whoever changes a tenant waits until every process whose
//! term has not run out has seen the change: then it holds everywhere, at the next request. A process that cannot reach
//! the database denies everybody once its term is over.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use partywall_model::TenantId;
use tokio_postgres::{Client, GenericClient, Row, error::SqlState};

use super::{
    Life, RegistryError, TenantDenial, TenantRecord, TenantState,
    keeper::{self, Keeper},
};
use crate::{
    admit::Incarnation,
    central::{Central, CentralError, LIMIT, TURN, write_alone},
    clock::since_boot,
};

/// How often a change looks whether all processes have seen it.
const LOOK: Duration = Duration::from_millis(10);
/// The most seconds that a use may take longer because it is of many tenants.
const MOST_SECONDS: u32 = 600;

/// What a lookup needs to know of each tenant.
pub(super) type Tenants = HashMap<TenantId, (Life, TenantState)>;

/// All tenants, in a database.
pub(super) struct CentralTenants {
    central: Arc<Central>,
    copy: Arc<Copy>,
    /// Who keeps the copy, once it is served from.
    keeper: Mutex<Option<Keeper>>,
}

impl Drop for CentralTenants {
    /// Says that this process is gone, so that nobody waits until its term has run out.
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            keeper.end();
        }
    }
}

/// The registry as this process knows it.
pub(super) struct Copy {
    /// Until when it is known to be true, in microseconds since the machine started; 0 for not at all. The term of a
    /// machine that sleeps runs on.
    until: AtomicU64,
    /// Whether the database answered what was asked last of the tenants.
    pub(super) answered: AtomicBool,
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
        let copy =
            Copy { until: AtomicU64::new(0), answered: AtomicBool::new(false), tenants: RwLock::default() };
        Self { central, copy: Arc::new(copy), keeper: Mutex::default() }
    }

    /// Starts to keep the copy true, and waits until it is.
    pub(super) fn attend(&self) -> Result<(), RegistryError> {
        self.central.open_all()?;
        let keeper = Keeper::start(self.central.connector().clone(), &self.copy)
            .map_err(|error| error.after(Central::CONNECTIONS - 1))?;
        *self.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper);
        Ok(())
    }

    fn fresh<T>(&self, ask: impl FnOnce(&Tenants) -> T) -> Option<T> {
        let tenants = self.copy.tenants.read().unwrap_or_else(PoisonError::into_inner);
        // After the lock was taken, so that a long wait for it does not outlive the term.
        self.copy.is_true().then(|| ask(&tenants))
    }

    pub(super) fn life(&self, id: &TenantId) -> Result<Life, TenantDenial> {
        match self.fresh(|tenants| tenants.get(id).copied()) {
            Some(Some((life, TenantState::Active))) => Ok(life),
            Some(Some((_, TenantState::Suspended))) => Err(TenantDenial::Suspended),
            Some(Some((_, TenantState::Removing))) => Err(TenantDenial::Removed),
            Some(None) => Err(TenantDenial::Unknown),
            None => Err(TenantDenial::Unavailable),
        }
    }

    /// In the Prometheus text format.
    pub(super) fn render(&self) -> String {
        let until = self.copy.until.load(Ordering::Acquire);
        // It was true when it was asked for, a term before.
        let asked = until.saturating_sub(micros(keeper::USABLE));
        let age = Duration::from_micros(micros(since_boot()).saturating_sub(asked)).as_secs_f64();
        // Asked each second by whoever keeps the tenants; a connection that has failed is tried again as often.
        let answered = self.copy.answered.load(Ordering::Relaxed);
        let reachable = u8::from(answered && self.central.is_reachable());
        format!(
            "# HELP partywall_state_reachable Whether the database of the state answered all that was asked last.\n\
             # TYPE partywall_state_reachable gauge\npartywall_state_reachable {reachable}\n\
             # HELP partywall_state_age_seconds Age of what is known of the tenants; everybody is denied after some seconds.\n\
             # TYPE partywall_state_age_seconds gauge\npartywall_state_age_seconds {age:.3}\n"
        )
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
                    .query(
                        "SELECT id, incarnation, state, created_at, again FROM partywall.tenant ORDER BY id",
                        &[],
                    )
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
        twins(ids)?;
        let ids = ids.to_vec();
        let added = self.central.run_within(time_for(TURN, ids.len()), DOING, move |client| {
            Box::pin(async move {
                let names: Vec<&str> = ids.iter().map(TenantId::as_str).collect();
                let tx = client.transaction().await.map_err(failed(DOING))?;
                write_alone(&tx, DOING).await?;
                let inserted = tx
                    .query(
                        "INSERT INTO partywall.tenant (id, state, created_at)
                         SELECT id, 'active', floor(extract(epoch FROM statement_timestamp()))::bigint
                         FROM unnest($1::text[]) AS new (id)
                         RETURNING id, incarnation, state, created_at, again",
                        &[&names],
                    )
                    .await;
                let rows = match inserted {
                    Ok(rows) => rows,
                    Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                        tx.rollback().await.map_err(failed(DOING))?;
                        return Err(taken(client, &ids).await.unwrap_or_else(|| failed(DOING)(error)));
                    }
                    Err(error) => return Err(failed(DOING)(error)),
                };
                let added = rows.iter().map(record).collect::<Result<_, _>>()?;
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
        self.central.run_within(time_for(LIMIT, ids.len()), DOING, move |client| {
            Box::pin(async move {
                let spelled: Vec<String> = ids.iter().map(|id| id.as_str().to_ascii_lowercase()).collect();
                let rows = client
                    .query(
                        "SELECT DISTINCT lower(tenant) FROM partywall.shredded WHERE lower(tenant) = ANY ($1)",
                        &[&spelled],
                    )
                    .await
                    .map_err(failed(DOING))?;
                let known: HashSet<String> =
                    rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(failed(DOING))?;
                let first = ids.iter().zip(&spelled).find(|(_, spelled)| known.contains(*spelled));
                Ok(first.map(|(id, _)| id.clone()))
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
        let changed = self.central.run_within(TURN, verb, move |client| {
            Box::pin(async move {
                let tx = client.transaction().await.map_err(failed(verb))?;
                write_alone(&tx, verb).await?;
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
        self.central.run_within(TURN, DOING, move |client| {
            Box::pin(async move {
                let tx = client.transaction().await.map_err(failed(DOING))?;
                write_alone(&tx, DOING).await?;
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
        let begun = Instant::now();
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
            // Whoever has a term that ends later than any that is given now has it from a clock that was put back since, and
            // was waited for when so much time is over.
            let waited = begun.elapsed() > keeper::TERM;
            let behind: i64 = self.central.run(doing, move |client| {
                Box::pin(async move {
                    // A place that the log does not have is one in a log that a backup has replaced.
                    let row = client
                        .query_one(
                            "WITH gone AS (
                                DELETE FROM partywall.replica
                                WHERE $2 AND until > clock_timestamp() + $3 * interval '1 second')
                             SELECT count(*) FROM partywall.replica AS r
                             WHERE until > clock_timestamp()
                               AND NOT ($2 AND until > clock_timestamp() + $3 * interval '1 second')
                               AND (seen < $1 OR tag IS NOT NULL AND NOT EXISTS (
                                   SELECT FROM partywall.change AS c WHERE c.number = r.seen AND c.tag = r.tag))",
                            &[&number, &waited, &keeper::TERM.as_secs_f64()],
                        )
                        .await
                        .map_err(failed(WAITING))?;
                    row.try_get(0).map_err(failed(WAITING))
                })
            })?;
            if behind == 0 {
                return Ok(());
            }
            if begun.elapsed() > keeper::TERM * 2 {
                return Err(RegistryError::NotSeen { servers: behind });
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// How long a use may take that is of many tenants, if it may take `one` when it is of one.
fn time_for(one: Duration, tenants: usize) -> Duration {
    let more = u32::try_from(tenants / 1000).unwrap_or(u32::MAX).min(MOST_SECONDS);
    one + Duration::from_secs(u64::from(more))
}

/// Refuses ids of one list that differ in upper and lower case only.
fn twins(ids: &[TenantId]) -> Result<(), RegistryError> {
    let mut spelled: HashMap<String, &TenantId> = HashMap::with_capacity(ids.len());
    for id in ids {
        if let Some(other) = spelled.insert(id.as_str().to_ascii_lowercase(), id) {
            return Err(match other == id {
                true => RegistryError::AlreadyExists(id.clone()),
                false => RegistryError::CaseTwin { id: id.clone(), existing: other.clone() },
            });
        }
    }
    Ok(())
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
    // The server's own way of lowering letters would be that of its language.
    let spelled = id.as_str().to_ascii_lowercase();
    let row = client
        .query_opt(
            "SELECT id, incarnation, state, created_at, again FROM partywall.tenant WHERE lower(id) = $1",
            &[&spelled],
        )
        .await
        .map_err(failed("looking for a tenant"))?;
    row.as_ref().map(record).transpose()
}

/// Why one of the ids cannot be added.
async fn taken(client: &Client, ids: &[TenantId]) -> Option<RegistryError> {
    let spelled: Vec<String> = ids.iter().map(|id| id.as_str().to_ascii_lowercase()).collect();
    let text = "SELECT id, incarnation, state, created_at, again FROM partywall.tenant
        WHERE lower(id) = ANY ($1) ORDER BY id LIMIT 1";
    let there = match client.query_opt(text, &[&spelled]).await.map_err(failed("looking for a tenant")) {
        Ok(row) => record(&row?),
        Err(error) => Err(error),
    };
    Some(match there {
        Ok(there) => match ids.iter().find(|id| id.as_str().eq_ignore_ascii_case(there.id.as_str())) {
            Some(id) if *id != there.id => RegistryError::CaseTwin { id: id.clone(), existing: there.id },
            _ if there.state == TenantState::Removing => RegistryError::BeingRemoved(there.id),
            _ => RegistryError::AlreadyExists(there.id),
        },
        Err(error) => error,
    })
}

/// Reads a row of id, incarnation, state, time of creation and whether there was an earlier life.
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
        again: row.try_get(4).map_err(&failed)?,
    })
}
