//! Runs a statement and writes its rows as JSON while stepping.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rusqlite::types::{Value as SqlValue, ValueRef};

use super::{
    authorize::Phase,
    connection::{Conn, LEAST_LENGTH, when_free},
    statement::Statement,
};
use crate::guards::data::{DataError, QueryLimits, Rows};

/// How long a read may keep a thread that serves other callers too.
const SPOT: Duration = Duration::from_micros(500);
/// A read that took no longer the last time is tried on the spot the next time.
const QUICK: Duration = Duration::from_micros(200);

/// Runs a read at once, on a thread that may not block, if it was quick on this connection the last time. `None` when
/// it has to run where it may take longer: it is no such statement, or this run did not come to a good end in time. A
/// read that was broken off can be done again.
pub(super) fn on_the_spot(
    conn: &Conn,
    statement: &Statement,
    values: &[SqlValue],
    limits: QueryLimits,
) -> Option<Rows> {
    let number = statement.number();
    if !statement.is_light() || !conn.was_quick(number) || conn.control().check().is_err() {
        return None;
    }
    conn.limit_on_the_spot().ok()?;
    let begun = Instant::now();
    match conn.control().within(SPOT, || step(conn, statement, values, limits)) {
        Ok(rows) => {
            let _stopped = conn.control().finish();
            conn.note(number, begun.elapsed() <= QUICK);
            Some(rows)
        }
        Err(DataError::Busy) => None,
        // Whatever it is, it is found again where there is time, and said there.
        Err(_) => {
            conn.note(number, false);
            None
        }
    }
}

/// Runs a statement on a connection whose brake has been started.
///
/// A write is one transaction. More rows than the limit do not undo it: its effect does not depend on how much of the
/// answer is shown. A time or byte limit, an error or a cancellation rolls it back.
pub(super) fn execute(
    conn: &Conn,
    statement: &Statement,
    values: &[SqlValue],
    limits: QueryLimits,
) -> Result<Rows, DataError> {
    conn.control().check()?;
    match statement.is_for_once() {
        true => conn.limit_written(most_of_each(statement.sql(), statement.columns().len(), limits.bytes))?,
        false => conn.limit_values(limits.bytes)?,
    }
    if statement.writes() {
        return conn.transaction("BEGIN IMMEDIATE", || {
            let mut rows = step(conn, statement, values, limits)?;
            rows.changed = conn.raw().changes();
            Ok(rows)
        });
    }
    // A reader meets a lock for a moment only, when the last writer folds its log into the file as it closes it.
    let mut took = Duration::MAX;
    let rows = when_free(
        || conn.control().check().is_ok(),
        || {
            let begun = Instant::now();
            let rows = step(conn, statement, values, limits);
            took = begun.elapsed();
            rows
        },
    );
    if !statement.is_for_once() {
        conn.note(statement.number(), rows.is_ok() && took <= QUICK);
    }
    // The rows are complete; whether the time ran out just now makes no difference to them.
    let _stopped = conn.control().finish();
    rows
}

/// How much memory the values of a statement that a model wrote may take at once, about.
const WRITTEN_BYTES: usize = 64 << 20;
/// The shortest text that has a value of its own, such as `x||1,`.
const TEXT_OF_A_VALUE: usize = 5;
/// No value of such a statement is limited below this.
const LEAST_WRITTEN: usize = 16 << 10;

/// The longest single value of a statement that a model wrote. All values of a row are held at once, and there may be as
/// many as its text has room for, each of which may be made up; so the longer the text, the shorter each value. A text
/// that stands in it fits in any case, and the rest of the statement is shorter then. A star is short and stands for all
/// columns of a table.
fn most_of_each(sql: &str, columns: usize, bytes: usize) -> usize {
    let values = (sql.len() / TEXT_OF_A_VALUE + 1).max(columns);
    let longest_text = sql.split('\'').map(str::len).max().unwrap_or(0);
    (WRITTEN_BYTES / values).max(longest_text + 1).max(LEAST_WRITTEN).min(bytes.max(LEAST_LENGTH))
}

