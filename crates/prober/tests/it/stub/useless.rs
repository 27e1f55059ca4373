//! Ways in which a server can be of no use: answers that are none, from the beginning or once the attack has begun.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::{Response, body::Frame};

use super::{
    App,
    wire::{Asked, Body, full},
};

/// What comes instead of any answer.
pub(super) fn instead(app: &App) -> Option<Response<Body>> {
    let has = |defect| app.defects.has(defect);
    let turned = |defect| app.attacked() && has(defect);
    let page =
        |status: u16, text: &str| Response::builder().status(status).body(full(text.to_owned())).unwrap();
    match () {
        () if has("no-mcp") => Some(page(404, "<html>nothing here</html>")),
        () if turned("turns-to-html") => Some(page(200, "<html>Back soon</html>")),
        () if has("redirects") => {
            let response = Response::builder().status(307).header("location", "/elsewhere");
            Some(response.body(full(String::new())).unwrap())
        }
        () if has("drips") || turned("turns-to-drops") => Some(drip()),
        () if has("torrent") || turned("turns-to-torrent") => Some(torrent()),
        () if has("endless") || turned("turns-endless") => Some(endless()),
        () if has("huge") || turned("turns-huge") => Some(huge()),
        () => None,
    }
}

fn huge() -> Response<Body> {
    let piece = || Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![b'a'; 1 << 16])));
    let response = Response::builder().status(200).header("content-type", "application/json");
    response.body(BodyExt::boxed(StreamBody::new(stream::repeat_with(piece)))).unwrap()
}

/// Events that say nothing, now and then.
fn endless() -> Response<Body> {
    let piece = || Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b": still here\n\n")));
    let pieces = stream::repeat_with(piece).then(|frame| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        frame
    });
    let response = Response::builder().status(200).header("content-type", "text/event-stream");
    response.body(BodyExt::boxed(StreamBody::new(pieces))).unwrap()
}

/// An answer that looks well and says nothing: to another request, to everything, or only with a status.
pub(super) fn lie(app: &App, asked: &Asked) -> Option<Response<Body>> {
    if !app.attacked() {
        return None;
    }
    let has = |defect| app.defects.has(defect);
    let message: serde_json::Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let id = if has("turns-to-other-ids") { 999_999.into() } else { message["id"].clone() };
    let body = match () {
        () if has("turns-to-other-ids") || has("turns-empty") => {
            serde_json::json!({"jsonrpc": "2.0", "id": id, "result": {}}).to_string()
        }
        () if has("turns-to-nothing") => String::new(),
        () if has("turns-to-cut-json") => "{\"jsonrpc\": \"2.0\", \"id\": ".to_owned(),
        () => return shrug(app),
    };
    let response = Response::builder().status(200).header("content-type", "application/json");
    Some(response.body(full(body)).unwrap())
}

/// A status and nothing that answers, to everybody.
fn shrug(app: &App) -> Option<Response<Body>> {
    let (_, status, body) = [
        ("turns-to-401", 401, "{\"error\":\"invalid_token\"}"),
        ("turns-to-202", 202, ""),
        ("turns-to-500", 500, "Internal Server Error"),
        ("turns-to-redirect", 307, ""),
    ]
    .into_iter()
    .find(|(defect, ..)| app.defects.has(defect))?;
    let response = Response::builder().status(status).header("location", "/elsewhere");
    Some(response.body(full(body.to_owned())).unwrap())
}

/// A byte now and then, of an answer that would take an hour.
fn drip() -> Response<Body> {
    let bytes = stream::repeat_with(|| Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b" "))));
    let bytes = bytes.take(3_600).then(|frame| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        frame
    });
    let response = Response::builder().status(200).header("content-type", "application/json");
    response.body(BodyExt::boxed(StreamBody::new(bytes))).unwrap()
}

/// Events without an end, as fast as they are read, in pieces of a few bytes.
fn torrent() -> Response<Body> {
    let piece = || Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b": here\n\n")));
    let response = Response::builder().status(200).header("content-type", "text/event-stream");
    response.body(BodyExt::boxed(StreamBody::new(stream::repeat_with(piece)))).unwrap()
}
