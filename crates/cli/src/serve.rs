//! `serve`: the server of a configuration file.

use std::future::Future;

use anyhow::Context;
use partywall_gateway::{Gateway, config::Config};

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
        note(&format!(
            "MCP at http://{}/mcp; stop with Ctrl-C",
            server.address()
        ));
        if let Some(admin) = server.admin_address() {
            note(&format!("health and metrics at http://{admin}/"));
        }
        server.serve(stopped()?).await;
        note("stopped");
        Ok(())
    })
}

pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// Ready when the process is asked to stop, by Ctrl-C or by SIGTERM.
pub(crate) fn stopped() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        note("stopping: open calls may end; again to stop at once");
    })
}

/// The JSON Schema of a document.
pub(crate) fn schema(document: Document) -> anyhow::Result<String> {
    let schema = match document {
        Document::Config => schemars::schema_for!(Config),
    };
    Ok(serde_json::to_string_pretty(&schema)?)
}
