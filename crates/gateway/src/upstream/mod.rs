//! Existing MCP servers behind the gateway: one conversation for each tenant, never one for all.
//!
//! A server that is started as a process runs once for each tenant and upstream, with that tenant's secrets and folder; a
//! server at a URL is spoken to once for each principal, with the tenant's credential. Neither sees the caller's own token.

mod error;
mod link;
