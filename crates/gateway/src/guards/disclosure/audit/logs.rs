//! Reading the logs wherever they are kept.

use std::{collections::HashSet, path::PathBuf, sync::Arc};

use tokio_postgres::{Client, Transaction};

use super::{
    LogReport, ReadError, Verdict,
    line::{Link, Place},
    read,
};
use crate::{
    central::{Central, CentralError, name_tenant},
    config::{Config, Environment},
};

/// Why logs cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// The files.
    #[error(transparent)]
    Files(#[from] ReadError),
    /// The database of the state.
    #[error(transparent)]
    Central(#[from] CentralError),
}

/// The logs that a configuration's servers write.
#[derive(Debug)]
pub enum Logs {
    /// Files in this data folder.
    Files(PathBuf),
    /// Rows in the database of the state.
    Central(CentralLogs),
}

/// The logs in a database.
#[derive(Debug)]
pub struct CentralLogs(Arc<Central>);

/// What was shown of a log already, for somebody who follows it.
#[derive(Debug, Default)]
pub struct Seen {
    /// The number of the last line, in a file.
    last: u64,
    /// In a database, where each server has numbers of its own, the last lines.
    lines: HashSet<String>,
}

impl Seen {
    /// The last lines of a log.
    #[must_use]
    pub fn of(lines: Vec<String>) -> Self {
        Self { last: lines.last().map_or(0, |line| read::number(line)), lines: lines.into_iter().collect() }
    }
}

/// What has come to a log.
#[derive(Debug)]
pub struct News {
    /// The lines, oldest first.
    pub lines: Vec<String>,
    /// Whether there are more before them, which are left out.
    pub skipped: bool,
}

/// How many lines are looked at each time by who follows a log; at first in a database, and at most.
const AT_ONCE: usize = 1000;
const MOST_AT_ONCE: usize = 100_000;

/// How many lines are held at once while a log is checked.
const PAGE: i64 = 1000;

impl Logs {
    /// Finds the logs of a configuration.
    ///
    /// # Errors
    /// The database of the state cannot be reached.
    pub fn open(config: &Config, environment: &Environment) -> Result<Self, LogsError> {
        Ok(match Central::open(config, environment)? {
            Some(central) => Self::Central(CentralLogs(central)),
            None => Self::Files(config.data_dir()),
        })
    }

    /// Where they are, in words.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Files(data_dir) => data_dir.join("audit").display().to_string(),
            Self::Central(CentralLogs(central)) => central.at(),
        }
    }

    /// The names of all logs, in order.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn names(&self) -> Result<Vec<String>, LogsError> {
        match self {
            Self::Files(data_dir) => Ok(read::logs(data_dir)?),
            Self::Central(CentralLogs(central)) => central.run(READING, |client| {
                Box::pin(async move {
                    let rows = client
                        .query("SELECT DISTINCT tenant FROM partywall.audit_head ORDER BY tenant", &[])
                        .await
                        .map_err(failed)?;
                    rows.iter().map(|row| row.try_get(0).map_err(failed)).collect()
                })
            }),
        }
    }

    /// The last lines of a log, oldest first.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn tail(&self, log: &str, most: usize) -> Result<Vec<String>, LogsError> {
        match self {
            Self::Files(data_dir) => Ok(read::tail(data_dir, log, most)?),
            Self::Central(CentralLogs(central)) => {
                let log = log.to_owned();
                let most = i64::try_from(most).unwrap_or(i64::MAX);
                central.run(READING, move |client| Box::pin(async move { tail(client, &log, most).await }))
            }
        }
    }

    /// What has come to a log since, also if its file has gone to the archive.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn follow(&self, log: &str, seen: &mut Seen) -> Result<News, LogsError> {
        if let Self::Files(data_dir) = self {
            let lines = read::since(data_dir, log, seen.last, MOST_AT_ONCE)?;
            let skipped =
                seen.last > 0 && lines.first().is_some_and(|line| read::number(line) > seen.last + 1);
            seen.last = lines.last().map_or(seen.last, |line| read::number(line));
            return Ok(News { lines, skipped });
        }
        let mut asked = AT_ONCE;
        loop {
            let lines = self.tail(log, asked)?;
            let meets = lines.len() < asked || lines.iter().any(|line| seen.lines.contains(line));
            if !meets && !seen.lines.is_empty() && asked < MOST_AT_ONCE {
                asked *= 10;
                continue;
            }
            let skipped = !meets && !seen.lines.is_empty();
            let new = lines.iter().filter(|line| !seen.lines.contains(*line)).cloned().collect();
            seen.lines = lines.into_iter().collect();
            return Ok(News { lines: new, skipped });
        }
    }

    /// Checks one log from its first line to its head; in a database, each server's part of it.
    ///
    /// # Errors
    /// It cannot be read; what is wrong with its content is in the report.
    pub fn verify(&self, log: &str) -> Result<Vec<LogReport>, LogsError> {
        match self {
            Self::Files(data_dir) => Ok(vec![read::verify(data_dir, log)?]),
            Self::Central(CentralLogs(central)) => {
                let name = log.to_owned();
                let writers = central
                    .run(READING, move |client| Box::pin(async move { writers(client, &name).await }))?;
                writers.into_iter().map(|writer| verify(central, log, &writer)).collect()
            }
        }
    }
}

