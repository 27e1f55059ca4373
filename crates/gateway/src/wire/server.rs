//! Listening, and the connections: bounded in number, in what they may send and in how long they may take.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::Ordering::{Acquire, Release},
    },
    time::{Duration, Instant},
};

use http::{Request, Response, StatusCode, Version, header};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::{body::ReplyStream, files, patience::Patient, rpc::handle, unread::Unread};
use crate::{
    config::Config,
    gateway::Live,
    guards::capacity::seats::{Leave, Seat, Seated, Seats},
};

const PUBLIC: &str = "server.listen";
const ADMIN: &str = "server.admin_listen";

/// The server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address is taken or not ours.
    #[error("cannot listen on {address}; choose another address with {key} in the configuration")]
    Listen {
        /// The key that says it.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A server that listens and does not serve yet.
pub struct Server {
    live: Arc<Live>,
    public: TcpListener,
    admin: Option<TcpListener>,
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    connections: usize,
}

impl Server {
    pub(crate) async fn bind(live: Arc<Live>, config: &Config) -> Result<Self, ServeError> {
        let address = config.server.listen;
        let public = TcpListener::bind(address).await.map_err(|source| ServeError::Listen {
            key: PUBLIC,
            address,
            source,
        })?;
        Self::with(live, public, config).await
    }

    pub(crate) async fn on(
        live: Arc<Live>,
        listener: std::net::TcpListener,
        config: &Config,
    ) -> Result<Self, ServeError> {
        let address = SocketAddr::from(([0, 0, 0, 0], 0));
        let failed = |source| ServeError::Listen { key: PUBLIC, address, source };
        listener.set_nonblocking(true).map_err(failed)?;
        Self::with(live, TcpListener::from_std(listener).map_err(failed)?, config).await
    }

    async fn with(live: Arc<Live>, public: TcpListener, config: &Config) -> Result<Self, ServeError> {
        let address_of = |listener: &TcpListener, key, address| {
            listener.local_addr().map_err(|source| ServeError::Listen { key, address, source })
        };
        let address = address_of(&public, PUBLIC, SocketAddr::from(([0, 0, 0, 0], 0)))?;
        let (admin, admin_address) = match config.server.admin_listen {
            None => (None, None),
            Some(address) => {
                let listener = TcpListener::bind(address).await.map_err(|source| ServeError::Listen {
                    key: ADMIN,
                    address,
                    source,
                })?;
                let bound = address_of(&listener, ADMIN, address)?;
                (Some(listener), Some(bound))
            }
        };
        let connections = files::connections(config);
        Ok(Self { live, public, admin, address, admin_address, connections })
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

    /// Serves until `stop` is ready, then lets open calls end within the drain time. Health is told meanwhile too.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let Self { live, public, admin, connections, .. } = self;
        let mut public = Door::new(&live, Some(public), Seats::new(connections), None);
        let admin = Door::new(&live, admin, Seats::new(ADMIN_CONNECTIONS), Some(Arc::clone(&public.seats)));
        let mut stop = pin!(stop);
        let mut tidy = pin!(tidy(&live));
        let mut look = pin!(look(&live));
        let mut processes = pin!(look_after(&live));
        loop {
            tokio::select! {
                () = &mut stop => break,
                () = public.accept() => {}
                () = admin.accept() => {}
                () = &mut tidy => {}
                () = &mut look => {}
                () = &mut processes => {}
            }
        }
        live.draining.store(true, Release);
        // Nobody new is let in.
        public.listener = None;
        public.seats.ask_all(Leave::Soon);
        let services = live.services();
        let mut over = pin!(tokio::time::sleep(services.settings.drain_timeout));
        let seats = Arc::clone(&public.seats);
        let mut empty = pin!(public.emptied());
        loop {
            tokio::select! {
                () = &mut empty => break,
                () = &mut over => {
                    tracing::warn!("calls were still open at the end of the drain time and were stopped");
                    seats.ask_all(Leave::Now);
                    break;
                }
                () = admin.accept() => {}
            }
        }
        admin.seats.ask_all(Leave::Now);
        services.processes.stop_all().await;
        services.flush_audit().await;
    }
}

/// The most connections of the admin listener.
const ADMIN_CONNECTIONS: usize = 64;

/// A listener and its connections.
struct Door {
    live: Arc<Live>,
    listener: Option<TcpListener>,
    seats: Arc<Seats>,
    /// For the admin listener, the public one's.
    watched: Option<Arc<Seats>>,
    open: mpsc::Sender<Infallible>,
    closed: mpsc::Receiver<Infallible>,
}

impl Door {
    fn new(
        live: &Arc<Live>,
        listener: Option<TcpListener>,
        seats: Arc<Seats>,
        watched: Option<Arc<Seats>>,
    ) -> Self {
        let (open, closed) = mpsc::channel(1);
        Self { live: Arc::clone(live), listener, seats, watched, open, closed }
    }

    /// Waits for one connection and has it served.
    async fn accept(&self) {
        let Some(listener) = &self.listener else { return std::future::pending().await };
        let stream = match listener.accept().await {
            Ok((stream, _peer)) => stream,
            Err(error) => {
                // Most often the limit of open files; others may close theirs meanwhile.
                tracing::warn!(%error, "cannot accept a connection");
                return tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        // Without a seat it is closed again.
        let Some(seat) = self.seats.open() else { return };
        // Replies are written whole; waiting to fill a packet only delays them.
        let _unsupported = stream.set_nodelay(true);
        let connection = connection(Arc::clone(&self.live), stream, seat, self.watched.clone());
        let open = self.open.clone();
        background(async move {
            connection.await;
            drop(open);
        });
    }

    /// Waits until every connection has ended.
    async fn emptied(mut self) {
        drop(self.open);
        let _none = self.closed.recv().await;
    }
}

/// Both protocols with what is fixed of their limits.
fn protocols(slow: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
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
    builder
}

/// Serves one connection until it ends or is asked to; `watched` makes it one of the operator's.
async fn connection(live: Arc<Live>, stream: TcpStream, seated: Seated, watched: Option<Arc<Seats>>) {
    let (slow, drain) = {
        let settings = &live.services().settings;
        (settings.read_timeout, settings.drain_timeout)
    };
    let builder = protocols(slow);
    let seat = &seated.0;
    let unread = Unread::new(slow);
    // In one, so that requests of different connections count up and down different numbers.
    let link = Arc::new((live, Arc::clone(seat), Arc::clone(&unread), watched));
    let service = service_fn(move |request: Request<Incoming>| {
        let link = Arc::clone(&link);
        async move {
            let (live, seat, unread, watched) = link.as_ref();
            Ok::<_, Infallible>(match watched {
                None => public(live, seat, unread, request).await,
                Some(watched) => operator(live, watched, &request),
            })
        }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(Patient::new(stream, slow)), service));
    let mut time = pin!(tokio::time::sleep(slow));
    let (mut timed, mut leaving) = (true, false);
    // When it ends whatever goes on on it, since something was not taken.
    let mut end: Option<Instant> = None;
    loop {
        tokio::select! {
            // A client that goes away in the middle is no error of ours.
            _broken = connection.as_mut() => return,
            leave = seat.asked() => match leave {
                Leave::Not => {}
                // Asking again gives no more time.
                Leave::Soon if leaving => {}
                Leave::Soon => {
                    connection.as_mut().graceful_shutdown();
                    // A client that does not read its last reply is not waited for.
                    time.as_mut().reset((Instant::now() + slow).into());
                    (timed, leaving) = (true, true);
                }
                Leave::Now => return,
            },
            () = unread.late() => {
                if !(seat.is_busy() || unread.is_read()) {
                    return;
                }
                // Others may have calls on the same connection: a proxy's.
                if end.is_none() {
                    connection.as_mut().graceful_shutdown();
                    end = Some(Instant::now() + drain);
                    time.as_mut().reset((Instant::now() + slow).into());
                    timed = true;
                }
            }
            () = time.as_mut(), if timed => {
                let over = match end {
                    Some(end) => end <= Instant::now() || !(seat.is_busy() || unread.is_read()),
                    None => leaving && !seat.is_busy(),
                };
                // Who has shown no good token by now has had the time for it.
                if !seat.is_known() || over {
                    return;
                }
                timed = leaving || end.is_some();
                time.as_mut().reset((Instant::now() + slow).into());
            }
        }
    }
}

/// Answers one request; the connection is busy until its reply has been made.
async fn public(
    live: &Live,
    seat: &Arc<Seat>,
    unread: &Arc<Unread>,
    request: Request<Incoming>,
) -> Response<ReplyStream> {
    let busy = seat.begin();
    let version = request.version();
    let mut response = handle(&live.services(), Some(seat), request).await;
    response.body_mut().keep(busy, (version == Version::HTTP_2).then_some(unread));
    if response.headers().contains_key(header::CONNECTION) && version == Version::HTTP_2 {
        // There is no such header in HTTP/2; the connection is told in its own way.
        response.headers_mut().remove(header::CONNECTION);
        seat.ask(Leave::Soon);
    }
    response
}

/// Every second: writes the audit lines that are owed, lets go of what is idle, and connects to what processes share
/// if that has not been done.
async fn tidy(live: &Live) {
    let mut files = Instant::now();
    loop {
        let services = live.services();
        if let Some(shared) = &services.shared {
            shared.keep();
        }
        if let Some(replies) = &services.replies {
            replies.connect();
        }
        drop(services);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let services = live.services();
        services.pacer.settle(&services.audit, &services.clock).await;
        let (now, idle) = (Instant::now(), services.settings.idle);
        services.residents.drop_idle(idle, now);
        if now.saturating_duration_since(files) >= idle / 4 {
            files = now;
            if let Some(since) = now.checked_sub(idle) {
                let sources = Arc::clone(&services.sources);
                // Closing writes to disk. Nothing depends on its end.
                drop(tokio::task::spawn_blocking(move || sources.close_idle(since)));
            }
        }
    }
}

/// Every second: looks for the database servers that nobody talks to, or that were lost.
async fn look(live: &Live) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let services = live.services();
        services.sources.look().await;
    }
}

/// Every second: ends what runs for tenants and should not. It waits for nothing else, since a tenant that is suspended is not
/// served from then on.
async fn look_after(live: &Live) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let services = live.services();
        services.processes.look_after(&services);
    }
}

