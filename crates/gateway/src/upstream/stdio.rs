//! The way to a process: JSON-RPC, one message a line.
//!
//! Ids and progress tokens are our own numbers, and what does not answer one of them is dropped. Each line, the table of open
//! requests and the queue of what is to be written have bounds, and a process that says too much that nobody asked for is read
//! slowly, so that it waits and nobody else does.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use partywall_model::TenantId;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::{
    io::AsyncWriteExt,
    process::{ChildStdin, ChildStdout},
    sync::{mpsc, oneshot, watch},
    task::AbortHandle,
};

use super::{
    UpstreamError,
    launch::{Child, Process},
    lines::{Line, Lines, Pace},
    link::{Link, Request},
    processes::Place,
    stderr,
};
use crate::turn::Progress;

/// The most requests that may be open at once, and messages that may wait to be written.
const MOST_OPEN: usize = 256;
const MOST_QUEUED: usize = 16;
/// Steps of progress that wait for their reader; further ones are dropped.
const MOST_STEPS: usize = 16;
/// Lines in a row that are no messages: programs that greet their reader are common.
const MOST_GARBAGE: usize = 16;
/// How many calls in a row may go by without a word from the process.
const MOST_SILENT: u64 = 3;
/// How long a process that was silent has to answer a `ping`.
const PONG: Duration = Duration::from_secs(2);
/// How much of an error's text is kept.
const MOST_TEXT: usize = 4096;
/// How long a process that is asked to end may take.
const FAREWELL: Duration = Duration::from_secs(4);
/// The status of a process that used more than it may.
const OVER: i32 = 137;

type Answer = Result<Box<RawValue>, UpstreamError>;

/// Whose process it is.
#[derive(Clone)]
pub(super) struct Whose {
    pub(super) upstream: Arc<str>,
    pub(super) tenant: TenantId,
}

/// A running process.
pub(super) struct StdioLink {
    shared: Arc<Shared>,
    out: mpsc::Sender<String>,
    /// Ends the process.
    stop: watch::Sender<Stop>,
    next: AtomicU64,
    readers: [AbortHandle; 2],
    writer: AbortHandle,
}

/// Whether the process is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Not,
    /// Its input was closed.
    Soon,
    Now,
}

/// What the tasks of one process share.
struct Shared {
    open: Mutex<BTreeMap<u64, Open>>,
    ended: AtomicBool,
    tools_changed: AtomicBool,
    /// Whether a tool was called, so that what it says may have the call's data in it.
    called: AtomicBool,
    /// Messages that came, and calls that ended without one.
    heard: AtomicU64,
    silent: AtomicU64,
    /// Whether it was asked whether it is there, and has not answered yet.
    asked: AtomicBool,
}

/// A request whose answer has not come.
struct Open {
    answer: oneshot::Sender<Answer>,
    steps: Option<mpsc::Sender<Progress>>,
    room: usize,
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The conversation is over: whoever waits is told.
    fn end(&self) {
        self.ended.store(true, Relaxed);
        for (_, open) in std::mem::take(&mut *self.open()) {
            let _gone = open.answer.send(Err(UpstreamError::Ended));
        }
    }

    fn answer(&self, id: u64, answer: Answer) -> bool {
        let Some(open) = self.open().remove(&id) else { return false };
        let answer = match answer {
            Ok(result) if result.get().len() > open.room => Err(UpstreamError::TooLarge),
            answer => answer,
        };
        let _gone = open.answer.send(answer);
        true
    }
}

