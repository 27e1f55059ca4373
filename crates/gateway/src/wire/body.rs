//! Response bodies: nothing, bytes, or a stream of events; and reading a request's body within limits.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::{
    stream::EventStream,
    unread::{Reading, Unread},
};
use crate::{admit::Permit, guards::capacity::seats::Busy};

/// The body of a response.
pub(crate) struct ReplyStream {
    content: Content,
    /// The place of the call, until somebody watches how the body is taken.
    permit: Option<Permit>,
    /// How it is taken, in HTTP/2.
    reading: Option<Arc<Reading>>,
}

enum Content {
    Full(Bytes),
    Events {
        events: Box<EventStream>,
        /// What is left of the last event.
        rest: Bytes,
    },
}

/// In HTTP/1, replies up to this size are the system's as soon as they are made; larger ones may stay with us while the
/// client does not read.
const SMALL: usize = 64 * 1024;

/// In HTTP/2, how much of a body is handed over at a time: the least that a client must take of it in a while. It is as
/// much as goes into one frame.
const PIECE: usize = 16 * 1024;

/// Bytes that have a place among their tenant's calls in flight until they are written.
struct Held {
    bytes: Bytes,
    _permit: Permit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl ReplyStream {
    fn new(content: Content) -> Self {
        Self { content, permit: None, reading: None }
    }

    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        Self::new(Content::Full(bytes.into()))
    }

    pub(crate) fn events(events: EventStream) -> Self {
        Self::new(Content::Events { events: Box::new(events), rest: Bytes::new() })
    }

    /// A reply that keeps its call's place until it is written, so that what clients leave unread is bounded by their
    /// tenant's calls in flight and not by their connections. In HTTP/2 even a small one may stay with us for as long as
    /// the client likes.
    pub(crate) fn held_by(mut self, permit: &Permit, version: Version) -> Self {
        match &mut self.content {
            _ if version == Version::HTTP_2 => self.permit = Some(permit.clone()),
            Content::Full(bytes) if bytes.len() > SMALL => {
                let whole = std::mem::take(bytes);
                *bytes = Bytes::from_owner(Held { bytes: whole, _permit: permit.clone() });
            }
            // A small reply, or a stream, which holds its permit itself.
            _ => {}
        }
        self
    }

    /// Keeps the connection busy for as long as there is more to come, and in HTTP/2 has somebody see to it that it is
    /// taken.
    pub(crate) fn keep(&mut self, busy: Busy, unread: Option<&Arc<Unread>>) {
        let busy = match &mut self.content {
            Content::Full(bytes) if bytes.is_empty() => return,
            Content::Full(_) => None,
            Content::Events { events, .. } if unread.is_none() => {
                events.busy = Some(busy);
                return;
            }
            Content::Events { .. } => Some(busy),
        };
        self.reading = unread.map(|unread| unread.watch(self.permit.take(), busy));
    }
}

impl Body for ReplyStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let ReplyStream { content, reading, .. } = &mut *self;
        let bytes = match content {
            Content::Full(bytes) => bytes,
            Content::Events { events, rest } => {
                if rest.is_empty() {
                    match ready!(events.poll_next(cx)) {
                        Some(event) => *rest = event,
                        None => return Poll::Ready(None),
                    }
                }
                rest
            }
        };
        let next = (!bytes.is_empty()).then(|| next(bytes, reading.as_ref()));
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.content, Content::Full(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Events { .. } => SizeHint::default(),
        }
    }
}

/// What goes out next of bytes that are there.
fn next(bytes: &mut Bytes, reading: Option<&Arc<Reading>>) -> Bytes {
    match reading {
        Some(reading) => reading.piece(bytes.split_to(bytes.len().min(PIECE))),
        None => std::mem::take(bytes),
    }
}

/// How much of a body that nobody wants is taken all the same, and for how long.
const UNWANTED: usize = 64 * 1024;
const UNWANTED_TIME: Duration = Duration::from_millis(200);

/// Whether a body has come to its end, after a little of what was not read of it has been taken and thrown away. Many
/// clients send it after the head: a request that is refused by its head would cost them the connection, and perhaps the
/// reply with it.
pub(crate) async fn ends<B>(body: &mut B) -> bool
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.is_end_stream() {
        return true;
    }
    if body.size_hint().lower() > UNWANTED as u64 {
        return false;
    }
    let taken = async {
        let mut left = UNWANTED;
        while let Some(frame) = body.frame().await {
            let many = frame.ok().map(|frame| frame.data_ref().map_or(0, Bytes::len));
            match many.and_then(|many| left.checked_sub(many)) {
                Some(rest) => left = rest,
                None => return false,
            }
        }
        true
    };
    tokio::time::timeout(UNWANTED_TIME, taken).await.unwrap_or(false)
}

/// Why a request's body was not read.
pub(crate) enum BodyError {
    TooLarge,
    TooSlow,
    Broken,
}

/// Reads a body of at most `limit` bytes within `time`.
pub(crate) async fn read<B>(body: B, limit: usize, time: Duration) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // A client that says how much comes need not send it to be refused.
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge);
    }
    match tokio::time::timeout(time, Limited::new(body, limit).collect()).await {
        Err(_elapsed) => Err(BodyError::TooSlow),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => Err(BodyError::TooLarge),
        Ok(Err(_broken)) => Err(BodyError::Broken),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};
    use http_body_util::{Full, StreamBody};

    use super::*;

    fn chunks(many: usize, bytes: usize) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        let chunk = move |_| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![0; bytes])));
        StreamBody::new(stream::iter(0..many).map(chunk))
    }

    #[tokio::test]
    async fn a_little_of_what_nobody_wants_is_taken_and_no_more() {
        assert!(ends(&mut Full::new(Bytes::new())).await);
        assert!(ends(&mut Full::new(Bytes::from(vec![0; UNWANTED]))).await);
        assert!(ends(&mut chunks(4, UNWANTED / 4)).await);
        assert!(!ends(&mut chunks(5, UNWANTED / 4)).await);
        assert!(!ends(&mut chunks(usize::MAX, 1000)).await);
        let mut long = Full::new(Bytes::from(vec![0; UNWANTED + 1]));
        assert!(!ends(&mut long).await);
        assert!(!long.is_end_stream(), "one that says how long it is is not begun");
        // A client that says more is to come and sends none is waited for a moment.
        let mut silent = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        assert!(!ends(&mut silent).await);
    }
}
