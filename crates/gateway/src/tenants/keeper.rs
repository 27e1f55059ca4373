//! Keeps a process' copy of the registry true, on a connection and a thread of its own.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed, mpsc},
    time::Duration,
};

use partywall_model::TenantId;
use partywall_postgres::connect::{Connection, Connector};
use tokio::sync::{Notify, watch};
use tokio_postgres::{AsyncMessage, Client, Row};

use super::{
    Life, RegistryError, TenantState,
    central::{Copy, Tenants, record},
};
use crate::{
    admit::Incarnation,
    central::{CentralError, HELD, connect},
    clock::since_boot,
};

/// How long a process may serve without having asked, by the database's clock.
pub(super) const TERM: Duration = Duration::from_secs(5);
/// What the process takes off, since clocks of two machines do not run alike.
const MARGIN: Duration = Duration::from_secs(1);
/// For how long a copy is used after it was asked for.
pub(super) const USABLE: Duration = Duration::from_secs(TERM.as_secs() - MARGIN.as_secs());
/// How often it asks when nothing changes.
const ASK: Duration = Duration::from_secs(1);
/// How long a question may take; well within the term.
const ANSWER: Duration = Duration::from_secs(2);
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long the first look may take, the connection included.
const START: Duration = Duration::from_secs(15);

/// How long the end of the process waits until the database knows of it.
const FAREWELL: Duration = Duration::from_secs(1);

/// The thread that keeps the copy.
pub(super) struct Keeper {
    /// It goes on while this is there.
    alive: watch::Sender<()>,
    gone: Mutex<mpsc::Receiver<()>>,
}

impl Keeper {
    /// Starts to keep the copy; returns when it is true for the first time.
    pub(super) fn start(connector: Connector, copy: &Arc<Copy>) -> Result<Self, CentralError> {
        let mut tag = [0_u8; 8];
        getrandom::fill(&mut tag).map_err(|error| CentralError::Thread(error.into()))?;
        let name = hex::encode(tag);
        let (ready, is_ready) = mpsc::sync_channel(1);
        let (ends, gone) = mpsc::channel();
        let (alive, lives) = watch::channel(());
        let copy = Arc::clone(copy);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("tenants".to_owned()).spawn(move || {
            runtime.block_on(keep(&connector, &copy, &name, &ready, lives));
            drop(ends);
        })?;
        let slow = || CentralError::Slow { doing: "reading the tenants".to_owned() };
        is_ready.recv_timeout(START).unwrap_or_else(|_gone| Err(slow()))?;
        Ok(Self { alive, gone: Mutex::new(gone) })
    }

    /// Ends it, and waits a little until the database knows.
    pub(super) fn end(self) {
        let Self { alive, gone } = self;
        drop(alive);
        let _told = gone.into_inner().unwrap_or_else(PoisonError::into_inner).recv_timeout(FAREWELL);
    }
}

/// Whether nobody has the keeper any more.
fn is_over(lives: &watch::Receiver<()>) -> bool {
    lives.has_changed().is_err()
}

