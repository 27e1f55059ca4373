//! The audit log: one chained line for each request, in a file of the tenant's own, before the reply.
//!
//! Requests that end at about the same time are written together (group commit): the first of them lets the others
//! catch up, writes all lines and wakes them. A request that changes something writes a line before it starts and one
//! before it is answered, and waits for the disk both times; while that is impossible it is refused. A read needs its
//! line in the file only, and is served when that fails; the log says how many lines it lacks.
//!
//! Lines are JSON, so a line break or an escape sequence in a field cannot start a line of its own.

mod central;
mod disk;
mod found;
mod head;
mod line;
mod log;
mod logs;
mod read;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
    hash::{BuildHasher, RandomState},
    io,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use partywall_model::TenantId;
use tokio::sync::Notify;

pub(crate) use self::line::Line;
use self::{
    central::CentralLog,
    disk::Disk,
    log::{Log, LogError, Paths},
};
pub use self::{
    logs::{CentralLogs, Logs, LogsError, News, Seen},
    read::{LogReport, ReadError, Verdict, logs, tail, verify},
};
use crate::{
    central::{Central, CentralError},
    tenants::store::private_folder,
};

/// The log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the audit log in {folder}; make the folder writable for this user")]
pub struct AuditError {
    folder: PathBuf,
    source: io::Error,
}

/// A line is not in the log; the operator's log says why.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the audit log cannot be written")]
pub(crate) struct Unwritten;

/// What the log of requests without a tenant is called; no tenant id begins with a dash.
pub(crate) const UNATTRIBUTED: &str = "-unattributed";

/// The log's entrance.
pub(crate) struct Audit {
    shards: [Shard; Audit::SHARDS],
    hashes: RandomState,
    /// Instead of files.
    central: Option<CentralLog>,
    /// How many lines a second strangers can make the log grow by.
    strangers: DefaultDirectRateLimiter,
    lost: Arc<AtomicU64>,
}

