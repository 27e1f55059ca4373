//! One call's conversation with the server: the tenant first, then its statement, in one transaction.
//!
//! A read is sent as the context, the statement and *one* Sync. In the extended protocol everything up to a Sync is one
//! implicit transaction (PostgreSQL documentation, 55.2.3): the statement sees the tenant that the context has set for
//! that transaction, an error in the context makes the server skip the statement, and after the Sync the setting is
//! gone. A write has an explicit transaction around it, since its rows are looked at before it is committed and the
//! outcome of the commit has to be known.
//!
//! The search path, the time limit and that transactions are read-only are set once for each connection, because that
//! costs more than all the rest; the context makes sure at each call that they are still so, and is an error otherwise.
//! Behind a pooler, where each transaction may meet another server connection, they are set for each transaction.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use postgres_protocol::message::{
    backend::{CommandCompleteBody, DataRowBody, Message},
    frontend,
};

use super::{
    error::{Broken, ServerError},
    statement::{Statement, rows_or_error},
    value,
    wire::{Conn, Run, SMALL, Status, server_error},
};
use crate::guards::data::{DataError, QueryLimits, Rows};

/// How long the outcome of a commit is waited for beyond the call's own time.
const COMMIT_TIME: Duration = Duration::from_secs(10);
/// The longest that the server lets a statement run, in milliseconds: a day.
const LONGEST_STATEMENT: u128 = 86_400_000;
/// A value's text can be longer than its JSON (`bytea`), and a row has a few bytes around each value.
const SLACK: usize = 2;

/// What the gateway sets for the transaction of a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'c> {
    pub(super) source: &'c str,
    /// The SQL that sets it, once for reads and once for writes.
    pub(super) sql: &'c ContextSql,
    pub(super) tenant: &'c str,
    /// Where names without a schema are looked for.
    pub(super) search_path: &'c str,
    /// Whether a pooler may give each transaction another server connection.
    pub(super) pooled: bool,
}

/// The statements that begin each transaction.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ContextSql {
    /// For connections that have a [`Session`].
    read: String,
    write: String,
    /// For those that a pooler hands out.
    pooled_read: String,
    pooled_write: String,
}

/// What is set for as long as a connection lives.
pub(super) struct Session {
    search_path: String,
    /// The server's own limit for one statement, in milliseconds. Calls have limits of their own, which the gateway keeps;
    /// this one holds if it cannot.
    millis: u128,
    /// The same, as the server writes it.
    limit: String,
}

impl ContextSql {
    /// `setting` is what the policies read.
    pub(super) fn new(setting: &str) -> Self {
        let pooled_write = format!(
            "SELECT pg_catalog.set_config('{setting}', $1, true), pg_catalog.set_config('search_path', $2, true), \
             pg_catalog.set_config('statement_timeout', $3, true)"
        );
        let pooled_read =
            format!("{pooled_write}, pg_catalog.set_config('transaction_read_only', 'on', true)");
        // There is no setting without a name: that is an error, after which the server skips the statement.
        let with = |read_only: &str| {
            format!(
                "SELECT pg_catalog.set_config(CASE WHEN pg_catalog.current_setting('search_path') = $2 \
                 AND pg_catalog.current_setting('statement_timeout') = $3 \
                 AND pg_catalog.current_setting('transaction_read_only') = '{read_only}' \
                 THEN '{setting}' ELSE '' END, $1, true)"
            )
        };
        Self { read: with("on"), write: with("off"), pooled_read, pooled_write }
    }
}

/// Numbers of statements that every connection has; those of tools follow.
mod number {
    pub(super) const BEGIN: u64 = 0;
    pub(super) const COMMIT: u64 = 1;
    pub(super) const ROLLBACK: u64 = 2;
    pub(super) const CONTEXT_READ: u64 = 3;
    pub(super) const CONTEXT_WRITE: u64 = 4;
}

/// The first number of a tool's statement.
pub(super) const FIRST_STATEMENT: u64 = 16;

