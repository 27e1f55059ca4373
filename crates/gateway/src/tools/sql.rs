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
        let (source, sql) = (
            tool.source.as_deref().unwrap_or_default(),
            tool.sql.as_deref().unwrap_or_default(),
        );
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
        let limits = QueryLimits {
            time,
            rows: self.max_rows,
            bytes: permit.resident().limits().reply_bytes,
        };
        let args: Vec<(String, Value)> = args.into_iter().collect();
        let rows = permit
            .services()
            .sources
            .run(permit, &self.statement, &args, limits)
            .await?;
        Ok(Reply::from_json(cx, self.shape(rows)?))
    }

    fn shape(&self, rows: Rows) -> Result<Arc<str>, ToolError> {
        match self.shape {
            RowsShape::Many => {
                Ok(format!("{{\"rows\":{},\"truncated\":{}}}", rows.json, rows.truncated).into())
            }
            RowsShape::One => {
                if rows.count == 0 {
                    return Err(ToolError::NotFound);
                }
                if rows.count > 1 {
                    return Err(ToolError::internal(
                        "a tool with rows = \"one\" found several rows",
                    ));
                }
                let row = rows
                    .json
                    .trim()
                    .strip_prefix('[')
                    .and_then(|json| json.strip_suffix(']'));
                row.map(Into::into)
                    .ok_or_else(|| ToolError::internal("the row is no JSON array"))
            }
        }
    }
}
