//! Keeps a process' copy of the registry true, on a connection and a thread of its own.

use std::{
    sync::{Arc, PoisonError, Weak, mpsc},
    time::Duration,
};

use partywall_model::TenantId;
use partywall_postgres::connect::{Connection, Connector};
use tokio::sync::Notify;
use tokio_postgres::{AsyncMessage, Client};

use super::{
    RegistryError, TenantState,
    central::{Copy, Tenants, record},
};
use crate::{admit::Incarnation, central::CentralError, clock::since_boot};

/// How long a process may serve without having asked, by the database's clock.
pub(super) const TERM: Duration = Duration::from_secs(5);
/// What the process takes off, since clocks of two machines do not run alike.
const MARGIN: Duration = Duration::from_secs(1);
/// How often it asks when nothing changes.
const ASK: Duration = Duration::from_secs(1);
/// How long a question may take; well within the term.
const ANSWER: Duration = Duration::from_secs(2);
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long the first look may take, the connection included.
const START: Duration = Duration::from_secs(15);

/// Starts to keep the copy, for as long as somebody has it; returns when it is true for the first time.
pub(super) fn start(connector: Connector, copy: &Arc<Copy>) -> Result<(), CentralError> {
    let mut tag = [0_u8; 8];
    getrandom::fill(&mut tag).map_err(|error| CentralError::Thread(error.into()))?;
    let name = hex::encode(tag);
    let (ready, is_ready) = mpsc::sync_channel(1);
    let copy = Arc::downgrade(copy);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name("tenants".to_owned())
        .spawn(move || runtime.block_on(keep(&connector, &copy, &name, &ready)))?;
    let slow = || CentralError::Slow { doing: "reading the tenants".to_owned() };
    is_ready.recv_timeout(START).unwrap_or_else(|_gone| Err(slow()))
}

