//! A declared statement, compiled once at load time against a database in memory; or one that a model writes, compiled
//! for the call that it comes with on the tenant's own file.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rusqlite::types::Value as SqlValue;
use serde_json::Value;

use super::connection::Conn;
use crate::guards::data::{DataError, MODEL, query::model_params};

/// The longest statement that a model may write, in bytes.
const LONGEST: usize = 64 * 1024;

/// A statement that was checked; it can run for any tenant. Cloning is cheap.
#[derive(Clone)]
pub(in crate::guards::data) struct Statement(Arc<Inner>);

struct Inner {
    /// Which statement this is; no other of the process has it.
    number: u64,
    /// Whether it reads, and no single step of it takes long.
    light: bool,
    source: Arc<str>,
    sql: String,
    /// In the order of SQLite's parameter numbers.
    params: Vec<String>,
    writes: bool,
    columns: Arc<[String]>,
    /// `"name":` for each column.
    keys: Vec<String>,
    /// Whether it runs this once: a model has written it.
    for_once: bool,
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statement")
            .field("source", &self.0.source)
            .field("sql", &self.0.sql)
            .field("writes", &self.0.writes)
            .finish_non_exhaustive()
    }
}

impl Statement {
    /// The name of the source it runs on.
    pub(in crate::guards::data) fn source(&self) -> &str {
        &self.0.source
    }

    /// The names of its columns; none for a change without `RETURNING`.
    pub(in crate::guards::data) fn columns(&self) -> &Arc<[String]> {
        &self.0.columns
    }

    /// The names of its parameters, without the colon.
    pub(in crate::guards::data) fn params(&self) -> &[String] {
        &self.0.params
    }

    /// Whether it changes rows.
    pub(in crate::guards::data) fn writes(&self) -> bool {
        self.0.writes
    }

    pub(super) fn number(&self) -> u64 {
        self.0.number
    }

    pub(super) fn is_light(&self) -> bool {
        self.0.light
    }

    pub(super) fn sql(&self) -> &str {
        &self.0.sql
    }

    pub(super) fn keys(&self) -> &[String] {
        &self.0.keys
    }

    pub(super) fn is_for_once(&self) -> bool {
        self.0.for_once
    }

    /// Whether the statement is the tool's argument.
    pub(super) fn is_model(&self) -> bool {
        self.0.sql == MODEL
    }

    /// The statement of a tool whose one argument, `sql`, is the statement.
    pub(super) fn model(source: &str, params: &[&str], writes: bool) -> Result<Self, DataError> {
        Ok(Self(Arc::new(Inner {
            number: next_number(),
            light: false,
            source: source.into(),
            sql: MODEL.to_owned(),
            params: model_params(params)?,
            writes,
            columns: Arc::default(),
            keys: Vec::new(),
            for_once: false,
        })))
    }

    /// The statement that a model wrote, compiled on the connection that it will run on: what it may name is decided
    /// there, as for a declared one.
    pub(super) fn written(&self, conn: &Conn, values: &[SqlValue]) -> Result<Self, DataError> {
        let [SqlValue::Text(sql)] = values else { return Err(DataError::Argument("sql".to_owned())) };
        if sql.len() > LONGEST {
            return Err(DataError::Written(format!("it is longer than {LONGEST} bytes")));
        }
        // Only what the compiler says of the text itself may be read by the model.
        let failed = |error: rusqlite::Error| match DataError::at_run(&error) {
            DataError::Refused(_) => DataError::Written(error.to_string()),
            DataError::Internal(_) => match DataError::at_load(&error) {
                DataError::Refused(why) | DataError::Configuration(why) => DataError::Written(why),
                other => other,
            },
            _ => conn.failure(&error),
        };
        let made = Self::checked(conn, &self.0.source, sql, None, self.0.writes, &failed);
        let inner = made.map_err(|error| match error {
            DataError::Refused(why) | DataError::Configuration(why) => DataError::Written(why),
            other => other,
        })?;
        Ok(Self(Arc::new(Inner { light: false, for_once: true, ..inner })))
    }

    pub(super) fn compile(
        conn: &Conn,
        source: &str,
        sql: &str,
        params: &[&str],
        writes: bool,
    ) -> Result<Self, DataError> {
        let checked =
            Self::checked(conn, source, sql, Some(params), writes, &|error| DataError::at_load(&error));
        checked.map(|inner| Self(Arc::new(inner)))
    }

