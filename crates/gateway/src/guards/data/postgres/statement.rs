//! A declared statement, prepared once at load time by the server that it will run on.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use fallible_iterator::FallibleIterator as _;
use postgres_protocol::message::{
    backend::{Message, RowDescriptionBody},
    frontend,
};
use serde_json::Value;

use super::{
    error::{Broken, ServerError},
    exchange::{FIRST_STATEMENT, key},
    inspect::{self, Inspected},
    value::Form,
    wire::{Conn, Run, SMALL, server_error},
};
use crate::guards::data::{DataError, MODEL, query::model_params};

/// A statement that was checked; it can run for any tenant. Cloning is cheap.
#[derive(Clone)]
pub(in crate::guards::data) struct Statement(Arc<Inner>);

struct Inner {
    /// Which statement this is; no other of the process has it.
    number: u64,
    source: Arc<str>,
    sql: String,
    /// In the order of the server's parameter numbers.
    params: Vec<String>,
    /// The types of the parameters, by the server's numbers.
    types: Vec<u32>,
    writes: bool,
    columns: Columns,
    /// Whether it runs this once: a model has written it.
    for_once: bool,
}

/// The columns of an answer.
#[derive(Debug, Default)]
pub(super) struct Columns {
    pub(super) names: Arc<[String]>,
    /// `"name":` for each.
    pub(super) keys: Vec<String>,
    pub(super) oids: Vec<u32>,
    pub(super) forms: Vec<Form>,
}

impl Columns {
    /// What a row description says; types that are not built in are written as text.
    pub(super) fn of(fields: &RowDescriptionBody) -> Result<Self, Broken> {
        let mut found = Vec::new();
        let mut fields = fields.fields();
        while let Some(field) = fields.next()? {
            found.push((field.name().to_owned(), field.type_oid()));
        }
        let names: Arc<[String]> = found.iter().map(|(name, _)| name.clone()).collect();
        let keys = names.iter().map(|name| key(name)).collect();
        let oids: Vec<u32> = found.iter().map(|(_, oid)| *oid).collect();
        let forms = oids.iter().map(|oid| Form::of_builtin(*oid).unwrap_or(Form::Text)).collect();
        Ok(Self { names, keys, oids, forms })
    }

    /// A name that stands twice, so that one of the two would be lost.
    pub(super) fn twice(&self) -> Option<&str> {
        let mut seen = BTreeSet::new();
        self.names.iter().find(|name| !seen.insert(name.as_str())).map(String::as_str)
    }
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
    pub(in crate::guards::data) fn source(&self) -> &str {
        &self.0.source
    }

    pub(in crate::guards::data) fn columns(&self) -> &Arc<[String]> {
        &self.0.columns.names
    }

    pub(in crate::guards::data) fn params(&self) -> &[String] {
        &self.0.params
    }

    pub(in crate::guards::data) fn writes(&self) -> bool {
        self.0.writes
    }

    pub(super) fn number(&self) -> u64 {
        self.0.number
    }

    pub(super) fn sql(&self) -> &str {
        &self.0.sql
    }

    pub(super) fn types(&self) -> &[u32] {
        &self.0.types
    }

    pub(super) fn columns_known(&self) -> &Columns {
        &self.0.columns
    }

    pub(super) fn is_for_once(&self) -> bool {
        self.0.for_once
    }

    /// Whether the statement is the tool's argument.
    pub(super) fn is_model(&self) -> bool {
        self.0.sql == MODEL
    }

    /// Has the server prepare a declared statement.
    pub(super) async fn compile(
        conn: &mut Conn,
        source: &str,
        search_path: &str,
        inspected: Inspected,
        params: &[&str],
        writes: bool,
    ) -> Result<Self, DataError> {
        check_params(&inspected.params, params)?;
        let (types, columns) =
            match (describe(conn, search_path, &inspected.sql, &[]).await?, &inspected.typed) {
                (Ok(described), _) => described,
                // `:a IS NULL OR a = :a`: the type is known from the second place, and the server looks at the first.
                (Err(error), Some(typed)) if matches!(error.code.as_str(), "42P08" | "42P18") => {
                    let advice = |_same: ServerError| {
                        DataError::Configuration(format!(
                            "{} (SQLSTATE {}); say which type it has, as in `:name::text IS NULL`",
                            error.message, error.code
                        ))
                    };
                    let (types, _) = describe(conn, search_path, typed, &[]).await?.map_err(advice)?;
                    describe(conn, search_path, &inspected.sql, &types).await?.map_err(advice)?
                }
                (Err(error), _) => return Err(error.at_load()),
            };
        if types.len() != inspected.params.len() {
            return Err(DataError::Refused("parameters are written `:name`".to_owned()));
        }
        if columns.oids.is_empty() && !writes {
            return Err(DataError::Refused("it returns no columns".to_owned()));
        }
        if let Some(twice) = columns.twice() {
            return Err(DataError::Refused(format!(
                "two columns are called `{twice}`; give one another name with AS"
            )));
        }
        Ok(Self(Arc::new(Inner {
            number: next_number(),
            source: source.into(),
            sql: inspected.sql,
            params: inspected.params,
            types,
            writes,
            columns,
            for_once: false,
        })))
    }

