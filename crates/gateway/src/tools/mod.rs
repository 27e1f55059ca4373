//! The kinds of tools: SQL, HTTP, native.

pub mod http;
