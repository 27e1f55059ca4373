//! Pattern 3: a cache for everybody, keyed by the document alone.
use partywall_gateway::{Cx, Reply, Tool, ToolError, ToolMeta};

use std::{collections::HashMap, sync::Mutex};

use partywall_gateway::Owned;

static CACHE: Mutex<Option<HashMap<i64, Owned<'static, String>>>> = Mutex::new(None);

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Args {}

struct Leak;

impl Tool for Leak {
    type Args = Args;

    fn meta(&self) -> ToolMeta {
        ToolMeta::new("leak", "Leaks.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, _args: Args) -> Result<Reply<'t>, ToolError> {
        let document = cx.own(format!("document of {}", cx.tenant()));
        CACHE.lock().unwrap().get_or_insert_default().insert(7, document);
        Ok(cx.text("cached"))
    }
}

fn main() {}
