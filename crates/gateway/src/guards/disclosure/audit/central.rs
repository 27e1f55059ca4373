//! The log in the database of the state: one chain for each tenant and process that writes.
//!
//! Lines of requests that end while a transaction is under way go into the next one together. A line is on the server's
//! disk when its request is answered, of reads too: the commit is what is waited for. When the database refuses a line,
//! each tenant's lines are tried by themselves, so that it is that tenant's loss and nobody else's.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use partywall_model::TenantId;
use tokio_postgres::{Client, types::Type};

use super::{
    Batch, Pending, UNATTRIBUTED, Unwritten, Written,
    line::{self, Line, Note, Place},
};
use crate::central::{Central, CentralError};

/// Where the chains of this process end, as far as it remembers.
const MOST_CHAINS: usize = 10_000;
/// How often the log of the process is told that the database refuses lines.
const TOLD: Duration = Duration::from_secs(60);
/// How long the reply of what changes nothing waits for its line.
const PATIENCE: Duration = Duration::from_secs(1);
/// Tenants whose missing lines are remembered until they can be told.
const MOST_OWED: usize = 1024;
/// Tenants for whom a line is tried at once.
const MOST_TRIED: usize = 16;
/// The place of a line that is only tried: no chain comes so far.
const TRIED_AT: i64 = i64::MAX - 1;

/// This process' part of the log.
pub(super) struct CentralLog {
    central: Arc<Central>,
    shared: Arc<Shared>,
    /// Whether the last flush was in vain.
    late: AtomicBool,
    /// Whether somebody is trying whether lines can be written again.
    trying: Arc<AtomicBool>,
}

struct Shared {
    /// What tells the chains of this process from those of others.
    writer: String,
    pending: Mutex<Pending>,
    /// The batch that is being written.
    current: Mutex<Option<(Vec<Line>, Arc<Batch>)>>,
    chains: Mutex<Chains>,
    lost: Arc<AtomicU64>,
}

#[derive(Default)]
struct Chains {
    ends: HashMap<Option<TenantId>, Place>,
    /// Lines that could not be written since one could.
    owed: BTreeMap<Option<TenantId>, u64>,
    failing: bool,
    /// Tenants whose last lines the database did not take.
    refused: BTreeSet<Option<TenantId>>,
    /// When it was last told that lines were refused.
    told: Option<Instant>,
}

/// One tenant's lines as they go to the database.
struct Append {
    tenant: Option<TenantId>,
    first: i64,
    times: Vec<f64>,
    lines: Vec<String>,
    end: Place,
}

impl CentralLog {
    pub(super) fn new(central: Arc<Central>, lost: Arc<AtomicU64>) -> Result<Self, CentralError> {
        let mut tag = [0_u8; 8];
        getrandom::fill(&mut tag).map_err(|error| CentralError::Thread(error.into()))?;
        let shared = Shared {
            writer: hex::encode(tag),
            pending: Mutex::default(),
            current: Mutex::default(),
            chains: Mutex::default(),
            lost,
        };
        Ok(Self { central, shared: Arc::new(shared), late: AtomicBool::new(false), trying: Arc::default() })
    }

    /// Waits until the line is on the server's disk, or is known not to get there; for a line without which the request is
    /// answered all the same, not longer than [`PATIENCE`].
    pub(super) async fn record(&self, line: Line, durably: bool) -> Result<(), Unwritten> {
        let tenant = line.caller.clone();
        let tenant = tenant.as_ref().map(|caller| &caller.tenant);
        let batch = self.join(line);
        match durably {
            true => batch.wait().await,
            // The line is written when it can be, or counted as lost.
            false => tokio::time::timeout(PATIENCE, batch.wait()).await.map_err(|_elapsed| Unwritten)?,
        }
        batch.has(tenant)
    }

