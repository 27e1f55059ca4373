//! The service behind the HTTP tool: it tells its callers apart by their keys, and fails when it is asked to.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::{Request, Response, StatusCode, body::Incoming, header, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::set::background;

/// Answers with the caller's own record, which counts how often that caller asked for it: an answer from somebody
/// else's cache, or one cache too few, shows.
pub(super) async fn upstream() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(std::sync::Mutex::new(std::collections::HashMap::<String, u64>::new()));
    background(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let asked = Arc::clone(&asked);
            background(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let key = request.headers()[header::AUTHORIZATION].to_str().unwrap().to_owned();
                    let path = request.uri().path().to_owned();
                    let times = {
                        let mut asked = asked.lock().unwrap();
                        let times = asked.entry(format!("{key}{path}")).or_default();
                        *times += 1;
                        *times
                    };
                    async move {
                        if path == "/never" {
                            std::future::pending::<()>().await;
                        }
                        Ok::<_, Infallible>(answer(&key, &path, times))
                    }
                });
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _closed = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

fn answer(key: &str, path: &str, times: u64) -> Response<Reply> {
    let owner = key.split(' ').nth(2).unwrap();
    // The third customer belongs to somebody else.
    let named = if path.ends_with('3') { "t9" } else { owner };
    let body = match path {
        "/torn" => Reply::Torn,
        "/text" => Reply::Whole("no JSON".into()),
        _ => Reply::Whole(format!("{{\"owner\":\"{named}\",\"path\":\"{path}\",\"times\":{times}}}").into()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = match path {
        "/failed" => StatusCode::INTERNAL_SERVER_ERROR,
        "/moved" => StatusCode::FOUND,
        "/refused" => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::OK,
    };
    response.headers_mut().insert(header::LOCATION, "/1".parse().unwrap());
    response.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    response
}

/// A body, whole, or one that breaks off.
enum Reply {
    Whole(Bytes),
    Torn,
    Over,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match std::mem::replace(self.get_mut(), Self::Over) {
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Self::Torn => Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into()))),
            Self::Over => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Over)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Torn => 100,
            Self::Over => 0,
        })
    }
}
