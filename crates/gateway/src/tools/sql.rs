//! SQL tools: one declared statement on the tenant's own database.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};

use super::ToolError;
use crate::{
    config::{RowsShape, ToolConfig},
    cx::{Cx, Reply},
    guards::data::{DataError, QueryLimits, Rows, Sources, Statement},
};

/// The most rows of a reply, unless the tool says otherwise.
pub(crate) const MAX_ROWS: u32 = 1000;

/// Which part of the reply's size the rows of a write may take.
const WRITE_SHARE: usize = 8;

/// A declared SQL tool.
pub(crate) struct SqlTool {
    statement: Statement,
    shape: RowsShape,
    max_rows: u32,
}

impl SqlTool {
    /// Prepares the statement, so that a wrong one is found when the configuration is loaded.
    pub(crate) fn compile(tool: &ToolConfig, sources: &Sources) -> Result<Self, DataError> {
        let params: Vec<&str> = tool.args.keys().map(String::as_str).collect();
        let (source, sql) =
            (tool.source.as_deref().unwrap_or_default(), tool.sql.as_deref().unwrap_or_default());
        Ok(Self {
            statement: sources.compile(source, sql, &params, tool.writes)?,
            shape: tool.rows,
            max_rows: tool.max_rows.unwrap_or(MAX_ROWS),
        })
    }

    pub(crate) async fn call<'t>(
        &self,
        cx: Cx<'t>,
        args: Map<String, Value>,
        time: Duration,
    ) -> Result<Reply<'t>, ToolError> {
        let permit = cx.permit();
        let reply = cx.room();
        // A reply holds its rows twice, as text and as JSON, and quotes grow in text. A write whose reply would be
        // too large must fail while it can still be rolled back, so its share is smaller.
        let bytes = if self.statement.writes() { reply / WRITE_SHARE } else { reply };
        let limits = QueryLimits { time, rows: self.max_rows, bytes };
        let args: Vec<(String, Value)> = args.into_iter().collect();
        let rows = permit.services().sources.run(permit, &self.statement, &args, limits).await;
        let rows = rows.map_err(|error| match error {
            // Opening a file needs some room, and the advice to read instead would be of no use to a reader.
            DataError::Full if !self.statement.writes() => ToolError::internal(error.to_string()),
            error => error.into(),
        })?;
        Ok(Reply::from_json(cx, self.shape(&rows)?))
    }

    fn shape(&self, rows: &Rows) -> Result<Arc<str>, ToolError> {
        let writes = self.statement.writes();
        let row =
            rows.json.trim().strip_prefix('[').and_then(|json| json.strip_suffix(']')).unwrap_or_default();
        match (self.shape, rows.count) {
            (RowsShape::Many, _) if writes => Ok(format!(
                "{{\"rows\":{},\"truncated\":{},\"changed\":{}}}",
                rows.json, rows.truncated, rows.changed
            )
            .into()),
            (RowsShape::Many, _) => {
                Ok(format!("{{\"rows\":{},\"truncated\":{}}}", rows.json, rows.truncated).into())
            }
            (RowsShape::One, 0) if rows.changed > 0 => Ok(format!("{{\"changed\":{}}}", rows.changed).into()),
            (RowsShape::One, 0) => Err(ToolError::NotFound),
            (RowsShape::One, 1) => Ok(row.into()),
            // The write has happened; to call it a failure would have it done again.
            (RowsShape::One, _) if writes => Ok(format!("{{\"changed\":{}}}", rows.changed).into()),
            (RowsShape::One, _) => Err(ToolError::internal("a tool with rows = \"one\" found several rows")),
        }
    }
}
