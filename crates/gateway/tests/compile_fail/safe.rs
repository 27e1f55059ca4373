//! The same things done right.
use std::{sync::Mutex, time::Duration};

use partywall_gateway::{Cx, Reply, Tool, ToolError, ToolMeta, context};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Args {
    document: i64,
}

#[derive(Default)]
struct Seen(Mutex<Vec<i64>>);

struct Safe;

impl Tool for Safe {
    type Args = Args;

    fn meta(&self) -> ToolMeta {
        ToolMeta::new("safe", "Does everything by way of its context.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, args: Args) -> Result<Reply<'t>, ToolError> {
        // State of the tenant's own, not of the module.
        let seen = cx.state::<Seen>().with(|seen| {
            let mut seen = seen.0.lock().unwrap();
            seen.push(args.document);
            seen.len()
        });
        // Rows of the tenant's own: there is no query without the context.
        let id = serde_json::json!(args.document);
        let rows = cx.query("desk", "SELECT body FROM documents WHERE id = :id", &[("id", id)]).await?;
        // A cache of the tenant's own.
        let key = args.document.to_string();
        let text =
            cx.cached(&key, Duration::from_secs(60), async move { Ok(rows.map(|rows| rows.json)) }).await?;
        // The tenant's own credential, for this call.
        let secret = cx.secret("crm").await?;
        let _header = format!("Bearer {}", secret.expose());
        // A task that runs as the same tenant.
        let tenant = context::spawn(async { context::current().map(|current| current.tenant().to_string()) });
        let _same = tenant.map_err(|error| ToolError::internal(error.to_string()))?.await;
        let both = seen.zip(text);
        Ok(cx.text(both.map(|(seen, text)| format!("{seen}: {text}"))))
    }
}

fn main() {}
