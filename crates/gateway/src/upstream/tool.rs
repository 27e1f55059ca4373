//! One tool of an existing MCP server, and a call of it.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use rmcp::model::CallToolResult;
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
    /// Whether a call may change something.
    writes: bool,
    absent: Option<Arc<UpstreamError>>,
}

impl UpstreamTool {
    pub(super) fn new(upstream: &Arc<Upstream>, tool: String, pinned: Vec<String>) -> Self {
        Self { upstream: Arc::clone(upstream), tool, pinned, writes: true, absent: None }
    }

    /// The tool, as one whose calls may change something or not.
    pub(crate) fn that_writes(self, writes: bool) -> Self {
        Self { writes, ..self }
    }

    /// What stands for every tool of a server that does not answer.
    pub(crate) fn absent(upstream: &Arc<Upstream>, why: Arc<UpstreamError>) -> Self {
        let upstream = Arc::clone(upstream);
        Self { upstream, tool: String::new(), pinned: Vec::new(), writes: false, absent: Some(why) }
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
        let failed = |error: &UpstreamError| error.of_call(permit, &upstream.name, self.writes);
        if let Some(why) = &self.absent {
            return Err(failed(why));
        }
        let foreign = |name: &&String| {
            upstream.pins.contains_key(*name)
                || names_tenant(name)
                || known.is_some_and(|known| !known.contains(*name))
        };
        let unknown = match args.keys().find(foreign) {
            Some(name) => Some(name),
            None => tenant_within(&args)?,
        };
        if let Some(name) = unknown {
            let known = known.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(ToolError::no_argument(name, &known));
        }
        let args = self.filled(cx, args).await?;
        let result = match self.answer(cx, &args).await {
            // What has forgotten the conversation has not taken the call: it is made in another one.
            Err(why) if why.may_begin_again(permit) => self.answer(cx, &args).await,
            answered => answered,
        };
        // Nothing is told to whom is no tenant any more, whatever the answer is.
        if permit.still().is_err() {
            return Err(ToolError::Ended);
        }
        let result = result.map_err(|error| failed(&error))?;
        Ok(cx.result(cx.own(result)))
    }

    /// Calls the server once.
    async fn answer(
        &self,
        cx: Cx<'_>,
        args: &Map<String, Value>,
    ) -> Result<CallToolResult, Arc<UpstreamError>> {
        let (permit, ends): (_, Instant) = (cx.permit(), cx.ends());
        let session = permit.resident().upstreams().session(permit, &self.upstream, ends, None).await?;
        let result = session.call(&self.tool, args, ends, cx.room(), cx.progress_sink()).await;
        result.map_err(Arc::new)
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

/// How deep arguments may be.
const DEEPEST: usize = 64;

/// A name of a tenant within the arguments: an object that a schema leaves open takes any name.
fn tenant_within(args: &Map<String, Value>) -> Result<Option<&String>, ToolError> {
    let mut open: Vec<(usize, &Value)> = args.values().map(|value| (1, value)).collect();
    while let Some((depth, value)) = open.pop() {
        if depth > DEEPEST {
            return Err(ToolError::invalid("The arguments are nested too deep; nest them at most 64 deep."));
        }
        match value {
            Value::Object(map) => {
                if let Some(name) = map.keys().find(|name| names_tenant(name)) {
                    return Ok(Some(name));
                }
                open.extend(map.values().map(|value| (depth + 1, value)));
            }
            Value::Array(list) => open.extend(list.iter().map(|value| (depth + 1, value))),
            _ => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_tenants_are_found_within_arguments_and_depth_has_an_end() {
        let within = |args: Value| {
            let found = tenant_within(args.as_object().expect("an object")).map(|name| name.cloned());
            found.map_err(|error| error.to_string())
        };
        assert_eq!(within(json!({"f": {"tenant_id": "globex"}})), Ok(Some("tenant_id".to_owned())));
        assert_eq!(
            within(json!({"f": {"x": [[{"workspace_id": "globex"}]]}})),
            Ok(Some("workspace_id".to_owned()))
        );
        assert_eq!(within(json!({"f": {"x": [{"user_id": "tenant_id"}]}, "list": ["org"]})), Ok(None));
        let mut deep = json!("x");
        for _ in 0..100 {
            deep = json!([deep]);
        }
        assert!(within(json!({ "f": deep })).is_err_and(|why| why.contains("too deep")));
    }
}