impl StdioLink {
    /// Begins to speak with a process. `most` is the longest line that is read; `secrets` are what it was given, which its
    /// complaints are searched for before the operator sees them.
    pub(super) fn new(
        child: Child,
        whose: &Whose,
        most: usize,
        secrets: Vec<SecretString>,
        place: Place,
    ) -> Self {
        let Child { stdin, stdout, stderr, process } = child;
        let shared = Arc::new(Shared {
            open: Mutex::default(),
            ended: AtomicBool::new(false),
            tools_changed: AtomicBool::new(false),
            called: AtomicBool::new(false),
            heard: AtomicU64::new(0),
            silent: AtomicU64::new(0),
            asked: AtomicBool::new(false),
        });
        let (out, queue) = mpsc::channel(MOST_QUEUED);
        let (stop, stopped) = watch::channel(Stop::Not);
        let writer = task(write(stdin, queue, Arc::clone(&shared)));
        let reading = read(stdout, Arc::clone(&shared), out.clone(), most);
        let called = Arc::clone(&shared);
        let called = move || called.called.load(Relaxed);
        let complaints = stderr::read(stderr, whose.clone(), secrets, called);
        let readers = [task(reading), task(complaints)];
        let _waits = task(attend(process, stopped, Arc::clone(&shared), whose.clone(), place));
        Self { shared, out, stop, next: AtomicU64::new(1), readers, writer }
    }

    /// Ends the process and all that it started.
    pub(super) fn kill(&self) {
        let _waits = self.stop.send(Stop::Now);
        self.shared.end();
    }

    /// Lets the process end by itself within a little time.
    pub(super) fn close(&self) {
        self.writer.abort();
        self.stop.send_if_modified(|stop| {
            let first = *stop == Stop::Not;
            if first {
                *stop = Stop::Soon;
            }
            first
        });
        self.shared.end();
    }

    /// Hands a message to the writer, while there is time.
    async fn send(&self, message: String, ends: Instant) -> Result<(), UpstreamError> {
        match tokio::time::timeout_at(ends.into(), self.out.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_closed)) => Err(UpstreamError::Ended),
            Err(_elapsed) => Err(self.late(self.shared.heard.load(Relaxed))),
        }
    }

    /// A call's time was up; a process that says nothing in several of them is given up.
    fn late(&self, heard: u64) -> UpstreamError {
        if self.shared.heard.load(Relaxed) != heard {
            self.shared.silent.store(0, Relaxed);
        } else if self.shared.silent.fetch_add(1, Relaxed) + 1 >= MOST_SILENT {
            self.ask_whether_it_is_there();
        }
        UpstreamError::TimedOut
    }

    /// Ends a process that does not say a word to a `ping` either; one that has slow tools does.
    fn ask_whether_it_is_there(&self) {
        if self.shared.asked.swap(true, Relaxed) {
            return;
        }
        let ping = message(Some(self.next.fetch_add(1, Relaxed)), "ping", &json!({}));
        let (shared, out, stop) = (Arc::clone(&self.shared), self.out.clone(), self.stop.clone());
        let heard = shared.heard.load(Relaxed);
        let _waits = task(async move {
            // Where there is no room the process does not read.
            if out.try_send(ping).is_ok() {
                tokio::time::sleep(PONG).await;
            }
            shared.asked.store(false, Relaxed);
            if shared.heard.load(Relaxed) == heard && !shared.ended.load(Relaxed) {
                let _waits = stop.send(Stop::Now);
                shared.end();
            }
        });
    }
}

impl Drop for StdioLink {
    fn drop(&mut self) {
        if *self.stop.borrow() == Stop::Not {
            self.kill();
        }
        // A process that was asked to end is read until then.
        if *self.stop.borrow() == Stop::Now {
            self.readers.iter().for_each(AbortHandle::abort);
        }
        self.writer.abort();
    }
}

/// Tells the process that nobody waits for an answer any more, unless there was one.
struct Waiting<'l> {
    link: &'l StdioLink,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.link.shared.open().remove(&self.id).is_some() {
            let params = json!({ "requestId": self.id });
            // Where there is no room the process does not read, and will not miss it.
            let _full = self.link.out.try_send(message(None, "notifications/cancelled", &params));
        }
    }
}

fn message(id: Option<u64>, method: &str, params: &Value) -> String {
    let mut message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
    if let (Some(id), Some(map)) = (id, message.as_object_mut()) {
        map.insert("id".into(), id.into());
    }
    format!("{message}\n")
}

