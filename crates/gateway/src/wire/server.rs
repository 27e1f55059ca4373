//! Listening, and the connections: bounded in number, in what they may send and in how long they may take.

use std::{convert::Infallible, future::Future, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{body::ReplyStream, patience::Patient, rpc::handle};
use crate::gateway::Services;

/// The server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address is taken or not ours.
    #[error("cannot listen on {address}; choose another address with server.listen or --port")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A server that listens and does not serve yet.
pub struct Server {
    services: Arc<Services>,
    public: TcpListener,
    admin: Option<TcpListener>,
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
}

impl Server {
    pub(crate) async fn bind(
        services: Arc<Services>,
        address: SocketAddr,
        admin: Option<SocketAddr>,
    ) -> Result<Self, ServeError> {
        let public =
            TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })?;
        Self::with(services, public, admin).await
    }

    pub(crate) async fn on(
        services: Arc<Services>,
        listener: std::net::TcpListener,
        admin: Option<SocketAddr>,
    ) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Listen { address: SocketAddr::from(([0, 0, 0, 0], 0)), source };
        listener.set_nonblocking(true).map_err(failed)?;
        Self::with(services, TcpListener::from_std(listener).map_err(failed)?, admin).await
    }

    async fn with(
        services: Arc<Services>,
        public: TcpListener,
        admin: Option<SocketAddr>,
    ) -> Result<Self, ServeError> {
        let address_of = |listener: &TcpListener, address| {
            listener.local_addr().map_err(|source| ServeError::Listen { address, source })
        };
        let address = address_of(&public, SocketAddr::from(([0, 0, 0, 0], 0)))?;
        let (admin, admin_address) = match admin {
            None => (None, None),
            Some(address) => {
                let listener = TcpListener::bind(address)
                    .await
                    .map_err(|source| ServeError::Listen { address, source })?;
                let bound = address_of(&listener, address)?;
                (Some(listener), Some(bound))
            }
        };
        Ok(Self { services, public, admin, address, admin_address })
    }

    /// The address that MCP is served at; its port is the real one when 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of health and metrics, if there is one.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Serves until `stop` is ready, then lets open calls end within the drain time.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let Self { services, public, admin, .. } = self;
        let connections = GracefulShutdown::new();
        let room = Arc::new(Semaphore::new(services.settings.max_connections.max(1)));
        let mut stop = pin!(stop);
        let admin_room = Arc::new(Semaphore::new(64));
        loop {
            let (stream, kind) = tokio::select! {
                () = &mut stop => break,
                accepted = accept(&public, &room) => (accepted, Kind::Public),
                accepted = accept_admin(admin.as_ref(), &admin_room) => (accepted, Kind::Admin),
            };
            let Some((stream, place)) = stream else { continue };
            let connection = connection(Arc::clone(&services), stream, kind, &connections);
            background(async move {
                connection.await;
                drop(place);
            });
        }
        drop(public);
        let drained = tokio::time::timeout(services.settings.drain_timeout, connections.shutdown()).await;
        if drained.is_err() {
            tracing::warn!("calls were still open at the end of the drain time and were stopped");
        }
        services.audit.flush();
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Public,
    Admin,
}

type Accepted = Option<(TcpStream, OwnedSemaphorePermit)>;

/// Waits for room, then for a connection.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> Accepted {
    let place = Arc::clone(room).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _peer)) => {
            // Replies are written whole; waiting to fill a packet only delays them.
            let _unsupported = stream.set_nodelay(true);
            Some((stream, place))
        }
        Err(error) => {
            // Most often the limit of open files; others may close theirs meanwhile.
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

async fn accept_admin(listener: Option<&TcpListener>, room: &Arc<Semaphore>) -> Accepted {
    match listener {
        Some(listener) => accept(listener, room).await,
        None => std::future::pending().await,
    }
}

/// Serves one connection until it ends.
fn connection(
    services: Arc<Services>,
    stream: TcpStream,
    kind: Kind,
    connections: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + 'static {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let slow = services.settings.read_timeout;
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(slow)
        .max_headers(64)
        .max_buf_size(64 * 1024)
        .keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(128)
        .max_header_list_size(32 * 1024)
        .max_pending_accept_reset_streams(Some(32))
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_timeout(Duration::from_secs(20));
    let service = service_fn(move |request: Request<Incoming>| {
        let services = Arc::clone(&services);
        async move {
            Ok::<_, Infallible>(match kind {
                Kind::Public => handle(&services, request).await,
                Kind::Admin => operator(&services, &request),
            })
        }
    });
    let stream = TokioIo::new(Patient::new(stream, slow));
    let connection = builder.serve_connection(stream, service).into_owned();
    let connection = connections.watch(connection);
    async move {
        // A client that goes away in the middle is no error of ours.
        let _broken = connection.await;
    }
}

/// Health and metrics, for the operator.
fn operator(services: &Services, request: &Request<Incoming>) -> Response<ReplyStream> {
    let (status, text) = match request.uri().path() {
        "/healthz" => (StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => match services.registry.check() {
            Ok(_) => (StatusCode::OK, "ready\n".to_owned()),
            Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
        },
        "/metrics" => {
            let mut text = services.metrics.render();
            text.push_str(&services.audit.render());
            text.push_str("# TYPE partywall_resident_tenants gauge\n");
            text.push_str(&format!("partywall_resident_tenants {}\n", services.residents.len()));
            (StatusCode::OK, text)
        }
        _ => (StatusCode::NOT_FOUND, "not found\n".to_owned()),
    };
    let mut response = Response::new(ReplyStream::full(text));
    *response.status_mut() = status;
    let plain = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
    response
}

/// Starts a task that belongs to no tenant: a connection, before it is known who is at its other end.
fn background(task: impl Future<Output = ()> + Send + 'static) {
    #[expect(
        clippy::disallowed_methods,
        reason = "a connection has no tenant; each of its requests gets a permit"
    )]
    drop(tokio::spawn(task));
}
