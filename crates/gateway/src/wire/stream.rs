//! A reply as a stream of server-sent events: progress while the call runs, then its result.
//!
//! The call's future runs inside the stream, so it ends when the client closes the stream.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use serde_json::json;
use tokio::sync::mpsc;

use crate::{guards::capacity::seats::Busy, turn::Progress};

type Call = Pin<Box<dyn Future<Output = String> + Send>>;

/// Progress, then the final message.
pub(crate) struct EventStream {
    call: Option<Call>,
    progress: mpsc::Receiver<Progress>,
    /// The client's progress token, as it was written.
    token: String,
    last: Option<f64>,
    /// The connection is busy for as long.
    pub(super) busy: Option<Busy>,
}

impl EventStream {
    /// `call` gives the final message.
    pub(crate) fn new(call: Call, progress: mpsc::Receiver<Progress>, token: String) -> Self {
        Self { call: Some(call), progress, token, last: None, busy: None }
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(call) = &mut self.call else {
            return Poll::Ready(None);
        };
        let done = call.as_mut().poll(cx);
        // What was said before the end goes out before the end.
        while let Poll::Ready(Some(step)) = self.progress.poll_recv(cx) {
            if let Some(event) = self.event(&step) {
                if let Poll::Ready(last) = done {
                    self.call = Some(Box::pin(std::future::ready(last)));
                    cx.waker().wake_by_ref();
                }
                return Poll::Ready(Some(event));
            }
        }
        match done {
            Poll::Pending => Poll::Pending,
            Poll::Ready(last) => {
                self.call = None;
                Poll::Ready(Some(event(&last)))
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

/// One event. JSON text has no line breaks, so one data line carries it.
fn event(json: &str) -> Bytes {
    format!("event: message\ndata: {json}\n\n").into()
}
