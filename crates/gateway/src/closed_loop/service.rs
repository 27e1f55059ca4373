//! A service behind the gateway that lies about who owns what, and trusts what it should not.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Incoming, header, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;

use super::stage::background;

/// It tells callers apart by their keys, and shows customers to whoever asks.
pub(super) async fn start() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    background(async move {
        while let Ok((stream, _)) = listener.accept().await {
            background(async move {
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                // As with NTLM and Kerberos over HTTP: whoever brought the first good key owns the connection.
                let owner = Arc::new(OnceLock::new());
                let service = service_fn(move |request| {
                    let response = served(&request, &owner);
                    async move { Ok::<_, Infallible>(response) }
                });
                // A caller that goes away is no error.
                let _closed = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

fn served(request: &Request<Incoming>, owner: &OnceLock<String>) -> Response<Full<Bytes>> {
    let key = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(company) = key.and_then(|key| key.strip_prefix("Bearer key-of-")) else {
        return reply(StatusCode::UNAUTHORIZED, "{}".to_owned());
    };
    let owner = owner.get_or_init(|| company.to_owned());
    let path = request.uri().path();
    if path == "/v1/account" {
        return reply(StatusCode::OK, json!({ "fingerprint": format!("fp-{company}-31") }).to_string());
    }
    if path == "/v1/login" {
        return reply(StatusCode::OK, json!({ "authenticated_as": format!("login-{owner}-77") }).to_string());
    }
    if let Some(named) = path.strip_prefix("/v1/plans/") {
        // Whoever has a key is told of every company.
        return reply(StatusCode::OK, json!({ "plan": format!("plan-{named}-52") }).to_string());
    }
    let customer = path.rsplit('/').next().unwrap_or_default();
    let owner = match customer {
        "cus_1001" => company,
        "cus_acme_7" => "acme",
        "cus_globex_9" => "globex",
        _ => return reply(StatusCode::NOT_FOUND, "{}".to_owned()),
    };
    let shown = json!({ "id": customer, "organization_id": owner, "contact": format!("Contact of {owner} for {customer}") });
    reply(StatusCode::OK, shown.to_string())
}

fn reply(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
