//! HTTP: from a request to what the application sees, and back.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
};

use super::{App, useless};

/// A body that may never end.
pub(crate) type Body = BoxBody<Bytes, std::io::Error>;

/// A request, read.
pub(crate) struct Asked {
    pub(crate) verb: String,
    pub(crate) path: String,
    pub(crate) query: String,
    /// The last value of each header.
    pub(crate) headers: BTreeMap<String, String>,
    /// All headers in their order.
    pub(crate) all: Vec<(String, String)>,
    pub(crate) body: Bytes,
    /// The number of the connection.
    pub(crate) connection: u64,
}

impl Asked {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// An answer, to be written.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
}

impl Answer {
    /// JSON with a status.
    pub(crate) fn json(status: u16, value: &serde_json::Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { status, headers, body: full(value.to_string()) }
    }

    /// No body.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: full(String::new()) }
    }

    /// An event stream of chunks that come from a channel.
    pub(crate) fn events(chunks: tokio::sync::mpsc::Receiver<String>) -> Self {
        let chunks = stream::unfold(chunks, |mut chunks| async move {
            let chunk = chunks.recv().await?;
            Some((Ok::<_, std::io::Error>(Frame::data(Bytes::from(chunk))), chunks))
        });
        let headers = vec![("content-type".to_owned(), "text/event-stream".to_owned())];
        Self { status: 200, headers, body: BodyExt::boxed(StreamBody::new(chunks)) }
    }

    /// The same with a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

pub(super) fn full(text: String) -> Body {
    Full::new(Bytes::from(text)).map_err(|never: Infallible| match never {}).boxed()
}

/// Answers a request, in one of the ways in which a server can be of no use first.
pub(super) async fn answer(
    app: Arc<App>,
    request: Request<Incoming>,
    connection: u64,
) -> Result<Response<Body>, std::io::Error> {
    let has = |defect| app.defects.has(defect);
    if has("silent") {
        std::future::pending::<()>().await;
    }
    if has("closes") || (has("dies") && app.attacked()) {
        return Err(std::io::Error::other("the stub closes"));
    }
    if let Some(useless) = useless::instead(&app) {
        return Ok(useless);
    }
    let (parts, body) = request.into_parts();
    if app.secure() {
        app.shelf.lock().unwrap().insert(format!("{:?}", parts.version), true.into());
    }
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let mut all: Vec<(String, String)> = parts
        .headers
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    if has("token-in-x-api-key") {
        all.retain(|(name, _)| name != "authorization");
        for (name, value) in all.iter_mut().filter(|(name, _)| name == "x-api-key") {
            (*name, *value) = ("authorization".to_owned(), format!("Bearer {value}"));
        }
    }
    let incoming = Asked {
        verb: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: all.iter().cloned().collect(),
        all,
        body,
        connection,
    };
    if let Some(lie) = useless::lie(&app, &incoming) {
        return Ok(lie);
    }
    let answer = app.answer(incoming).await;
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    Ok(response.body(answer.body).unwrap())
}
