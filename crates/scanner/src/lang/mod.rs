//! Front ends.
pub mod sql;
