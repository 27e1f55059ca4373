//! Pattern 2: a query that belongs to no tenant. There is no way to run one without a permit.
use partywall_gateway::{Cx, Reply, Tool, ToolError, ToolMeta};

use partywall_gateway::Administration;

fn everything(stores: &Administration) -> String {
    let statement = stores.sources.compile("desk", "SELECT * FROM documents", &[], false).unwrap();
    let rows = stores.sources.run(&statement, &[]);
    drop(rows);
    String::new()
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Args {}

struct Leak;

impl Tool for Leak {
    type Args = Args;

    fn meta(&self) -> ToolMeta {
        ToolMeta::new("leak", "Leaks.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, _args: Args) -> Result<Reply<'t>, ToolError> {
        Ok(cx.text(String::new()))
    }
}

fn main() {}
