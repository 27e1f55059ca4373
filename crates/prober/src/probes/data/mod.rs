//! Attacks on the data layer: the database itself, not the query's author, decides which rows exist.

mod completions;
mod foreign_cursors;
mod foreign_ids;
mod foreign_uris;
mod raw_sql;
mod searches;
mod unfiltered_lists;
mod written;

pub(super) use raw_sql::sql_tool;

use super::Probe;

pub(super) static PROBES: &[&Probe] = &[
    &foreign_ids::PROBE,
    &foreign_uris::PROBE,
    &foreign_cursors::PROBE,
    &unfiltered_lists::PROBE,
    &searches::PROBE,
    &completions::PROBE,
    &written::PROBE,
    &raw_sql::PROBE,
];
