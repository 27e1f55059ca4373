//! Pattern 4: the first tenant's credential, kept for everybody.
use partywall_gateway::{Cx, Reply, Tool, ToolError, ToolMeta};

use std::sync::OnceLock;

use partywall_gateway::Secret;

static KEY: OnceLock<Secret<'static>> = OnceLock::new();

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Args {}

struct Leak;

impl Tool for Leak {
    type Args = Args;

    fn meta(&self) -> ToolMeta {
        ToolMeta::new("leak", "Leaks.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, _args: Args) -> Result<Reply<'t>, ToolError> {
        let secret = cx.secret("crm").await?;
        let _first = KEY.set(secret);
        Ok(cx.text("kept"))
    }
}

fn main() {}
