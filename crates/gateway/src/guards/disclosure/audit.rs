//! One line for each request, in a file of the tenant's own.
//!
//! A thread writes them; the queue before it is bounded, and when it is full requests wait. Lines are JSON, so a line
//! break or an escape sequence in a field cannot start a line of its own.

use std::{
    borrow::Cow,
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::Write,
    num::NonZeroU32,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use partywall_model::{Principal, TenantId};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::{admit::RequestId, tenants::store::private_folder};

/// One request, on its way to the log; it shares what it can with the request.
pub(crate) struct Line {
    /// Seconds since 1970, with fraction.
    pub(crate) at: f64,
    pub(crate) request: RequestId,
    pub(crate) caller: Option<Arc<Principal>>,
    /// Which life of the tenant id it was; one that was removed and added again has another.
    pub(crate) life: Option<u64>,
    pub(crate) method: Cow<'static, str>,
    pub(crate) tool: Option<Arc<str>>,
    /// `ok`, `error` or `denied`.
    pub(crate) outcome: &'static str,
    pub(crate) layer: Option<&'static str>,
    pub(crate) reason: Option<String>,
    /// Microseconds from admission to reply.
    pub(crate) us: u64,
    /// How many requests the line stands for.
    pub(crate) times: u64,
}

impl Line {
    /// The longest text of a field that a caller chose.
    const MAX_TEXT: usize = 200;

    pub(crate) fn of(caller: Option<&Arc<Principal>>, request: RequestId, at: f64) -> Self {
        Self {
            at,
            request,
            caller: caller.map(Arc::clone),
            life: None,
            method: Cow::Borrowed(""),
            tool: None,
            outcome: "ok",
            layer: None,
            reason: None,
            us: 0,
            times: 1,
        }
    }

    fn tenant(&self) -> Option<&TenantId> {
        self.caller.as_ref().map(|caller| &caller.tenant)
    }

    fn write(&self, buffer: &mut Vec<u8>) -> serde_json::Result<()> {
        let caller = self.caller.as_ref();
        let written = Written {
            at: self.at,
            request: self.request,
            tenant: self.tenant(),
            life: self.life,
            issuer: caller.map(|caller| cut(&caller.issuer)),
            subject: caller.map(|caller| cut(&caller.subject)),
            method: cut(&self.method),
            tool: self.tool.as_deref().map(cut),
            outcome: self.outcome,
            layer: self.layer,
            reason: self.reason.as_deref().map(cut),
            us: self.us,
            times: self.times,
        };
        serde_json::to_writer(&mut *buffer, &written)?;
        buffer.push(b'\n');
        Ok(())
    }
}

/// One request, as it stands in the log.
#[derive(Serialize)]
struct Written<'l> {
    at: f64,
    #[serde(serialize_with = "displayed")]
    request: RequestId,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'l TenantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    life: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<Cow<'l, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Cow<'l, str>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    method: Cow<'l, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<Cow<'l, str>>,
    outcome: &'l str,
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'l, str>>,
    us: u64,
    #[serde(skip_serializing_if = "is_one")]
    times: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(times: &u64) -> bool {
    *times == 1
}

fn displayed<S: serde::Serializer>(request: &RequestId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(request)
}

/// At most so many characters, none of which moves a terminal's cursor or turns the text around. JSON escapes the
/// control characters below U+0020 and no others.
fn cut(text: &str) -> Cow<'_, str> {
    let short = match text.char_indices().nth(Line::MAX_TEXT) {
        None => text,
        Some((end, _)) => text.get(..end).unwrap_or_default(),
    };
    let steers = |c: char| {
        let hidden = matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        hidden || matches!(c, '\u{7f}'..='\u{9f}')
    };
    if short.contains(steers) { short.replace(steers, "\u{fffd}").into() } else { short.into() }
}

enum Message {
    Line(Box<Line>),
    Flush(tokio::sync::oneshot::Sender<()>),
}

/// The log's entrance.
pub(crate) struct Audit {
    sender: mpsc::Sender<Message>,
    /// How many lines a second strangers can make the log grow by.
    strangers: DefaultDirectRateLimiter,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// The log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the audit log in {folder}; make the folder writable for this user")]
pub struct AuditError {
    folder: PathBuf,
    source: std::io::Error,
}

/// The log no longer takes lines, so that requests cannot be served.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the audit log has stopped")]
pub(crate) struct AuditStopped;

impl Audit {
    const QUEUE: usize = 4096;
    const BATCH: usize = 1024;
    const PAUSE: Duration = Duration::from_millis(2);
    const STRANGERS: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);

