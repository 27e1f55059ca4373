//! The smallest tool, as the documentation of `Tool` shows it.

use partywall_gateway::{Cx, Reply, Tool, ToolError, ToolMeta};

#[derive(serde::Deserialize, schemars::JsonSchema)]
pub(crate) struct Args {
    pub(crate) name: String,
}

pub(crate) struct Greet;

impl Tool for Greet {
    type Args = Args;

    fn meta(&self) -> ToolMeta {
        ToolMeta::new("greet", "Greets somebody.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, args: Args) -> Result<Reply<'t>, ToolError> {
        Ok(cx.text(format!("Hello {}, from {}", args.name, cx.tenant())))
    }
}