/// Connects again and again, until nobody has the copy any more.
async fn keep(
    connector: &Connector,
    copy: &Weak<Copy>,
    name: &str,
    ready: &mpsc::SyncSender<Result<(), CentralError>>,
) {
    let mut pause = SHORTEST_PAUSE;
    let mut failing = false;
    while copy.strong_count() > 0 {
        let ended = match connector.connect().await {
            Ok((client, connection)) => {
                let told = Notify::new();
                tokio::select! {
                    ended = listen(connection, &told) => ended,
                    ended = attend(&client, copy, name, &told, || {
                        if std::mem::take(&mut failing) {
                            tracing::info!("the tenant registry can be read again");
                        }
                        pause = SHORTEST_PAUSE;
                        let _first = ready.try_send(Ok(()));
                    }) => ended,
                }
            }
            Err(error) => error.into(),
        };
        if copy.strong_count() == 0 {
            return;
        }
        if !std::mem::replace(&mut failing, true) {
            tracing::error!(error = %ended, "every request is denied once the copy of the tenants is too old");
        }
        // Only the first is waited for.
        let _first = ready.try_send(Err(ended));
        tokio::time::sleep(pause).await;
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

/// Prolongs the term and learns what has changed, until something fails or nobody has the copy.
async fn attend(
    client: &Client,
    copy: &Weak<Copy>,
    name: &str,
    told: &Notify,
    mut good: impl FnMut(),
) -> CentralError {
    let mut seen = None;
    loop {
        let Some(copy) = copy.upgrade() else {
            // So that nobody waits for this process until its term has run out.
            let _gone = client.execute("DELETE FROM partywall.replica WHERE name = $1", &[&name]).await;
            return lost();
        };
        match tokio::time::timeout(ANSWER, renew(client, &copy, name, seen)).await {
            Ok(Ok(position)) => seen = Some(position),
            Ok(Err(error)) => return error,
            Err(_elapsed) => return CentralError::Slow { doing: "reading the tenants".to_owned() },
        }
        drop(copy);
        good();
        // A notification that came meanwhile is remembered.
        let _asked = tokio::time::timeout(ASK, told.notified()).await;
    }
}

/// One question; how far in the log of changes the copy is after it.
async fn renew(client: &Client, copy: &Copy, name: &str, seen: Option<i64>) -> Result<i64, CentralError> {
    let asked = since_boot();
    let seen = match seen {
        Some(seen) => match changes(client, copy, seen).await? {
            Some(seen) => seen,
            None => everything(client, copy).await?,
        },
        None => {
            client.batch_execute("LISTEN partywall_tenants").await.map_err(|error| failed(&error))?;
            // Registered before everything is read: a change that is not in what is read waits for this process.
            say(client, name, 0).await?;
            everything(client, copy).await?
        }
    };
    // Said after the copy has it.
    say(client, name, seen).await?;
    copy.is_true_until(asked + TERM - MARGIN);
    Ok(seen)
}

async fn say(client: &Client, name: &str, seen: i64) -> Result<(), CentralError> {
    let text = "WITH gone AS (
            DELETE FROM partywall.replica WHERE until < clock_timestamp() - interval '1 hour' AND name <> $1)
        INSERT INTO partywall.replica (name, seen, until)
            VALUES ($1, $2, clock_timestamp() + $3 * interval '1 second')
        ON CONFLICT (name) DO UPDATE SET seen = excluded.seen, until = excluded.until";
    let said = client.execute(text, &[&name, &seen, &TERM.as_secs_f64()]).await;
    said.map(|_rows| ()).map_err(|error| failed(&error))
}

/// Reads all tenants, and how far the log of changes had come before.
async fn everything(client: &Client, copy: &Copy) -> Result<i64, CentralError> {
    let position = client
        .query_one("SELECT max(number) FROM partywall.change", &[])
        .await
        .and_then(|row| row.try_get(0))
        .map_err(|error| failed(&error))?;
    let rows = client
        .query("SELECT id, incarnation, state, created_at FROM partywall.tenant", &[])
        .await
        .map_err(|error| failed(&error))?;
    let mut tenants = Tenants::with_capacity(rows.len());
    for row in &rows {
        match record(row) {
            Ok(record) => tenants.insert(record.id, (record.incarnation, record.state)),
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
async fn changes(client: &Client, copy: &Copy, seen: i64) -> Result<Option<i64>, CentralError> {
    // The change that was seen last comes along, to show that nothing between is missing.
    let rows = client
        .query(
            "SELECT c.number, c.id, c.incarnation, t.state
             FROM partywall.change AS c LEFT JOIN partywall.tenant AS t
                 ON t.incarnation = c.incarnation AND t.id = c.id
             WHERE c.number >= $1 ORDER BY c.number",
            &[&seen],
        )
        .await
        .map_err(|error| failed(&error))?;
    let mut rows = rows.iter();
    let read = |row: &tokio_postgres::Row| -> Result<_, tokio_postgres::Error> {
        Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))
    };
    let first: Option<(i64, String, i64, Option<String>)> =
        rows.next().map(read).transpose().map_err(|error| failed(&error))?;
    if first.is_none_or(|(number, ..)| number != seen) {
        return Ok(None);
    }
    let mut last = seen;
    for row in rows {
        let (number, id, incarnation, state) = read(row).map_err(|error| failed(&error))?;
        let state = state.as_deref().and_then(TenantState::parse);
        apply(copy, &id, Incarnation(incarnation.cast_unsigned()), state);
        last = number;
    }
    Ok(Some(last))
}

fn apply(copy: &Copy, id: &str, incarnation: Incarnation, state: Option<TenantState>) {
    let Ok(id) = TenantId::parse(id) else { return };
    let mut tenants = copy.tenants.write().unwrap_or_else(PoisonError::into_inner);
    match state {
        Some(state) => {
            tenants.insert(id, (incarnation, state));
        }
        // Another life of the id may have begun before this one's end is read.
        None if tenants.get(&id).is_some_and(|(now, _)| *now == incarnation) => {
            tenants.remove(&id);
        }
        None => {}
    }
}
