//! Reads an answer's body, of which no more is taken than there is room for.

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::upstream::error::UpstreamError;

/// A body and how much of it may come yet.
pub(super) struct Body {
    incoming: Incoming,
    left: usize,
}

impl Body {
    pub(super) fn new(incoming: Incoming, room: usize) -> Self {
        Self { incoming, left: room }
    }

    /// The next piece, or `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        loop {
            let frame = match self.incoming.frame().await {
                None => return Ok(None),
                Some(Err(_broken)) => {
                    return Err(UpstreamError::Unreachable("the answer broke off".to_owned()));
                }
                Some(Ok(frame)) => frame,
            };
            // What is no data is a trailer.
            let Ok(piece) = frame.into_data() else { continue };
            self.left = self.left.checked_sub(piece.len()).ok_or(UpstreamError::TooLarge)?;
            return Ok(Some(piece));
        }
    }

    /// All of it, as a text.
    pub(super) async fn text(mut self) -> Result<String, UpstreamError> {
        let mut whole = Vec::new();
        while let Some(piece) = self.next().await? {
            whole.extend_from_slice(&piece);
        }
        String::from_utf8(whole).map_err(|_| UpstreamError::Protocol("what it wrote is no text"))
    }
}

/// What an answer is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    Events,
    Other,
}

pub(super) fn kind(headers: &HeaderMap) -> Kind {
    let is_plain = headers.get(header::CONTENT_ENCODING).is_none_or(|value| value == "identity");
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    match is_plain {
        true if media.eq_ignore_ascii_case("application/json") => Kind::Json,
        true if media.eq_ignore_ascii_case("text/event-stream") => Kind::Events,
        _ => Kind::Other,
    }
}