/// Connects again and again, until nobody has the keeper any more.
async fn keep(
    connector: &Connector,
    copy: &Copy,
    name: &str,
    ready: &mpsc::SyncSender<Result<(), CentralError>>,
    mut lives: watch::Receiver<()>,
) {
    let mut pause = SHORTEST_PAUSE;
    let mut failing = false;
    while !is_over(&lives) {
        let ended = match connect(connector, HELD).await {
            Ok((client, connection)) => {
                let told = Notify::new();
                tokio::select! {
                    ended = listen(connection, &told) => ended,
                    ended = attend(&client, copy, name, &told, lives.clone(), || {
                        if std::mem::take(&mut failing) {
                            tracing::warn!("the tenant registry can be read again");
                        }
                        pause = SHORTEST_PAUSE;
                        copy.answered.store(true, Relaxed);
                        let _first = ready.try_send(Ok(()));
                    }) => ended,
                }
            }
            Err(error) => error,
        };
        copy.answered.store(false, Relaxed);
        if is_over(&lives) {
            return;
        }
        if !std::mem::replace(&mut failing, true) {
            tracing::error!(error = %ended, "every request is denied once the copy of the tenants is too old");
        }
        // Only the first is waited for.
        let _first = ready.try_send(Err(ended));
        let _over = tokio::time::timeout(pause, lives.changed()).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Runs the connection and passes its notifications on; returns when it has ended.
async fn listen(mut connection: Connection, told: &Notify) -> CentralError {
    loop {
        match std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            Some(Ok(AsyncMessage::Notification(_))) => told.notify_one(),
            Some(Ok(_)) => {}
            Some(Err(error)) => return failed(&error),
            None => return lost(),
        }
    }
}

fn failed(error: &tokio_postgres::Error) -> CentralError {
    CentralError::sql("reading the tenants", error)
}

fn lost() -> CentralError {
    CentralError::JustFailed { doing: "reading the tenants".to_owned() }
}

/// Prolongs the term and learns what has changed, until something fails or nobody has the keeper.
async fn attend(
    client: &Client,
    copy: &Copy,
    name: &str,
    told: &Notify,
    mut lives: watch::Receiver<()>,
    mut good: impl FnMut(),
) -> CentralError {
    let mut seen = None;
    loop {
        if is_over(&lives) {
            // So that nobody waits for this process until its term has run out; nobody is served by it any more.
            let text = "DELETE FROM partywall.replica WHERE name = $1";
            let _gone = tokio::time::timeout(ANSWER, client.execute(text, &[&name])).await;
            return lost();
        }
        match tokio::time::timeout(ANSWER, renew(client, copy, name, seen.as_ref())).await {
            Ok(Ok(position)) => seen = Some(position),
            Ok(Err(error)) => return error,
            Err(_elapsed) => return CentralError::Slow { doing: "reading the tenants".to_owned() },
        }
        good();
        tokio::select! {
            // A notification that came meanwhile is remembered.
            () = told.notified() => {}
            _over = lives.changed() => {}
            () = tokio::time::sleep(ASK) => {}
        }
    }
}

/// A place in the log of changes. The tag tells a change from another one that got the same number after a backup was
/// restored.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    number: i64,
    tag: String,
}

/// One question; how far in the log of changes the copy is after it.
async fn renew(
    client: &Client,
    copy: &Copy,
    name: &str,
    seen: Option<&Place>,
) -> Result<Place, CentralError> {
    let asked = since_boot();
    let seen = match seen {
        Some(seen) => match changes(client, copy, seen).await? {
            Some(seen) => seen,
            None => everything(client, copy).await?,
        },
        None => {
            client.batch_execute("LISTEN partywall_tenants").await.map_err(|error| failed(&error))?;
            // Registered before everything is read: a change that is not in what is read waits for this process.
            say(client, name, None).await?;
            everything(client, copy).await?
        }
    };
    // Said after the copy has it.
    say(client, name, Some(&seen)).await?;
    copy.is_true_until(asked + USABLE);
    Ok(seen)
}

async fn say(client: &Client, name: &str, seen: Option<&Place>) -> Result<(), CentralError> {
    let (number, tag) = seen.map_or((0, None), |seen| (seen.number, Some(&seen.tag)));
    let text = "WITH gone AS (
            DELETE FROM partywall.replica WHERE until < clock_timestamp() - interval '1 hour' AND name <> $1)
        INSERT INTO partywall.replica (name, seen, tag, until)
            VALUES ($1, $2, $3, clock_timestamp() + $4 * interval '1 second')
        ON CONFLICT (name) DO UPDATE SET seen = excluded.seen, tag = excluded.tag, until = excluded.until";
    let said = client.execute(text, &[&name, &number, &tag, &TERM.as_secs_f64()]).await;
    said.map(|_rows| ()).map_err(|error| failed(&error))
}

