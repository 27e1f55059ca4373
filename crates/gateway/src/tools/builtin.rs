//! Native tools that are part of the gateway and can be declared by name.

use rmcp::model::ToolAnnotations;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NativeTool, Tool, ToolError, ToolMeta};
use crate::{
    config::ToolConfig,
    cx::{Cx, Reply},
};

/// The built-in tool of a `native = "…"` key.
pub(crate) fn find(config: &ToolConfig) -> Option<NativeTool> {
    match config.native.as_deref() {
        Some("whoami") => {
            let mut meta = ToolMeta::new(&config.name, &config.description)
                .annotations(ToolAnnotations::new().read_only(true));
            meta.title.clone_from(&config.title);
            meta.scope.clone_from(&config.scope);
            let tool = NativeTool::new(Whoami(meta));
            Some(match &config.tenants {
                None => tool,
                Some(tenants) => tool.only_for(&tenants.iter().map(String::as_str).collect::<Vec<_>>()),
            })
        }
        _ => None,
    }
}

/// Tells the caller who it is, as the server sees it.
struct Whoami(ToolMeta);

#[derive(Deserialize, JsonSchema)]
struct NoArguments {}

#[derive(Serialize)]
struct Caller<'c> {
    tenant: &'c str,
    subject: &'c str,
}

impl Tool for Whoami {
    type Args = NoArguments;

    fn meta(&self) -> ToolMeta {
        self.0.clone()
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, NoArguments {}: NoArguments) -> Result<Reply<'t>, ToolError> {
        cx.json(Caller { tenant: cx.tenant().as_str(), subject: cx.subject() })
    }
}