impl Link for StdioLink {
    async fn request(&self, request: Request<'_>) -> Answer {
        let Request { method, mut params, ends, room, progress } = request;
        let id = self.next.fetch_add(1, Relaxed);
        let (tell, mut answer) = oneshot::channel();
        let (steps, mut taken) = mpsc::channel(MOST_STEPS);
        if let (Some(_), Some(map)) = (progress, params.as_object_mut()) {
            let meta = map.entry("_meta").or_insert_with(|| json!({}));
            if let Some(meta) = meta.as_object_mut() {
                meta.insert("progressToken".into(), id.into());
            }
        }
        {
            let mut open = self.shared.open();
            if self.ended() {
                return Err(UpstreamError::Ended);
            }
            if open.len() >= MOST_OPEN {
                return Err(UpstreamError::Busy);
            }
            open.insert(id, Open { answer: tell, steps: progress.map(|_| steps), room });
        }
        let waiting = Waiting { link: self, id };
        let heard = self.shared.heard.load(Relaxed);
        if method == "tools/call" {
            self.shared.called.store(true, Relaxed);
        }
        let mut handed_over = false;
        let answered = async {
            self.send(message(Some(id), method, &params), ends).await?;
            handed_over = method == "tools/call";
            loop {
                tokio::select! {
                    biased;
                    Some(step) = taken.recv() => {
                        if let Some(progress) = progress {
                            progress.send(step).await;
                        }
                    }
                    answer = &mut answer => return answer.unwrap_or(Err(UpstreamError::Ended)),
                }
            }
        };
        let answered = match tokio::time::timeout_at(ends.into(), answered).await {
            Ok(answered) => answered,
            Err(_elapsed) => Err(self.late(heard)),
        };
        drop(waiting);
        if handed_over { answered.map_err(UpstreamError::after_sending) } else { answered }
    }

    async fn notify(&self, method: &'static str, params: Value, ends: Instant) -> Result<(), UpstreamError> {
        self.send(message(None, method, &params), ends).await
    }

    fn agreed(&self, _revision: &str) {}

    fn tools_changed(&self) -> bool {
        self.shared.tools_changed.swap(false, Relaxed)
    }

    fn ended(&self) -> bool {
        self.shared.ended.load(Relaxed)
    }
}

/// Starts a task of the process's; it belongs to its tenant, whose memory holds the link that ends it.
fn task(task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    #[expect(
        clippy::disallowed_methods,
        reason = "it outlives each of the tenant's calls, and ends with the link"
    )]
    tokio::spawn(task).abort_handle()
}

/// Waits for the process's end, or for the word to end it.
async fn attend(
    mut process: Process,
    mut stop: watch::Receiver<Stop>,
    shared: Arc<Shared>,
    whose: Whose,
    place: Place,
) {
    let told = async move { stop.wait_for(|stop| *stop != Stop::Not).await.map_or(Stop::Now, |word| *word) };
    tokio::select! {
        exited = process.wait() => if exited.is_ok_and(|status| status.code() == Some(OVER)) {
            tracing::warn!(
                upstream = %whose.upstream,
                tenant = %whose.tenant,
                "a process of the upstream was killed; most often it used more than `limits.memory` or `limits.processes`"
            );
        },
        word = told => if word == Stop::Soon {
            let _late = tokio::time::timeout(FAREWELL, process.wait()).await;
        },
    }
    shared.end();
    // What it started ends with it.
    process.end().await;
    drop(place);
}

async fn write(mut stdin: ChildStdin, mut queue: mpsc::Receiver<String>, shared: Arc<Shared>) {
    while let Some(message) = queue.recv().await {
        let written = async {
            stdin.write_all(message.as_bytes()).await?;
            stdin.flush().await
        };
        if written.await.is_err() {
            break;
        }
    }
    shared.end();
}