    /// Whether the database took the last lines, or would have taken them when it was last tried. Whoever asks while it did
    /// not has it tried.
    pub(super) fn is_writable(&self) -> bool {
        let is_writable = {
            let chains = self.shared.chains.lock().unwrap_or_else(PoisonError::into_inner);
            !chains.failing && chains.refused.is_empty()
        };
        if !is_writable && !self.trying.swap(true, Relaxed) {
            let work = Arc::clone(&self.shared);
            let [tried, missed] = [(); 2].map(|()| Arc::clone(&self.trying));
            self.central.audit::<CentralError>(
                move |client| {
                    Box::pin(async move {
                        work.try_lines(client).await?;
                        tried.store(false, Relaxed);
                        Ok(())
                    })
                },
                move |_error| missed.store(false, Relaxed),
            );
        }
        is_writable
    }

    /// Adds a line; the first of a batch has it written.
    pub(super) fn join(&self, line: Line) -> Arc<Batch> {
        let (batch, leads) = {
            let mut pending = self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner);
            pending.lines.push(line);
            (Arc::clone(&pending.batch), pending.lines.len() == 1)
        };
        if leads {
            let (work, told) = (Arc::clone(&self.shared), Arc::clone(&self.shared));
            self.central.audit::<CentralError>(
                move |client| Box::pin(async move { work.write(client).await }),
                move |error| told.missed(&error),
            );
        }
        batch
    }

    /// Waits on this thread until what was given so far is written or lost, or `limit` is over.
    pub(super) fn flush(&self, limit: Duration) {
        // Once in vain is enough: the end of the process asks more than once.
        let end = Instant::now() + if self.late.load(Relaxed) { Duration::ZERO } else { limit };
        let mut waits = self.shared.has_work();
        while waits && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
            waits = self.shared.has_work();
        }
        self.late.store(waits, Relaxed);
    }
}

impl Shared {
    fn has_work(&self) -> bool {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = !pending.lines.is_empty();
        drop(pending);
        waits || self.current.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Moves what waits to what is written.
    fn take(&self) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.is_none() {
            let Pending { mut lines, batch } =
                std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
            lines.sort_by(|a, b| a.tenant().cmp(&b.tenant()));
            *current = Some((lines, batch));
        }
    }

    fn done(&self, written: impl FnOnce(&[Line]) -> Written) {
        let taken = self.current.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((lines, batch)) = taken {
            // A batch is taken once, so its outcome is set once.
            let _first = batch.outcome.set(written(&lines));
            batch.done.notify_waiters();
        }
    }

    async fn write(&self, client: &mut Client) -> Result<(), CentralError> {
        let failed = |error: tokio_postgres::Error| CentralError::sql("writing the audit log", &error);
        self.take();
        for tenant in self.unknown() {
            let end = head(client, &tenant, &self.writer).await.map_err(failed)?;
            let mut chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
            if chains.ends.len() >= MOST_CHAINS {
                chains.ends.clear();
            }
            chains.ends.insert(tenant, end);
        }
        let appends = self.appends();
        let refused = match self.together(client, &appends).await {
            Ok(()) => BTreeSet::new(),
            // The server is there and has said no: to whose lines is asked.
            Err(error) if appends.len() > 1 && error.as_db_error().is_some() => {
                let (why, refused) =
                    (failed(error), self.each(client, &appends, true).await.map_err(failed)?);
                if refused.len() == appends.len() {
                    return Err(why);
                }
                self.tell(refused.len(), &why);
                refused
            }
            Err(error) => return Err(failed(error)),
        };
        let mut chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
        chains.is_written();
        for append in &appends {
            chains.refused.remove(&append.tenant);
        }
        chains.doubt(&refused);
        for append in appends.into_iter().filter(|append| !refused.contains(&append.tenant)) {
            chains.owed.remove(&append.tenant);
            chains.ends.insert(append.tenant, append.end);
        }
        self.settle(&mut chains, |tenant| refused.contains(tenant));
        Ok(())
    }

    /// The whole batch in one transaction.
    async fn together(&self, client: &mut Client, appends: &[Append]) -> Result<(), tokio_postgres::Error> {
        let tx = client.transaction().await?;
        // Sent together, carried out in turn.
        try_join_all(appends.iter().map(|append| {
            let tx = &tx;
            let writer = &self.writer;
            async move { append.send(tx, writer).await }
        }))
        .await?;
        tx.commit().await
    }

