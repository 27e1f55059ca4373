//! Enforces tenant isolation: a multi-tenant MCP server, and the library for Rust tool authors.

pub mod admit;
pub mod clock;
pub mod config;
pub mod guards;
pub mod tenants;
pub mod tools;