/// Whether requests should be sent here, and if not, why.
pub(crate) fn readiness(live: &Live) -> (StatusCode, String) {
    let services = live.services();
    if live.draining.load(Acquire) {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned());
    }
    match services.registry.check() {
        Ok(()) => match services.sources.lost().as_slice() {
            [] => (StatusCode::OK, "ready\n".to_owned()),
            lost => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("the database server of {} cannot be reached\n", lost.join(", ")),
            ),
        },
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

/// Health and metrics, for the operator.
fn operator(live: &Live, connections: &Seats, request: &Request<Incoming>) -> Response<ReplyStream> {
    let services = live.services();
    let (status, text) = match request.uri().path() {
        // It names the tenants, and asks nobody for a token.
        _ if services.doors.check_operator(request.uri(), request.headers()).is_err() => {
            let text = "this host or origin is not allowed here; see `server.allowed_hosts`\n";
            (StatusCode::FORBIDDEN, text.to_owned())
        }
        "/healthz" => (StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => readiness(live),
        "/metrics" => {
            let mut text = services.metrics.render();
            text.push_str(&services.audit.render());
            text.push_str(&services.registry.render());
            text.push_str(&services.processes.render());
            text.push_str(&format!(
                "# HELP partywall_resident_tenants Tenants held in memory.\n\
                 # TYPE partywall_resident_tenants gauge\n\
                 partywall_resident_tenants {}\n\
                 # HELP partywall_calls_in_flight Calls in flight.\n\
                 # TYPE partywall_calls_in_flight gauge\n\
                 partywall_calls_in_flight {}\n\
                 # HELP partywall_calls_waiting Calls that wait because the server is full.\n\
                 # TYPE partywall_calls_waiting gauge\n\
                 partywall_calls_waiting {}\n\
                 # HELP partywall_database_connections Connections to database servers.\n\
                 # TYPE partywall_database_connections gauge\n\
                 partywall_database_connections {}\n",
                services.residents.len(),
                services.gate.taken(),
                services.gate.waiting(),
                services.sources.open_connections(),
            ));
            if let Some(shared) = &services.shared {
                text.push_str(&shared.render());
            }
            if let Some(replies) = &services.replies {
                text.push_str(&replies.render());
            }
            text.push_str(&connections.render());
            text.push_str(&live.reloads.render());
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