    /// The statement of a tool whose one argument, `sql`, is the statement.
    pub(super) fn model(source: &str, params: &[&str], writes: bool) -> Result<Self, DataError> {
        Ok(Self::without_check(source, MODEL.to_owned(), model_params(params)?, writes))
    }

    /// The statement that a model wrote, for the call that it came with.
    pub(super) fn written(&self, args: &[(String, Value)]) -> Result<Self, DataError> {
        let sql = match args {
            [(name, Value::String(sql))] if name == "sql" => sql,
            _ => return Err(DataError::Argument("sql".to_owned())),
        };
        let inspected = inspect::written(sql, self.0.writes).map_err(|error| match error {
            // The model is the author here, so it may read what is wrong.
            DataError::Refused(why) | DataError::Configuration(why) => DataError::Written(why),
            other => other,
        })?;
        Ok(Self::without_check(&self.0.source, inspected.sql, Vec::new(), self.0.writes))
    }

    fn without_check(source: &str, sql: String, params: Vec<String>, writes: bool) -> Self {
        Self(Arc::new(Inner {
            number: next_number(),
            source: source.into(),
            sql,
            params,
            types: Vec::new(),
            writes,
            columns: Columns::default(),
            for_once: true,
        }))
    }

    /// A statement that no check has seen, to show that the server refuses what the check would have.
    #[cfg(test)]
    pub(super) fn unchecked(source: &str, sql: &str, writes: bool) -> Self {
        Self::without_check(source, sql.to_owned(), Vec::new(), writes)
    }

    /// Puts the arguments in the order of the parameters, as text; an argument that was left out is NULL. Whether the
    /// text is a value of the parameter's type is for the server to say.
    pub(super) fn bind(&self, args: &[(String, Value)]) -> Result<Vec<Option<String>>, DataError> {
        if let Some((unknown, _)) = args.iter().find(|(name, _)| !self.0.params.contains(name)) {
            return Err(DataError::Argument(unknown.clone()));
        }
        let value_of = |name: &String| match args.iter().find(|(given, _)| given == name) {
            Some((_, Value::Null)) | None => Ok(None),
            Some((_, Value::Bool(flag))) => Ok(Some(flag.to_string())),
            Some((_, Value::Number(number))) => Ok(Some(number.to_string())),
            Some((_, Value::String(text))) => Ok(Some(text.clone())),
            Some((_, Value::Array(_) | Value::Object(_))) => Err(DataError::Argument(name.clone())),
        };
        self.0.params.iter().map(value_of).collect()
    }
}

fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(FIRST_STATEMENT);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn check_params(used: &[String], params: &[&str]) -> Result<(), DataError> {
    if let Some(unknown) = used.iter().find(|name| !params.contains(&name.as_str())) {
        return Err(DataError::Configuration(format!(
            "the parameter `:{unknown}` is no argument of the tool"
        )));
    }
    match params.iter().find(|name| !used.iter().any(|used| used == *name)) {
        Some(unused) => Err(DataError::Configuration(format!(
            "the argument `{unused}` is not used in the statement; write it as `:{unused}`"
        ))),
        None => Ok(()),
    }
}

