//! `serve`: the server of a configuration file.

use std::pin::pin;

use anyhow::Context;
use partywall_gateway::{Gateway, Server, config::Config};

use crate::{
    args::{Document, Serve},
    output::note,
};

pub(crate) fn run(command: &Serve) -> anyhow::Result<()> {
    let config = Config::load(&command.file.config)?;
    let gateway = Gateway::builder(config).open()?;
    if command.check {
        let tenants = gateway.administration().registry.list()?.len();
        note(&format!(
            "{} is good: {} tools, {tenants} tenants",
            command.file.config.display(),
            gateway.config().tools.len()
        ));
        return Ok(());
    }
    runtime()?.block_on(async {
        let server = gateway.bind().await?;
        let (address, admin) = (server.address(), server.admin_address());
        serve(server, || {
            note(&format!("MCP at http://{address}/mcp; stop with Ctrl-C"));
            if let Some(admin) = admin {
                note(&format!("health and metrics at http://{admin}/"));
            }
            Ok(())
        })
        .await
    })
}

pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")
}

/// Serves until the process is asked to stop, by Ctrl-C or SIGTERM, and then until open calls have ended; asked a
/// second time, it stops at once.
pub(crate) async fn serve(server: Server, ready: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut asked = async || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    ready()?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut serving = pin!(server.serve(async {
        let _dropped = stopped.await;
    }));
    tokio::select! {
        () = &mut serving => return Ok(()),
        () = asked() => note("stopping: open calls may end; once more to stop at once"),
    }
    // The receiver is in the future that is polled next.
    let _served = stop.send(());
    tokio::select! {
        () = &mut serving => {}
        () = asked() => note("stopped before all calls had ended"),
    }
    Ok(())
}

/// The JSON Schema of a document.
pub(crate) fn schema(document: Document) -> anyhow::Result<String> {
    let schema = match document {
        Document::Config => schemars::schema_for!(Config),
    };
    Ok(serde_json::to_string_pretty(&schema)?)
}
