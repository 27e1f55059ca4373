//! A reply as a stream of server-sent events: progress while the call runs, then its result.
//!
//! The call is a task of the stream's own and ends when the client closes the stream. It does not run inside the
//! stream, because a stream is only asked for more while its client reads: a call must come to its end, and give its
//! place back, though nobody reads.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use serde_json::json;
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{admit::Permit, guards::capacity::seats::Busy, turn::Progress};

type Call = Pin<Box<dyn Future<Output = String> + Send>>;

/// Progress, then the final message.
pub(crate) struct EventStream {
    said: Arc<Said>,
    task: JoinHandle<()>,
    /// The client's progress token, as it was written.
    token: String,
    last: Option<f64>,
    /// The connection is busy for as long.
    pub(super) busy: Option<Busy>,
}

/// What the call has said and nobody has read.
struct Said(Mutex<Unread>);

struct Unread {
    progress: Option<mpsc::Receiver<Progress>>,
    end: End,
    reader: Option<Waker>,
}

enum End {
    Running,
    Message(String),
    Over,
}

impl Said {
    fn lock(&self) -> MutexGuard<'_, Unread> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the end and tells the reader.
    fn end(&self, end: End) {
        let mut unread = self.lock();
        unread.end = end;
        if let Some(reader) = unread.reader.take() {
            reader.wake();
        }
    }
}

/// Ends a stream whose call did not come to its end.
struct Ending(Arc<Said>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.lock().progress = None;
        self.0.end(End::Over);
    }
}

impl EventStream {
    /// Starts `call`, which gives the final message. What is not read within `patience` of its end is thrown away;
    /// until then it keeps the permit's place, since it takes memory.
    pub(crate) fn start(
        call: Call,
        progress: mpsc::Receiver<Progress>,
        token: String,
        permit: Permit,
        patience: Duration,
    ) -> Self {
        let unread = Unread { progress: Some(progress), end: End::Running, reader: None };
        let said = Arc::new(Said(Mutex::new(unread)));
        let ending = Ending(Arc::clone(&said));
        #[expect(
            clippy::disallowed_methods,
            reason = "the call enters its permit itself, and the task ends with the stream"
        )]
        let task = tokio::spawn(async move {
            let message = call.await;
            ending.0.end(End::Message(message));
            tokio::time::sleep(patience).await;
            drop((ending, permit));
        });
        Self { said, task, token, last: None, busy: None }
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let said = Arc::clone(&self.said);
        let mut unread = said.lock();
        // What was said before the end goes out before the end.
        if let Some(progress) = &mut unread.progress {
            while let Poll::Ready(Some(step)) = progress.poll_recv(cx) {
                if let Some(event) = self.event(&step) {
                    return Poll::Ready(Some(event));
                }
            }
        }
        match mem::replace(&mut unread.end, End::Over) {
            End::Over => Poll::Ready(None),
            End::Message(message) => Poll::Ready(Some(event(&message))),
            End::Running => {
                unread.end = End::Running;
                unread.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The notification of one step; `None` for one that does not go forward, which the protocol forbids.
    fn event(&mut self, step: &Progress) -> Option<Bytes> {
        if !step.done.is_finite() || self.last.is_some_and(|last| step.done <= last) {
            return None;
        }
        self.last = Some(step.done);
        let mut params = json!({ "progress": step.done });
        if let Some(map) = params.as_object_mut() {
            if let Some(total) = step.total {
                map.insert("total".into(), total.into());
            }
            if let Some(message) = &step.message {
                map.insert("message".into(), message.as_str().into());
            }
        }
        // The token stands first, as the client wrote it: a number must not become another on the way.
        let rest = params.to_string();
        let rest = rest.strip_prefix('{').unwrap_or_default();
        Some(event(&format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{\"progressToken\":{},{rest}}}",
            self.token
        )))
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One event on one data line. In JSON text, line breaks stand between tokens only, and are white space like another.
fn event(json: &str) -> Bytes {
    let mut event = String::with_capacity(json.len() + 24);
    event.push_str("event: message\ndata: ");
    for (n, line) in json.split(['\n', '\r']).enumerate() {
        if n > 0 {
            event.push(' ');
        }
        event.push_str(line);
    }
    event.push_str("\n\n");
    event.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_one_line_of_data_whatever_the_white_space() {
        let event = event("{\n  \"a\":\r\n\r1,\n\n \"b\": \"\\n\"}");
        assert_eq!(event, "event: message\ndata: {   \"a\":   1,   \"b\": \"\\n\"}\n\n");
    }
}