    /// Each tenant's lines in a part of their own, which is undone by itself; the tenants whose lines were refused. There
    /// is one commit, so that a tenant whose lines are refused does not make the others wait for many.
    async fn each(
        &self,
        client: &mut Client,
        appends: &[Append],
        for_good: bool,
    ) -> Result<BTreeSet<Option<TenantId>>, tokio_postgres::Error> {
        let mut refused = BTreeSet::new();
        let mut tx = client.transaction().await?;
        // Whoever waits for a lock was waited for once.
        tx.batch_execute("SET LOCAL lock_timeout = '100ms'").await?;
        for append in appends {
            let part = tx.transaction().await?;
            match append.send(&part, &self.writer).await {
                Ok(()) => part.commit().await?,
                Err(error) if error.as_db_error().is_some() => {
                    part.rollback().await?;
                    refused.insert(append.tenant.clone());
                }
                Err(error) => return Err(error),
            }
        }
        match for_good {
            true => tx.commit().await?,
            false => tx.rollback().await?,
        }
        Ok(refused)
    }

    /// Tries a line of each of those whose lines were not taken, and takes it back.
    async fn try_lines(&self, client: &mut Client) -> Result<(), CentralError> {
        let failed = |error: tokio_postgres::Error| CentralError::sql("trying the audit log", &error);
        let mut tried: BTreeSet<Option<TenantId>> = {
            let chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
            chains.refused.iter().take(MOST_TRIED).cloned().collect()
        };
        if tried.is_empty() {
            tried.insert(None);
        }
        let appends: Vec<Append> = tried.into_iter().map(Append::trial).collect();
        let refused = self.each(client, &appends, false).await.map_err(failed)?;
        if refused.len() == appends.len() {
            return Ok(());
        }
        let mut chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
        chains.is_written();
        for append in appends.iter().filter(|append| !refused.contains(&append.tenant)) {
            chains.refused.remove(&append.tenant);
        }
        Ok(())
    }

    fn tell(&self, tenants: usize, error: &CentralError) {
        let mut chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
        if chains.told.is_none_or(|told| told.elapsed() > TOLD) {
            chains.told = Some(Instant::now());
            tracing::error!(%error, tenants, "the database refuses lines of the audit log; the writes that they are of are refused too");
        }
    }

    /// The tenants of the batch.
    fn tenants(&self) -> BTreeSet<Option<TenantId>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.iter().flat_map(|(lines, _)| lines).map(|line| line.tenant().cloned()).collect()
    }

    /// The tenants of the batch whose chain's end this process does not know.
    fn unknown(&self) -> Vec<Option<TenantId>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tenants: Vec<Option<TenantId>> =
            current.iter().flat_map(|(lines, _)| lines).map(|line| line.tenant().cloned()).collect();
        tenants.dedup();
        tenants.retain(|tenant| !chains.ends.contains_key(tenant));
        tenants
    }

    /// The batch as rows.
    fn appends(&self) -> Vec<Append> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
        let mut appends = Vec::new();
        let lines = current.as_ref().map_or(&[][..], |(lines, _)| lines);
        for lines in lines.chunk_by(|a, b| a.tenant() == b.tenant()) {
            let Some(tenant) = lines.first().map(|line| line.tenant().cloned()) else { continue };
            let start = chains.ends.get(&tenant).copied().unwrap_or(Place::START);
            let owed = chains.owed.get(&tenant).copied().unwrap_or(0);
            appends.push(Append::new(tenant, start, owed, lines));
        }
        appends
    }

    /// The batch is not in the log, or may not be.
    fn missed(&self, error: &CentralError) {
        self.take();
        let mut chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut chains.failing, true) {
            tracing::error!(%error, "writes are refused until the audit log can be written");
        }
        let missing = self.tenants();
        chains.doubt(&missing);
        self.settle(&mut chains, |_tenant| true);
    }

    /// Tells those who wait what became of the batch, and counts what is not in the log.
    fn settle(&self, chains: &mut Chains, is_missing: impl Fn(&Option<TenantId>) -> bool) {
        self.done(|lines| {
            let mut written = Written::default();
            for line in lines {
                let tenant = line.tenant().cloned();
                if !is_missing(&tenant) {
                    continue;
                }
                // Where its chain ends is asked again: the transaction may have been carried out.
                chains.ends.remove(&tenant);
                // A write that did not start is refused, so its line is not missing.
                if line.outcome != "started" {
                    self.lost.fetch_add(1, Relaxed);
                    if chains.owed.len() < MOST_OWED || chains.owed.contains_key(&tenant) {
                        *chains.owed.entry(tenant.clone()).or_default() += 1;
                    }
                }
                if written.failed.last() != Some(&tenant) {
                    written.failed.push(tenant);
                }
            }
            written
        });
    }
}

