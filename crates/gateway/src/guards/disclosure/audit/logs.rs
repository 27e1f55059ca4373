//! Reading the logs wherever they are kept.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use tokio_postgres::{Client, Transaction};

use super::{
    LogReport, ReadError, UNATTRIBUTED, Verdict,
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
    /// In a database the last number of each server, since each has numbers of its own.
    of_servers: HashMap<String, i64>,
}

/// What has come to a log.
#[derive(Debug)]
pub struct News {
    /// The lines, oldest first.
    pub lines: Vec<String>,
    /// Whether there are more before them, which are left out.
    pub skipped: bool,
}

/// How many lines are looked at each time by who follows a log, at most; in a database, of each server.
const MOST_AT_ONCE: usize = 100_000;
const MOST_OF_SERVER: i64 = 10_000;

/// How many logs are looked for at once.
const LOGS_AT_ONCE: usize = 5000;

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

    /// The names of all logs, in order. In a database a log is found by its heads, and one whose heads are gone by the
    /// tenants that there are and were.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn names(&self) -> Result<Vec<String>, LogsError> {
        let Self::Central(CentralLogs(central)) = self else { return self.begun() };
        let mut names = self.begun()?;
        let mut others = central.run(READING, |client| {
            Box::pin(async move {
                let text = "SELECT id FROM partywall.tenant UNION SELECT tenant FROM partywall.shredded
                    EXCEPT SELECT tenant FROM partywall.audit_head";
                let rows = client.query(text, &[]).await.map_err(failed)?;
                rows.iter().map(|row| row.try_get(0).map_err(failed)).collect::<Result<Vec<String>, _>>()
            })
        })?;
        if !names.iter().any(|name| name == UNATTRIBUTED) {
            others.push(UNATTRIBUTED.to_owned());
        }
        for some in others.chunks(LOGS_AT_ONCE) {
            names.extend(with_lines(central, some.to_vec())?);
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The names of the logs that have been begun as they should be, in order; all that somebody who follows them needs.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn begun(&self) -> Result<Vec<String>, LogsError> {
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

    /// Whether there is a log of this name.
    ///
    /// # Errors
    /// That cannot be read.
    pub fn has(&self, log: &str) -> Result<bool, LogsError> {
        if self.begun()?.iter().any(|name| name == log) {
            return Ok(true);
        }
        match self {
            Self::Files(_) => Ok(false),
            Self::Central(CentralLogs(central)) => Ok(!with_lines(central, vec![log.to_owned()])?.is_empty()),
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

    /// The last lines of a log, oldest first, and from where somebody who follows it goes on.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn tail_to_follow(&self, log: &str, most: usize) -> Result<(Vec<String>, Seen), LogsError> {
        let Self::Central(CentralLogs(central)) = self else {
            let lines = self.tail(log, most)?;
            let last = lines.last().map_or(0, |line| read::number(line));
            return Ok((lines, Seen { last, ..Seen::default() }));
        };
        let (log, most) = (log.to_owned(), i64::try_from(most).unwrap_or(i64::MAX));
        central.run(READING, move |client| {
            Box::pin(async move {
                let tx = of_log(client, &log).await?;
                let of_servers = heads(&tx, &log).await?.into_iter().collect();
                Ok((last_lines(&tx, &log, most).await?, Seen { last: 0, of_servers }))
            })
        })
    }

    /// What has come to a log since, also if its file has gone to the archive.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn follow(&self, log: &str, seen: &mut Seen) -> Result<News, LogsError> {
        let central = match self {
            Self::Central(CentralLogs(central)) => central,
            Self::Files(data_dir) => {
                let lines = read::since(data_dir, log, seen.last, MOST_AT_ONCE)?;
                let skipped =
                    seen.last > 0 && lines.first().is_some_and(|line| read::number(line) > seen.last + 1);
                seen.last = lines.last().map_or(seen.last, |line| read::number(line));
                return Ok(News { lines, skipped });
            }
        };
        let (name, known) = (log.to_owned(), seen.of_servers.clone());
        let (news, now) =
            central.run(READING, move |client| Box::pin(async move { news(client, &name, &known).await }))?;
        seen.of_servers.extend(now);
        Ok(news)
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
    last_lines(&tx, log, most).await
}

async fn last_lines(tx: &Transaction<'_>, log: &str, most: i64) -> Result<Vec<String>, LogsError> {
    let rows = tx
        .query(
            "SELECT line FROM partywall.audit WHERE tenant = $1 ORDER BY at DESC, writer DESC, seq DESC LIMIT $2",
            &[&log, &most],
        )
        .await
        .map_err(failed)?;
    rows.iter().rev().map(|row| row.try_get(0).map_err(failed)).collect()
}

/// How far each server has come.
async fn heads(tx: &Transaction<'_>, log: &str) -> Result<Vec<(String, i64)>, LogsError> {
    let rows = tx
        .query("SELECT writer, seq FROM partywall.audit_head WHERE tenant = $1", &[&log])
        .await
        .map_err(failed)?;
    let read = |row: &tokio_postgres::Row| Ok::<_, tokio_postgres::Error>((row.try_get(0)?, row.try_get(1)?));
    rows.iter().map(|row| read(row).map_err(failed)).collect()
}

/// The lines that servers have written since, and how far those have come.
async fn news(
    client: &mut Client,
    log: &str,
    known: &HashMap<String, i64>,
) -> Result<(News, Vec<(String, i64)>), LogsError> {
    let tx = of_log(client, log).await?;
    let mut now = heads(&tx, log).await?;
    now.retain(|(writer, seq)| known.get(writer).is_none_or(|known| known < seq));
    let (mut lines, mut skipped) = (Vec::new(), false);
    for (writer, seq) in &now {
        let after = known.get(writer).copied().unwrap_or(0);
        let from = after.max(seq - MOST_OF_SERVER);
        skipped |= from > after;
        let rows = tx
            .query(
                "SELECT at, seq, line FROM partywall.audit WHERE tenant = $1 AND writer = $2 AND seq > $3
                 ORDER BY seq LIMIT $4",
                &[&log, writer, &from, &MOST_OF_SERVER],
            )
            .await
            .map_err(failed)?;
        for row in &rows {
            let (at, seq): (f64, i64) = (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
            lines.push((at, writer.as_str(), seq, row.try_get::<_, String>(2).map_err(failed)?));
        }
    }
    lines.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2))));
    let lines = lines.into_iter().map(|(.., line)| line).collect();
    Ok((News { lines, skipped }, now))
}

