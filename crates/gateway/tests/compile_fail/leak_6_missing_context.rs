//! Pattern 6: a detached task, which has no tenant.
use partywall_gateway::{Cx, Reply, Tool, ToolError, ToolMeta};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Args {}

struct Leak;

impl Tool for Leak {
    type Args = Args;

    fn meta(&self) -> ToolMeta {
        ToolMeta::new("leak", "Leaks.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, _args: Args) -> Result<Reply<'t>, ToolError> {
        let task = tokio::spawn(async move { cx.tenant().to_string() });
        let _tenant = task.await;
        Ok(cx.text("done"))
    }
}

fn main() {}