impl Chains {
    /// The database takes lines.
    fn is_written(&mut self) {
        if std::mem::take(&mut self.failing) {
            tracing::warn!("the audit log can be written again");
        }
    }

    /// The database did not take lines of these.
    fn doubt(&mut self, tenants: &BTreeSet<Option<TenantId>>) {
        let room = MOST_OWED.saturating_sub(self.refused.len());
        self.refused.extend(tenants.iter().take(room).cloned());
    }
}

impl Append {
    /// A line that is only tried.
    fn trial(tenant: Option<TenantId>) -> Self {
        let (times, lines) = (vec![0.0], vec![String::new()]);
        Self { tenant, first: TRIED_AT, times, lines, end: Place::START }
    }

    fn new(tenant: Option<TenantId>, start: Place, owed: u64, lines: &[Line]) -> Self {
        let mut append = Self {
            tenant,
            first: (start.seq + 1).cast_signed(),
            times: Vec::with_capacity(lines.len()),
            lines: Vec::with_capacity(lines.len()),
            end: start,
        };
        if owed > 0
            && let Some(like) = lines.first()
        {
            append.push(like.at, |buffer, place| line::write_note(buffer, place, like, Note::Gap(owed)));
        }
        for line in lines {
            append.push(line.at, |buffer, place| line::write(buffer, place, line));
        }
        append
    }

    fn push(&mut self, at: f64, write: impl FnOnce(&mut Vec<u8>, Place) -> Option<Place>) {
        let mut buffer = Vec::with_capacity(512);
        if let Some(end) = write(&mut buffer, self.end) {
            let text = buffer.strip_suffix(b"\n").unwrap_or(&buffer);
            self.lines.push(String::from_utf8_lossy(text).into_owned());
            self.times.push(at);
            self.end = end;
        }
    }

    async fn send(
        &self,
        tx: &tokio_postgres::Transaction<'_>,
        writer: &str,
    ) -> Result<(), tokio_postgres::Error> {
        let tenant = name(self.tenant.as_ref());
        let hash = &self.end.hash[..];
        tx.query_typed(
            "SELECT partywall.append($1, $2, $3, $4, $5, $6)",
            &[
                (&tenant, Type::TEXT),
                (&writer, Type::TEXT),
                (&self.first, Type::INT8),
                (&self.times, Type::FLOAT8_ARRAY),
                (&self.lines, Type::TEXT_ARRAY),
                (&hash, Type::BYTEA),
            ],
        )
        .await
        .map(|_rows| ())
    }
}

/// What a log is called.
fn name(tenant: Option<&TenantId>) -> &str {
    tenant.map_or(UNATTRIBUTED, TenantId::as_str)
}

/// Where a chain ends in the database.
async fn head(
    client: &Client,
    tenant: &Option<TenantId>,
    writer: &str,
) -> Result<Place, tokio_postgres::Error> {
    let row = client
        .query_opt(
            "SELECT seq, hash FROM partywall.audit_head WHERE tenant = $1 AND writer = $2",
            &[&name(tenant.as_ref()), &writer],
        )
        .await?;
    let Some(row) = row else { return Ok(Place::START) };
    let (seq, bytes): (i64, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
    let mut hash = [0; 32];
    // Another length is no hash of ours; the chain then shows the break.
    if bytes.len() == hash.len() {
        hash.copy_from_slice(&bytes);
    }
    Ok(Place { seq: seq.cast_unsigned(), hash })
}