/// Reads messages until the process has no more, or makes no sense.
async fn read(stdout: ChildStdout, shared: Arc<Shared>, out: mpsc::Sender<String>, most: usize) {
    let mut lines = Lines::new(stdout, most);
    let mut pace = Pace::default();
    let mut garbage = 0;
    while let Ok(Some(line)) = lines.next().await {
        let bytes = line.len();
        let wanted = match line {
            Line::Whole(text) => match serde_json::from_slice::<Incoming<'_>>(text) {
                Ok(message) => {
                    garbage = 0;
                    shared.heard.fetch_add(1, Relaxed);
                    shared.silent.store(0, Relaxed);
                    take(&shared, &out, message)
                }
                Err(_error) => {
                    garbage += 1;
                    false
                }
            },
            Line::Long { id: Some(id), .. } => shared.answer(id, Err(UpstreamError::TooLarge)),
            // Whose answer it was cannot be told, so nobody waits on.
            Line::Long { id: None, .. } => {
                let open: Vec<u64> = shared.open().keys().copied().collect();
                for id in open {
                    shared.answer(id, Err(UpstreamError::TooLarge));
                }
                false
            }
        };
        if garbage > MOST_GARBAGE {
            break;
        }
        pace.after(bytes, wanted).await;
    }
    shared.end();
}

/// A message of the process's.
#[derive(Deserialize)]
struct Incoming<'m> {
    #[serde(borrow)]
    id: Option<&'m RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'m, str>>,
    #[serde(borrow)]
    params: Option<&'m RawValue>,
    #[serde(borrow)]
    result: Option<&'m RawValue>,
    #[serde(borrow)]
    error: Option<&'m RawValue>,
}

#[derive(Deserialize)]
struct Failure {
    code: i64,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    progress_token: u64,
    progress: f64,
    total: Option<f64>,
    message: Option<String>,
}

/// Takes one message; whether anybody waited for it.
fn take(shared: &Shared, out: &mpsc::Sender<String>, incoming: Incoming<'_>) -> bool {
    match (incoming.method.as_deref(), incoming.id) {
        (None, Some(id)) => {
            let Ok(id) = id.get().parse::<u64>() else { return false };
            shared.answer(id, answer_of(&incoming))
        }
        (None, None) => false,
        (Some(method), Some(id)) => {
            refuse(out, method, id.get());
            false
        }
        (Some("notifications/progress"), None) => incoming.params.is_some_and(|params| step(shared, params)),
        (Some("notifications/tools/list_changed"), None) => {
            shared.tools_changed.store(true, Relaxed);
            false
        }
        (Some(_), None) => false,
    }
}

fn answer_of(incoming: &Incoming<'_>) -> Answer {
    match (incoming.result, incoming.error) {
        (Some(result), None) => Ok(result.to_owned()),
        (None, Some(error)) => Err(match serde_json::from_str::<Failure>(error.get()) {
            Ok(Failure { code, message }) => {
                UpstreamError::Rpc { code, message: message.chars().take(MOST_TEXT).collect() }
            }
            Err(_other) => UpstreamError::Rpc { code: 0, message: String::new() },
        }),
        _ => Err(UpstreamError::Protocol("an answer has neither or both of result and error")),
    }
}

/// Nothing that a server may ask of its client is offered, but to say that we are there.
fn refuse(out: &mpsc::Sender<String>, method: &str, id: &str) {
    // An id that is no text or number, or very long, is not worth an answer.
    if id.len() > 256 || id.starts_with(['{', '[', 't', 'f', 'n']) {
        return;
    }
    let answer = match method {
        "ping" => format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}\n"),
        _ => format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":-32601,\"message\":\"Method not found\"}}}}\n"
        ),
    };
    let _full = out.try_send(answer);
}

/// Hands a step of progress to the call that asked for it.
fn step(shared: &Shared, params: &RawValue) -> bool {
    let Ok(step) = serde_json::from_str::<Step>(params.get()) else { return false };
    let Step { progress_token, progress, total, message } = step;
    let steps = shared.open().get(&progress_token).and_then(|open| open.steps.clone());
    let Some(steps) = steps else { return false };
    let message = message.map(|text| text.chars().take(MOST_TEXT).collect());
    steps.try_send(Progress { done: progress, total, message }).is_ok()
}
