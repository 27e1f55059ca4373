//! A bare rmcp server whose tools answer what the gateway's answer, with no tenant behind them: no token is verified,
//! nothing is limited or logged. Its one argument is a folder for its database; it prints its address on one line.
//! With `BENCH_DATABASE`, the URL of a PostgreSQL server, it also answers `newest_alerts`.
//!
//! `list_tickets` is written as fast as is sane: one shared file in WAL mode, one connection behind a lock, a cached
//! statement, and the query on the worker itself, since `spawn_blocking` costs more than the query takes.
//! `newest_alerts` has its statement prepared once, and sends all queries over one connection, which pipelines them, or
//! takes several in turn: what is faster here.

use std::{
    error::Error,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rmcp::{
    ErrorData, ServerHandler,
    handler::server::{router::tool::ToolRouter, wrapper::Parameters},
    model::{CallToolResult, ServerCapabilities, ServerConfig},
    schemars, tool, tool_handler, tool_router,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
    },
};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_postgres::{Client, NoTls, Statement};

const LIST: &str = "SELECT id, title, status, customer_id, created_at FROM tickets
    WHERE (?1 IS NULL OR status = ?1) ORDER BY id DESC LIMIT ?2";

/// The tenant is written into the call by hand, as in a server without policies.
const ALERTS: &str = "SELECT id, severity, title, state FROM plain.alerts WHERE tenant_id = $1
    ORDER BY created_at DESC LIMIT 20";
const CONNECTIONS: usize = 8;

#[derive(Deserialize, schemars::JsonSchema)]
struct ListTickets {
    status: Option<String>,
    limit: Option<i64>,
}

#[derive(Serialize)]
struct Ticket {
    id: i64,
    title: String,
    status: String,
    customer_id: String,
    created_at: String,
}

#[derive(Serialize)]
struct Alert {
    id: i64,
    severity: i32,
    title: String,
    state: String,
}

/// Connections to PostgreSQL, each with its prepared statement.
#[derive(Default)]
struct Alerts {
    clients: Vec<(Client, Statement)>,
    next: AtomicUsize,
}

#[derive(Clone)]
struct Desk {
    database: Arc<Mutex<Connection>>,
    alerts: Arc<Alerts>,
    tool_router: ToolRouter<Self>,
}

#[tool_router]
impl Desk {
    #[tool(description = "Who is calling.")]
    async fn whoami(&self) -> CallToolResult {
        CallToolResult::structured(json!({ "subject": "bench", "tenant": "acme" }))
    }

    #[tool(description = "Newest alerts first.")]
    async fn newest_alerts(&self) -> Result<CallToolResult, ErrorData> {
        let alerts = self
            .alerts
            .newest("acme")
            .await
            .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        Ok(CallToolResult::structured(json!({ "rows": alerts, "truncated": false })))
    }

    #[tool(description = "Newest tickets first.")]
    async fn list_tickets(
        &self,
        Parameters(ListTickets { status, limit }): Parameters<ListTickets>,
    ) -> Result<CallToolResult, ErrorData> {
        let tickets = self
            .read(status.as_deref(), limit.unwrap_or(20))
            .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        Ok(CallToolResult::structured(json!({ "rows": tickets, "truncated": false })))
    }
}

impl Desk {
    fn read(&self, status: Option<&str>, limit: i64) -> Result<Vec<Ticket>, Box<dyn Error>> {
        let database = self.database.lock().map_err(|_| "the lock is poisoned")?;
        let mut statement = database.prepare_cached(LIST)?;
        let rows = statement.query_map((status, limit), |row| {
            Ok(Ticket {
                id: row.get(0)?,
                title: row.get(1)?,
                status: row.get(2)?,
                customer_id: row.get(3)?,
                created_at: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Alerts {
    async fn connect(url: &str) -> Result<Self, Box<dyn Error>> {
        let mut alerts = Self::default();
        for _ in 0..CONNECTIONS {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
            tokio::spawn(connection);
            let statement = client.prepare(ALERTS).await?;
            alerts.clients.push((client, statement));
        }
        Ok(alerts)
    }

    async fn newest(&self, tenant: &str) -> Result<Vec<Alert>, Box<dyn Error + Send + Sync>> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.clients.len().max(1);
        let (client, statement) = self.clients.get(turn).ok_or("BENCH_DATABASE is not set")?;
        let rows = client.query(statement, &[&tenant]).await?;
        let alert = |row: &tokio_postgres::Row| {
            Ok(Alert {
                id: row.try_get(0)?,
                severity: row.try_get(1)?,
                title: row.try_get(2)?,
                state: row.try_get(3)?,
            })
        };
        rows.iter().map(alert).collect()
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Desk {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }
}

fn open(folder: &Path) -> Result<Connection, Box<dyn Error>> {
    let database = Connection::open(folder.join("tickets.sqlite"))?;
    database.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // Else SQLite compiles this statement again at every call, since its plan may depend on the bound values.
    database.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    database.execute_batch(include_str!("../../tickets.sql"))?;
    Ok(database)
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("usage: partywall-bench-baseline FOLDER")?;
    let database = Arc::new(Mutex::new(open(Path::new(&folder))?));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let alerts = match std::env::var("BENCH_DATABASE") {
            Ok(url) => Alerts::connect(&url).await?,
            Err(_) => Alerts::default(),
        };
        let desk = Desk {
            database,
            alerts: Arc::new(alerts),
            tool_router: Desk::tool_router(),
        };
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true);
        let service = StreamableHttpService::new(
            move || Ok(desk.clone()),
            Arc::new(NeverSessionManager::default()),
            config,
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        axum::serve(listener, axum::Router::new().nest_service("/mcp", service)).await?;
        Ok(())
    })
}