    /// Without `params` there may be none in the statement.
    fn checked(
        conn: &Conn,
        source: &str,
        sql: &str,
        params: Option<&[&str]>,
        writes: bool,
        failed: &dyn Fn(rusqlite::Error) -> DataError,
    ) -> Result<Inner, DataError> {
        let refuse = |text: String| Err(DataError::Refused(text));
        if sql.contains('\0') {
            return refuse("it contains a NUL character".to_owned());
        }
        // VACUUM is compiled without the authorizer being asked.
        let word = first_word(sql).to_ascii_uppercase();
        if !BEGINNINGS.contains(&word.as_str()) {
            return refuse(format!("it begins with `{word}`; allowed are {}", BEGINNINGS.join(", ")));
        }
        let (prepared, light) = conn.control().weighing(|| conn.raw().prepare(sql));
        let prepared = prepared.map_err(failed)?;
        match (prepared.readonly(), writes) {
            (false, false) => {
                return refuse("it changes data; a tool for that says `writes = true`".to_owned());
            }
            (true, true) => {
                return refuse("it changes nothing; a tool that reads has no `writes = true`".to_owned());
            }
            _ => {}
        }
        let columns: Arc<[String]> = prepared.column_names().map(str::to_owned).collect();
        if columns.is_empty() && !writes {
            return refuse("it returns no columns".to_owned());
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = columns.iter().find(|name| !seen.insert(name.as_str())) {
            return refuse(format!("two columns are called `{twice}`; give one another name with AS"));
        }
        let keys = columns.iter().map(|name| key(name)).collect();
        Ok(Inner {
            number: next_number(),
            light: light && !writes,
            source: source.into(),
            sql: sql.to_owned(),
            params: match params {
                Some(params) => check_params(&prepared, params)?,
                None if prepared.parameter_count() > 0 => {
                    return refuse("it has parameters; write the values into it".to_owned());
                }
                None => Vec::new(),
            },
            writes,
            columns,
            keys,
            for_once: false,
        })
    }

    /// A statement that no check has seen, to show that the connection refuses what the check would have.
    #[cfg(test)]
    pub(super) fn unchecked(source: &str, sql: &str, writes: bool) -> Self {
        Self(Arc::new(Inner {
            number: next_number(),
            light: !writes,
            source: source.into(),
            sql: sql.to_owned(),
            params: Vec::new(),
            writes,
            columns: Arc::from(["x".to_owned()]),
            keys: vec![key("x")],
            for_once: false,
        }))
    }

    /// Puts the arguments in the order of the parameters; an argument that was left out is NULL.
    pub(super) fn bind(&self, args: &[(String, Value)]) -> Result<Vec<SqlValue>, DataError> {
        if let Some((unknown, _)) = args.iter().find(|(name, _)| !self.0.params.contains(name)) {
            return Err(DataError::Argument(unknown.clone()));
        }
        let value_of = |name: &String| match args.iter().find(|(given, _)| given == name) {
            Some((_, value)) => sql_value(value).ok_or_else(|| DataError::Argument(name.clone())),
            None => Ok(SqlValue::Null),
        };
        self.0.params.iter().map(value_of).collect()
    }
}

fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// How a statement may begin.
const BEGINNINGS: [&str; 7] = ["SELECT", "VALUES", "WITH", "INSERT", "REPLACE", "UPDATE", "DELETE"];

/// The first word after blanks and comments.
fn first_word(mut sql: &str) -> &str {
    loop {
        sql = sql.trim_start();
        let rest = match (sql.strip_prefix("--"), sql.strip_prefix("/*")) {
            (Some(line), _) => line.split_once('\n'),
            (_, Some(block)) => block.split_once("*/"),
            _ => break,
        };
        sql = rest.map_or("", |(_, rest)| rest);
    }
    sql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default()
}

fn key(name: &str) -> String {
    let mut key = Value::from(name).to_string();
    key.push(':');
    key
}

fn check_params(prepared: &rusqlite::Statement<'_>, params: &[&str]) -> Result<Vec<String>, DataError> {
    let mut used = Vec::with_capacity(prepared.parameter_count());
    for index in 1..=prepared.parameter_count() {
        let Some(name) = prepared.parameter_name(index).and_then(|name| name.strip_prefix(':')) else {
            return Err(DataError::Refused(
                "parameters are written `:name`; `?`, `@name` and `$name` are not allowed".to_owned(),
            ));
        };
        if !params.contains(&name) {
            return Err(DataError::Configuration(format!(
                "the parameter `:{name}` is no argument of the tool"
            )));
        }
        used.push(name.to_owned());
    }
    match params.iter().find(|name| !used.iter().any(|u| u == *name)) {
        Some(unused) => Err(DataError::Configuration(format!(
            "the argument `{unused}` is not used in the statement; write it as `:{unused}`"
        ))),
        None => Ok(used),
    }
}

fn sql_value(value: &Value) -> Option<SqlValue> {
    Some(match value {
        Value::Null => SqlValue::Null,
        Value::Bool(flag) => SqlValue::Integer(i64::from(*flag)),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => SqlValue::Integer(integer),
            // A whole number that SQLite cannot hold would silently become another number.
            (None, Some(real)) if !number.is_u64() => SqlValue::Real(real),
            _ => return None,
        },
        Value::String(text) => SqlValue::Text(text.clone()),
        Value::Array(_) | Value::Object(_) => return None,
    })
}
