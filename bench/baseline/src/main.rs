//! A bare rmcp server whose tools answer what the gateway's answer, with no tenant behind them: no token is verified,
//! nothing is limited or logged. Its one argument is a folder for its database; it prints its address on one line.
//!
//! `list_tickets` is written as fast as is sane: one shared file in WAL mode, one connection behind a lock, a cached
//! statement, and the query on the worker itself, since `spawn_blocking` costs more than the query takes.

use std::{
    error::Error,
    path::Path,
    sync::{Arc, Mutex},
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

const LIST: &str = "SELECT id, title, status, customer_id, created_at FROM tickets
    WHERE (?1 IS NULL OR status = ?1) ORDER BY id DESC LIMIT ?2";

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

#[derive(Clone)]
struct Desk {
    database: Arc<Mutex<Connection>>,
    tool_router: ToolRouter<Self>,
}

#[tool_router]
impl Desk {
    #[tool(description = "Who is calling.")]
    async fn whoami(&self) -> CallToolResult {
        CallToolResult::structured(json!({ "subject": "bench", "tenant": "acme" }))
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
        let desk = Desk {
            database,
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
