//! Enforces tenant isolation: a multi-tenant MCP server, and the library for Rust tool authors.
//!
//! > Each tenant sees exactly what it would see if it were alone.
//!
//! A request's path, top to bottom, is one function (`wire::rpc::handle`): host and origin, credential, tenant and
//! capacity, then the [`Permit`](admit::Permit) that proves it, then the tool with its [`Cx`]. Everything that belongs
//! to a tenant is reached through that context, and carries its lifetime.
//!
//! To write a tool, implement [`Tool`]; to serve it, hand it to [`Gateway::builder`].

pub mod admit;
/// Reading and checking the audit log from outside a server.
pub mod audit {
    pub use crate::guards::disclosure::audit::{
        CentralLogs, LogReport, Logs, LogsError, News, ReadError, Seen, Verdict, logs, tail, verify,
    };
}
mod call;
mod central;
pub mod clock;
#[cfg(test)]
mod closed_loop;
pub mod config;
pub mod context;
mod cx;
mod deletion;
mod gateway;
pub mod guards;
/// How a program starts existing MCP servers (`[[upstream]]` with `command`) behind a fence.
pub mod launcher {
    pub use crate::upstream::launch::{enter, through};
}
mod reload;
#[cfg(test)]
mod removed;
mod stdio;
mod strict_json;
pub mod tenants;
pub mod tools;
mod turn;
mod upstream;
mod wire;

pub use central::CentralError;
pub use cx::{Cx, IntoReply, Owned, Reply, Secret, State};
pub use gateway::{Administration, Gateway, GatewayBuilder, OpenError, Stores};
pub use reload::ReloadError;
/// The protocol's message types.
pub use rmcp::model;
pub use stdio::StdioError;
pub use tools::{Tool, ToolError, ToolMeta};
pub use wire::{ServeError, Server, raise_file_limit};

/// The version of this crate, as servers tell it.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