/// Those of these logs that have lines.
fn with_lines(central: &Central, names: Vec<String>) -> Result<Vec<String>, LogsError> {
    central.run(READING, move |client| {
        Box::pin(async move {
            let text = "SELECT name FROM partywall.with_lines($1) AS log (name)";
            let rows = client.query(text, &[&names]).await.map_err(failed)?;
            rows.iter().map(|row| row.try_get(0).map_err(failed)).collect()
        })
    })
}

/// Who has written to a log, by what the heads say and by what the lines say; from one server to the next by the index, not by
/// all lines.
async fn writers(client: &mut Client, log: &str) -> Result<Vec<String>, LogsError> {
    let tx = of_log(client, log).await?;
    let rows = tx
        .query(
            "WITH RECURSIVE of_lines AS (
                (SELECT writer FROM partywall.audit WHERE tenant = $1 ORDER BY writer LIMIT 1)
                UNION ALL
                SELECT (SELECT a.writer FROM partywall.audit AS a
                        WHERE a.tenant = $1 AND a.writer > of_lines.writer ORDER BY a.writer LIMIT 1)
                FROM of_lines WHERE of_lines.writer IS NOT NULL)
             SELECT writer FROM partywall.audit_head WHERE tenant = $1
             UNION SELECT writer FROM of_lines WHERE writer IS NOT NULL ORDER BY 1",
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
