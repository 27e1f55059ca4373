//! The demo's upstream: a small CRM that knows each company by its key and refuses all others.

use std::{convert::Infallible, net::TcpListener, sync::Arc};

use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Incoming, header, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// One company's key.
pub(super) struct Key {
    company: &'static str,
    text: SecretString,
}

impl Key {
    /// A fresh key; they are made anew at each start.
    pub(super) fn new(company: &'static str) -> anyhow::Result<Self> {
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes).context("the system gives no random bytes")?;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { company, text: SecretString::from(format!("crm-{company}-{hex}")) })
    }

    pub(super) fn text(&self) -> &str {
        self.text.expose_secret()
    }
}

/// The running CRM; it stops when dropped.
pub(super) struct Crm(JoinHandle<()>);

impl Drop for Crm {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Crm {
    pub(super) fn start(listener: TcpListener, keys: Vec<Key>) -> anyhow::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let keys = Arc::new(keys);
        let serve = async move {
            loop {
                let Ok((stream, _peer)) = listener.accept().await else {
                    continue;
                };
                let keys = Arc::clone(&keys);
                background(async move {
                    let service = service_fn(move |request| {
                        let reply = answer(&keys, &request);
                        async move { Ok::<_, Infallible>(reply) }
                    });
                    let builder = auto::Builder::new(TokioExecutor::new());
                    // A caller that goes away is no error.
                    let _broken = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        };
        Ok(Self(background(serve)))
    }
}

fn background(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the CRM is a server of its own and knows no tenants of ours"
    )]
    tokio::spawn(task)
}

fn answer(keys: &[Key], request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let bearer = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    let Some(key) = keys.iter().find(|key| Some(key.text()) == bearer) else {
        return reply(StatusCode::UNAUTHORIZED, &json!({ "error": "unknown key" }));
    };
    let customer =
        request.uri().path().strip_prefix("/v1/customers/").and_then(|id| profile(key.company, id));
    match customer {
        Some(profile) => reply(StatusCode::OK, &profile),
        None => reply(StatusCode::NOT_FOUND, &json!({ "error": "no such customer" })),
    }
}

/// The same ids exist in both companies, with other people behind them.
fn profile(company: &str, id: &str) -> Option<Value> {
    let (name, plan, balance) = match (company, id) {
        ("acme", "cus_1001") => ("Road Runner Deliveries", "express", 318_204_771_930_u64),
        ("acme", "cus_1002") => ("Desert Canyon Tours", "basic", 4_418),
        ("acme", "cus_1003") => ("Coyote Consulting", "gold", 90_210),
        ("globex", "cus_1001") => ("Springfield Power", "enterprise", 660_195_482_017),
        ("globex", "cus_1002") => ("Lakeside Sailing Club", "basic", 7_731),
        ("globex", "cus_1003") => ("Hammock District Association", "gold", 15_000),
        _ => return None,
    };
    Some(json!({
        "id": id,
        "organization_id": company,
        "name": name,
        "plan": plan,
        "balance_cents": balance,
        "contact": format!("desk@{company}.example"),
    }))
}

fn reply(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