    pub(crate) fn open(data_dir: &Path) -> Result<Self, AuditError> {
        let folder = data_dir.join("audit");
        let failed = |source| AuditError { folder: folder.clone(), source };
        private_folder(&folder).map_err(failed)?;
        let mut files = Files { folder: folder.clone(), open: VecDeque::new() };
        let (sender, mut receiver) = mpsc::channel::<Message>(Self::QUEUE);
        let writer = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || {
                let mut batch = Vec::with_capacity(Self::BATCH);
                while receiver.blocking_recv_many(&mut batch, Self::BATCH) > 0 {
                    for message in batch.drain(..) {
                        match message {
                            Message::Line(line) => files.write(&line),
                            Message::Flush(done) => {
                                files.flush();
                                // Who asked may have gone.
                                let _gone = done.send(());
                            }
                        }
                    }
                    files.flush();
                    // Lines that come meanwhile are written together; without the pause each request would wake
                    // this thread, which costs more than the request.
                    std::thread::sleep(Self::PAUSE);
                }
            })
            .map_err(failed)?;
        let strangers = RateLimiter::direct(Quota::per_second(Self::STRANGERS));
        Ok(Self { sender, strangers, writer: Mutex::new(Some(writer)) })
    }

    /// Hands over one line; waits while the queue is full.
    ///
    /// Lines that belong to no tenant are written up to a rate; beyond it the metrics alone count them, so that
    /// strangers cannot fill the disk.
    pub(crate) async fn record(&self, line: Line) -> Result<(), AuditStopped> {
        if line.caller.is_none() && self.strangers.check().is_err() {
            return Ok(());
        }
        let message = Message::Line(Box::new(line));
        match self.sender.try_send(message) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(message)) => {
                self.sender.send(message).await.map_err(|_closed| AuditStopped)
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(AuditStopped),
        }
    }

    /// Hands over one line from where nobody can wait; a task waits while the queue is full.
    pub(crate) fn record_later(&self, line: Line) {
        let message = Message::Line(Box::new(line));
        if let Err(mpsc::error::TrySendError::Full(message)) = self.sender.try_send(message)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let sender = self.sender.clone();
            drop(runtime.spawn(async move { sender.send(message).await.is_ok() }));
        }
    }

    /// Waits until every line handed over before is in its file.
    pub(crate) async fn flush(&self) {
        let (done, wait) = tokio::sync::oneshot::channel();
        if self.sender.send(Message::Flush(done)).await.is_ok() {
            let _stopped = wait.await;
        }
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        // Closing the queue ends the thread once it has written what is in it.
        let (closed, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.sender, closed));
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            let _panicked = writer.join();
        }
    }
}

/// The files that are open, most recently used last.
struct Files {
    folder: PathBuf,
    open: VecDeque<(Option<TenantId>, File, Vec<u8>)>,
}

impl Files {
    const MAX_OPEN: usize = 32;

    fn write(&mut self, line: &Line) {
        let found = self.open.iter().position(|(tenant, _, _)| tenant.as_ref() == line.tenant());
        let entry = match found.and_then(|at| self.open.remove(at)) {
            Some(entry) => Some(entry),
            None => self.open_file(line.tenant()),
        };
        let Some(mut entry) = entry else { return };
        // Writing JSON into memory does not fail.
        let _written = line.write(&mut entry.2);
        self.open.push_back(entry);
        if self.open.len() > Self::MAX_OPEN {
            self.flush();
            self.open.pop_front();
        }
    }

    fn open_file(&self, tenant: Option<&TenantId>) -> Option<(Option<TenantId>, File, Vec<u8>)> {
        let name = match tenant {
            Some(tenant) => format!("{tenant}.jsonl"),
            // No tenant id starts with a dash.
            None => "-unattributed.jsonl".to_owned(),
        };
        let path = self.folder.join(name);
        match OpenOptions::new().create(true).append(true).mode(0o600).open(&path) {
            Ok(file) => Some((tenant.cloned(), file, Vec::new())),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "cannot write the audit log");
                None
            }
        }
    }

    fn flush(&mut self) {
        for (tenant, file, buffer) in &mut self.open {
            if buffer.is_empty() {
                continue;
            }
            if let Err(error) = file.write_all(buffer) {
                tracing::error!(tenant = tenant.as_ref().map(tracing::field::display), %error, "cannot write the audit log");
            }
            buffer.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_tenant_has_a_file_and_a_field_cannot_start_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::open(folder.path()).unwrap();
        for (n, tenant) in ["acme", "globex"].into_iter().enumerate() {
            let principal = Principal {
                tenant: TenantId::parse(tenant).unwrap(),
                issuer: "i".into(),
                subject: "eve\n{\"forged\":1}\u{1b}[2J".into(),
                scopes: partywall_model::Scopes::default(),
            };
            audit.record(Line::of(Some(&Arc::new(principal)), RequestId::new(n as u64), 1.5)).await.unwrap();
        }
        audit.record(Line::of(None, RequestId::new(9), 1.5)).await.unwrap();
        audit.flush().await;
        for name in ["acme", "globex", "-unattributed"] {
            let text =
                std::fs::read_to_string(folder.path().join("audit").join(format!("{name}.jsonl"))).unwrap();
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(!text.contains('\u{1b}'));
            let line: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(line["tenant"].as_str().unwrap_or("-unattributed"), name);
        }
    }
}
