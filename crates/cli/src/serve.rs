//! `serve`: the server of a configuration file.

use std::{path::Path, pin::pin, sync::Arc};

use anyhow::Context;
use partywall_gateway::{
    Gateway, OpenError, Server,
    config::{Config, Environment},
    raise_file_limit,
};
use partywall_model::TenantId;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    args::{Document, Serve},
    output::note,
};

pub(crate) fn run(command: &Serve) -> anyhow::Result<()> {
    let file = &command.file.config;
    let config = Config::load(file)?;
    let gateway = Gateway::builder(config).environment(environment()).open();
    let gateway = Arc::new(gateway.map_err(|error| match error {
        // What stands in the file, and is looked at later than the file is read.
        OpenError::Identity(_) | OpenError::Data(_) => {
            anyhow::Error::new(error).context(file.display().to_string())
        }
        other => other.into(),
    })?);
    if command.check {
        let tenants = gateway.administration().registry.list()?.len();
        if let Some(why) = runtime()?.block_on(gateway.shared_trouble()) {
            note(&format!(
                "warning: the server of shared.redis does not answer ({why}); until it does, each process applies its share of \
                 the limits"
            ));
        }
        let config = gateway.config();
        let servers = match config.upstreams.len() {
            0 => String::new(),
            count => format!("{count} upstreams, "),
        };
        note(&format!(
            "{} is good: {} tools, {servers}{tenants} tenants",
            file.display(),
            config.tools.len()
        ));
        return Ok(());
    }
    if let (true, Some(tenant)) = (command.stdio, &command.tenant) {
        let tenant = TenantId::parse(tenant).with_context(|| format!("`{tenant}` is no tenant id"))?;
        return runtime()?.block_on(local(&gateway, &tenant));
    }
    raise_file_limit();
    runtime()?.block_on(async {
        let server = gateway.bind().await?;
        let (address, admin) = (server.address(), server.admin_address());
        serve(
            server,
            async || read_again(&gateway, file).await,
            || {
                note(&format!("MCP at http://{address}/mcp; stop with Ctrl-C"));
                if let Some(admin) = admin {
                    note(&format!("health and metrics at http://{admin}/"));
                }
                Ok(())
            },
        )
        .await
    })
}

/// Serves one tenant on standard input and output, until the client closes them or the process is asked to stop.
async fn local(gateway: &Gateway, tenant: &TenantId) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        served = gateway.serve_stdio(tenant) => return Ok(served?),
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    gateway.flush_audit().await;
    Ok(())
}

/// The variables of this process, for `env:NAME` in the configuration.
pub(crate) fn environment() -> Environment {
    #[expect(clippy::disallowed_methods, reason = "this is the command")]
    Environment::from_fn(|name| std::env::var(name).ok())
}

/// Reads the configuration again. One that is not good changes nothing, and the log says why.
async fn read_again(gateway: &Arc<Gateway>, file: &Path) {
    let (again, path) = (Arc::clone(gateway), file.to_owned());
    let read = tokio::task::spawn_blocking(move || again.reload_file(&path)).await;
    if let Ok(Ok(())) = read {
        note(&format!("{} was read again: {} tools", file.display(), gateway.config().tools.len()));
    }
}

pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")
}

/// Serves until the process is asked to stop, by Ctrl-C or SIGTERM, and then until open calls have ended; asked a
/// second time, it stops at once. `hung_up` is what to do on SIGHUP; signals that come meanwhile count as one.
pub(crate) async fn serve(
    server: Server,
    hung_up: impl AsyncFn(),
    ready: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let mut hangups = pin!(async {
        while hangup.recv().await.is_some() {
            hung_up().await;
        }
    });
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
        () = &mut hangups => {}
        () = asked() => {}
    }
    note("stopping: open calls may end; once more to stop at once");
    // The receiver is in the future that is polled next.
    let _served = stop.send(());
    tokio::select! {
        () = &mut serving => {}
        () = asked() => note("stopped before all calls had ended"),
    }
    Ok(())
}

/// A schema whose defaults of durations are as a file has them: `"10m"` and not seconds and nanoseconds.
fn with_written_durations(mut schema: schemars::Schema) -> schemars::Schema {
    fn write(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(object) => {
                if let Some(default) = object.get_mut("default")
                    && let (Some(secs), Some(nanos)) = (
                        default.get("secs").and_then(serde_json::Value::as_u64),
                        default.get("nanos").and_then(serde_json::Value::as_u64),
                    )
                {
                    let millis = nanos / 1_000_000;
                    *default = match (secs, millis) {
                        (secs, 0) if secs > 0 && secs % 3600 == 0 => format!("{}h", secs / 3600),
                        (secs, 0) if secs > 0 && secs % 60 == 0 => format!("{}m", secs / 60),
                        (secs, 0) => format!("{secs}s"),
                        (secs, millis) => format!("{}ms", secs * 1000 + millis),
                    }
                    .into();
                }
                object.values_mut().for_each(write);
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(write),
            _ => {}
        }
    }
    if let Some(object) = schema.as_object_mut() {
        object.values_mut().for_each(write);
    }
    schema
}

/// The JSON Schema of a document.
pub(crate) fn schema(document: Document) -> anyhow::Result<String> {
    let schema = match document {
        Document::Config => with_written_durations(schemars::schema_for!(Config)),
        Document::Findings => schemars::schema_for!(partywall_model::Document),
        Document::Report => schemars::schema_for!(partywall_report::Bundle),
        Document::Verdicts => schemars::schema_for!(partywall_model::Verdicts),
    };
    Ok(serde_json::to_string_pretty(&schema)?)
}
