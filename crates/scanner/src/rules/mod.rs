//! The rules: one file each, with its page, by layer.

pub mod data;
pub mod routing;