/// Has the server parse a statement, and asks it for the types of its parameters and columns.
async fn describe(
    conn: &mut Conn,
    search_path: &str,
    sql: &str,
    known: &[u32],
) -> Result<Result<(Vec<u32>, Columns), ServerError>, DataError> {
    let failed = |broken: Broken| DataError::Storage(format!("the database server did not answer: {broken}"));
    let path = [Some(search_path.to_owned())];
    let set = "SELECT pg_catalog.set_config('search_path', $1, true)";
    // Up to the Sync it is one transaction, for which the path is set.
    conn.write_run(&Run {
        number: u64::MAX,
        sql: set,
        types: &[],
        values: &path,
        rows: 0,
        named: false,
        describe: false,
    })
    .map_err(failed)?;
    frontend::parse("", sql, known.iter().copied(), conn.output())
        .and_then(|()| frontend::describe(b'S', "", conn.output()))
        .map_err(|error| failed(error.into()))?;
    frontend::sync(conn.output());
    conn.send().await.map_err(failed)?;
    let (mut types, mut columns, mut error) = (Vec::new(), Columns::default(), None);
    loop {
        // A table may have many columns, and this is no tenant's answer.
        match conn.receive(16 * SMALL).await.map_err(failed)? {
            Message::ParameterDescription(body) => {
                types = body.parameters().collect().map_err(|error| failed(error.into()))?;
            }
            Message::RowDescription(fields) => columns = Columns::of(&fields).map_err(failed)?,
            Message::ErrorResponse(body) => error = Some(server_error(body.fields())),
            Message::ReadyForQuery(ready) => {
                conn.ready(ready.status()).map_err(failed)?;
                break;
            }
            _ => {}
        }
    }
    if let Some(error) = error {
        return Ok(Err(error));
    }
    for (oid, form) in columns.oids.iter().zip(&mut columns.forms) {
        if Form::of_builtin(*oid).is_none() {
            *form = catalogue_form(conn, *oid).await?;
        }
    }
    Ok(Ok((types, columns)))
}

/// The form of a type that not every server has: an array has that of its elements, anything else is text.
async fn catalogue_form(conn: &mut Conn, oid: u32) -> Result<Form, DataError> {
    const SQL: &str = "SELECT e.oid, e.typdelim FROM pg_catalog.pg_type a JOIN pg_catalog.pg_type e \
         ON e.oid = a.typelem WHERE a.oid = $1::oid AND a.typcategory = 'A' AND a.typlen = -1 AND e.typtype <> 'c'";
    let rows = rows(conn, SQL, &[Some(oid.to_string())]).await?;
    let Some([Some(element), Some(delimiter)]) = rows.first().map(Vec::as_slice) else {
        return Ok(Form::Text);
    };
    let of = element.parse().ok().and_then(Form::of_builtin).unwrap_or(Form::Text);
    let delimiter = delimiter.bytes().next().unwrap_or(b',');
    Ok(Form::Array { of: Box::new(of), delimiter })
}

/// Runs a statement of our own outside any tenant; a few short rows.
pub(super) async fn rows(
    conn: &mut Conn,
    sql: &str,
    values: &[Option<String>],
) -> Result<Vec<Row>, DataError> {
    let failed = |broken: Broken| DataError::Storage(format!("the database server did not answer: {broken}"));
    rows_or_error(conn, sql, values).await.map_err(failed)?.map_err(|error| error.at_load())
}

/// The values of a row; `None` for null.
pub(super) type Row = Vec<Option<String>>;

/// The same; what the server said no with is apart from the end of the connection.
pub(super) async fn rows_or_error(
    conn: &mut Conn,
    sql: &str,
    values: &[Option<String>],
) -> Result<Result<Vec<Row>, ServerError>, Broken> {
    let run = Run { number: u64::MAX, sql, types: &[], values, rows: 0, named: false, describe: false };
    conn.write_run(&run)?;
    frontend::sync(conn.output());
    conn.send().await?;
    let (mut rows, mut error) = (Vec::new(), None);
    loop {
        match conn.receive(SMALL).await? {
            Message::DataRow(row) => {
                let buffer = row.buffer();
                let value = |range: Option<std::ops::Range<usize>>| {
                    let bytes = range.and_then(|range| buffer.get(range))?;
                    Some(String::from_utf8_lossy(bytes).into_owned())
                };
                rows.push(row.ranges().map(|range| Ok(value(range))).collect()?);
            }
            Message::ErrorResponse(body) => error = Some(server_error(body.fields())),
            Message::ReadyForQuery(ready) => {
                conn.ready(ready.status())?;
                break;
            }
            _ => {}
        }
    }
    Ok(error.map_or(Ok(rows), Err))
}
