//! What is looked at when a process begins to use the database: that it is one in which tenants are kept apart, that its
//! sessions are the process' own, and that the tables are there.

use std::{future::poll_fn, pin::pin, time::Duration};

use futures_util::{
    FutureExt as _,
    future::{Either, select},
};
use partywall_postgres::connect::{Connection, Connector};
use tokio::sync::Notify;
use tokio_postgres::{AsyncMessage, Client, GenericClient, SimpleQueryMessage, Transaction, error::SqlState};

use super::{CentralError, HELD, connect, failed, write_alone};

const SCHEMA: &str = include_str!("schema.sql");
const ADDITIONS: &str = include_str!("additions.sql");
/// What `partywall.format` says when the schema is this one.
const FORMAT: i32 = 1;
/// How long the look at the sessions may take.
const SESSIONS: Duration = Duration::from_secs(3);

/// Refuses a pooler that gives each transaction another session: prepared statements, the marks of who listens and the
/// limits of time are the session's.
pub(super) async fn same_session(client: &Client, connector: &Connector) -> Result<(), CentralError> {
    client.batch_execute("SET partywall.here = 'here'").await.map_err(failed)?;
    let (other, connection) = connect(connector, HELD).await.map_err(|error| error.after(1))?;
    let mut tag = [0_u8; 8];
    getrandom::fill(&mut tag).map_err(|error| CentralError::Thread(error.into()))?;
    let channel = format!("partywall_{}", hex::encode(tag));
    let told = Notify::new();
    let own = pin!(are_own(client, &other, &channel, &told));
    let ended = pin!(listen(connection, &channel, &told));
    match tokio::time::timeout(SESSIONS, select(own, ended)).await {
        Ok(Either::Left((own, _listens))) => own,
        // What was said before it ended has been heard and not looked at.
        Ok(Either::Right((ended, own))) => own.now_or_never().unwrap_or(Err(ended)),
        Err(_elapsed) => Err(CentralError::Pooled),
    }
}

/// Whether two clients have a session each, for longer than a transaction.
async fn are_own(client: &Client, other: &Client, channel: &str, told: &Notify) -> Result<(), CentralError> {
    // Whoever comes next takes the session that is free, if they are shared, and keeps it for the transaction.
    match other.batch_execute("BEGIN; SELECT 1").await {
        // No transactions at all: each statement may have another session.
        Err(error) if error.code() == Some(&SqlState::PROTOCOL_VIOLATION) => {
            return Err(CentralError::Pooled);
        }
        begun => begun.map_err(failed)?,
    }
    let text = "SELECT pg_catalog.current_setting('partywall.here', true) IS NOT DISTINCT FROM 'here'";
    let rows = client.simple_query(text).await.map_err(failed)?;
    if !rows.iter().any(|row| matches!(row, SimpleQueryMessage::Row(row) if row.get(0) == Some("t"))) {
        return Err(CentralError::Pooled);
    }
    // That may have been chance, if others are busy. Nobody who has no session is told of anything.
    other.batch_execute("COMMIT").await.map_err(failed)?;
    other.batch_execute(&format!("LISTEN {channel}")).await.map_err(failed)?;
    client.batch_execute(&format!("NOTIFY {channel}")).await.map_err(failed)?;
    told.notified().await;
    Ok(())
}

/// Runs the connection and says when the channel was heard of; returns when it has ended.
async fn listen(mut connection: Connection, channel: &str, told: &Notify) -> CentralError {
    loop {
        match poll_fn(|cx| connection.poll_message(cx)).await {
            Some(Ok(AsyncMessage::Notification(heard))) if heard.channel() == channel => told.notify_one(),
            Some(Ok(_)) => {}
            Some(Err(error)) => return failed(error),
            None => {
                return CentralError::JustFailed { doing: "checking the database of the state".to_owned() };
            }
        }
    }
}

/// Refuses a role that sees the rows of all tenants, and a database that cannot keep every text.
async fn look(client: &Client) -> Result<(), CentralError> {
    let row = client
        .query_one(
            "SELECT rolsuper OR rolbypassrls, current_user::text, pg_catalog.current_setting('server_encoding')
             FROM pg_catalog.pg_roles WHERE rolname = current_user",
            &[],
        )
        .await
        .map_err(failed)?;
    if row.get::<_, bool>(0) {
        return Err(CentralError::Unbound(row.get(1)));
    }
    match row.get::<_, String>(2) {
        encoding if encoding == "UTF8" => Ok(()),
        encoding => Err(CentralError::Encoding(encoding)),
    }
}

/// Makes what is missing of the tables, and refuses those that do not keep tenants apart. Where nothing is missing it waits
/// for nobody.
pub(super) async fn prepare(client: &mut Client) -> Result<(), CentralError> {
    look(client).await?;
    if !is_there(client, "to_regprocedure('partywall.note_new()')").await? {
        let tx = client.transaction().await.map_err(failed)?;
        write_alone(&tx, "preparing the database of the state").await?;
        make(&tx).await?;
        tx.commit().await.map_err(failed)?;
    }
    check_format(client).await?;
    check_forced(client).await
}

/// Makes what is missing, which may be nothing by now.
async fn make(tx: &Transaction<'_>) -> Result<(), CentralError> {
    if !is_there(tx, "to_regclass('partywall.format')").await? {
        tx.batch_execute(SCHEMA).await.map_err(failed)?;
    }
    check_format(tx).await?;
    // The last thing that is added.
    if !is_there(tx, "to_regprocedure('partywall.note_new()')").await? {
        // Whoever asks for tenants waits behind us while we wait for who reads them for long, such as a backup.
        tx.batch_execute("SET LOCAL lock_timeout = '1s'").await.map_err(failed)?;
        tx.batch_execute(ADDITIONS).await.map_err(failed)?;
    }
    Ok(())
}

async fn is_there(client: &impl GenericClient, what: &str) -> Result<bool, CentralError> {
    let row =
        client.query_one(&format!("SELECT pg_catalog.{what} IS NOT NULL"), &[]).await.map_err(failed)?;
    row.try_get(0).map_err(failed)
}

async fn check_format(client: &impl GenericClient) -> Result<(), CentralError> {
    // Data that were restored into tables that a process had made bring a row of their own.
    let rows = client.query("SELECT DISTINCT version FROM partywall.format", &[]).await.map_err(failed)?;
    let versions: Vec<i32> =
        rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(failed)?;
    match versions.iter().find(|version| **version != FORMAT) {
        Some(found) => Err(CentralError::Format { found: *found, known: FORMAT }),
        None if versions.is_empty() => Err(CentralError::Format { found: 0, known: FORMAT }),
        None => Ok(()),
    }
}

async fn check_forced(client: &impl GenericClient) -> Result<(), CentralError> {
    let open = client
        .query(
            "SELECT c.relname::text FROM pg_catalog.pg_class AS c
             WHERE c.relnamespace = 'partywall'::regnamespace
               AND c.relname IN ('tenant_key', 'secret', 'shredded', 'audit')
               AND NOT (c.relrowsecurity AND c.relforcerowsecurity)",
            &[],
        )
        .await
        .map_err(failed)?;
    match open.first() {
        Some(row) => Err(CentralError::NotForced(row.get(0))),
        None => Ok(()),
    }
}