const READING: &str = "reading the audit log";

fn failed(error: tokio_postgres::Error) -> LogsError {
    LogsError::Central(CentralError::sql(READING, &error))
}

/// A transaction that sees one moment of one log.
async fn of_log<'c>(client: &'c mut Client, log: &str) -> Result<Transaction<'c>, LogsError> {
    let tx = client
        .build_transaction()
        .read_only(true)
        .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
        .start()
        .await
        .map_err(failed)?;
    name_tenant(&tx, log).await.map_err(failed)?;
    Ok(tx)
}

async fn tail(client: &mut Client, log: &str, most: i64) -> Result<Vec<String>, LogsError> {
    let tx = of_log(client, log).await?;
    let rows = tx
        .query(
            "SELECT line FROM partywall.audit WHERE tenant = $1 ORDER BY at DESC, writer DESC, seq DESC LIMIT $2",
            &[&log, &most],
        )
        .await
        .map_err(failed)?;
    rows.iter().rev().map(|row| row.try_get(0).map_err(failed)).collect()
}

/// Who has written to a log, by what the heads say and by what the lines say.
async fn writers(client: &mut Client, log: &str) -> Result<Vec<String>, LogsError> {
    let tx = of_log(client, log).await?;
    let rows = tx
        .query(
            "SELECT writer FROM partywall.audit_head WHERE tenant = $1
             UNION SELECT DISTINCT writer FROM partywall.audit WHERE tenant = $1 ORDER BY 1",
            &[&log],
        )
        .await
        .map_err(failed)?;
    rows.iter().map(|row| row.try_get(0).map_err(failed)).collect()
}

/// The way along one chain.
#[derive(Default)]
struct Walk {
    place: Place,
    first: u64,
    lost: u64,
    problem: Option<String>,
}

impl Walk {
    fn line(&mut self, text: &str) -> Result<(), String> {
        let link: Link<'_> =
            serde_json::from_str(text).map_err(|_error| "this is no line of an audit log".to_owned())?;
        if !link.follows(self.place) {
            return Err(match link.seq == self.place.seq + 1 {
                true => format!("line {} was changed: line {} does not follow it", self.place.seq, link.seq),
                false => format!("line {} should stand here, and line {} does", self.place.seq + 1, link.seq),
            });
        }
        self.first = if self.first == 0 { link.seq } else { self.first };
        self.lost = self.lost.saturating_add(link.lost.unwrap_or(0));
        self.place = self.place.next(text.as_bytes());
        Ok(())
    }
}

fn verify(central: &Central, log: &str, writer: &str) -> Result<LogReport, LogsError> {
    let (name, of) = (log.to_owned(), writer.to_owned());
    // Before the lines, so that those that a server adds meanwhile are after it.
    let head: Option<(i64, Vec<u8>)> = central.run(READING, move |client| {
        Box::pin(async move {
            let row = client
                .query_opt(
                    "SELECT seq, hash FROM partywall.audit_head WHERE tenant = $1 AND writer = $2",
                    &[&name, &of],
                )
                .await
                .map_err(failed)?;
            let read =
                |row: tokio_postgres::Row| Ok::<_, tokio_postgres::Error>((row.try_get(0)?, row.try_get(1)?));
            row.map(read).transpose().map_err(failed)
        })
    })?;
    let mut walk = Walk::default();
    let mut met = false;
    'pages: loop {
        let lines = page(central, log, writer, walk.place.seq.cast_signed())?;
        if lines.is_empty() {
            break;
        }
        for line in lines {
            if let Err(problem) = walk.line(&line) {
                walk.problem = Some(problem);
                break 'pages;
            }
            if let Some((seq, hash)) = &head
                && seq.cast_unsigned() == walk.place.seq
            {
                met = true;
                if hash[..] != walk.place.hash[..] {
                    walk.problem = Some(format!("line {seq} was changed"));
                    break 'pages;
                }
            }
        }
    }
    let problem = walk.problem.or_else(|| match head {
        None => Some("its head is missing".to_owned()),
        Some((seq, _)) if !met => {
            Some(format!("it ends at line {}, and line {seq} was written", walk.place.seq))
        }
        Some(_) => None,
    });
    let verdict = match problem {
        None => Verdict::Whole,
        Some(problem) => {
            let file = PathBuf::from(format!("{} (server {writer})", central.at()));
            Verdict::Damaged { file, at: walk.place.seq + 1, problem }
        }
    };
    Ok(LogReport {
        log: format!("{log} (server {writer})"),
        verdict,
        first: walk.first,
        last: walk.place.seq,
        head: hex::encode(walk.place.hash),
        lost: walk.lost,
        notes: Vec::new(),
    })
}

fn page(central: &Central, log: &str, writer: &str, after: i64) -> Result<Vec<String>, LogsError> {
    let (log, writer) = (log.to_owned(), writer.to_owned());
    central.run(READING, move |client| {
        Box::pin(async move {
            let tx = of_log(client, &log).await?;
            let rows = tx
                .query(
                    "SELECT line FROM partywall.audit WHERE tenant = $1 AND writer = $2 AND seq > $3
                     ORDER BY seq LIMIT $4",
                    &[&log, &writer, &after, &PAGE],
                )
                .await
                .map_err(failed)?;
            rows.iter().map(|row| row.try_get(0).map_err(failed)).collect()
        })
    })
}