impl Audit {
    /// Tenants in different shards never wait for each other's lines.
    const SHARDS: usize = 16;
    /// How many files are open at most: logs and their heads.
    pub(crate) const MOST_FILES: u64 = (Self::SHARDS * OpenLogs::MAX_OPEN * 2) as u64;
    /// How long the end of the process may wait for a database.
    const LAST: Duration = Duration::from_secs(3);
    const STRANGERS: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);

    /// `max_bytes` is when a tenant's file goes to the archive and a new one is begun.
    pub(crate) fn open(data_dir: &Path, max_bytes: u64) -> Result<Self, AuditError> {
        let folder = data_dir.join("audit");
        private_folder(&folder).map_err(|source| AuditError { folder: folder.clone(), source })?;
        let lost = Arc::new(AtomicU64::new(0));
        let logs = || OpenLogs {
            folder: folder.clone(),
            max_bytes,
            open: VecDeque::new(),
            owed: BTreeMap::new(),
            lost: Arc::clone(&lost),
        };
        let shard = |_| Shard { pending: Mutex::default(), logs: Mutex::new(logs()) };
        Ok(Self {
            shards: std::array::from_fn(shard),
            hashes: RandomState::new(),
            central: None,
            strangers: RateLimiter::direct(Quota::per_second(Self::STRANGERS)),
            lost: Arc::clone(&lost),
        })
    }

    /// The log in the database of the state.
    pub(crate) fn central(central: &Arc<Central>) -> Result<Self, CentralError> {
        let lost = Arc::new(AtomicU64::new(0));
        let logs = || OpenLogs {
            folder: PathBuf::new(),
            max_bytes: 0,
            open: VecDeque::new(),
            owed: BTreeMap::new(),
            lost: Arc::clone(&lost),
        };
        Ok(Self {
            // Nothing is ever given to them.
            shards: std::array::from_fn(|_| Shard { pending: Mutex::default(), logs: Mutex::new(logs()) }),
            hashes: RandomState::new(),
            central: Some(CentralLog::new(Arc::clone(central), Arc::clone(&lost))?),
            strangers: RateLimiter::direct(Quota::per_second(Self::STRANGERS)),
            lost,
        })
    }

    fn shard(&self, tenant: Option<&TenantId>) -> &Shard {
        let at = usize::try_from(self.hashes.hash_one(tenant) % Self::SHARDS as u64).unwrap_or_default();
        let [first, ..] = &self.shards;
        self.shards.get(at).unwrap_or(first)
    }

    /// Waits until the line is in the file, or is known not to get there.
    ///
    /// Lines that belong to no tenant are written up to a rate; beyond it the metrics alone count them, so that
    /// strangers cannot fill the disk.
    pub(crate) async fn record(&self, line: Line) -> Result<(), Unwritten> {
        if line.caller.is_none() && self.strangers.check().is_err() {
            return Ok(());
        }
        if let Some(central) = &self.central {
            return central.record(line, false).await;
        }
        let tenant = line.caller.clone();
        let tenant = tenant.as_ref().map(|caller| &caller.tenant);
        self.shard(tenant).record_in(line).await.has(tenant)
    }

    /// Waits until the line is on the disk.
    pub(crate) async fn record_durably(&self, line: Line) -> Result<(), Unwritten> {
        if let Some(central) = &self.central {
            return central.record(line, true).await;
        }
        let line = Line { durable: true, ..line };
        let tenant = line.caller.clone();
        let tenant = tenant.as_ref().map(|caller| &caller.tenant);
        let batch = self.shard(tenant).record_in(line).await;
        // The file that it was written to; the log may have begun another one since.
        let disk = batch.disk(tenant).ok_or(Unwritten)?;
        disk.sync().await.map_err(|error| {
            tracing::error!(tenant = tenant.map(tracing::field::display), %error, "the audit log is not on disk");
            Unwritten
        })
    }

    /// The file of a tenant that has lines.
    #[cfg(test)]
    pub(crate) fn disk_of(&self, tenant: &TenantId) -> Arc<Disk> {
        let mut logs = self.shard(Some(tenant)).logs();
        logs.entry(Some(tenant)).log().map(|log| log.disk()).unwrap_or_else(|_| panic!("no log of {tenant}"))
    }

    /// Writes the line at once, from where nobody can wait.
    pub(crate) fn record_now(&self, line: Line) {
        if let Some(central) = &self.central {
            let _nobody_waits = central.join(line);
            return;
        }
        let shard = self.shard(line.tenant());
        shard.join(line);
        shard.commit();
    }

    /// Writes whatever waits.
    pub(crate) fn flush(&self) {
        if let Some(central) = &self.central {
            return central.flush(Self::LAST);
        }
        for shard in &self.shards {
            shard.commit();
        }
    }

    /// The counters in the Prometheus text format.
    pub(crate) fn render(&self) -> String {
        let mut text = String::from(
            "# HELP partywall_audit_lost_lines_total Audit lines that could not be written.\n\
             # TYPE partywall_audit_lost_lines_total counter\n",
        );
        // Writing to a String does not fail.
        let _written = writeln!(text, "partywall_audit_lost_lines_total {}", self.lost.load(Relaxed));
        if let Some(central) = &self.central {
            let writable = u8::from(central.is_writable());
            let _written = writeln!(
                text,
                "# HELP partywall_audit_writable Whether the database of the state took the last audit lines.\n\
                 # TYPE partywall_audit_writable gauge\npartywall_audit_writable {writable}"
            );
        }
        text
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Some of the tenants, whose lines are written together.
struct Shard {
    pending: Mutex<Pending>,
    logs: Mutex<OpenLogs>,
}

/// Lines of requests that wait. There is at most one for each request in flight, which bounds them.
#[derive(Default)]
struct Pending {
    lines: Vec<Line>,
    batch: Arc<Batch>,
}

/// Lines that are written together.
#[derive(Default)]
struct Batch {
    outcome: OnceLock<Written>,
    done: Notify,
}

/// What became of a batch.
#[derive(Default)]
struct Written {
    /// The tenants whose lines could not be written.
    failed: Vec<Option<TenantId>>,
    /// The files with the lines of those who wait for the disk.
    disks: Vec<(Option<TenantId>, Arc<Disk>)>,
}

impl Batch {
    async fn wait(&self) {
        // Made before the outcome is looked at, so that no wake is missed.
        let done = self.done.notified();
        if self.outcome.get().is_none() {
            done.await;
        }
    }

    fn has(&self, tenant: Option<&TenantId>) -> Result<(), Unwritten> {
        match self.outcome.get() {
            Some(written) if !written.failed.iter().any(|failed| failed.as_ref() == tenant) => Ok(()),
            _ => Err(Unwritten),
        }
    }

    fn disk(&self, tenant: Option<&TenantId>) -> Option<Arc<Disk>> {
        let disks = &self.outcome.get()?.disks;
        disks.iter().find(|(owner, _)| owner.as_ref() == tenant).map(|(_, disk)| Arc::clone(disk))
    }
}

impl Shard {
    /// Waits until the line was written, or could not be; its batch knows which.
    async fn record_in(&self, line: Line) -> Arc<Batch> {
        let (batch, leads) = self.join(line);
        if leads {
            // Commits also when this request's future is dropped, since others wait for it.
            let lead = Lead(self);
            tokio::task::yield_now().await;
            drop(lead);
        }
        batch.wait().await;
        batch
    }

    /// Adds a line to the batch; whether it is the first.
    fn join(&self, line: Line) -> (Arc<Batch>, bool) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.lines.push(line);
        (Arc::clone(&pending.batch), pending.lines.len() == 1)
    }

    fn commit(&self) {
        let mut logs = self.logs();
        // Taken after the wait for the files, so that lines that came meanwhile are in it.
        let Pending { mut lines, batch } =
            std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        let written = if lines.is_empty() { Written::default() } else { logs.write(&mut lines) };
        drop(logs);
        // A batch is taken once, so its outcome is set once.
        let _first = batch.outcome.set(written);
        batch.done.notify_waiters();
    }

    fn logs(&self) -> MutexGuard<'_, OpenLogs> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Lead<'s>(&'s Shard);

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.0.commit();
    }
}

