//! Reads the answer to a request, which comes by itself or as one of several events.

use std::sync::{Arc, atomic::Ordering};

use http::{Response, StatusCode};
use hyper::body::Incoming;
use serde_json::value::RawValue;

use super::{
    Agreed, Inner,
    body::{Body, Kind, kind},
    events::Events,
    message::{self, Said},
};
use crate::{turn::ProgressSink, upstream::error::UpstreamError};

/// The most bytes that a stream may have besides the answer.
const BESIDES: usize = 1 << 20;
/// The most that is read of a refusal.
const REFUSAL: usize = 16 * 1024;
/// The codes of errors that a call can have and a conversation cannot: no such method, arguments, a failure within.
const OF_CALL: [i64; 3] = [-32601, -32602, -32603];
/// How many of a server's own requests are answered in one exchange.
const ANSWERED: usize = 16;

/// What is waited for.
pub(super) struct Expected<'e> {
    pub(super) inner: &'e Arc<Inner>,
    pub(super) number: u64,
    pub(super) agreed: &'e Agreed,
    pub(super) room: usize,
}

/// The result of the request.
pub(super) async fn read(
    response: Response<Incoming>,
    expected: &Expected<'_>,
    progress: Option<&ProgressSink>,
) -> Result<Box<RawValue>, UpstreamError> {
    let status = response.status();
    let kind = kind(response.headers());
    if !status.is_success() {
        return Err(not_done(response, expected, kind == Kind::Json).await);
    }
    match kind {
        Kind::Json => {
            let text = Body::new(response.into_body(), expected.room).text().await?;
            match message::read(&text, expected.number)? {
                Said::Answer(answer) => answer,
                _ => Err(UpstreamError::Protocol("its answer is not that to the request")),
            }
        }
        Kind::Events => events(response.into_body(), expected, progress).await,
        Kind::Other if status == StatusCode::ACCEPTED => {
            Err(UpstreamError::Protocol("it took a request for a notification"))
        }
        Kind::Other => Err(UpstreamError::Protocol("its answer is neither JSON nor an event stream")),
    }
}

async fn events(
    body: Incoming,
    expected: &Expected<'_>,
    progress: Option<&ProgressSink>,
) -> Result<Box<RawValue>, UpstreamError> {
    let mut body = Body::new(body, expected.room.saturating_add(BESIDES));
    let mut events = Events::new(expected.room);
    let mut answered = 0;
    while let Some(piece) = body.next().await? {
        let mut bytes = &piece[..];
        while let Some(event) = events.take(&mut bytes)? {
            match message::read(&event, expected.number)? {
                Said::Answer(answer) => return answer,
                Said::Step(step) => {
                    if let Some(progress) = progress {
                        progress.send(step).await;
                    }
                }
                Said::ToolsChanged => expected.inner.changed.store(true, Ordering::Relaxed),
                // The stateless revision knows no requests of servers.
                Said::Asks { id, method } if !expected.agreed.stateless && answered < ANSWERED => {
                    answered += 1;
                    expected.inner.say(message::reply(id, &method));
                }
                Said::Asks { .. } | Said::Nothing => {}
            }
        }
    }
    Err(UpstreamError::Unreachable("the answer broke off".to_owned()))
}

/// Why a request was not done, which its body may tell better than its status.
async fn not_done(response: Response<Incoming>, expected: &Expected<'_>, is_json: bool) -> UpstreamError {
    let status = response.status();
    let by_status = refused(expected.inner, expected.agreed, status);
    let may_tell = matches!(by_status, UpstreamError::Protocol(_)) && status.is_client_error();
    let told = if is_json && may_tell {
        let text = Body::new(response.into_body(), REFUSAL.min(expected.room)).text().await;
        text.ok().and_then(|text| message::refusal(&text))
    } else {
        None
    };
    // Servers that have forgotten a session say so in this way too; the next call begins another one.
    let of_call = matches!(told, Some(UpstreamError::Rpc { code, .. }) if OF_CALL.contains(&code));
    if status == StatusCode::BAD_REQUEST && expected.agreed.session.is_some() && !of_call {
        expected.inner.end();
        let says = |text: &str| text.to_ascii_lowercase().contains("session");
        if matches!(&told, Some(UpstreamError::Rpc { message, .. }) if says(message)) {
            return by_status;
        }
    }
    told.unwrap_or(by_status)
}

/// What a status means that is no success.
pub(super) fn refused(inner: &Inner, agreed: &Agreed, status: StatusCode) -> UpstreamError {
    match status.as_u16() {
        300..=399 => UpstreamError::Protocol("it answered with a redirect, which is not followed"),
        401 | 403 => UpstreamError::Unauthorized,
        404 if agreed.session.is_some() => {
            inner.end();
            UpstreamError::Forgotten
        }
        404 | 405 | 410 => UpstreamError::Protocol("there is no MCP server at this URL"),
        408 | 504 => UpstreamError::TimedOut,
        429 | 503 => UpstreamError::Busy,
        400..=499 => UpstreamError::Protocol("it refused the request"),
        status => UpstreamError::Unreachable(format!("it answered with status {status}")),
    }
}