/// `text`, as the type of the context's parameters.
const TEXT: u32 = 25;

/// Why a call has no rows.
pub(super) enum Failure {
    /// The answer is no, and the connection is as it says of itself.
    Data(DataError),
    /// What is prepared on the connection is of no use any more.
    Stale,
    /// The connection ended, and nothing was changed.
    Broken(Broken),
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::TooLarge => Self::Data(DataError::TooLarge),
            other => Self::Broken(other),
        }
    }
}

/// One call.
pub(super) struct Ask<'a> {
    pub(super) context: Context<'a>,
    pub(super) statement: &'a Statement,
    pub(super) values: &'a [Option<String>],
    pub(super) limits: QueryLimits,
    pub(super) deadline: Instant,
}

/// What of the conversation is answered next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Begin,
    Context,
    Statement,
    End,
}

impl Ask<'_> {
    /// Runs the call. Dropping the future leaves the connection not clean, so that it is closed.
    pub(super) async fn run(&self, conn: &mut Conn) -> Result<Rows, Failure> {
        let late = |_elapsed| Failure::Data(DataError::TimedOut);
        let deadline = self.deadline.into();
        if !self.context.pooled {
            tokio::time::timeout_at(deadline, self.settle(conn)).await.map_err(late)??;
        }
        if !self.statement.writes() {
            return tokio::time::timeout_at(deadline, self.read(conn)).await.map_err(late)?;
        }
        let rows = tokio::time::timeout_at(deadline, self.write(conn)).await.map_err(late)??;
        // From here on nothing stops the commit, so that its outcome is the one reported.
        match tokio::time::timeout(COMMIT_TIME, self.end(conn, number::COMMIT, "COMMIT")).await {
            Ok(Ok(tag)) if tag == "COMMIT" => Ok(rows),
            // The server rolled back instead, or said why it did.
            Ok(Ok(_rolled_back)) => {
                Err(Failure::Data(DataError::Internal("the commit was refused".to_owned())))
            }
            Ok(Err(Failure::Data(error))) => Err(Failure::Data(error)),
            Ok(Err(_)) | Err(_) => Err(Failure::Data(DataError::Unknown(self.context.source.to_owned()))),
        }
    }

    /// The statement alone, in one round trip and without a tenant: what the others are measured against.
    #[cfg(test)]
    pub(super) async fn plain(&self, conn: &mut Conn) -> Result<Rows, Failure> {
        self.write_statement(conn)?;
        frontend::sync(conn.output());
        conn.send().await?;
        let mut answer = Answer::new(self, [Step::Statement]);
        answer.confirmed = true;
        answer.receive(conn).await?;
        answer.finish(&self.context)
    }

    /// Sets what holds for the connection, if that was not done or a longer time is needed now.
    async fn settle(&self, conn: &mut Conn) -> Result<(), Failure> {
        const SQL: &str = "SELECT pg_catalog.set_config('statement_timeout', $1, false), \
             pg_catalog.set_config('search_path', $2, false), \
             pg_catalog.set_config('default_transaction_read_only', 'on', false)";
        let millis = self.limits.time.as_millis().clamp(1, LONGEST_STATEMENT);
        let path = self.context.search_path;
        if conn.session.as_ref().is_some_and(|set| set.search_path == path && set.millis >= millis) {
            return Ok(());
        }
        let values = [Some(millis.to_string()), Some(path.to_owned())];
        let rows = rows_or_error(conn, SQL, &values).await?;
        let rows = rows.map_err(|error| Failure::Data(error.at_run(self.context.source)))?;
        let limit = rows.first().and_then(|row| row.first()?.clone());
        let limit = limit.ok_or(Broken::Protocol("a setting was not confirmed"))?;
        conn.session = Some(Session { search_path: path.to_owned(), millis, limit });
        Ok(())
    }

    async fn read(&self, conn: &mut Conn) -> Result<Rows, Failure> {
        self.write_context(conn)?;
        self.write_statement(conn)?;
        frontend::sync(conn.output());
        conn.send().await?;
        let mut answer = Answer::new(self, [Step::Context, Step::Statement]);
        let status = answer.receive(conn).await?;
        match (status, answer.finish(&self.context)) {
            (Status::Idle, done) => done,
            // A read that left a transaction is not what we sent; the connection is not clean.
            (_, Err(failure)) => Err(failure),
            _ => Err(Broken::Protocol("a read left a transaction").into()),
        }
    }

    async fn write(&self, conn: &mut Conn) -> Result<Rows, Failure> {
        self.write_command(conn, number::BEGIN, "BEGIN READ WRITE")?;
        self.write_context(conn)?;
        self.write_statement(conn)?;
        frontend::sync(conn.output());
        conn.send().await?;
        let mut answer = Answer::new(self, [Step::Begin, Step::Context, Step::Statement]);
        let status = answer.receive(conn).await?;
        match (status, answer.finish(&self.context)) {
            (Status::Open, Ok(rows)) => Ok(rows),
            (Status::Open | Status::Failed, Err(failure)) => {
                // Should this fail, the connection is not clean and will be closed, which rolls back too.
                self.end(conn, number::ROLLBACK, "ROLLBACK").await?;
                Err(failure)
            }
            (_, Err(failure)) => Err(failure),
            _ => Err(Broken::Protocol("a write left its transaction").into()),
        }
    }

    /// Ends the transaction; the server's word for how it did.
    async fn end(&self, conn: &mut Conn, number: u64, sql: &str) -> Result<String, Failure> {
        self.write_command(conn, number, sql)?;
        frontend::sync(conn.output());
        conn.send().await?;
        let mut answer = Answer::new(self, [Step::End]);
        match answer.receive(conn).await? {
            Status::Idle => match answer.error {
                Some(error) => Err(Failure::Data(error.at_run(self.context.source))),
                None => Ok(answer.end),
            },
            _ => Err(Broken::Protocol("a transaction did not end").into()),
        }
    }

    fn write_command(&self, conn: &mut Conn, number: u64, sql: &str) -> Result<(), Broken> {
        let named = !self.context.pooled;
        conn.write_run(&Run { number, sql, types: &[], values: &[], rows: 0, named, describe: false })
    }

    fn write_context(&self, conn: &mut Conn) -> Result<(), Broken> {
        let limit = match (&conn.session, self.context.pooled) {
            (Some(session), false) => session.limit.clone(),
            _ => {
                let left = self.deadline.saturating_duration_since(Instant::now());
                left.as_millis().clamp(1, LONGEST_STATEMENT).to_string()
            }
        };
        let values =
            [Some(self.context.tenant.to_owned()), Some(self.context.search_path.to_owned()), Some(limit)];
        let sql = self.context.sql;
        let (number, sql) = match (self.statement.writes(), self.context.pooled) {
            (true, false) => (number::CONTEXT_WRITE, &sql.write),
            (false, false) => (number::CONTEXT_READ, &sql.read),
            // Not prepared under a name, so the number stands for nothing.
            (true, true) => (number::CONTEXT_WRITE, &sql.pooled_write),
            (false, true) => (number::CONTEXT_READ, &sql.pooled_read),
        };
        conn.write_run(&Run {
            number,
            sql,
            types: &[TEXT; 3],
            values: &values,
            rows: 0,
            named: !self.context.pooled,
            describe: false,
        })
    }

    fn write_statement(&self, conn: &mut Conn) -> Result<(), Broken> {
        // One more than is shown tells whether there are more. A write always goes on to its end.
        let rows = match self.statement.writes() {
            true => 0,
            false => i32::try_from(self.limits.rows.saturating_add(1)).unwrap_or(i32::MAX),
        };
        conn.write_run(&Run {
            number: self.statement.number(),
            sql: self.statement.sql(),
            types: self.statement.types(),
            values: self.values,
            rows,
            named: !self.context.pooled && !self.statement.is_for_once(),
            // A prepared statement whose columns have changed is refused by the server; another is looked at here.
            describe: self.context.pooled || self.statement.is_for_once(),
        })
    }
}