/// The logs that are open, most recently used last.
struct OpenLogs {
    folder: PathBuf,
    max_bytes: u64,
    open: VecDeque<Entry>,
    /// Lines that the logs of tenants owe which are not open.
    owed: BTreeMap<Option<TenantId>, u64>,
    lost: Arc<AtomicU64>,
}

/// One tenant's log.
struct Entry {
    tenant: Option<TenantId>,
    paths: Paths,
    max_bytes: u64,
    log: Option<Log>,
    /// The file that went to the archive last, while it may not be on disk yet.
    older: Option<Arc<Disk>>,
    /// Lines that could not be written since one could.
    lost: u64,
    /// Whether the last lines could not be written, so that it is told once for each outage.
    failing: bool,
    /// A log that could not be opened is looked at again after a while.
    closed_until: Option<Instant>,
}

impl OpenLogs {
    const MAX_OPEN: usize = 16;
    const RETRY: Duration = Duration::from_secs(1);
    const MAX_OWED: usize = 1024;

    fn write(&mut self, lines: &mut [Line]) -> Written {
        lines.sort_by(|a, b| a.tenant().cmp(&b.tenant()));
        let mut written = Written::default();
        for lines in lines.chunk_by(|a, b| a.tenant() == b.tenant()) {
            let lines: Vec<&Line> = lines.iter().collect();
            let Some(tenant) = lines.first().map(|line| line.tenant()) else { continue };
            let counter = Arc::clone(&self.lost);
            let entry = self.entry(tenant);
            let was_failing = entry.failing;
            let appended = entry.append(&lines);
            entry.failing = appended.is_err();
            match appended {
                Ok(disk) => {
                    if was_failing {
                        tracing::info!(log = %entry.paths.log.display(), "can be written again");
                    }
                    if lines.iter().any(|line| line.durable) {
                        written.disks.push((tenant.cloned(), disk));
                    }
                }
                Err(error) => {
                    // A write that did not start is refused, so its line is not missing.
                    let lost = lines.iter().filter(|line| line.outcome != "started").count() as u64;
                    entry.lost += lost;
                    if let Some(error) = error.filter(|_| !was_failing) {
                        tracing::error!(%error, "writes of this tenant are refused until its audit log can be written");
                    }
                    counter.fetch_add(lost, Relaxed);
                    written.failed.push(tenant.cloned());
                }
            }
        }
        written
    }

    fn entry(&mut self, tenant: Option<&TenantId>) -> &mut Entry {
        let found = self.open.iter().position(|entry| entry.tenant.as_ref() == tenant);
        let entry = found.and_then(|at| self.open.remove(at)).unwrap_or_else(|| Entry {
            tenant: tenant.cloned(),
            paths: Paths::new(&self.folder, tenant.map_or(UNATTRIBUTED, TenantId::as_str)),
            max_bytes: self.max_bytes,
            log: None,
            older: None,
            lost: self.owed.remove(&tenant.cloned()).unwrap_or_default(),
            failing: false,
            closed_until: None,
        });
        if self.open.len() >= Self::MAX_OPEN
            && let Some(closed) = self.open.pop_front()
            && closed.lost > 0
            && self.owed.len() < Self::MAX_OWED
        {
            self.owed.insert(closed.tenant, closed.lost);
        }
        self.open.push_back_mut(entry)
    }
}

impl Entry {
    /// The error is `None` when it was told before.
    fn log(&mut self) -> Result<&mut Log, Option<LogError>> {
        if self.log.is_none() {
            if self.closed_until.is_some_and(|until| Instant::now() < until) {
                return Err(None);
            }
            match Log::open(self.paths.clone(), self.max_bytes, self.older.take()) {
                Ok(log) => self.log = Some(log),
                Err(error) => {
                    self.closed_until = Some(Instant::now() + OpenLogs::RETRY);
                    return Err(Some(error));
                }
            }
        }
        self.closed_until = None;
        self.log.as_mut().ok_or(None)
    }

    /// Writes lines; the file that they are in.
    fn append(&mut self, lines: &[&Line]) -> Result<Arc<Disk>, Option<LogError>> {
        let lost = self.lost;
        let mut appended = self.log()?.append(lines, lost);
        for _ in 0..Log::MOVED {
            match &appended {
                // Moved to the archive by another process, or taken away.
                Err(LogError::Write { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    self.log = None;
                    appended = self.log()?.append(lines, lost);
                }
                _ => break,
            }
        }
        if let Err(error) = appended {
            if matches!(error, LogError::Damaged { .. }) {
                self.log = None;
                self.closed_until = Some(Instant::now() + OpenLogs::RETRY);
            }
            return Err(Some(error));
        }
        self.lost = 0;
        let disk = self.log()?.disk();
        if let Some(full) = self.log.take_if(|log| log.is_full()) {
            match full.archive() {
                Ok(older) => self.older = Some(older),
                Err(error) => tracing::warn!(%error, "the audit log goes on in its old file"),
            }
        }
        Ok(disk)
    }
}