fn step(
    conn: &Conn,
    statement: &Statement,
    values: &[SqlValue],
    limits: QueryLimits,
) -> Result<Rows, DataError> {
    let failure = |error: rusqlite::Error| conn.failure(&error);
    if statement.is_for_once() {
        // It would push a declared one out of the cache.
        let mut prepared = conn.raw().prepare(statement.sql()).map_err(failure)?;
        return rows(conn, &mut prepared, statement, values, limits);
    }
    let mut prepared = conn.raw().prepare_cached(statement.sql()).map_err(failure)?;
    rows(conn, &mut prepared, statement, values, limits)
}

fn rows(
    conn: &Conn,
    prepared: &mut rusqlite::Statement<'_>,
    statement: &Statement,
    values: &[SqlValue],
    limits: QueryLimits,
) -> Result<Rows, DataError> {
    let failure = |error: rusqlite::Error| conn.failure(&error);
    if prepared.readonly() == statement.writes() || prepared.column_count() != statement.columns().len() {
        return Err(DataError::Refused("the statement is not what it was when it was checked".to_owned()));
    }
    for (index, value) in (1_usize..).zip(values) {
        prepared.raw_bind_parameter(index, value).map_err(failure)?;
    }
    conn.control().during(Phase::Running, || {
        let mut result = Rows {
            columns: Arc::clone(statement.columns()),
            json: String::new(),
            count: 0,
            truncated: false,
            changed: 0,
        };
        let mut json = Vec::with_capacity(256);
        json.push(b'[');
        let mut rows = prepared.raw_query();
        while let Some(row) = rows.next().map_err(failure)? {
            if result.count == limits.rows {
                result.truncated = true;
                // A write goes on to its end.
                if statement.writes() {
                    continue;
                }
                break;
            }
            if result.count > 0 {
                json.push(b',');
            }
            write_row(&mut json, row, statement.keys(), limits.bytes).map_err(|wrong| match wrong {
                Wrong::Data(error) => error,
                Wrong::Sql(error) => failure(error),
            })?;
            result.count += 1;
        }
        json.push(b']');
        if json.len() > limits.bytes {
            return Err(DataError::TooLarge);
        }
        result.json = String::from_utf8(json)
            .map_err(|_| DataError::Internal("rows were not written as UTF-8".to_owned()))?;
        Ok(result)
    })
}

enum Wrong {
    Data(DataError),
    Sql(rusqlite::Error),
}

fn write_row(json: &mut Vec<u8>, row: &rusqlite::Row<'_>, keys: &[String], most: usize) -> Result<(), Wrong> {
    json.push(b'{');
    for (index, key) in keys.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        json.extend_from_slice(key.as_bytes());
        write_value(json, row.get_ref(index).map_err(Wrong::Sql)?)
            .map_err(|error| Wrong::Data(DataError::Internal(error.to_string())))?;
        if json.len() > most {
            return Err(Wrong::Data(DataError::TooLarge));
        }
    }
    json.push(b'}');
    Ok(())
}

fn write_value(json: &mut Vec<u8>, value: ValueRef<'_>) -> serde_json::Result<()> {
    match value {
        ValueRef::Null => json.extend_from_slice(b"null"),
        ValueRef::Integer(integer) => serde_json::to_writer(json, &integer)?,
        // serde_json writes what is no finite number as null.
        ValueRef::Real(real) => serde_json::to_writer(json, &real)?,
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => serde_json::to_writer(json, text)?,
            Err(_) => serde_json::to_writer(json, &String::from_utf8_lossy(text))?,
        },
        ValueRef::Blob(blob) => {
            json.push(b'"');
            json.extend_from_slice(STANDARD.encode(blob).as_bytes());
            json.push(b'"');
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_values_a_row_may_have_the_shorter_each_is() {
        let few = most_of_each("SELECT * FROM tickets", 5, 1 << 20);
        assert_eq!(few, 1 << 20);
        let stars = format!("SELECT {} FROM tickets", ["*"; 400].join(","));
        assert!(most_of_each(&stars, 2000, 1 << 20) * 2000 <= WRITTEN_BYTES);
        let long = format!("SELECT '{}' AS x", "x".repeat(60_000));
        assert!(most_of_each(&long, 1, 1 << 20) > 60_000);
    }
}
