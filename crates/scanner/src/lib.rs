//! Finds isolation failures in the source of MCP servers.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    unused_imports,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason
)]
pub mod files;
pub mod lang;
pub mod rules;
pub mod tables;
