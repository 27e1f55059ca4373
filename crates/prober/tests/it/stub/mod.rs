//! A small MCP server of both generations, safe unless a switch breaks it in one way.

mod app;
mod asking;
mod caches;
mod choices;
mod content;
mod disguised;
mod lasting;
pub(crate) mod lax;
mod listening;
mod naming;
mod operations;
mod rows;
mod rpc;
mod shares;
mod sql;
mod sse;
mod streams;
mod surveyed;
mod tasks;
pub(crate) mod tenants;
mod tls;
pub(crate) mod tokens;
mod tools;
mod useless;
mod wire;

use std::{collections::BTreeSet, sync::Arc};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::watch,
    task::JoinHandle,
};
use url::Url;

pub(crate) use app::App;
pub(crate) use choices::SILENT;

/// The token of the tenant `acme`: in the form of a JSON web token, known to the stub by heart.
pub(crate) const ACME: &str =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0ZW5hbnQiOiJhY21lIn0.5e1f0c77d2AAbbCCddEEffGGhhIIjjKK";
/// The token of the tenant `globex`.
pub(crate) const GLOBEX: &str =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0ZW5hbnQiOiJnbG9iZXgifQ.91ab3c04e8AAbbCCddEEffGGhhIIjjLL";

/// The token of another user of `acme`.
pub(crate) const COLLEAGUE: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0ZW5hbnQiOiJhY21lIiwic3ViIjoiYmVhIn0.7c44de19a6AAbbCCddEEffGGhhIIjjMM";

/// Which switches are on.
#[derive(Clone)]
pub(crate) struct Defects(Arc<BTreeSet<&'static str>>);

impl Defects {
    /// Whether a switch is on.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// The first switch that is on and begins so.
    pub(crate) fn starting(&self, with: &str) -> Option<&'static str> {
        self.0.iter().copied().find(|name| name.starts_with(with))
    }

    /// Whether the parts that a family of defects is about are there: in the stub without any, and where one of them is on.
    pub(crate) fn family(&self, family: &[&str]) -> bool {
        self.0.is_empty() || family.iter().any(|name| self.has(name))
    }
}

/// A running stub; it ends when dropped.
pub(crate) struct Stub {
    address: std::net::SocketAddr,
    pub(crate) app: Arc<App>,
    accepting: JoinHandle<()>,
    over: watch::Sender<bool>,
    /// Its certificate, where it speaks TLS.
    pub(crate) certificate: Option<Vec<u8>>,
}

impl Stub {
    /// Starts a stub with some switches on.
    pub(crate) async fn start(defects: &[&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (over, ended) = watch::channel(false);
        let app = Arc::new(App::new(Defects(Arc::new(defects.iter().copied().collect()))));
        let served = Arc::clone(&app);
        let tls = match () {
            () if app.defects.has("tls") => Some(tls::Tls::new(&["h2", "http/1.1"], false)),
            () if app.defects.has("tls-http1") => Some(tls::Tls::new(&["http/1.1"], false)),
            () if app.defects.has("tls-own-authority") => Some(tls::Tls::new(&["http/1.1"], true)),
            () => None,
        };
        let certificate = tls.as_ref().map(|tls| tls.certificate.clone());
        let accepting = tokio::spawn(async move {
            let mut connection = 0_u64;
            while let Ok((stream, _)) = listener.accept().await {
                connection += 1;
                let (app, mut ended) = (Arc::clone(&served), ended.clone());
                let acceptor = tls.as_ref().map(|tls| tls.acceptor.clone());
                tokio::spawn(async move {
                    let served = async {
                        match acceptor {
                            None => serve(app, stream, connection).await,
                            Some(acceptor) => {
                                // Who does not believe the certificate goes away again.
                                let Ok(stream) = acceptor.accept(stream).await else { return };
                                serve(app, stream, connection).await;
                            }
                        }
                    };
                    tokio::select! {
                        () = served => {}
                        _ = ended.wait_for(|over| *over) => {}
                    }
                });
            }
        });
        Self { address, app, accepting, over, certificate }
    }

    /// The endpoint.
    pub(crate) fn url(&self) -> Url {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/mcp", self.address).parse().unwrap()
    }

    /// Takes word about tenants from a folder: a file `suspended-TENANT`, or `anew-TENANT`.
    pub(crate) fn heed(&self, folder: &std::path::Path) {
        *self.app.office.lock().unwrap() = Some(folder.to_owned());
    }

    /// How many sessions are open.
    pub(crate) fn sessions(&self) -> usize {
        self.app.sessions.lock().unwrap().len()
    }

    /// How many sessions were begun, as it grows.
    pub(crate) fn begun(&self) -> watch::Receiver<usize> {
        self.app.begun.subscribe()
    }

    /// Ends it, with its connections.
    pub(crate) async fn stop(mut self) {
        self.over.send_replace(true);
        self.accepting.abort();
        let _aborted = (&mut self.accepting).await;
    }
}

/// Serves one connection.
async fn serve(app: Arc<App>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, connection: u64) {
    let second = app.defects.has("http2-only");
    let service =
        hyper::service::service_fn(move |request| wire::answer(Arc::clone(&app), request, connection));
    let builder = Builder::new(TokioExecutor::new());
    let builder = if second { builder.http2_only() } else { builder };
    // Whoever closes a connection ends it.
    let _closed = builder.serve_connection(TokioIo::new(stream), service).await;
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.over.send_replace(true);
        self.accepting.abort();
    }
}
