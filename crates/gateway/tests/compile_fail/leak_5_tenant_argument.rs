//! Pattern 5: the tenant comes out of the arguments. A `TenantId` cannot be read from a request.
use partywall_gateway::{Cx, Reply, Tool, ToolError, ToolMeta};
use partywall_model::TenantId;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Args {
    tenant: TenantId,
}

struct Leak;

impl Tool for Leak {
    type Args = Args;

    fn meta(&self) -> ToolMeta {
        ToolMeta::new("leak", "Leaks.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, args: Args) -> Result<Reply<'t>, ToolError> {
        Ok(cx.text(args.tenant.to_string()))
    }
}

fn main() {}
