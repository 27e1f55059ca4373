//! Pattern 1: the current tenant's configuration in a module-level variable.
use partywall_gateway::{Cx, Reply, Tool, ToolError, ToolMeta};

use std::sync::Mutex;

use partywall_gateway::Owned;

static CURRENT: Mutex<Option<Owned<'static, String>>> = Mutex::new(None);

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Args {}

struct Leak;

impl Tool for Leak {
    type Args = Args;

    fn meta(&self) -> ToolMeta {
        ToolMeta::new("leak", "Leaks.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, _args: Args) -> Result<Reply<'t>, ToolError> {
        let config = cx.own(format!("configuration of {}", cx.tenant()));
        *CURRENT.lock().unwrap() = Some(config);
        Ok(cx.text("stored"))
    }
}

fn main() {}
