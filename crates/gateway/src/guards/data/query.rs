//! What one call asks of a database, and what it gets, whatever kind of database it is.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::DataError;

/// The statement of a tool whose argument is the statement.
pub(super) const MODEL: &str = "@model";

/// The parameters of a tool whose argument is the statement, if they are as they must be.
pub(super) fn model_params(params: &[&str]) -> Result<Vec<String>, DataError> {
    match params {
        ["sql"] => Ok(vec!["sql".to_owned()]),
        _ => Err(DataError::Configuration(
            "a tool with `sql = \"@model\"` has one argument, `args.sql`, of type \"string\"".to_owned(),
        )),
    }
}

/// What one call may use.
#[derive(Debug, Clone, Copy)]
pub struct QueryLimits {
    /// From the call to its answer, waiting included.
    pub time: Duration,
    /// The most rows returned; the rest is left out and [`Rows::truncated`] says so.
    pub rows: u32,
    /// The most bytes of JSON; more is an error.
    pub bytes: usize,
}

/// The rows of one call.
#[derive(Debug, Clone)]
pub struct Rows {
    /// The names of the columns.
    pub columns: Arc<[String]>,
    /// The rows: a JSON array of objects.
    pub json: String,
    /// How many rows are in `json`.
    pub count: u32,
    /// Whether there were more.
    pub truncated: bool,
    /// How many rows a write inserted, changed or deleted; 0 for a read.
    pub changed: u64,
}

/// The end of a time limit; a limit beyond all reason ends in a day.
pub(super) fn deadline_after(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time.min(Duration::from_secs(86_400))).unwrap_or(now)
}
