//! The service behind HTTP tools: tells its callers apart by their keys, writes down what it is sent, and lies when
//! it is told to.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, header, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;

use super::{Canaries, Gates, background};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Name and value, one a line, and the body.
    pub(crate) text: String,
    /// Whose key it brought.
    pub(crate) company: String,
    pub(crate) connection: usize,
}

#[derive(Default)]
struct Log {
    keys: Vec<(String, String)>,
    seen: Vec<Seen>,
    /// Records that exist from now on.
    born: Vec<(String, String)>,
    honest: bool,
}

pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Log>>,
}

struct Desk {
    log: Arc<Mutex<Log>>,
    gates: Arc<Gates>,
    canaries: Arc<Canaries>,
    connections: AtomicUsize,
}

impl Upstream {
    pub(super) async fn start(gates: Arc<Gates>, canaries: Arc<Canaries>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Log::default()));
        let desk =
            Arc::new(Desk { log: Arc::clone(&log), gates, canaries, connections: AtomicUsize::new(0) });
        background(async move {
            loop {
                let Ok((stream, _peer)) = listener.accept().await else {
                    continue;
                };
                let connection = desk.connections.fetch_add(1, SeqCst);
                let desk = Arc::clone(&desk);
                let service = service_fn(move |request| {
                    let desk = Arc::clone(&desk);
                    async move { Ok::<_, Infallible>(answer(&desk, request, connection).await) }
                });
                background(async move {
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    // A caller that goes away is no error.
                    let _closed = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, log }
    }

    /// A fresh key for a company; the earlier one is no longer good.
    pub(crate) fn new_key(&self, company: &str) -> String {
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes).unwrap();
        let key: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut log = self.log.lock().unwrap();
        log.keys.retain(|(held, _)| held != company);
        log.keys.push((company.to_owned(), key.clone()));
        key
    }

    /// The requests so far whose target ends so.
    pub(crate) fn seen(&self, end: &str) -> Vec<Seen> {
        let log = self.log.lock().unwrap();
        log.seen.iter().filter(|seen| seen.target.ends_with(end)).cloned().collect()
    }

    /// How often a company asked for it.
    pub(crate) fn times(&self, company: &str, end: &str) -> usize {
        self.seen(end).iter().filter(|seen| seen.company == company).count()
    }

    /// From now on the company has this customer.
    pub(crate) fn add(&self, company: &str, customer: &str) {
        let born = (company.to_owned(), customer.to_owned());
        self.log.lock().unwrap().born.push(born);
    }

    /// From now on nobody is shown what belongs to somebody else.
    pub(crate) fn be_honest(&self) {
        self.log.lock().unwrap().honest = true;
    }
}

async fn answer(desk: &Desk, request: Request<Incoming>, connection: usize) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let bearer = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let mut text: String = parts
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    text.push_str(&String::from_utf8_lossy(&body));
    let (company, honest) = {
        let mut log = desk.log.lock().unwrap();
        let known = log.keys.iter().find(|(_, key)| Some(format!("Bearer {key}").as_str()) == bearer);
        let company = known.map_or(String::new(), |(company, _)| company.clone());
        log.seen.push(Seen {
            method: parts.method.to_string(),
            target: parts.uri.to_string(),
            text,
            company: company.clone(),
            connection,
        });
        (company, log.honest)
    };
    if company.is_empty() {
        return reply(StatusCode::UNAUTHORIZED, "{}".to_owned());
    }
    let customer = parts.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
    if customer.starts_with("slow") {
        desk.gates.of(&format!("crm {company}")).pass().await;
    }
    profile(desk, &company, &customer, honest)
}

/// What the company is shown of a customer. The same ids exist everywhere, with other people behind them.
fn profile(desk: &Desk, company: &str, customer: &str, honest: bool) -> Response<Full<Bytes>> {
    let other = if company == "acme" { "globex" } else { "acme" };
    let born = |company: &str| {
        let log = desk.log.lock().unwrap();
        log.born.contains(&(company.to_owned(), customer.to_owned()))
    };
    let of = |owner: &str| {
        json!({
            "id": customer, "organization_id": owner,
            "note": desk.canaries.text_of(owner), "balance": desk.canaries.number_of(owner),
        })
        .to_string()
    };
    match customer {
        // One whose replies are written for people.
        name if name.starts_with("pretty") => {
            let compact: serde_json::Value = serde_json::from_str(&of(company)).unwrap();
            let pretty = serde_json::to_string_pretty(&compact).unwrap();
            reply(StatusCode::OK, format!("\n{}\r\n\r\n", pretty.replacen('\n', "\r\n\n\r", 1)))
        }
        // Records of 32 KiB, and one that is no record.
        "large" | "stray_large" => {
            let owner = if customer == "large" { company } else { other };
            let note = "x".repeat(32 << 10);
            reply(StatusCode::OK, format!("{{\"organization_id\":\"{owner}\",\"note\":\"{note}\"}}"))
        }
        "stray_page" => reply(StatusCode::OK, "<html>".to_owned()),
        // A service with a bug of its own: it shows what is somebody else's.
        name if name.starts_with("stray") && !honest => reply(StatusCode::OK, of(other)),
        "twice" => {
            reply(StatusCode::OK, format!("{{\"organization_id\":\"{other}\",{}", of(company).split_at(1).1))
        }
        "list" => reply(StatusCode::OK, json!({ "organization_id": [company, other] }).to_string()),
        "nobody" => reply(StatusCode::OK, json!({ "note": "whose is this?" }).to_string()),
        "forbidden" => reply(StatusCode::FORBIDDEN, of(other)),
        "moved" => {
            let mut response = reply(StatusCode::FOUND, of(other));
            let there = "/v1/customers/cus_1001".parse().unwrap();
            response.headers_mut().insert(header::LOCATION, there);
            response
        }
        name if name.starts_with("late") && !born(company) => reply(StatusCode::NOT_FOUND, "{}".to_owned()),
        "gone" => reply(StatusCode::NOT_FOUND, of(other)),
        name if name.starts_with("cus_none") => reply(StatusCode::NOT_FOUND, "{}".to_owned()),
        _ => reply(StatusCode::OK, of(company)),
    }
}

/// Everything a careless client would share is in the headers.
fn reply(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
        (header::ETAG, "\"one-for-all\""),
        (header::SET_COOKIE, "session=whoever-comes-next; Path=/"),
    ] {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}