/// What the server has said so far.
struct Answer<'a> {
    ask: &'a Ask<'a>,
    steps: VecDeque<Step>,
    /// Whether the server has confirmed the tenant.
    confirmed: bool,
    /// The forms of the columns, where they were described anew.
    columns: Option<super::statement::Columns>,
    json: Vec<u8>,
    count: u32,
    truncated: bool,
    changed: u64,
    done: bool,
    end: String,
    error: Option<ServerError>,
    /// Whether the connection is not set as it was.
    unsettled: bool,
    wrong: Option<DataError>,
}

impl<'a> Answer<'a> {
    fn new(ask: &'a Ask<'a>, steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            ask,
            steps: steps.into_iter().collect(),
            confirmed: false,
            columns: None,
            json: Vec::with_capacity(256),
            count: 0,
            truncated: false,
            changed: 0,
            done: false,
            end: String::new(),
            error: None,
            unsettled: false,
            wrong: None,
        }
    }

    /// Reads to the end of the exchange.
    async fn receive(&mut self, conn: &mut Conn) -> Result<Status, Failure> {
        let named = !self.ask.context.pooled;
        let most = self.ask.limits.bytes.saturating_mul(SLACK).saturating_add(SMALL);
        self.json.push(b'[');
        loop {
            match conn.receive(most).await? {
                Message::DataRow(row) => self.row(&row)?,
                Message::ParseComplete => conn.prepared(named),
                Message::CommandComplete(tag) => self.complete(&tag)?,
                Message::PortalSuspended => {
                    self.steps.pop_front();
                    self.truncated = true;
                    self.done = true;
                }
                Message::ErrorResponse(error) => {
                    let error = server_error(error.fields());
                    // Somebody has changed what was set for the connection: the context had no name to set.
                    self.unsettled |= self.steps.front() == Some(&Step::Context)
                        && matches!(error.code.as_str(), "42704" | "42602");
                    self.error.get_or_insert(error);
                }
                Message::ReadyForQuery(ready) => return Ok(conn.ready(ready.status())?),
                Message::RowDescription(fields) if self.steps.front() == Some(&Step::Statement) => {
                    self.describe(super::statement::Columns::of(&fields)?);
                }
                Message::BindComplete
                | Message::NoData
                | Message::NoticeResponse(_)
                | Message::ParameterStatus(_)
                | Message::NotificationResponse(_) => {}
                _ => return Err(Broken::Protocol("an unexpected message").into()),
            }
        }
    }

    fn describe(&mut self, columns: super::statement::Columns) {
        let statement = self.ask.statement;
        if statement.is_for_once() {
            if let Some(twice) = columns.twice() {
                self.wrong = Some(DataError::Refused(format!("two columns are called `{twice}`")));
            }
            self.columns = Some(columns);
        } else if columns.oids != statement.columns_known().oids {
            self.wrong = Some(not_as_it_was());
        }
    }

    fn row(&mut self, row: &DataRowBody) -> Result<(), Failure> {
        match self.steps.front() {
            Some(Step::Context) => {
                let mut values = Values(row.buffer());
                self.confirmed = values.next()? == Some(Some(self.ask.context.tenant));
                Ok(())
            }
            // Rows of whom? Not to be had without the server's word for the tenant.
            Some(Step::Statement) if self.confirmed => self.statement_row(row),
            _ => Err(Broken::Protocol("rows before the tenant was confirmed").into()),
        }
    }

    fn statement_row(&mut self, row: &DataRowBody) -> Result<(), Failure> {
        let limits = self.ask.limits;
        if self.count == limits.rows {
            self.truncated = true;
            return Ok(());
        }
        if self.count > 0 {
            self.json.push(b',');
        }
        self.json.push(b'{');
        let columns = self.columns.as_ref().unwrap_or_else(|| self.ask.statement.columns_known());
        let mut values = Values(row.buffer());
        for (index, (key, form)) in columns.keys.iter().zip(&columns.forms).enumerate() {
            if index > 0 {
                self.json.push(b',');
            }
            self.json.extend_from_slice(key.as_bytes());
            match values.next()?.ok_or_else(|| Failure::Data(not_as_it_was()))? {
                Some(text) => form.write(text, &mut self.json),
                None => self.json.extend_from_slice(b"null"),
            }
            if self.json.len() > limits.bytes {
                return Err(Failure::Data(DataError::TooLarge));
            }
        }
        if values.next()?.is_some() {
            return Err(Failure::Data(not_as_it_was()));
        }
        self.json.push(b'}');
        self.count += 1;
        Ok(())
    }

    fn complete(&mut self, body: &CommandCompleteBody) -> Result<(), Failure> {
        let tag = body.tag().map_err(Broken::from)?;
        match self.steps.pop_front() {
            Some(Step::Begin | Step::Context) => {}
            Some(Step::Statement) => {
                let mut words = tag.split(' ');
                let verb = words.next().unwrap_or_default();
                let counts = matches!(verb, "INSERT" | "UPDATE" | "DELETE" | "MERGE");
                if !counts && verb != "SELECT" {
                    // Whatever ran was no statement that reads or changes rows.
                    return Err(Broken::Protocol("the statement was not what it was taken for").into());
                }
                if counts {
                    self.changed = words.next_back().and_then(|count| count.parse().ok()).unwrap_or(0);
                }
                self.done = true;
            }
            Some(Step::End) => tag.clone_into(&mut self.end),
            None => return Err(Broken::Protocol("an answer to nothing").into()),
        }
        Ok(())
    }

    fn finish(mut self, context: &Context<'_>) -> Result<Rows, Failure> {
        if let Some(error) = self.error {
            return Err(match error.is_stale() || self.unsettled {
                true => Failure::Stale,
                false => Failure::Data(error.at_run(context.source)),
            });
        }
        if let Some(error) = self.wrong {
            return Err(Failure::Data(error));
        }
        if !self.confirmed || !self.done {
            return Err(Broken::Protocol("the tenant or the statement was not confirmed").into());
        }
        self.json.push(b']');
        if self.json.len() > self.ask.limits.bytes {
            return Err(Failure::Data(DataError::TooLarge));
        }
        let json = String::from_utf8(self.json)
            .map_err(|_| Failure::Data(DataError::Internal("rows were not written as UTF-8".to_owned())))?;
        let columns = match self.columns {
            Some(columns) => columns.names,
            None => Arc::clone(&self.ask.statement.columns_known().names),
        };
        Ok(Rows { columns, json, count: self.count, truncated: self.truncated, changed: self.changed })
    }
}

fn not_as_it_was() -> DataError {
    DataError::Refused("the statement is not what it was when the configuration was loaded".to_owned())
}

/// The values of a row, each with its length before it; -1 stands for null.
struct Values<'r>(&'r [u8]);

impl<'r> Values<'r> {
    /// The next value: `None` at the end, `Some(None)` for null.
    fn next(&mut self) -> Result<Option<Option<&'r str>>, Broken> {
        let Some((length, rest)) = self.0.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = i32::from_be_bytes(*length);
        if length < 0 {
            self.0 = rest;
            return Ok(Some(None));
        }
        let short = Broken::Protocol("a row is shorter than it says");
        let split = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
        let Some((value, rest)) = split else {
            return Err(short);
        };
        self.0 = rest;
        let text = std::str::from_utf8(value).map_err(|_| Broken::Protocol("a value is not UTF-8"))?;
        Ok(Some(Some(text)))
    }
}

/// `"name":`, as it stands before a value.
pub(super) fn key(name: &str) -> String {
    let mut key = Vec::new();
    value::write_text(name, &mut key);
    key.push(b':');
    String::from_utf8(key).unwrap_or_default()
}
