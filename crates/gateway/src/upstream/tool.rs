//! One tool of an existing MCP server, and a call of it.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};

use super::{Upstream, UpstreamError, declared::Pin};
use crate::{
    config::names_tenant,
    cx::{Cx, Reply},
    tools::ToolError,
};

/// A tool of an upstream, or what stands for one whose server does not answer.
pub(crate) struct UpstreamTool {
    upstream: Arc<Upstream>,
    /// The server's own name of it.
    tool: String,
    /// The arguments that it has and the gateway fills in.
    pinned: Vec<String>,
    absent: Option<Arc<UpstreamError>>,
}

impl UpstreamTool {
    pub(super) fn new(upstream: &Arc<Upstream>, tool: String, pinned: Vec<String>) -> Self {
        Self { upstream: Arc::clone(upstream), tool, pinned, absent: None }
    }

    /// What stands for every tool of a server that does not answer.
    pub(crate) fn absent(upstream: &Arc<Upstream>, why: Arc<UpstreamError>) -> Self {
        let upstream = Arc::clone(upstream);
        Self { upstream, tool: String::new(), pinned: Vec::new(), absent: Some(why) }
    }

    pub(crate) fn scope(&self) -> Option<String> {
        self.upstream.scope.clone()
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.upstream.timeout
    }

    /// Calls it for the context's tenant. `known` are the arguments that a caller may name.
    pub(crate) async fn call<'t>(
        &'t self,
        cx: Cx<'t>,
        known: Option<&BTreeSet<String>>,
        args: Map<String, Value>,
    ) -> Result<Reply<'t>, ToolError> {
        let (permit, upstream) = (cx.permit(), &self.upstream);
        let failed = |error: &UpstreamError| error.of_call(permit, &upstream.name);
        if let Some(why) = &self.absent {
            return Err(failed(why));
        }
        let foreign = |name: &&String| {
            upstream.pins.contains_key(*name)
                || names_tenant(name)
                || known.is_some_and(|known| !known.contains(*name))
        };
        if let Some(name) = args.keys().find(foreign) {
            let known = known.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(ToolError::no_argument(name, &known));
        }
        let args = self.filled(cx, args).await?;
        let ends: Instant = cx.ends();
        let session = permit.resident().upstreams().session(permit, upstream, ends).await;
        let session = session.map_err(|error| failed(&error))?;
        let result = session.call(&self.tool, args, ends, cx.room(), cx.progress_sink()).await;
        let result = result.map_err(|error| failed(&error))?;
        Ok(cx.result(cx.own(result)))
    }

    /// The arguments with those that the gateway fills in.
    async fn filled(
        &self,
        cx: Cx<'_>,
        mut args: Map<String, Value>,
    ) -> Result<Map<String, Value>, ToolError> {
        for argument in &self.pinned {
            let value = match self.upstream.pins.get(argument) {
                None => continue,
                Some(Pin::Tenant) => cx.tenant().to_string(),
                Some(Pin::Subject) => cx.subject().to_owned(),
                Some(Pin::Text(text)) => text.clone(),
                Some(Pin::Secret(name)) => {
                    let services = cx.permit().services();
                    services.read_secret(cx.permit(), name).await?.expose_secret().to_owned()
                }
            };
            args.insert(argument.clone(), value.into());
        }
        Ok(args)
    }
}
