//! The column: one guard for each layer.

pub mod credentials;
pub mod data;
pub mod identity;
