//! A native tool, to copy: typed arguments, the tenant from the context, memory of the tenant's own.
//!
//! ```sh
//! cargo run -p native-tool-example
//! ```
//!
//! prints an address and a token for each of two tenants. Each has notes of its own; the tool never says which tenant
//! it works for, because the context knows.

use std::{
    io::Write,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use partywall_gateway::{
    Cx, Gateway, Reply, Tool, ToolError, ToolMeta, clock::Clock, config::Config,
    guards::identity::DevelopmentIssuer,
};
use partywall_model::TenantId;
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::Deserialize;

/// What a caller gives. The JSON Schema that clients see is derived from it. A field that names a tenant would be
/// refused when the tool is registered.
#[derive(Deserialize, JsonSchema)]
struct Arguments {
    /// The note to add; leave it out to read the notes.
    note: Option<String>,
}

/// One tenant's notes. Each tenant has a value of its own, made on first use.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Notes {
    const MOST: usize = 100;

    fn add(&self, note: Option<String>) -> Vec<String> {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.extend(note);
        let over = notes.len().saturating_sub(Self::MOST);
        notes.drain(..over);
        notes.clone()
    }
}

struct Notebook;

impl Tool for Notebook {
    type Args = Arguments;

    fn meta(&self) -> ToolMeta {
        ToolMeta::new("notebook", "Adds a note, or reads them all.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, args: Arguments) -> Result<Reply<'t>, ToolError> {
        if args.note.as_ref().is_some_and(|note| note.len() > 1000) {
            // A text that the model can act on.
            return Err(ToolError::invalid("A note has at most 1000 bytes; write a shorter one."));
        }
        // What comes out belongs to the tenant: it can go into this reply and nowhere else.
        let notes = cx.state::<Notes>().with(|notes| notes.add(args.note));
        cx.json(notes.map(|notes| serde_json::json!({ "notes": notes })))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let folder = std::env::temp_dir().join("partywall-native-tool");
    let text = format!("[server]\nlisten = \"{}\"\n[identity]\ndevelopment = true\n", listener.local_addr()?);
    let config = Config::parse(&text, "built in", &folder)?;
    let gateway = Gateway::builder(config).tool(Notebook).open()?;

    let issuer =
        DevelopmentIssuer::open_or_create(&gateway.config().data_dir(), &gateway.config().resource())?;
    let mut out = std::io::stdout();
    writeln!(out, "MCP at {}; stop with Ctrl-C", gateway.config().resource())?;
    for name in ["acme", "globex"] {
        let tenant = TenantId::parse(name)?;
        if gateway.administration().registry.get(&tenant)?.is_none() {
            gateway.administration().registry.add(&tenant)?;
        }
        let token = issuer.mint(&tenant, "you", "", Duration::from_secs(3600), &Clock::system())?;
        writeln!(out, "{name}: {}", token.expose_secret())?;
    }
    let stop = async {
        // Without signals there is nothing to wait for.
        let _no_signals = tokio::signal::ctrl_c().await;
    };
    gateway.serve_on(listener).await?.serve(stop).await;
    Ok(())
}