/// Reads all tenants, and how far the log of changes had come before.
async fn everything(client: &Client, copy: &Copy) -> Result<Place, CentralError> {
    let position = client
        .query_one("SELECT number, tag FROM partywall.change ORDER BY number DESC LIMIT 1", &[])
        .await
        .and_then(|row| place(&row))
        .map_err(|error| failed(&error))?;
    let rows = client
        .query("SELECT id, incarnation, state, created_at, again FROM partywall.tenant", &[])
        .await
        .map_err(|error| failed(&error))?;
    let mut tenants = Tenants::with_capacity(rows.len());
    for row in &rows {
        match record(row) {
            Ok(record) => {
                let now = (record.life(), record.state);
                tenants.insert(record.id, now)
            }
            Err(RegistryError::Central(error)) => return Err(error),
            Err(error) => {
                // One row that makes no sense denies its own tenant only.
                tracing::error!(%error, "a tenant is left out");
                None
            }
        };
    }
    *copy.tenants.write().unwrap_or_else(PoisonError::into_inner) = tenants;
    Ok(position)
}

/// Learns the changes after a place in the log; `None` when the log does not reach back to it.
async fn changes(client: &Client, copy: &Copy, seen: &Place) -> Result<Option<Place>, CentralError> {
    // The change that was seen last comes along, to show that this is the same log and nothing between is missing.
    let rows = client
        .query(
            "SELECT c.number, c.tag, c.id, c.incarnation, t.state, t.created_at, t.again
             FROM partywall.change AS c LEFT JOIN partywall.tenant AS t
                 ON t.incarnation = c.incarnation AND t.id = c.id
             WHERE c.number >= $1 ORDER BY c.number",
            &[&seen.number],
        )
        .await
        .map_err(|error| failed(&error))?;
    let mut rows = rows.iter();
    let first = rows.next().map(place).transpose().map_err(|error| failed(&error))?;
    if first.as_ref() != Some(seen) {
        return Ok(None);
    }
    let mut last = seen.clone();
    for row in rows {
        let (id, incarnation, now) = change(row).map_err(|error| failed(&error))?;
        apply(copy, &id, incarnation, now);
        last = place(row).map_err(|error| failed(&error))?;
    }
    Ok(Some(last))
}

fn place(row: &Row) -> Result<Place, tokio_postgres::Error> {
    Ok(Place { number: row.try_get(0)?, tag: row.try_get(1)? })
}

/// Which life of which id a change is of, and what that life is now.
type Change = (String, Incarnation, Option<(Life, TenantState)>);

fn change(row: &Row) -> Result<Change, tokio_postgres::Error> {
    let incarnation = Incarnation(row.try_get::<_, i64>(3)?.cast_unsigned());
    let state: Option<String> = row.try_get(4)?;
    // Nothing when the life has ended.
    let created_at: Option<i64> = row.try_get(5)?;
    let again = row.try_get::<_, Option<bool>>(6)?.unwrap_or(true);
    let life = Life::new(incarnation, created_at.unwrap_or_default().cast_unsigned(), again);
    let state = state.as_deref().and_then(TenantState::parse);
    Ok((row.try_get(2)?, incarnation, state.map(|state| (life, state))))
}

fn apply(copy: &Copy, id: &str, incarnation: Incarnation, now: Option<(Life, TenantState)>) {
    let Ok(id) = TenantId::parse(id) else { return };
    let mut tenants = copy.tenants.write().unwrap_or_else(PoisonError::into_inner);
    match now {
        Some(now) => {
            tenants.insert(id, now);
        }
        // Another life of the id may have begun before this one's end is read.
        None if tenants.get(&id).is_some_and(|(life, _)| life.incarnation == incarnation) => {
            tenants.remove(&id);
        }
        None => {}
    }
}
